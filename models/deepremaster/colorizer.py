"""DeepRemaster behind the contract of `models.base.Colorizer`."""

import copy
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.base import Example, Matrix, ModelDescription, Prediction, Reference
from models.color import lab_to_chroma, lab_to_rgb, rgb_to_lab, rgb_to_ycbcr
from models.deepremaster.checkpoint import build_networks, read_checkpoint
from models.deepremaster.colorization import ColorizationNetwork, ReferenceFeatures
from models.deepremaster.restoration import RestorationNetwork
from models.memory import memory_checked

BLOCK_FRAMES = 5
"""Frames fed at a time (METHOD: how the public evaluation feeds them); the last block of a shot may be shorter."""
REFERENCE_SIZE = 256
"""Short side in pixels of the references as network C sees them (METHOD: the same)."""
AB_LIMIT = 100.0
"""Predicted a and b are clipped to plus and minus this (METHOD: on the way back)."""

DESCRIPTION = ModelDescription(
    name="deepremaster",
    title="DeepRemaster (Iizuka and Simo-Serra 2019), the networks of the paper on test-time tuning",
    license="CC-BY-NC-SA-4.0",
    source="http://iizuka.cs.tsukuba.ac.jp/projects/remastering/en/index.html",
    size_multiple=16,
    working_size=320,
    restores=True,
    propagates=False,
    references_must_be_frames=False,
    # METHOD, section 2: Adam's learning rate in the paper.
    learning_rate=1e-4,
    revision=1,
)


