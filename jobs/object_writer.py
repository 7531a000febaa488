"""Writes one object as its bytes come, in parts; never more than two of them are in memory."""

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Self

from jobs.bucket import PART_BYTES, Bucket
from jobs.errors import StoreAway
from jobs.s3_connection import PartsGone


class ObjectWriter:
    """An `InputWriter` of an object. What is smaller than a part is sent at once; of what is larger, one part is on its
    way while the next one fills."""

    def __init__(self, bucket: Bucket, key: str, *, part_bytes: int = PART_BYTES) -> None:
        self._bucket = bucket
        self._key = key
        self._part_bytes = part_bytes
        self._buffer = bytearray()
        self._parts_id: str | None = None
        self._tags: list[str] = []
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="part")
        self._sent: Future[str] | None = None
        self._open = True
        self.bytes_written = 0

    def write(self, chunk: bytes) -> int:
        if not self._open:
            raise ValueError("The writer is closed.")
        self._buffer += chunk
        self.bytes_written += len(chunk)
        while len(self._buffer) >= self._part_bytes:
            self._send(bytes(self._buffer[: self._part_bytes]))
            del self._buffer[: self._part_bytes]
        return len(chunk)

    def close(self) -> None:
        if not self._open:
            return
        try:
            if self._parts_id is None:
                self._bucket.put(self._key, bytes(self._buffer))
            else:
                if self._buffer:
                    self._send(bytes(self._buffer))
                self._wait()
                self._bucket.complete_parts(self._key, self._parts_id, self._tags, size=self.bytes_written)
        except BaseException:
            self.abort()
            raise
        self._end()

    def abort(self) -> None:
        if not self._open:
            return
        self._end()
        if self._parts_id is not None:
            # Where the storage is away, the sweep removes them later.
            with suppress(StoreAway):
                self._bucket.abort_parts(self._key, self._parts_id)

    def _send(self, part: bytes) -> None:
        if self._parts_id is None:
            self._parts_id = self._bucket.begin_parts(self._key)
        self._wait()
        self._sent = self._sender.submit(self._bucket.put_part, self._key, self._parts_id, len(self._tags) + 1, part)

    def _wait(self) -> None:
        sent, self._sent = self._sent, None
        if sent is not None:
            try:
                self._tags.append(sent.result())
            except PartsGone as error:
                raise StoreAway(f"The parts of {self._key} were removed while it was written.") from error

    def _end(self) -> None:
        self._open = False
        self._buffer.clear()
        # The part under way ends before the parts are removed, or it would be left.
        self._sender.shutdown(wait=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


def part_bytes_for(most_bytes: int, *, most_parts: int) -> int:
    """Bytes per part, a whole number of MiB, so that so many bytes fit in so many parts."""
    mebibytes = -(-most_bytes // (most_parts * 1024**2))
    return max(PART_BYTES, mebibytes * 1024**2)
