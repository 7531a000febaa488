"""What a long job survives: real processes, a real Redis server, the real pipeline on tiny films.

All tests share a Redis server, which some of them stop, and two workers; one that a test kills is replaced.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

from jobs.embedded_redis import embedded_redis
from jobs.housekeeping import sweep
from jobs.record import Job, Phase
from jobs.retrying import retry_job
from tests.service.live_server import eventually, running
from tests.support.film_service import FilmService, is_running, wait_until
from worker.media.decode import open_video
from worker.media.stills import write_png

SCENES = ((1, 12), (2, 12), (3, 12))
SLOW = {"slow": {"colorizing": 0.12}}
"""A piece lasts long enough to be met, and the film no longer than that takes."""

KEPT = 3 * 3 + 1 + 1 + 3
"""Files of such a film: of each piece the film, the comparison and the notes; the picture of the reference, the plan,
two of what was seen, and where the reference was found."""


class RedisServer:
    """One that can be stopped and started again, with what it has written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running = ExitStack()

    def start(self) -> str:
        return self._running.enter_context(embedded_redis(self._folder))

    def stop(self) -> None:
        self._running.close()


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def hall(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FilmService]:
    with FilmService(redis_server.start(), tmp_path_factory.mktemp("data")) as made:
        yield made


@pytest.fixture
def service(hall: FilmService) -> Iterator[FilmService]:
    hall.be()
    hall.have_workers(2)
    yield hall
    for job_id in hall.repository.open_ids():
        hall.cancel(job_id)


@pytest.fixture
def film(make_film: Callable[..., Any]) -> Any:
    return make_film(scenes=SCENES)


@pytest.fixture
def still(film: Any, tmp_path: Path) -> Path:
    path = tmp_path / "3.png"
    write_png(path, film.pictures[3])
    return path


def is_whole(service: FilmService, job_id: str, film: Any) -> bool:
    """Whether the result is the film: every frame of it, its luma untouched."""
    with open_video(service.result(job_id)) as reader:
        lumas = [frame.luma for frame in reader.frames()]
    return len(lumas) == len(film.lumas) and all((one == two).all() for one, two in zip(lumas, film.lumas, strict=True))


def piece_lines(service: FilmService, event: str, job_id: str) -> list[str]:
    """Which pieces the workers tell of, in order of their numbers."""
    return sorted(line.split("piece=")[1].split()[0] for line in service.told(event, job_id))


def colors(job: Job) -> bool:
    return job.phase == "colorizing" and job.progress.frames_done > 0


def both_work(service: FilmService) -> None:
    wait_until(lambda: len(service.horses()) == 2, seconds=60, what="both workers have a piece")


def try_again(service: FilmService, job_id: str) -> None:
    wait_until(lambda: not service.horses(), seconds=30, what="who worked for it is gone")
    retry_job(job_id, repository=service.repository, queue=service.queue)


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


def test_after_a_crash_only_the_piece_that_ran_is_done_again(
    service: FilmService, film: Any, still: Path, tmp_path: Path
) -> None:
    service.be(**SLOW)
    job_id = service.submit(film.path, [still])
    service.wait(job_id, colors)
    both_work(service)
    # What a try leaves that dies while it keeps what it has made.
    (tmp_path / "half").write_bytes(b"half of what was made")
    service.store.keep(job_id, "of.a.failed.try", tmp_path / "half")
    os.kill(next(iter(service.horses().values())), signal.SIGKILL)
    job = service.wait_until_ended(job_id)
    assert job.status == "succeeded", job.error
    assert is_whole(service, job_id, film)
    started = piece_lines(service, "piece_started", job_id)
    assert (set(started), len(started)) == ({"0", "1", "2"}, 4)
    assert piece_lines(service, "piece_done", job_id) == ["0", "1", "2"]
    wait_until(lambda: not any("failed" in name for name in service.store.kept(job_id)), seconds=30, what="it goes")
    assert len(service.store.kept(job_id)) == KEPT


@pytest.mark.usefixtures("housekeeping")
def test_the_piece_of_a_killed_worker_goes_to_another(service: FilmService, film: Any, still: Path) -> None:
    service.be(**SLOW)
    job_id = service.submit(film.path, [still])
    service.wait(job_id, colors)
    both_work(service)
    victim = service.living()[0]
    horse = service.horses()[victim.pid]
    victim.kill()
    victim.wait(5)
    wait_until(lambda: not is_running(horse), seconds=10, what="the process dies with its worker")
    # A lost worker is to be missed within a minute.
    wait_until(lambda: len(service.told("piece_started", job_id)) == 4, seconds=60, what="another has its piece")
    job = service.wait_until_ended(job_id)
    assert job.status == "succeeded", job.error
    assert is_whole(service, job_id, film)
    assert piece_lines(service, "piece_done", job_id) == ["0", "1", "2"]


