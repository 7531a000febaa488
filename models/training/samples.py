"""One training sample: a reference, a frame remembered, and a few consecutive frames to color, with every flow."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from models.motion import Luma8, Motion, Plane, compose, measure_motion, warp
from models.retint.colorizer import half_luma, unit_luma
from models.retint.network import FARTHEST_FLOW_ERROR, absent
from models.training.footage import Footage, Library, move_photos

CROP = 256
"""Side in luma pixels."""
PHOTO_SHARE = 0.35
FARTHEST = 24
"""Frames (times the stride) at most between the reference and the frame before the first one to color."""
HOPS = 3
"""Steps at most in which color travels from the reference to the frame before the first one to color."""
OLD_FILM_SHARE = 0.35
"""Of samples whose luma is blurred, grainy and flickering."""
TRUE_START_SHARE = 0.3
"""Of samples that start on the true color of the frame before, instead of color that flow has carried there."""
ABSENT_SHARE = 0.05
"""Of samples without a frame before, and of samples whose reference is out of reach of flow."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Planes are float32 in 0..1 (luma) and -0.5..0.5 (chroma: Cb, Cr); C = CROP, c = CROP / 2.

    T frames are colored one after another, so that the network sees its own errors.
    """

    reference_luma: Tensor
    """[1, C, C]."""
    reference_chroma: Tensor
    """[2, c, c]."""
    memory_luma: Tensor
    """[1, C, C]."""
    memory_chroma: Tensor
    """[3, c, c]: chroma and trust."""
    start: Tensor
    """[3, c, c]: chroma and trust of the frame before the first one to color."""
    luma: Tensor
    """[T, 1, C, C]."""
    flow: Tensor
    """[T, 2, c, c]: from each frame to the one before, in pixels."""
    evidence: Tensor
    """[T, 2, c, c]: luma residual and flow error against the frame before."""
    direct: Tensor
    """[T, 5, c, c]: the reference moved by flow, see `models.retint.network.Offers`."""
    chroma: Tensor
    """[T, 2, c, c]: the truth."""
    has_previous: Tensor
    """[1, 1, 1] 0 or 1."""


class Samples(Dataset[Sample]):
    """Sample `index` is always the same, so that training may stop and go on."""

    def __init__(self, library: Library, *, unrolled: int, seed: int, count: int) -> None:
        self._library = library
        self._unrolled = unrolled
        self._seed = seed
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Sample:
        random = np.random.default_rng((self._seed, index))
        return draw(self._library, unrolled=self._unrolled, random=random)


def draw(library: Library, *, unrolled: int, random: np.random.Generator) -> Sample:
    """A random sample of the library, of `unrolled` frames to color; clips are longer than that."""
    moving = not library.clips or (bool(library.photos) and random.random() < PHOTO_SHARE)
    if moving:
        footage = move_photos(library.photos, random=random)
    else:
        footage = library.clips[int(random.integers(len(library.clips)))]
    indices = _choose_frames(len(footage.luma), unrolled=unrolled, moving=moving, random=random)
    lumas, chromas = _cut(footage, indices, random=random)
    return _assemble(lumas, chromas, unrolled=unrolled, random=random)


def _choose_frames(count: int, *, unrolled: int, moving: bool, random: np.random.Generator) -> list[int]:
    """The reference's frame, those that color travels through, and the last `unrolled`: the frames to color.

    The travel is in a few hops: one flow per frame would cost ten times as much and be hardly more like a film.
    """
    stride = 1 if moving else int(random.choice([1, 1, 1, 2, 3]))
    longest = min((count - 1) // stride, FARTHEST + unrolled)
    if longest < unrolled:
        stride, longest = 1, min(count - 1, FARTHEST + unrolled)
    gap = min(int(np.exp(random.uniform(0, np.log(FARTHEST + 1)))) - 1 + unrolled, longest)
    span = gap * stride
    first = int(random.integers(count - span))
    indices = list(range(first, first + span + 1, stride))
    if random.random() < 0.5:
        indices.reverse()
    start = gap - unrolled
    hops = np.unique(np.linspace(0, start, min(start, HOPS) + 1).round().astype(int))
    return [indices[hop] for hop in hops] + indices[start + 1 :]


def _cut(
    footage: Footage, indices: list[int], *, random: np.random.Generator
) -> tuple[list[Luma8], list[NDArray[np.float32]]]:
    """The same square of every frame, with one random change of color and of luma for all."""
    height, width = footage.chroma.shape[1:3]
    side = min(CROP // 2, height, width)
    top, left = int(random.integers(height - side + 1)), int(random.integers(width - side + 1))
    flip = random.random() < 0.5
    recolor = _recoloring(random=random)
    age = _Aging(random)
    lumas, chromas = [], []
    for index in indices:
        luma = footage.luma[index, 2 * top : 2 * (top + side), 2 * left : 2 * (left + side)]
        # Cr, Cb as decoded; Cb, Cr from here on.
        chroma = footage.chroma[index, top : top + side, left : left + side, ::-1].astype(np.float32)
        chroma = np.clip((chroma - 128.0) / 255.0 @ recolor.T, -0.5, 0.5)
        if flip:
            luma, chroma = luma[:, ::-1], chroma[:, ::-1]
        missing = CROP // 2 - side
        luma = np.pad(age(luma.astype(np.float32)), ((0, 2 * missing), (0, 2 * missing)), mode="reflect")
        chromas.append(np.pad(chroma, ((0, missing), (0, missing), (0, 0)), mode="reflect").astype(np.float32))
        lumas.append(np.clip(np.rint(luma), 0, 255).astype(np.uint8))
    return lumas, chromas


def _recoloring(*, random: np.random.Generator) -> NDArray[np.float32]:
    """[2, 2]: half of the samples have their colors turned, so that colors are copied and not guessed."""
    angle = random.uniform(0, 2 * np.pi) if random.random() < 0.5 else 0.0
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]], np.float32) * np.float32(random.uniform(0.5, 1.5))


class _Aging:
    """What time, bad copies and a printer's lamp do to luma; the strength is one for a whole sample."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self._gain = random.uniform(0.8, 1.25)
        self._lift = random.uniform(-30, 30)
        old = random.random() < OLD_FILM_SHARE
        self._blur = random.uniform(0, 1.5) if old else 0.0
        self._grain = random.uniform(0, 6) if old else 0.0
        self._flicker = random.uniform(0, 6) if old else 0.0

    def __call__(self, luma: Plane) -> Plane:
        changed = (luma - 127.5) * self._gain + 127.5 + self._lift + self._random.normal(0, 1) * self._flicker
        if self._blur > 0.3:
            changed = np.asarray(cv2.GaussianBlur(changed, (0, 0), self._blur), np.float32)
        if self._grain > 0:
            changed = changed + self._random.normal(0, self._grain, changed.shape)
        return np.asarray(changed, np.float32)


