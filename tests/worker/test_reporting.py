import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis.exceptions

from jobs.connection import connect
from jobs.embedded_redis import embedded_redis
from jobs.errors import JobCanceled, TimedOut
from jobs.folder_store import FolderStore
from jobs.options import JobOptions
from jobs.record import Job, VideoFacts
from jobs.repository import JobRepository
from worker.deadline import BEFORE_FACTS_SECONDS, LONGEST_SECONDS, seconds_allowed
from worker.pace import Pace
from worker.reporting import RedisObserver
from worker.watching import DEADLINE_PATIENCE_SECONDS, PATIENCE_SECONDS, UNWINDING_SECONDS

FACTS = VideoFacts(
    width=640, height=360, frames=100, duration_seconds=4.0, frame_rate=25.0, codec="h264", has_audio=False
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """An observer of a claimed job, a clock to turn, and a note of whether it would have killed the process."""

    def __init__(self, repository: JobRepository, store: FolderStore) -> None:
        self.store = store
        self.repository = repository
        self.clock = Clock()
        self.kills = 0
        options = JobOptions()
        repository.create(Job(id="job_1", status="queued", options=options, created_at=datetime.now(UTC)))
        assert repository.claim("job_1", "a")
        self.observer = RedisObserver(
            repository,
            job_id="job_1",
            execution_id="a",
            options=options,
            reference_count=1,
            store=store,
            clock=self.clock,
            kill=self._kill,
        )

    def _kill(self) -> None:
        self.kills += 1

    def tick(self, *, after: float) -> None:
        self.clock.now += after
        self.observer.tick()

    @property
    def job(self) -> Job:
        return self.repository.get("job_1")


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def bench(redis_url: str, tmp_path: Path) -> Iterator[Bench]:
    store = FolderStore(tmp_path / "store")
    store.create("job_1")
    with connect(redis_url) as client:
        client.flushall()
        yield Bench(JobRepository(client, "retint"), store)


def test_news_are_written_at_the_next_tick_and_once(bench: Bench) -> None:
    version = bench.repository.look("job_1").version
    bench.observer.entered("colorizing")
    for frame in range(50):
        bench.observer.advanced(fraction=frame / 100, frames_done=frame, frames_total=100)
    bench.observer.learned(video=FACTS, warnings=["odd"])
    assert bench.repository.look("job_1").version == version
    bench.tick(after=0.25)
    bench.tick(after=0.25)
    assert bench.repository.look("job_1").version == version + 1
    job = bench.job
    assert (job.phase, job.progress.frames_done, job.video, job.warnings) == ("colorizing", 49, FACTS, ["odd"])


def test_the_time_left_keeps_up_while_a_long_step_runs(bench: Bench) -> None:
    bench.observer.advanced(fraction=0.1, frames_done=0, frames_total=100)
    bench.clock.now += 10
    bench.observer.advanced(fraction=0.2, frames_done=0, frames_total=100)
    bench.tick(after=0.25)
    before = bench.job.progress.eta_seconds
    version = bench.repository.look("job_1").version
    for _ in range(8):
        bench.tick(after=0.25)
    assert bench.repository.look("job_1").version == version + 2
    after = bench.job.progress.eta_seconds
    assert before is not None
    assert after is not None
    assert after > before


def test_check_passes_while_the_job_is_its_own(bench: Bench) -> None:
    bench.tick(after=0.25)
    bench.observer.check()
    assert bench.kills == 0


@pytest.mark.parametrize("how", ["canceled", "taken over", "deleted"])
def test_check_says_that_the_job_is_not_its_own_any_more(bench: Bench, how: str) -> None:
    if how == "canceled":
        bench.repository.cancel("job_1")
    elif how == "taken over":
        bench.repository.claim("job_1", "b")
    else:
        bench.repository.delete("job_1")
    bench.tick(after=0.25)
    with pytest.raises(JobCanceled):
        bench.observer.check()


def test_news_of_a_lost_job_change_nothing(bench: Bench) -> None:
    bench.repository.claim("job_1", "b")
    bench.observer.entered("encoding")
    bench.tick(after=0.25)
    assert bench.job.phase is None
    with pytest.raises(JobCanceled):
        bench.observer.check()


def test_a_deaf_process_is_killed_and_a_leaving_one_gets_time(bench: Bench) -> None:
    bench.repository.cancel("job_1")
    bench.tick(after=0.25)
    bench.tick(after=PATIENCE_SECONDS - 0.1)
    assert bench.kills == 0
    with pytest.raises(JobCanceled):
        bench.observer.check()
    bench.tick(after=1.0)
    assert bench.kills == 0
    bench.tick(after=UNWINDING_SECONDS)
    assert bench.kills == 1


def test_a_process_that_never_checks_is_killed_soon(bench: Bench) -> None:
    bench.repository.cancel("job_1")
    bench.tick(after=0.25)
    bench.tick(after=PATIENCE_SECONDS + 0.1)
    assert bench.kills == 1


def test_a_deadline_follows_from_the_video(bench: Bench) -> None:
    bench.observer.learned(video=FACTS)
    allowed = seconds_allowed(JobOptions(), FACTS, references=1)
    bench.tick(after=allowed - 1)
    bench.observer.check()
    bench.tick(after=2)
    with pytest.raises(TimedOut):
        bench.observer.check()
    bench.tick(after=DEADLINE_PATIENCE_SECONDS - 1)
    assert bench.kills == 0
    assert bench.job.status == "processing"
    bench.tick(after=2)
    assert bench.kills == 1
    error = bench.job.error
    assert error is not None
    assert error.code == "timed_out"


def test_before_the_facts_are_known_there_is_a_deadline_too(bench: Bench) -> None:
    bench.tick(after=BEFORE_FACTS_SECONDS + 1)
    with pytest.raises(TimedOut):
        bench.observer.check()


def test_news_wait_for_redis_to_come_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*args: Any, **kwargs: Any) -> bool:
        raise redis.exceptions.ConnectionError("gone")

    with monkeypatch.context() as patched:
        patched.setattr(bench.repository, "update", away)
        patched.setattr(bench.repository, "status", away)
        bench.observer.entered("tuning")
        bench.observer.learned(warnings=["old"])
        bench.tick(after=0.25)
        bench.observer.learned(warnings=["new"])
        bench.tick(after=0.25)
        bench.observer.check()
    bench.tick(after=0.25)
    assert (bench.job.phase, bench.job.warnings) == ("tuning", ["new"])
    assert bench.kills == 0


