"""Reads the records of all jobs and searches for keyframes; `jobs.repository` changes them too."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from itertools import islice
from typing import Any, cast

from redis import Redis

from jobs.cursor import decode_cursor, encode_cursor
from jobs.errors import JobExpired, JobNotFound
from jobs.identifiers import job_not_found
from jobs.options import StrictModel
from jobs.record import Coloring, Job, Keyframes, Record, Status
from jobs.record_codec import (
    decode_expiry,
    decode_kind,
    decode_owner,
    decode_place,
    decode_record,
    decode_status,
    decode_submission,
    id_of_member,
    index_member,
    show_record,
)
from jobs.record_keys import KINDS, Kind, RecordKeys
from jobs.submission import Submission

UNKNOWN = Submission()
_BATCH = 100


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


class RecordReader:
    """Reads records. Raises one of `jobs.connection.REDIS_AWAY` where Redis cannot serve."""

    def __init__(self, redis: Redis, prefix: str, *, retention_seconds: float) -> None:
        self._redis = redis
        self._retention = timedelta(seconds=retention_seconds)
        self._keys = RecordKeys(prefix)
        self._places = redis.register_script(files("jobs").joinpath("places.lua").read_text())

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
