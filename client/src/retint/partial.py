"""A download on its way: bytes gather in a part file beside the target, which appears whole and checked, or not at all.

The part's name carries the checksum, so that a part is only ever continued with more of the same content.
"""

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import IO

import httpx

from retint.answers import check
from retint.calls import Call
from retint.errors import ChecksumMismatch, NotFound, Problem, RetintError
from retint.local_files import require_no_folder, writing
from retint.models import Task, Variant
from retint.outage import Outage

_PIECE = 1 << 20


def find_variant(job: Task, name: str) -> Variant:
    """Raises:
    NotFound: the job has no such variant, or none yet.
    """
    for variant in job.variants:
        if variant.name == name:
            return variant
    names = ", ".join(variant.name for variant in job.variants) or ("none" if job.finished else "none yet")
    reason = f" {job.error.detail}" if job.error else ""
    raise NotFound(
        Problem(
            status=404,
            code="variant_not_found",
            title="No such variant",
            detail=f"Job {job.id} ({job.status}) has no variant {name}; it has: {names}.{reason}",
            request_id=None,
            errors=(),
        )
    )


class PartialFile:
    """`open` it. Until it is `done`, make the call that it asks for, `write` what comes and `end`, or tell what
    `failed`; then `finish`. `close` it in any case; unfinished, it keeps the part for the next try.

    Raises:
        FileUnwritable: in every step that touches the disk, where the disk does not take it.
    """

    def __init__(self, target: Path, *, variant: Variant, patience: float) -> None:
        self.target = target
        self.variant = variant
        self.size = 0
        """Bytes there already."""
        self.done = False
        """Whether there is nothing left to ask for."""
        self._part = target.with_name(f".{target.name}.{variant.sha256[:16]}.part")
        self._hash = hashlib.sha256()
        self._file: IO[bytes] | None = None
        self._outage = Outage(patience=patience)

    def open(self) -> None:
        """Take up what an earlier try has left."""
        require_no_folder(self.target)
        with writing(self.target):
            self._file = self._part.open("a+b")
            self._file.seek(0)
            while piece := self._file.read(_PIECE):
                self._hash.update(piece)
                self.size += len(piece)
            if self.size > self.variant.bytes:
                self._restart()
        self.done = self.size == self.variant.bytes

    def close(self) -> None:
        if self._file is None:
            return
        # What a full disk did not take is lost here, and asked for again by the next try.
        with suppress(OSError):
            self._file.close()
        if self.size == 0:
            self._part.unlink(missing_ok=True)

    def ask(self) -> Call[None]:
        """For what is missing; never compressed, since ranges and checksum are of the file itself."""
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={self.size}-"} if self.size else {})}
        return Call("GET", self.variant.href, self._begin, headers=headers)

    def write(self, piece: bytes) -> None:
        assert self._file is not None
        with writing(self.target):
            self._file.write(piece)
        self._hash.update(piece)
        self.size += len(piece)
        self._outage.over()

    def end(self) -> None:
        """The answer is over."""
        self.done = True

    def failed(self, error: RetintError) -> float:
        """The seconds to wait before asking for the rest; see `Outage.failed`."""
        return self._outage.failed(error)

    def finish(self) -> Path:
        """Put the file in its place.

        Raises:
            ChecksumMismatch: the bytes are not what the server said; they are thrown away.
        """
        assert self._file is not None
        if self.size != self.variant.bytes or self._hash.hexdigest() != self.variant.sha256:
            self._part.unlink()
            raise ChecksumMismatch(
                f"The download of {self.variant.name} does not match its sha256 and was thrown away; download it again."
            )
        with writing(self.target):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._part.replace(self.target)
        return self.target

    def _begin(self, response: httpx.Response) -> None:
        """An answer that ignored the range starts from zero."""
        check(response)
        if self.size and response.status_code != httpx.codes.PARTIAL_CONTENT:
            self._restart()

    def _restart(self) -> None:
        assert self._file is not None
        with writing(self.target):
            self._file.truncate(0)
        self._hash = hashlib.sha256()
        self.size = 0
