"""The records of all jobs, in Redis and nowhere else.

{prefix}:job:{id}       hash: one field per field of `Job`, JSON; `status`, `execution` and `version` as they are
{prefix}:jobs           sorted set, by time of creation: for listing
{prefix}:open           set: ids of jobs that are queued or processing
{prefix}:expiries       sorted set: ids of ended jobs by the time they expire
{prefix}:expired:{id}   tells for a while that a job was there
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any, cast

from pydantic import TypeAdapter
from redis import Redis
from rq import Queue

from jobs.catalog import CatalogModel, publish_catalog, read_catalog
from jobs.cursor import decode_cursor, encode_cursor
from jobs.errors import JobExpired, JobFailure
from jobs.identifiers import checked_job_id, job_not_found
from jobs.options import StrictModel
from jobs.record import Job, JobError, Phase, PlacedReference, Progress, Shot, Status, Variant, VideoFacts

OPEN: tuple[Status, ...] = ("queued", "processing")
_OWN_FIELDS = {"id", "status", "queue_position"}
_BATCH = 100


class JobPage(StrictModel):
    """Some jobs, newest first."""

    data: list[Job]
    has_more: bool
    next: str | None
    """Give it as `after` for the page that follows."""


class JobRepository:
    """Reads and changes records. Raises one of `jobs.connection.REDIS_AWAY` where Redis cannot serve."""

    def __init__(self, redis: Redis, prefix: str, *, retention_seconds: float = 7 * 24 * 3600) -> None:
        self._redis = redis
        self._prefix = prefix
        self._retention = timedelta(seconds=retention_seconds)
        self._index = f"{prefix}:jobs"
        self._open = f"{prefix}:open"
        self._expiries = f"{prefix}:expiries"
        self._queue_key = f"{Queue.redis_queue_namespace_prefix}{prefix}"
        self._transition = redis.register_script(files("jobs").joinpath("transition.lua").read_text())

    # Reading

    def create(self, job: Job, reference_names: Sequence[str] = ()) -> None:
        """Record a new job, with the file names that its references had, in order."""
        record: dict[str, str | int] = {"status": job.status, "execution": "", "version": 1}
        record |= _encode(job.model_dump(mode="json", exclude=_OWN_FIELDS))
        record["reference_names"] = json.dumps(list(reference_names))
        with self._redis.pipeline() as pipeline:
            pipeline.hset(self._key(job.id), mapping=cast("Any", record))
            pipeline.zadd(self._index, {_index_member(job): 0})
            pipeline.sadd(self._open, job.id)
            pipeline.execute()

    def get(self, job_id: str) -> Job:
        """The job as it stands.

        Raises:
            JobNotFound: there is none.
            JobExpired: there was one; it and its files were removed.
        """
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.hgetall(self._key(job_id))
            pipeline.lpos(self._queue_key, job_id)
            pipeline.exists(f"{self._prefix}:expired:{job_id}")
            record, position, expired = pipeline.execute()
        if expired and not record:
            raise JobExpired(f"Job {job_id} has expired: its files were removed. Submit it again.")
        if not record:
            raise job_not_found(job_id)
        return _decode(job_id, record, position)

    def version(self, job_id: str) -> int:
        """Grows with every change of the record; 0 where there is none."""
        return int(cast("bytes | None", self._redis.hget(self._key(job_id), "version")) or 0)

    def status(self, job_id: str) -> tuple[Status | None, str]:
        """Status, None where there is no such job, and the execution that owns it: cheap, for frequent looks."""
        status, execution = cast("list[bytes | None]", self._redis.hmget(self._key(job_id), ["status", "execution"]))
        return _decode_status(status, execution)

    def open_statuses(self) -> dict[str, tuple[Status | None, str]]:
        """`status` of every job that is queued or processing, in one go."""
        ids = sorted(self.open_ids())
        with self._redis.pipeline(transaction=False) as pipeline:
            for job_id in ids:
                pipeline.hmget(self._key(job_id), ["status", "execution"])
            return {job_id: _decode_status(*answer) for job_id, answer in zip(ids, pipeline.execute(), strict=True)}

    def reference_names(self, job_id: str) -> list[str]:
        names = cast("bytes | None", self._redis.hget(self._key(job_id), "reference_names"))
        return cast("list[str]", json.loads(names)) if names else []

    def list(self, *, status: Status | None = None, limit: int = 20, after: str | None = None) -> JobPage:
        """Newest first. A job made meanwhile shifts no page.

        Raises:
            InvalidRequest: `after` is no cursor of this list.
        """
        found: tuple[Job, ...] = ()
        maximum = b"+" if after is None else b"(" + decode_cursor(after)
        while len(found) <= limit:
            members = cast(
                "Sequence[bytes]",
                self._redis.zrevrangebylex(self._index, cast("Any", maximum), "-", start=0, num=_BATCH),
            )
            if not members:
                break
            found += tuple(job for job in self._fetch(members) if status is None or job.status == status)
            maximum = b"(" + members[-1]
        page, has_more = found[:limit], len(found) > limit
        following = encode_cursor(_index_member(page[-1]).encode()) if has_more and page else None
        return JobPage(data=[*page], has_more=has_more, next=following)

    def open_ids(self) -> set[str]:
        """Jobs that are queued or processing."""
        return {member.decode() for member in cast("set[bytes]", self._redis.smembers(self._open))}

    def expired_ids(self, *, now: datetime) -> Sequence[str]:
        """Ended jobs whose time is over."""
        return [
            member.decode()
            for member in cast("Iterable[bytes]", self._redis.zrangebyscore(self._expiries, 0, now.timestamp()))
        ]

    def ended_ids(self, *, since: datetime) -> Sequence[str]:
        """Jobs that ended at `since` or later."""
        expire = (since + self._retention).timestamp()
        members = cast("Iterable[bytes]", self._redis.zrangebyscore(self._expiries, expire, "+inf"))
        return [member.decode() for member in members]

    def all_ids(self) -> set[str]:
        """Every job that there is a record of."""
        return {_id_of(member) for member in cast("Iterable[bytes]", self._redis.zrange(self._index, 0, -1))}

    def exists(self, job_id: str) -> bool:
        return bool(self._redis.exists(self._key(job_id)))

    # Changing

    def claim(self, job_id: str, execution_id: str) -> bool:
        """Make the job this execution's own; False where it has ended or is gone.

        RQ hands a job out again only when it holds the former execution for dead, so the newer one takes over and the
        older, should it still live, finds that it may change nothing.
        """
        fields = {"status": "processing", "started_at": datetime.now(UTC), "phase": None, "progress": Progress()}
        return self._change(job_id, OPEN, fields, new_owner=execution_id)

    def release(self, job_id: str, execution_id: str) -> bool:
        """Put a job whose execution died back to `queued`."""
        fields = {"status": "queued", "started_at": None, "phase": None, "progress": Progress()}
        return self._change(job_id, ("processing",), fields, owner=execution_id)

    def update(
        self,
        job_id: str,
        execution_id: str,
        *,
        phase: Phase | None = None,
        progress: Progress | None = None,
        video: VideoFacts | None = None,
        references: Sequence[PlacedReference] | None = None,
        shots: Sequence[Shot] | None = None,
        warnings: Sequence[str] | None = None,
    ) -> bool:
        """Write what became known; False where the job is no longer this execution's."""
        fields = {
            "phase": phase,
            "progress": progress,
            "video": video,
            "references": references,
            "shots": shots,
            "warnings": warnings,
        }
        known = {name: value for name, value in fields.items() if value is not None}
        return self._change(job_id, ("processing",), known, owner=execution_id)

    def finish(self, job_id: str, execution_id: str, *, variants: Sequence[Variant], progress: Progress) -> bool:
        """The job has succeeded; False where it is no longer this execution's.

        Said again, since the answer to the first time was lost, it is true still.
        """
        fields = self._ending("succeeded") | {"variants": variants, "progress": progress, "phase": None}
        done = self._change(job_id, ("processing",), fields, owner=execution_id)
        return done or self.status(job_id) == ("succeeded", execution_id)

    def fail(self, job_id: str, execution_id: str | None, error: JobFailure) -> bool:
        """The job has failed, as its execution says or, with None, whoever owns it; False where it had ended before.

        It keeps its phase, which says where it failed.
        """
        failure = JobError(code=error.code, title=error.title, detail=error.detail)
        fields = self._ending("failed") | {"error": failure}
        return self._change(job_id, ("processing",) if execution_id else OPEN, fields, owner=execution_id)

    def cancel(self, job_id: str) -> bool:
        """The job is canceled; False where it had ended before, or is gone."""
        return self._change(job_id, OPEN, self._ending("canceled") | {"phase": None})

    def delete(self, job_id: str, *, expired: bool = False) -> None:
        """Forget the job; `expired` leaves word of it for as long as its files were kept."""
        created = cast("bytes | None", self._redis.hget(self._key(job_id), "created_at"))
        with self._redis.pipeline() as pipeline:
            if created is not None:
                pipeline.zrem(self._index, _member(job_id, TypeAdapter(datetime).validate_json(created)))
            if created is not None and expired:
                pipeline.set(f"{self._prefix}:expired:{job_id}", 1, ex=max(60, int(self._retention.total_seconds())))
            pipeline.delete(self._key(job_id))
            pipeline.srem(self._open, job_id)
            pipeline.zrem(self._expiries, job_id)
            pipeline.execute()

    # What the workers have

    def publish_catalog(self, models: Sequence[CatalogModel]) -> None:
        publish_catalog(self._redis, self._prefix, models)

    def read_catalog(self) -> Sequence[CatalogModel]:
        """Models of the workers; empty where no worker was heard for a while."""
        return read_catalog(self._redis, self._prefix)

    # The rest is how

    def _change(
        self,
        job_id: str,
        allowed: Sequence[Status],
        fields: Mapping[str, object],
        *,
        owner: str | None = None,
        new_owner: str = "",
    ) -> bool:
        expires_at = fields.get("expires_at")
        expiry = str(expires_at.timestamp()) if isinstance(expires_at, datetime) else ""
        arguments: list[str] = [job_id, json.dumps(allowed), owner or "", new_owner, expiry]
        for name, value in _encode(fields).items():
            arguments += [name, value]
        keys = [self._key(job_id), self._open, self._expiries]
        return cast("int", self._transition(keys=keys, args=arguments)) == 1

    def _ending(self, status: Status) -> dict[str, object]:
        now = datetime.now(UTC)
        return {"status": status, "finished_at": now, "expires_at": now + self._retention}

    def _fetch(self, members: Sequence[bytes]) -> Sequence[Job]:
        """The jobs behind entries of the index, without those deleted meanwhile."""
        ids = [_id_of(member) for member in members]
        with self._redis.pipeline(transaction=False) as pipeline:
            for job_id in ids:
                pipeline.hgetall(self._key(job_id))
                pipeline.lpos(self._queue_key, job_id)
            answers = pipeline.execute()
        records = zip(ids, answers[::2], answers[1::2], strict=True)
        return [_decode(job_id, record, position) for job_id, record, position in records if record]

    def _key(self, job_id: str) -> str:
        return f"{self._prefix}:job:{checked_job_id(job_id)}"


