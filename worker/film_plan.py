"""All that is decided about a film before its first frame is colored, in a form that other processes can read."""

import hashlib
import json
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any

import numpy as np
from pydantic import PlainSerializer, PlainValidator, TypeAdapter

from jobs.record import Phase, PlacedReference
from worker.media.frames import VideoInfo
from worker.media.timeline import Timeline
from worker.pieces import Coloring, Piece
from worker.plan import ShotPlan

FORMAT = 5
"""Of the plan and of all that is kept beside it: another one is not read. Raise it too where the pipeline makes other
colors of what a model gives; what a model itself does is told by `models.base.ModelDescription.revision`."""
PLAN_NAME = "plan.json"


def _stored(timeline: Timeline) -> dict[str, Any]:
    return {
        "time_base": str(timeline.time_base),
        "pts": timeline.pts.tolist(),
        "keys": timeline.keys.tolist(),
        "last_duration": timeline.last_duration,
        "exact": timeline.exact,
    }


def _restored(stored: Any) -> Timeline:
    if isinstance(stored, Timeline):
        return stored
    return Timeline(
        time_base=Fraction(stored["time_base"]),
        pts=np.asarray(stored["pts"], np.int64),
        keys=np.asarray(stored["keys"], np.int64),
        last_duration=stored["last_duration"],
        exact=stored["exact"],
    )


@dataclass(frozen=True, slots=True)
class PlannedReference:
    """A reference, with its place."""

    record: PlacedReference
    picture: str
    """Name of the picture that is kept: brought to the video's shape, no larger than it is used."""

    @property
    def frame(self) -> int | None:
        return self.record.frame


@dataclass(frozen=True, slots=True)
class FilmPlan:
    """What there is to do, and all that is known of the film for it."""

    info: VideoInfo
    timeline: Annotated[Timeline, PlainValidator(_restored), PlainSerializer(_stored)]
    references: tuple[PlannedReference, ...]
    shots: tuple[ShotPlan, ...]
    pieces: tuple[Piece, ...]
    warnings: tuple[str, ...]
    weights: str
    """`worker.planning.fingerprint_of` the model that it was planned with: all pieces are done with the same."""
    seconds: dict[Phase, float]
    """What planning took, by phase."""
    peak_memory_megabytes: float
    format: int = FORMAT

    @property
    def colorings(self) -> tuple[tuple[Piece, Coloring], ...]:
        """The pieces that make frames, in the film's order."""
        return tuple((piece, piece.work) for piece in self.pieces if isinstance(piece.work, Coloring))


_PLANS = TypeAdapter(FilmPlan)


def write_plan(plan: FilmPlan) -> bytes:
    return _PLANS.dump_json(plan)


def read_plan(data: bytes) -> FilmPlan | None:
    """None where it was written by a version of this program that planned otherwise."""
    if json.loads(data).get("format") != FORMAT:
        return None
    return _PLANS.validate_json(data)


def key_of(*parts: object) -> str:
    """The same for the same parts, whichever process asks: 32 hexadecimal digits."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
