"""Checksums that a client sends with its bytes."""

import hashlib
from dataclasses import dataclass
from typing import Literal

ChecksumAlgorithm = Literal["md5", "sha1", "sha256"]


@dataclass(frozen=True, slots=True)
class Checksum:
    """What a client says that its bytes add up to."""

    algorithm: ChecksumAlgorithm
    digest: bytes


class RunningChecksum:
    """Adds bytes up as they come, to compare them with a checksum in the end."""

    def __init__(self, expected: Checksum) -> None:
        self.expected = expected
        self._hash = hashlib.new(expected.algorithm, usedforsecurity=False)

    def add(self, data: memoryview) -> None:
        self._hash.update(data)

    def matches(self) -> bool:
        return self._hash.digest() == self.expected.digest
