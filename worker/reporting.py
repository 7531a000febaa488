"""Tells the job's record what the pipeline does, and the pipeline what the record says."""

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, TypedDict

import structlog

from jobs.connection import REDIS_AWAY
from jobs.errors import JobCanceled, RetintError, StoreAway, TimedOut
from jobs.options import JobOptions, KeyframeOptions
from jobs.record import ConfidencePoint, Phase, PlacedReference, Progress, Shot, TuningUnderWay, VideoFacts
from jobs.repository import JobRepository
from jobs.store import Store
from worker.deadline import BEFORE_FACTS_SECONDS, seconds_allowed
from worker.pace import Pace

TICK_SECONDS = 0.25
"""Four writes a second at most, however often the pipeline speaks; and as old as `check` may be."""
PATIENCE_SECONDS = 1.5
"""For the pipeline to reach `check` once the job is not its own any more."""
LONGEST_SILENCE_SECONDS = 0.9
"""Without news the progress is written all the same, so that the time left keeps up while a long step runs."""
UNWINDING_SECONDS = 10.0
"""For it to leave, once it has been told."""
DEADLINE_PATIENCE_SECONDS = 60.0

log = structlog.stdlib.get_logger("retint.worker")


class _Advance(TypedDict):
    fraction: float
    frames_done: int
    frames_total: int


class _News(TypedDict, total=False):
    phase: Phase
    progress: Progress
    video: VideoFacts
    references: Sequence[PlacedReference]
    shots: Sequence[Shot]
    warnings: Sequence[str]
    tuning: TuningUnderWay
    confidence: Sequence[ConfidencePoint]
    stills: Sequence[int]


def kill_this_process() -> None:
    """Without farewell: whatever hangs must not hold it up. The worker that forked it cleans up."""
    os.kill(os.getpid(), signal.SIGKILL)


