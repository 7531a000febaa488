"""Cuts a film into pieces of work: the same, and so is the film, whoever does them and in whichever order."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from worker.shot_tuning import ReferenceSet
from worker.stretches import Stretch


@dataclass(frozen=True, slots=True)
class Tuning:
    """Learn a set of references, for all shots that are colored by it."""

    references: ReferenceSet


@dataclass(frozen=True, slots=True)
class Coloring:
    """Color frames in a row of one shot, and encode them."""

    shot: int
    """Index of the shot."""
    stretches: tuple[Stretch, ...]
    keeps_first: bool
    """Whether the color of the first frame is needed for the frames before it; so is that of the last, below."""
    keeps_last: bool

    @property
    def first(self) -> int:
        return self.stretches[0].first

    @property
    def last(self) -> int:
        return self.stretches[-1].last

    @property
    def frames(self) -> int:
        return self.last - self.first + 1

    @property
    def feeds(self) -> int:
        """How many frames the model is fed."""
        return sum(stretch.feeds for stretch in self.stretches)


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of work of a film."""

    number: int
    """Its place among them, from 0."""
    work: Tuning | Coloring
    after: tuple[int, ...]
    """Numbers of the pieces whose result it needs."""
    key: str
    """The same for the same work on the same film, in whichever job: made of all that its result depends on."""
    cost: float
    """How much work it is; see `worker.progress`."""

    @property
    def frames(self) -> int:
        """Frames of the film that it makes."""
        return self.work.frames if isinstance(self.work, Coloring) else 0


def group(stretches: Sequence[Stretch], *, shot: int, longest: int) -> tuple[Coloring, ...]:
    """The stretches of a shot as few pieces, in order, each of which feeds the model about `longest` frames at most, or
    has a single stretch."""
    groups = list(_groups(stretches, longest))
    made = []
    for index, group in enumerate(groups):
        following = groups[index + 1] if index + 1 < len(groups) else None
        made.append(
            Coloring(
                shot=shot,
                stretches=tuple(group),
                keeps_first=index > 0 and groups[index - 1][-1].backward == "behind",
                keeps_last=following is not None and following[0].forward == "before",
            )
        )
    return tuple(made)


def _groups(stretches: Sequence[Stretch], longest: int) -> Iterator[list[Stretch]]:
    current: list[Stretch] = []
    for stretch in stretches:
        fits = sum(one.feeds for one in current) + stretch.feeds <= longest
        # What starts on the color behind it is done after that.
        if current and (not fits or current[-1].backward == "behind"):
            yield current
            current = []
        current.append(stretch)
    if current:
        yield current


def in_turn(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """Each piece once those that it needs are through, else as they stand."""
    through: set[int] = set()
    waiting = list(pieces)
    while waiting:
        piece = next(piece for piece in waiting if through.issuperset(piece.after))
        yield piece
        through.add(piece.number)
        waiting.remove(piece)
