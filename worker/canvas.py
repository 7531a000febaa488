"""The size at which color is predicted, and the way there and back."""

from dataclasses import dataclass
from typing import Any, Self

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.base import ModelDescription
from worker.analysis import unit_luma
from worker.media.frames import LumaFrame, VideoInfo


@dataclass(frozen=True, slots=True)
class Canvas:
    """Frames are scaled to `height` x `width` and then continued beyond their right and lower edge to the next
    multiple of what the model needs: scaling to the multiple itself would distort them and blur every pixel."""

    height: int
    width: int
    padded_height: int
    padded_width: int

    @classmethod
    def fit(cls, info: VideoInfo, *, description: ModelDescription, working_size: int | None) -> Self:
        """The canvas whose short side is `working_size` (None: the model's), never larger than the video."""
        short = min(info.width, info.height)
        scale = min(1.0, (working_size or description.working_size) / short)
        height, width = max(1, round(info.height * scale)), max(1, round(info.width * scale))
        multiple = description.size_multiple
        return cls(
            height=height,
            width=width,
            padded_height=-(-height // multiple) * multiple,
            padded_width=-(-width // multiple) * multiple,
        )

    @property
    def is_padded(self) -> bool:
        return (self.padded_height, self.padded_width) != (self.height, self.width)

    def luma(self, frame: LumaFrame, *, info: VideoInfo) -> Tensor:
        """Luma of a frame as the model is fed, [padded height, padded width] float32 in 0..1."""
        scaled = unit_luma(frame, info=info, size=(self.height, self.width))
        # Foot room and head room of the limited range are no place that a network knows.
        return torch.from_numpy(self._pad(np.clip(scaled, 0.0, 1.0)))

    def rgb(self, picture: NDArray[np.uint8]) -> Tensor:
        """A picture [H, W, 3] uint8 of any size as the model is fed, [3, padded height, padded width] in 0..1."""
        size = (self.width, self.height)
        shrinks = picture.shape[0] >= self.height and picture.shape[1] >= self.width
        scaled: NDArray[Any] = picture.astype(np.float32) / np.float32(255)
        if picture.shape[:2] != (self.height, self.width):
            scaled = cv2.resize(scaled, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
        return torch.from_numpy(self._pad(np.clip(scaled, 0.0, 1.0))).permute(2, 0, 1).contiguous()

    def crop(self, planes: Tensor) -> Tensor:
        """The part of `planes` [..., h, w], predicted for the padded canvas at any resolution, that is the frame."""
        if not self.is_padded:
            return planes
        height = max(1, round(planes.shape[-2] * self.height / self.padded_height))
        width = max(1, round(planes.shape[-1] * self.width / self.padded_width))
        return planes[..., :height, :width]

    def _pad(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        if not self.is_padded:
            return np.ascontiguousarray(values)
        down, right = self.padded_height - self.height, self.padded_width - self.width
        return cv2.copyMakeBorder(values, 0, down, 0, right, cv2.BORDER_REPLICATE).astype(np.float32, copy=False)
