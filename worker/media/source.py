"""Opens a file as a video, and as nothing else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer

from jobs.errors import OF_PICTURES, JobFailure, VideoUndecodable, VideoUnsupported

DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mxf,ogg,flv"
"""The only demuxers that may open an upload. None of them is a playlist, so that no upload can make the worker read
another file or an address (HLS, DASH, concat and image sequences do)."""

ACCEPTED = "MP4, MOV, MKV, WebM, AVI, MPEG-TS, MPEG, MXF, OGG or FLV"

VideoStream = Any
"""An `av.video.stream.VideoStream`."""

_PICTURES = (
    (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"II*\x00", "a TIFF picture"),
    (b"MM\x00*", "a TIFF picture"),
    (b"BM", "a BMP picture"),
    (b"SDPX", "a DPX picture"),
    (b"XPDS", "a DPX picture"),
)
_PLAYLISTS = (b"#EXTM3U", b"ffconcat version", b"[playlist]", b"<?xml", b"<MPD", b"v=0\r", b"v=0\n")


def open_source(path: Path) -> InputContainer:
    """Open a video file with every stream known; close it when done.

    Raises:
        VideoUndecodable: it is empty, no video, or too damaged to open.
        VideoUnsupported: it is a playlist.
    """
    try:
        # An absolute path starts with a slash, so that no file name is taken for a protocol.
        return av.open(
            str(path.resolve()),
            mode="r",
            container_options={"format_whitelist": DEMUXERS, "protocol_whitelist": "file"},
            metadata_errors="replace",
        )
    except av.error.FFmpegError as error:
        raise _refusal(path) from error


def video_stream(container: InputContainer) -> VideoStream:
    """The stream that is the film: the largest, cover art left aside.

    Raises:
        VideoUndecodable: there is none.
        VideoUnsupported: no decoder knows it.
    """
    cover = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    films = [s for s in container.streams.video if not s.disposition & cover]
    if not films:
        raise VideoUndecodable(
            "The file has no video stream, only sound or other data; use the file that holds the picture."
        )
    known = [s for s in films if s.codec_context is not None]
    if not known:
        raise VideoUnsupported("The video's codec is not known here; convert the video to H.264 or FFV1 and use that.")
    return max(known, key=lambda s: (bool(s.disposition & av.stream.Disposition.default), s.width * s.height))


def demux(container: InputContainer, *streams: Any) -> Iterator[Any]:
    """Packets of `streams` (of all without any), and at the end an empty packet per stream that flushes its decoder.

    As `InputContainer.demux`, but for files in which streams appear on the way (broadcasts do that): there PyAV ends
    with an IndexError in place of the flushing packets.
    """
    try:
        yield from container.demux(*streams)
    except IndexError:
        for stream in streams:
            packet: Any = av.Packet()
            packet.stream = stream
            packet.time_base = stream.time_base
            yield packet


def _refusal(path: Path) -> JobFailure:
    """Why a file could not be opened, in words, from its first bytes."""
    with path.open("rb") as file:
        head = file.read(1024)
    if not head:
        return VideoUndecodable("The video file is empty; export or copy it again and use that.")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(_PLAYLISTS):
        return VideoUnsupported(
            f"The file is a playlist or a list of files, not a video; use the video itself ({ACCEPTED})."
        )
    picture = next((name for magic, name in _PICTURES if head.startswith(magic)), None)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        picture = "a WebP picture"
    if picture is not None:
        return VideoUndecodable(f"The file is {picture}, not a video; use a video ({ACCEPTED}). {OF_PICTURES}")
    if head[4:8] in (b"ftyp", b"mdat", b"moov", b"wide", b"free", b"skip"):
        return VideoUndecodable(
            "The MP4 or MOV file has no readable index; it is cut off or damaged. Export it again and use that."
        )
    if head.startswith((b"\x1aE\xdf\xa3", b"RIFF", b"OggS", b"FLV")):
        return VideoUndecodable(
            "The video file has no frames that can be read: it is cut off or damaged at its very start. "
            "Export it again and use that."
        )
    return VideoUndecodable(f"The file is not a video that can be read; use a video ({ACCEPTED}).")
