"""The default colorizer: chroma offered by motion and by matching, fused by a small trained network."""

import copy
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.base import Example, Matrix, ModelDescription, Prediction, Reference
from models.color import chroma_to_lab, rgb_to_ycbcr
from models.features import STRIDE, FeatureTrunk, load_trunk
from models.held_out import split_picture
from models.motion import Luma8, Motion, measure_motion
from models.moved_reference import move_reference
from models.rehearsal import spread
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
    samples=4,
    rehearses=True,
    revision=3,
)

MATCHED_REFERENCES = 4
"""Matching costs time and memory in proportion to the references looked up."""
MEASURED_VARIATIONS = (0, 1)
"""See `models.base.Colorizer.example`."""
APART = 6
"""Cells that lie between two places of a reference of which one is to tell the other's color in tuning."""
TRUSTED = 0.5
"""Confidence above which tuning takes the color of a frame nearby for right."""
EARLIER = 5
"""Frames back from which color is moved too: it has been moved less often than that of the frame before, and what
covers a thing for some frames does not cover it here."""
REMEMBERED_EVERY = 5
"""Frames between two that are remembered."""
REMEMBERED = 2
"""Frames remembered at once, the latest."""
FEATURE_SIDE = 320
"""Short side at which features are taken: 480 would give 0.2 dB to matching for three times the time."""
TRUNK_WEIGHTS = Path(__file__).with_name("efficientnet_lite0.safetensors")
NETWORK_WEIGHTS = Path(__file__).with_name("network.safetensors")


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame and its features, which no weight that is tuned changes."""

    luma: Tensor
    """[1, 1, H, W]."""
    codes: Luma8
    """[H, W] in 0..255: the same, for the flow from the reference."""
    half: Luma8
    """[h, w]: at chroma's resolution, for the other flows."""
    features: list[Tensor]

    @property
    def low(self) -> Tensor:
        """[1, 1, h, w]: luma at chroma's resolution."""
        return F.avg_pool2d(self.luma, 2)


@dataclass(frozen=True, slots=True)
class ColoredFrame:
    frame: Frame
    chroma: Tensor
    """[1, 2, h, w]."""
    trust: Tensor
    """[1, 1, h, w] in 0..1."""

    @property
    def planes(self) -> Tensor:
        """[1, 4, h, w]: chroma, trust, luma."""
        return torch.cat([self.chroma, self.trust, self.frame.low], 1)


@dataclass(frozen=True, slots=True)
class DescribedFrame:
    picture: ColoredFrame
    description: Tensor
    """[1, SIZE, gh, gw]."""


