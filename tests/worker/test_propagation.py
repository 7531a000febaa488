"""Color flows outward from every reference, whichever way, and waits on disk in between."""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Self

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from models.base import Example, Matrix, ModelDescription, Prediction, Reference
from models.color import rgb_to_ycbcr
from worker.analysis import ShotRange
from worker.media.frames import LumaFrame
from worker.propagation import Anchor, ColoredFrame, Feed, ShotColors, blend, color_shot, frames_to_feed
from worker.spool import Spool
from worker.stretches import stretches_of

HEIGHT, WIDTH = 8, 16
SHOT = ShotRange(10, 19)


@dataclass
class Pass:
    """One call of `colorize`: the frames fed, and what they were fed with."""

    fed: list[int] = field(default_factory=list)
    references: list[tuple[float, bool]] = field(default_factory=list)
    """Color and `is_frame`."""


def color_of(reference: Reference) -> float:
    """What `reference` below was made with, or the color that `Recorder` gave a frame."""
    chroma = float(rgb_to_ycbcr(reference.rgb, matrix="bt601")[1].mean())
    return 2 * chroma if abs(chroma) > 1e-4 else float(reference.rgb[0, 0, 0])


class Recorder:
    """Colors every frame like the first reference, a little less sure with every frame, and remembers the order."""

    def __init__(self, *, propagates: bool = True, lag: int = 1) -> None:
        self.passes: list[Pass] = []
        self._propagates = propagates
        self._lag = lag

    @property
    def description(self) -> ModelDescription:
        return ModelDescription(
            name="recorder",
            title="",
            license="",
            source="",
            size_multiple=4,
            working_size=8,
            restores=False,
            propagates=self._propagates,
            references_must_be_frames=False,
            learning_rate=1,
        )

    def clone(self) -> Self:
        return copy.copy(self)

    def colorize(
        self, lumas: Iterable[Tensor], references: Sequence[Reference], *, matrix: Matrix, restore: bool = False
    ) -> Iterator[Prediction]:
        current = Pass(references=[(round(color_of(one), 3), one.is_frame) for one in references])
        self.passes.append(current)
        color = current.references[0][0] if references else 0.0
        held = []
        for luma in lumas:
            current.fed.append(round(float(luma[0, 0])))
            held.append(0.9 ** len(current.fed))
            if len(held) == self._lag:
                for confidence in held:
                    yield self._prediction(color, confidence)
                held = []
        for confidence in held:
            yield self._prediction(color, confidence)

    def _prediction(self, color: float, confidence: float) -> Prediction:
        size = (HEIGHT // 2, WIDTH // 2)
        return Prediction(chroma=torch.full((2, *size), color / 2), confidence=torch.full(size, confidence))

    def weights(self) -> Iterator[torch.Tensor]:
        return iter(self.tunable_parameters())

    def tunable_parameters(self) -> list[nn.Parameter]:
        return []

    def example(self, reference: Reference, *, matrix: Matrix, variation: int) -> Example:
        raise AssertionError("nothing is tuned here")


class Film:
    """Frames in memory whose luma is their number."""

    def frames(self, first: int = 0, last: int | None = None) -> Iterator[LumaFrame]:
        assert last is not None
        return (self._frame(index) for index in range(first, last + 1))

    def reversed_frames(self, first: int = 0, last: int | None = None) -> Iterator[LumaFrame]:
        assert last is not None
        return (self._frame(index) for index in range(last, first - 1, -1))

    def _frame(self, index: int) -> LumaFrame:
        return LumaFrame(
            index=index, pts=index, time_base=Fraction(1, 25), luma=np.full((HEIGHT, WIDTH), index, np.uint8)
        )


def reference(color: float, *, is_frame: bool = True) -> Reference:
    return Reference(rgb=torch.full((3, HEIGHT, WIDTH), color), luma=torch.zeros(HEIGHT, WIDTH), is_frame=is_frame)


def colored(
    recorder: Recorder,
    folder: Path,
    *,
    anchors: Sequence[tuple[int, float]] = (),
    examples: Sequence[float] = (),
    longest: int = 1500,
    on_read: Callable[[int], None] = lambda frame: None,
) -> list[ColoredFrame]:
    fed: list[int] = []

    def read(frame: int, color: float) -> Reference:
        on_read(frame)
        return reference(color)

    colors = ShotColors(
        shot=SHOT,
        anchors=tuple(Anchor(frame, partial(read, frame, color)) for frame, color in anchors),
        examples=tuple(reference(color, is_frame=False) for color in examples),
    )
    feed = Feed(
        source=Film(),
        colorizer=recorder,
        matrix="bt601",
        restore=False,
        to_luma=lambda frame: torch.from_numpy(frame.luma.astype(np.float32)),
        spool_folder=folder,
        before_frame=lambda: fed.append(1),
    )
    result = list(color_shot(colors, feed=feed, longest=longest))
    assert [one.frame.index for one in result] == list(range(SHOT.first, SHOT.last + 1))
    assert list(folder.iterdir()) == []
    assert len(fed) == frames_to_feed(
        SHOT,
        [frame for frame, _ in anchors],
        propagates=recorder.description.propagates,
        longest=longest,
    )
    return result


def hues(frames: Iterable[ColoredFrame]) -> list[float]:
    return [float(one.prediction.chroma.mean()) * 2 for one in frames]


def test_from_the_first_frame_color_flows_forward_once(tmp_path: Path) -> None:
    recorder = Recorder()
    result = colored(recorder, tmp_path, anchors=[(10, 0.5)])
    assert [one.fed for one in recorder.passes] == [list(range(10, 20))]
    assert recorder.passes[0].references == [(0.5, True)]
    assert hues(result) == pytest.approx([0.5] * 10)


def test_frames_before_the_reference_are_fed_in_reverse_starting_on_it(tmp_path: Path) -> None:
    recorder = Recorder()
    result = colored(recorder, tmp_path, anchors=[(14, 0.5)])
    assert [one.fed for one in recorder.passes] == [[14, 13, 12, 11, 10], list(range(14, 20))]
    assert all(one.references == [(0.5, True)] for one in recorder.passes)
    # The farther from the reference, the less sure: what waited on disk belongs to the right frame.
    sure = [float(one.prediction.confidence.mean()) for one in result]
    assert sure == pytest.approx([0.9**5, 0.9**4, 0.9**3, 0.9**2, *(0.9**n for n in range(1, 7))], abs=0.005)


def test_between_two_references_color_passes_over_from_one_to_the_other(tmp_path: Path) -> None:
    recorder = Recorder()
    result = colored(recorder, tmp_path, anchors=[(10, 0.2), (19, 0.8)])
    assert recorder.passes[0].fed == list(range(19, 10, -1))
    assert recorder.passes[0].references == [(0.8, True), (0.2, False)]
    assert recorder.passes[1].fed == list(range(10, 19))
    assert recorder.passes[1].references == [(0.2, True), (0.8, False)]
    found = hues(result)
    assert found[0] == pytest.approx(0.2, abs=1e-3)
    assert found[-1] == pytest.approx(0.8, abs=1e-3)
    assert found == sorted(found)
    assert found[4] == pytest.approx(0.5, abs=0.1)


def test_neighboring_references_need_no_backward_pass(tmp_path: Path) -> None:
    recorder = Recorder()
    result = colored(recorder, tmp_path, anchors=[(10, 0.2), (11, 0.8)])
    assert [one.fed for one in recorder.passes] == [[10], list(range(11, 20))]
    assert hues(result) == pytest.approx([0.2, *[0.8] * 9])


def test_a_long_way_back_is_cut_short_without_a_jump(tmp_path: Path) -> None:
    recorder = Recorder()
    colored(recorder, tmp_path, anchors=[(18, 0.5)], longest=4)
    assert [one.fed for one in recorder.passes] == [
        [10, 11, 12, 13],
        [18, 17, 16, 15, 14],
        [13, 14, 15, 16, 17],
        [18, 19],
    ]
    assert recorder.passes[0].references == [(0.5, False)]
    assert recorder.passes[2].references[0][1]
    assert recorder.passes[2].references[1] == (0.5, False)


def test_a_long_way_between_two_references_is_cut_short_without_a_jump(tmp_path: Path) -> None:
    recorder = Recorder()
    found = hues(colored(recorder, tmp_path, anchors=[(10, 0.2), (19, 0.8)], longest=4))
    assert [one.fed for one in recorder.passes] == [
        [10, 11],
        [11, 12, 13, 14],
        [19, 18, 17, 16, 15],
        [14, 15, 16, 17, 18],
        [19],
    ]
    assert found[:5] == pytest.approx([0.2] * 5)
    steps = np.diff(found)
    assert (steps >= -1e-6).all()
    assert steps.max() < 0.3


def test_a_shot_with_examples_alone_is_fed_forward(tmp_path: Path) -> None:
    recorder = Recorder()
    colored(recorder, tmp_path, examples=[0.3])
    assert [one.fed for one in recorder.passes] == [list(range(10, 20))]
    assert recorder.passes[0].references == [(0.3, False)]


def test_a_shot_without_any_reference_is_fed_without(tmp_path: Path) -> None:
    recorder = Recorder()
    assert hues(colored(recorder, tmp_path)) == [0.0] * 10
    assert recorder.passes[0].references == []


def test_of_many_references_only_those_that_a_stretch_looks_at_are_read(tmp_path: Path) -> None:
    read: list[int] = []
    anchors = [(frame, frame / 20) for frame in range(12, 20)]
    colored(Recorder(), tmp_path, anchors=anchors, examples=[0.4], on_read=read.append)
    assert read[:2] == [12, 13]
    assert set(read) == {frame for frame, _ in anchors}
    assert max(abs(one - other) for one, other in pairwise(read)) <= 2


def test_a_model_that_does_not_propagate_is_fed_once_with_all_references(tmp_path: Path) -> None:
    recorder = Recorder(propagates=False)
    colored(recorder, tmp_path, anchors=[(10, 0.2), (15, 0.8)], examples=[0.4])
    assert [one.fed for one in recorder.passes] == [list(range(10, 20))]
    assert recorder.passes[0].references == [(0.2, True), (0.8, False), (0.4, False)]


def test_a_model_that_answers_in_blocks_keeps_frames_and_colors_together(tmp_path: Path) -> None:
    result = colored(Recorder(lag=4), tmp_path, anchors=[(13, 0.5)])
    sure = [float(one.prediction.confidence.mean()) for one in result]
    assert sure == pytest.approx([0.9**4, 0.9**3, 0.9**2, *(0.9**n for n in range(1, 8))], abs=0.005)


def test_a_spool_gives_back_in_reverse_and_shrinks(tmp_path: Path) -> None:
    rng = torch.Generator().manual_seed(1)
    put = [
        Prediction(chroma=torch.rand(2, 3, 5, generator=rng) - 0.5, confidence=torch.rand(3, 5, generator=rng))
        for _ in range(4)
    ]
    with Spool(tmp_path / "spool") as spool:
        for one in put:
            spool.push(one)
        for one in reversed(put):
            got = spool.pop()
            assert torch.allclose(got.chroma, one.chroma, atol=1e-4)
            assert torch.allclose(got.confidence, one.confidence, atol=3e-3)
        assert (tmp_path / "spool").stat().st_size == 0
        with pytest.raises(IndexError):
            spool.pop()


def test_a_place_that_one_side_has_lost_is_taken_from_the_other() -> None:
    size = (2, 2)
    lost = Prediction(chroma=torch.full((2, *size), -0.4), confidence=torch.zeros(size))
    kept = Prediction(chroma=torch.full((2, *size), 0.3), confidence=torch.ones(size))
    assert blend(lost, kept, distance=1, gap=4).chroma.mean() == pytest.approx(0.3, abs=0.01)
    assert blend(kept, lost, distance=3, gap=4).chroma.mean() == pytest.approx(0.3, abs=0.01)
    both_lost = blend(lost, Prediction(chroma=kept.chroma, confidence=lost.confidence), distance=1, gap=4)
    assert both_lost.chroma.mean() == pytest.approx(0.75 * -0.4 + 0.25 * 0.3, abs=1e-4)


def test_where_one_side_is_less_sure_than_elsewhere_the_other_is_believed() -> None:
    confidence = torch.full((8, 8), 0.6)
    confidence[0, 0] = 0.4
    forward = Prediction(chroma=torch.zeros(2, 8, 8), confidence=confidence)
    backward = Prediction(chroma=torch.ones(2, 8, 8), confidence=torch.full((8, 8), 0.9))
    behind = blend(forward, backward, distance=1, gap=2).chroma
    assert (behind[:, 0, 0] > 0.95).all()
    # A side that has faded as a whole, as it does over a long way, is not given up at once.
    assert behind[0, 1, 1] == pytest.approx(0.6, abs=0.03)


@given(st.lists(st.sampled_from([0.0, 0.001, 0.3, 0.6, 1.0]), min_size=8, max_size=8), st.integers(0, 9))
def test_a_blend_lies_between_both_sides(confidences: list[float], distance: int) -> None:
    ahead, behind = torch.tensor(confidences).reshape(2, 2, 2)
    forward = Prediction(chroma=torch.full((2, 2, 2), -0.4), confidence=ahead)
    blended = blend(forward, Prediction(torch.full((2, 2, 2), 0.3), behind), distance=distance, gap=10)
    assert ((blended.chroma >= -0.4) & (blended.chroma <= 0.3)).all()
    share = (0.3 - blended.chroma[0]) / 0.7
    # Where both are as sure, nearness alone decides, whatever they are elsewhere.
    torch.testing.assert_close(share[ahead == behind], torch.full_like(share, 1 - distance / 10)[ahead == behind])


def test_what_is_colored_from_a_frame_is_trusted_no_more_than_that(tmp_path: Path) -> None:
    result = colored(Recorder(), tmp_path, anchors=[(10, 0.5)], longest=5)
    sure = [float(one.prediction.confidence.mean()) for one in result]
    assert sure == sorted(sure, reverse=True)
    assert sure[5] == pytest.approx(sure[4] * 0.9**2, abs=0.001)


SHOTS = st.tuples(st.integers(0, 50), st.integers(1, 300)).map(lambda ends: ShotRange(ends[0], ends[0] + ends[1] - 1))


@given(SHOTS, st.sets(st.integers(0, 400), max_size=5), st.integers(1, 90), st.integers(1, 200), st.booleans())
def test_stretches_cover_a_shot_and_start_on_colors_that_are_there(
    shot: ShotRange, places: set[int], longest: int, longest_backward: int, propagates: bool
) -> None:
    anchors = sorted(place for place in places if place in shot)
    stretches = stretches_of(shot, anchors, propagates=propagates, longest=longest, longest_backward=longest_backward)
    assert [frame for one in stretches for frame in range(one.first, one.last + 1)] == [
        *range(shot.first, shot.last + 1)
    ]
    assert all(1 <= len(one) <= longest and one.feeds <= 2 * longest + 2 for one in stretches)
    if not propagates:
        return
    for one, following in zip(stretches, [*stretches[1:], None], strict=True):
        assert one.forward or one.backward
        if one.forward == "reference":
            assert one.first in anchors
        if one.forward == "before":
            assert one is not stretches[0]
        if one.backward == "reference":
            assert one.last + 1 in anchors
        if one.backward == "behind":
            # What it waits for does not wait for it.
            assert following is not None
            assert following.forward is None or following.forward == "reference"
