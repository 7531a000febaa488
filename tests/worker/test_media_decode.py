from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.errors import JobFailure, VideoUndecodable, VideoUnsupported
from worker.media.decode import open_video

LOSSLESS: dict[str, dict[str, Any]] = {
    "clip.mp4": {},
    "b-frames.mp4": {"options": {"qp": "0", "bf": "3", "g": "60", "b-pyramid": "normal"}, "pix_fmt": "yuv444p"},
    "clip.mkv": {"pix_fmt": "yuv420p10le"},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"lossless": "1", "g": "20"}},
    "clip.avi": {},
    "b-frames.avi": {"options": {"qp": "0", "bf": "3", "g": "60", "b-adapt": "0"}},
    "clip.ts": {"container_format": "mpegts"},
    "ffv1.mkv": {"codec": "ffv1", "options": {}, "full_range": True},
    "gray.mkv": {"codec": "ffv1", "options": {}, "pix_fmt": "gray10le", "full_range": True},
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_luma_is_bit_exact_from_anywhere(make_video: Any, name: str) -> None:
    made = make_video(name, **{"frames": 130, **LOSSLESS[name]})
    with open_video(made.path) as reader:
        for first, last in [(0, None), (0, 0), (60, 71), (97, 129), (129, 129), (5, 9)]:
            frames = list(reader.frames(first, last))
            end = 129 if last is None else last
            assert [frame.index for frame in frames] == list(range(first, end + 1))
            for frame in frames:
                assert np.array_equal(frame.luma, made.lumas[frame.index]), f"frame {frame.index}"


def test_packed_luma_is_bit_exact(tmp_path: Path) -> None:
    path = tmp_path / "packed.avi"
    codes = np.random.default_rng(0).integers(0, 256, (16, 32), dtype=np.uint8)
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("rawvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "uyvy422"
        frame = av.VideoFrame(16, 16, "uyvy422")
        np.frombuffer(frame.planes[0], np.uint8).reshape(16, -1)[:, :32] = codes
        out.mux(stream.encode(frame))
        out.mux(stream.encode())
    with open_video(path) as reader:
        assert reader.info.pixel_format == "uyvy422"
        assert np.array_equal(next(reader.frames()).luma, codes[:, 1::2])


def test_reading_backward_gives_the_same_frames(make_video: Any) -> None:
    made = make_video(frames=70)
    with open_video(made.path) as reader:
        frames = list(reader.reversed_frames(3, 64, chunk=7))
    assert [frame.index for frame in frames] == list(range(64, 2, -1))
    assert all(np.array_equal(frame.luma, made.lumas[frame.index]) for frame in frames)


def test_two_readings_run_side_by_side(make_video: Any) -> None:
    made = make_video(frames=30)
    with open_video(made.path) as reader:
        for early, late in zip(reader.frames(0, 9), reader.frames(20, 29), strict=True):
            assert np.array_equal(early.luma, made.lumas[early.index])
            assert np.array_equal(late.luma, made.lumas[late.index])
            assert late.index - early.index == 20


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.integers(1, 9), min_size=1, max_size=7), start=st.integers(0, 40))
def test_variable_frame_times_are_kept(make_video: Any, steps: list[int], start: int) -> None:
    made = make_video("vfr.mkv", steps=steps, start=start, time_base=Fraction(1, 1000), frames=15, width=16, height=16)
    with open_video(made.path) as reader:
        assert [frame.pts * frame.time_base for frame in reader.frames()] == made.times


def test_negative_times_are_frames_too(make_video: Any, tmp_path: Path) -> None:
    made = make_video("late.mp4", frames=20)
    shifted = tmp_path / "early.mp4"
    with (
        av.open(str(made.path)) as source,
        av.open(str(shifted), "w", container_options={"use_editlist": "0", "avoid_negative_ts": "disabled"}) as out,
    ):
        stream = out.add_stream_from_template(source.streams.video[0], opaque=True)
        for packet in source.demux():
            if packet.dts is not None and packet.pts is not None:
                packet.pts -= 2048
                packet.dts -= 2048
                packet.stream = stream
                out.mux(packet)
    with open_video(shifted) as reader:
        assert [frame.index for frame in reader.frames()] == list(range(20))
        assert np.array_equal(next(reader.frames(11, 11)).luma, made.lumas[11])


def test_frames_that_an_edit_list_cuts_off_are_not_frames(make_video: Any, tmp_path: Path) -> None:
    made = make_video("long.mp4", frames=40, options={"qp": "0", "g": "10", "bf": "0"})
    trimmed = tmp_path / "trimmed.mp4"
    with (
        av.open(str(made.path)) as source,
        av.open(str(trimmed), "w", container_options={"avoid_negative_ts": "disabled"}) as out,
    ):
        stream = out.add_stream_from_template(source.streams.video[0], opaque=True)
        for packet in source.demux():
            if packet.dts is not None and packet.pts is not None:
                packet.pts -= 15 * 512
                packet.dts -= 15 * 512
                packet.stream = stream
                out.mux(packet)
    with open_video(trimmed) as reader:
        frames = list(reader.frames())
        assert reader.info.frames == len(frames) == 25
        assert np.array_equal(frames[0].luma, made.lumas[15])
        assert np.array_equal(next(reader.frames(20, 20)).luma, made.lumas[35])


