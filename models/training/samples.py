"""One training sample: a reference, a frame remembered, and a few consecutive frames to color, with every flow."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from models.motion import Luma8, Plane, compose, disagreement, estimate_flow, luma_residual, warp
from models.retint.network import FARTHEST_FLOW_ERROR
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
    halves = [_half(luma) for luma in lumas]
    start = len(lumas) - 1 - unrolled
    carried, trust = chromas[0], np.ones(chromas[0].shape[:2], np.float32)
    remembered = max(0, start - int(random.integers(2)))
    memory = np.dstack([carried, trust])
    whole = np.zeros((*halves[0].shape, 2), np.float32)
    for index in range(1, start + 1):
        flow = estimate_flow(halves[index], halves[index - 1])
        backward = estimate_flow(halves[index - 1], halves[index])
        carried = warp(carried, flow)
        trust = warp(trust, flow) * np.exp(-0.25 * np.minimum(disagreement(flow, backward), FARTHEST_FLOW_ERROR))
        whole = compose(flow, whole)
        if index == remembered:
            memory = np.dstack([carried, trust])
    if start > 0 and random.random() < TRUE_START_SHARE:
        carried = chromas[start]
    reference_in_reach = random.random() >= ABSENT_SHARE
    flows, evidence, directs = [], [], []
    for index in range(start + 1, len(lumas)):
        flow = estimate_flow(halves[index], halves[index - 1])
        backward = estimate_flow(halves[index - 1], halves[index])
        flows.append(flow)
        evidence.append(_evidence(halves[index], halves[index - 1], flow=flow, backward=backward))
        whole = estimate_flow(halves[index], halves[0], initial=compose(flow, whole))
        if reference_in_reach:
            returning = estimate_flow(halves[0], halves[index])
            found = _evidence(halves[index], halves[0], flow=whole, backward=returning)
            directs.append(np.dstack([warp(chromas[0], whole), found, np.ones_like(found[..., :1])]))
        else:
            directs.append(absent(halves[0].shape))
    return Sample(
        reference_luma=_unit(lumas[0]),
        reference_chroma=_planes(chromas[0]),
        memory_luma=_unit(lumas[remembered]),
        memory_chroma=_planes(memory),
        start=_planes(np.dstack([carried, trust])),
        luma=torch.stack([_unit(luma) for luma in lumas[start + 1 :]]),
        flow=torch.stack([_planes(flow) for flow in flows]),
        evidence=torch.stack([_planes(planes) for planes in evidence]),
        direct=torch.stack([_planes(planes) for planes in directs]),
        chroma=torch.stack([_planes(chroma) for chroma in chromas[start + 1 :]]),
        has_previous=torch.full((1, 1, 1), float(random.random() >= ABSENT_SHARE)),
    )


def absent(size: tuple[int, ...]) -> Plane:
    """[h, w, 5]: a candidate that is not there."""
    planes = np.zeros((*size, 5), np.float32)
    planes[..., 3] = 1.0
    return planes


def _evidence(target: Luma8, source: Luma8, *, flow: Plane, backward: Plane) -> Plane:
    """[h, w, 2]: luma residual, and flow error in units of the farthest that counts."""
    error = np.minimum(disagreement(flow, backward), FARTHEST_FLOW_ERROR) / FARTHEST_FLOW_ERROR
    return np.dstack([luma_residual(target, source, flow=flow), error])


def _half(luma: Luma8) -> Luma8:
    size = (luma.shape[1] // 2, luma.shape[0] // 2)
    return np.asarray(cv2.resize(luma, size, interpolation=cv2.INTER_AREA), np.uint8)


def _unit(luma: Luma8) -> Tensor:
    return torch.from_numpy(luma[None].astype(np.float32) / 255.0)


def _planes(pixels: Plane) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels.astype(np.float32).transpose(2, 0, 1)))
