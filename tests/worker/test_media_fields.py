import itertools
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from jobs.options import OutputOptions
from worker.media.decode import open_video
from worker.media.encode import VideoOutput
from worker.media.fields import find_order
from worker.media.probe import probe

SOURCES: dict[str, dict[str, Any]] = {
    "h264.mkv": {"fields": "tff", "options": {"qp": "0", "g": "5", "x264-params": "tff=1"}},
    "mpeg2.ts": {
        "fields": "tff",
        "codec": "mpeg2video",
        "options": {"flags": "+ildct+ilme", "b": "4M"},
        "container_format": "mpegts",
    },
    "dv.avi": {"fields": "bff", "codec": "dvvideo", "options": {"flags": "+ildct"}, "width": 720, "height": 576},
    "prores.mov": {
        "fields": "tff",
        "codec": "prores_ks",
        "options": {"flags": "+ildct"},
        "pix_fmt": "yuv422p10le",
    },
    "deep.mkv": {"fields": "bff", "codec": "ffv1", "options": {}, "pix_fmt": "yuv420p10le"},
}
OUTPUTS: list[dict[str, Any]] = [
    {"container": "mkv", "codec": "ffv1"},
    {"container": "mkv", "codec": "h264", "quality": 0},
    {"container": "mp4", "quality": 0},
    {"container": "mov"},
]
SAID: dict[str, dict[int, bytes]] = {
    # FlagInterlaced and FieldOrder (RFC 9559); `fiel` is of two fields. MP4 has no such box.
    "mkv": {2: bytes.fromhex("9a8101 9d8101"), 3: bytes.fromhex("9a8101 9d8106")},
    "mov": {2: b"fiel\x02\x01", 3: b"fiel\x02\x06"},
    "mp4": {},
}
"""By AVFieldOrder: how containers tell it."""


def recolor(source: Path, target: Path, **options: Any) -> list[str]:
    """Write `source` again in two segments, with one color; returns the warnings."""
    with open_video(source) as reader:
        output = VideoOutput(source=source, info=reader.info, timeline=reader.timeline, output=OutputOptions(**options))
        dtype = np.uint8 if reader.info.bit_depth == 8 else np.uint16
        chroma = np.full((2, *output.chroma_size), 90 << (reader.info.bit_depth - 8), dtype=dtype)
        segments = [target.with_suffix(".0"), target.with_suffix(".1")]
        for path, (first, last) in zip(segments, [(0, 2), (3, reader.info.frames - 1)], strict=True):
            with output.open_segment(path) as writer:
                for frame in reader.frames(first, last):
                    writer.write(frame, chroma)
        output.join(target, segments)
    return output.warnings


def told(path: Path) -> tuple[int, set[bool]]:
    """AVFieldOrder of the stream before anything is decoded, and what the frames say."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        order = int(stream.codec_context.field_order)
        return order, {frame.interlaced_frame for frame in container.decode(stream)}


def lumas(path: Path) -> list[Any]:
    with open_video(path) as reader:
        return [frame.luma for frame in reader.frames()]


@pytest.mark.parametrize("output", OUTPUTS, ids=lambda output: "-".join(str(value) for value in output.values()))
@pytest.mark.parametrize("name", SOURCES)
def test_interlaced_film_stays_interlaced(make_video: Any, tmp_path: Path, name: str, output: dict[str, Any]) -> None:
    made = make_video(name, frames=6, **SOURCES[name])
    target = tmp_path / f"out.{output['container']}"
    assert recolor(made.path, target, **output) == []
    order = {"tff": 2, "bff": 3}[SOURCES[name]["fields"]]
    assert told(target) == (order, {True})
    assert SAID[output["container"]].get(order, b"") in target.read_bytes()
    assert probe(target).field_order == probe(made.path).field_order == {2: "top", 3: "bottom"}[order]
    if output["container"] != "mov":
        assert all(np.array_equal(a, b) for a, b in zip(lumas(target), lumas(made.path), strict=True))


def test_dv_tells_its_fields_in_its_frames_alone(make_video: Any) -> None:
    made = make_video("dv.avi", frames=2, **SOURCES["dv.avi"])
    assert told(made.path) == (0, {True})


@pytest.mark.parametrize("output", OUTPUTS, ids=lambda output: "-".join(str(value) for value in output.values()))
def test_progressive_film_stays_progressive(make_video: Any, tmp_path: Path, output: dict[str, Any]) -> None:
    made = make_video("in.mkv", frames=6)
    target = tmp_path / f"out.{output['container']}"
    assert recolor(made.path, target, **output) == []
    order, interlaced = told(target)
    assert (order in (0, 1), interlaced) == (True, {False})


@pytest.mark.parametrize(("quiet", "order"), [(0, "bottom"), (1, "bottom"), (24, "bottom"), (25, None)])
def test_frames_are_believed_before_their_stream(make_video: Any, quiet: int, order: str | None) -> None:
    """`quiet` frames at the beginning are progressive, in a stream that says otherwise."""
    progressive = make_video("quiet.mkv", codec="ffv1", options={}, frames=max(1, quiet))
    interlaced = make_video("in.mkv", frames=2, **SOURCES["deep.mkv"])
    with av.open(str(progressive.path)) as before, av.open(str(interlaced.path)) as after:
        frames = itertools.chain(itertools.islice(before.decode(video=0), quiet), after.decode(video=0))
        assert find_order(next(frames), frames, stated=2) == order


def test_a_stream_that_tells_of_no_fields_is_not_searched_for_them(make_video: Any) -> None:
    with av.open(str(make_video("in.mkv", codec="ffv1", options={}, frames=3).path)) as container:
        frames = container.decode(video=0)
        assert find_order(next(frames), frames, stated=0) is None
        assert len(list(frames)) == 2


@pytest.mark.parametrize(("height", "subsampling", "kept"), [(50, "420", False), (50, "422", True), (52, "420", True)])
def test_fields_that_h264_cannot_hold_are_told(
    make_video: Any, tmp_path: Path, height: int, subsampling: str, kept: bool
) -> None:
    made = make_video("in.mkv", fields="tff", codec="ffv1", options={}, height=height, frames=6)
    target = tmp_path / "out.mp4"
    warnings = recolor(made.path, target, pixel_format=subsampling, quality=0)
    assert told(target)[1] == {kept}
    assert warnings == (
        []
        if kept
        else [
            "H.264 cannot hold the fields of an interlaced film with 50 lines at 4:2:0, so it was written as "
            "progressive, and players will not deinterlace it; mkv with ffv1, and mov, keep them."
        ]
    )
    assert all(np.array_equal(a, b) for a, b in zip(lumas(target), made.lumas, strict=True))
    if not kept:
        assert recolor(made.path, tmp_path / "out.mkv", container="mkv", codec="ffv1") == []
        assert told(tmp_path / "out.mkv") == (2, {True})
