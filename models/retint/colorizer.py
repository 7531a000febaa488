"""The default colorizer: chroma offered by motion and by matching, fused by the evidence for each."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.base import Example, Matrix, ModelDescription, Prediction, Reference
from models.color import rgb_to_lab, rgb_to_ycbcr, ycbcr_to_rgb
from models.features import STRIDE, FeatureTrunk, load_trunk
from models.motion import Luma8, Motion, measure_motion
from models.retint.network import (
    FARTHEST_FLOW_ERROR,
    Fused,
    Offers,
    RetintNetwork,
    load_network,
    matched_planes,
    warp_planes,
)
from models.retint.samples import move_reference

DESCRIPTION = ModelDescription(
    name="retint",
    title="retint: motion and matching",
    license="Apache-2.0",
    source="Shipped with this project; features from EfficientNet-lite0 trained on ImageNet.",
    size_multiple=8,
    working_size=480,
    restores=False,
    propagates=True,
    references_must_be_frames=False,
    memory_megabytes_per_megapixel=410.0,
    learning_rate=1e-3,
)

MATCHED_REFERENCES = 4
"""Matching costs time and memory in proportion to the references looked up."""
REMEMBERED_EVERY = 5
"""Frames between two that are remembered."""
REMEMBERED = 2
"""Frames remembered at once, the latest."""
FEATURE_SIDE = 320
"""Short side at which features are taken: 480 would give 0.2 dB to matching for three times the time."""
TRUNK_WEIGHTS = Path(__file__).with_name("efficientnet_lite0.safetensors")


@dataclass(frozen=True, slots=True)
class Source:
    """A colored picture as matching looks it up."""

    keys: Tensor
    """[1, D, N]."""
    values: Tensor
    """[1, 4, N]: chroma, luma, trust."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame and its features, which no weight that is tuned changes."""

    luma: Tensor
    """[1, 1, H, W]."""
    half: Luma8
    """The same at chroma's resolution, at which flow is estimated."""
    features: list[Tensor]


@dataclass(frozen=True, slots=True)
class ColoredFrame:
    frame: Frame
    chroma: Tensor
    """[1, 2, h, w]."""
    trust: Tensor
    """[1, 1, h, w] in 0..1: confidence in the chroma."""


@dataclass(slots=True)
class ReferenceState:
    """What a shot keeps of one reference."""

    picture: ColoredFrame
    source: Source
    motion: Motion | None = None
    """From the frame before: where this frame's search starts."""


@dataclass(slots=True)
class ShotState:
    """Everything that passes from frame to frame; its size does not grow."""

    references: list[ReferenceState]
    memory: list[Source]
    """Frames as they were colored, the latest last."""
    before: ColoredFrame | None = None
    since_remembered: int = 0


@dataclass(frozen=True, slots=True)
class Question:
    """A frame to color, and all that does not change with the weights: it may be asked again and again."""

    asked: Frame
    known: ColoredFrame
    """Where matching looks."""
    previous: Tensor | None
    direct: Tensor
    """[1, CARRIED, h, w]."""


