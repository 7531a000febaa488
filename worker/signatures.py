"""What a frame looks like in 576 bytes: enough to find it again among half a million others."""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH = 32
HEIGHT = 18
SIZE = WIDTH * HEIGHT

_CODES_PER_DEVIATION = 31.75
"""An int8 then reaches four standard deviations either way."""
FLAT_DEVIATION = 0.004
"""Of luma in 0..1, one code of 8 bits: a frame with less is flat, and resembles nothing."""
_CHUNK = 4096
"""Signatures held in memory while they are compared: 2.4 MB."""

Signature = NDArray[np.int8]
"""[576] int8: luma at 32x18, its mean taken off, in units of its standard deviation; all zero for a flat frame."""


def signature_of(luma: NDArray[np.float32]) -> Signature:
    """Signature of luma [H, W] float32, in 0..1."""
    small = cv2.resize(luma, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA).astype(np.float32)
    deviation = float(small.std())
    if deviation < FLAT_DEVIATION:
        return np.zeros(SIZE, np.int8)
    codes = np.rint((small - small.mean()) * (_CODES_PER_DEVIATION / deviation))
    return np.asarray(np.clip(codes, -127, 127), np.int8).reshape(SIZE)


def similarities(signatures: NDArray[np.int8], wanted: Signature) -> NDArray[np.float32]:
    """Correlation, -1..1, of each of `signatures` [N, 576] with `wanted` [576]; 0 where either is flat. Returns [N]."""
    many = signatures.astype(np.float32)
    one = wanted.astype(np.float32)
    norms = np.sqrt(np.einsum("ij,ij->i", many, many)) * float(np.sqrt(one @ one))
    products = many @ one
    scores: NDArray[np.float32] = np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)
    return scores


class SignatureFile:
    """The signatures of all frames, in order, on disk: memory stays the same for any length. A context manager."""

    def __init__(self, path: Path, *, new: bool = True) -> None:
        """A new file is gone afterward, unless it is to persist; one that is not new is only read."""
        self._path = path
        self._file = path.open("w+b" if new else "rb")
        self._count = 0 if new else path.stat().st_size // SIZE
        self._stays = not new

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if not self._stays:
            self._path.unlink(missing_ok=True)

    def persist(self) -> None:
        self._stays = True

    def __len__(self) -> int:
        return self._count

    def append(self, signature: Signature) -> None:
        self._file.seek(self._count * SIZE)
        self._file.write(signature.tobytes())
        self._count += 1

    def read(self, first: int, last: int) -> NDArray[np.int8]:
        """Signatures [last - first + 1, 576] of the frames `first` to `last`, both included."""
        self._file.seek(first * SIZE)
        raw = self._file.read((last - first + 1) * SIZE)
        return np.frombuffer(raw, np.int8).reshape(-1, SIZE)

    def similarities(self, wanted: Signature) -> NDArray[np.float32]:
        """Correlation [T] of every frame with `wanted`, 4 bytes a frame."""
        return np.concatenate([similarities(chunk, wanted) for chunk in self._chunks()])

    def _chunks(self) -> Iterator[NDArray[np.int8]]:
        for first in range(0, self._count, _CHUNK):
            yield self.read(first, min(first + _CHUNK, self._count) - 1)
