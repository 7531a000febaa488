"""The default colorizer: chroma carried by motion and matching, blended by the evidence for each."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from models.base import Matrix, ModelDescription, Prediction, Reference
from models.color import rgb_to_lab, rgb_to_ycbcr, ycbcr_to_rgb
from models.features import STRIDE, FeatureTrunk, load_trunk
from models.matching import Keys, Matching
from models.motion import Luma8, Motion, measure_motion, warp
from models.retint.blend import Blend, Candidate
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
    learning_rate=3e-3,
)

MOVED_REFERENCES = 2
"""Direct flow is estimated from the nearest references only: each costs two flows per frame."""
MATCHED_REFERENCES = 4
"""Matching costs time and memory in proportion to the references looked up."""
FEATURE_SIDE = 320
"""Short side at which features are taken: 480 would give 0.2 dB to matching for three times the time."""
TRUNK_WEIGHTS = Path(__file__).with_name("efficientnet_lite0.safetensors")


@dataclass(slots=True)
class ReferenceState:
    """What a shot keeps of one reference."""

    luma: Luma8
    chroma: Tensor
    """[2, h, w]."""
    keys: Keys
    motion: Motion | None = None
    """From the frame before: where this frame's search starts."""


@dataclass(slots=True)
class ShotState:
    """Everything that passes from frame to frame; its size does not grow."""

    references: list[ReferenceState]
    luma: Luma8 | None = None
    chroma: Tensor | None = None
    confidence: Tensor | None = None


class RetintColorizer:
    """Colorizes by blending three offers per pixel: the previous output and the references moved by optical flow, and
    the references' colors found again by matching features."""

    def __init__(self, trunk: FeatureTrunk, matching: Matching, blend: Blend, *, device: torch.device) -> None:
        self._trunk = trunk.to(device)
        self._matching = matching.to(device)
        self._blend = blend.to(device)
        self._device = device

    @classmethod
    def load(cls, device: torch.device) -> Self:
        """Read the weights that come with the project."""
        return cls(load_trunk(TRUNK_WEIGHTS), Matching(), Blend(), device=device)

    @property
    def description(self) -> ModelDescription:
        return DESCRIPTION

    def clone(self) -> Self:
        # The trunk is never trained, so that copies may share it.
        matching, blend = copy.deepcopy(self._matching), copy.deepcopy(self._blend)
        return type(self)(self._trunk, matching, blend, device=self._device)

    def tunable_parameters(self) -> list[nn.Parameter]:
        return [*self._matching.parameters(), *self._blend.parameters()]

    def colorize(
        self,
        lumas: Iterable[Tensor],
        references: Sequence[Reference],
        *,
        matrix: Matrix,
        restore: bool = False,  # noqa: ARG002 - this model has no restoration to offer
    ) -> Iterator[Prediction]:
        """See `models.base.Colorizer.colorize`; one frame is held at a time."""
        with torch.no_grad():
            state = ShotState([self._prepare(reference, matrix=matrix) for reference in references])
        first_is_reference = bool(references) and references[0].is_frame
        with ThreadPoolExecutor(max_workers=2, thread_name_prefix="flow") as pool:
            for index, luma in enumerate(lumas):
                if not references:
                    yield uncolored(luma.to(self._device))
                elif index == 0 and first_is_reference:
                    yield self._start_on_reference(state)
                else:
                    yield self._predict(state, luma, pool=pool)

    def example(self, reference: Reference, *, matrix: Matrix, variation: int) -> tuple[Tensor, Tensor]:
        """The reference moved by a random smooth motion, predicted from itself: see `models.base.Colorizer.example`."""
        prepared = self._prepare(reference, matrix=matrix)
        still = prepared.chroma.permute(1, 2, 0).contiguous().cpu().numpy()
        moved = move_reference(prepared.luma, still, variation=variation)
        sure = torch.ones_like(prepared.chroma[0])
        # The frame before is predicted too: were its color perfect, tuning would learn to trust it too much.
        with torch.no_grad():
            before = unit_luma(moved.previous_luma, device=self._device)
            first = measure_motion(moved.previous_luma, prepared.luma)
            previous_chroma, previous_trust = self._blend(
                [
                    self._carried("direct", first, chroma=prepared.chroma, trust=sure),
                    self._matched(before, self._features(before), keys=[prepared.keys]),
                ]
            )
        luma = unit_luma(moved.luma, device=self._device)
        from_previous = measure_motion(moved.luma, moved.previous_luma)
        from_reference = measure_motion(moved.luma, prepared.luma, initial=first.flow, initial_backward=first.backward)
        candidates = [
            self._carried("previous", from_previous, chroma=previous_chroma, trust=previous_trust),
            self._carried("direct", from_reference, chroma=prepared.chroma, trust=sure),
            self._matched(luma, self._features(luma), keys=[prepared.keys]),
        ]
        predicted, _ = self._blend(candidates)
        true = torch.from_numpy(moved.chroma).permute(2, 0, 1).to(self._device)
        return color_at(luma, predicted, matrix=matrix), color_at(luma, true, matrix=matrix)

    def _prepare(self, reference: Reference, *, matrix: Matrix) -> ReferenceState:
        chroma = F.avg_pool2d(rgb_to_ycbcr(reference.rgb.to(self._device), matrix=matrix)[None, 1:], 2)[0]
        luma = reference.luma.to(self._device)
        description = self._matching.describe(self._features(luma))
        planes = torch.cat([chroma, F.avg_pool2d(luma[None], 2)])
        return ReferenceState(
            luma=half_luma(reference.luma), chroma=chroma, keys=self._matching.keys(description, planes=planes)
        )

    @torch.no_grad()
    def _features(self, luma: Tensor) -> list[Tensor]:
        height, width = feature_size(luma.shape[0], luma.shape[1])
        resized = F.interpolate(
            luma[None, None], size=(height, width), mode="bilinear", antialias=True, align_corners=False
        )
        features: list[Tensor] = self._trunk(resized.contiguous(memory_format=torch.channels_last))
        return features

    def _start_on_reference(self, state: ShotState) -> Prediction:
        reference = state.references[0]
        state.luma = reference.luma
        state.chroma = reference.chroma
        state.confidence = torch.ones_like(reference.chroma[0])
        return Prediction(chroma=state.chroma, confidence=state.confidence)

    @torch.no_grad()
    def _predict(self, state: ShotState, luma: Tensor, *, pool: ThreadPoolExecutor) -> Prediction:
        target = half_luma(luma)
        from_previous = None
        if state.luma is not None:
            from_previous = pool.submit(measure_motion, target, state.luma)
        moved = state.references[:MOVED_REFERENCES]
        from_references = []
        for reference in moved:
            before = reference.motion
            from_references.append(
                pool.submit(
                    measure_motion,
                    target,
                    reference.luma,
                    initial=None if before is None else before.flow,
                    initial_backward=None if before is None else before.backward,
                )
            )
        # The flows are done before torch begins: both at once would fight for the cores, and torch's threads spin.
        wait([pending for pending in [from_previous, *from_references] if pending is not None])
        small = F.avg_pool2d(luma.to(self._device)[None], 2)[0]
        keys = [reference.keys for reference in state.references[:MATCHED_REFERENCES]]
        candidates = [self._matched(small, self._features(luma.to(self._device)), keys=keys)]
        if from_previous is not None:
            assert state.chroma is not None
            assert state.confidence is not None
            candidates.append(
                self._carried("previous", from_previous.result(), chroma=state.chroma, trust=state.confidence)
            )
        for reference, pending in zip(moved, from_references, strict=True):
            reference.motion = pending.result()
            trust = torch.ones_like(reference.chroma[0])
            candidates.append(self._carried("direct", reference.motion, chroma=reference.chroma, trust=trust))
        chroma, confidence = self._blend(candidates)
        state.luma, state.chroma, state.confidence = target, chroma, confidence
        return Prediction(chroma=chroma, confidence=confidence)

    def _matched(self, luma: Tensor, features: Sequence[Tensor], *, keys: Sequence[Keys]) -> Candidate:
        match = self._matching(self._matching.describe(features), keys)
        # The found luma is as coarse as the grid: only what the frame shows at that scale can speak against it.
        residual = F.adaptive_avg_pool2d(luma[None], match.similarity.shape) - match.values[2:]
        planes = torch.cat([match.values[:2], residual, match.similarity[None]])
        planes = F.interpolate(planes[None], size=luma.shape, mode="bilinear", align_corners=False)[0]
        return Candidate(
            kind="match",
            chroma=planes[:2],
            residual=planes[2],
            disagreement=torch.zeros_like(luma),
            trust=planes[3].clamp(0, 1),
        )

    def _carried(self, kind: str, motion: Motion, *, chroma: Tensor, trust: Tensor) -> Candidate:
        planes = torch.cat([chroma, trust[None]]).permute(1, 2, 0).contiguous().cpu().numpy()
        moved = torch.from_numpy(warp(planes, motion.flow)).permute(2, 0, 1).to(self._device)
        return Candidate(
            kind="previous" if kind == "previous" else "direct",
            chroma=moved[:2],
            residual=torch.from_numpy(motion.residual).to(self._device),
            disagreement=torch.from_numpy(motion.disagreement).to(self._device),
            trust=moved[2],
        )


