import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from jobs.errors import JobFailure, VideoUndecodable, VideoUnsupported
from worker.media.decode import open_video
from worker.media.probe import probe

CONTAINERS: dict[str, dict[str, Any]] = {
    "clip.mp4": {"audio": "aac"},
    "clip.mkv": {"audio": "aac"},
    "clip.mov": {"codec": "prores_ks", "options": {}, "pix_fmt": "yuv422p10le", "audio": "pcm_s16le"},
    "clip.webm": {"codec": "libvpx-vp9", "options": {"lossless": "1"}, "audio": "libopus"},
    "clip.avi": {"audio": "mp3"},
    "clip.ts": {"audio": "aac", "container_format": "mpegts"},
    "hidden-frames.webm": {"codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "16"}, "frames": 50},
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_frames_are_counted_in_every_container(make_video: Any, name: str) -> None:
    made = make_video(name, **{"frames": 30, **CONTAINERS[name]})
    info = probe(made.path)
    assert (info.width, info.height, info.frames) == (64, 48, len(made.lumas))
    assert info.frame_rate == 25
    assert info.duration_seconds == pytest.approx(len(made.lumas) / 25, abs=0.002)
    assert info.has_audio == ("audio" in CONTAINERS[name])


@pytest.mark.parametrize(
    ("colorspace", "height", "matrix"),
    [
        (1, 48, "bt709"),
        (6, 720, "bt601"),
        (5, 48, "bt601"),
        (9, 48, "bt2020"),
        (2, 48, "bt601"),
        (2, 576, "bt601"),
        (2, 578, "bt709"),
    ],
)
def test_matrix_is_the_tag_or_follows_from_the_height(
    make_video: Any, colorspace: int, height: int, matrix: str
) -> None:
    assert probe(make_video(colorspace=colorspace, height=height, frames=2).path).matrix == matrix


@pytest.mark.parametrize(
    ("pix_fmt", "codec", "full_range", "depth"),
    [
        ("yuv420p", "libx264", True, 8),
        ("yuv420p", "libx264", False, 8),
        ("yuvj420p", "mjpeg", True, 8),
        ("yuv420p10le", "libx264", True, 10),
        ("yuv422p10le", "ffv1", False, 10),
        ("gray", "libx264", False, 8),
        ("gray10le", "libx264", True, 10),
    ],
)
def test_range_and_depth(make_video: Any, pix_fmt: str, codec: str, full_range: bool, depth: int) -> None:
    options = None if codec == "libx264" else {}
    made = make_video("clip.mkv", codec=codec, options=options, pix_fmt=pix_fmt, full_range=full_range, frames=3)
    info = probe(made.path)
    assert (info.full_range, info.bit_depth) == (full_range, depth)


@pytest.mark.parametrize(("codec", "ending"), [("ffv1", "mkv"), ("dpx", "mov"), ("tiff", "mov"), ("png", "mov")])
def test_untagged_gray_of_pictures_and_archives_is_full_range(tmp_path: Path, codec: str, ending: str) -> None:
    path = tmp_path / f"gray.{ending}"
    write_frames(path, codec=codec, pix_fmt="gray", pictures=[np.full((16, 16), 7, np.uint8)])
    assert probe(path).full_range


def write_frames(path: Path, *, codec: str, pix_fmt: str, pictures: list[Any]) -> None:
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream(codec, rate=25)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pix_fmt
        source = {2: "gray", 3: "rgb24"}[pictures[0].ndim]
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(picture, format=source)
            out.mux(stream.encode(frame if pix_fmt == source else frame.reformat(format=pix_fmt)))
        out.mux(stream.encode())


def test_rgb_video_gives_full_range_luma_of_its_matrix(tmp_path: Path) -> None:
    path = tmp_path / "rgb.mkv"
    picture = np.random.default_rng(1).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    picture[:8] = picture[:8, :, :1]
    write_frames(path, codec="ffv1", pix_fmt="bgr0", pictures=[picture])
    with open_video(path) as reader:
        assert (reader.info.full_range, reader.info.bit_depth, reader.info.matrix) == (True, 8, "bt601")
        luma = next(reader.frames()).luma
        assert "full range" in reader.warnings[0]
    expected = np.rint(picture.astype(np.float64) @ [0.299, 0.587, 0.114])
    assert np.array_equal(luma[:8], picture[:8, :, 0])
    assert np.abs(luma - expected).max() <= 1


@pytest.mark.parametrize(("bits", "codec"), [(12, "ffv1"), (16, "ffv1")])
def test_more_than_ten_bits_are_rounded_to_ten_and_said(tmp_path: Path, bits: int, codec: str) -> None:
    path = tmp_path / "deep.mkv"
    codes = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * (2 ** (bits - 12))
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, f"yuv420p{bits}le"
        frame = av.VideoFrame(64, 64, f"yuv420p{bits}le")
        for plane in frame.planes:
            np.frombuffer(plane, np.uint16)[:] = 0
        lines = np.frombuffer(frame.planes[0], np.uint8).reshape(-1, frame.planes[0].line_size)
        lines[:64, :128].view(np.uint16)[:] = codes
        out.mux(stream.encode(frame))
        out.mux(stream.encode())
    with open_video(path) as reader:
        assert reader.info.bit_depth == 10
        assert f"{bits} bits" in reader.warnings[0]
        luma = next(reader.frames()).luma
    expected = np.minimum(np.floor(codes / 2 ** (bits - 10) + 0.5), 1023)
    assert np.array_equal(luma, expected)


@pytest.mark.parametrize(
    ("name", "content", "failure", "words"),
    [
        ("empty.mp4", b"", VideoUndecodable, "empty"),
        ("notes.mp4", b"this is no video at all\n" * 50, VideoUndecodable, "not a video"),
        ("list.mp4", b"#EXTM3U\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n", VideoUnsupported, "playlist"),
        ("list.mkv", b"ffconcat version 1.0\nfile 'secret.mp4'\n", VideoUnsupported, "playlist"),
        ("dash.mp4", b"<?xml version='1.0'?><MPD></MPD>", VideoUnsupported, "playlist"),
        ("noise.mkv", b"\x1aE\xdf\xa3" + bytes(200), VideoUndecodable, "damaged"),
        (
            "scan.dpx",
            b"SDPX" + bytes(2044),
            VideoUndecodable,
            r"a DPX picture.*Of a sequence of pictures make a video first: docs/films\.md has",
        ),
        ("head.mp4", struct.pack(">I4s", 24, b"ftyp") + b"isom" + bytes(400), VideoUndecodable, "index"),
    ],
)
def test_what_is_no_video_is_refused_with_a_reason(
    make_video: Any, tmp_path: Path, name: str, content: bytes, failure: type[JobFailure], words: str
) -> None:
    make_video("secret.mp4")
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(failure, match=words):
        probe(path)


@pytest.mark.parametrize("codec", ["png", "mjpeg"])
def test_a_picture_is_no_video(tmp_path: Path, codec: str) -> None:
    import cv2

    path = tmp_path / f"picture.{'png' if codec == 'png' else 'jpg'}"
    cv2.imwrite(str(path), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(VideoUndecodable, match="picture"):
        probe(path)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 4096), np.float32), format="fltp", layout="stereo")
        frame.sample_rate = 48000
        out.mux(stream.encode(frame))
        out.mux(stream.encode())
    with pytest.raises(VideoUndecodable, match="no video stream"):
        probe(path)


