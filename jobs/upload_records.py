"""What Redis holds of resumable uploads whose bytes are in object storage, where nothing can be appended to or locked.

The record is the truth about an upload: bytes count once it says so, and only who holds the upload's lock may say so.
"""

import json
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any, cast

from redis import Redis
from redis.exceptions import LockError
from redis.lock import Lock

from jobs.connection import REDIS_AWAY
from jobs.errors import UploadLocked
from jobs.identifiers import checked_upload_id
from jobs.resumable import TOLD_FOR, UploadInfo

LEASE_SECONDS = 15.0
"""A process that died holds an upload that long."""
WANTED_SECONDS = 60


@dataclass(frozen=True, slots=True)
class UploadRecord:
    """An upload as it stands."""

    info: UploadInfo
    offset: int = 0
    """Bytes that are in the storage and count."""
    parts_id: str = ""
    """Of the object that is put together; empty while there is no whole part."""
    tags: tuple[str, ...] = ()
    """Of its parts."""
    tail: str = ""
    """Key of the object with the bytes behind the last whole part; empty where there are none."""
    assembled: bool = False
    """Whether the object is there, whole."""


class Lease:
    """The right to change one upload, renewed until it is given up."""

    def __init__(self, lock: Lock) -> None:
        self._lock = lock
        self._until = time.monotonic() + LEASE_SECONDS
        self._ended = threading.Event()
        threading.Thread(target=self._renew, name="upload lease", daemon=True).start()

    @property
    def token(self) -> bytes:
        return cast("bytes", self._lock.local.token)

    @property
    def is_lost(self) -> bool:
        return self._ended.is_set() or time.monotonic() > self._until

    def give_up(self) -> None:
        self._ended.set()
        with suppress(LockError, *REDIS_AWAY):  # it is lost, or runs out
            self._lock.release()

    def _renew(self) -> None:
        while not self._ended.wait(LEASE_SECONDS / 4):
            begun = time.monotonic()
            try:
                self._lock.reacquire()
                self._until = begun + LEASE_SECONDS
            except LockError:
                self._until = begun
                return
            except REDIS_AWAY:
                continue


class UploadRecords:
    def __init__(self, redis: Redis, prefix: str, *, expiry_seconds: float) -> None:
        self._redis = redis
        self._prefix = prefix
        self._expiry = timedelta(seconds=expiry_seconds)
        self._change = redis.register_script(files("jobs").joinpath("change_upload.lua").read_text())

    def create(self, upload_id: str, record: UploadRecord) -> None:
        key, expires = self._record(upload_id), datetime.now(UTC) + self._expiry
        with self._redis.pipeline() as pipeline:
            pipeline.hset(key, mapping=cast("Any", _encode(record)))
            pipeline.zadd(self._expiries, {upload_id: expires.timestamp()})
            pipeline.execute()

    def read(self, upload_id: str) -> tuple[UploadRecord, datetime] | None:
        """The record and when it expires; None where there is none."""
        with self._redis.pipeline() as pipeline:
            pipeline.hgetall(self._record(upload_id))
            pipeline.zscore(self._expiries, upload_id)
            stored, score = pipeline.execute()
        if not stored or score is None:
            return None
        return _decode(stored), datetime.fromtimestamp(score, UTC)

    def change(self, upload_id: str, record: UploadRecord, *, lease: Lease) -> None:
        """Write how the upload stands now; its time starts anew.

        Raises:
            UploadLocked: the lease was lost; nothing is changed.
        """
        expires = datetime.now(UTC) + self._expiry
        arguments: list[str | bytes | float] = [lease.token, upload_id, expires.timestamp()]
        for name, value in _encode(record).items():
            arguments += [name, value]
        keys = [self._record(upload_id), self._lock(upload_id), self._expiries]
        if lease.is_lost or not self._change(keys=keys, args=arguments):
            raise lost()

    def lock(self, upload_id: str) -> Lease | None:
        """Become the one who may change it; None where another one is."""
        lock = self._redis.lock(self._lock(upload_id), timeout=LEASE_SECONDS, blocking=False, thread_local=False)
        if not lock.acquire():
            return None
        self._redis.delete(self._wanted(upload_id))
        return Lease(lock)

    def want(self, upload_id: str) -> None:
        self._redis.set(self._wanted(upload_id), 1, ex=WANTED_SECONDS)

    def is_wanted(self, upload_id: str) -> bool:
        return bool(self._redis.exists(self._wanted(upload_id)))

    def delete(self, upload_id: str, *, expired_of: str | None = None) -> None:
        """Forget the upload. `expired_of`: the owner, who may be told for a while that it has expired."""
        with self._redis.pipeline() as pipeline:
            if expired_of is not None:
                pipeline.set(self._expired(upload_id), expired_of, ex=TOLD_FOR)
            pipeline.delete(self._record(upload_id))
            pipeline.zrem(self._expiries, upload_id)
            pipeline.execute()

    def expired_owner(self, upload_id: str) -> str | None:
        """Of an upload that has expired lately."""
        owner = cast("bytes | None", self._redis.get(self._expired(upload_id)))
        return None if owner is None else owner.decode()

    def due(self, now: datetime) -> Sequence[str]:
        """Uploads whose time is over."""
        members = cast("Sequence[bytes]", self._redis.zrangebyscore(self._expiries, 0, now.timestamp()))
        return [member.decode() for member in members]

    def unknown(self, ids: Sequence[str]) -> Sequence[str]:
        """Those of `ids` that there is no record of."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for upload_id in ids:
                pipeline.exists(self._record(upload_id))
            return [upload_id for upload_id, known in zip(ids, pipeline.execute(), strict=True) if not known]

    @property
    def _expiries(self) -> str:
        return f"{self._prefix}:uploads"

    def _record(self, upload_id: str) -> str:
        return f"{self._prefix}:upload:{checked_upload_id(upload_id)}"

    def _lock(self, upload_id: str) -> str:
        return f"{self._record(upload_id)}:lock"

    def _wanted(self, upload_id: str) -> str:
        return f"{self._record(upload_id)}:wanted"

    def _expired(self, upload_id: str) -> str:
        return f"{self._record(upload_id)}:expired"


def lost() -> UploadLocked:
    return UploadLocked(
        "Another call has taken this upload over. What came is kept up to some point: ask for the offset with HEAD and "
        "go on from there.",
        retry_after=1,
    )


def _encode(record: UploadRecord) -> dict[str, str]:
    return {
        "info": record.info.model_dump_json(),
        "offset": str(record.offset),
        "parts_id": record.parts_id,
        "tags": json.dumps(record.tags),
        "tail": record.tail,
        "assembled": str(int(record.assembled)),
    }


def _decode(stored: dict[bytes, bytes]) -> UploadRecord:
    return UploadRecord(
        info=UploadInfo.model_validate_json(stored[b"info"]),
        offset=int(stored[b"offset"]),
        parts_id=stored[b"parts_id"].decode(),
        tags=tuple(json.loads(stored[b"tags"])),
        tail=stored[b"tail"].decode(),
        assembled=stored[b"assembled"] == b"1",
    )