class RedisObserver:
    """An `Observer` for one execution. As a context manager it runs a thread that ticks four times a second.

    The pipeline's calls only leave news behind, so they never wait for Redis; where Redis is away for a while, the job
    goes on and the news are written later.
    """

    def __init__(
        self,
        repository: JobRepository,
        *,
        job_id: str,
        execution_id: str,
        options: JobOptions | KeyframeOptions,
        reference_count: int,
        store: Store,
        clock: Callable[[], float] = time.monotonic,
        kill: Callable[[], None] = kill_this_process,
    ) -> None:
        self._repository = repository
        self._job_id = job_id
        self._execution_id = execution_id
        self._options = options
        self._reference_count = reference_count
        self._store = store
        self._clock = clock
        self._kill = kill
        self._lock = threading.Lock()
        self._news = _News()
        self._pictures: dict[int, bytes] = {}
        self._stills: set[int] = set()
        self._pace = Pace()
        self._started = clock()
        self._frames = 0
        self._advance: _Advance | None = None
        self._written_at = self._started
        self._deadline = self._started + BEFORE_FACTS_SECONDS
        self._verdict: RetintError | None = None
        self._verdict_at = 0.0
        self._told = False
        self._redis_away = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)

    # What the pipeline calls

    def entered(self, phase: Phase) -> None:
        with self._lock:
            self._news["phase"] = phase
            self._pace.restart()

    def advanced(self, *, fraction: float, frames_done: int, frames_total: int) -> None:
        with self._lock:
            self._frames = frames_total
            self._advance = _Advance(fraction=fraction, frames_done=frames_done, frames_total=frames_total)
            self._news["progress"] = self._pace.mark(self._clock(), **self._advance)

    def learned(
        self,
        *,
        video: VideoFacts | None = None,
        references: Sequence[PlacedReference] | None = None,
        shots: Sequence[Shot] | None = None,
        warnings: Sequence[str] | None = None,
        tuning: TuningUnderWay | None = None,
        confidence: Sequence[ConfidencePoint] | None = None,
    ) -> None:
        with self._lock:
            if video is not None:
                self._news["video"] = video
                allowed = seconds_allowed(self._options, video, references=self._reference_count)
                self._deadline = self._started + allowed
            if references is not None:
                self._news["references"] = tuple(references)
            if shots is not None:
                self._news["shots"] = tuple(shots)
            if warnings is not None:
                self._news["warnings"] = tuple(warnings)
            if tuning is not None:
                self._news["tuning"] = tuning
            if confidence is not None:
                self._news["confidence"] = tuple(confidence)

    def showed(self, frame: int, picture: bytes) -> None:
        with self._lock:
            self._pictures[frame] = picture

    def check(self) -> None:
        if self._verdict is not None:
            self._told = True
            raise self._verdict

    # What the thread does

    def tick(self) -> None:
        """Write the news, look whether the job is still this execution's, and end the process where it hangs."""
        now = self._clock()
        self._break_silence(now)
        self._store_pictures()
        try:
            owned = self._write_news() if self._news else self._is_owned()
            self._redis_away = False
        except REDIS_AWAY as error:
            if not self._redis_away:
                log.warning("redis_away", job_id=self._job_id, cause=str(error))
            self._redis_away, owned = True, True
        if self._verdict is None:
            self._judge(now, owned=owned)
        elif self._is_hung(now):
            self._end_hung_process()

    def flush(self) -> None:
        """Write what is left to say.

        Raises:
            One of `jobs.connection.REDIS_AWAY`: Redis cannot serve.
        """
        self._store_pictures()
        if self._news:
            self._write_news()

    def final_progress(self) -> Progress:
        """All done, at the average speed of the whole job."""
        seconds = self._clock() - self._started
        fps = round(self._frames / seconds, 3) if self._frames and seconds > 0 else None
        return Progress(fraction=1.0, frames_done=self._frames, frames_total=self._frames, fps=fps, eta_seconds=0.0)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        stumbled = False
        while not self._stopping.wait(TICK_SECONDS):
            try:
                self.tick()
                stumbled = False
            except Exception:
                # Without this thread a job has no progress, no end and no deadline. Said once, not four times a second.
                if not stumbled:
                    log.exception("observer_stumbled", job_id=self._job_id)
                stumbled = True

    def _break_silence(self, now: float) -> None:
        with self._lock:
            if not self._news and self._advance is not None and now - self._written_at >= LONGEST_SILENCE_SECONDS:
                self._news["progress"] = self._pace.mark(now, **self._advance)

    def _store_pictures(self) -> None:
        """Put what was shown where it can be fetched, and then say so. A picture that cannot be stored is no reason to
        give up the job."""
        with self._lock:
            pictures, self._pictures = self._pictures, {}
        for frame, picture in pictures.items():
            try:
                self._store.write_still(self._job_id, frame, picture)
            except (OSError, StoreAway) as error:
                log.warning("still_not_stored", job_id=self._job_id, frame=frame, cause=str(error))
                continue
            self._stills.add(frame)
        if pictures:
            with self._lock:
                self._news["stills"] = sorted(self._stills)

    def _write_news(self) -> bool:
        with self._lock:
            news, self._news = self._news, _News()
        try:
            owned = self._repository.update(self._job_id, self._execution_id, **news)
            self._written_at = self._clock()
            return owned
        except REDIS_AWAY:
            with self._lock:
                self._news = _News(**{**news, **self._news})
            raise

    def _is_owned(self) -> bool:
        return self._repository.status(self._job_id) == ("processing", self._execution_id)

    def _judge(self, now: float, *, owned: bool) -> None:
        if not owned:
            self._verdict = JobCanceled("The job was canceled, or another execution has taken it over.")
        elif now > self._deadline:
            hours = (self._deadline - self._started) / 3600
            self._verdict = TimedOut(
                f"The job was stopped after {hours:.1f} hours, far more than its video should need. "
                "Submit it in parts, or with a smaller `working_size`."
            )
        self._verdict_at = now

    def _is_hung(self, now: float) -> bool:
        since = now - self._verdict_at
        if isinstance(self._verdict, TimedOut):
            return since > DEADLINE_PATIENCE_SECONDS
        return since > (UNWINDING_SECONDS if self._told else PATIENCE_SECONDS)

    def _end_hung_process(self) -> None:
        log.warning("execution_hangs", job_id=self._job_id, verdict=str(self._verdict))
        if isinstance(self._verdict, TimedOut):
            try:
                self._repository.fail(self._job_id, self._execution_id, self._verdict)
            except REDIS_AWAY as error:
                # The next tick says it again: killed without a word, the job would only be retried.
                log.warning("redis_away", job_id=self._job_id, cause=str(error))
                return
        self._kill()
