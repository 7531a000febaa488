from typing import Any

import pytest
from video_info import video_info

from jobs.errors import VideoTooLarge, VideoTooLong
from worker.media.decode import open_video
from worker.media.limits import refuse_too_much
from worker.task import Limits

LIMITS = Limits(max_pixels=64 * 48, max_duration_seconds=4.0, max_frames=100)


def test_a_video_at_its_limits_passes() -> None:
    refuse_too_much(video_info(), LIMITS)


@pytest.mark.parametrize(
    ("changed", "error", "figures"),
    [
        ({"width": 65}, VideoTooLarge, ("65x48", "3120", "3072")),
        ({"duration_seconds": 4.5}, VideoTooLong, ("4.5", "4.0")),
        ({"frames": 101}, VideoTooLong, ("101", "100")),
    ],
)
def test_a_video_beyond_a_limit_is_refused_with_both_figures(
    changed: dict[str, Any], error: type[Exception], figures: tuple[str, ...]
) -> None:
    with pytest.raises(error) as refused:
        refuse_too_much(video_info(**changed), LIMITS)
    assert all(figure in str(refused.value) for figure in figures)


@pytest.mark.parametrize(
    ("made", "error"), [({"width": 66, "frames": 5}, VideoTooLarge), ({"rate": 10, "frames": 50}, VideoTooLong)]
)
def test_what_the_header_tells_is_refused_before_anything_is_read(
    make_video: Any, monkeypatch: pytest.MonkeyPatch, made: dict[str, Any], error: type[Exception]
) -> None:
    def read(*_: Any, **__: Any) -> None:
        raise AssertionError("the packets were read")

    path = make_video(**made).path
    monkeypatch.setattr("worker.media.probe.read_timeline", read)
    with pytest.raises(error):
        open_video(path, limits=LIMITS)


@pytest.mark.parametrize("codec", ["libx264", "libvpx"])
def test_reading_ends_at_the_first_frame_too_many(make_video: Any, codec: str) -> None:
    # VP8 with alternate references has more packets than frames.
    options = {"auto-alt-ref": "1", "lag-in-frames": "16"} if codec == "libvpx" else None
    made = make_video("clip.mkv", rate=50, frames=150, codec=codec, options=options)
    counts: list[int] = []
    with pytest.raises(VideoTooLong, match="101 frames"):
        open_video(made.path, limits=LIMITS, on_packet=counts.append)
    assert counts[-1] == 100
    at_the_limit = make_video("limit.mkv", rate=50, frames=100, codec=codec, options=options)
    assert open_video(at_the_limit.path, limits=LIMITS).info.frames == 100
