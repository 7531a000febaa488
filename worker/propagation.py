"""In which order the frames of a shot are fed, so that color flows outward from every reference in it."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from torch import Tensor

from models.base import Colorizer, Matrix, Prediction, Reference
from worker.analysis import ShotRange
from worker.media.frames import LumaFrame
from worker.spool import Spool

LONGEST_BACKWARD = 1500
"""Frames at most that are colored backward from a reference, a minute of film: backward color waits on disk (0.8
gigabytes for 1500 frames of 854x480). Frames farther ahead of the first reference of their shot are colored forward
from the shot's start, with the reference as an example; farther ahead of a later one, from the one before alone."""

HELPING_REFERENCES = 2
"""References looked at in one pass at most, the nearest ones: each costs time for every frame."""


class FrameSource(Protocol):
    """Where frames come from: `worker.media.decode.VideoReader`, or frames in memory."""

    def frames(self, first: int = 0, last: int | None = None) -> Iterator[LumaFrame]: ...

    def reversed_frames(self, first: int = 0, last: int | None = None) -> Iterator[LumaFrame]: ...


@dataclass(frozen=True, slots=True)
class Anchor:
    """A reference that is frame `frame` of the shot."""

    frame: int
    reference: Reference


@dataclass(frozen=True, slots=True)
class ColoredFrame:
    frame: LumaFrame
    prediction: Prediction


@dataclass(frozen=True, slots=True)
class ShotColors:
    """A shot and all that colors it."""

    shot: ShotRange
    anchors: tuple[Anchor, ...]
    """Within the shot, in order, no two of one frame."""
    examples: tuple[Reference, ...]
    """References that are no frames of the shot, best first; `is_frame` is false."""


@dataclass(frozen=True, slots=True)
class Feed:
    """What a pass needs beside the frames."""

    source: FrameSource
    colorizer: Colorizer
    matrix: Matrix
    restore: bool
    to_luma: Callable[[LumaFrame], Tensor]
    """Frame to luma as the colorizer is fed."""
    spool_folder: Path
    before_frame: Callable[[], None]
    """Called before every frame fed; raises to stop."""


def color_shot(colors: ShotColors, *, feed: Feed, longest_backward: int = LONGEST_BACKWARD) -> Iterator[ColoredFrame]:
    """Yield the frames of a shot in order, colored; memory does not grow with the shot.

    Frames ahead of the first reference are colored backward from it and wait on disk; frames behind the last one
    forward; frames between two both ways, blended by distance and confidence. A model that does not propagate is fed
    the shot once, forward, with all references.
    """
    shot, anchors = colors.shot, colors.anchors
    if not feed.colorizer.description.propagates:
        yield from _forward(shot.first, shot.last, _all_references(colors), feed)
        return
    if not anchors:
        yield from _forward(shot.first, shot.last, colors.examples[:HELPING_REFERENCES], feed)
        return
    yield from _ahead(colors, feed, longest_backward)
    for index, anchor in enumerate(anchors):
        if index + 1 < len(anchors):
            yield from _between(anchor, anchors[index + 1], feed, longest_backward)
        else:
            yield from _forward(anchor.frame, shot.last, _seen_from(anchor, colors), feed)


def frames_to_feed(
    shot: ShotRange, anchors: Sequence[int], *, propagates: bool, longest_backward: int = LONGEST_BACKWARD
) -> int:
    """How many frames `color_shot` feeds for a shot with references at the frames `anchors`: those that are colored
    both ways, and the references that a backward pass starts on, count twice."""
    if not propagates or not anchors:
        return len(shot)
    backward_starts = [max(shot.first, anchors[0] - longest_backward)]
    backward_starts += [max(anchor + 1, following - longest_backward) for anchor, following in pairwise(anchors)]
    spans = [anchor - start for start, anchor in zip(backward_starts, anchors, strict=True)]
    # The frames ahead of the first reference are fed backward alone, those between two both ways.
    return len(shot) + sum(spans[1:]) + sum(span > 0 for span in spans)


