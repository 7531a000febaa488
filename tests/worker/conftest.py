"""Makes tiny videos, so that every test starts from a file whose samples and timestamps it knows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

MakeVideo = Callable[..., "MadeVideo"]


@dataclass(frozen=True)
class MadeVideo:
    """A file and what went into it."""

    path: Path
    lumas: list[NDArray[Any]]
    """Luma planes as given to the encoder."""
    times: list[Fraction]
    """Presentation times in seconds."""
    metadata: dict[str, str] = field(default_factory=dict)


def moving_luma(index: int, *, width: int, height: int, depth: int, full_range: bool) -> NDArray[Any]:
    """A textured pattern that moves, over all codes that the range allows."""
    low, high = (0, 2**depth - 1) if full_range else (16 << (depth - 8), 235 << (depth - 8))
    rng = np.random.default_rng(7)
    texture = rng.random((height + 64, width + 64))
    smooth = (texture[:-1, :-1] + texture[1:, :-1] + texture[:-1, 1:] + texture[1:, 1:]) / 4
    part = smooth[index % 32 : index % 32 + height, index % 32 : index % 32 + width]
    part = (part - part.min()) / max(part.max() - part.min(), 1e-6)
    return np.rint(low + part * (high - low)).astype(np.uint8 if depth == 8 else np.uint16)


def fill(plane: Any, codes: NDArray[Any]) -> None:
    lines = np.frombuffer(plane, dtype=np.uint8).reshape(-1, plane.line_size)
    lines[: codes.shape[0], : codes.shape[1] * codes.itemsize].view(codes.dtype)[:] = codes


def interlaced(frame: Any, fields: str) -> Any:
    """The frame, marked as `tff` or `bff`."""
    graph = av.filter.Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base)
    marking, sink = graph.add("setfield", fields), graph.add("buffersink")
    source.link_to(marking)
    marking.link_to(sink)
    graph.configure()
    graph.push(frame)
    return graph.pull()


@pytest.fixture
def make_video(tmp_path: Path) -> MakeVideo:
    """A function that writes a video; see its arguments."""

    def make(
        name: str = "clip.mp4",
        *,
        codec: str = "libx264",
        options: dict[str, str] | None = None,
        pix_fmt: str = "yuv420p",
        width: int = 64,
        height: int = 48,
        frames: int = 12,
        rate: int | Fraction = 25,
        steps: Sequence[int] | None = None,
        start: int = 0,
        time_base: Fraction | None = None,
        full_range: bool = False,
        colorspace: int = 2,
        primaries: int = 2,
        trc: int = 2,
        aspect: Fraction | None = None,
        rotation: int = 0,
        audio: str | None = None,
        subtitles: Sequence[tuple[float, float, str]] = (),
        chapters: Sequence[tuple[float, float, str]] = (),
        attachment: tuple[str, str, bytes] | None = None,
        metadata: dict[str, str] | None = None,
        container_format: str | None = None,
        fields: str | None = None,
    ) -> MadeVideo:
        """`steps` are the distances of frames in ticks of `time_base` (variable frame rate); `audio` is a codec;
        `fields` is tff or bff, for frames that say so."""
        path = tmp_path / name
        base = time_base or 1 / Fraction(rate)
        depth = 10 if "10" in pix_fmt else 8
        lossless = {"qp": "0", "g": "5"} if codec == "libx264" else {}
        lumas, times = [], []
        ticks = start
        with av.open(str(path), "w", format=container_format) as out:
            out.metadata.update(metadata or {})
            stream: Any = out.add_stream(codec, rate=rate, options=lossless if options is None else options)
            stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
            stream.codec_context.time_base = base
            stream.time_base = base
            stream.codec_context.color_range = 2 if full_range else 1
            stream.codec_context.colorspace = colorspace
            stream.codec_context.color_primaries = primaries
            stream.codec_context.color_trc = trc
            if aspect is not None:
                stream.codec_context.sample_aspect_ratio = aspect
            if rotation:
                stream.set_display_rotation(rotation)
            sound: Any = None
            if audio is not None:
                sound = out.add_stream(audio, rate=48000)
                sound.codec_context.layout = "stereo"
            words: Any = None
            if subtitles:
                words = out.add_stream("mov_text" if path.suffix in (".mp4", ".mov") else "subrip")
                words.codec_context.subtitle_header = ASS_HEADER
                words.codec_context.time_base = Fraction(1, 1000)
                words.time_base = Fraction(1, 1000)
            if attachment is not None:
                out.add_attachment(*attachment)
            if chapters:
                out.set_chapters(
                    [
                        {
                            "id": number,
                            "start": round(begin * 1000),
                            "end": round(end * 1000),
                            "time_base": Fraction(1, 1000),
                            "metadata": {"title": title},
                        }
                        for number, (begin, end, title) in enumerate(chapters)
                    ]
                )
            for begin, end, text in subtitles:
                data = text.encode()
                if words.codec_context.name == "mov_text":
                    data = len(data).to_bytes(2, "big") + data
                packet: Any = av.Packet(data)
                packet.time_base = Fraction(1, 1000)
                packet.pts = packet.dts = round(begin * 1000)
                packet.duration = round((end - begin) * 1000)
                packet.stream = words
                out.mux(packet)
            for index in range(frames):
                luma = moving_luma(index, width=width, height=height, depth=depth, full_range=full_range)
                frame = av.VideoFrame(width, height, pix_fmt)
                fill(frame.planes[0], luma)
                for plane in frame.planes[1:]:
                    gray = np.full((plane.height, plane.width), 1 << (depth - 1), dtype=luma.dtype)
                    fill(plane, gray)
                frame.pts = ticks
                frame.time_base = base
                lumas.append(luma)
                times.append(ticks * base)
                step = 1 if steps is None else steps[index % len(steps)]
                frame.duration = step
                ticks += step
                out.mux(stream.encode(frame if fields is None else interlaced(frame, fields)))
            out.mux(stream.encode())
            if sound is not None:
                _write_tone(out, sound, seconds=float((ticks - start) * base))
        return MadeVideo(path=path, lumas=lumas, times=times, metadata=metadata or {})

    return make


def _write_tone(out: Any, stream: Any, *, seconds: float) -> None:
    samples = round(seconds * 48000)
    wave = (np.sin(np.arange(samples) * 0.05) * 12000).astype(np.int16)
    for start in range(0, samples, 4800):
        part = np.repeat(wave[start : start + 4800], 2)[None, :]
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), format="s16", layout="stereo")
        frame.sample_rate = 48000
        frame.pts = start
        frame.time_base = Fraction(1, 48000)
        out.mux(stream.encode(frame))
    out.mux(stream.encode())


ASS_HEADER = b"""[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,0

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


@dataclass(frozen=True)
class MadeFilm:
    """A film of drawn scenes, whose colors are known."""

    path: Path
    lumas: list[NDArray[Any]]
    """Luma planes, 8-bit codes of the limited range, or 10-bit ones."""
    pictures: list[NDArray[np.uint8]]
    """Each frame in color, [H, W, 3] uint8 R'G'B', its BT.601 luma that of the film."""


MakeFilm = Callable[..., MadeFilm]


def drawn_scene(seed: int, moved: int, *, width: int, height: int) -> NDArray[np.uint8]:
    """A picture of soft blobs in color, [H, W, 3]; `moved` shifts it sideways by pixels."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    picture = np.full((height, width, 3), rng.uniform(60, 190, 3))
    for _ in range(14):
        x, y, radius = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.06, 0.2) * min(width, height) + 2
        weight = np.exp(-(((columns - x - moved) ** 2 + (rows - y) ** 2) / (2 * radius**2)))[..., None]
        picture = picture * (1 - weight) + rng.uniform(0, 255, 3) * weight
    return np.rint(picture).clip(0, 255).astype(np.uint8)


def luma_of_picture(picture: NDArray[np.uint8], *, depth: int = 8) -> NDArray[Any]:
    """BT.601 luma in limited-range codes."""
    luma = picture.astype(np.float64) @ np.array([0.299, 0.587, 0.114]) / 255
    codes = np.rint((16 + 219 * luma) * 2 ** (depth - 8))
    return codes.astype(np.uint8 if depth == 8 else np.uint16)


@pytest.fixture
def make_film(tmp_path: Path) -> MakeFilm:
    """A function that writes a lossless film; `scenes` are pairs of a seed and a number of frames, one per shot, `bars`
    the rows above and below and the columns on the left and right that are black, `black` the first frames that are."""

    def make(
        name: str = "film.mkv",
        *,
        scenes: Sequence[tuple[int, int]] = ((1, 12),),
        width: int = 96,
        height: int = 64,
        depth: int = 8,
        sound: bool = False,
        aspect: Fraction | None = None,
        rotation: int = 0,
        bars: tuple[int, int] = (0, 0),
        black: int = 0,
    ) -> MadeFilm:
        path = tmp_path / name
        pix_fmt = "yuv444p" if depth == 8 else "yuv444p10le"
        lumas, pictures = [], []
        with av.open(str(path), "w") as out:
            stream: Any = out.add_stream("libx264", rate=25, options={"qp": "0", "g": "5"})
            stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
            stream.codec_context.color_range, stream.codec_context.colorspace = 1, 6
            if aspect is not None:
                stream.codec_context.sample_aspect_ratio = aspect
            if rotation:
                stream.set_display_rotation(rotation)
            tone: Any = out.add_stream("aac", rate=48000) if sound else None
            if tone is not None:
                tone.codec_context.layout = "stereo"
            for seed, frames in scenes:
                for index in range(frames):
                    picture = drawn_scene(seed, index, width=width, height=height)
                    inner = picture[bars[0] : height - bars[0], bars[1] : width - bars[1]]
                    picture = np.pad(inner, [(bars[0], bars[0]), (bars[1], bars[1]), (0, 0)])
                    if len(pictures) < black:
                        picture = np.zeros_like(picture)
                    luma = luma_of_picture(picture, depth=depth)
                    frame = av.VideoFrame(width, height, pix_fmt)
                    fill(frame.planes[0], luma)
                    for plane in frame.planes[1:]:
                        fill(plane, np.full((height, width), 1 << (depth - 1), dtype=luma.dtype))
                    out.mux(stream.encode(frame))
                    lumas.append(luma)
                    pictures.append(picture)
            out.mux(stream.encode())
            if tone is not None:
                _write_tone(out, tone, seconds=len(lumas) / 25)
        return MadeFilm(path=path, lumas=lumas, pictures=pictures)

    return make
