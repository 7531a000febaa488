"""One try at one job, from claiming it to publishing its files. RQ calls `run` in a process of its own."""

import hashlib
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import structlog

from jobs.dispatch import advance
from jobs.errors import Internal, JobCanceled, JobFailure, StorageUnavailable
from jobs.log_context import log_lines_of
from jobs.options import ResultName
from jobs.record import Coloring, Keyframes, Progress, Record, Variant
from jobs.repository import JobRepository
from jobs.store import InputFiles
from jobs.tidying import tidying
from jobs.tracing import open_tracing
from jobs.uploads import drop_unwanted_input
from worker.failures import failures_for_users
from worker.figures import Figures, MeasuredObserver
from worker.keyframes import KeyframesTask
from worker.memory import limit_memory
from worker.outcome import HandOver, Outcome
from worker.persistence import persist
from worker.piece_execution import execute_piece
from worker.reporting import RedisObserver
from worker.store_checkpoints import StoreCheckpoints
from worker.stroke_coloring import StrokesTask
from worker.task import ColorizationTask, Limits, ReferenceFile, VariantFile
from worker.threads import limit_threads
from worker.work import Work, coloring, film, keyframe_search, stroke_coloring
from worker.workplace import ASSIGNMENT, UPLOAD_GONE, Workplace, internal_failure, opened_input

CHUNK_BYTES = 8 * 1024**2

log = structlog.stdlib.get_logger("retint.worker")


def run(job_id: str) -> None:
    """What RQ calls. It returns however the job ends: only a process that dies is tried again."""
    assignment = ASSIGNMENT.get()
    execute(job_id, execution_id=assignment.execution_id, workplace=assignment.workplace)


def run_piece(job_id: str, number: int) -> None:
    """What RQ calls for a piece of a job."""
    assignment = ASSIGNMENT.get()
    execute_piece(job_id, number, execution_id=assignment.execution_id, workplace=assignment.workplace)


def execute(job_id: str, *, execution_id: str, workplace: Workplace) -> None:
    """Do what the job's record wants next: all of a search for keyframes; of a film, plan it and hand its pieces over,
    or put it together. Nothing happens where it has ended already, or is gone."""
    repository = workplace.repository
    claimed = persist(lambda: _claim(job_id, execution_id, repository))
    submission = persist(lambda: repository.origin(job_id))
    with log_lines_of(job_id, submission, execution_id=execution_id):
        if not claimed:
            log.info("job_not_claimed")
            return
        about = {"job.id": job_id, "execution.id": execution_id, "request.id": submission.request_id}
        with (
            open_tracing(workplace.settings, service="retint-worker") as tracing,
            tracing.start("process job", kind="consumer", parent=submission.trace_context, attributes=about) as span,
        ):
            _execute_claimed(job_id, execution_id, workplace, Figures("jobs", tracing=tracing, span=span))


def _claim(job_id: str, execution_id: str, repository: JobRepository) -> bool:
    run, status = repository.pieces.run_of(job_id), repository.status(job_id)
    if status == ("processing", execution_id):
        # Asked again, since the answer to the first time was lost.
        return True
    # Its pieces are through: nobody died, and what is shown of it stays.
    if run and status == ("processing", run):
        return repository.go_on(job_id, run, execution_id)
    return repository.claim(job_id, execution_id)


def _execute_claimed(job_id: str, execution_id: str, workplace: Workplace, figures: Figures) -> None:
    log.info("job_started")
    started = time.monotonic()
    try:
        if _work_and_publish(job_id, execution_id, workplace, figures):
            _drop_unwanted_input(job_id, workplace)
            log.info("job_succeeded", seconds=round(time.monotonic() - started, 2))
    except JobCanceled:
        log.info("job_given_up")
    except JobFailure as failure:
        log.warning("job_failed", code=failure.code, detail=failure.detail)
        _fail(job_id, execution_id, failure, workplace=workplace, figures=figures)
    except Exception:
        if not _is_owned(job_id, execution_id, workplace.repository):
            # Its files were taken away under its hands.
            log.info("job_given_up")
            return
        log.exception("job_failed", code=Internal.code)
        _fail(job_id, execution_id, internal_failure(job_id), workplace=workplace, figures=figures)
    finally:
        figures.ended()
        workplace.store.discard_execution(job_id, execution_id)


def _work_and_publish(job_id: str, execution_id: str, workplace: Workplace, figures: Figures) -> bool:
    """Whether the job is done; False where its pieces are to be done first."""
    settings, repository, store = workplace.settings, workplace.repository, workplace.store
    ready: list[tuple[Path, Variant]] = []
    with failures_for_users(), opened_input(job_id, store) as files:
        work = _work(job_id, execution_id, workplace, files)
        figures.kind = work.kind
        limit_threads(settings.threads)
        limit_memory(settings.memory_bytes, settings.device_memory_bytes)
        observer = RedisObserver(
            repository,
            job_id=job_id,
            execution_id=execution_id,
            options=work.options,
            reference_count=work.reference_count,
            store=store,
        )
        with observer:
            measured = MeasuredObserver(observer, figures)
            outcome = work.do(measured)
            if isinstance(outcome, Outcome):
                measured.entered("publishing")
                ready = [_ready(file, job_id=job_id, check=observer.check) for file in outcome.files]
                paths = [*(path for path, _ in ready), *outcome.pictures]
                store.publish(job_id, execution_id, paths, check=observer.check)
    persist(observer.flush)
    if isinstance(outcome, HandOver):
        # Only now: what the observer says of the whole job is over, and the pieces begin to.
        _hand_over(job_id, execution_id, outcome, workplace, figures)
        return False
    if outcome.keyframes:
        persist(lambda: repository.update(job_id, execution_id, keyframes=outcome.keyframes))
    _finish(job_id, execution_id, [variant for _, variant in ready], workplace, figures)
    if outcome.leftovers:
        with tidying():
            store.drop_kept(job_id, outcome.leftovers)
    return True