@pytest.mark.usefixtures("housekeeping")
def test_the_late_result_of_a_frozen_worker_does_not_count(service: FilmService, film: Any, still: Path) -> None:
    service.be(**SLOW)
    job_id = service.submit(film.path, [still])
    service.wait(job_id, colors)
    both_work(service)
    frozen = service.living()[0]
    horse = service.horses()[frozen.pid]
    for process in (frozen.pid, horse):
        os.kill(process, signal.SIGSTOP)
    job = service.wait_until_ended(job_id)
    assert job.status == "succeeded", job.error
    kept = service.result(job_id)
    before = kept.read_bytes()
    for process in (horse, frozen.pid):
        os.kill(process, signal.SIGCONT)
    wait_until(lambda: not is_running(horse), seconds=30, what="the late process gives up")
    assert kept.read_bytes() == before
    assert service.repository.get(job_id) == job
    assert piece_lines(service, "piece_done", job_id) == ["0", "1", "2"]
    # It is a worker like any other again.
    again = service.submit(film.path, [still])
    assert service.wait_until_ended(again).status == "succeeded"


@pytest.mark.usefixtures("housekeeping")
def test_a_piece_whose_workers_all_die_fails_the_job_and_a_retry_goes_on(
    service: FilmService, film: Any, still: Path
) -> None:
    service.be(**SLOW)
    job_id = service.submit(film.path, [still])
    wait_until(lambda: bool(service.told("piece_done", job_id)), seconds=60, what="a piece is through")
    deadline = time.monotonic() + 60
    while (job := service.repository.get(job_id)).finished_at is None:
        assert time.monotonic() < deadline, service.log()
        for horse in service.horses().values():
            os.kill(horse, signal.SIGKILL)
        time.sleep(0.1)
    assert (job.status, job.error.code if job.error else None) == ("failed", "worker_lost")
    done = piece_lines(service, "piece_done", job_id)
    assert 0 < len(done) < 3
    service.be()
    try_again(service, job_id)
    job = service.wait_until_ended(job_id)
    assert job.status == "succeeded", job.error
    assert is_whole(service, job_id, film)
    # A worker may be killed between keeping a piece and telling of it; none is done twice.
    told = piece_lines(service, "piece_done", job_id)
    assert len(told) > len(done)
    assert len(set(told)) == len(told)


def test_a_canceled_job_stops_on_all_workers(service: FilmService, film: Any, still: Path) -> None:
    service.be(**SLOW)
    job_id = service.submit(film.path, [still])
    service.wait(job_id, colors)
    both_work(service)
    horses = [*service.horses().values()]
    service.cancel(job_id)
    # The API promises two seconds; a busy machine may take a few more.
    wait_until(lambda: not any(map(is_running, horses)), seconds=10, what="both processes die")
    assert service.repository.get(job_id).status == "canceled"
    assert service.store.kept(job_id) == []
    assert service.queue.length() == 0


def test_one_piece_that_fails_ends_the_job_with_its_code(
    service: FilmService, film: Any, still: Path, tmp_path: Path
) -> None:
    # Cut off within the last shot, in a way that only decoding finds.
    damaged = tmp_path / "damaged.mkv"
    data = bytearray(film.path.read_bytes())
    start = len(data) * 9 // 10
    data[start : start + 400] = bytes(400)
    damaged.write_bytes(data)
    job_id = service.submit(damaged, [still], shots=[12, 24])
    job = service.wait_until_ended(job_id)
    assert job.error is not None
    assert job.error.code == "video_undecodable"


def test_a_worker_with_other_weights_does_no_piece_of_a_film_and_may_do_all_of_it(
    service: FilmService, film: Any, still: Path
) -> None:
    service.be(**SLOW)
    job_id = service.submit(film.path, [still])
    wait_until(lambda: bool(service.told("piece_done", job_id)), seconds=60, what="a piece is through")
    cut_short = [*service.horses().values()]
    service.be(other_weights=True)
    for horse in cut_short:
        os.kill(horse, signal.SIGKILL)
    job = service.wait_until_ended(job_id)
    assert (job.status, job.error.code if job.error else None) == ("failed", "weights_differ")
    done = piece_lines(service, "piece_done", job_id)
    assert 0 < len(done) < 3
    # Where all have them, the film is planned anew, and made of one color.
    try_again(service, job_id)
    job = service.wait_until_ended(job_id)
    assert job.status == "succeeded", job.error
    assert piece_lines(service, "piece_done", job_id) == sorted([*done, "0", "1", "2"])
    wait_until(lambda: len(service.store.kept(job_id)) == KEPT, seconds=30, what="what the old pieces left goes")


