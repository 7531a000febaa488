"""Carries everything but the film from the source to the output: sound, subtitles, cover, attachments."""

from __future__ import annotations  # PyAV's Packet takes a parameter in its stubs alone

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet

from jobs.options import Container
from worker.media.sound import ConvertedAudio
from worker.media.source import demux, open_source, video_stream
from worker.media.storage import is_disk_full
from worker.media.subtitles import TEXT_SUBTITLES, ConvertedSubtitle

_COVER = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
_COVER_TYPES = {"mjpeg": ("jpg", "image/jpeg"), "png": ("png", "image/png")}

_AUDIO_COPIED: dict[Container, frozenset[str] | None] = {
    "mp4": frozenset({"aac", "mp3", "mp3float", "mp2", "ac3", "eac3", "alac", "flac", "opus", "dca"}),
    "mkv": None,
    "mov": None,
}
"""Sound that players of a container understand; None: whatever the container can hold."""
_AUDIO_REFUSED: dict[Container, frozenset[str]] = {
    "mp4": frozenset(),
    "mkv": frozenset(),
    "mov": frozenset({"opus", "flac", "vorbis"}),
}
_AUDIO_FALLBACK: dict[Container, str] = {"mp4": "aac", "mkv": "flac", "mov": "pcm_s16le"}
"""What other sound is converted to: lossless where the container has players for it."""

_SUBTITLES_COPIED: dict[Container, frozenset[str]] = {
    "mp4": frozenset({"mov_text"}),
    "mkv": frozenset({"subrip", "srt", "ass", "ssa", "webvtt", "pgssub", "dvdsub", "dvbsub", "hdmv_pgs_subtitle"}),
    "mov": frozenset({"mov_text"}),
}
_SUBTITLE_FALLBACK: dict[Container, str] = {"mp4": "mov_text", "mkv": "subrip", "mov": "mov_text"}

_STALE_TAGS = ("BPS", "DURATION", "NUMBER_OF_", "_STATISTICS_", "ENCODER", "encoder", "vendor_id")
"""Stream tags that describe the old file, not the content."""
_STALE_GLOBAL_TAGS = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder", "ENCODER", "DURATION"})


class Passenger(Protocol):
    """One stream on its way to the output."""

    def carry(self, packet: Packet[Any]) -> list[Packet[Any]]:
        """Packets of the output for one packet of the source."""
        ...

    def finish(self) -> list[Packet[Any]]:
        """Packets that were held back."""
        ...


class Copied:
    """Packets as they are, moved in time."""

    def __init__(self, stream: Any, *, out: Any, origin: Fraction) -> None:
        self._out = out
        self._shift = round(origin / stream.time_base)
        self._last: int | None = None

    def carry(self, packet: Packet[Any]) -> list[Packet[Any]]:
        if packet.pts is not None:
            packet.pts -= self._shift
        if packet.dts is not None:
            packet.dts -= self._shift
            if self._last is not None and packet.dts <= self._last:
                # Broken recordings step back in time, which no container may hold.
                packet.dts = self._last + 1
                packet.pts = packet.dts if packet.pts is None else max(packet.pts, packet.dts)
            self._last = packet.dts
        packet.stream = self._out
        return [packet]

    def finish(self) -> list[Packet[Any]]:
        return []


