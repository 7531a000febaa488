"""What a video says of its own picture beside the samples: shape, orientation, color tags."""

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type as SideDataType

from models.base import Matrix
from worker.media.frames import MOST_SAMPLE_ASPECT
from worker.media.source import VideoStream, open_source, video_stream

_MATRIX_CODES: dict[Matrix, tuple[int, ...]] = {"bt601": (6, 5, 4), "bt709": (1, 7), "bt2020": (9, 10)}
"""Codes of ITU-T H.273 that mean each matrix; the first is written where the source has none of them."""
_UNSPECIFIED = 2


@dataclass(frozen=True, slots=True)
class FilmTags:
    """Tags of the film as the source has them, to be written again."""

    sample_aspect_ratio: Fraction | None
    """Width of a sample over its height; None where the film does not say, or not believably."""
    display_matrix: tuple[int, ...] | None
    """Nine numbers in FFmpeg's layout: rotation and flips; None where the picture stands upright."""
    color_primaries: int
    """ITU-T H.273; 2 is unspecified."""
    color_trc: int
    colorspace: int
    origin: Fraction
    """Seconds that all timestamps are moved back by, so that the film starts at or after zero."""

    def upright(self) -> "FilmTags":
        """The tags of the picture once it is turned by `quarter_turns`."""
        aspect = self.sample_aspect_ratio
        if aspect is not None and quarter_turns(self.display_matrix) % 2:
            aspect = 1 / aspect
        return replace(self, display_matrix=None, sample_aspect_ratio=aspect)


def read_tags(path: Path, *, first_time: Fraction) -> FilmTags:
    """Read the tags of the film in `path`, whose first frame stands at `first_time` seconds."""
    with open_source(path) as container:
        stream = video_stream(container)
        frame = next(container.decode(stream))
        context = stream.codec_context
        origin = min(Fraction(0), first_time)
        if container.format.name.startswith("mpeg"):
            # A broadcast's clock starts anywhere; files start at zero.
            starts = [s.start_time * s.time_base for s in container.streams if s.start_time is not None and s.time_base]
            origin = min([first_time, *starts])
        return FilmTags(
            sample_aspect_ratio=sample_aspect(stream),
            display_matrix=display_matrix(frame),
            color_primaries=int(frame.color_primaries) or int(context.color_primaries) or _UNSPECIFIED,
            color_trc=int(frame.color_trc) or int(context.color_trc) or _UNSPECIFIED,
            colorspace=int(frame.colorspace),
            origin=origin,
        )


def display_matrix(frame: av.VideoFrame) -> tuple[int, ...] | None:
    """As in `FilmTags`, of the film that `frame` is of."""
    try:
        side_data: Any = frame.side_data
    except ValueError:
        return None  # PyAV gives none of it where it does not know a kind, such as Exif.
    matrix = next((bytes(data) for data in side_data if data.type is SideDataType.DISPLAYMATRIX), None)
    return None if matrix is None else tuple(int(v) for v in np.frombuffer(matrix, dtype=np.int32))


def sample_aspect(stream: VideoStream) -> Fraction | None:
    """As in `FilmTags`, of the film in `stream`."""
    stated = stream.sample_aspect_ratio
    return stated if stated and 1 <= max(stated, 1 / stated) <= MOST_SAMPLE_ASPECT else None


def quarter_turns(matrix: tuple[int, ...] | None) -> int:
    """Turns counterclockwise by 90 degrees that bring the stored picture upright, 0 to 3, by its display matrix."""
    if matrix is None:
        return 0
    # The first row of the matrix is where the picture's right side points (libavutil's display.h).
    across, down = matrix[0], matrix[1]
    if abs(across) >= abs(down):
        return 0 if across >= 0 else 2
    return 3 if down > 0 else 1


def matrix_code(matrix: Matrix, *, tagged: int) -> int:
    """H.273 code to write for `matrix`: the source's own tag where it means that matrix; never untagged."""
    codes = _MATRIX_CODES[matrix]
    return tagged if tagged in codes else codes[0]


def range_code(*, full_range: bool) -> int:
    """FFmpeg's AVColorRange."""
    return 2 if full_range else 1


def copy_tags(tags: FilmTags, *, stream: "av.VideoStream", matrix: Matrix, full_range: bool) -> None:
    """Write the tags to an encoder's stream, before its first frame."""
    context = stream.codec_context
    # ProRes has one code for BT.601.
    tagged = 0 if context.name == "prores_ks" else tags.colorspace
    context.color_range = range_code(full_range=full_range)
    context.colorspace = matrix_code(matrix, tagged=tagged)
    context.color_primaries = tags.color_primaries
    context.color_trc = tags.color_trc
    if tags.sample_aspect_ratio is not None:
        context.sample_aspect_ratio = tags.sample_aspect_ratio
    if tags.display_matrix is not None:
        stream.set_display_matrix(tags.display_matrix)