@pytest.fixture
def full_redis(bench: Bench, redis_url: str) -> Iterator[Callable[[], None]]:
    """Redis with no memory left; call it to free some."""
    with connect(redis_url) as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
        yield lambda: client.config_set("maxmemory", 0)
        client.config_set("maxmemory", 0)


def test_news_wait_for_a_full_redis_to_have_room(bench: Bench, full_redis: Callable[[], None]) -> None:
    bench.observer.entered("tuning")
    bench.tick(after=0.25)
    bench.observer.check()
    full_redis()
    bench.tick(after=0.25)
    assert bench.job.phase == "tuning"


@pytest.mark.usefixtures("full_redis")
def test_a_full_redis_does_not_put_off_the_deadline(bench: Bench) -> None:
    bench.observer.entered("tuning")
    bench.tick(after=BEFORE_FACTS_SECONDS + 1)
    with pytest.raises(TimedOut):
        bench.observer.check()


def test_the_thread_outlives_what_nobody_expected(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    second = threading.Event()
    ticks = 0

    def stumble() -> None:
        nonlocal ticks
        ticks += 1
        if ticks == 2:
            second.set()
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("worker.watching.TICK_SECONDS", 0.001)
    monkeypatch.setattr(bench.observer, "tick", stumble)
    with bench.observer:
        assert second.wait(10)


def test_pace_is_that_of_the_last_half_minute() -> None:
    pace = Pace()
    pace.mark(0.0, fraction=0.0, frames_done=0, frames_total=1000)
    for second in range(1, 101):
        progress = pace.mark(float(second), fraction=second / 1000, frames_done=second, frames_total=1000)
    for quarter in range(1, 161):
        progress = pace.mark(100 + quarter / 4, fraction=0.1 + quarter / 400, frames_done=100, frames_total=1000)
    assert progress.fps is None
    assert progress.eta_seconds == pytest.approx((1 - 0.5) / 0.01, rel=0.02)


def test_pace_says_nothing_at_first() -> None:
    pace = Pace()
    progress = pace.mark(0.0, fraction=0.1, frames_done=3, frames_total=10)
    assert (progress.fps, progress.eta_seconds) == (None, None)
    progress = pace.mark(1.0, fraction=0.2, frames_done=5, frames_total=10)
    assert progress.fps == pytest.approx(2.0)
    assert progress.eta_seconds == pytest.approx(8.0)


def test_a_deadline_grows_with_the_work_and_ends() -> None:
    def allowed(frames: int, **options: Any) -> float:
        facts = FACTS.model_copy(update={"frames": frames})
        return seconds_allowed(JobOptions(**options), facts, references=1)

    assert allowed(100) < allowed(1000) < allowed(1000, model="deepremaster")
    assert allowed(1000) < allowed(1000, working_size=1080)
    assert allowed(1000, tuning="off") < allowed(1000, tuning="quality")
    assert allowed(500_000, model="deepremaster", working_size=1080) == LONGEST_SECONDS


def test_the_thread_ends_with_the_execution(bench: Bench, tmp_path: Path) -> None:
    with bench.observer as observer:
        observer.entered("probing")
    observer.flush()
    assert bench.job.phase == "probing"


def test_steps_that_a_tuning_skipped_are_not_taken_for_speed() -> None:
    pace = Pace()
    pace.mark(0.0, fraction=0.01, frames_done=0, frames_total=240)
    pace.mark(1.0, fraction=0.6, frames_done=0, frames_total=240)
    pace.restart()
    pace.mark(2.0, fraction=0.6, frames_done=0, frames_total=240)
    progress = pace.mark(4.0, fraction=0.65, frames_done=30, frames_total=240)
    assert progress.eta_seconds == pytest.approx(14.0)
    assert progress.fps == pytest.approx(15.0)


def test_pictures_are_stored_before_the_record_says_that_they_are_there(bench: Bench) -> None:
    bench.observer.showed(12, b"second")
    bench.observer.showed(0, b"first")
    bench.tick(after=1)
    assert bench.repository.get("job_1").stills == [0, 12]
    assert [bench.store.read_still("job_1", frame) for frame in (0, 12)] == [b"first", b"second"]


def test_a_picture_that_cannot_be_stored_costs_the_job_nothing(bench: Bench) -> None:
    bench.store.delete("job_1")
    bench.observer.showed(12, b"picture")
    bench.tick(after=1)
    assert bench.repository.get("job_1").stills == []
    bench.observer.check()
