"""What the decoder hands out and the encoder takes back."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.base import Matrix

Codes = NDArray[np.uint8] | NDArray[np.uint16]
"""Samples as they stand in the video: uint8 for 8 bits, uint16 holding 0..1023 for 10 bits."""
Rgb = NDArray[np.uint8]
"""[H, W, 3], nonlinear R'G'B'."""


MOST_SAMPLE_ASPECT = 8
"""A sample is at most so much wider than high, or higher than wide; what says otherwise is not believed."""

FieldOrder = Literal["top", "bottom"]
"""Which field of an interlaced frame is shown first: the lines from the topmost on, or the others."""


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """Facts of a video stream, read without decoding all of it."""

    width: int
    """Stored size in pixels, before rotation and sample aspect ratio."""
    height: int
    frames: int
    """Number of frames, counted from the packets."""
    duration_seconds: float
    frame_rate: Fraction
    """Average."""
    codec: str
    pixel_format: str
    bit_depth: int
    """8 or 10: how the luma plane is stored."""
    full_range: bool
    """Whether luma uses all codes (0..255) or the limited range (16..235)."""
    matrix: Matrix
    has_audio: bool
    sample_aspect: Fraction = Fraction(1)
    """Width of a sample over its height, as it is shown; 1 where the video does not say."""
    quarter_turns: int = 0
    """By 90 degrees counterclockwise, which bring the stored picture upright: 0 to 3."""
    field_order: FieldOrder | None = None
    """None where the frames are progressive."""

    @property
    def display_size(self) -> tuple[int, int]:
        """Width and height in which it is shown: with square pixels, and upright."""
        width = max(1, round(self.width * self.sample_aspect))
        return (self.height, width) if self.quarter_turns % 2 else (width, self.height)


@dataclass(frozen=True, slots=True)
class LumaFrame:
    """One decoded frame: its luma plane as stored, and its place in time."""

    index: int
    """Frame number, counted from 0 in presentation order."""
    pts: int
    time_base: Fraction
    luma: Codes
    """[H, W], native codes."""
