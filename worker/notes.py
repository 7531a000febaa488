"""What a finished piece tells of itself: kept last, so that a piece is through when its notes are there."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from jobs.options import StrictModel
from jobs.record import ShotTuning
from worker.checkpoints import Checkpoints
from worker.pieces import Piece


class TuningNotes(StrictModel):
    kind: Literal["tuning"] = "tuning"
    record: ShotTuning
    note: str | None
    """Why nothing was learned, or what was is not used, as it reads after a colon, with its full stop."""
    weights: str
    """Name of the kept file; so are those below."""
    seconds: float
    """What it took in this job, before its files were kept: 0 where it was taken over from another; so is the memory
    below."""
    peak_memory_megabytes: float
    """Of the process that did it, so far."""
    working_size: int | None = None
    """Short side of the frames fed, where it had to be smaller than planned."""

    @property
    def files(self) -> list[str]:
        """Names of all kept files that these notes speak of."""
        return [self.weights]


class ColoringNotes(StrictModel):
    kind: Literal["coloring"] = "coloring"
    confidences: list[float]
    """Mean of each frame, 0 to 1."""
    video: str
    comparison: str | None
    frames: str | None
    first: str | None
    """Color of the first frame, where the piece before it needs that."""
    last: str | None
    seconds: float
    peak_memory_megabytes: float
    working_size: int | None = None

    @property
    def files(self) -> list[str]:
        return [name for name in (self.video, self.comparison, self.frames, self.first, self.last) if name is not None]


Notes = Annotated[TuningNotes | ColoringNotes, Field(discriminator="kind")]
_NOTES: TypeAdapter[TuningNotes | ColoringNotes] = TypeAdapter(Notes)
_ENDING = ".notes.json"


def notes_name(piece: Piece) -> str:
    return f"{piece.key}{_ENDING}"


def keys_through(kept: Sequence[str]) -> set[str]:
    """Keys of the pieces that are through, by the names of what is kept."""
    return {name.removesuffix(_ENDING) for name in kept if name.endswith(_ENDING)}


def write_notes(notes: TuningNotes | ColoringNotes) -> bytes:
    return _NOTES.dump_json(notes)


def read_notes(piece: Piece, checkpoints: Checkpoints) -> TuningNotes | ColoringNotes:
    """Raises `FileNotFoundError` where the piece is not through."""
    with checkpoints.fetch(notes_name(piece)) as path:
        return _NOTES.validate_json(path.read_bytes())


def tuning_notes(piece: Piece, checkpoints: Checkpoints) -> TuningNotes:
    notes = read_notes(piece, checkpoints)
    assert isinstance(notes, TuningNotes)
    return notes


def coloring_notes(piece: Piece, checkpoints: Checkpoints) -> ColoringNotes:
    notes = read_notes(piece, checkpoints)
    assert isinstance(notes, ColoringNotes)
    return notes
