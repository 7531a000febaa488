"""One try at one job, from claiming it to publishing its files. RQ calls `run` in a process of its own."""

import hashlib
import os
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import structlog

from jobs.connection import REDIS_AWAY
from jobs.errors import Internal, JobCanceled, JobFailure
from jobs.record import Variant
from jobs.repository import JobRepository
from jobs.settings import Settings
from jobs.store import FolderStore
from jobs.uploads import drop_unwanted_input
from worker.failures import failures_for_users
from worker.observer import Observer
from worker.reporting import RedisObserver
from worker.task import ColorizationTask, Limits, ReferenceFile, VariantFile
from worker.threads import limit_threads

CHUNK_BYTES = 8 * 1024**2
PERSISTENCE_SECONDS = 300.0
"""How long an execution tries to say how it ended while Redis is away."""

log = structlog.stdlib.get_logger("retint.worker")
T = TypeVar("T")


class Colorize(Protocol):
    """`worker.pipeline.colorize_video`, or what a test puts in its place."""

    def __call__(
        self, task: ColorizationTask, *, observer: Observer, device: str, weights_folder: Path
    ) -> tuple[VariantFile, ...]: ...


@dataclass(frozen=True, slots=True)
class Workplace:
    """What every execution of a worker works with."""

    settings: Settings
    repository: JobRepository
    store: FolderStore
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
    repository, store = workplace.repository, workplace.store
    with structlog.contextvars.bound_contextvars(job_id=job_id, execution_id=execution_id):
        if not _persist(lambda: repository.claim(job_id, execution_id)):
            log.info("job_not_claimed")
            return
        log.info("job_started")
        started = time.monotonic()
        try:
            _colorize_and_publish(job_id, execution_id, workplace)
            _drop_unwanted_input(job_id, workplace)
            log.info("job_succeeded", seconds=round(time.monotonic() - started, 2))
        except JobCanceled:
            log.info("job_given_up")
        except JobFailure as failure:
            log.warning("job_failed", code=failure.code, detail=failure.detail)
            _fail(job_id, execution_id, failure, workplace=workplace)
        except Exception:
            if not _is_owned(job_id, execution_id, repository):
                # Its files were taken away under its hands.
                log.info("job_given_up")
                return
            log.exception("job_failed", code=Internal.code)
            _fail(job_id, execution_id, _internal(job_id), workplace=workplace)
        finally:
            store.discard_execution(job_id, execution_id)


def _colorize_and_publish(job_id: str, execution_id: str, workplace: Workplace) -> None:
    settings, repository, store = workplace.settings, workplace.repository, workplace.store
    with failures_for_users():
        task = _task(job_id, execution_id, workplace)
        limit_threads(settings.threads)
        observer = RedisObserver(
            repository,
            job_id=job_id,
            execution_id=execution_id,
            options=task.options,
            reference_count=len(task.references),
        )
        with observer:
            files = workplace.colorize(
                task, observer=observer, device=settings.device, weights_folder=settings.weights_folder
            )
            observer.entered("publishing")
            finished = store.finished_folder(job_id, execution_id)
            variants = [_finish_file(file, into=finished, job_id=job_id, check=observer.check) for file in files]
    _persist(observer.flush)
    if not store.publish(job_id, execution_id, owns=lambda: _is_owned(job_id, execution_id, repository)):
        raise JobCanceled("The job was canceled, or another execution has taken it over.")
    progress = observer.final_progress()
    if not _persist(lambda: repository.finish(job_id, execution_id, variants=variants, progress=progress)):
        raise JobCanceled("The job was canceled while its files were published.")


def _task(job_id: str, execution_id: str, workplace: Workplace) -> ColorizationTask:
    settings, store = workplace.settings, workplace.store
    job = _persist(lambda: workplace.repository.get(job_id))
    names = _persist(lambda: workplace.repository.submission(job_id)).reference_names
    video, references = store.input_video(job_id), store.input_references(job_id)
    if not video.is_file() or len(references) != len(names):
        raise Internal("The job's upload is not in the store any more. Submit the job again.")
    return ColorizationTask(
        video=video,
        references=tuple(ReferenceFile(name, path) for name, path in zip(names, references, strict=True)),
        options=job.options,
        folder=store.open_execution(job_id, execution_id),
        limits=Limits.of(settings),
    )


def _finish_file(file: VariantFile, *, into: Path, job_id: str, check: Callable[[], None]) -> Variant:
    """Move a file to where it is published from, with its size and checksum."""
    digest = hashlib.sha256()
    with file.path.open("rb") as content:
        while chunk := content.read(CHUNK_BYTES):
            check()
            digest.update(chunk)
        # On the disk before the record says that it is there.
        os.fsync(content.fileno())
        size = content.tell()
    file.path.rename(into / f"{file.name}{file.path.suffix}")
    return Variant(
        name=file.name,
        media_type=file.media_type,
        bytes=size,
        sha256=digest.hexdigest(),
        href=f"/v1/jobs/{job_id}/content?variant={file.name}",
    )


def _is_owned(job_id: str, execution_id: str, repository: JobRepository) -> bool:
    return _persist(lambda: repository.status(job_id)) == ("processing", execution_id)


def _fail(job_id: str, execution_id: str, failure: JobFailure, *, workplace: Workplace) -> None:
    _persist(lambda: workplace.repository.fail(job_id, execution_id, failure))
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