class Passengers:
    """All streams but the film, read along with the encoding and written in step with it: a few packets in memory."""

    def __init__(
        self,
        source: Path,
        *,
        target: OutputContainer,
        container: Container,
        origin: Fraction,
        sound_only: bool,
        warn: Callable[[str], None],
    ) -> None:
        self._target = target
        self._container: Container = container
        self._origin = origin
        self._warn = warn
        self._refused = 0
        self._reached = Fraction(0)
        self._breaks_off = False
        self._source: InputContainer = open_source(source)
        try:
            film = video_stream(self._source)
            self._passengers: dict[int, Passenger] = {}
            for stream in self._source.streams:
                if stream.index != film.index and (stream.type == "audio" or not sound_only):
                    self._board(stream, source)
            self._copy_film_names(film)
            self._copy_global_facts()
        except BaseException:
            self._source.close()
            raise
        film.discard = av.stream.Discard.all
        self._packets = self._boarding()
        self._next: Packet[Any] | None = next(self._packets, None)

    def advance(self, until: Fraction) -> None:
        """Write all packets that come before `until`, in seconds of the output."""
        while self._next is not None and self._time(self._next) <= until:
            self._write(self._passengers[self._next.stream.index].carry(self._next))
            self._next = next(self._packets, None)

    def finish(self) -> None:
        """Write all that remains."""
        while self._next is not None:
            self._write(self._passengers[self._next.stream.index].carry(self._next))
            self._next = next(self._packets, None)
        for passenger in self._passengers.values():
            self._write(passenger.finish())
        if self._refused:
            self._warn(f"{self._refused} packets of sound or subtitles were damaged and left out.")
        for passenger in self._passengers.values():
            if isinstance(passenger, ConvertedAudio) and passenger.refused:
                self._warn(
                    f"{passenger.refused} packets of a sound track could not be converted: they are damaged, or the "
                    "sound changes its form there. It is silent at those places."
                )
        if self._breaks_off:
            self._warn(
                f"The file is damaged at {float(self._reached):.1f} s: sound, subtitles and the like are missing from "
                "there on."
            )

    def close(self) -> None:
        self._source.close()

    def _board(self, stream: Any, source: Path) -> None:
        match stream.type:
            case "audio":
                self._board_audio(stream)
            case "subtitle":
                self._board_subtitle(stream)
            case "attachment":
                self._board_attachment(stream)
            case "video":
                self._board_cover(stream, source)
            case _:
                self._leave_data(stream)

    def _board_audio(self, stream: Any) -> None:
        name = _codec_name(stream)
        copied = _AUDIO_COPIED[self._container]
        if (copied is None or name in copied) and name not in _AUDIO_REFUSED[self._container]:
            try:
                out = self._target.add_stream_from_template(stream)
            except (ValueError, av.error.FFmpegError):
                pass
            else:
                self._seat(stream, out, Copied(stream, out=out, origin=self._origin))
                return
        if stream.codec_context is None or not stream.codec_context.sample_rate:
            self._warn(f"A sound track was left out: its codec ({name}) is not known.")
            return
        codec = _AUDIO_FALLBACK[self._container]
        converted = ConvertedAudio(stream, target=self._target, codec=codec, origin=self._origin)
        self._seat(stream, converted.out, converted)
        self._warn(f"Sound in {name} was converted to {codec}, which players of {self._container} understand.")

    def _board_subtitle(self, stream: Any) -> None:
        name = _codec_name(stream)
        if name in _SUBTITLES_COPIED[self._container]:
            try:
                out: Any = self._target.add_stream_from_template(stream)
            except (ValueError, av.error.FFmpegError):
                pass
            else:
                self._seat(stream, out, Copied(stream, out=out, origin=self._origin))
                return
        if name not in TEXT_SUBTITLES:
            self._warn(f"Subtitles in {name} were left out, since {self._container} cannot hold them.")
            return
        codec = _SUBTITLE_FALLBACK[self._container]
        converted = ConvertedSubtitle(stream, target=self._target, codec=codec, origin=self._origin)
        self._seat(stream, converted.out, converted)
        if name != "subrip":
            self._warn(f"Subtitles in {name} were converted to {codec}; their styling is lost.")

    def _board_attachment(self, stream: Any) -> None:
        if self._container != "mkv":
            self._warn(f"The attachment {stream.name or ''} was left out, since {self._container} holds none.")
            return
        self._target.add_attachment(
            stream.name or "attachment", stream.mimetype or "application/octet-stream", stream.data
        )

    def _board_cover(self, stream: Any, source: Path) -> None:
        name = _codec_name(stream)
        if not stream.disposition & _COVER:
            self._warn("A second video track was left out; only the main picture is colored.")
        elif self._container == "mp4" and name in _COVER_TYPES:
            out: Any = self._target.add_stream_from_template(stream, opaque=True)
            self._seat(stream, out, Copied(stream, out=out, origin=Fraction(0)))
        elif self._container == "mkv" and name in _COVER_TYPES and (data := _first_packet(source, stream.index)):
            ending, mimetype = _COVER_TYPES[name]
            self._target.add_attachment(f"cover.{ending}", mimetype, data)
        else:
            self._warn(f"The cover picture was left out, since {self._container} cannot hold it.")

    def _leave_data(self, stream: Any) -> None:
        # Chapters and time code of QuickTime show as data too; they are copied as chapters and as a tag.
        known = stream.metadata.get("timecode") or self._source.chapters()
        if not known:
            self._warn(f"A data track ({_codec_name(stream)}) was left out.")

    def _seat(self, stream: Any, out: Any, passenger: Passenger) -> None:
        self._passengers[stream.index] = passenger
        out.metadata.update(_lasting(stream.metadata))
        out.disposition = stream.disposition

    def _copy_film_names(self, film: Any) -> None:
        out: Any = self._target.streams[0]
        out.metadata.update(_lasting(film.metadata))
        out.disposition = film.disposition

    def _copy_global_facts(self) -> None:
        self._target.metadata.update(
            {key: value for key, value in self._source.metadata.items() if key not in _STALE_GLOBAL_TAGS}
        )
        chapters = self._source.chapters()
        for chapter in chapters:
            shift = round(self._origin / Fraction(chapter["time_base"] or 1))
            chapter["start"] -= shift
            chapter["end"] -= shift
        if chapters:
            self._target.set_chapters(chapters)

    def _boarding(self) -> Iterator[Packet[Any]]:
        """Packets of the streams that come along."""
        streams = [self._source.streams[index] for index in self._passengers]
        if not streams:
            return
        try:
            for packet in demux(self._source, *streams):
                if packet.size or packet.pts is not None:
                    self._reached = max(self._reached, self._time(packet))
                    yield packet
        except av.error.InvalidDataError:
            self._breaks_off = True

    def _time(self, packet: Packet[Any]) -> Fraction:
        stamp = packet.dts if packet.dts is not None else packet.pts
        return Fraction(-1) if stamp is None else stamp * packet.time_base - self._origin

    def _write(self, packets: list[Packet[Any]]) -> None:
        for packet in packets:
            try:
                self._target.mux_one(packet)
            except av.error.FFmpegError as failure:
                # A damaged packet of sound is no reason to lose the film; a full disk is.
                if is_disk_full(failure):
                    raise
                self._refused += 1


def _codec_name(stream: Any) -> str:
    if stream.codec_context is not None:
        return str(stream.codec_context.name)
    return str(getattr(stream, "name", None) or "unknown")


def _lasting(tags: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if not key.startswith(_STALE_TAGS)}


def _first_packet(source: Path, index: int) -> bytes:
    """Data of a stream's first packet: all of a cover picture."""
    with open_source(source) as container:
        packet = next(container.demux(container.streams[index]), None)
        return b"" if packet is None else bytes(packet)
