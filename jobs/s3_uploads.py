"""Resumable uploads in object storage, for any number of API processes that share nothing else than it and Redis.

    uploads/{id}/data          the bytes, once they are all there; until then the parts that it will be put together of
    uploads/{id}/tail-{...}    the bytes behind the last whole part, where a call ended between two

A part, once it is complete, counts at once, so that a crash costs a client less than one part, and memory never holds
more. Parts are equal, so that a part's number tells its place.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from redis import Redis

from jobs.bucket import MOST_PARTS, Bucket
from jobs.checksum import Checksum, RunningChecksum
from jobs.errors import ChecksumMismatch, StoreAway, UploadNotFound
from jobs.identifiers import checked_upload_id, new_upload_id, upload_not_found
from jobs.object_writer import part_bytes_for
from jobs.resumable import ResumableUpload, UploadInfo, locked, require_finished, too_many_bytes, upload_expired
from jobs.s3_connection import PartsGone
from jobs.s3_store import S3Store, input_video_key
from jobs.settings import Settings
from jobs.upload_records import Lease, UploadRecord, UploadRecords, lost

ORPHAN_AGE = timedelta(hours=2)
"""Objects without a record that are older were left by a process that died."""


class S3Uploads:
    """See `jobs.resumable.ResumableUploads`."""

    def __init__(self, store: S3Store, redis: Redis, settings: Settings) -> None:
        self._bucket = store.bucket
        self._records = UploadRecords(redis, settings.queue_name, expiry_seconds=settings.upload_expiry_seconds)

    def create(self, info: UploadInfo) -> ResumableUpload:
        upload_id = new_upload_id()
        if info.length == 0:
            self._bucket.put(_data(upload_id), b"")
        self._records.create(upload_id, UploadRecord(info, assembled=info.length == 0))
        return self.look(upload_id, viewer=None)

    def look(self, upload_id: str, *, viewer: str | None) -> ResumableUpload:
        record, expires_at = self._read(upload_id, viewer=viewer)
        return ResumableUpload(upload_id, record.info, offset=record.offset, expires_at=expires_at)

    def claim(self, upload_id: str, *, viewer: str | None) -> "S3UploadWriter":
        self._read(upload_id, viewer=viewer)
        lease = self._records.lock(upload_id)
        if lease is None:
            raise locked(upload_id)
        try:
            # Read anew: whoever held it before may have changed it, or removed it.
            record, _ = self._read(upload_id, viewer=viewer)
            return S3UploadWriter(upload_id, record, bucket=self._bucket, records=self._records, lease=lease)
        except BaseException:
            lease.give_up()
            raise

    def ask_for(self, upload_id: str) -> None:
        self._records.want(upload_id)

    def give(self, upload_id: str, job_id: str, *, viewer: str | None) -> ResumableUpload:
        upload = self.look(upload_id, viewer=viewer)
        require_finished(upload)
        if not self._read(upload_id, viewer=viewer)[0].assembled:
            # Whoever brought the last bytes died before it had put them together; claiming does it.
            self.claim(upload_id, viewer=viewer).close()
        try:
            self._bucket.copy(_data(upload_id), input_video_key(job_id))
        except FileNotFoundError:
            raise upload_expired(upload_id) from None
        return upload

    def delete(self, upload_id: str) -> None:
        found = self._records.read(upload_id)
        self._records.delete(upload_id)
        self._remove(upload_id, found[0] if found else None)

    def sweep(self, now: datetime) -> None:
        for upload_id in self._records.due(now):
            lease = self._records.lock(upload_id)
            if lease is not None:
                with closing_lease(lease):
                    self._expire(upload_id, now)
        self._remove_orphans(now)

    def _expire(self, upload_id: str, now: datetime) -> None:
        found = self._records.read(upload_id)
        # It may have grown between the look and the lock.
        if found is not None and found[1] <= now:
            self._records.delete(upload_id, expired_of=found[0].info.owner)
            self._remove(upload_id, found[0])

    def _remove(self, upload_id: str, record: UploadRecord | None) -> None:
        if record is not None and record.parts_id and not record.assembled:
            self._bucket.abort_parts(_data(upload_id), record.parts_id)
        self._bucket.delete([found.key for found in self._bucket.list(_folder(upload_id))])

    def _remove_orphans(self, now: datetime) -> None:
        there = [name for name in self._bucket.folders("uploads/") if _is_ours(name)]
        for upload_id in self._records.unknown(there):
            objects = list(self._bucket.list(_folder(upload_id)))
            if all(now - found.changed_at > ORPHAN_AGE for found in objects):
                self._bucket.delete([found.key for found in objects])
        for parts in self._bucket.list_parts("uploads/"):
            upload_id = parts.key.split("/")[1]
            orphaned = _is_ours(upload_id) and self._records.unknown([upload_id])
            if orphaned and now - self._bucket.last_part_at(parts) > ORPHAN_AGE:
                self._bucket.abort_parts(parts.key, parts.id)

    def _read(self, upload_id: str, *, viewer: str | None) -> tuple[UploadRecord, datetime]:
        found = self._records.read(upload_id)
        if found is None:
            owner = self._records.expired_owner(upload_id)
            if owner is not None and viewer in (None, owner):
                raise upload_expired(upload_id)
            raise upload_not_found(upload_id)
        record, expires_at = found
        if viewer is not None and viewer != record.info.owner:
            raise upload_not_found(upload_id)
        if expires_at <= datetime.now(UTC):
            raise upload_expired(upload_id)
        return found


class S3UploadWriter:
    """An `UploadWriter` that holds less than a part between the storage and its caller."""

    def __init__(
        self, upload_id: str, record: UploadRecord, *, bucket: Bucket, records: UploadRecords, lease: Lease
    ) -> None:
        """Puts the upload together first, where all its bytes are there and whoever brought them died before that."""
        self.length = record.info.length
        self._id = upload_id
        self._bucket = bucket
        self._records = records
        self._lease = lease
        self._lock = threading.Lock()
        self._closed = False
        self._record = record
        self._unverified: RunningChecksum | None = None
        self._part_bytes = part_bytes_for(self.length, most_parts=MOST_PARTS)
        self._start = record.offset
        self._tags = list(record.tags)
        self._buffer: bytearray | None = None
        """Bytes behind the last whole part; None before they are needed."""
        if record.offset == self.length and not record.assembled:
            self._assemble()

    @property
    def offset(self) -> int:
        if self._buffer is None:
            return self._record.offset
        return min(self.length, len(self._tags) * self._part_bytes + len(self._buffer))

    @property
    def bytes_left(self) -> int:
        return self.length - self.offset

    def expect(self, checksum: Checksum) -> None:
        self._unverified = RunningChecksum(checksum)

    def write(self, chunk: bytes) -> None:
        with self._lock:
            if self._closed:
                return
            if self._lease.is_lost:
                raise lost()
            if len(chunk) > self.bytes_left:
                raise too_many_bytes(self.length)
            if self._unverified is not None:
                self._unverified.add(memoryview(chunk))
            if self._buffer is None:
                self._buffer = bytearray(self._bucket.get(self._record.tail) if self._record.tail else b"")
            self._buffer += chunk
            while len(self._buffer) >= self._part_bytes:
                self._send_part(self._buffer, self._part_bytes)

    def finish(self) -> None:
        with self._lock:
            if self._unverified is None or self._closed:
                return
            if not self._unverified.matches():
                raise ChecksumMismatch(
                    f"The {self.offset - self._start:,} bytes of this call do not have the "
                    f"{self._unverified.expected.algorithm} checksum that `Upload-Checksum` gives, so none of them was "
                    f"kept. Send them again, from offset {self._start} on."
                )
            self._unverified = None

    def is_wanted(self) -> bool:
        return self._records.is_wanted(self._id)

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                # Bytes that wait for their checksum never counted; parts sent of them are sent anew, over them.
                if self._unverified is None and self._buffer is not None:
                    self._save(self._buffer)
            finally:
                self._lease.give_up()

    def _send_part(self, buffer: bytearray, length: int) -> None:
        """Send the first bytes of the buffer, which lets go of them where they have arrived and not before."""
        if not self._record.parts_id:
            # Known before the first part is sent, so that they are removed with the upload whatever happens.
            self._change(parts_id=self._bucket.begin_parts(_data(self._id)))
        try:
            part, number = bytes(buffer[:length]), len(self._tags) + 1
            tag = self._bucket.put_part(_data(self._id), self._record.parts_id, number, part)
        except PartsGone as error:
            raise StoreAway(f"The parts of {self._id} were removed from the storage; nothing can be added.") from error
        self._tags.append(tag)
        del buffer[:length]
        if self._unverified is None:
            self._count(tail="")

    def _save(self, rest: bytearray) -> None:
        """Make all that came count; `rest` is what is behind the last part that was sent, and may hold whole parts,
        where sending them has failed."""
        if self.offset < self.length:
            # Under a name of its own: a call that lost its lease cannot spoil it.
            tail = f"{_folder(self._id)}tail-{uuid4().hex}" if rest else ""
            if rest:
                self._bucket.put(tail, bytes(rest))
            self._count(tail=tail)
        elif self._record.parts_id:
            while rest:
                self._send_part(rest, min(len(rest), self._part_bytes))
            self._count(tail="")
            self._assemble()
        else:
            self._bucket.put(_data(self._id), bytes(rest))
            self._count(tail="", assembled=True)

    def _assemble(self) -> None:
        """Put the parts together; nothing happens where that was done before, and only not written down."""
        record = self._record
        self._bucket.complete_parts(_data(self._id), record.parts_id, record.tags, size=self.length)
        self._change(assembled=True)

    def _count(self, *, tail: str, assembled: bool = False) -> None:
        """From here on, what was sent counts."""
        before = self._record.tail
        # What is behind the last part counts only with a tail that holds it.
        offset = self.offset if tail or assembled else min(self.length, len(self._tags) * self._part_bytes)
        self._change(offset=offset, tags=tuple(self._tags), tail=tail, assembled=assembled)
        if before and before != tail:
            self._bucket.delete([before])

    def _change(self, **news: object) -> None:
        changed = replace(self._record, **news)  # type: ignore[arg-type]  # names and types are the record's
        self._records.change(self._id, changed, lease=self._lease)
        self._record = changed


@contextmanager
def closing_lease(lease: Lease) -> Iterator[None]:
    try:
        yield
    finally:
        lease.give_up()


def _folder(upload_id: str) -> str:
    return f"uploads/{checked_upload_id(upload_id)}/"


def _data(upload_id: str) -> str:
    return f"{_folder(upload_id)}data"


def _is_ours(name: str) -> bool:
    """Whether a folder is that of an upload, and not somebody else's."""
    try:
        checked_upload_id(name)
    except UploadNotFound:
        return False
    return True
