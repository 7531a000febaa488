"""Chooses codec, pixel format and settings of the output."""

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from jobs.options import DEFAULT_QUALITY, OutputOptions
from worker.media.frames import FieldOrder, VideoInfo

X264_PRESET = "faster"
"""Below 40 ms per 854x480 frame on two cores, with other work beside it; slower presets save little."""

KEYFRAME_SECONDS = 4
"""Distance of key frames: players seek well, at about 1 % more bytes than x264's own 10 seconds."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a film is encoded."""

    codec: Literal["libx264", "ffv1", "prores_ks"]
    pixel_format: str
    bit_depth: int
    """8 or 10, of the encoded planes."""
    full_range: bool
    options: dict[str, str]
    """The encoder's own settings."""
    size: tuple[int, int]
    """Height and width of the luma plane."""
    chroma_size: tuple[int, int]
    """Height and width of each chroma plane."""
    warnings: tuple[str, ...]
    field_order: FieldOrder | None = None
    """None is progressive."""


def choose_encoding(info: VideoInfo, *, output: OutputOptions) -> Encoding:
    """The encoding for a film as the user asked for it.

    H.264 has no 4:2:0 or 4:2:2 picture of odd width, nor 4:2:0 of odd height: such a film becomes 4:4:4, at its exact
    size. ProRes is a 10-bit, limited-range codec: 8-bit planes are scaled by 4, full range is brought to limited.
    """
    warnings = []
    subsampling = output.subsampling
    depth, full_range = info.bit_depth, info.full_range
    codec = output.resolved_codec
    if codec == "h264" and not _h264_holds(info, subsampling):
        warnings.append(
            f"H.264 cannot hold {info.width}x{info.height} at {':'.join(subsampling)}, so 4:4:4 was written, "
            "which some browsers and phones do not play. For one that they play, crop the video to even sides; mkv "
            f"with ffv1 holds {':'.join(subsampling)} at this size, but browsers do not play it."
        )
        subsampling = "444"
    field_order = info.field_order
    if codec == "h264" and field_order is not None and not _h264_holds_fields(info, subsampling):
        warnings.append(
            f"H.264 cannot hold the fields of an interlaced film with {info.height} lines at {':'.join(subsampling)}, "
            "so it was written as progressive, and players will not deinterlace it; mkv with ffv1, and mov, keep them."
        )
        field_order = None
    if codec == "prores":
        depth = 10
        if full_range:
            warnings.append("ProRes has no full range; the luma was converted to the limited range.")
            full_range = False
    # The default stands in every job's record, from which clients send it back.
    if codec != "h264" and output.quality != DEFAULT_QUALITY:
        because = "FFV1 is lossless" if codec == "ffv1" else "ProRes has one quality"
        warnings.append(f"The quality {output.quality} was not used: it is for H.264, and {because}.")
    suffix = "10le" if depth == 10 else ""
    across = 1 if subsampling == "444" else 2
    down = 2 if subsampling == "420" else 1
    return Encoding(
        codec={"h264": "libx264", "ffv1": "ffv1", "prores": "prores_ks"}[codec],  # type: ignore[arg-type]
        pixel_format=f"yuv{subsampling}p{suffix}",
        bit_depth=depth,
        full_range=full_range,
        options=_options(info, output=output, subsampling=subsampling, field_order=field_order),
        size=(info.height, info.width),
        chroma_size=(math.ceil(info.height / down), math.ceil(info.width / across)),
        warnings=tuple(warnings),
        field_order=field_order,
    )


def x264_params(field_order: FieldOrder | None = None) -> dict[str, str]:
    """Settings of x264's own: those with which it writes the same bytes for the same frames, and that of fields."""
    params = [*_steady_params()]
    if field_order is not None:
        params.append("tff=1" if field_order == "top" else "bff=1")
    return {"x264-params": ":".join(params)} if params else {}


@cache
def _steady_params() -> tuple[str, ...]:
    """x264's code for AVX-512, in the build that PyAV 18 brings, reads memory that nobody wrote, while it looks ahead:
    of 60 runs over 60 frames of 176x144 several differed, none without that code."""
    try:
        cpu = Path("/proc/cpuinfo").read_text()
    except OSError:
        return ()
    return ("asm=AVX2",) if " avx512" in cpu else ()


def _h264_holds(info: VideoInfo, subsampling: str) -> bool:
    even_width = info.width % 2 == 0 or subsampling == "444"
    even_height = info.height % 2 == 0 or subsampling != "420"
    return even_width and even_height


def _h264_holds_fields(info: VideoInfo, subsampling: str) -> bool:
    """Each field has half of the lines, which 4:2:0 halves again."""
    return info.height % (4 if subsampling == "420" else 2) == 0


def _options(
    info: VideoInfo, *, output: OutputOptions, subsampling: str, field_order: FieldOrder | None
) -> dict[str, str]:
    match output.resolved_codec:
        case "h264":
            # qp 0 is x264's lossless mode at 8 and 10 bits; crf 0 is lossless at 8 bits alone.
            quality = {"qp": "0"} if output.quality == 0 else {"crf": str(output.quality)}
            group = max(1, round(float(info.frame_rate) * KEYFRAME_SECONDS))
            return {"preset": X264_PRESET, "g": str(min(group, 250)), **quality, **x264_params(field_order)}
        case "ffv1":
            # Version 3, every frame by itself, checksums per slice: the settings of film archives.
            return {"level": "3", "g": "1", "slicecrc": "1"}
        case "prores":
            fields = {} if field_order is None else {"flags": "+ildct"}
            return {"profile": "4444" if subsampling == "444" else "hq", "vendor": "apl0", **fields}
