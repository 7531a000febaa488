"""Turns text subtitles from one container's form into another's."""

from __future__ import annotations  # PyAV's Packet takes a parameter in its stubs alone

import re
from fractions import Fraction
from typing import Any

from av.container import OutputContainer
from av.packet import Packet

TEXT_SUBTITLES = frozenset({"subrip", "srt", "text", "webvtt", "ass", "ssa", "mov_text"})
"""Codecs whose packets are text."""

_MARKUP = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")
_ASS_FIELDS_BEFORE_TEXT = 8
_LONGEST = 0xFFFF
"""Bytes that the length of a mov_text sample can count."""

_HEADER = b"""[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,0

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
"""The plain style that the encoders of text subtitles write into the file's header."""


def plain_text(packet: bytes, *, codec: str) -> str:
    """The words of one subtitle packet, without markup; lines end in newlines."""
    if codec == "mov_text":
        length = int.from_bytes(packet[:2], "big")
        return packet[2 : 2 + length].decode("utf-8", errors="replace")
    text = packet.decode("utf-8", errors="replace")
    if codec in ("ass", "ssa"):
        text = text.split(",", _ASS_FIELDS_BEFORE_TEXT)[-1].replace("\\N", "\n").replace("\\n", "\n")
        text = text.replace("\\h", " ")
    return _MARKUP.sub("", text).replace("\r\n", "\n").strip("\n")


def packed_text(text: str, *, codec: str) -> bytes:
    """One subtitle as a packet of `codec`, `mov_text` or `subrip`."""
    data = text.encode("utf-8")
    if codec == "mov_text":
        data = data[:_LONGEST].decode("utf-8", errors="ignore").encode("utf-8")
        return len(data).to_bytes(2, "big") + data
    return data


class ConvertedSubtitle:
    """Text subtitles in the output container's own form."""

    def __init__(self, stream: Any, *, target: OutputContainer, codec: str, origin: Fraction) -> None:
        self._from = str(stream.codec_context.name)
        self._codec = codec
        out: Any = target.add_stream(codec)
        out.codec_context.subtitle_header = _HEADER
        out.codec_context.time_base = stream.time_base
        out.time_base = stream.time_base
        self._out = out
        self._shift = round(origin / stream.time_base)

    @property
    def out(self) -> Any:
        return self._out

    def carry(self, packet: Packet[Any]) -> list[Packet[Any]]:
        text = plain_text(bytes(packet), codec=self._from)
        if packet.pts is None or not text:
            return []
        new: Packet[Any] = Packet(packed_text(text, codec=self._codec))
        new.time_base = packet.time_base
        new.pts = packet.pts - self._shift
        new.dts = new.pts
        new.duration = packet.duration or 0
        new.stream = self._out
        return [new]

    def finish(self) -> list[Packet[Any]]:
        return []
