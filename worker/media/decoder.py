"""Who decodes what users sent: this process itself, or processes that can do nothing else."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from worker.media.frames import LumaFrame, Rgb
    from worker.media.probe import Examination
    from worker.task import Limits


class Decoder(Protocol):
    """Raises what the functions of the same names raise, here and there."""

    def examine(self, path: Path, *, limits: "Limits | None", on_packet: Callable[[int], None]) -> "Examination":
        """See `worker.media.probe.examine`."""

    def frames(self, path: Path, examination: "Examination", *, first: int, last: int) -> "Iterator[LumaFrame]":
        """See `worker.media.decode.VideoReader.frames`."""

    def read_image(self, path: Path, *, max_pixels: int, transparent: bool = False) -> "Rgb":
        """See `worker.media.stills.read_image`."""


_current: Decoder | None = None


def use_decoder(decoder: Decoder | None) -> None:
    """From now on in this process, all its threads included; None: itself."""
    global _current
    _current = decoder


def current_decoder() -> Decoder | None:
    return _current