class DeepRemasterColorizer:
    """Networks R and C with their weights on a device.

    The luma fed goes through R, R's output through C; what C predicts is CIE ab, and the chroma handed out is that
    which has this ab at the luma fed, so that keeping the film's luma costs no color.

    `confidence` is the focus of C's finer attention to the references: 1 where a place of the frame looks at a single
    place of them, 0 where it looks at all of them alike (see `attention.focus`) or where there are none. It says how
    definite the match is; it is no measured error.
    """

    def __init__(self, restoration: RestorationNetwork, colorization: ColorizationNetwork) -> None:
        """Both networks on one device."""
        self._restoration = restoration.eval()
        self._colorization = colorization.eval()
        self._device = next(restoration.parameters()).device

    @classmethod
    def load(cls, path: Path, *, device: torch.device) -> Self:
        """Read the weights in `path`, as published or as safetensors, onto `device`.

        Raises:
            WeightsInvalid: the file is damaged, of another network, or holds code.
            OutOfMemory: the device does not hold the weights.
        """
        restoration, colorization = build_networks(read_checkpoint(path))
        with memory_checked("DeepRemaster's weights"):
            return cls(restoration.to(device), colorization.to(device))

    @property
    def description(self) -> ModelDescription:
        return DESCRIPTION

    def clone(self) -> Self:
        with memory_checked("A second copy of DeepRemaster's weights"):
            return type(self)(copy.deepcopy(self._restoration), copy.deepcopy(self._colorization))

    def weights(self) -> Iterator[Tensor]:
        for module in (self._restoration, self._colorization):
            yield from module.state_dict().values()

    def tunable_parameters(self) -> list[nn.Parameter]:
        """Every weight of R and of C."""
        return [*self._restoration.parameters(), *self._colorization.parameters()]

    def colorize(
        self,
        lumas: Iterable[Tensor],
        references: Sequence[Reference],
        *,
        matrix: Matrix,
        restore: bool = False,
    ) -> Iterator[Prediction]:
        """See `Colorizer.colorize`. Chroma and confidence are at the size fed, on the device of the lumas fed.

        Raises:
            OutOfMemory: a block of frames does not fit the device.
            ValueError: a luma's size is no multiple of 16.
        """
        features = self._look_at(references) if references else None
        frames = iter(lumas)
        while block := list(itertools.islice(frames, BLOCK_FRAMES)):
            height, width = block[0].shape
            with memory_checked(f"Coloring {len(block)} frames of {width}x{height}"):
                predictions = self._colorize_block(block, features, matrix=matrix, restore=restore)
            yield from predictions

    def example(
        self,
        reference: Reference,
        *,
        matrix: Matrix,  # noqa: ARG002 (Lab is made of R'G'B', whichever matrix the video has)
        variation: int,
    ) -> Example:
        """See `Colorizer.example`: the frame held still for one block, colored from its own reference.

        `variation` says which of the block's frames is the sample: 0 is the first, as in the paper; the others let
        tuning see every place in a block that a frame of the video can have.
        """
        luma = reference.luma.to(self._device)
        place = variation % BLOCK_FRAMES
        fed = self._fed([reference])
        truth = rgb_to_lab(reference.rgb.to(self._device))

        def ask() -> tuple[Tensor, Tensor]:
            restored = self._restoration(luma.expand(1, 1, BLOCK_FRAMES, *luma.shape))
            ab = self._colorization.color(restored, self._colorization.look_at(fed)).ab
            return torch.cat([restored[0, :, place] * 100.0, ab[0, :, place] * 255.0 - 128.0]), truth

        return ask

    def _fed(self, references: Sequence[Reference]) -> Tensor:
        """References as C is fed: [1, N, 3, H', W'] with a short side of 256."""
        pictures = torch.stack([reference.rgb for reference in references]).to(self._device)
        height, width = pictures.shape[-2:]
        scale = REFERENCE_SIZE / min(height, width)
        size = (round(height * scale), round(width * scale))
        return F.interpolate(pictures, size=size, mode="bilinear", align_corners=False, antialias=True)[None]

    @torch.no_grad()
    def _look_at(self, references: Sequence[Reference]) -> ReferenceFeatures:
        with memory_checked(f"Looking at {len(references)} references"):
            return self._colorization.look_at(self._fed(references))

    @torch.no_grad()
    def _colorize_block(
        self, block: Sequence[Tensor], features: ReferenceFeatures | None, *, matrix: Matrix, restore: bool
    ) -> list[Prediction]:
        fed = torch.stack(list(block)).to(self._device)
        restored = fed[None, None]
        if restore or features is not None:
            restored = self._restoration(restored)
        ab, confidence = None, torch.zeros_like(fed)
        if features is not None:
            colored = self._colorization.color(restored, features, measure_focus=True)
            ab = (colored.ab[0] * 255.0 - 128.0).clamp(-AB_LIMIT, AB_LIMIT)
            confidence = _enlarged(colored.focus, like=fed)
        predictions = []
        for index, luma in enumerate(fed):
            picture = _picture(
                luma,
                None if ab is None else ab[:, index],
                lightness=restored[0, 0, index] * 100.0 if restore else None,
                matrix=matrix,
            ).to(block[index].device)
            predictions.append(
                Prediction(
                    chroma=picture[1:],
                    confidence=confidence[index].to(block[index].device),
                    luma=picture[0] if restore else None,
                )
            )
        return predictions


def _enlarged(focus: Tensor | None, *, like: Tensor) -> Tensor:
    """[1, T, h, w] at the size of `like` [T, H, W]."""
    assert focus is not None, "network C was asked for it"
    enlarged: Tensor = F.interpolate(focus, size=like.shape[-2:], mode="bilinear", align_corners=False)
    return enlarged[0]


def _picture(luma: Tensor, ab: Tensor | None, *, lightness: Tensor | None, matrix: Matrix) -> Tensor:
    """Y'CbCr [3, H, W] of one frame: `luma` [H, W] as fed, `ab` [2, H, W], restored L [H, W] where it was asked for.

    With a restored L, the picture is the Lab that was predicted; without, it has the luma fed and the predicted ab.
    """
    if ab is None:
        gray = torch.zeros_like(luma)
        if lightness is not None:
            luma = lab_to_rgb(torch.stack([lightness, gray, gray]))[0].clamp(0.0, 1.0)
        return torch.stack([luma, gray, gray])
    if lightness is None:
        return torch.cat([luma[None], lab_to_chroma(luma, ab, matrix=matrix).clamp(-0.5, 0.5)])
    return rgb_to_ycbcr(lab_to_rgb(torch.cat([lightness[None], ab])).clamp(0.0, 1.0), matrix=matrix)
