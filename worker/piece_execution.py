"""One try at one piece of a job, from claiming it to keeping what comes of it."""

import time
from functools import partial
from typing import TYPE_CHECKING

import structlog

from jobs.dispatch import advance
from jobs.errors import Internal, JobCanceled, JobExpired, JobFailure, JobNotFound, WeightsDiffer
from jobs.log_context import log_lines_of
from jobs.pieces import PieceOwner
from jobs.record import Job, Shot
from jobs.tracing import open_tracing
from jobs.uploads import drop_unwanted_input
from worker.deadline import seconds_allowed
from worker.failures import failures_for_users
from worker.figures import Figures
from worker.memory import limit_memory
from worker.persistence import persist
from worker.piece_reporting import PieceObserver, add_to_curve
from worker.store_checkpoints import StoreCheckpoints
from worker.task import ColorizationTask, Limits
from worker.threads import limit_threads
from worker.workplace import Workplace, internal_failure, opened_input

if TYPE_CHECKING:
    from worker.film import Film
    from worker.pieces import Piece

_OTHER_WEIGHTS = (
    "A worker has other weights, or another revision, of the model {model} than the one that planned the film, so that "
    "its colors would not be those of the other shots. Have the operator install the same version and the same weights "
    "on all workers, and try the job again."
)

log = structlog.stdlib.get_logger("retint.worker")


def execute_piece(job_id: str, number: int, *, execution_id: str, workplace: Workplace) -> None:
    """Do a piece of a job; nothing happens where it is through, or not to be done any more.

    However it ends, what can be done next is put into the queue.
    """
    repository, queue = workplace.repository, workplace.queue
    claimed = persist(lambda: repository.pieces.claim(job_id, number, execution_id))
    submission = persist(lambda: repository.origin(job_id))
    with log_lines_of(job_id, submission, execution_id=execution_id, piece=str(number)):
        if claimed:
            about = {"job.id": job_id, "job.piece": str(number), "execution.id": execution_id}
            with (
                open_tracing(workplace.settings, service="retint-worker") as tracing,
                tracing.start(
                    "process piece", kind="consumer", parent=submission.trace_context, attributes=about
                ) as span,
            ):
                _Execution(job_id, number, execution_id, workplace, Figures("jobs", tracing=tracing, span=span)).run()
        else:
            log.info("piece_not_claimed")
        persist(lambda: queue.forget_piece(job_id, number))
        persist(lambda: advance(job_id, repository=repository, queue=queue))