def feature_size(height: int, width: int) -> tuple[int, int]:
    """The size at which features are taken: multiples of their stride, and no more than `FEATURE_SIDE` lines."""
    scale = min(1.0, FEATURE_SIDE / min(height, width))
    rows, columns = (max(2, round(side * scale / STRIDE)) * STRIDE for side in (height, width))
    return rows, columns


def color_at(luma: Tensor, chroma: Tensor, *, matrix: Matrix) -> Tensor:
    """Lab [3, h, w] of `luma` [h, w] with `chroma` [2, h, w]; colors outside of sRGB are brought to its edge."""
    return rgb_to_lab(ycbcr_to_rgb(torch.cat([luma[None], chroma]), matrix=matrix).clamp(0, 1))


def unit_luma(codes: Luma8, *, device: torch.device) -> Tensor:
    """[h, w] uint8 to float32 in 0..1."""
    return torch.from_numpy(codes).to(device, torch.float32) / 255.0


def half_luma(luma: Tensor) -> NDArray[np.uint8]:
    """[H, W] in 0..1 to [H/2, W/2] uint8: chroma's resolution, at which flow is estimated."""
    small = F.avg_pool2d(luma[None], 2)[0]
    return np.asarray((small * 255.0).round().clamp(0, 255).to(torch.uint8).cpu().numpy(), np.uint8)


def uncolored(luma: Tensor) -> Prediction:
    """Zero chroma, and no confidence in it."""
    height, width = luma.shape[0] // 2, luma.shape[1] // 2
    return Prediction(
        chroma=torch.zeros(2, height, width, device=luma.device),
        confidence=torch.zeros(height, width, device=luma.device),
    )