def _assemble(
    lumas: list[Luma8], chromas: list[NDArray[np.float32]], *, unrolled: int, random: np.random.Generator
) -> Sample:
    halves = [half_luma(unit_luma(luma)) for luma in lumas]
    start = len(lumas) - 1 - unrolled
    carried, trust = chromas[0], np.ones(chromas[0].shape[:2], np.float32)
    remembered = max(0, start - int(random.integers(2)))
    memory = np.dstack([carried, trust])
    whole = np.zeros((*halves[0].shape, 2), np.float32)
    for index in range(1, start + 1):
        motion = measure_motion(halves[index], halves[index - 1])
        carried = warp(carried, motion.flow)
        trust = warp(trust, motion.flow) * np.exp(-0.25 * np.minimum(motion.disagreement, FARTHEST_FLOW_ERROR))
        whole = compose(motion.flow, whole)
        if index == remembered:
            memory = np.dstack([carried, trust])
    if start > 0 and random.random() < TRUE_START_SHARE:
        carried = chromas[start]
    reference_in_reach = random.random() >= ABSENT_SHARE
    flows, evidence, directs = [], [], []
    for index in range(start + 1, len(lumas)):
        motion = measure_motion(halves[index], halves[index - 1])
        flows.append(_planes(motion.flow))
        evidence.append(_evidence(motion))
        from_reference = measure_motion(halves[index], halves[0], initial=compose(motion.flow, whole))
        whole = from_reference.flow
        moved = _planes(warp(chromas[0], whole))
        direct = torch.cat([moved, _evidence(from_reference), torch.ones_like(moved[:1])])
        directs.append(direct if reference_in_reach else absent(direct))
    return Sample(
        reference_luma=unit_luma(lumas[0])[None],
        reference_chroma=_planes(chromas[0]),
        memory_luma=unit_luma(lumas[remembered])[None],
        memory_chroma=_planes(memory),
        start=_planes(np.dstack([carried, trust])),
        luma=torch.stack([unit_luma(luma)[None] for luma in lumas[start + 1 :]]),
        flow=torch.stack(flows),
        evidence=torch.stack(evidence),
        direct=torch.stack(directs),
        chroma=torch.stack([_planes(chroma) for chroma in chromas[start + 1 :]]),
        has_previous=torch.full((1, 1, 1), float(random.random() >= ABSENT_SHARE)),
    )


def _evidence(motion: Motion) -> Tensor:
    """[2, h, w]: luma residual, and flow error in units of the farthest that counts."""
    error = np.minimum(motion.disagreement, FARTHEST_FLOW_ERROR) / FARTHEST_FLOW_ERROR
    return _planes(np.dstack([motion.residual, error]))


def _planes(pixels: Plane) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels.astype(np.float32).transpose(2, 0, 1)))