@dataclass(frozen=True, slots=True)
class KnownReference:
    """A reference as tuning looks it up."""

    rgb: Tensor
    matrix: Matrix
    picture: ColoredFrame


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
        self._last_known: KnownReference | None = None

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
        """Colors as matching finds them; see `models.base.Colorizer.example`.

        Four kinds take turns. The color of each cell of the reference is looked up in cells that are some way off, so
        that it is that of other things alike, as in later frames; or in the reference from where a random smooth motion
        moved it to. Neither sees what is held out. And where frames nearby were colored, that of such a frame is looked
        up in the reference, or in another such frame. What is measured, where there are frames nearby, goes around a
        cycle instead: from the reference to a later frame of the film, and back.
        """
        known = self._known(reference, matrix=matrix)
        measured, kind = variation in MEASURED_VARIATIONS, variation % 4
        if measured and reference.nearby:
            frames = spread(reference.nearby)
            far = self._look(frames[-1 - variation % len(frames)])
            return self._labelled(known, matrix=matrix, color=lambda: self._around(known, far=far))
        if kind >= 2 and reference.colored:
            random = np.random.default_rng(variation)
            asked = self._colored(reference, int(random.integers(len(reference.colored))))
            source = known
            if kind == 3:
                source = self._colored(reference, int(random.integers(len(reference.colored))))
            return self._labelled(asked, matrix=matrix, color=lambda: self._found_in(source, asked.frame))
        asked = known if kind % 2 == 0 else self._moved(reference, known, variation=variation)
        hidden = self._hidden(known, held_out=not measured)
        return self._labelled(asked, matrix=matrix, color=lambda: self._found_in(known, asked.frame, hidden=hidden))

    def _colored(self, reference: Reference, number: int) -> ColoredFrame:
        colored = reference.colored[number]
        return ColoredFrame(
            self._look(reference.nearby[number]), colored.chroma[None], trust=colored.confidence[None, None]
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
        describe = self._network.description
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

    def _moved(self, reference: Reference, known: ColoredFrame, *, variation: int) -> ColoredFrame:
        """The reference moved by a random smooth motion."""
        still = known.chroma[0].permute(1, 2, 0).contiguous().cpu().numpy()
        luma, chroma = move_reference(eight_bit(reference.luma), still, variation=variation)
        planes = torch.from_numpy(chroma).permute(2, 0, 1)[None].to(self._device)
        return ColoredFrame(self._look(unit_luma(luma)), planes, trust=torch.ones_like(planes[:, :1]))

    def _hidden(self, known: ColoredFrame, *, held_out: bool) -> Tensor:
        rows, columns = (int(side) for side in known.frame.features[1].shape[-2:])
        size = (int(known.chroma.shape[-2]), int(known.chroma.shape[-1]))
        return hidden_cells(rows, columns, held_out=size if held_out else None, device=self._device)

    def _known(self, reference: Reference, *, matrix: Matrix) -> ColoredFrame:
        """The reference as it is looked up; the last one is kept, as tuning asks for one again and again."""
        kept = self._last_known
        if kept is None or kept.rgb is not reference.rgb or kept.matrix != matrix:
            kept = KnownReference(reference.rgb, matrix, self._picture(reference, matrix=matrix))
            self._last_known = kept
        return kept.picture

    def _picture(self, reference: Reference, *, matrix: Matrix) -> ColoredFrame:
        chroma = F.avg_pool2d(rgb_to_ycbcr(reference.rgb.to(self._device), matrix=matrix)[None, 1:], 2)
        return ColoredFrame(self._look(reference.luma), chroma, trust=torch.ones_like(chroma[:, :1]))

    def _look(self, luma: Tensor) -> Frame:
        planes = luma.to(self._device)[None, None]
        return Frame(planes, codes=eight_bit(luma), half=half_luma(luma), features=self._features(planes))

    @torch.no_grad()
    def _prepare(self, reference: Reference, *, matrix: Matrix) -> ReferenceState:
        picture = self._picture(reference, matrix=matrix)
        description = self._network.description(picture.frame.features, picture.frame.luma)
        return ReferenceState(picture=picture, source=self._source(description, picture=picture))

    @torch.no_grad()
    def _features(self, luma: Tensor) -> list[Tensor]:
        height, width = feature_size(luma.shape[-2], luma.shape[-1])
        resized = F.interpolate(luma, size=(height, width), mode="bilinear", antialias=True, align_corners=False)
        features: list[Tensor] = self._trunk(resized.contiguous(memory_format=torch.channels_last))
        return features

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
        frame = Frame(planes, codes=codes, half=half, features=self._features(planes))
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


@lru_cache(maxsize=2)
def hidden_cells(rows: int, columns: int, *, held_out: tuple[int, int] | None, device: torch.device) -> Tensor:
    """[N, N] bool: of the N cells of a picture, which are too near to each other to learn from, and which are held out,
    where `held_out` is the size of the picture that those are of."""
    y = torch.arange(rows, device=device).repeat_interleave(columns)
    x = torch.arange(columns, device=device).repeat(rows)
    # Small pictures have few cells, of which some must be left.
    apart = min(APART, max(rows, columns) // 4)
    hidden = (y[:, None] - y).square() + (x[:, None] - x).square() < apart**2
    if held_out is None:
        return hidden
    blocks = split_picture(*held_out, device=device).held_out
    return hidden | (F.adaptive_max_pool2d(blocks[None].float(), (rows, columns)).flatten() > 0)


def feature_size(height: int, width: int) -> tuple[int, int]:
    """The size at which features are taken: multiples of their stride, and no more than `FEATURE_SIDE` lines."""
    scale = min(1.0, FEATURE_SIDE / min(height, width))
    rows, columns = (max(2, round(side * scale / STRIDE)) * STRIDE for side in (height, width))
    return rows, columns


def half_luma(luma: Tensor) -> Luma8:
    """[H, W] in 0..1 to [H/2, W/2] uint8: chroma's resolution."""
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