def blend(forward: Prediction, backward: Prediction, *, distance: int, gap: int) -> Prediction:
    """Color of a frame `distance` frames after one reference and `gap - distance` before the next.

    Each side weighs by its nearness and its confidence, so that the color passes over smoothly from the one reference
    to the other, and a place that one side has lost (covered, out of the picture) is taken from the other.
    """
    nearness = 1 - distance / gap
    small = 1e-3  # where both have lost the place, nearness alone decides
    ahead = nearness * (forward.confidence + small)
    behind = (1 - nearness) * (backward.confidence.to(ahead.device) + small)
    share = ahead / (ahead + behind)
    chroma = share * forward.chroma + (1 - share) * backward.chroma.to(ahead.device)
    confidence = share * forward.confidence + (1 - share) * backward.confidence.to(ahead.device)
    return replace(forward, chroma=chroma, confidence=confidence)


def _ahead(colors: ShotColors, feed: Feed, longest_backward: int) -> Iterator[ColoredFrame]:
    """The frames before the first reference."""
    first, anchor = colors.shot.first, colors.anchors[0]
    start = max(first, anchor.frame - longest_backward)
    if start > first:
        example = replace(anchor.reference, is_frame=False)
        yield from _forward(first, start - 1, (example, *colors.examples)[:HELPING_REFERENCES], feed)
    if start < anchor.frame:
        references = _seen_from(anchor, colors)
        with Spool(feed.spool_folder / "backward.spool") as spool:
            _spool_backward(spool, start, anchor.frame, references, feed)
            for frame in feed.source.frames(start, anchor.frame - 1):
                yield ColoredFrame(frame, spool.pop())


def _between(anchor: Anchor, following: Anchor, feed: Feed, longest_backward: int) -> Iterator[ColoredFrame]:
    """The frames from one reference up to the one before the next."""
    gap = following.frame - anchor.frame
    start = max(anchor.frame + 1, following.frame - longest_backward)
    ahead = (anchor.reference, replace(following.reference, is_frame=False))
    behind = (following.reference, replace(anchor.reference, is_frame=False))
    with Spool(feed.spool_folder / "backward.spool") as spool:
        if start < following.frame:
            _spool_backward(spool, start, following.frame, behind, feed)
        reach = following.frame - start + 1
        for colored in _forward(anchor.frame, following.frame - 1, ahead, feed):
            index = colored.frame.index
            if index < start:
                yield colored
                continue
            # Where the backward pass is cut short it fades in over its own length, so that no jump is seen.
            distance = index - anchor.frame if start == anchor.frame + 1 else index - start + 1
            span = gap if start == anchor.frame + 1 else reach
            yield replace(colored, prediction=blend(colored.prediction, spool.pop(), distance=distance, gap=span))


def _spool_backward(spool: Spool, first: int, anchor: int, references: Sequence[Reference], feed: Feed) -> None:
    """Color from the reference at `anchor` back to `first` and push all but the reference's own frame."""
    for colored in _colored(feed.source.reversed_frames(first, anchor), references, feed):
        if colored.frame.index != anchor:
            spool.push(colored.prediction)


def _forward(first: int, last: int, references: Sequence[Reference], feed: Feed) -> Iterator[ColoredFrame]:
    return _colored(feed.source.frames(first, last), references, feed)


def _colored(frames: Iterable[LumaFrame], references: Sequence[Reference], feed: Feed) -> Iterator[ColoredFrame]:
    """Pair every frame with its prediction; a colorizer may take in a few frames before it answers."""
    waiting: deque[LumaFrame] = deque()

    def lumas() -> Iterator[Tensor]:
        for frame in frames:
            feed.before_frame()
            waiting.append(frame)
            yield feed.to_luma(frame)

    for prediction in feed.colorizer.colorize(lumas(), references, matrix=feed.matrix, restore=feed.restore):
        yield ColoredFrame(waiting.popleft(), prediction)


def _seen_from(anchor: Anchor, colors: ShotColors) -> tuple[Reference, ...]:
    """The anchor's own reference, then the nearest others as examples."""
    others = sorted(
        (other for other in colors.anchors if other is not anchor), key=lambda other: abs(other.frame - anchor.frame)
    )
    examples = (*(replace(other.reference, is_frame=False) for other in others), *colors.examples)
    return (anchor.reference, *examples)[:HELPING_REFERENCES]


def _all_references(colors: ShotColors) -> tuple[Reference, ...]:
    """All references of a shot that is fed once, forward: only one of its first frame is the first frame fed."""
    own = (
        replace(anchor.reference, is_frame=anchor.reference.is_frame and anchor.frame == colors.shot.first)
        for anchor in colors.anchors
    )
    return (*own, *colors.examples)
