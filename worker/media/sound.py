"""Encodes sound anew, for containers whose players do not know it as it is."""

from __future__ import annotations  # PyAV's Packet takes a parameter in its stubs alone

from fractions import Fraction
from typing import Any

import av
from av.container import OutputContainer
from av.packet import Packet

_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_USUAL_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
_AAC_BITS_PER_CHANNEL = 96_000


class ConvertedAudio:
    """One sound track, decoded and encoded in step with the film."""

    def __init__(self, stream: Any, *, target: OutputContainer, codec: str, origin: Fraction) -> None:
        rate = stream.codec_context.sample_rate
        if codec == "aac" and rate not in _AAC_RATES:
            rate = 48000
        out: Any = target.add_stream(codec, rate=rate)
        # AVI and WAV say how many channels there are, not which; encoders want to know.
        usual = _USUAL_LAYOUTS.get(stream.codec_context.layout.nb_channels)
        if usual is not None and stream.codec_context.layout.name.endswith(" channels"):
            stream.codec_context.layout = usual
        out.codec_context.layout = stream.codec_context.layout.name
        if codec == "aac":
            out.codec_context.bit_rate = _AAC_BITS_PER_CHANNEL * stream.codec_context.layout.nb_channels
        self._out = out
        self._origin = origin
        self.refused = 0
        """Packets of the source that gave no sound."""

    @property
    def out(self) -> Any:
        return self._out

    def carry(self, packet: Packet[Any]) -> list[Packet[Any]]:
        try:
            return [self._moved(p) for frame in packet.decode() for p in self._out.encode(frame)]
        except (av.error.FFmpegError, ValueError):
            # Damaged sound, or sound that changes its form on the way: silence there, not a failed film.
            self.refused += 1
            return []

    def finish(self) -> list[Packet[Any]]:
        return [self._moved(p) for p in self._out.encode(None)]

    def _moved(self, packet: Packet[Any]) -> Packet[Any]:
        shift = round(self._origin / packet.time_base)
        if packet.pts is not None:
            packet.pts -= shift
        if packet.dts is not None:
            packet.dts -= shift
        return packet