def test_a_redis_that_stops_and_starts_again_in_every_phase_loses_nothing(
    service: FilmService, redis_server: RedisServer, film: Any, still: Path
) -> None:
    url, workers = service.settings.redis_url, service.living()
    slow = {"detecting_shots": 0.1, "tuning": 0.5, "colorizing": 0.12, "encoding": 0.08}
    pace = {**slow, "probing": 3.0, "publishing": 3.0}
    service.be(slow={"probing": pace["probing"]})
    job_id = service.submit(film.path, [still], tuning={"iterations": 8})
    phases: tuple[Phase, ...] = get_args(Phase)
    for phase, following in zip(phases, [*phases[1:], None], strict=True):
        service.wait(job_id, lambda job, phase=phase: job.phase == phase)  # type: ignore[misc]
        # What follows must not pass before it is looked for.
        service.be(slow={name: pace[name] for name in (phase, following) if name is not None})
        # The append-only file is flushed each second.
        time.sleep(1.2)
        redis_server.stop()
        try:
            # Longer than a heartbeat: what works for the job, and the workers, meet it.
            time.sleep(3.5)
        finally:
            assert redis_server.start() == url
    job = service.wait_until_ended(job_id)
    assert job.status == "succeeded", job.error
    assert is_whole(service, job_id, film)
    assert service.living() == workers
    # The tuning, and three shots.
    assert set(piece_lines(service, "piece_done", job_id)) == {"0", "1", "2", "3"}


def test_a_disk_that_is_full_in_every_phase_fails_the_job_as_such_and_a_retry_goes_on(
    service: FilmService, film: Any, still: Path
) -> None:
    job_id = ""
    for phase in get_args(Phase):
        # Full from there on: what comes before has room.
        service.be(full_from=phase)
        if job_id:
            try_again(service, job_id)
        else:
            job_id = service.submit(film.path, [still], tuning={"iterations": 1})
        job = service.wait_until_ended(job_id)
        assert job.error is not None, f"{phase}: {job}"
        assert job.error.code == "storage_full", f"{phase}: {job.error}"
    service.be()
    try_again(service, job_id)
    job = service.wait_until_ended(job_id)
    assert job.status == "succeeded", job.error
    assert is_whole(service, job_id, film)
    done = piece_lines(service, "piece_done", job_id)
    assert len(set(done)) == len(done), "what was done before the disk was full is not done again"


def test_an_api_that_is_killed_loses_neither_uploads_nor_jobs(service: FilmService, film: Any, still: Path) -> None:
    tus = {"Tus-Resumable": "1.0.0"}
    stream = {**tus, "Content-Type": "application/offset+octet-stream"}
    content = os.urandom(3_000_000)
    settings = {"queue_name": service.settings.queue_name}
    url = str(service.settings.redis_url)
    service.be(**SLOW)
    with running(url, service.folder, **settings) as doomed:
        files = {"video": film.path.read_bytes(), "references": (still.name, still.read_bytes(), "image/png")}
        options = {"options": '{"tuning": "off", "output": {"container": "mkv", "codec": "ffv1"}}'}
        answer = doomed.client.post("/v1/jobs", files=files, data=options)
        assert answer.status_code == 202, answer.text
        job_id = answer.json()["id"]
        where = doomed.client.post("/v1/uploads", headers={**tus, "Upload-Length": str(len(content))}).headers[
            "Location"
        ]
        service.wait(job_id, colors)

        def half_then_death() -> Iterator[bytes]:
            yield content[:2_000_000]
            assert eventually(lambda: httpx.get(doomed.client.base_url.join(where)).json()["offset"] > 0, seconds=30)
            os.kill(doomed.pid, signal.SIGKILL)
            yield content[2_000_000:]

        with pytest.raises(httpx.TransportError):
            doomed.client.patch(where, content=half_then_death(), headers={**stream, "Upload-Offset": "0"})
    # Nobody keeps house meanwhile: the workers go on by themselves.
    assert service.wait_until_ended(job_id).status == "succeeded"
    with running(url, service.folder, **settings) as next_one:
        job = next_one.client.get(f"/v1/jobs/{job_id}").json()
        assert job["status"] == "succeeded"
        video = next_one.client.get(f"/v1/jobs/{job_id}/content")
        assert video.content == service.result(job_id).read_bytes()
        # The dead process holds the upload until its lease runs out.
        assert eventually(lambda: next_one.client.head(where, headers=tus).status_code == 200, seconds=60)
        offset = int(next_one.client.head(where, headers=tus).headers["Upload-Offset"])
        assert 0 < offset <= 2_000_000
        answer = next_one.client.patch(
            where, content=content[offset:], headers={**stream, "Upload-Offset": str(offset)}
        )
        assert answer.headers["Upload-Offset"] == str(len(content))
    assert is_whole(service, job_id, film)
    upload = service.settings.store_folder / "uploads" / where.rpartition("/")[2] / "data"
    assert upload.read_bytes() == content
