"""Tells how far a piece of a job is, and the piece whether it is still to be done."""

import time
from collections.abc import Callable, Sequence

from jobs.errors import TimedOut
from jobs.pieces import PieceOwner
from jobs.record import Phase, TuningUnderWay
from jobs.repository import JobRepository
from jobs.store import Store
from worker.progress import COLORING_COST, TUNING_COST
from worker.shown_pictures import ShownPictures
from worker.watching import Watch, kill_this_process

LONGEST_SILENCE_SECONDS = 0.9
CURVE_SECONDS = 2.0
"""Between two looks of a piece at the curve of its film, to which every other piece adds."""


class PieceObserver(Watch):
    """A `worker.progress.Meter` for one execution that owns a piece."""

    def __init__(
        self,
        repository: JobRepository,
        *,
        job_id: str,
        number: int,
        execution_id: str,
        run: str,
        cost: float,
        film_frames: int,
        seconds_allowed: float,
        store: Store,
        on_phase: Callable[[Phase], None],
        clock: Callable[[], float] = time.monotonic,
        kill: Callable[[], None] = kill_this_process,
    ) -> None:
        """`run` is the execution that planned the job; `cost` is the work of the piece; `film_frames` are those of
        the whole film."""
        super().__init__(job_id=job_id, seconds_allowed=seconds_allowed, clock=clock, kill=kill)
        self._repository = repository
        self._number = number
        self._execution_id = execution_id
        self._run_id = run
        self._cost = cost
        self._film_frames = film_frames
        self._on_phase = on_phase
        self._shown = ShownPictures(store, job_id=job_id)
        self._tuning: TuningUnderWay | None = None
        self._work = 0.0
        self._frames = 0
        self._first = 0
        """Frame of the film that the first of `_confidences` is of."""
        self._confidences: list[float] = []
        self._curve_told = 0
        self._curve_told_at = self._started
        self._phase: Phase | None = None
        self._said: tuple[float, int, Phase | None] = (0.0, 0, None)
        self._said_at = self._started

    def restart(self) -> None:
        self._work, self._frames = 0.0, 0
        self._confidences, self._curve_told = [], 0

    def enter(self, phase: Phase) -> None:
        self.check()
        self._phase = phase
        self._on_phase(phase)

    def fed(self) -> None:
        self._advance(COLORING_COST)

    def tuned_step(self) -> None:
        self._advance(TUNING_COST)

    def learned(self, tuning: TuningUnderWay) -> None:
        self._tuning = tuning

    def colored(self, frame: int, *, confidence: float) -> None:
        if not self._confidences:
            self._first = frame
        self._confidences.append(confidence)
        self._frames += 1
        self.check()

    def showed(self, frame: int, picture: bytes) -> None:
        self._shown.add(frame, picture)

    def flush(self) -> None:
        """Show what is left to be shown.

        Raises:
            One of `jobs.connection.REDIS_AWAY`: Redis cannot serve.
        """
        if self._repository.pieces.is_owned(self._job_id, self._number, self._execution_id):
            self._show()

    def _advance(self, work: float) -> None:
        self._work = min(self._cost, self._work + work)
        self.check()

    def _speak(self, now: float) -> bool:
        news = (self._work, self._frames, self._phase)
        if news == self._said and now - self._said_at < LONGEST_SILENCE_SECONDS:
            return self._repository.pieces.is_owned(self._job_id, self._number, self._execution_id)
        work, frames, phase = news
        owned = self._repository.pieces.tell(
            self._job_id, self._number, self._execution_id, work=work, frames=frames, phase=phase
        )
        self._said, self._said_at = news, now
        if owned:
            self._show()
            self._show_confidence(now)
        return owned

    def _show(self) -> None:
        """Tell of pictures and of tuning: of the job, not of the piece, so that the record says it as it stands."""
        if self._shown.store():
            stills = self._repository.pieces.add_stills(self._job_id, self._shown.stored)
            self._repository.update(self._job_id, self._run_id, stills=stills)
        tuning, self._tuning = self._tuning, None
        if tuning is not None:
            self._repository.update(self._job_id, self._run_id, tuning=tuning)

    def _show_confidence(self, now: float) -> None:
        confidences = list(self._confidences)
        if len(confidences) <= self._curve_told or now - self._curve_told_at < CURVE_SECONDS:
            return
        piece = PieceOwner(self._number, self._execution_id)
        add_to_curve(
            self._repository,
            self._job_id,
            self._run_id,
            piece=piece,
            confidences=confidences,
            first=self._first,
            frames=self._film_frames,
        )
        self._curve_told, self._curve_told_at = len(confidences), now

    def _fail(self, failure: TimedOut) -> None:
        self._repository.fail(self._job_id, self._run_id, failure, piece=PieceOwner(self._number, self._execution_id))


def add_to_curve(
    repository: JobRepository,
    job_id: str,
    run: str,
    *,
    piece: PieceOwner,
    confidences: Sequence[float],
    first: int,
    frames: int,
) -> None:
    """Show how sure the colors of a piece are, from frame `first` of a film of `frames` on, beside what other pieces
    told; nothing changes where the piece is not its owner's any more."""
    from worker.report import curve_sums, shown_curve  # loads what a worker's parent process goes without

    sums = curve_sums(confidences, first=first, frames=frames)
    every = repository.pieces.add_confidence(job_id, piece.number, piece.execution_id, sums)
    if every:
        repository.update(job_id, run, confidence=shown_curve(every, frames=frames))
