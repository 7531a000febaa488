"""What a long job survives: real processes, a real Redis server, the real pipeline on tiny films."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jobs.embedded_redis import embedded_redis
from jobs.housekeeping import sweep
from jobs.record import Job
from jobs.retrying import retry_job
from tests.support.film_service import FilmService, is_running, wait_until
from worker.media.decode import open_video
from worker.media.stills import write_png

SCENES = ((1, 12), (2, 12), (3, 12))
SLOW = 0.12
"""Seconds per frame: a piece lasts long enough to be met, and the film no longer than that takes."""


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def service(redis_url: str, tmp_path: Path) -> Iterator[FilmService]:
    with FilmService(redis_url, tmp_path / "data") as made:
        made.redis.flushall()
        yield made


@pytest.fixture
def film(make_film: Callable[..., Any]) -> Any:
    return make_film(scenes=SCENES)


def still(film: Any, folder: Path, frame: int) -> Path:
    path = folder / f"{frame}.png"
    write_png(path, film.pictures[frame])
    return path


def is_whole(service: FilmService, job_id: str, film: Any) -> bool:
    """Whether the result is the film: every frame of it, its luma untouched."""
    with open_video(service.result(job_id)) as reader:
        lumas = [frame.luma for frame in reader.frames()]
    return len(lumas) == len(film.lumas) and all((one == two).all() for one, two in zip(lumas, film.lumas, strict=True))


def piece_lines(service: FilmService, event: str, job_id: str) -> list[str]:
    """Which pieces the workers tell of, in order."""
    return [line.split("piece=")[1].split()[0] for line in service.told(event, job_id)]


def colors(job: Job) -> bool:
    return job.phase == "colorizing" and job.progress.frames_done > 0


def keep_house(service: FilmService, stop: threading.Event) -> None:
    """What the API does beside."""
    while not stop.wait(1.0):
        sweep(service.repository, service.queue, service.store, datetime.now(UTC))


@pytest.fixture
def housekeeping(service: FilmService) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=keep_house, args=(service, stop))
    thread.start()
    yield
    stop.set()
    thread.join()


def test_after_a_crash_only_the_piece_that_ran_is_done_again(service: FilmService, film: Any, tmp_path: Path) -> None:
    service.start_workers(1, seconds_per_frame=SLOW)
    job_id = service.submit(film.path, [still(film, tmp_path, 3)])
    service.wait(job_id, lambda job: job.progress.frames_done > 15)
    [horse] = service.horses().values()
    os.kill(horse, signal.SIGKILL)
    job = service.wait_until_ended(job_id)
    assert job.status == "succeeded", job.error
    assert is_whole(service, job_id, film)
    assert sorted(piece_lines(service, "piece_started", job_id)) == ["0", "1", "1", "2"]
    assert sorted(piece_lines(service, "piece_done", job_id)) == ["0", "1", "2"]


@pytest.mark.usefixtures("housekeeping")
def test_the_piece_of_a_killed_worker_goes_to_another(service: FilmService, film: Any, tmp_path: Path) -> None:
    service.start_workers(2, seconds_per_frame=SLOW)
    job_id = service.submit(film.path, [still(film, tmp_path, 3)])
    service.wait(job_id, colors)
    wait_until(lambda: len(service.horses()) == 2, seconds=20, what="both workers have a piece")
    victim = service.workers[0]
    horse = service.horses()[victim.pid]
    victim.kill()
    victim.wait(5)
    died = time.monotonic()
    wait_until(lambda: not is_running(horse), seconds=2, what="the process dies with its worker")
    job = service.wait_until_ended(job_id)
    assert time.monotonic() - died < 60
    assert job.status == "succeeded", job.error
    assert is_whole(service, job_id, film)
    assert sorted(piece_lines(service, "piece_done", job_id)) == ["0", "1", "2"]


@pytest.mark.usefixtures("housekeeping")
def test_the_late_result_of_a_frozen_worker_does_not_count(service: FilmService, film: Any, tmp_path: Path) -> None:
    service.start_workers(2, seconds_per_frame=SLOW)
    job_id = service.submit(film.path, [still(film, tmp_path, 3)])
    service.wait(job_id, colors)
    wait_until(lambda: len(service.horses()) == 2, seconds=20, what="both workers have a piece")
    frozen = service.workers[0]
    horse = service.horses()[frozen.pid]
    for process in (frozen.pid, horse):
        os.kill(process, signal.SIGSTOP)
    job = service.wait_until_ended(job_id)
    assert job.status == "succeeded", job.error
    kept = service.store.find_result(job_id, service.repository.status(job_id)[1], "video")
    before = kept.read_bytes()  # type: ignore[union-attr]
    for process in (horse, frozen.pid):
        os.kill(process, signal.SIGCONT)
    wait_until(lambda: not is_running(horse), seconds=15, what="the late process gives up")
    assert kept.read_bytes() == before  # type: ignore[union-attr]
    assert service.repository.get(job_id) == job
    assert sorted(piece_lines(service, "piece_done", job_id)) == ["0", "1", "2"]
    # It is a worker like any other again.
    again = service.submit(film.path, [still(film, tmp_path, 3)])
    assert service.wait_until_ended(again).status == "succeeded"


def test_a_piece_whose_workers_all_die_fails_the_job_and_a_retry_goes_on(
    service: FilmService, film: Any, tmp_path: Path
) -> None:
    service.start_workers(1, seconds_per_frame=SLOW)
    job_id = service.submit(film.path, [still(film, tmp_path, 3)])
    # The second piece dies, the third, and the second again, which has the one retry that the settings grant.
    for started in (2, 3, 4):
        wait_until(
            lambda count=started: len(piece_lines(service, "piece_started", job_id)) == count,  # type: ignore[misc]
            seconds=40,
            what=f"{started} pieces were begun",
        )
        [horse] = service.horses().values()
        os.kill(horse, signal.SIGKILL)
        wait_until(lambda gone=horse: not is_running(gone), seconds=5, what="it dies")  # type: ignore[misc]
    job = service.wait_until_ended(job_id)
    assert (job.status, job.error.code if job.error else None) == ("failed", "worker_lost")
    retry_job(job_id, repository=service.repository, queue=service.queue)
    job = service.wait_until_ended(job_id)
    assert job.status == "succeeded", job.error
    assert is_whole(service, job_id, film)
    assert sorted(piece_lines(service, "piece_done", job_id)) == ["0", "1", "2"]


def test_a_canceled_job_stops_on_all_workers_within_two_seconds(
    service: FilmService, film: Any, tmp_path: Path
) -> None:
    service.start_workers(2, seconds_per_frame=SLOW)
    job_id = service.submit(film.path, [still(film, tmp_path, 3)])
    service.wait(job_id, colors)
    wait_until(lambda: len(service.horses()) == 2, seconds=20, what="both workers have a piece")
    horses = [*service.horses().values()]
    service.cancel(job_id)
    wait_until(lambda: not any(map(is_running, horses)), seconds=2, what="both processes die")
    assert service.repository.get(job_id).status == "canceled"
    assert service.store.kept(job_id) == []
    assert service.queue.length() == 0


def test_one_piece_that_fails_ends_the_job_with_its_code(service: FilmService, film: Any, tmp_path: Path) -> None:
    # Cut off within the last shot, in a way that only decoding finds.
    damaged = tmp_path / "damaged.mkv"
    data = bytearray(film.path.read_bytes())
    start = len(data) * 9 // 10
    data[start : start + 400] = bytes(400)
    damaged.write_bytes(data)
    service.start_workers(2)
    job_id = service.submit(damaged, [still(film, tmp_path, 3)], shots=[12, 24])
    job = service.wait_until_ended(job_id)
    assert job.error is not None
    assert job.error.code == "video_undecodable"


@pytest.mark.parametrize("phase", ["detecting_shots", "colorizing", "encoding"])
def test_a_redis_that_stops_and_starts_again_loses_nothing(tmp_path: Path, film: Any, phase: str) -> None:
    folder = tmp_path / "r"
    references = [still(film, tmp_path, 3)]
    with embedded_redis(folder) as url:
        service = FilmService(url, tmp_path / "data")
        # Frames are as slow while they are looked at, and while they are joined, so that every phase can be met.
        service.start_worker(seconds_per_frame=SLOW, RETINT_TEST_SLOW_PHASE=phase)
        job_id = service.submit(film.path, references)
        service.wait(job_id, lambda job: job.phase == phase)
        # The append-only file is flushed each second.
        time.sleep(1.2)
    try:
        time.sleep(4.0)
        with embedded_redis(folder) as again:
            assert again == url
            job = service.wait_until_ended(job_id)
            assert job.status == "succeeded", job.error
            assert is_whole(service, job_id, film)
            done = piece_lines(service, "piece_done", job_id)
            assert sorted(set(done)) == ["0", "1", "2"]
            service.stop_workers()
    finally:
        service.__exit__()


@pytest.mark.parametrize("phase", ["detecting_shots", "colorizing", "encoding"])
def test_a_full_disk_fails_the_job_as_such_and_a_retry_goes_on(
    service: FilmService, film: Any, tmp_path: Path, phase: str
) -> None:
    service.start_worker(RETINT_TEST_FULL_IN=phase, RETINT_TEST_FULL_WHILE=str(tmp_path / "full"))
    (tmp_path / "full").touch()
    job_id = service.submit(film.path, [still(film, tmp_path, 3)])
    job = service.wait_until_ended(job_id)
    assert job.error is not None
    assert job.error.code == "storage_full", job.error
    (tmp_path / "full").unlink()
    retry_job(job_id, repository=service.repository, queue=service.queue)
    job = service.wait_until_ended(job_id)
    assert job.status == "succeeded", job.error
    assert is_whole(service, job_id, film)
    assert sorted(piece_lines(service, "piece_done", job_id)) == ["0", "1", "2"]
