"""The default colorizer: chroma offered by motion and by matching, fused by a small trained network."""

import copy
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from models.base import Example, Matrix, ModelDescription, Prediction, Reference
from models.features import FeatureTrunk, load_trunk
from models.memory import memory_checked
from models.motion import Motion, measure_motion
from models.retint.frames import ColoredFrame, Frame, FrameMaker, eight_bit, half_luma
from models.retint.lessons import Kind, Lessons
from models.retint.network import RetintNetwork, load_network
from models.retint.offers import (
    FARTHEST_FLOW_ERROR,
    Flown,
    Offers,
    Source,
    flow_offer,
    flow_offers,
    likeness_along,
    memory_offer,
    reference_offers,
    source_of,
)

DESCRIPTION = ModelDescription(
    name="retint",
    title="retint: motion and matching",
    license="Apache-2.0",
    source="Shipped with this project; features from EfficientNet-lite0 trained on ImageNet.",
    size_multiple=8,
    working_size=576,
    restores=False,
    propagates=True,
    references_must_be_frames=False,
    learning_rate=1e-3,
    samples=len(Kind),
    rehearses=True,
    revision=4,
)

MATCHED_REFERENCES = 4
"""Matching costs time and memory in proportion to the references looked up."""
EARLIER = 5
"""Frames back from which color is moved too: it has been moved less often than that of the frame before, and what
covers a thing for some frames does not cover it here."""
REMEMBERED_EVERY = 5
"""Frames between two that are remembered."""
REMEMBERED = 2
"""Frames remembered at once, the latest."""
TRUNK_WEIGHTS = Path(__file__).with_name("efficientnet_lite0.safetensors")
NETWORK_WEIGHTS = Path(__file__).with_name("network.safetensors")


@dataclass(frozen=True, slots=True)
class DescribedFrame:
    picture: ColoredFrame
    description: Tensor
    """[1, SIZE, gh, gw]."""


@dataclass(slots=True)
class ReferenceState:
    """What a shot keeps of one reference."""

    picture: ColoredFrame
    source: Source
    motion: Motion | None = None
    """From the frame before: where this frame's search starts."""

    @property
    def described(self) -> DescribedFrame:
        return DescribedFrame(self.picture, self.source.description)


@dataclass(slots=True)
class ShotState:
    """Everything that passes from frame to frame; its size does not grow."""

    references: list[ReferenceState]
    memory: list[Source]
    """Frames as they were colored, the latest last."""
    latest: deque[DescribedFrame] = field(default_factory=lambda: deque(maxlen=EARLIER))
    """The frames before, the latest last."""
    since_remembered: int = 0


