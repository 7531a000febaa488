"""Keeps predictions on disk until the pass in the other direction needs them, last in, first out."""

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import torch

from models.base import Prediction

_CHROMA_STEPS = 65535.0
"""Of 16 bits over -0.5..0.5: finer than the 10 bits that a video has."""
_CONFIDENCE_STEPS = 255.0


class Spool:
    """A stack of predictions in one file, 5 bytes per pixel of a prediction; what is popped is cut off the file.

    A context manager: the file is gone afterward. Restored luma is not kept.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("w+b")
        self._size: tuple[int, int] | None = None
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def __len__(self) -> int:
        return self._count

    def push(self, prediction: Prediction) -> None:
        chroma = prediction.chroma.detach().cpu().numpy()
        confidence = prediction.confidence.detach().cpu().numpy()
        self._size = (chroma.shape[1], chroma.shape[2])
        self._file.seek(self._count * self._record_bytes)
        self._file.write(np.rint((chroma.clip(-0.5, 0.5) + 0.5) * _CHROMA_STEPS).astype(np.uint16).tobytes())
        self._file.write(np.rint(confidence.clip(0, 1) * _CONFIDENCE_STEPS).astype(np.uint8).tobytes())
        self._count += 1

    def pop(self) -> Prediction:
        """The prediction pushed last.

        Raises:
            IndexError: nothing is left.
        """
        if self._size is None or self._count == 0:
            raise IndexError("the spool is empty")
        height, width = self._size
        self._count -= 1
        start = self._count * self._record_bytes
        self._file.seek(start)
        chroma = np.frombuffer(self._file.read(4 * height * width), np.uint16).astype(np.float32)
        confidence = np.frombuffer(self._file.read(height * width), np.uint8).astype(np.float32)
        self._file.truncate(start)
        return Prediction(
            chroma=torch.from_numpy(chroma.reshape(2, height, width) / np.float32(_CHROMA_STEPS) - np.float32(0.5)),
            confidence=torch.from_numpy(confidence.reshape(height, width) / np.float32(_CONFIDENCE_STEPS)),
        )

    @property
    def _record_bytes(self) -> int:
        assert self._size is not None
        return 5 * self._size[0] * self._size[1]
