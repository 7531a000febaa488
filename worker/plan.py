"""Decides which references color which shot, and what each shot's network is tuned on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from worker.analysis import ShotRange
from worker.likeness import SCENE_SCORE
from worker.references import LocatedReference
from worker.shot_tuning import ReferenceSet
from worker.signatures import SignatureFile, similarities

_SAMPLES = 9
"""Frames of a shot that a reference is compared with."""


@dataclass(frozen=True, slots=True)
class ShotPlan:
    """One shot and the numbers of the references that color it."""

    index: int
    shot: ShotRange
    anchors: tuple[tuple[int, int], ...]
    """Frame and reference of each reference that is a frame of the shot, in order; one reference per frame."""
    examples: tuple[int, ...]
    """References that are no frames of the shot, the likest first."""
    tuned_on: ReferenceSet
    """Empty where nothing can be learned for the shot."""
    trust: tuple[float, ...] = (1.0,)
    """What confidence is at most at each anchor; without anchors, one number for the whole shot: a shot colored after
    a picture of another one is to be trusted no further than the two look alike."""
    borrows: bool = False
    """Whether it has no reference of its own."""
    blank: bool = False
    """Whether nothing is to be seen in it, as in leader: it stays without color, and needs none."""

    @property
    def references(self) -> tuple[int, ...]:
        """All references, the most important first."""
        return (*(reference for _, reference in self.anchors), *self.examples)

    def most_confidence(self, frame: int) -> float:
        """What the confidence of a frame is at most: between two anchors it passes over from the one to the other, as
        the colors do."""
        if not self.anchors:
            return self.trust[0]
        return float(np.interp(frame, [anchor for anchor, _ in self.anchors], self.trust))


def shot_at(frame: int, plans: Sequence[ShotPlan]) -> ShotRange:
    """The shot that a frame of the video is in."""
    return next(plan.shot for plan in plans if frame in plan.shot)


def plan_shots(
    shots: Sequence[ShotRange],
    references: Sequence[LocatedReference],
    *,
    signatures: SignatureFile,
    examples_help: bool,
) -> tuple[ShotPlan, ...]:
    """One plan per shot. A shot without references takes the one that looks most like it from another shot, where
    `examples_help`, and the weights tuned for that reference's own shot. Where none looks like it, references that are
    no frames of the video take its place. A shot in which nothing is to be seen takes none."""
    own = [_own_plan(index, shot, references, examples_help=examples_help) for index, shot in enumerate(shots)]
    return tuple(
        plan if plan.references or not examples_help else _borrowing(plan, own, references, signatures=signatures)
        for plan in own
    )


def warnings_of(plans: Sequence[ShotPlan], references: Sequence[LocatedReference]) -> list[str]:
    """What a user should know about shots without references of their own."""
    borrowing = [plan for plan in plans if plan.borrows]
    bare = [plan for plan in plans if not plan.references and not plan.blank]
    warnings = []
    if borrowing:
        names = sorted({references[plan.examples[0]].record.name for plan in borrowing})
        warnings.append(
            f"{named(borrowing)} {_have(borrowing)} no own reference and took the colors from {', '.join(names)}; "
            "a reference there would help."
        )
    if bare:
        warnings.append(f"{named(bare)} {_have(bare)} no reference that this model can use, and stayed gray.")
    return warnings


def _own_plan(index: int, shot: ShotRange, references: Sequence[LocatedReference], *, examples_help: bool) -> ShotPlan:
    anchors: dict[int, int] = {}
    examples = []
    for number, reference in enumerate(references):
        if reference.frame is not None and reference.frame in shot:
            anchors.setdefault(reference.frame, number)
        elif reference.frame is None and reference.record.shot == index and examples_help:
            examples.append(number)
    used = sorted({*anchors.values(), *examples})
    in_order = tuple(sorted(anchors.items()))
    return ShotPlan(
        index=index,
        shot=shot,
        anchors=in_order,
        examples=tuple(examples),
        tuned_on=tuple(used),
        trust=tuple(references[number].most_confidence for _, number in in_order) or (1.0,),
    )


def _borrowing(
    plan: ShotPlan, own: Sequence[ShotPlan], references: Sequence[LocatedReference], *, signatures: SignatureFile
) -> ShotPlan:
    frames = np.unique(np.linspace(plan.shot.first, plan.shot.last, _SAMPLES).round().astype(int))
    looks = np.concatenate([signatures.read(int(frame), int(frame)) for frame in frames])
    if not looks.any():
        return replace(plan, blank=True)
    scores = [float(_best(looks, reference)) for reference in references]
    placed = [number for number, reference in enumerate(references) if reference.record.shot is not None]
    placeless = sorted(set(range(len(references))).difference(placed), key=lambda number: -scores[number])
    best = max(placed or placeless, key=lambda number: scores[number])
    if placeless and scores[best] < SCENE_SCORE:
        best = placeless[0]
    home = next((other for other in own if best in other.tuned_on), None)
    return ShotPlan(
        index=plan.index,
        shot=plan.shot,
        anchors=(),
        examples=(best, *(number for number in placeless if number != best)),
        tuned_on=(best,) if home is None else home.tuned_on,
        trust=(min(1.0, max(0.0, scores[best])),),
        borrows=True,
    )


def _best(looks: np.ndarray[tuple[int, ...], np.dtype[np.int8]], reference: LocatedReference) -> float:
    return float(similarities(looks, reference.signature).max())


def named(plans: Sequence[ShotPlan]) -> str:
    """Shots for a sentence, such as `Shot 2 (frames 6 to 11)`: people count shots from 1."""
    shown = plans[:10]
    numbers = ", ".join(str(plan.index + 1) for plan in shown)
    frames = ", ".join(f"{plan.shot.first} to {plan.shot.last}" for plan in shown)
    more = f" and {len(plans) - len(shown)} more" if len(plans) > len(shown) else ""
    return f"Shot{'s' if len(plans) > 1 else ''} {numbers} (frames {frames}){more}"


def _have(plans: Sequence[ShotPlan]) -> str:
    return "have" if len(plans) > 1 else "has"