class _Execution:
    def __init__(self, job_id: str, number: int, execution_id: str, workplace: Workplace, figures: Figures) -> None:
        self._job_id = job_id
        self._number = number
        self._execution_id = execution_id
        self._workplace = workplace
        self._repository = workplace.repository
        self._figures = figures
        self._piece = PieceOwner(number, execution_id)
        self._run = persist(lambda: self._repository.pieces.run_of(job_id))

    def run(self) -> None:
        log.info("piece_started")
        started = time.monotonic()
        try:
            with failures_for_users():
                self._do()
            log.info("piece_done", seconds=round(time.monotonic() - started, 2))
        except (JobCanceled, JobNotFound, JobExpired):
            log.info("piece_given_up")
        except JobFailure as failure:
            self._fail(failure)
        except Exception:
            if not self._is_owned():
                # Its files were taken away under its hands.
                log.info("piece_given_up")
                return
            log.exception("piece_failed", code=Internal.code)
            self._fail(internal_failure(self._job_id))
        finally:
            self._figures.ended()
            self._workplace.store.discard_execution(self._job_id, self._execution_id)

    def _do(self) -> None:
        # Imported here: networks come with it.
        from worker.film import Film
        from worker.planning import kept_plan

        settings, store = self._workplace.settings, self._workplace.store
        limit_threads(settings.threads)
        limit_memory(settings.memory_bytes, settings.device_memory_bytes)
        checkpoints = StoreCheckpoints(store, self._job_id, owns=self._is_owned)
        plan = kept_plan(checkpoints)
        if plan is None:
            self._plan_again()
            return
        job = persist(lambda: self._repository.get(self._job_id))
        with opened_input(self._job_id, store) as files:
            folder = store.open_execution(self._job_id, self._execution_id)
            task = ColorizationTask(files.video, (), job.options, folder, Limits.of(settings))
            shot = self._do_piece(Film(task, plan, checkpoints), job)
        self._end(plan.pieces[self._number], shot)

    def _do_piece(self, film: "Film", job: Job) -> Shot | None:
        """Do the piece, and tell how its shot looks with it."""
        from models.base import select_device
        from models.registry import load
        from worker.journal import video_facts
        from worker.notes import keys_through
        from worker.piece_work import do_piece, shown_shot
        from worker.planning import fingerprint_of

        settings, piece = self._workplace.settings, film.plan.pieces[self._number]
        facts = video_facts(film.plan.info).model_copy(update={"frames": piece.frames})
        observer = PieceObserver(
            self._repository,
            job_id=self._job_id,
            number=self._number,
            execution_id=self._execution_id,
            run=self._run,
            cost=piece.cost,
            film_frames=film.plan.info.frames,
            seconds_allowed=seconds_allowed(job.options, facts, references=len(film.plan.references)),
            store=self._workplace.store,
            on_phase=self._figures.entered,
        )
        with observer:
            model = load(
                job.options.model, device=select_device(settings.device), weights_folder=settings.weights_folder
            )
            # Kept by an execution that died before it could say so.
            if piece.key not in keys_through(film.checkpoints.kept()):
                if fingerprint_of(model) != film.plan.weights:
                    raise WeightsDiffer(_OTHER_WEIGHTS.format(model=job.options.model))
                do_piece(piece, film, model=model, meter=observer, scratch=film.task.folder)
            shot = shown_shot(piece, film)
        persist(observer.flush)
        self._show_confidence(piece, film)
        return shot

    def _show_confidence(self, piece: "Piece", film: "Film") -> None:
        from worker.notes import ColoringNotes, read_notes
        from worker.pieces import Coloring

        notes = read_notes(piece, film.checkpoints)
        if isinstance(piece.work, Coloring) and isinstance(notes, ColoringNotes):
            add = partial(
                add_to_curve,
                self._repository,
                self._job_id,
                self._run,
                piece=self._piece,
                confidences=notes.confidences,
                first=piece.work.first,
                frames=film.plan.info.frames,
            )
            persist(add)

    def _end(self, piece: "Piece", shot: Shot | None) -> None:
        self._figures.advanced(piece.frames)
        counts = self._figures.ended()
        tell = partial(self._repository.pieces.tell, self._job_id, self._number, self._execution_id)
        if not persist(lambda: tell(work=piece.cost, frames=piece.frames, shot=shot, through=True)):
            raise JobCanceled("The job was canceled, or another execution has taken it over.")
        persist(lambda: self._repository.pieces.count(counts, token=self._execution_id))

    def _plan_again(self) -> None:
        """The plan is of another version of this program, or gone."""
        repository, queue = self._repository, self._workplace.queue
        if persist(lambda: repository.release(self._job_id, self._run, piece=self._piece)):
            log.warning("job_planned_again")
            persist(lambda: queue.enqueue(self._job_id))

    def _fail(self, failure: JobFailure) -> None:
        self._figures.failed(failure.code)
        counts = self._figures.ended()
        repository, workplace = self._repository, self._workplace
        if not persist(lambda: repository.fail(self._job_id, self._run, failure, piece=self._piece, counts=counts)):
            # Another has the piece, and may do better: this worker's disk or network is not its own.
            log.info("piece_given_up", code=failure.code)
        else:
            log.warning("job_failed", code=failure.code, detail=failure.detail)
            # The others would notice by themselves; those that wait need not begin.
            persist(lambda: workplace.queue.forget_piece(self._job_id, self._number))
            persist(lambda: workplace.queue.stop(self._job_id))
            persist(lambda: drop_unwanted_input(self._job_id, repository=repository, store=workplace.store))

    def _is_owned(self) -> bool:
        return persist(lambda: self._repository.pieces.is_owned(self._job_id, self._number, self._execution_id))
