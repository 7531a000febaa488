"""What the default model's matching learns from in tuning: labelled samples made from a reference."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.base import MEASURED_VARIATIONS, Example, Matrix, Prediction, Reference
from models.color import chroma_to_lab
from models.held_out import split_picture
from models.moved_reference import move_reference
from models.rehearsal import spread
from models.retint.frames import ColoredFrame, Frame, FrameMaker, Size, eight_bit, unit_luma
from models.retint.matching import Description
from models.retint.offers import source_of

APART = 6
"""Cells that lie between two places of a reference of which one is to tell the other's color in tuning."""
TRUSTED = 0.5
"""Confidence above which tuning takes the color of a frame nearby for right."""
LEAST_TRUSTED = 0.25
"""Share of a frame that must be trusted, or nothing is learned from it."""


class Kind(IntEnum):
    """What is asked for in a sample, and where its color is looked up."""

    ITSELF = 0
    """Each cell of the reference, in cells of it that are some way off: so its color is that of other things alike, as
    in later frames."""
    MOVED = 1
    """The reference moved by a random smooth motion, in the reference, again some way off."""
    NEARBY = 2
    """A colored frame near the reference, in the reference."""
    ACROSS = 3
    """Such a frame, in another."""


@dataclass(frozen=True, slots=True)
class _KnownReference:
    """A reference as tuning looks it up; not what lies near it, which would be kept as long."""

    rgb: Tensor
    luma: Tensor
    matrix: Matrix
    picture: ColoredFrame

    def is_of(self, reference: Reference, *, matrix: Matrix) -> bool:
        return self.rgb is reference.rgb and self.luma is reference.luma and self.matrix == matrix