def test_a_video_without_frames_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.mkv"
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("ffv1", rate=25)
        stream.width, stream.height = 16, 16
        out.start_encoding()
    with pytest.raises(VideoUndecodable, match="no frames"):
        probe(path)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts"])
def test_the_shape_of_pixels_is_told(make_video: Any, name: str) -> None:
    container_format = "mpegts" if name.endswith("ts") else None
    told = probe(make_video(name, aspect=Fraction(16, 11), container_format=container_format).path)
    assert told.sample_aspect == Fraction(16, 11)
    assert probe(make_video(name, container_format=container_format).path).sample_aspect == 1


@pytest.mark.parametrize(
    ("aspect", "rotation", "turns", "size"),
    [
        (None, 0, 0, (64, 48)),
        (Fraction(64, 45), 0, 0, (91, 48)),
        (Fraction(1, 2), 180, 2, (32, 48)),
        (Fraction(64, 45), 90, 1, (48, 91)),
        (None, -90, 3, (48, 64)),
        (Fraction(400, 1), 0, 0, (64, 48)),
    ],
    ids=str,
)
def test_the_size_in_which_a_film_is_shown_is_told(
    make_video: Any, aspect: Fraction | None, rotation: int, turns: int, size: tuple[int, int]
) -> None:
    told = probe(make_video(aspect=aspect, rotation=rotation).path)
    assert (told.width, told.height) == (64, 48)
    assert (told.quarter_turns, told.display_size) == (turns, size)