class RetintColorizer:
    """Fuses offers per pixel: the previous output and the reference moved by optical flow, and the colors of the
    references found again by matching features. A trained network refines that, and remembers earlier frames too."""

    def __init__(self, trunk: FeatureTrunk, network: RetintNetwork, *, device: torch.device) -> None:
        self._trunk = trunk.to(device)
        self._network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._device = device

    @classmethod
    def load(cls, device: torch.device, *, trained: Path | None = None) -> Self:
        """Read the weights that come with the project, and those of a training run where one is given.

        Raises:
            WeightsMissing, WeightsInvalid: a file is not there, or damaged.
        """
        network = RetintNetwork(refined=False) if trained is None else load_network(trained)
        return cls(load_trunk(TRUNK_WEIGHTS), network, device=device)

    @property
    def description(self) -> ModelDescription:
        return DESCRIPTION

    @property
    def _remembers(self) -> bool:
        return self._network.fusion.refinement is not None

    def clone(self) -> Self:
        # The trunk is never trained, so that copies may share it.
        return type(self)(self._trunk, copy.deepcopy(self._network), device=self._device)

    def tunable_parameters(self) -> list[nn.Parameter]:
        # How pictures are matched and what evidence is believed: few weights, of which a picture can tell enough. Were
        # a refinement tuned too, the held-out part of the reference would gain and the film lose.
        return [*self._network.description.parameters(), *self._network.fusion.prior.parameters()]

    def colorize(
        self,
        lumas: Iterable[Tensor],
        references: Sequence[Reference],
        *,
        matrix: Matrix,
        restore: bool = False,  # noqa: ARG002 - this model has no restoration to offer
    ) -> Iterator[Prediction]:
        """See `models.base.Colorizer.colorize`; one frame is held at a time."""
        prepared = [self._prepare(reference, matrix=matrix) for reference in references]
        # Before frames are remembered, the first reference is.
        state = ShotState(prepared, memory=[reference.source for reference in prepared[:1]] * REMEMBERED)
        first_is_reference = bool(references) and references[0].is_frame
        with ThreadPoolExecutor(max_workers=2, thread_name_prefix="flow") as pool:
            for index, luma in enumerate(lumas):
                if not references:
                    yield uncolored(luma.to(self._device))
                elif index == 0 and first_is_reference:
                    state.before = state.references[0].picture
                    yield as_prediction(state.before)
                else:
                    yield self._predict(state, luma, pool=pool)

    def example(self, reference: Reference, *, matrix: Matrix, variation: int) -> Example:
        """The reference itself colored from a picture whose color is known; see `models.base.Colorizer.example`.

        Odd variations go around a cycle where the reference has frames nearby: from the reference to a later frame of
        the film, and back. The others move the reference by a random smooth motion.
        """
        make = self._cycle if variation % 2 and len(reference.nearby) > 1 else self._moved
        question, chroma = make(reference, matrix=matrix, variation=variation)
        luma = F.avg_pool2d(question.asked.luma, 2)[0, 0]
        truth = color_at(luma, chroma[0], matrix=matrix)

        def ask() -> tuple[Tensor, Tensor]:
            return color_at(luma, self._answer(question).chroma[0], matrix=matrix), truth

        return ask

    def _moved(self, reference: Reference, *, matrix: Matrix, variation: int) -> tuple[Question, Tensor]:
        """The reference moved by a random smooth motion, twice: asked is the later one."""
        known = self._picture(reference, matrix=matrix)
        still = known.chroma[0].permute(1, 2, 0).contiguous().cpu().numpy()
        moved = move_reference(eight_bit(reference.luma), still, variation=variation)
        before = self._colored(self._look(unit_luma(moved.previous_luma)), known=known)
        question = self._question(self._look(unit_luma(moved.luma)), known=known, before=before)
        return question, torch.from_numpy(moved.chroma).permute(2, 0, 1)[None].to(self._device)

    def _cycle(self, reference: Reference, *, matrix: Matrix, variation: int) -> tuple[Question, Tensor]:
        """To a later frame and back: asked is the reference, from the later frame as the model colors it."""
        start = self._picture(reference, matrix=matrix)
        near, *farther = reference.nearby
        far = self._colored(self._look(farther[(variation // 2) % len(farther)]), known=start)
        before = self._colored(self._look(near), known=far)
        return self._question(start.frame, known=far, before=before), start.chroma

    def _picture(self, reference: Reference, *, matrix: Matrix) -> ColoredFrame:
        chroma = F.avg_pool2d(rgb_to_ycbcr(reference.rgb.to(self._device), matrix=matrix)[None, 1:], 2)
        return ColoredFrame(self._look(reference.luma), chroma, trust=torch.ones_like(chroma[:, :1]))

    def _look(self, luma: Tensor) -> Frame:
        planes = luma.to(self._device)[None, None]
        return Frame(luma=planes, half=half_luma(luma), features=self._features(planes))

    @torch.no_grad()
    def _colored(self, frame: Frame, *, known: ColoredFrame) -> ColoredFrame:
        fused = self._answer(self._question(frame, known=known, before=None))
        return ColoredFrame(frame, fused.chroma, trust=fused.confidence)

    @torch.no_grad()
    def _question(self, asked: Frame, *, known: ColoredFrame, before: ColoredFrame | None) -> Question:
        previous = None
        if before is not None:
            previous = self._carried(before, measure_motion(asked.half, before.frame.half))
        direct = self._carried(known, measure_motion(asked.half, known.frame.half))
        return Question(asked=asked, known=known, previous=previous, direct=direct)

    def _answer(self, question: Question) -> Fused:
        """Differentiable in the network's weights."""
        asked = question.asked
        source = self._source(self._network.description(question.known.frame.features), picture=question.known)
        matched = self._found(self._network.description(asked.features), [source], luma=asked.luma)
        fused: Fused = self._network.fusion(
            Offers(
                luma=asked.luma,
                previous=question.previous,
                direct=question.direct,
                matched=matched,
                remembered=matched if self._remembers else None,
            )
        )
        return fused

    @torch.no_grad()
    def _prepare(self, reference: Reference, *, matrix: Matrix) -> ReferenceState:
        picture = self._picture(reference, matrix=matrix)
        description = self._network.description(picture.frame.features)
        return ReferenceState(picture=picture, source=self._source(description, picture=picture))

    @torch.no_grad()
    def _features(self, luma: Tensor) -> list[Tensor]:
        height, width = feature_size(luma.shape[-2], luma.shape[-1])
        resized = F.interpolate(luma, size=(height, width), mode="bilinear", antialias=True, align_corners=False)
        features: list[Tensor] = self._trunk(resized.contiguous(memory_format=torch.channels_last))
        return features

    def _source(self, description: Tensor, *, picture: ColoredFrame) -> Source:
        planes = torch.cat([picture.chroma, F.avg_pool2d(picture.frame.luma, 2), picture.trust], 1)
        values = F.adaptive_avg_pool2d(planes, (description.shape[-2], description.shape[-1])).flatten(2)
        return Source(keys=self._network.description.as_keys(description), values=values)

    def _found(self, description: Tensor, sources: Sequence[Source], *, luma: Tensor) -> Tensor:
        """[1, MATCHED, gh, gw]: what all sources together know of this frame."""
        found = self._network.description.look_up(
            self._network.description.placed(description),
            torch.cat([source.keys for source in sources], -1),
            torch.cat([source.values for source in sources], -1),
        )
        return matched_planes(found, luma)

    def _carried(self, picture: ColoredFrame, motion: Motion) -> Tensor:
        """[1, CARRIED, h, w]: color moved by flow, and the evidence for it."""
        flow, residual, error = (
            torch.from_numpy(plane).to(self._device) for plane in (motion.flow, motion.residual, motion.disagreement)
        )
        moved = warp_planes(torch.cat([picture.chroma, picture.trust], 1), flow.permute(2, 0, 1)[None])
        evidence = torch.stack([residual, error.clamp(max=FARTHEST_FLOW_ERROR) / FARTHEST_FLOW_ERROR])[None]
        return torch.cat([moved[:, :2], evidence, moved[:, 2:]], 1)

    @torch.no_grad()
    def _predict(self, state: ShotState, luma: Tensor, *, pool: ThreadPoolExecutor) -> Prediction:
        half = half_luma(luma)
        reference, before = state.references[0], state.before
        from_before = None if before is None else pool.submit(measure_motion, half, before.frame.half)
        last = reference.motion
        from_reference = pool.submit(
            measure_motion,
            half,
            reference.picture.frame.half,
            initial=None if last is None else last.flow,
            initial_backward=None if last is None else last.backward,
        )
        # The flows are done before torch begins: both at once would fight for the cores, and torch's threads spin.
        wait([pending for pending in (from_before, from_reference) if pending is not None])
        previous = None
        if before is not None and from_before is not None:
            previous = self._carried(before, from_before.result())
        reference.motion = from_reference.result()
        direct = self._carried(reference.picture, reference.motion)
        planes = luma.to(self._device)[None, None]
        frame = Frame(planes, half, self._features(planes))
        description = self._network.description(frame.features)
        sources = [reference.source for reference in state.references[:MATCHED_REFERENCES]]
        matched = self._found(description, sources, luma=planes)
        remembered = None
        if self._remembers:
            remembered = self._found(description, state.memory, luma=planes)
        fused = self._network.fusion(
            Offers(luma=planes, previous=previous, direct=direct, matched=matched, remembered=remembered)
        )
        state.before = ColoredFrame(frame, fused.chroma, trust=fused.confidence)
        if self._remembers:
            self._remember(state, description, picture=state.before)
        return as_prediction(state.before)

    def _remember(self, state: ShotState, description: Tensor, *, picture: ColoredFrame) -> None:
        state.since_remembered += 1
        if state.since_remembered < REMEMBERED_EVERY:
            return
        state.memory = [*state.memory[1:], self._source(description, picture=picture)]
        state.since_remembered = 0


def feature_size(height: int, width: int) -> tuple[int, int]:
    """The size at which features are taken: multiples of their stride, and no more than `FEATURE_SIDE` lines."""
    scale = min(1.0, FEATURE_SIDE / min(height, width))
    rows, columns = (max(2, round(side * scale / STRIDE)) * STRIDE for side in (height, width))
    return rows, columns


def as_prediction(picture: ColoredFrame) -> Prediction:
    return Prediction(chroma=picture.chroma[0], confidence=picture.trust[0, 0])


def color_at(luma: Tensor, chroma: Tensor, *, matrix: Matrix) -> Tensor:
    """Lab [3, h, w] of `luma` [h, w] with `chroma` [2, h, w]; colors outside of sRGB are brought to its edge."""
    return rgb_to_lab(ycbcr_to_rgb(torch.cat([luma[None], chroma]), matrix=matrix).clamp(0, 1))


def half_luma(luma: Tensor) -> Luma8:
    """[H, W] in 0..1 to [H/2, W/2] uint8: chroma's resolution, at which flow is estimated."""
    return eight_bit(F.avg_pool2d(luma[None], 2)[0])


def eight_bit(luma: Tensor) -> Luma8:
    """[h, w] in 0..1 to uint8."""
    return np.asarray((luma * 255.0).round().clamp(0, 255).to(torch.uint8).cpu().numpy(), np.uint8)


def unit_luma(codes: Luma8) -> Tensor:
    """[h, w] uint8 to float32 in 0..1."""
    return torch.from_numpy(codes).to(torch.float32) / 255.0


def uncolored(luma: Tensor) -> Prediction:
    """Zero chroma, and no confidence in it."""
    height, width = luma.shape[0] // 2, luma.shape[1] // 2
    return Prediction(
        chroma=torch.zeros(2, height, width, device=luma.device),
        confidence=torch.zeros(height, width, device=luma.device),
    )
