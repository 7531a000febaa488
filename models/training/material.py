"""Footage with all that training does not change: features, and the flows along runs of frames.

Worked out ahead of training in threads, so that a step costs little beyond the network, and whole frames are trained
on, as they are colored.
"""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.features import FeatureTrunk
from models.motion import Motion, measure_motion
from models.retint.colorizer import EARLIER
from models.retint.frames import feature_size, half_luma, unit_luma
from models.retint.offers import FARTHEST_FLOW_ERROR
from models.training.footage import Footage, Footages, aged

LONGEST_RUN = 60
"""Frames, the reference included."""
STRIDES = (1, 1, 2, 3)
"""Frames from one of a run to the next: films of 16 frames a second, and fast ones, move farther than most clips."""
SHORTEST_STRIDING = 8
"""Frames that a run of more than every frame has at least."""
SMALLEST, LARGEST = 0.8, 1.3
"""Factors of a picture's size."""
AGED_SHARE = 0.25
"""Of runs, shown as an old film."""
AHEAD = 4
"""Runs that are made while others are trained on."""


@dataclass(frozen=True, slots=True)
class Material:
    """A shot."""

    luma: Tensor
    """[T, H, W] uint8."""
    chroma: Tensor
    """[T, 2, h, w] uint8, Cb and Cr around 128."""
    features: tuple[Tensor, ...]
    """[T, C, gh, gw] float16 of strides 4, 8 and 16, the first averaged to the grid of the second."""

    def luma_of(self, index: int, device: torch.device) -> Tensor:
        """[1, 1, H, W] in 0..1."""
        return self.luma[index][None, None].to(device).float() / 255.0

    def chroma_of(self, index: int, device: torch.device) -> Tensor:
        """[1, 2, h, w] in -0.5..0.5."""
        return (self.chroma[index][None].to(device).float() - 128.0) / 255.0

    def features_of(self, index: int, device: torch.device) -> list[Tensor]:
        return [plane[index][None].to(device).float() for plane in self.features]


@dataclass(frozen=True, slots=True)
class Run:
    """A reference and the frames after it, in one direction of time, with every flow."""

    material: Material
    """The reference first."""
    previous: Tensor
    """[T - 1, 4, h, w] float16: flow from each frame to the one before, luma residual, flow error in 0..1."""
    earlier: Tensor
    """The same to the frame `EARLIER` before, or to the reference where there are fewer."""
    direct: Tensor
    """The same to the reference."""


class Runs:
    """Runs without end, each drawn afresh: its clip, its frames, their size and age. The next ones are made in threads
    while others are trained on; the same seed gives the same ones."""

    def __init__(self, footages: Footages, *, trunk: FeatureTrunk, seed: Sequence[int]) -> None:
        self._footages, self._trunk = footages, trunk
        self._seeds = np.random.SeedSequence(seed)
        self._pool = ThreadPoolExecutor(max_workers=torch.get_num_threads())
        self._coming: deque[Future[Run]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        # Else the interpreter makes all that are coming before it ends.
        self._pool.shutdown(cancel_futures=True)

    def next(self) -> Run:
        """The next run, once it is made.

        Raises:
            ValueError: a photo cannot be decoded.
        """
        while len(self._coming) <= AHEAD:
            random = np.random.default_rng(self._seeds.spawn(1)[0])
            self._coming.append(self._pool.submit(self._draw, random))
        return self._coming.popleft().result()

    def _draw(self, random: np.random.Generator) -> Run:
        footage = self._footages.draw(random)
        frames = draw_frames(len(footage.luma), random=random)
        return run_of(changed(footage.taken(frames), random=random), trunk=self._trunk)


def draw_frames(count: int, *, random: np.random.Generator) -> list[int]:
    """The frames of a run, in either direction of time."""
    stride = int(random.choice(STRIDES))
    if count < SHORTEST_STRIDING * stride:
        stride = 1
    length = min(LONGEST_RUN, (count - 1) // stride + 1)
    span = (length - 1) * stride
    first = int(random.integers(count - span))
    frames = list(range(first, first + span + 1, stride))
    return frames[::-1] if random.random() < 0.5 else frames


def changed(footage: Footage, *, random: np.random.Generator) -> Footage:
    """Of `SMALLEST` to `LARGEST` times the size, and now and then as an old film."""
    resized = footage.scaled(random.uniform(SMALLEST, LARGEST))
    return aged(resized, random=random) if random.random() < AGED_SHARE else resized


@torch.no_grad()
def material_of(footage: Footage, *, trunk: FeatureTrunk) -> Material:
    """The footage with the features that `trunk` makes of its luma, worked out where the trunk is and kept in the CPU's
    memory."""
    device = next(trunk.parameters()).device
    features: list[list[Tensor]] = []
    for codes in footage.luma:
        luma = unit_luma(codes)[None, None].to(device)
        size = feature_size(luma.shape[-2], luma.shape[-1])
        resized = F.interpolate(luma, size=size, mode="bilinear", antialias=True, align_corners=False)
        fine, middle, coarse = trunk(resized.contiguous(memory_format=torch.channels_last))
        fine = F.adaptive_avg_pool2d(fine, middle.shape[-2:])
        features.append([plane.half().cpu().contiguous() for plane in (fine, middle, coarse)])
    # Cr, Cb as decoded; Cb, Cr from here on.
    chroma = torch.from_numpy(np.ascontiguousarray(footage.chroma[..., ::-1])).permute(0, 3, 1, 2).contiguous()
    return Material(
        luma=torch.from_numpy(footage.luma),
        chroma=chroma,
        features=tuple(torch.cat(planes) for planes in zip(*features, strict=True)),
    )


def run_of(footage: Footage, *, trunk: FeatureTrunk) -> Run:
    """The footage as a run whose reference is its first frame; it has two frames or more."""
    material = material_of(footage, trunk=trunk)
    codes = list(footage.luma)
    halves = [half_luma(unit_luma(plane)) for plane in codes]
    previous, earlier, direct = [], [], []
    last: Motion | None = None
    for number, (before, half) in enumerate(pairwise(halves), start=1):
        previous.append(_packed(measure_motion(half, before)))
        earlier.append(_packed(measure_motion(half, halves[max(0, number - EARLIER)])))
        last = measure_motion(
            half,
            halves[0],
            fine=(codes[number], codes[0]),
            initial=None if last is None else last.flow,
            initial_backward=None if last is None else last.backward,
        )
        direct.append(_packed(last))
    return Run(
        material,
        previous=torch.stack(previous),
        earlier=torch.stack(earlier),
        direct=torch.stack(direct),
    )


def _packed(motion: Motion) -> Tensor:
    error = np.minimum(motion.disagreement, FARTHEST_FLOW_ERROR) / FARTHEST_FLOW_ERROR
    return torch.from_numpy(np.concatenate([motion.flow.transpose(2, 0, 1), motion.residual[None], error[None]])).half()
