"""The records of all jobs and searches for keyframes, in Redis and nowhere else."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from itertools import islice
from typing import Any, cast

from pydantic import TypeAdapter
from redis import Redis

from jobs.admission import Limits, Quota, refusal
from jobs.catalog import CatalogModel, publish_catalog, read_catalog
from jobs.cursor import decode_cursor, encode_cursor
from jobs.errors import IdempotencyKeyInUse, JobExpired, JobFailure, JobNotFound
from jobs.idempotency import KEPT_SECONDS, Lease, Made
from jobs.identifiers import job_not_found
from jobs.metrics import JOB_WAIT
from jobs.options import StrictModel
from jobs.pieces import PieceOwner, Pieces
from jobs.record import (
    Coloring,
    ConfidencePoint,
    Job,
    JobError,
    Keyframe,
    Keyframes,
    Phase,
    PlacedReference,
    Progress,
    Record,
    Shot,
    Status,
    TuningUnderWay,
    Variant,
    VideoFacts,
)
from jobs.record_codec import (
    decode_expiry,
    decode_kind,
    decode_owner,
    decode_place,
    decode_record,
    decode_status,
    decode_submission,
    encode_fields,
    encode_record,
    id_of_member,
    index_member,
    kind_of,
    show_record,
)
from jobs.record_keys import KINDS, Kind, RecordKeys
from jobs.submission import Submission

UNKNOWN = Submission()
NOTHING: Mapping[str, float] = {}
OPEN: tuple[Status, ...] = ("queued", "processing")
_BATCH = 100
_DELETED_EVENTS_SECONDS = 60
"""How long those who watch a record that was deleted may take to notice."""


class JobPage(StrictModel):
    """Some jobs, newest first."""

    data: list[Job]
    has_more: bool
    next: str | None
    """Give it as `after` for the page that follows."""


@dataclass(frozen=True, slots=True)
class Look:
    """A record as it is shown."""

    id: str
    status: Status
    queue_position: int | None
    version: int
    """The number of the last event of its stream; only its place in the queue changes without one."""
    body: bytes
    """JSON."""


class JobRepository:
    """Reads and changes records. Raises one of `jobs.connection.REDIS_AWAY` where Redis cannot serve."""

    def __init__(self, redis: Redis, prefix: str, *, retention_seconds: float = 7 * 24 * 3600) -> None:
        self._redis = redis
        self._prefix = prefix
        self._retention = timedelta(seconds=retention_seconds)
        self._keys = RecordKeys(prefix)
        self.pieces = Pieces(redis, prefix)
        self._create = redis.register_script(files("jobs").joinpath("create.lua").read_text())
        self._places = redis.register_script(files("jobs").joinpath("places.lua").read_text())
        self._transition = redis.register_script(files("jobs").joinpath("transition.lua").read_text())

    # Reading

    def create(
        self,
        record: Record,
        submission: Submission = UNKNOWN,
        *,
        limits: Limits | None = None,
        lease: Lease | None = None,
        fingerprint: str = "",
    ) -> None:
        """Record a new job, or a search for keyframes, and make the idempotency key of `lease` stand for it.

        Raises:
            TooManyJobs, QueueFull: it would be one more than `limits` allow.
            IdempotencyKeyInUse: the lease was lost to another call.
        """
        keys, owner = self._keys, submission.owner
        used = [keys.record(record.id), keys.open, keys.open_of(owner), keys.queued, lease.key if lease else ""]
        used += [keys.metrics, *keys.indices(kind_of(record), owner)]
        arguments: list[str | int] = [record.id, index_member(record.id, record.created_at)]
        arguments += [limits.per_key if limits else "", limits.queued if limits else ""]
        made = Made(record_id=record.id, fingerprint=fingerprint).model_dump_json()
        arguments += [lease.token if lease else "", made, KEPT_SECONDS]
        for name, value in encode_record(record, submission).items():
            arguments += [name, value]
        answer = cast("bytes", self._create(keys=used, args=arguments)).decode()
        if answer == "lost":
            raise IdempotencyKeyInUse("Another call with this `Idempotency-Key` came in between.", retry_after=2)
        if limits and answer != "created":
            quota = Quota("jobs", limits.per_key, 0) if answer == "too_many" else Quota("queue", limits.queued, 0)
            raise refusal(quota)

    def get(self, job_id: str, *, viewer: str | None = None) -> Job:
        """The job as it stands. `viewer`: whose key looks; None may see everybody's.

        Raises:
            JobNotFound: there is none, or it is another owner's.
            JobExpired: there was one; it and its files were removed.
        """
        return cast("Job", self._decode(job_id, kind="jobs", viewer=viewer))

    def get_keyframes(self, record_id: str, *, viewer: str | None = None) -> Keyframes:
        """As `get`, for a request for keyframes."""
        return cast("Keyframes", self._decode(record_id, kind="keyframes", viewer=viewer))

    def get_coloring(self, record_id: str, *, viewer: str | None = None) -> Coloring:
        """As `get`, for a picture that is colored by strokes."""
        return cast("Coloring", self._decode(record_id, kind="colorings", viewer=viewer))

    def get_record(self, record_id: str, *, viewer: str | None = None) -> Record:
        """As `get`, of any kind."""
        return self._decode(record_id, kind=None, viewer=viewer)

    def look(self, record_id: str, *, kind: Kind | None = None, viewer: str | None = None) -> Look:
        """As `get`, for those who show it, and far faster where it is large; of one kind, or of either."""
        stored, position = self._read(record_id, kind=kind, viewer=viewer)
        return Look(
            id=record_id,
            status=cast("Status", stored[b"status"].decode()),
            queue_position=decode_place(stored, position=position),
            version=int(stored[b"version"]),
            body=show_record(record_id, stored, position=position),
        )

    def submission(self, record_id: str) -> Submission:
        """Raises `JobNotFound` where there is no such record."""
        stored = cast("dict[bytes, bytes]", self._redis.hgetall(self._keys.record(record_id)))
        if not stored:
            raise job_not_found(record_id)
        return decode_submission(stored)

    def origin(self, record_id: str) -> Submission:
        """As `submission`; an empty one where the record is gone."""
        try:
            return self.submission(record_id)
        except JobNotFound:
            return UNKNOWN

    def status(self, job_id: str) -> tuple[Status | None, str]:
        """Status, None where there is no such job, and the execution that owns it: cheap, for frequent looks."""
        status, execution = cast(
            "list[bytes | None]", self._redis.hmget(self._keys.record(job_id), ["status", "execution"])
        )
        return decode_status(status, execution)

    def open_statuses(self) -> dict[str, tuple[Status | None, str]]:
        """`status` of every job that is queued or processing, in one go."""
        return self.statuses(sorted(self.open_ids()))

    def statuses(self, ids: Sequence[str]) -> dict[str, tuple[Status | None, str]]:
        """`status` of each, in one go."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for job_id in ids:
                pipeline.hmget(self._keys.record(job_id), ["status", "execution"])
            return {job_id: decode_status(*answer) for job_id, answer in zip(ids, pipeline.execute(), strict=True)}

    def list(
        self, *, status: Status | None = None, limit: int = 20, after: str | None = None, viewer: str | None = None
    ) -> JobPage:
        """Jobs, newest first. A job made meanwhile shifts no page.

        Raises:
            InvalidRequest: `after` is no cursor of this list.
        """
        before = None if after is None else decode_cursor(after)
        jobs = cast("Iterator[Job]", self.newest("jobs", status=status, before=before, viewer=viewer))
        found = tuple(islice(jobs, limit + 1))
        page, has_more = found[:limit], len(found) > limit
        following = encode_cursor(index_member(page[-1].id, page[-1].created_at)) if has_more else None
        return JobPage(data=[*page], has_more=has_more, next=following)

    def newest(
        self, kind: Kind, *, status: Status | None = None, before: bytes | None = None, viewer: str | None = None
    ) -> Iterator[Record]:
        """All of a kind, newest first, read as they are asked for; only those older than the index's entry `before`."""
        index = self._keys.indices(kind, viewer or "")[-1]
        maximum = b"+" if before is None else b"(" + before
        while members := cast(
            "Sequence[bytes]", self._redis.zrevrangebylex(index, cast("Any", maximum), "-", start=0, num=_BATCH)
        ):
            yield from (record for record in self._fetch(members) if status is None or record.status == status)
            maximum = b"(" + members[-1]

    def open_ids(self) -> set[str]:
        """What is queued or processing."""
        return {member.decode() for member in cast("set[bytes]", self._redis.smembers(self._keys.open))}

    def expired_ids(self, *, now: datetime) -> Sequence[str]:
        """What has ended and whose time is over."""
        return [
            member.decode()
            for member in cast("Iterable[bytes]", self._redis.zrangebyscore(self._keys.expiries, 0, now.timestamp()))
        ]

    def ended_ids(self, *, since: datetime) -> Sequence[str]:
        """What ended at `since` or later."""
        expire = (since + self._retention).timestamp()
        members = cast("Iterable[bytes]", self._redis.zrangebyscore(self._keys.expiries, expire, "+inf"))
        return [member.decode() for member in members]

    def all_ids(self) -> set[str]:
        """Everything that there is a record of."""
        members = [cast("list[bytes]", self._redis.zrange(self._keys.indices(kind, "")[0], 0, -1)) for kind in KINDS]
        return {id_of_member(member) for of_kind in members for member in of_kind}

    def exists(self, job_id: str) -> bool:
        return bool(self._redis.exists(self._keys.record(job_id)))

    # Changing

    def claim(self, job_id: str, execution_id: str) -> bool:
        """Make the job this execution's own; False where it has ended or is gone.

        RQ hands a job out again only when it holds the former execution for dead, so the newer one takes over and the
        older, should it still live, finds that it may change nothing.
        """
        fields = {"status": "processing", "started_at": datetime.now(UTC), "phase": None, "progress": Progress()}
        return self._change(job_id, OPEN, fields, new_owner=execution_id)

    def go_on(self, job_id: str, run: str, execution_id: str) -> bool:
        """Make a job, which the execution `run` has planned, this execution's own, to put it together; False where it
        has ended, is gone, or is another's.

        Said again, since the answer to the first time was lost, it is true still.
        """
        done = self._change(job_id, ("processing",), {}, owner=run, new_owner=execution_id)
        return done or self.status(job_id) == ("processing", execution_id)

    def reopen(self, job_id: str) -> bool:
        """Put a job that has failed back to `queued`, and forget its pieces; False where it has not failed, or is
        gone."""
        fields = {
            "status": "queued",
            "phase": None,
            "progress": Progress(),
            "error": None,
            "started_at": None,
            "finished_at": None,
            "expires_at": None,
        }
        return self._change(job_id, ("failed",), fields)

    def release(self, job_id: str, execution_id: str, *, piece: PieceOwner | None = None) -> bool:
        """Put a job whose execution died, or whose plan is of no use, back to `queued`; with `piece`, only while that
        execution has that piece of it."""
        fields = {"status": "queued", "started_at": None, "phase": None, "progress": Progress()}
        return self._change(job_id, ("processing",), fields, owner=execution_id, piece=piece)

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
        keyframes: Sequence[Keyframe] | None = None,
        warnings: Sequence[str] | None = None,
        tuning: TuningUnderWay | None = None,
        confidence: Sequence[ConfidencePoint] | None = None,
        stills: Sequence[int] | None = None,
    ) -> bool:
        """Write what became known; False where the job is no longer this execution's."""
        fields = {
            "phase": phase,
            "progress": progress,
            "video": video,
            "references": references,
            "shots": shots,
            "keyframes": keyframes,
            "warnings": warnings,
            "tuning": tuning,
            "confidence": confidence,
            "stills": stills,
        }
        known = {name: value for name, value in fields.items() if value is not None}
        return self._change(job_id, ("processing",), known, owner=execution_id)

    def finish(
        self,
        job_id: str,
        execution_id: str,
        *,
        variants: Sequence[Variant],
        progress: Progress,
        counts: Mapping[str, float] = NOTHING,
    ) -> bool:
        """The job has succeeded; False where it is no longer this execution's. `counts` are added to the metrics.

        Said again, since the answer to the first time was lost, it is true still.
        """
        fields = self._ending("succeeded") | {"variants": variants, "progress": progress, "phase": None}
        done = self._change(job_id, ("processing",), fields, owner=execution_id, counts=counts)
        return done or self.status(job_id) == ("succeeded", execution_id)

    def fail(
        self,
        job_id: str,
        execution_id: str | None,
        error: JobFailure,
        *,
        piece: PieceOwner | None = None,
        counts: Mapping[str, float] = NOTHING,
    ) -> bool:
        """The job has failed, as its execution says or, with None, whoever owns it; False where it had ended before.

        With `piece` only while that execution has that piece of it: another that has it now may do better. The job
        keeps its phase, which says where it failed. `counts` are added to the metrics.

        Said again of an execution, since the answer to the first time was lost, it is true still.
        """
        failure = JobError(code=error.code, title=error.title, detail=error.detail)
        fields = self._ending("failed") | {"error": failure}
        allowed: tuple[Status, ...] = OPEN if execution_id is None else ("processing",)
        done = self._change(job_id, allowed, fields, owner=execution_id, piece=piece, counts=counts)
        return done or bool(execution_id and self._has_failed(job_id, execution_id, failure))

    def cancel(self, job_id: str) -> bool:
        """The job is canceled; False where it had ended before, or is gone."""
        return self._change(job_id, OPEN, self._ending("canceled") | {"phase": None})

    def delete(self, record_id: str, *, expired: bool = False) -> None:
        """Forget the record; `expired` leaves word of it for as long as its files were kept."""
        key, events = self._keys.record(record_id), self._keys.events(record_id)
        kind, owner, created = cast("list[bytes | None]", self._redis.hmget(key, ["kind", "owner", "created_at"]))
        with self._redis.pipeline() as pipeline:
            if kind is not None and owner is not None and created is not None:
                whose = decode_owner({b"owner": owner})
                member = index_member(record_id, TypeAdapter(datetime).validate_json(created))
                for index in self._keys.indices(cast("Kind", kind.decode()), whose):
                    pipeline.zrem(index, member)
                pipeline.srem(self._keys.open_of(whose), record_id)
                if expired:
                    kept = max(60, int(self._retention.total_seconds()))
                    pipeline.set(self._keys.expired(record_id), whose, ex=kept)
                pipeline.xadd(events, {"deleted": 1})
                pipeline.expire(events, _DELETED_EVENTS_SECONDS)
            pipeline.delete(key)
            pipeline.srem(self._keys.open, record_id)
            pipeline.srem(self._keys.queued, record_id)
            pipeline.zrem(self._keys.expiries, record_id)
            pipeline.delete(self._keys.pieces(record_id), self._keys.piece_marks(record_id))
            pipeline.delete(self._keys.piece_stills(record_id), self._keys.pieces_in_queue(record_id))
            pipeline.execute()

    # What the workers have

    def publish_catalog(self, models: Sequence[CatalogModel]) -> None:
        publish_catalog(self._redis, self._prefix, models)

    def read_catalog(self) -> Sequence[CatalogModel]:
        """Models of the workers; empty where no worker was heard for a while."""
        return read_catalog(self._redis, self._prefix)

    # The rest is how

    def _decode(self, record_id: str, *, kind: Kind | None, viewer: str | None) -> Record:
        stored, position = self._read(record_id, kind=kind, viewer=viewer)
        return decode_record(record_id, stored, position=position)

    def _read(
        self, record_id: str, *, kind: Kind | None, viewer: str | None
    ) -> tuple[Mapping[bytes, bytes], int | None]:
        """What is stored of a record that `viewer` may see, and where it is in the queue."""
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.hgetall(self._keys.record(record_id))
            pipeline.get(self._keys.expired(record_id))
            stored, expired_owner = pipeline.execute()
        if not stored and expired_owner is not None and viewer in (None, expired_owner.decode()):
            raise _expired(record_id)
        if not stored or viewer not in (None, decode_owner(stored)) or kind not in (None, decode_kind(stored)):
            raise job_not_found(record_id)
        if _is_over(decode_expiry(stored)):
            raise _expired(record_id)
        return stored, self._places_of({record_id: stored}).get(record_id)

    def _places_of(self, stored: Mapping[str, Mapping[bytes, bytes]]) -> dict[str, int]:
        """How many wait before each record that is queued."""
        ids = [record_id for record_id, fields in stored.items() if fields.get(b"status") == b"queued"]
        if not ids:
            return {}
        return dict(zip(ids, self._places(keys=[self._keys.queue, self._keys.queued], args=ids), strict=True))

    def _change(
        self,
        job_id: str,
        allowed: Sequence[Status],
        fields: Mapping[str, object],
        *,
        owner: str | None = None,
        new_owner: str = "",
        piece: PieceOwner | None = None,
        counts: Mapping[str, float] = NOTHING,
    ) -> bool:
        if owner == "":
            # Nobody's execution. To the script it would be everybody's.
            return False
        expires_at = fields.get("expires_at")
        expiry = str(expires_at.timestamp()) if isinstance(expires_at, datetime) else ""
        arguments: list[str] = [job_id, json.dumps(allowed), owner or "", new_owner, expiry]
        arguments += [json.dumps(dict(counts)), json.dumps(JOB_WAIT.bound_names)]
        arguments += ["", ""] if piece is None else [str(piece.number), piece.execution_id]
        for name, value in encode_fields(fields).items():
            arguments += [name, value]
        keys = self._keys
        used = [keys.record(job_id), keys.open, keys.expiries, keys.events(job_id), keys.webhooks, keys.queued]
        used += [keys.metrics, keys.pieces(job_id), keys.piece_marks(job_id), keys.piece_stills(job_id)]
        return cast("int", self._transition(keys=used, args=arguments)) == 1

    def _has_failed(self, job_id: str, execution_id: str, failure: JobError) -> bool:
        """Whether the job has failed while it was that execution's, and with that failure."""
        fields = {"status": "failed", "execution": execution_id, **encode_fields({"error": failure})}
        stored = cast("list[bytes | None]", self._redis.hmget(self._keys.record(job_id), list(fields)))
        return stored == [text.encode() for text in fields.values()]

    def _ending(self, status: Status) -> dict[str, object]:
        now = datetime.now(UTC)
        return {"status": status, "finished_at": now, "expires_at": now + self._retention}

    def _fetch(self, members: Sequence[bytes]) -> Sequence[Record]:
        """The records behind entries of an index, without those that are deleted or expired."""
        ids = [id_of_member(member) for member in members]
        with self._redis.pipeline(transaction=False) as pipeline:
            for record_id in ids:
                pipeline.hgetall(self._keys.record(record_id))
            found = {record_id: stored for record_id, stored in zip(ids, pipeline.execute(), strict=True) if stored}
        places = self._places_of(found)
        records = [
            decode_record(record_id, stored, position=places.get(record_id)) for record_id, stored in found.items()
        ]
        return [record for record in records if not _is_over(record.expires_at)]


def _is_over(expires_at: datetime | None) -> bool:
    """Whether the time of a record has come, though housekeeping has not."""
    return expires_at is not None and expires_at <= datetime.now(UTC)


def _expired(record_id: str) -> JobExpired:
    return JobExpired(f"{record_id} has expired: its files were removed. Submit it again.")