def test_variable_frame_rate_is_averaged(make_video: Any) -> None:
    made = make_video(steps=[1, 3, 2], time_base=Fraction(1, 100), frames=12)
    assert float(probe(made.path).frame_rate) == pytest.approx(50, rel=0.1)


@pytest.mark.parametrize("name", ["clip.mkv", "clip.webm", "clip.avi", "clip.mp4"])
@pytest.mark.parametrize("part", [0.4, 0.9])
def test_a_truncated_video_is_refused_and_its_end_told(make_video: Any, tmp_path: Path, name: str, part: float) -> None:
    made = make_video(name, **{"frames": 100, **CONTAINERS[name]})
    if name.endswith("mp4"):
        front = tmp_path / "front.mp4"
        with (
            av.open(str(made.path)) as source,
            av.open(str(front), "w", container_options={"movflags": "faststart"}) as out,
        ):
            streams = {s.index: out.add_stream_from_template(s, opaque=True) for s in source.streams}
            for packet in source.demux():
                if packet.dts is not None:
                    packet.stream = streams[packet.stream.index]
                    out.mux(packet)
        data = front.read_bytes()
    else:
        data = made.path.read_bytes()
    cut = tmp_path / f"cut-{name}"
    cut.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(VideoUndecodable, match=r"up to \d+\.\d s of 4\.\d s"):
        probe(cut)


def test_a_truncated_mp4_with_its_index_at_the_end_is_refused(make_video: Any, tmp_path: Path) -> None:
    data = make_video(frames=50).path.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: len(data) // 2])
    with pytest.raises(VideoUndecodable, match="index"):
        probe(cut)


def test_a_video_that_lacks_a_little_of_its_end_is_taken_and_that_is_said(make_video: Any, tmp_path: Path) -> None:
    # 1 % of a duration may be rounding or padding; of a long film that is more than a second of picture.
    whole = make_video("long.mkv", width=16, height=16, frames=400, rate=2).path
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[:-2200])
    with open_video(whole) as reader:
        assert (reader.info.frames, reader.warnings) == (400, ())
    with open_video(cut) as reader:
        assert 396 <= reader.info.frames < 399
        [warning] = reader.warnings
        assert f"200.0 s long, but ends at {reader.info.duration_seconds:.1f} s" in warning
        assert "copy or upload it again" in warning
        assert len(list(reader.frames())) == reader.info.frames


@pytest.mark.parametrize(
    "made",
    [
        {"audio": "aac", "frames": 20, "rate": 1, "subtitles": [(1.0, 60.0, "still there")]},
        {"audio": "aac", "frames": 50, "steps": [1, 900], "time_base": Fraction(1, 1000)},
        {"frames": 3, "rate": Fraction(1, 3)},
    ],
    ids=["other streams go on longer", "variable frame rate", "few long frames"],
)
def test_a_whole_matroska_file_lacks_nothing(make_video: Any, made: dict[str, Any]) -> None:
    with open_video(make_video("whole.mkv", **made).path) as reader:
        assert reader.warnings == ()


def test_a_matroska_file_of_no_stated_duration_lacks_nothing(make_video: Any, tmp_path: Path) -> None:
    live = tmp_path / "live.mkv"
    with (
        av.open(str(make_video(frames=300, rate=1).path)) as source,
        av.open(str(live), "w", container_options={"live": "1"}) as out,
    ):
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    with open_video(live) as reader:
        assert (reader.info.frames, reader.warnings) == (300, ())
