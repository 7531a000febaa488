from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from worker.media.comparison import ComparisonOutput
from worker.media.decode import open_video


def compare(source: Path, target: Path) -> None:
    segment = target.with_suffix(".segment")
    with open_video(source) as reader:
        output = ComparisonOutput(source=source, info=reader.info, timeline=reader.timeline)
        dtype = np.uint8 if reader.info.bit_depth == 8 else np.uint16
        middle = 1 << (reader.info.bit_depth - 1)
        chroma = np.full((2, 10, 10), middle, dtype=dtype)
        chroma[0] += dtype(middle // 2)
        with output.open_segment(segment) as writer:
            for frame in reader.frames():
                writer.write(frame, chroma)
        output.join(target, [segment])


@pytest.mark.parametrize(
    ("width", "height", "half"),
    [(64, 48, (64, 48)), (63, 47, (64, 48)), (2880, 80, (960, 26)), (320, 240, (320, 240))],
)
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le"])
def test_gray_is_on_the_left_and_color_on_the_right(
    make_video: Any, tmp_path: Path, width: int, height: int, half: tuple[int, int], pix_fmt: str
) -> None:
    made = make_video(
        "in.mkv", codec="ffv1", options={}, width=width, height=height, frames=6, pix_fmt=pix_fmt, full_range=True
    )
    target = tmp_path / "comparison.mp4"
    compare(made.path, target)
    with av.open(str(target)) as out:
        stream: Any = out.streams.video[0]
        frames = list(out.decode(stream))
        assert (stream.codec_context.name, frames[0].format.name) == ("h264", "yuv420p")
    assert len(frames) == 6
    assert (frames[0].width, frames[0].height) == (2 * half[0], half[1])
    cb = np.frombuffer(frames[3].planes[1], np.uint8).reshape(-1, frames[3].planes[1].line_size)
    cb = cb[: half[1] // 2, : half[0]].astype(int)
    edge = max(4, half[0] // 16)
    assert abs(cb[:, : half[0] // 2 - edge].mean() - 128) < 2
    assert abs(cb[:, half[0] // 2 + edge :].mean() - (128 + 64 * 224 / 255)) < 4


def test_times_and_sound_are_the_films(make_video: Any, tmp_path: Path) -> None:
    made = make_video(frames=30, audio="aac", subtitles=[(0.1, 0.5, "left out")])
    target = tmp_path / "comparison.mp4"
    compare(made.path, target)
    with open_video(made.path) as source, open_video(target) as out:
        assert [f.pts * f.time_base for f in out.frames()] == [f.pts * f.time_base for f in source.frames()]
        assert out.info.has_audio
    with av.open(str(target)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]


def test_a_constant_rate_that_the_films_container_rounds_is_exact(make_video: Any, tmp_path: Path) -> None:
    made = make_video("in.mkv", rate=Fraction(30000, 1001), frames=30)
    compare(made.path, tmp_path / "comparison.mp4")
    with open_video(tmp_path / "comparison.mp4") as out:
        assert out.info.frame_rate == Fraction(30000, 1001)


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_a_rotated_film_stands_upright_on_both_sides(make_video: Any, tmp_path: Path, rotation: int) -> None:
    made = make_video(width=96, height=64, frames=2, rotation=rotation)
    target = tmp_path / "comparison.mp4"
    compare(made.path, target)
    with av.open(str(target)) as out:
        frame = next(out.decode(video=0))
    size = (128, 96) if rotation % 180 else (192, 64)
    assert (frame.width, frame.height, frame.rotation) == (*size, 0)
    luma = np.frombuffer(frame.planes[0], np.uint8).reshape(-1, frame.planes[0].line_size)
    left = luma[: frame.height, : frame.width // 2].astype(float)
    # VideoFrame.rotation counts counterclockwise, as numpy's rot90 does.
    expected = np.rot90(made.lumas[0], rotation // 90).astype(float)
    assert np.corrcoef(left.ravel(), expected.ravel())[0, 1] > 0.9
