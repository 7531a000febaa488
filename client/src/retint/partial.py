"""A download on its way: bytes gather in a part file beside the target, which appears whole and checked, or not at all.

The part's name carries the checksum, so that a part is only ever continued with more of the same content.
"""

import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import httpx

from retint.errors import ChecksumMismatch, NotFound, Problem
from retint.models import Job, Variant

ATTEMPTS = 5
"""How often in a row a download that gets no further is continued before it fails."""
_PIECE = 1 << 20


def find_variant(job: Job, name: str) -> Variant:
    """Raises:
    NotFound: the job has no such variant, or none yet.
    """
    for variant in job.variants:
        if variant.name == name:
            return variant
    names = ", ".join(variant.name for variant in job.variants) or "none yet"
    raise NotFound(
        Problem(
            status=404,
            code="variant_not_found",
            title="No such variant",
            detail=f"Job {job.id} ({job.status}) has no variant {name}; it has: {names}.",
            request_id=None,
            errors=(),
        )
    )


class PartialFile:
    """Open it, `write` what comes, `finish`. Leaving it unfinished keeps the part for the next try."""

    def __init__(self, target: Path, *, variant: Variant) -> None:
        self.target = Path(target)
        self._variant = variant
        self._part = self.target.with_name(f".{self.target.name}.{variant.sha256[:16]}.part")
        self._hash = hashlib.sha256()
        self._file: IO[bytes]
        self.size = 0
        """Bytes there already."""

    def __enter__(self) -> Self:
        self._file = self._part.open("a+b")
        self._file.seek(0)
        while piece := self._file.read(_PIECE):
            self._hash.update(piece)
            self.size += len(piece)
        if self.size > self._variant.bytes:
            self._restart()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def complete(self) -> bool:
        return self.size >= self._variant.bytes

    def headers(self) -> dict[str, str]:
        """Ask for what is missing; never compressed, since ranges and checksum are of the file itself."""
        return {"Accept-Encoding": "identity", **({"Range": f"bytes={self.size}-"} if self.size else {})}

    def begin(self, response: httpx.Response) -> None:
        """Before the first piece of an answer: one that ignored the range starts from zero."""
        if self.size and response.status_code != httpx.codes.PARTIAL_CONTENT:
            self._restart()

    def write(self, piece: bytes) -> None:
        self._file.write(piece)
        self._hash.update(piece)
        self.size += len(piece)

    def finish(self) -> Path:
        """Put the file in its place.

        Raises:
            ChecksumMismatch: the bytes are not what the server said; they are thrown away.
        """
        self._file.flush()
        if self.size != self._variant.bytes or self._hash.hexdigest() != self._variant.sha256:
            self._part.unlink()
            raise ChecksumMismatch(
                f"The download of {self._variant.name} does not match its sha256 and was thrown away; "
                "download it again."
            )
        os.fsync(self._file.fileno())
        self._part.replace(self.target)
        return self.target

    def _restart(self) -> None:
        self._file.truncate(0)
        self._hash = hashlib.sha256()
        self.size = 0
