"""In which order the frames of a shot are fed, so that color flows outward from every reference in it."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from models.base import Colorizer, Matrix, Prediction, Reference
from models.color import ycbcr_to_rgb
from worker.analysis import ShotRange
from worker.media.frames import LumaFrame
from worker.spool import Spool
from worker.stretches import LONGEST_STRETCH, Stretch, stretches_of

HELPING_REFERENCES = 2
"""References looked at in one pass at most, the nearest ones: each costs time for every frame."""
_CONFIDENCE_POWER = 8
"""How strongly a place between two references is taken from the side that is surer of it than it is elsewhere. On 42
clips for training, 29 frames between two references, 0.13 dB better than with 1; 12 would gain 0.03 dB more, with more
jumps of color."""


class FrameSource(Protocol):
    """Where frames come from: `worker.media.decode.VideoReader`, or frames in memory."""

    def frames(self, first: int = 0, last: int | None = None) -> Iterator[LumaFrame]: ...

    def reversed_frames(self, first: int = 0, last: int | None = None) -> Iterator[LumaFrame]: ...


@dataclass(frozen=True, slots=True)
class Anchor:
    """A reference that is frame `frame` of the shot."""

    frame: int
    read: Callable[[], Reference]
    """Asked where the reference is looked at: a shot may have many more of them than one stretch needs."""


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
    examples: Sequence[Reference]
    """References that are no frames of the shot, best first; `is_frame` is false."""


@dataclass(frozen=True, slots=True)
class Carried:
    """The color of one frame, from which its neighbor is colored: all that passes from one stretch to the next."""

    chroma: Tensor
    """[2, h, w] float32, as predicted."""
    confidence: float
    """Mean over the frame; what is colored from it is trusted no more."""

    @classmethod
    def of(cls, prediction: Prediction) -> "Carried":
        return cls(prediction.chroma.detach().float().cpu(), float(prediction.confidence.mean()))


@dataclass(frozen=True, slots=True)
class Neighbors:
    """The colors of the frames on both sides of a stretch, where it starts on them."""

    before: Carried | None = None
    behind: Carried | None = None


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


def color_shot(colors: ShotColors, *, feed: Feed, longest: int = LONGEST_STRETCH) -> Iterator[ColoredFrame]:
    """Yield the frames of a shot in order, colored, one stretch after the other; memory does not grow with the shot."""
    before: Carried | None = None
    for stretch in stretches_in_order(colors.shot, colors.anchors, feed=feed, longest=longest):
        last: Prediction | None = None
        for colored in color_stretch(stretch, colors, feed=feed, neighbors=Neighbors(before=before)):
            last = colored.prediction
            yield colored
        before = None if last is None else Carried.of(last)


def stretches_in_order(shot: ShotRange, anchors: Sequence[Anchor], *, feed: Feed, longest: int) -> tuple[Stretch, ...]:
    """Stretches none of which starts on one behind it."""
    return stretches_of(
        shot,
        [anchor.frame for anchor in anchors],
        propagates=feed.colorizer.description.propagates,
        longest=longest,
        longest_backward=longest,
    )


def frames_to_feed(shot: ShotRange, anchors: Sequence[int], *, propagates: bool, longest: int = LONGEST_STRETCH) -> int:
    """How many frames `color_shot` feeds for a shot with references at the frames `anchors`: those that are colored
    both ways, and the frames that color starts on, count twice."""
    stretches = stretches_of(shot, anchors, propagates=propagates, longest=longest, longest_backward=longest)
    return sum(stretch.feeds for stretch in stretches)


def color_stretch(stretch: Stretch, colors: ShotColors, *, feed: Feed, neighbors: Neighbors) -> Iterator[ColoredFrame]:
    """Yield the frames of a stretch of a shot in order, colored.

    Backward color waits on disk: 5 bytes for each pixel that is predicted.
    """
    if not feed.colorizer.description.propagates:
        yield from _colored(
            feed.source.frames(stretch.first, stretch.last), _all_references(colors, stretch.first), feed
        )
    elif stretch.backward is None:
        yield from _forward(stretch, colors, feed, neighbors)
    else:
        with Spool(feed.spool_folder / "backward.spool") as spool:
            _spool_backward(spool, stretch, colors, feed, neighbors)
            if stretch.forward is None:
                for frame in feed.source.frames(stretch.first, stretch.last):
                    yield ColoredFrame(frame, spool.pop())
            else:
                yield from _both_ways(stretch, _forward(stretch, colors, feed, neighbors), spool)


def blend(forward: Prediction, backward: Prediction, *, distance: int, gap: int) -> Prediction:
    """Color of a frame `distance` frames after one reference and `gap - distance` before the next.

    Each side weighs by its nearness and its confidence, so that the color passes over smoothly from the one reference
    to the other, and a place that one side has lost (covered, out of the picture) is taken from the other.
    """
    device = forward.chroma.device
    chroma, confidence = backward.chroma.to(device), backward.confidence.to(device)
    small = 1e-3  # where both have lost the place, nearness alone decides
    log_ratio = torch.log((forward.confidence.float() + small) / (confidence.float() + small))
    # The one side as a whole fades over a long way: with a power of that, color would jump where that way begins.
    usual = log_ratio.mean()
    beyond_usual = log_ratio - log_ratio.clamp(usual.clamp(max=0), usual.clamp(min=0))
    nearness = torch.tensor(1 - distance / gap, device=device)
    share = torch.sigmoid(nearness.logit() + log_ratio + (_CONFIDENCE_POWER - 1) * beyond_usual)
    return replace(
        forward,
        chroma=share * forward.chroma + (1 - share) * chroma,
        confidence=share * forward.confidence + (1 - share) * confidence,
    )


def _both_ways(stretch: Stretch, forward: Iterator[ColoredFrame], spool: Spool) -> Iterator[ColoredFrame]:
    """Pass over from forward color to backward color."""
    # The frame on which forward color starts has all of its weight, and so has the one that backward color starts on.
    start = stretch.first if stretch.forward == "reference" else stretch.first - 1
    gap = stretch.last + 1 - start
    for colored in forward:
        index = colored.frame.index
        if index < stretch.first_backward:
            yield colored
        else:
            blended = blend(colored.prediction, spool.pop(), distance=index - start, gap=gap)
            yield replace(colored, prediction=blended)


def _forward(stretch: Stretch, colors: ShotColors, feed: Feed, neighbors: Neighbors) -> Iterator[ColoredFrame]:
    before = _anchor_before(stretch.first, colors)
    following = _anchor_behind(stretch.last, colors)
    if stretch.forward == "before":
        assert neighbors.before is not None, "the frame before is colored first"
        frames = feed.source.frames(stretch.first - 1, stretch.last)
        helpers = _as_examples([before or following], colors)
        yield from _from_carried(frames, neighbors.before, helpers, feed)
        return
    if stretch.forward == "examples":
        references = _as_examples([following], colors)
    else:
        assert before is not None, "a reference stands at the first frame"
        references = chain([before.read()], _as_examples([following, *_nearest(before, colors)], colors))
    yield from _colored(feed.source.frames(stretch.first, stretch.last), _helping(references), feed)


def _spool_backward(spool: Spool, stretch: Stretch, colors: ShotColors, feed: Feed, neighbors: Neighbors) -> None:
    """Color from the frame behind the stretch back to where backward color ends, and push all but that frame."""
    frames = feed.source.reversed_frames(stretch.first_backward, stretch.last + 1)
    before = _anchor_before(stretch.first, colors)
    following = _anchor_behind(stretch.last, colors)
    assert following is not None, "backward color comes from a reference"
    if stretch.backward == "behind":
        assert neighbors.behind is not None, "the frame behind is colored first"
        for colored in _from_carried(frames, neighbors.behind, _as_examples([following], colors), feed):
            spool.push(colored.prediction)
        return
    helpers = _as_examples([before, *_nearest(following, colors)], colors)
    for colored in _colored(frames, _helping(chain([following.read()], helpers)), feed):
        if colored.frame.index != following.frame:
            spool.push(colored.prediction)


def _from_carried(
    frames: Iterator[LumaFrame], carried: Carried, helpers: Iterable[Reference], feed: Feed
) -> Iterator[ColoredFrame]:
    """Color frames of which the first is colored already; it is fed, and left out of the answer."""
    start = next(frames)
    luma = feed.to_luma(start)
    known = Reference(rgb=_rgb(luma, carried.chroma, matrix=feed.matrix), luma=luma, is_frame=True)
    colored = _colored(chain([start], frames), _helping(chain([known], helpers)), feed)
    next(colored, None)
    for one in colored:
        sure = one.prediction.confidence * carried.confidence
        yield replace(one, prediction=replace(one.prediction, confidence=sure))


def _rgb(luma: Tensor, chroma: Tensor, *, matrix: Matrix) -> Tensor:
    """[3, H, W]: the frame of `luma` [H, W] with its predicted chroma [2, h, w]; beyond 0..1 where that leaves the
    gamut, so that no color is lost on the way."""
    size = (luma.shape[0], luma.shape[1])
    planes = F.interpolate(chroma[None], size=size, mode="nearest")[0]
    return ycbcr_to_rgb(torch.cat([luma[None].cpu(), planes]), matrix=matrix)


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


def _anchor_before(frame: int, colors: ShotColors) -> Anchor | None:
    """The last reference at `frame` or before."""
    return next((anchor for anchor in reversed(colors.anchors) if anchor.frame <= frame), None)


def _anchor_behind(frame: int, colors: ShotColors) -> Anchor | None:
    """The first reference behind `frame`."""
    return next((anchor for anchor in colors.anchors if anchor.frame > frame), None)


def _nearest(anchor: Anchor, colors: ShotColors) -> list[Anchor]:
    """The other references of the shot, the nearest first."""
    others = (other for other in colors.anchors if other is not anchor)
    return sorted(others, key=lambda other: abs(other.frame - anchor.frame))


def _helping(references: Iterable[Reference]) -> tuple[Reference, ...]:
    """The first ones; no further one is read."""
    return tuple(islice(references, HELPING_REFERENCES))


def _as_examples(anchors: Sequence[Anchor | None], colors: ShotColors) -> Iterator[Reference]:
    """References that stand elsewhere, then those that are no frames of the shot."""
    elsewhere = (replace(anchor.read(), is_frame=False) for anchor in anchors if anchor is not None)
    return chain(elsewhere, colors.examples)


def _all_references(colors: ShotColors, first: int) -> tuple[Reference, ...]:
    """All references of a shot for a model that looks at all of them: only one of its first frame is the first frame
    fed."""
    known = ((anchor.frame, anchor.read()) for anchor in colors.anchors)
    own = (replace(one, is_frame=one.is_frame and frame == first) for frame, one in known)
    return (*own, *colors.examples)
