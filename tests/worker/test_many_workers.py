"""One film on several workers: real processes, a real Redis server, the real pipeline on tiny films."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from jobs.embedded_redis import embedded_redis
from tests.support.film_service import FilmService, wait_until
from worker.media.stills import write_png

SCENES = ((1, 14), (2, 10), (3, 12), (4, 9))


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def service(redis_url: str, tmp_path: Path) -> Iterator[FilmService]:
    with FilmService(redis_url, tmp_path / "data") as made:
        made.redis.flushall()
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
    references = stills(film, tmp_path, 3, 18, 30)
    options: dict[str, Any] = {"tuning": {"iterations": 2}, "output": {"container": "mp4"}}
    service.start_workers(1)
    alone = service.submit(film.path, references, **options)
    assert service.wait_until_ended(alone).status == "succeeded", service.log()
    service.start_workers(1)
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
    service.start_workers(1)
    earlier = service.submit(film.path, [first, second, third])
    assert service.wait_until_ended(earlier).status == "succeeded", service.log()
    assert len(service.told("piece_started", earlier)) == 4
    # Another coloring of the second shot's frame; the last shot borrows from another one.
    write_png(second, 255 - film.pictures[18])
    places = [{"name": "18.png", "frame": 18}]
    later = service.submit(film.path, [first, second, third], reuse=earlier, references=places)
    job = service.wait_until_ended(later)
    assert job.status == "succeeded", job.error
    assert [line.split("piece=")[1].split()[0] for line in service.told("piece_started", later)] == ["1"]
    assert packets(service.result(later))[:14] == packets(service.result(earlier))[:14]
    assert packets(service.result(later))[14:24] != packets(service.result(earlier))[14:24]
    assert packets(service.result(later))[24:] == packets(service.result(earlier))[24:]
    assert [shot.confidence is not None for shot in job.shots] == [True] * 4
    # Where the earlier job is gone, everything is made anew.
    service.store.delete(earlier)
    again = service.submit(film.path, [first, second, third], reuse=earlier, references=places)
    assert service.wait_until_ended(again).status == "succeeded", service.log()
    assert len(service.told("piece_started", again)) == 4


def test_a_long_shot_is_done_in_pieces_that_go_on_with_each_others_colors(
    service: FilmService, make_film: Callable[..., Any], tmp_path: Path
) -> None:
    film = make_film(scenes=((1, 130),), width=64, height=48)
    service.start_workers(2)
    # So large a frame cost that the shortest stretches are made.
    job_id = service.submit(film.path, stills(film, tmp_path, 20), shots="single")
    job = service.wait_until_ended(job_id)
    assert job.status == "succeeded", job.error
    with av.open(str(service.result(job_id))) as container:
        assert len(list(container.decode(video=0))) == 130
    curve = [point["mean"] for point in json.loads(service.result(job_id, "report_json").read_text())["confidence"]]
    assert curve[20] == max(curve)
