"""Tells the job's record what the pipeline does, and the pipeline what the record says."""

import time
from collections.abc import Callable, Sequence
from typing import TypedDict

from jobs.connection import REDIS_AWAY
from jobs.errors import TimedOut
from jobs.options import ColoringOptions, JobOptions, KeyframeOptions
from jobs.record import ConfidencePoint, Phase, PlacedReference, Progress, Shot, TuningUnderWay, VideoFacts
from jobs.repository import JobRepository
from jobs.store import Store
from worker.deadline import BEFORE_FACTS_SECONDS, seconds_allowed
from worker.pace import Pace
from worker.shown_pictures import ShownPictures
from worker.watching import Watch, kill_this_process

LONGEST_SILENCE_SECONDS = 0.9
"""Without news the progress is written all the same, so that the time left keeps up while a long step runs."""


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


class RedisObserver(Watch):
    """An `Observer` for one execution that owns a record."""

    def __init__(
        self,
        repository: JobRepository,
        *,
        job_id: str,
        execution_id: str,
        options: JobOptions | KeyframeOptions | ColoringOptions,
        reference_count: int,
        store: Store,
        clock: Callable[[], float] = time.monotonic,
        kill: Callable[[], None] = kill_this_process,
    ) -> None:
        super().__init__(job_id=job_id, seconds_allowed=BEFORE_FACTS_SECONDS, clock=clock, kill=kill)
        self._repository = repository
        self._execution_id = execution_id
        self._options = options
        self._reference_count = reference_count
        self._shown = ShownPictures(store, job_id=job_id)
        self._news = _News()
        self._pace = Pace()
        self._advance: _Advance | None = None
        self._written_at = self._started

    # What the pipeline calls

    def entered(self, phase: Phase) -> None:
        with self._lock:
            self._news["phase"] = phase
            self._pace.restart()

    def advanced(self, *, fraction: float, frames_done: int, frames_total: int) -> None:
        with self._lock:
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
        self._shown.add(frame, picture)

    # What the thread does, and whoever ends the job

    def flush(self) -> None:
        """Write what is left to say.

        Raises:
            One of `jobs.connection.REDIS_AWAY`: Redis cannot serve.
        """
        self._note_pictures()
        if self._news:
            self._write_news()

    def _speak(self, now: float) -> bool:
        self._note_pictures()
        with self._lock:
            if not self._news and self._advance is not None and now - self._written_at >= LONGEST_SILENCE_SECONDS:
                self._news["progress"] = self._pace.mark(now, **self._advance)
        return self._write_news() if self._news else self._is_owned()

    def _note_pictures(self) -> None:
        if self._shown.store():
            with self._lock:
                self._news["stills"] = sorted(self._shown.stored)

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

    def _fail(self, failure: TimedOut) -> None:
        self._repository.fail(self._job_id, self._execution_id, failure)
