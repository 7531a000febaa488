"""Reads the facts of a video: size, length, depth, range, matrix."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from jobs.errors import VideoUndecodable, VideoUnsupported
from models.base import Matrix
from worker.media.fields import find_order
from worker.media.frames import VideoInfo
from worker.media.limits import refuse_announced, refuse_frames, refuse_too_much
from worker.media.luma import bit_depth, conversion_note, is_gray, is_rgb
from worker.media.source import open_source, video_stream
from worker.media.tags import display_matrix, quarter_turns, sample_aspect
from worker.media.timeline import Timeline, read_timeline
from worker.task import Limits

# Codes of ITU-T H.273 (CICP), as FFmpeg numbers them.
_UNTAGGED = frozenset({0, 2})
_MATRICES: dict[int, Matrix] = {1: "bt709", 4: "bt601", 5: "bt601", 6: "bt601", 7: "bt709", 9: "bt2020", 10: "bt2020"}
"""FCC (4) differs from BT.601 and SMPTE 240M (7) from BT.709 by less than a code of chroma in ten."""
_FULL_RANGE = 2
_LIMITED_RANGE = 1
_FULL_RANGE_GRAY = frozenset(
    {"ffv1", "rawvideo", "png", "dpx", "tiff", "mjpeg", "jpeg2000", "huffyuv", "ffvhuff", "utvideo", "bmp"}
)
"""Codecs whose untagged gray is a picture's gray (0..255); elsewhere (H.264, HEVC, AV1) it is video's (16..235)."""


@dataclass(frozen=True, slots=True)
class Examination:
    """All that one look at a video tells."""

    info: VideoInfo
    timeline: Timeline
    warnings: tuple[str, ...]
    """What will not be kept exactly, or seems to be missing, as sentences for the user."""


def probe(path: Path) -> VideoInfo:
    """Facts of the film in `path`: all packets are read, one frame is decoded.

    Raises:
        VideoUndecodable: not a video, no frames, cut off or damaged.
        VideoUnsupported: a playlist, or pixels that are no luma codes.
    """
    return examine(path).info


def examine(
    path: Path, *, limits: Limits | None = None, on_packet: Callable[[int], None] = lambda _: None
) -> Examination:
    """Facts and timeline of the film in `path`.

    `on_packet` is called for every packet read, with the number of frames found so far, and may raise.

    Raises:
        VideoUndecodable: not a video, no frames, cut off or damaged.
        VideoUnsupported: a playlist, or pixels that are no luma codes.
        VideoTooLarge, VideoTooLong: it is beyond `limits`; raised as soon as it shows.
    """
    if limits is None:
        return _examine(path, on_packet)
    with open_source(path) as container:
        refuse_announced(video_stream(container), limits)

    def count(frames: int) -> None:
        refuse_frames(frames, limits)
        on_packet(frames)

    examination = _examine(path, count)
    # The header may have told a lie.
    refuse_too_much(examination.info, limits)
    return examination


def _examine(path: Path, on_packet: Callable[[int], None]) -> Examination:
    timeline, missing = read_timeline(path, on_packet=on_packet)
    with open_source(path) as container:
        stream = video_stream(container)
        try:
            decoding = container.decode(stream)
            frame = next(decoding, None)
        except av.error.FFmpegError as error:
            raise VideoUndecodable(
                "The video's first frame cannot be decoded; the file is damaged. Export it again and use that."
            ) from error
        if frame is None:
            raise VideoUndecodable("The video has no frames; export it again and check that it plays.")
        notes = (missing, conversion_note(frame.format), _about_shape(stream))
        info = VideoInfo(
            width=frame.width,
            height=frame.height,
            frames=len(timeline),
            duration_seconds=float((timeline.end - int(timeline.pts[0])) * timeline.time_base),
            frame_rate=_frame_rate(stream, timeline),
            codec=stream.codec_context.name,
            pixel_format=frame.format.name,
            bit_depth=bit_depth(frame.format),
            full_range=_is_full_range(frame, stream),
            matrix=_matrix(frame, stream),
            has_audio=bool(container.streams.audio),
            sample_aspect=sample_aspect(stream) or Fraction(1),
            quarter_turns=quarter_turns(display_matrix(frame)),
            field_order=find_order(frame, decoding, stated=int(stream.codec_context.field_order)),
        )
    return Examination(info=info, timeline=timeline, warnings=tuple(filter(None, notes)))


def _about_shape(stream: Any) -> str | None:
    stated = stream.sample_aspect_ratio
    if not stated or sample_aspect(stream) is not None:
        return None
    return (
        f"The video says that its pixels are {stated.numerator}:{stated.denominator} in shape, which no film is; "
        "they are taken for square."
    )


def _frame_rate(stream: Any, timeline: Timeline) -> Fraction:
    """The distance of frames where it is constant; else the container's figure, if the timeline bears it out."""
    steps = np.diff(timeline.pts)
    if len(steps) and steps.min() == steps.max():
        return 1 / (int(steps[0]) * Fraction(timeline.time_base))
    span = (int(timeline.pts[-1]) - int(timeline.pts[0])) * timeline.time_base
    announced = stream.average_rate
    if announced and (span == 0 or abs(announced * span - (len(timeline) - 1)) < 1):
        return Fraction(announced)
    if span == 0:
        return Fraction(1 / (timeline.last_duration * timeline.time_base)).limit_denominator(100_000)
    return Fraction((len(timeline) - 1) / span).limit_denominator(100_000)


def _is_full_range(frame: Any, stream: Any) -> bool:
    if is_rgb(frame.format) or frame.format.name.startswith(("yuvj", "mono")):
        return True
    tag = int(frame.color_range) or int(stream.codec_context.color_range)
    if tag in (_FULL_RANGE, _LIMITED_RANGE):
        return tag == _FULL_RANGE
    return is_gray(frame.format) and stream.codec_context.name in _FULL_RANGE_GRAY


def _matrix(frame: Any, stream: Any) -> Matrix:
    tag = int(frame.colorspace)
    if tag in _UNTAGGED:
        tag = int(stream.codec_context.colorspace)
    if tag in _MATRICES:
        return _MATRICES[tag]
    if tag in _UNTAGGED or is_rgb(frame.format):
        # The custom of players: high definition is BT.709, standard definition BT.601.
        return "bt709" if frame.height > 576 else "bt601"
    raise VideoUnsupported(
        f"The video's color matrix (code {tag} of ITU-T H.273) is not supported; "
        "convert it to BT.601, BT.709 or BT.2020 and use that."
    )
