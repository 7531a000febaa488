"""Footage with all that training does not change, worked out once: features, and the flows along runs of frames.

So a step of training costs little beyond the network, and whole frames can be trained on, as they are colored.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.features import FeatureTrunk
from models.motion import Motion, measure_motion
from models.retint.colorizer import EARLIER, feature_size, half_luma, unit_luma
from models.retint.offers import FARTHEST_FLOW_ERROR
from models.training.footage import Footage, Library, aged, move_photos

MOST_FRAMES = 72
"""Of a clip, from its middle."""
AGED_FRAMES = 22
AGED_EVERY = 3
"""Of the clips, every third once more as an old film."""
RUNS = 2
"""Of a clip."""
LONGEST_RUN = 60
"""Frames, the reference included."""


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
    frames: Sequence[int]
    """The reference first."""
    previous: Tensor
    """[T - 1, 4, h, w] float16: flow from each frame to the one before, luma residual, flow error in 0..1."""
    earlier: Tensor
    """The same to the frame `EARLIER` before, or to the reference where there are fewer."""
    direct: Tensor
    """The same to the reference."""


@torch.no_grad()
def materials(library: Library, *, trunk: FeatureTrunk, moved_photos: int, seed: int) -> list[Material]:
    """The clips, some of them once more as old films, and photos set in motion."""
    random = np.random.default_rng(seed)
    footages = [_middle(clip, MOST_FRAMES) for clip in library.clips]
    footages += [aged(_middle(clip, AGED_FRAMES), random=random) for clip in library.clips[1::AGED_EVERY]]
    if library.photos:
        footages += [move_photos(library.photos, random=random) for _ in range(moved_photos)]
    return [_material(footage, trunk=trunk) for footage in footages]


def runs(all_materials: Sequence[Material], *, seed: int) -> list[Run]:
    random = np.random.default_rng(seed)
    chosen: dict[tuple[int, ...], None] = {}
    for number, material in enumerate(all_materials):
        for turn in range(RUNS):
            chosen[(number, *_frames(len(material.luma), turn=turn, random=random))] = None
    with ThreadPoolExecutor(max_workers=torch.get_num_threads()) as pool:
        return list(pool.map(lambda run: _run(all_materials[run[0]], run[1:]), chosen))


def _frames(count: int, *, turn: int, random: np.random.Generator) -> list[int]:
    stride = int(random.choice([1, 1, 2])) if count > LONGEST_RUN else 1
    length = min(LONGEST_RUN, (count - 1) // stride + 1)
    span = (length - 1) * stride
    first = int(random.integers(count - span))
    frames = list(range(first, first + span + 1, stride))
    return frames[::-1] if turn % 2 else frames


def _middle(footage: Footage, count: int) -> Footage:
    first = max(0, (len(footage.luma) - count) // 2)
    return Footage(luma=footage.luma[first : first + count], chroma=footage.chroma[first : first + count])


def _material(footage: Footage, *, trunk: FeatureTrunk) -> Material:
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


def _run(material: Material, frames: Sequence[int]) -> Run:
    codes = [material.luma[index].numpy() for index in frames]
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
        tuple(frames),
        previous=torch.stack(previous),
        earlier=torch.stack(earlier),
        direct=torch.stack(direct),
    )


def _packed(motion: Motion) -> Tensor:
    error = np.minimum(motion.disagreement, FARTHEST_FLOW_ERROR) / FARTHEST_FLOW_ERROR
    return torch.from_numpy(np.concatenate([motion.flow.transpose(2, 0, 1), motion.residual[None], error[None]])).half()
