"""One try at one job, from claiming it to publishing its files. RQ calls `run` in a process of its own."""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from jobs.connection import REDIS_AWAY
from jobs.errors import Internal, JobCanceled, JobFailure
from jobs.log_context import log_lines_of
from jobs.options import ResultName
from jobs.record import Keyframes, Variant
from jobs.repository import JobRepository
from jobs.settings import Settings
from jobs.store import InputFiles, Store
from jobs.tracing import open_tracing
from jobs.uploads import drop_unwanted_input
from worker.failures import failures_for_users
from worker.figures import Figures, MeasuredObserver
from worker.keyframes import KeyframesTask
from worker.reporting import RedisObserver
from worker.task import ColorizationTask, Limits, ReferenceFile, VariantFile
from worker.threads import limit_threads
from worker.work import Colorize, Work, coloring, keyframe_search

CHUNK_BYTES = 8 * 1024**2
PERSISTENCE_SECONDS = 300.0
"""How long an execution tries to say how it ended while Redis is away."""

UPLOAD_GONE = "The job's upload is not in the store any more. Submit the job again."

log = structlog.stdlib.get_logger("retint.worker")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Workplace:
    """What every execution of a worker works with."""

    settings: Settings
    repository: JobRepository
    store: Store
    colorize: Colorize


@dataclass(frozen=True, slots=True)
class Assignment:
    """What RQ cannot hand over, since it calls a function by name with ids alone."""

    execution_id: str
    workplace: Workplace


ASSIGNMENT: ContextVar[Assignment] = ContextVar("assignment")
"""Set by the worker in the process that it forks for an execution, and never elsewhere."""


def run(job_id: str) -> None:
    """What RQ calls. It returns however the job ends: only a process that dies is tried again."""
    assignment = ASSIGNMENT.get()
    execute(job_id, execution_id=assignment.execution_id, workplace=assignment.workplace)


def execute(job_id: str, *, execution_id: str, workplace: Workplace) -> None:
    """Do the job and record how it ended; nothing happens where it has ended already, or is gone."""
    repository = workplace.repository
    claimed = _persist(lambda: repository.claim(job_id, execution_id))
    submission = _persist(lambda: repository.origin(job_id))
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


def _execute_claimed(job_id: str, execution_id: str, workplace: Workplace, figures: Figures) -> None:
    log.info("job_started")
    started = time.monotonic()
    try:
        _work_and_publish(job_id, execution_id, workplace, figures)
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
        _fail(job_id, execution_id, _internal(job_id), workplace=workplace, figures=figures)
    finally:
        figures.ended()
        workplace.store.discard_execution(job_id, execution_id)


def _work_and_publish(job_id: str, execution_id: str, workplace: Workplace, figures: Figures) -> None:
    settings, repository, store = workplace.settings, workplace.repository, workplace.store
    with failures_for_users(), _input(job_id, store) as files:
        work = _work(job_id, execution_id, workplace, files)
        figures.kind = work.kind
        limit_threads(settings.threads)
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
            measured.entered("publishing")
            ready = [_ready(file, job_id=job_id, check=observer.check) for file in outcome.files]
            paths = [*(path for path, _ in ready), *outcome.pictures]
            store.publish(job_id, execution_id, paths, check=observer.check)
    _persist(observer.flush)
    if outcome.keyframes:
        _persist(lambda: repository.update(job_id, execution_id, keyframes=outcome.keyframes))
    progress = observer.final_progress()
    counts = figures.ended(frames_per_second=progress.fps)
    variants = [variant for _, variant in ready]
    finish = partial(repository.finish, job_id, execution_id, variants=variants, progress=progress, counts=counts)
    if not _persist(finish):
        # Nobody will ever see them: the record names another execution, or none.
        store.unpublish(job_id, execution_id)
        raise JobCanceled("The job was canceled, or another execution has taken it over.")
    store.drop_results(job_id, but=execution_id)


@contextmanager
def _input(job_id: str, store: Store) -> Iterator[InputFiles]:
    with ExitStack() as stack:
        try:
            files = stack.enter_context(store.fetch_input(job_id))
        except FileNotFoundError as error:
            raise Internal(UPLOAD_GONE) from error
        yield files


def _work(job_id: str, execution_id: str, workplace: Workplace, files: InputFiles) -> Work:
    store, limits = workplace.store, Limits.of(workplace.settings)
    record = _persist(lambda: workplace.repository.get_record(job_id))
    names = _persist(lambda: workplace.repository.submission(job_id)).reference_names
    if len(files.references) != len(names):
        raise Internal(UPLOAD_GONE)
    folder = store.open_execution(job_id, execution_id)
    if isinstance(record, Keyframes):
        return keyframe_search(
            record.id, KeyframesTask(video=files.video, options=record.options, folder=folder, limits=limits)
        )
    return coloring(
        ColorizationTask(
            video=files.video,
            references=tuple(ReferenceFile(name, path) for name, path in zip(names, files.references, strict=True)),
            options=record.options,
            folder=folder,
            limits=limits,
        ),
        colorize=workplace.colorize,
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
    return f"/v1/jobs/{record_id}/content?variant={name}"


def _is_owned(job_id: str, execution_id: str, repository: JobRepository) -> bool:
    return _persist(lambda: repository.status(job_id)) == ("processing", execution_id)


def _fail(job_id: str, execution_id: str, failure: JobFailure, *, workplace: Workplace, figures: Figures) -> None:
    figures.failed(failure.code)
    counts = figures.ended()
    _persist(lambda: workplace.repository.fail(job_id, execution_id, failure, counts=counts))
    _drop_unwanted_input(job_id, workplace)


def _drop_unwanted_input(job_id: str, workplace: Workplace) -> None:
    _persist(lambda: drop_unwanted_input(job_id, repository=workplace.repository, store=workplace.store))


def _internal(job_id: str) -> Internal:
    return Internal(f"The worker met an error that it does not know; its log says more under {job_id}.")


def _persist(call: Callable[[], T]) -> T:
    """Call until Redis can serve: hours of work must not be lost to a restart of it, or to its memory being full."""
    deadline = time.monotonic() + PERSISTENCE_SECONDS
    while True:
        try:
            return call()
        except REDIS_AWAY:
            if time.monotonic() > deadline:
                raise
            time.sleep(1.0)
