"""What a probe may say of a small film."""

from fractions import Fraction
from typing import Any

from worker.media.frames import VideoInfo


def video_info(**changed: Any) -> VideoInfo:
    known: dict[str, Any] = {
        "width": 64,
        "height": 48,
        "frames": 100,
        "duration_seconds": 4.0,
        "frame_rate": Fraction(25),
        "codec": "h264",
        "pixel_format": "yuv420p",
        "bit_depth": 8,
        "full_range": False,
        "matrix": "bt601",
        "has_audio": False,
    }
    return VideoInfo(**{**known, **changed})
