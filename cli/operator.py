"""`retint operator`: what whoever runs the service may do with the jobs of everybody."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import format_bytes, say, tell, write_json, write_table
from cli.jobs import AsJson, JobId, StatusFilter, checked_status

if TYPE_CHECKING:
    from jobs.keys import KeyRing
    from jobs.queue import JobQueue
    from jobs.record import Record
    from jobs.repository import JobRepository
    from jobs.store import Store

app = typer.Typer(
    help="See and remove the jobs of all keys: for who runs the service, by its Redis and its store, without a key.",
    no_args_is_help=True,
)


@app.command("jobs")
def list_jobs(
    status: StatusFilter = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """The newest jobs, searches for keyframes and colored pictures of all keys, with the space that each takes."""
    from heapq import merge
    from itertools import islice

    from jobs.record_keys import KINDS

    wanted = checked_status(status)
    with _service() as service:
        kinds = (service.repository.newest(kind, status=wanted) for kind in KINDS)
        newest = merge(*kinds, key=lambda record: record.created_at, reverse=True)
        names = {key.id: key.name for key in service.keys.list()}
        found = [_describe(record, service=service, names=names) for record in islice(newest, limit)]
    if as_json:
        write_json([entry.as_json() for entry in found])
    elif found:
        header = ("JOB", "STATUS", "DONE", "FRAMES", "CREATED", "SIZE", "KEY")
        write_table([entry.as_row() for entry in found], header=header)
    else:
        tell(f"There are no jobs{f' that are {wanted}' if wanted else ''}.")


@app.command()
def delete(job_id: JobId, as_json: AsJson = False) -> None:
    """Remove a job, whosever it is, with its files but those that other jobs share; stop it first where it runs."""
    from jobs.cancellation import delete_job

    with _service() as service:
        size = service.store.size(job_id)
        delete_job(job_id, repository=service.repository, queue=service.queue, store=service.store)
    if as_json:
        write_json({"id": job_id, "deleted": True, "bytes": size})
    else:
        say(f"{job_id} deleted, with {format_bytes(size)} of files")


@dataclass(frozen=True, slots=True)
class _Service:
    repository: "JobRepository"
    queue: "JobQueue"
    store: "Store"
    keys: "KeyRing"


@contextmanager
def _service() -> Iterator[_Service]:
    from cli.redis_access import reachable_redis
    from jobs.connection import connect
    from jobs.keys import KeyRing
    from jobs.queue import JobQueue
    from jobs.repository import JobRepository
    from jobs.settings import Settings
    from jobs.stores import open_store

    settings = Settings()
    with reachable_redis(settings, join=True, create=False) as url:
        redis = connect(url)
        yield _Service(
            repository=JobRepository(redis, settings.queue_name, retention_seconds=settings.retention_seconds),
            queue=JobQueue(redis, settings),
            store=open_store(settings),
            keys=KeyRing(redis, settings.queue_name),
        )


@dataclass(frozen=True, slots=True)
class _Entry:
    record: "Record"
    owner: str
    """Id of its key; empty where none was asked for."""
    key: str | None
    """Name of that key; None where there is none, or none any more."""
    size: int
    """Of its files, in bytes."""

    def as_json(self) -> dict[str, Any]:
        record = self.record
        return {
            "id": record.id,
            "status": record.status,
            "progress": record.progress.model_dump(mode="json"),
            "created_at": record.created_at.isoformat(),
            "bytes": self.size,
            "key": {"id": self.owner, "name": self.key} if self.owner else None,
        }

    def as_row(self) -> tuple[str, ...]:
        record, progress = self.record, self.record.progress
        return (
            record.id,
            record.status,
            f"{progress.fraction:.0%}",
            f"{progress.frames_done}/{progress.frames_total}" if progress.frames_total else "",
            f"{record.created_at:%Y-%m-%d %H:%M:%S}",
            format_bytes(self.size),
            self.key or (f"{self.owner} (revoked)" if self.owner else ""),
        )


def _describe(record: "Record", *, service: _Service, names: dict[str, str]) -> _Entry:
    owner = service.repository.origin(record.id).owner
    return _Entry(record, owner=owner, key=names.get(owner), size=service.store.size(record.id))
