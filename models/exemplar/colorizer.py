"""Deep exemplar-based colorization behind the contract of `models.base.Colorizer`."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.base import MEASURED_VARIATIONS, Example, Matrix, ModelDescription, Prediction, Reference
from models.color import gray_to_l, lab_to_chroma, lab_to_rgb, rgb_to_lab, rgb_to_ycbcr, ycbcr_to_rgb
from models.exemplar.checkpoint import Networks, build_networks, read_checkpoint
from models.exemplar.matching import color_positions, look_up
from models.memory import memory_checked
from models.moved_reference import move_reference
from models.rehearsal import LEAST_NEARBY, spread

OUTPUT_GAIN = 1.25
"""METHOD: what is handed out is the predicted ab times this; what the next frame sees is not."""
CENTER = 50.0
"""METHOD: the networks see L - 50, and ab as it is."""
SMALLEST_SIDE = 32
"""Pixels at which the coarsest features still have two positions to mirror; smaller frames are continued."""

DESCRIPTION = ModelDescription(
    name="exemplar",
    title="Deep exemplar-based video colorization (Zhang et al. 2019), the baseline of the paper on test-time tuning",
    license="MIT",
    source="https://github.com/zhangmozhe/Deep-Exemplar-based-Video-Colorization",
    size_multiple=8,
    # METHOD: published use feeds 216x384.
    working_size=216,
    restores=False,
    propagates=True,
    references_must_be_frames=False,
    # METHOD, section 2: Adam's learning rate in the paper, which tunes another network; unproven here.
    learning_rate=1e-4,
    revision=3,
)


@dataclass(frozen=True, slots=True)
class _Exemplar:
    """A colored picture as matching looks it up, and as the frame before."""

    keys: Tensor
    """[1, C, K]."""
    colors: Tensor
    """[1, K, 3]: Lab, L centered."""
    lab: Tensor
    """[1, 3, H, W]: Lab, L centered."""


@dataclass(frozen=True, slots=True)
class _Question:
    """A frame, and all that the color net is told of it; nothing in it changes with the weights that are tuned."""

    luma: Tensor
    """[H, W]."""
    lightness: Tensor
    """[1, 1, H, W], centered."""
    told: Tensor
    """[1, 7, H, W]."""
    similarity: Tensor
    """[H, W]."""


class ExemplarColorizer:
    """The feature, matching and color nets with their weights on a device.

    Color passes from frame to frame: every frame is colored from its nearest matches in the references and from the
    frame before, as colored. Several references are looked up together: the best match in any of them counts.

    `confidence` is the cosine of the best match, negative ones as 0: how much a place looks like one of the references,
    which is what the color net itself is told. It is no measured error.

    Tuning trains the color net alone. The nearest match is a choice and has no gradient (the published softmax is so
    cold that its gradient is zero); a warmer one would train another system than the one that colors. And features and
    matches stay the same while tuning, so that they are computed once per sample.
    """

    def __init__(self, networks: Networks) -> None:
        """All networks on one device."""
        self._networks = networks
        self._device = next(networks.coloring.parameters()).device

    @classmethod
    def load(cls, path: Path, *, device: torch.device) -> Self:
        """Read the weights in `path`, as `retint weights import` makes it, onto `device`.

        Raises:
            WeightsInvalid: the file is damaged or of another network.
            OutOfMemory: the device does not hold the weights.
        """
        networks = build_networks(read_checkpoint([path]))
        with memory_checked("The exemplar model's weights"):
            return cls(
                Networks(
                    features=networks.features.to(device).requires_grad_(False),
                    matching=networks.matching.to(device).requires_grad_(False),
                    coloring=networks.coloring.to(device),
                )
            )

    @property
    def description(self) -> ModelDescription:
        return DESCRIPTION

    def clone(self) -> Self:
        # The others are never trained, so that copies may share them.
        with memory_checked("A second copy of the color net"):
            coloring = copy.deepcopy(self._networks.coloring)
        return type(self)(Networks(self._networks.features, self._networks.matching, coloring))

    def weights(self) -> Iterator[Tensor]:
        for module in (self._networks.features, self._networks.matching, self._networks.coloring):
            yield from module.state_dict().values()

    def tunable_parameters(self) -> list[nn.Parameter]:
        return list(self._networks.coloring.parameters())

    def colorize(
        self,
        lumas: Iterable[Tensor],
        references: Sequence[Reference],
        *,
        matrix: Matrix,
        restore: bool = False,  # noqa: ARG002 - this model has no restoration to offer
    ) -> Iterator[Prediction]:
        """See `models.base.Colorizer.colorize`; one frame is held at a time. Chroma and confidence are at the size fed.

        Raises:
            OutOfMemory: a frame does not fit the device.
            ValueError: a luma's size is no multiple of 8.
        """
        exemplars = [self._exemplar(reference.rgb) for reference in references]
        before = exemplars[0].lab if exemplars and references[0].is_frame else None
        for luma in lumas:
            if not exemplars:
                yield _uncolored(luma)
                continue
            height, width = luma.shape
            with memory_checked(f"Coloring a frame of {width}x{height}"), torch.no_grad():
                question = self._question(luma, exemplars, before=before)
                ab = self._networks.coloring(question.told)
                before = torch.cat([question.lightness, ab], dim=1)
                chroma = lab_to_chroma(question.luma, ab[0] * OUTPUT_GAIN, matrix=matrix).clamp(-0.5, 0.5)
            yield Prediction(
                chroma=chroma[:, :height, :width].to(luma.device),
                confidence=question.similarity.clamp(min=0.0)[:height, :width].to(luma.device),
            )

    def example(self, reference: Reference, *, matrix: Matrix, variation: int) -> Example:
        """The reference itself colored from a picture whose color is known; see `models.base.Colorizer.example`.

        Were the reference shown itself, and itself as the frame before, to copy it would be all that is learned. So
        odd variations go around a cycle where the reference has frames nearby: to a later frame of the film, colored
        by the model, and from there back. The others move the reference by a random smooth motion.
        """
        make = self._cycle if variation % 2 and len(reference.nearby) >= LEAST_NEARBY else self._moved
        with memory_checked("A sample for tuning"), torch.no_grad():
            question, truth, untold = make(reference, matrix=matrix, variation=variation)
            if variation in MEASURED_VARIATIONS:
                untold = torch.zeros_like(untold)

        def ask() -> tuple[Tensor, Tensor]:
            ab = self._networks.coloring(question.told)[0] * OUTPUT_GAIN
            # L as a viewer gets it: that of the color with this ab and the luma fed.
            chroma = lab_to_chroma(question.luma, ab, matrix=matrix)
            lab = rgb_to_lab(ycbcr_to_rgb(torch.cat([question.luma[None], chroma]), matrix=matrix))
            return lab, torch.where(untold, lab.detach(), truth)

        return ask

    def _moved(self, reference: Reference, *, matrix: Matrix, variation: int) -> tuple[_Question, Tensor, Tensor]:
        """The reference moved by a random smooth motion, as the frame after its own as the model colors that; its Lab;
        and where that is held out [H, W]."""
        known = self._exemplar(reference.rgb)
        ycbcr = rgb_to_ycbcr(reference.rgb, matrix=matrix)
        still = F.avg_pool2d(ycbcr[None, 1:], 2)[0].permute(1, 2, 0).contiguous().cpu().numpy()
        codes = (reference.luma * 255.0).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
        moved = move_reference(codes, still, variation=variation)
        before = self._colored(reference.luma, [known], before=known.lab)
        question = self._question(torch.from_numpy(moved.luma) / 255.0, [known], before=before)
        planes = np.concatenate([moved.chroma, moved.held_out[..., None]], axis=2, dtype=np.float32)
        chroma = torch.from_numpy(planes).permute(2, 0, 1)[None].to(self._device)
        chroma = F.interpolate(_roomy(chroma, smallest=SMALLEST_SIDE // 2), scale_factor=2.0, mode="bilinear")[0]
        rgb = ycbcr_to_rgb(torch.cat([question.luma[None], chroma[:2]]), matrix=matrix).clamp(0.0, 1.0)
        return question, rgb_to_lab(rgb), chroma[2] > 0

    def _cycle(
        self,
        reference: Reference,
        *,
        matrix: Matrix,  # noqa: ARG002 (Lab is made of R'G'B', whichever matrix the video has)
        variation: int,
    ) -> tuple[_Question, Tensor, Tensor]:
        """To a later frame and back: asked is the reference, from the later frame as the model colors it. Nothing of
        its Lab is moved, so that nothing held out lies elsewhere."""
        start = self._exemplar(reference.rgb)
        near, *farther = spread(reference.nearby)
        far = self._colored(farther[(variation // 2) % len(farther)], [start], before=None)
        known = self._exemplar(_rgb_of(far))
        before = self._colored(near, [known], before=None)
        question = self._question(reference.luma, [known], before=before)
        return question, _uncentered(start.lab)[0], torch.zeros_like(question.luma, dtype=torch.bool)

    def _colored(self, luma: Tensor, exemplars: Sequence[_Exemplar], *, before: Tensor | None) -> Tensor:
        """Lab [1, 3, H, W] of a frame, L centered."""
        question = self._question(luma, exemplars, before=before)
        return torch.cat([question.lightness, self._networks.coloring(question.told)], dim=1)

    @torch.no_grad()
    def _exemplar(self, rgb: Tensor) -> _Exemplar:
        with memory_checked("Looking at a reference"):
            planes = _roomy(rgb.to(self._device)[None])
            description = self._networks.matching.describe(self._networks.features(planes))
            lab = _centered(rgb_to_lab(planes))
            return _Exemplar(keys=self._networks.matching.keys(description), colors=color_positions(lab), lab=lab)

    @torch.no_grad()
    def _question(self, luma: Tensor, exemplars: Sequence[_Exemplar], *, before: Tensor | None) -> _Question:
        height, width = luma.shape
        if height % DESCRIPTION.size_multiple or width % DESCRIPTION.size_multiple:
            raise ValueError(f"Frames of {width}x{height} do not fit the exemplar model; feed multiples of 8.")
        planes = _roomy(luma.to(self._device)[None, None])
        lightness = gray_to_l(planes)
        description = self._networks.matching.describe(
            self._networks.features((lightness / 100.0).expand(-1, 3, -1, -1))
        )
        match = look_up(
            self._networks.matching.queries(description),
            torch.cat([exemplar.keys for exemplar in exemplars], dim=-1),
            torch.cat([exemplar.colors for exemplar in exemplars], dim=1),
            size=(planes.shape[-2], planes.shape[-1]),
        )
        lightness = lightness - CENTER
        if before is None:
            before = torch.zeros_like(planes).expand(-1, 3, -1, -1)
        told = torch.cat([lightness, match.lab[:, 1:], match.similarity, before], dim=1)
        return _Question(luma=planes[0, 0], lightness=lightness, told=told, similarity=match.similarity[0, 0])


def _roomy(planes: Tensor, *, smallest: int = SMALLEST_SIDE) -> Tensor:
    """Planes [1, C, H, W], continued beyond their lower and right edge where a side is shorter than `smallest`."""
    down, right = (max(0, smallest - side) for side in planes.shape[-2:])
    return F.pad(planes, (0, right, 0, down), mode="replicate") if down or right else planes


def _centered(lab: Tensor) -> Tensor:
    return torch.cat([lab[:, :1] - CENTER, lab[:, 1:]], dim=1)


def _uncentered(lab: Tensor) -> Tensor:
    return torch.cat([lab[:, :1] + CENTER, lab[:, 1:]], dim=1)


def _rgb_of(colored: Tensor) -> Tensor:
    """R'G'B' [3, H, W] of Lab [1, 3, H, W] with L centered, as it is handed out."""
    lab = _uncentered(colored)[0]
    return lab_to_rgb(torch.cat([lab[:1], lab[1:] * OUTPUT_GAIN])).clamp(0.0, 1.0)


def _uncolored(luma: Tensor) -> Prediction:
    """Zero chroma, and no confidence in it."""
    return Prediction(chroma=luma.new_zeros(2, *luma.shape), confidence=torch.zeros_like(luma))