def _member(job_id: str, created_at: datetime) -> str:
    return f"{int(created_at.timestamp() * 1_000_000):017d}:{job_id}"


def _id_of(member: bytes) -> str:
    return member.decode().split(":", 1)[1]


def _index_member(job: Job) -> str:
    return _member(job.id, job.created_at)


_ANY: TypeAdapter[Any] = TypeAdapter(Any)


def _encode(fields: Mapping[str, object]) -> dict[str, str]:
    """One JSON text per field; the status stays bare, so that Lua compares it."""
    return {name: str(value) if name == "status" else _ANY.dump_json(value).decode() for name, value in fields.items()}


def _decode_status(status: bytes | None, execution: bytes | None) -> tuple[Status | None, str]:
    return cast("Status | None", status.decode() if status else None), (execution or b"").decode()


def _decode(job_id: str, record: Mapping[bytes, bytes], position: int | None) -> Job:
    values: dict[str, object] = {"id": job_id, "status": record[b"status"].decode()}
    if values["status"] == "queued":
        # In the queue no more, and not claimed yet: a worker is just taking it, so nobody is before it.
        values["queue_position"] = position or 0
    for name in Job.model_fields.keys() - _OWN_FIELDS:
        value = record.get(name.encode())
        if value is not None:
            values[name] = json.loads(value)
    return Job.model_validate(values)