def test_a_recording_that_starts_in_mid_air_starts_at_its_first_key_frame(make_video: Any, tmp_path: Path) -> None:
    made = make_video("whole.ts", frames=60, options={"qp": "0", "g": "20"}, container_format="mpegts")
    with av.open(str(made.path)) as source:
        places = [p.pos for p in source.demux(video=0) if p.pts is not None]
    cut = tmp_path / "cut.ts"
    data = made.path.read_bytes()
    cut.write_bytes(data[: 3 * 188] + data[places[5] // 188 * 188 :])
    with open_video(cut) as reader:
        frames = list(reader.frames())
        assert reader.info.frames == len(frames) == 40
        assert np.array_equal(frames[0].luma, made.lumas[20])
        assert np.array_equal(frames[39].luma, made.lumas[59])


def test_opening_can_be_stopped(make_video: Any) -> None:
    made = make_video(frames=50)
    packets = 0

    def stop_at_ten(_: int) -> None:
        nonlocal packets
        packets += 1
        if packets == 10:
            raise KeyError("stop")

    with pytest.raises(KeyError, match="stop"):
        open_video(made.path, on_packet=stop_at_ten)
    assert packets == 10


@pytest.mark.parametrize("codec", ["libx264", "libvpx"])
def test_frames_are_counted_while_opening(make_video: Any, codec: str) -> None:
    options = {"auto-alt-ref": "1", "lag-in-frames": "16"} if codec == "libvpx" else None
    made = make_video("clip.mkv", frames=30, codec=codec, options=options)
    counts: list[int] = []
    open_video(made.path, on_packet=counts.append)
    assert counts == sorted(counts)
    assert 20 < counts[-1] <= 30


def test_a_range_outside_the_video_is_a_programming_error(make_video: Any) -> None:
    with open_video(make_video(frames=5).path) as reader:
        with pytest.raises(ValueError, match="not within"):
            reader.frames(3, 5)
        with pytest.raises(ValueError, match="not within"):
            reader.reversed_frames(-1, 2)
        with pytest.raises(ValueError, match="chunk"):
            reader.reversed_frames(0, 2, chunk=0)


@pytest.mark.parametrize("codec", ["libx264", "ffv1"])
def test_damage_in_the_middle_is_told_with_its_time(make_video: Any, tmp_path: Path, codec: str) -> None:
    made = make_video("whole.mkv", codec=codec, options={} if codec == "ffv1" else {"crf": "20", "g": "10"}, frames=100)
    with av.open(str(made.path)) as source:
        stream = source.streams.video[0]
        middle = next(p for p in source.demux(stream) if p.pts is not None and p.pts * p.time_base >= 2)
        place, size = middle.pos, middle.size
    data = bytearray(made.path.read_bytes())
    noise = np.random.default_rng(0).integers(0, 256, size - 12, dtype=np.uint8).tobytes()
    at = data.index(bytes(middle)[:64], place)
    data[at + 8 : at + 8 + len(noise)] = noise
    broken = tmp_path / "broken.mkv"
    broken.write_bytes(data)
    with pytest.raises(VideoUndecodable, match=r"damaged at 2\.\d s of 4\.0 s"), open_video(broken) as reader:
        for _ in reader.frames():
            pass


def test_a_change_of_size_on_the_way_is_unsupported(make_video: Any, tmp_path: Path) -> None:
    small, large = make_video("a.ts", width=64, frames=20), make_video("b.ts", width=96, frames=20)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(small.path.read_bytes() + large.path.read_bytes())
    with pytest.raises(JobFailure) as caught, open_video(joined) as reader:
        for _ in reader.frames():
            pass
    assert isinstance(caught.value, VideoUnsupported)
    assert "64x48 to 96x48" in caught.value.detail


def test_picked_frames_are_those_wanted_near_and_far_from_each_other(make_video: Any) -> None:
    video = make_video(frames=160)
    wanted = [0, 1, 7, 70, 158, 159]
    with open_video(video.path) as reader:
        picked = list(reader.picked_frames(wanted))
    assert [frame.index for frame in picked] == wanted
    assert all(np.array_equal(frame.luma, video.lumas[frame.index]) for frame in picked)


def test_picking_decodes_only_what_lies_on_the_way(make_video: Any) -> None:
    passed: list[None] = []
    with open_video(make_video(frames=160).path) as reader:
        list(reader.picked_frames([3, 6, 150], check=lambda: passed.append(None)))
    assert len(passed) == len([3, 4, 5, 6, 150])
