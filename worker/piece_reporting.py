"""Tells how far a piece of a job is, and the piece whether it is still to be done."""

import time
from collections.abc import Callable

from jobs.errors import TimedOut
from jobs.pieces import PieceOwner
from jobs.record import Phase, TuningUnderWay
from jobs.repository import JobRepository
from jobs.store import Store
from worker.progress import COLORING_COST, TUNING_COST
from worker.shown_pictures import ShownPictures
from worker.watching import Watch, kill_this_process

LONGEST_SILENCE_SECONDS = 0.9


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
        seconds_allowed: float,
        store: Store,
        on_phase: Callable[[Phase], None],
        clock: Callable[[], float] = time.monotonic,
        kill: Callable[[], None] = kill_this_process,
    ) -> None:
        """`run` is the execution that planned the job; `cost` is the work of the piece."""
        super().__init__(job_id=job_id, seconds_allowed=seconds_allowed, clock=clock, kill=kill)
        self._repository = repository
        self._number = number
        self._execution_id = execution_id
        self._run_id = run
        self._cost = cost
        self._on_phase = on_phase
        self._shown = ShownPictures(store, job_id=job_id)
        self._tuning: TuningUnderWay | None = None
        self._work = 0.0
        self._frames = 0
        self._phase: Phase | None = None
        self._said: tuple[float, int, Phase | None] = (0.0, 0, None)
        self._said_at = self._started

    def restart(self) -> None:
        self._work, self._frames = 0.0, 0

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

    def colored(self) -> None:
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
        return owned

    def _show(self) -> None:
        """Tell of pictures and of tuning: of the job, not of the piece, so that the record says it as it stands."""
        if self._shown.store():
            stills = self._repository.pieces.add_stills(self._job_id, self._shown.stored)
            self._repository.update(self._job_id, self._run_id, stills=stills)
        tuning, self._tuning = self._tuning, None
        if tuning is not None:
            self._repository.update(self._job_id, self._run_id, tuning=tuning)

    def _fail(self, failure: TimedOut) -> None:
        self._repository.fail(self._job_id, self._run_id, failure, piece=PieceOwner(self._number, self._execution_id))