class Lessons:
    """Makes samples; they are differentiable in the weights of `describe` as these are when a sample is asked."""

    def __init__(self, describe: Description, maker: FrameMaker) -> None:
        self._describe = describe
        self._maker = maker
        self._last_known: _KnownReference | None = None
        self._last_hidden: tuple[tuple[Size, Size | None], Tensor] | None = None

    def example(self, reference: Reference, *, matrix: Matrix, variation: int) -> Example:
        """Colors as matching finds them; see `models.base.Colorizer.example`.

        The kinds take turns. The first two learn and see nothing that is held out. The others need frames nearby that
        were colored and can be trusted; where there are none, the first two take their turns.

        What is measured, where there are frames nearby, goes around a cycle instead: from the reference to a later
        frame of the film, and back.
        """
        known = self._known(reference, matrix=matrix)
        measured, kind = variation in MEASURED_VARIATIONS, Kind(variation % len(Kind))
        if measured and reference.nearby:
            frames = spread(reference.nearby)
            far = self._maker.frame(frames[-1 - variation % len(frames)])
            return self._labelled(known, matrix=matrix, color=lambda: self._around(known, far=far))
        usable = [number for number, one in enumerate(reference.colored) if _is_usable(one)]
        if kind in (Kind.NEARBY, Kind.ACROSS) and usable:
            first, *others = np.random.default_rng(variation).permutation(usable)
            picture = self._colored(reference, first)
            source = self._colored(reference, others[0]) if kind == Kind.ACROSS and others else known
            return self._labelled(picture, matrix=matrix, color=lambda: self._found_in(source, picture.frame))
        asked = known
        if kind in (Kind.MOVED, Kind.ACROSS):
            asked = self._moved(reference, known, variation=variation, held_out=not measured)
        hidden = self._hidden(known, held_out=not measured)
        return self._labelled(asked, matrix=matrix, color=lambda: self._found_in(known, asked.frame, hidden=hidden))

    def _colored(self, reference: Reference, number: int) -> ColoredFrame:
        colored = reference.colored[number]
        return ColoredFrame(
            self._maker.frame(reference.nearby[number]), colored.chroma[None], trust=colored.confidence[None, None]
        )

    def _labelled(self, asked: ColoredFrame, *, matrix: Matrix, color: Callable[[], Tensor]) -> Example:
        """What `color` gives for a frame whose color is known, in Lab; where that is not to be trusted, it is taken for
        right as it is found."""
        luma, trusted = asked.frame.low[0, 0], asked.trust[0] > TRUSTED

        def labelled() -> tuple[Tensor, Tensor]:
            found = color()[0]
            truth = torch.where(trusted, asked.chroma[0], found.detach())
            return chroma_to_lab(luma, found, matrix=matrix), chroma_to_lab(luma, truth, matrix=matrix)

        return labelled

    def _found_in(self, known: ColoredFrame, asked: Frame, *, hidden: Tensor | None = None) -> Tensor:
        """[1, 2, h, w]: the chroma that matching finds, differentiable in the description's weights."""
        describe = self._describe
        described = describe(known.frame.features, known.frame.luma)
        source = source_of(describe, described, picture=known.planes)
        queries = described if asked is known.frame else describe(asked.features, asked.luma)
        found = describe.look_up(describe.placed(queries), source.keys, source.values, hidden=hidden)
        size = (asked.luma.shape[-2] // 2, asked.luma.shape[-1] // 2)
        return F.interpolate(found.values[:, :2], size=size, mode="bilinear", align_corners=False)

    def _around(self, known: ColoredFrame, *, far: Frame) -> Tensor:
        """[1, 2, h, w]: the chroma of a known frame by way of another."""
        there = ColoredFrame(far, self._found_in(known, far), trust=torch.ones_like(known.trust))
        return self._found_in(there, known.frame)

    def _moved(self, reference: Reference, known: ColoredFrame, *, variation: int, held_out: bool) -> ColoredFrame:
        """The reference moved by a random smooth motion; with `held_out`, what is held out of it is not trusted."""
        still = known.chroma[0].permute(1, 2, 0).contiguous().cpu().numpy()
        moved = move_reference(eight_bit(reference.luma), still, variation=variation)
        chroma = torch.from_numpy(moved.chroma).permute(2, 0, 1)[None].to(known.chroma)
        trust = torch.ones_like(chroma[:, :1])
        if held_out:
            trust[0, 0] -= torch.from_numpy(moved.held_out).to(trust)
        return ColoredFrame(self._maker.frame(unit_luma(moved.luma)), chroma, trust=trust)

    def _known(self, reference: Reference, *, matrix: Matrix) -> ColoredFrame:
        """The reference as it is looked up; the last one is kept, as tuning asks for one again and again."""
        kept = self._last_known
        if kept is None or not kept.is_of(reference, matrix=matrix):
            picture = self._maker.picture(reference, matrix=matrix)
            kept = _KnownReference(reference.rgb, reference.luma, matrix, picture)
            self._last_known = kept
        return kept.picture

    def _hidden(self, known: ColoredFrame, *, held_out: bool) -> Tensor:
        """See `_hidden_cells`; those of the last picture are kept."""
        key = (known.grid, known.size if held_out else None)
        if self._last_hidden is None or self._last_hidden[0] != key:
            grid, size = key
            self._last_hidden = (key, _hidden_cells(grid, held_out=size, device=known.chroma.device))
        return self._last_hidden[1]


def _is_usable(colored: Prediction) -> bool:
    """Whether enough of it is to be trusted."""
    return bool((colored.confidence > TRUSTED).float().mean() >= LEAST_TRUSTED)


def _hidden_cells(grid: Size, *, held_out: Size | None, device: torch.device) -> Tensor:
    """[N, N] bool: of the N cells of a picture, which are too near to each other to learn from, and which are held out,
    where `held_out` is the size of the picture that those are of."""
    rows, columns = grid
    y = torch.arange(rows, device=device).repeat_interleave(columns)
    x = torch.arange(columns, device=device).repeat(rows)
    # Small pictures have few cells, of which some must be left.
    apart = min(APART, max(rows, columns) // 4)
    hidden = (y[:, None] - y).square() + (x[:, None] - x).square() < apart**2
    if held_out is None:
        return hidden
    blocks = split_picture(*held_out, device=device).held_out
    return hidden | (F.adaptive_max_pool2d(blocks[None].float(), grid).flatten() > 0)
