import itertools
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from jobs.errors import StorageFull
from jobs.options import OutputOptions
from worker.media import film
from worker.media.decode import VideoReader, open_video
from worker.media.encode import VideoOutput
from worker.media.matroska import UnknownLayout
from worker.media.passengers import Passengers
from worker.media.probe import examine
from worker.media.source import demux


@contextmanager
def opened(source: Path, **options: Any) -> Iterator[tuple[VideoReader, VideoOutput]]:
    with open_video(source) as reader:
        output = VideoOutput(source=source, info=reader.info, timeline=reader.timeline, output=OutputOptions(**options))
        yield reader, output


def recolor(source: Path, target: Path, *, parts: int = 3, **options: Any) -> list[str]:
    """Write `source` again with a constant chroma, in segments of different lengths; returns the warnings."""
    with opened(source, **options) as (reader, output):
        dtype = np.uint8 if reader.info.bit_depth == 8 else np.uint16
        middle = 1 << (reader.info.bit_depth - 1)
        chroma = np.full((2, *output.chroma_size), middle, dtype=dtype)
        chroma[0] += dtype(20)
        count = reader.info.frames
        bounds = sorted({0, *(min(count, 1 + count * part // parts) for part in range(parts)), count})
        segments = [target.with_name(f"{target.name}.{first}") for first in bounds[:-1]]
        for (first, stop), segment in zip(itertools.pairwise(bounds), segments, strict=True):
            with output.open_segment(segment) as writer:
                for frame in reader.frames(first, stop - 1):
                    writer.write(frame, chroma)
        output.join(target, segments)
    return output.warnings


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


SOURCES: dict[str, dict[str, Any]] = {
    "in.mp4": {"audio": "aac"},
    "in.mkv": {"audio": "aac"},
    "in.mov": {"codec": "prores_ks", "options": {}, "pix_fmt": "yuv422p10le", "audio": "pcm_s16le"},
    "in.webm": {"codec": "libvpx-vp9", "options": {"lossless": "1"}, "audio": "libopus"},
    "in.avi": {"audio": "mp3"},
    "in.ts": {"audio": "aac", "container_format": "mpegts"},
}


def sound(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(container.streams.audio[0]) if packet.size]


def kinds(path: Path) -> list[str]:
    with av.open(str(path)) as container:
        return [stream.type for stream in container.streams]


@pytest.mark.parametrize("container", ["mp4", "mkv", "mov"])
@pytest.mark.parametrize("name", SOURCES)
def test_every_container_in_and_out(make_video: Any, tmp_path: Path, name: str, container: str) -> None:
    made = make_video(name, **{"frames": 30, **SOURCES[name]})
    target = tmp_path / f"out.{container}"
    warnings = recolor(made.path, target, container=container, **({} if container == "mov" else {"quality": 0}))
    converted = (name, container) in {("in.mov", "mp4"), ("in.webm", "mov")}
    assert [w.split()[0] for w in warnings] == (["Sound"] if converted else [])
    assert kinds(target) == ["video", "audio"]
    if container != "mov":
        assert_same_planes(lumas(made.path), lumas(target))
    before, after = times(made.path), times(target)
    tolerance = Fraction(1, 1000) if container == "mkv" else 0
    assert all(abs((b - after[0]) - (a - before[0])) <= tolerance for a, b in zip(before, after, strict=True))
    if not converted and name != "in.ts":
        # MPEG-TS frames its AAC with headers that files do not have; PCM is cut into packets as each container likes.
        assert b"".join(sound(target)) == b"".join(sound(made.path))


@pytest.mark.parametrize(
    ("output", "because"),
    [
        ({"container": "mkv", "codec": "ffv1"}, "FFV1 is lossless"),
        ({"container": "mov"}, "ProRes has one quality"),
        ({"container": "mkv"}, None),
    ],
)
def test_a_quality_that_the_codec_has_no_use_for_is_told(
    make_video: Any, output: dict[str, Any], because: str | None
) -> None:
    made = make_video("in.mkv", frames=2)
    with opened(made.path, quality=10, **output) as (_, asked), opened(made.path, quality=18, **output) as (_, default):
        told = [] if because is None else [f"The quality 10 was not used: it is for H.264, and {because}."]
        assert asked.warnings == told
        assert default.warnings == []


def test_copied_sound_has_the_same_packets(make_video: Any, tmp_path: Path) -> None:
    made = make_video(audio="aac", frames=30)
    recolor(made.path, tmp_path / "out.mp4")
    assert sound(tmp_path / "out.mp4") == sound(made.path)
    with av.open(str(tmp_path / "out.mp4")) as out, av.open(str(made.path)) as source:
        assert [p.pts for p in out.demux(audio=0)] == [p.pts for p in source.demux(audio=0)]


@pytest.mark.parametrize("codec", ["pcm_u8", "adpcm_ima_wav", "pcm_mulaw"])
def test_sound_that_mp4_players_do_not_know_is_converted(make_video: Any, tmp_path: Path, codec: str) -> None:
    made = make_video("in.avi", audio=codec, frames=50)
    warnings = recolor(made.path, tmp_path / "out.mp4")
    assert [f"Sound in {codec} was converted to aac" in warning for warning in warnings] == [True]
    with av.open(str(tmp_path / "out.mp4")) as out:
        stream = out.streams.audio[0]
        assert (stream.codec_context.name, stream.codec_context.layout.name) == ("aac", "stereo")
        samples = [frame.to_ndarray() for frame in out.decode(stream)]
    heard = np.concatenate(samples, axis=1)
    assert heard.shape[1] == pytest.approx(2 * 48000, abs=2048)
    # The tone that went in: 12000 of 32767 at 0.05 radians per sample.
    spectrum = np.abs(np.fft.rfft(heard[0, 8192:73728]))
    assert np.argmax(spectrum) == pytest.approx(0.05 / (2 * np.pi) * 65536, abs=2)
    assert np.abs(heard[0, 8192:73728]).max() == pytest.approx(12000 / 32767, rel=0.1)


@pytest.mark.parametrize("container", ["mp4", "mkv", "mov"])
def test_the_cover_picture_comes_along_where_the_container_holds_it(
    make_video: Any, tmp_path: Path, container: str
) -> None:
    cover = cv2.imencode(".jpg", np.full((32, 32, 3), 100, np.uint8))[1].tobytes()
    made = make_video("in.mkv", frames=5, attachment=("cover.jpg", "image/jpeg", cover))
    target = tmp_path / f"out.{container}"
    warnings = recolor(made.path, target, container=container)
    with av.open(str(target)) as out:
        covers = [s for s in out.streams.video if s.disposition & av.stream.Disposition.attached_pic]
        found = [bytes(packet) for packet in out.demux(covers) if packet.size] if covers else []
    if container == "mov":
        assert (found, len(warnings)) == ([], 1)
    else:
        assert (found, warnings) == ([cover], [])
    with open_video(target) as reader:
        assert reader.info.frames == 5


def test_film_and_sound_are_interleaved(make_video: Any, tmp_path: Path) -> None:
    made = make_video(audio="aac", frames=150)
    recolor(made.path, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as out:
        places = sorted((p.pos, p.stream.type, float(p.dts * p.time_base)) for p in out.demux() if p.size)
    for (_, kind, time), (_, next_kind, next_time) in itertools.pairwise(places):
        assert kind == next_kind or abs(next_time - time) < 1


def test_variable_frame_rate_keeps_every_time(make_video: Any, tmp_path: Path) -> None:
    base = Fraction(1, 90_000)
    made = make_video("in.mp4", steps=[3000, 1501, 7777], start=0, time_base=base, frames=20)
    recolor(made.path, tmp_path / "out.mp4")
    assert times(tmp_path / "out.mp4") == times(made.path) == made.times


@pytest.mark.parametrize("steps", [[7], [40] * 20 + [7, 7, 7]])
@pytest.mark.parametrize(("container", "codec"), [("mp4", "h264"), ("mkv", "h264"), ("mkv", "ffv1"), ("mov", "prores")])
def test_the_last_frame_stands_as_long_as_it_did(
    make_video: Any, tmp_path: Path, container: str, codec: str, steps: list[int]
) -> None:
    # It is not the last in the file where frames are reordered.
    made = make_video("in.mkv", codec="ffv1", options={}, steps=steps, time_base=Fraction(1, 1000), frames=24)
    target = tmp_path / f"out.{container}"
    recolor(made.path, target, container=container, codec=codec)
    with open_video(target) as reader:
        assert reader.timeline.last_duration * reader.timeline.time_base == Fraction(40, 1000)
    with av.open(str(target)) as out:
        assert out.duration == (made.times[-1] + Fraction(40, 1000)) * av.time_base


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(30000, 1001)])
def test_broadcast_rates_are_exact(make_video: Any, tmp_path: Path, rate: Fraction) -> None:
    made = make_video("in.mp4", rate=rate, frames=30)
    recolor(made.path, tmp_path / "out.mp4")
    assert times(tmp_path / "out.mp4") == [index / rate for index in range(30)]
    with open_video(tmp_path / "out.mp4") as out:
        assert out.info.frame_rate == rate
        assert out.info.duration_seconds == pytest.approx(float(30 / rate), abs=1e-4)


NTSC_FILM = Fraction(24000, 1001)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize(("container", "codec"), [("mp4", "h264"), ("mov", "prores")])
def test_a_constant_rate_that_matroska_rounds_is_written_exactly(
    make_video: Any, tmp_path: Path, container: str, codec: str, first: int
) -> None:
    made = make_video("in.mkv", rate=NTSC_FILM, start=first, frames=100, audio="aac")
    target = tmp_path / f"out.{container}"
    recolor(made.path, target, container=container, codec=codec)
    with av.open(str(target)) as out:
        stream = out.streams.video[0]
        packets = [packet for packet in out.demux(stream) if packet.size]
        assert (stream.time_base, stream.average_rate) == (Fraction(1, 24000), NTSC_FILM)
        assert {packet.duration for packet in packets} == {1001}
    found, rounded = times(target), times(made.path)
    assert [time - found[0] for time in found] == [index / NTSC_FILM for index in range(100)]
    # The sound, which is copied, stands where it stood.
    assert all(abs(time - before) < Fraction(1, 1000) for time, before in zip(found, rounded, strict=True))


def test_matroska_rounds_a_constant_rate_as_it_did_before(make_video: Any, tmp_path: Path) -> None:
    made = make_video("in.mkv", rate=NTSC_FILM, frames=100)
    recolor(made.path, tmp_path / "out.mkv", container="mkv", codec="ffv1")
    assert times(tmp_path / "out.mkv") == times(made.path)
    with av.open(str(tmp_path / "out.mkv")) as out:
        assert out.streams.video[0].average_rate == NTSC_FILM


@pytest.mark.parametrize("gap", [1, 2])
def test_a_film_that_lacks_a_frame_is_of_no_constant_rate(make_video: Any, tmp_path: Path, gap: int) -> None:
    steps = [41, 42, 42, 41, 42, 42, 41 + 42 * gap, 42, 42, 41, 42, 42, 41]
    made = make_video("in.mkv", steps=steps, time_base=Fraction(1, 1000), rate=NTSC_FILM, frames=13)
    recolor(made.path, tmp_path / "out.mp4")
    assert times(tmp_path / "out.mp4") == times(made.path) == made.times


def test_frames_that_a_rate_explains_but_for_a_tick_keep_their_times(make_video: Any, tmp_path: Path) -> None:
    # All 41 or 42 ms long, as at 24000/1001 frames per second, but the short ones come first.
    steps = [41] * 30 + [42] * 70
    made = make_video("in.mkv", steps=steps, time_base=Fraction(1, 1000), rate=NTSC_FILM, frames=100)
    recolor(made.path, tmp_path / "out.mp4")
    assert times(tmp_path / "out.mp4") == times(made.path) == made.times


@pytest.mark.parametrize("codec", ["h264", "ffv1"])
@pytest.mark.parametrize("steps", [[3000], [3000, 1501, 7777]])
def test_the_frame_rate_that_matroska_states_is_the_films(
    make_video: Any, tmp_path: Path, codec: str, steps: list[int]
) -> None:
    made = make_video("in.mp4", steps=steps, start=0, time_base=Fraction(1, 90_000), frames=20)
    recolor(made.path, tmp_path / "out.mkv", container="mkv", codec=codec)
    with open_video(made.path) as film, av.open(str(tmp_path / "out.mkv")) as out:
        assert float(out.streams.video[0].average_rate) == pytest.approx(float(film.info.frame_rate), rel=1e-4)


@pytest.mark.parametrize(("width", "height"), [(63, 48), (64, 47), (63, 47), (1, 1), (17, 31)])
@pytest.mark.parametrize(
    "output",
    [{"container": "mp4", "quality": 0}, {"container": "mkv", "codec": "ffv1"}, {"container": "mov"}],
    ids=["h264", "ffv1", "prores"],
)
def test_odd_sizes_stay_odd(make_video: Any, tmp_path: Path, width: int, height: int, output: dict[str, Any]) -> None:
    made = make_video("in.mkv", codec="ffv1", options={}, width=width, height=height, frames=5)
    target = tmp_path / f"out.{output['container']}"
    warnings = recolor(made.path, target, **output)
    with open_video(target) as reader:
        assert (reader.info.width, reader.info.height) == (width, height)
    assert bool(warnings) == (output["container"] == "mp4")
    if output["container"] != "mov":
        assert_same_planes(made.lumas, lumas(target))


def test_the_advice_for_odd_sizes_is_true(make_video: Any, tmp_path: Path) -> None:
    made = make_video("in.mkv", codec="ffv1", options={}, width=63, height=47, frames=3)
    [warning] = recolor(made.path, tmp_path / "out.mp4", container="mp4")
    # FFV1 is no remedy for what browsers do not play.
    assert "For one that they play, crop the video to even sides" in warning
    assert "ffv1 holds 4:2:0 at this size, but browsers do not play it" in warning
    assert recolor(made.path, tmp_path / "out.mkv", container="mkv", codec="ffv1") == []
    with open_video(tmp_path / "out.mkv") as reader:
        assert (reader.info.pixel_format, reader.info.width, reader.info.height) == ("yuv420p", 63, 47)


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
def test_prores_is_ten_bits_of_limited_range(make_video: Any, tmp_path: Path, pix_fmt: str, full_range: bool) -> None:
    made = make_video("in.mkv", codec="ffv1", options={}, pix_fmt=pix_fmt, full_range=full_range, frames=3)
    warnings = recolor(made.path, tmp_path / "out.mov", container="mov")
    assert bool(warnings) == full_range
    with open_video(tmp_path / "out.mov") as reader:
        assert (reader.info.bit_depth, reader.info.full_range) == (10, False)
        luma = next(reader.frames()).luma.astype(float)
    source = made.lumas[0].astype(float)
    scale = 4 if pix_fmt == "yuv420p" else 1
    expected = 64 + source * scale * 876 / (255 * 4 if scale == 4 else 1023) if full_range else source * scale
    assert np.abs(luma - expected).mean() < 12


@pytest.mark.parametrize("codes", [(5, 5, 4), (1, 1, 1), (9, 9, 14)], ids=["pal", "hd", "uhd"])
@pytest.mark.parametrize("container", ["mp4", "mkv", "mov"])
def test_shape_orientation_and_color_tags_are_kept(
    make_video: Any, tmp_path: Path, container: str, codes: tuple[int, int, int]
) -> None:
    made = make_video(
        "in.mp4", aspect=Fraction(16, 11), rotation=90, colorspace=codes[0], primaries=codes[1], trc=codes[2], frames=4
    )
    target = tmp_path / f"out.{container}"
    assert recolor(made.path, target, container=container) == []
    with av.open(str(target)) as out:
        stream = out.streams.video[0]
        frame = next(out.decode(stream))
        assert stream.sample_aspect_ratio == Fraction(16, 11)
        assert frame.rotation == 90
        assert frame.color_range == 1
        # ProRes has one matrix code for all of BT.601.
        expected = (6, 5, 4) if (container, codes[0]) == ("mov", 5) else codes
        assert (frame.colorspace, frame.color_primaries, frame.color_trc) == expected


@pytest.mark.parametrize(
    ("container", "codec", "said"),
    [
        # DisplayWidth and DisplayHeight in pixels; `pasp` is the shape of one pixel.
        ("mkv", "ffv1", [bytes.fromhex("54b082 0200"), bytes.fromhex("54ba82 0120")]),
        ("mkv", "h264", [bytes.fromhex("54b082 0200"), bytes.fromhex("54ba82 0120")]),
        ("mp4", "h264", [b"pasp" + bytes.fromhex("00000010 0000000b")]),
        ("mov", "prores", [b"pasp" + bytes.fromhex("00000010 0000000b")]),
    ],
)
def test_the_shape_of_pixels_is_told_by_the_container_and_by_the_stream(
    make_video: Any, tmp_path: Path, container: str, codec: str, said: list[bytes]
) -> None:
    made = make_video("in.mkv", aspect=Fraction(16, 11), width=352, height=288, frames=3)
    target = tmp_path / f"out.{container}"
    assert recolor(made.path, target, container=container, codec=codec) == []
    assert all(target.read_bytes().count(words) == 1 for words in said)
    with av.open(str(target)) as out:
        stream = out.streams.video[0]
        assert stream.sample_aspect_ratio == Fraction(16, 11)
        if codec == "h264":
            assert stream.codec_context.sample_aspect_ratio == Fraction(16, 11)


@pytest.mark.parametrize("container", ["mp4", "mkv", "mov"])
def test_a_shape_of_pixels_that_is_not_believed_is_not_written(make_video: Any, tmp_path: Path, container: str) -> None:
    made = make_video("in.mp4", aspect=Fraction(10), frames=4)
    examination = examine(made.path)
    assert examination.info.sample_aspect == 1
    assert examination.warnings == (
        "The video says that its pixels are 10:1 in shape, which no film is; they are taken for square.",
    )
    target = tmp_path / f"out.{container}"
    assert recolor(made.path, target, container=container) == []
    with av.open(str(target)) as out:
        assert out.streams.video[0].sample_aspect_ratio in (None, 1)


def test_a_shape_of_pixels_that_cannot_be_written_is_told(
    make_video: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise UnknownLayout("the tracks do not come first")

    monkeypatch.setattr(film, "state_shape", refuse)
    made = make_video("in.mkv", aspect=Fraction(16, 11), frames=2)
    [warning] = recolor(made.path, tmp_path / "out.mkv", container="mkv", codec="ffv1")
    assert warning.startswith("The shape of the pixels, 16:11, could not be written into the mkv (the tracks do not")
    assert len(lumas(tmp_path / "out.mkv")) == 2


@pytest.mark.parametrize(("height", "code"), [(48, 6), (720, 1)])
def test_an_untagged_film_is_tagged_with_the_matrix_that_was_used(
    make_video: Any, tmp_path: Path, height: int, code: int
) -> None:
    made = make_video("in.mp4", height=height, frames=2)
    recolor(made.path, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as out:
        assert next(out.decode(video=0)).colorspace == code


@pytest.mark.parametrize("container", ["mp4", "mkv", "mov"])
@pytest.mark.parametrize("name", ["in.mp4", "in.mkv"])
def test_subtitles_chapters_and_titles_come_along(make_video: Any, tmp_path: Path, name: str, container: str) -> None:
    made = make_video(
        name,
        frames=100,
        audio="aac",
        subtitles=[(0.5, 1.5, "The words"), (2.0, 3.0, "Größe\nand more")],
        chapters=[(0, 2, "One"), (2, 4, "Two")],
        metadata={"title": "A film"},
    )
    target = tmp_path / f"out.{container}"
    assert all("mov_text" in warning for warning in recolor(made.path, target, container=container))
    with av.open(str(target)) as out:
        assert out.metadata["title"] == "A film"
        chapters = out.chapters()
        assert [chapter["metadata"]["title"] for chapter in chapters] == ["One", "Two"]
        assert [float(chapter["start"] * chapter["time_base"]) for chapter in chapters] == [0, 2]
        stream = out.streams.subtitles[0]
        found = [(float(p.pts * p.time_base), bytes(p)) for p in out.demux(stream) if p.size > 2]
    start = float(times(target)[0])
    assert [time - start for time, _ in found] == pytest.approx([0.5, 2.0])
    assert b"The words" in found[0][1]
    assert "Größe".encode() in found[1][1]


def test_attachments_come_along_where_the_container_holds_them(make_video: Any, tmp_path: Path) -> None:
    made = make_video("in.mkv", frames=3, attachment=("letters.ttf", "font/ttf", b"not really letters"))
    assert recolor(made.path, tmp_path / "out.mkv", container="mkv") == []
    with av.open(str(tmp_path / "out.mkv")) as out:
        attachment = next(s for s in out.streams if s.type == "attachment")
        assert (attachment.name, attachment.data) == ("letters.ttf", b"not really letters")
    warnings = recolor(made.path, tmp_path / "out.mp4")
    assert "letters.ttf" in warnings[0]


def test_the_index_of_an_mp4_comes_first(make_video: Any, tmp_path: Path) -> None:
    recolor(make_video(frames=5).path, tmp_path / "out.mp4")
    data = (tmp_path / "out.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_no_segment_is_left_when_the_work_fails(make_video: Any, tmp_path: Path) -> None:
    made = make_video(frames=5)
    target = tmp_path / "segment"

    def write_one_and_fail(reader: VideoReader, output: VideoOutput) -> None:
        with output.open_segment(target) as writer:
            writer.write(next(reader.frames()), np.full((2, *output.chroma_size), 128, np.uint8))
            raise RuntimeError("stop")

    with opened(made.path) as (reader, output), pytest.raises(RuntimeError, match="stop"):
        write_one_and_fail(reader, output)
    assert not target.exists()


def test_no_film_is_left_when_joining_is_stopped(make_video: Any, tmp_path: Path) -> None:
    made = make_video(frames=5, audio="aac")
    target = tmp_path / "out.mp4"
    recolor(made.path, target, parts=1)

    def stop() -> None:
        raise RuntimeError("stop")

    with opened(made.path) as (_, output), pytest.raises(RuntimeError, match="stop"):
        output.join(target, [tmp_path / "out.mp4.0", tmp_path / "out.mp4.1"], on_frame=stop)
    assert not target.exists()


@pytest.mark.parametrize("missing", [0, 1])
def test_segments_that_are_not_the_whole_film_are_a_programming_error(
    make_video: Any, tmp_path: Path, missing: int
) -> None:
    made = make_video(frames=5)
    recolor(made.path, tmp_path / "out.mp4", parts=1)
    segments = [tmp_path / "out.mp4.0", tmp_path / "out.mp4.1"]
    with opened(made.path) as (_, output), pytest.raises(ValueError, match="frames"):
        output.join(tmp_path / "again.mp4", segments[:1] if missing else [*segments, segments[0]])


@pytest.mark.parametrize("codec", ["ffv1", "h264"])
def test_a_full_disk_is_told(make_video: Any, tmp_path: Path, codec: str) -> None:
    made = make_video(frames=60, width=320, height=240)
    target = tmp_path / "out.mkv"
    target.symlink_to("/dev/full")
    with pytest.raises(StorageFull, match="disk is full"):
        recolor(made.path, target, container="mkv", codec=codec, quality=0)
    assert not target.is_symlink()


def test_a_disk_that_fills_up_on_the_way_is_told_and_the_file_removed(make_video: Any, tmp_path: Path) -> None:
    made = make_video(frames=60, width=320, height=240, audio="aac")
    target = tmp_path / "out.mp4"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        with pytest.raises(StorageFull, match="disk is full"):
            recolor(made.path, target, quality=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not target.exists()


def test_sound_that_could_not_be_converted_is_told(make_video: Any, tmp_path: Path) -> None:
    made = make_video("in.avi", audio="adpcm_ms", frames=50)
    damaged = tmp_path / "damaged.avi"
    with av.open(str(made.path)) as source, av.open(str(damaged), "w") as out:
        streams = {s.index: out.add_stream_from_template(s, opaque=True) for s in source.streams}
        spoilt = 0
        for packet in source.demux():
            if packet.dts is None:
                continue
            stream = streams[packet.stream.index]
            if packet.stream.type == "audio" and 0.4 < packet.pts * packet.time_base < 1.1:
                spoilt += 1
                garbage: Any = av.Packet(b"\xff" * packet.size)
                garbage.pts, garbage.dts, garbage.time_base = packet.pts, packet.dts, packet.time_base
                packet = garbage
            packet.stream = stream
            out.mux(packet)
    assert spoilt > 1
    warnings = recolor(damaged, tmp_path / "out.mp4")
    assert any(warning.startswith(f"{spoilt} packets of a sound track could not be converted") for warning in warnings)


def test_sound_that_breaks_off_is_told_with_its_time(
    make_video: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(container: Any, *streams: Any) -> Iterator[Any]:
        for packet in demux(container, *streams):
            if packet.pts is not None and packet.pts * packet.time_base > 1.2:
                raise av.error.InvalidDataError(1, "damaged here")
            yield packet

    made = make_video(audio="aac", frames=50)
    monkeypatch.setattr("worker.media.passengers.demux", broken)
    warnings = recolor(made.path, tmp_path / "out.mp4")
    assert ["damaged at 1.2 s" in warning for warning in warnings] == [True]


def test_a_stream_that_the_container_refuses_at_last_does_not_cost_the_film(
    make_video: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stowaway(Passengers):
        def __init__(self, source: Path, *, target: Any, **others: Any) -> None:
            super().__init__(source, target=target, **others)
            target.add_data_stream()

    monkeypatch.setattr(film, "Passengers", Stowaway)
    made = make_video(frames=5, audio="aac")
    warnings = recolor(made.path, tmp_path / "out.mp4", quality=0)
    assert "left out" in warnings[0]
    assert kinds(tmp_path / "out.mp4") == ["video"]
    assert_same_planes(made.lumas, lumas(tmp_path / "out.mp4"))


def test_planes_of_another_size_are_a_programming_error(make_video: Any, tmp_path: Path) -> None:
    made = make_video(frames=3)
    with opened(made.path) as (reader, output), output.open_segment(tmp_path / "segment") as writer:
        frame = next(reader.frames())
        with pytest.raises(ValueError, match="chroma planes"):
            writer.write(frame, np.zeros((2, 48, 64), np.uint8))
        writer.write(frame, np.zeros((2, *output.chroma_size), np.uint8))
        with pytest.raises(ValueError, match="not after"):
            writer.write(frame, np.zeros((2, *output.chroma_size), np.uint8))