class RetintColorizer:
    """Fuses offers per pixel: the previous output and the reference moved by optical flow, and the colors of the
    references and of earlier output found again by matching features."""

    def __init__(self, trunk: FeatureTrunk, network: RetintNetwork, *, device: torch.device) -> None:
        self._trunk = trunk.to(device)
        self._network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._device = device
        self._maker = FrameMaker(self._trunk, device=device)
        self._lessons = Lessons(self._network.description, self._maker)

    @classmethod
    def load(cls, device: torch.device, *, trained: Path = NETWORK_WEIGHTS) -> Self:
        """Read the weights that come with the project, or those of a training run.

        Raises:
            WeightsMissing, WeightsInvalid: a file is not there, or damaged.
        """
        return cls(load_trunk(TRUNK_WEIGHTS), load_network(trained), device=device)

    @property
    def description(self) -> ModelDescription:
        return DESCRIPTION

    def clone(self) -> Self:
        # The trunk is never trained, so that copies may share it.
        return type(self)(self._trunk, copy.deepcopy(self._network), device=self._device)

    def weights(self) -> Iterator[Tensor]:
        for module in (self._trunk, self._network):
            yield from module.state_dict().values()

    def tunable_parameters(self) -> list[nn.Parameter]:
        # What pictures are matched by: of that a single picture can tell enough.
        return list(self._network.description.parameters())

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
        # Three flows a frame; a worker that is to use one thread uses one here too.
        with ThreadPoolExecutor(max_workers=min(3, torch.get_num_threads()), thread_name_prefix="flow") as pool:
            for index, luma in enumerate(lumas):
                if not references:
                    yield uncolored(luma.to(self._device))
                elif index == 0 and first_is_reference:
                    known = state.references[0].described
                    state.latest.append(known)
                    yield Prediction(chroma=known.picture.chroma[0], confidence=known.picture.trust[0, 0])
                else:
                    yield self._predict(state, luma, pool=pool)

    def example(self, reference: Reference, *, matrix: Matrix, variation: int) -> Example:
        """See `models.base.Colorizer.example` and `models.retint.lessons`."""
        return self._lessons.example(reference, matrix=matrix, variation=variation)

    @memory_checked("Looking at a reference")
    @torch.no_grad()
    def _prepare(self, reference: Reference, *, matrix: Matrix) -> ReferenceState:
        picture = self._maker.picture(reference, matrix=matrix)
        description = self._network.description(picture.frame.features, picture.frame.luma)
        return ReferenceState(picture=picture, source=self._source(description, picture=picture))

    def _source(self, description: Tensor, *, picture: ColoredFrame) -> Source:
        return source_of(self._network.description, description, picture=picture.planes)

    def _found(
        self,
        frame: Frame,
        description: Tensor,
        *,
        references: Sequence[ReferenceState],
        memory: Sequence[Source],
    ) -> Tensor:
        """[1, 3, PLANES, h, w]: what matching offers, the last three of `OFFERS`."""
        luma, describe = frame.low, self._network.description
        queries = describe.placed(description)
        sources = [reference.source for reference in references]
        pictures = [reference.picture.planes for reference in references]
        in_references = reference_offers(describe, queries, luma, references=sources, pictures=pictures)
        return torch.cat([in_references, memory_offer(describe, queries, luma, memory=memory)], 1)

    def _flown(self, motion: Motion, description: Tensor, source: Tensor) -> Flown:
        """By `motion` from the picture that `source` describes to the one that `description` does."""
        flow, residual, error = (
            torch.from_numpy(plane).to(self._device) for plane in (motion.flow, motion.residual, motion.disagreement)
        )
        flow = flow.permute(2, 0, 1)[None]
        return Flown(
            flow=flow,
            residual=residual[None, None],
            error=error[None, None].clamp(max=FARTHEST_FLOW_ERROR) / FARTHEST_FLOW_ERROR,
            likeness=likeness_along(flow, description, source),
        )

    @memory_checked("Coloring a frame")
    @torch.no_grad()
    def _predict(self, state: ShotState, luma: Tensor, *, pool: ThreadPoolExecutor) -> Prediction:
        codes, half = eight_bit(luma), half_luma(luma)
        reference, last = state.references[0], state.references[0].motion
        before = state.latest[-1] if state.latest else reference.described
        earlier = state.latest[0] if state.latest else reference.described
        motions = [
            # What is moved straight from the reference is moved once, and stays as sharp as this flow is precise. It
            # takes longest, and so begins first.
            pool.submit(
                measure_motion,
                half,
                reference.picture.frame.half,
                fine=(codes, reference.picture.frame.codes),
                initial=None if last is None else last.flow,
                initial_backward=None if last is None else last.backward,
            ),
            pool.submit(measure_motion, half, before.picture.frame.half),
            pool.submit(measure_motion, half, earlier.picture.frame.half),
        ]
        # The flows are done before torch begins: both at once would fight for the cores, and torch's threads spin.
        reference.motion, from_before, from_earlier = (pending.result() for pending in motions)
        planes = luma.to(self._device)[None, None]
        frame = Frame(planes, codes=codes, half=half, features=self._maker.features(planes))
        description = self._network.description(frame.features, frame.luma)
        offers = [
            flow_offers(before.picture.planes, frame.low, by=self._flown(from_before, description, before.description)),
            flow_offers(
                reference.picture.planes,
                frame.low,
                by=self._flown(reference.motion, description, reference.source.description),
            ),
            flow_offer(earlier.picture.planes, by=self._flown(from_earlier, description, earlier.description)),
            self._found(
                frame,
                description,
                references=state.references[:MATCHED_REFERENCES],
                memory=state.memory,
            ),
        ]
        fused = self._network.fusion(Offers(planes, torch.cat(offers, 1)))
        colored = ColoredFrame(frame, fused.chroma, trust=fused.trust)
        state.latest.append(DescribedFrame(colored, description))
        self._remember(state, description, picture=colored)
        return Prediction(chroma=fused.chroma[0], confidence=fused.confidence[0, 0])

    def _remember(self, state: ShotState, description: Tensor, *, picture: ColoredFrame) -> None:
        state.since_remembered += 1
        if state.since_remembered < REMEMBERED_EVERY:
            return
        state.memory = [*state.memory[1:], self._source(description, picture=picture)]
        state.since_remembered = 0


def uncolored(luma: Tensor) -> Prediction:
    """Zero chroma, and no confidence in it."""
    height, width = luma.shape[0] // 2, luma.shape[1] // 2
    return Prediction(
        chroma=torch.zeros(2, height, width, device=luma.device),
        confidence=torch.zeros(height, width, device=luma.device),
    )
