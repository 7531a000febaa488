from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from jobs.options import OutputOptions
from worker.media.decode import open_video
from worker.media.encode import open_writer


def recolor(source: Path, target: Path, **options: Any) -> list[str]:
    """Write `source` again with a constant chroma; returns the warnings."""
    output = OutputOptions(**options)
    with (
        open_video(source) as reader,
        open_writer(target, source=source, info=reader.info, output=output) as writer,
    ):
        dtype = np.uint8 if reader.info.bit_depth == 8 else np.uint16
        middle = 1 << (reader.info.bit_depth - 1)
        chroma = np.full((2, *writer.chroma_size), middle, dtype=dtype)
        chroma[0] += dtype(20)
        for frame in reader.frames():
            writer.write(frame, chroma)
    return writer.warnings


def lumas(path: Path) -> list[NDArray[Any]]:
    with open_video(path) as reader:
        return [frame.luma for frame in reader.frames()]


def times(path: Path) -> list[Fraction]:
    with open_video(path) as reader:
        return [frame.pts * frame.time_base for frame in reader.frames()]


def assert_same_planes(first: list[NDArray[Any]], second: list[NDArray[Any]]) -> None:
    assert len(first) == len(second)
    for index, (a, b) in enumerate(zip(first, second, strict=True)):
        assert a.dtype == b.dtype
        assert np.array_equal(a, b), f"frame {index} differs"


@pytest.mark.parametrize(
    ("pix_fmt", "full_range"), [("yuv420p", False), ("yuv420p", True), ("yuv420p10le", False), ("yuv444p10le", True)]
)
@pytest.mark.parametrize(
    "output",
    [
        {"container": "mkv", "codec": "ffv1"},
        {"container": "mkv", "codec": "ffv1", "pixel_format": "444"},
        {"container": "mp4", "quality": 0},
        {"container": "mp4", "quality": 0, "pixel_format": "422"},
        {"container": "mkv", "codec": "h264", "quality": 0, "pixel_format": "444"},
    ],
    ids=lambda output: "-".join(str(value) for value in output.values()),
)
def test_every_luma_plane_comes_out_as_it_went_in(
    make_video: Any, tmp_path: Path, pix_fmt: str, full_range: bool, output: dict[str, Any]
) -> None:
    made = make_video("in.mkv", codec="ffv1", options={}, pix_fmt=pix_fmt, full_range=full_range)
    target = tmp_path / f"out.{output['container']}"
    assert recolor(made.path, target, **output) == []
    assert_same_planes(made.lumas, lumas(target))
    assert times(target) == times(made.path)
    with open_video(target) as reader, open_video(made.path) as source:
        assert reader.info.full_range == source.info.full_range == full_range
        assert reader.info.bit_depth == source.info.bit_depth
        assert reader.info.matrix == source.info.matrix