def _hand_over(job_id: str, execution_id: str, outcome: HandOver, workplace: Workplace, figures: Figures) -> None:
    repository, queue = workplace.repository, workplace.queue
    if not persist(lambda: repository.pieces.begin(job_id, execution_id, outcome.planned)):
        raise JobCanceled("The job was canceled, or another execution has taken it over.")
    counts = figures.ended()
    persist(lambda: repository.pieces.count(counts, token=execution_id))
    log.info("job_planned", pieces=len(outcome.planned.after), through=len(outcome.planned.through))
    persist(lambda: advance(job_id, repository=repository, queue=queue))


def _finish(
    job_id: str, execution_id: str, variants: Sequence[Variant], workplace: Workplace, figures: Figures
) -> None:
    repository, store = workplace.repository, workplace.store
    progress = _final_progress(persist(lambda: repository.get_record(job_id)))
    counts = figures.ended(frames_per_second=progress.fps)
    finish = partial(repository.finish, job_id, execution_id, variants=variants, progress=progress, counts=counts)
    if not persist(finish):
        # Nobody will ever see them: the record names another execution, or none.
        with tidying():
            store.unpublish(job_id, execution_id)
        raise JobCanceled("The job was canceled, or another execution has taken it over.")
    persist(lambda: repository.pieces.forget(job_id))
    with tidying():
        store.drop_results(job_id, but=execution_id)


def _final_progress(record: Record) -> Progress:
    """All done, at the average speed of the whole job."""
    frames = record.video.frames if record.video is not None else 0
    seconds = (datetime.now(UTC) - record.started_at).total_seconds() if record.started_at is not None else 0.0
    fps = round(frames / seconds, 3) if frames and seconds > 0 else None
    return Progress(fraction=1.0, frames_done=frames, frames_total=frames, fps=fps, eta_seconds=0.0)


def _work(job_id: str, execution_id: str, workplace: Workplace, files: InputFiles) -> Work:
    store, limits = workplace.store, Limits.of(workplace.settings)
    record = persist(lambda: workplace.repository.get_record(job_id))
    names = persist(lambda: workplace.repository.submission(job_id)).reference_names
    if len(files.references) != len(names):
        raise StorageUnavailable(UPLOAD_GONE)
    folder = store.open_execution(job_id, execution_id)
    if isinstance(record, Keyframes):
        return keyframe_search(
            record.id, KeyframesTask(video=files.video, options=record.options, folder=folder, limits=limits)
        )
    if isinstance(record, Coloring):
        (strokes,) = files.references
        return stroke_coloring(StrokesTask(files.video, strokes, options=record.options, folder=folder))
    task = ColorizationTask(
        video=files.video,
        references=tuple(ReferenceFile(name, path) for name, path in zip(names, files.references, strict=True)),
        options=record.options,
        folder=folder,
        limits=limits,
    )
    if workplace.colorize is not None:
        return coloring(task, colorize=workplace.colorize, settings=workplace.settings)
    owns = partial(_is_owned, job_id, execution_id, workplace.repository)
    reuse = record.options.reuse
    return film(
        task,
        checkpoints=StoreCheckpoints(store, job_id, owns=owns),
        # Only read.
        earlier=None if reuse is None else StoreCheckpoints(store, reuse, owns=lambda: False),
        settings=workplace.settings,
    )


def _ready(file: VariantFile, *, job_id: str, check: Callable[[], None]) -> tuple[Path, Variant]:
    """A file under the name that it is published by, and what the record will say of it."""
    digest = hashlib.sha256()
    with file.path.open("rb") as content:
        while chunk := content.read(CHUNK_BYTES):
            check()
            digest.update(chunk)
        size = content.tell()
    variant = Variant(
        name=file.name,
        media_type=file.media_type,
        bytes=size,
        sha256=digest.hexdigest(),
        href=_href(job_id, file.name),
    )
    finished = file.path.parent / "finished"
    finished.mkdir(exist_ok=True)
    return file.path.rename(finished / f"{file.name}{file.path.suffix}"), variant


def _href(record_id: str, name: ResultName) -> str:
    if name == "archive":
        return f"/v1/keyframes/{record_id}/content"
    if name == "picture":
        return f"/v1/colorings/{record_id}/content"
    return f"/v1/jobs/{record_id}/content?variant={name}"


def _is_owned(job_id: str, execution_id: str, repository: JobRepository) -> bool:
    return persist(lambda: repository.status(job_id)) == ("processing", execution_id)


def _fail(job_id: str, execution_id: str, failure: JobFailure, *, workplace: Workplace, figures: Figures) -> None:
    figures.failed(failure.code)
    counts = figures.ended()
    persist(lambda: workplace.repository.fail(job_id, execution_id, failure, counts=counts))
    _drop_unwanted_input(job_id, workplace)


def _drop_unwanted_input(job_id: str, workplace: Workplace) -> None:
    persist(lambda: drop_unwanted_input(job_id, repository=workplace.repository, store=workplace.store))
