"""One film on several workers: real processes, a real Redis server, the real pipeline on tiny films."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from jobs.embedded_redis import embedded_redis
from tests.support.film_service import FilmService, wait_until
from worker.media.stills import write_png

SCENES = ((1, 14), (2, 10), (3, 12), (4, 9))


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(scope="module")
def service(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FilmService]:
    with FilmService(redis_url, tmp_path_factory.mktemp("data")) as made:
        yield made


def stills(film: Any, folder: Path, *frames: int) -> list[Path]:
    paths = []
    for frame in frames:
        paths.append(folder / f"{frame}.png")
        write_png(paths[-1], film.pictures[frame])
    return paths


def packets(path: Path) -> list[str]:
    """What a film's picture is, packet by packet: bytes and times."""
    with av.open(str(path)) as container:
        return [
            f"{packet.pts} {packet.dts} {hashlib.sha256(bytes(packet)).hexdigest()}"
            for packet in container.demux(container.streams.video[0])
            if packet.size
        ]


def test_the_film_is_the_same_whoever_and_however_many_make_it(
    service: FilmService, make_film: Callable[..., Any], tmp_path: Path
) -> None:
    film = make_film(scenes=SCENES, sound=True)
    references = stills(film, tmp_path, 3, 30)
    options: dict[str, Any] = {"tuning": {"iterations": 2}, "output": {"container": "mp4"}}
    service.have_workers(1)
    alone = service.submit(film.path, references, **options)
    assert service.wait_until_ended(alone).status == "succeeded", service.log()
    service.have_workers(2)
    together = service.submit(film.path, references, **options)
    job = service.wait_until_ended(together)
    assert job.status == "succeeded", job.error
    for variant in ("video", "comparison"):
        assert packets(service.result(together, variant)) == packets(service.result(alone, variant))
    one, two = (json.loads(service.result(job_id, "report_json").read_text()) for job_id in (alone, together))
    assert one["confidence"] == two["confidence"]
    assert len({line.split("pid=")[-1] for line in service.told("piece_started", together)}) >= 1
    assert job.progress.frames_done == 45
    assert [shot.confidence is not None for shot in job.shots] == [True] * 4
    assert all(shot.tuning is not None for shot in job.shots)
    wait_until(lambda: not service.redis.keys("*pieces*"), seconds=5, what="nothing is left of the pieces")


def test_what_an_earlier_job_has_made_is_taken_over_where_nothing_of_it_changed(
    service: FilmService, make_film: Callable[..., Any], tmp_path: Path
) -> None:
    film = make_film(scenes=SCENES)
    first, second, third = stills(film, tmp_path, 3, 18, 30)
    service.have_workers(1)
    earlier = service.submit(film.path, [first, second, third])
    assert service.wait_until_ended(earlier).status == "succeeded", service.log()
    assert len(service.told("piece_started", earlier)) == 4
    assert [shot.reference for shot in service.repository.get(earlier).shots] == ["3.png", "18.png", "30.png", "18.png"]
    # Another coloring of the second shot's frame: half as colorful, with the same luma.
    luma = film.pictures[18] @ np.array([0.299, 0.587, 0.114])
    write_png(second, np.rint((film.pictures[18] + luma[..., None]) / 2).astype(np.uint8))
    later = service.submit(film.path, [first, second, third], reuse=earlier)
    job = service.wait_until_ended(later)
    assert job.status == "succeeded", job.error
    done = sorted(line.split("piece=")[1].split()[0] for line in service.told("piece_started", later))
    assert done == ["1", "3"]
    assert packets(service.result(later))[:14] == packets(service.result(earlier))[:14]
    assert packets(service.result(later))[14:24] != packets(service.result(earlier))[14:24]
    assert packets(service.result(later))[24:36] == packets(service.result(earlier))[24:36]
    assert [shot.confidence is not None for shot in job.shots] == [True] * 4
    # What is taken over took this job nothing.
    same = service.submit(film.path, [first, second, third], reuse=later)
    assert service.wait_until_ended(same).status == "succeeded", service.log()
    told = json.loads(service.result(same, "report_json").read_text())["speed"]
    assert told["seconds_by_phase"].get("tuning", 0) == told["seconds_by_phase"].get("colorizing", 0) == 0
    assert told["seconds_by_phase"]["encoding"] > 0
    assert told["frames_per_second"] == 0
    # Where the earlier job is gone, everything is made anew.
    service.store.delete(earlier)
    again = service.submit(film.path, [first, second, third], reuse=earlier)
    assert service.wait_until_ended(again).status == "succeeded", service.log()
    assert len(service.told("piece_started", again)) == 4
