"""Runs: a reference and the frames after it, cut into chunks of a few frames, with every flow.

A network trained on single steps from the truth does not learn what its own errors become twenty frames later. So a run
is as long as a shot may be, its chunks follow each other in training, and the network goes on from what it made of the
chunk before.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from models.motion import Luma8, Motion, Plane, measure_motion, warp
from models.retint.colorizer import half_luma, unit_luma
from models.retint.network import FARTHEST_FLOW_ERROR, absent
from models.training.footage import Footage, Library, move_photos

CROP = 256
"""Side in luma pixels."""
PHOTO_SHARE = 0.25
SHORTEST, LONGEST = 8, 48
"""Frames of a run that are colored, where its footage has so many."""
OLD_FILM_SHARE = 0.35
"""Of runs whose luma is blurred, grainy and flickering."""
ABSENT_SHARE = 0.05
"""Of runs whose reference is no frame of the shot: nothing is before the first, and flow does not reach it."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """T frames of a run. Planes are float32 in 0..1 (luma) and -0.5..0.5 (chroma: Cb, Cr); C = CROP, c = CROP / 2."""

    begins: Tensor
    """[1, 1, 1] 1 where the run begins with it."""
    reference_in_shot: Tensor
    """[1, 1, 1] 0 where the reference is no frame of the shot."""
    reference_luma: Tensor
    """[1, C, C]."""
    reference_chroma: Tensor
    """[2, c, c]."""
    luma: Tensor
    """[T, 1, C, C]."""
    flow: Tensor
    """[T, 2, c, c]: from each frame to the one before, in pixels; the first frame's leads to the reference."""
    evidence: Tensor
    """[T, 2, c, c]: luma residual and flow error against the frame before."""
    direct: Tensor
    """[T, 5, c, c]: the reference moved by flow, see `models.retint.network.Offers`."""
    chroma: Tensor
    """[T, 2, c, c]: the truth."""


class Runs(IterableDataset[Chunk]):
    """Chunks of `lanes` runs by turns, for ever: of the first lane, of the second, ..., of the first again."""

    def __init__(self, library: Library, *, lanes: int, frames: int, seed: tuple[int, ...]) -> None:
        self._library = library
        self._lanes = lanes
        self._frames = frames
        self._seed = seed

    def __iter__(self) -> Iterator[Chunk]:
        worker = get_worker_info()
        number = worker.id if worker is not None else 0
        lanes = [self._lane(np.random.default_rng((*self._seed, number, lane))) for lane in range(self._lanes)]
        while True:
            for lane in lanes:
                yield next(lane)

    def _lane(self, random: np.random.Generator) -> Iterator[Chunk]:
        while True:
            yield from draw(self._library, frames=self._frames, random=random)


def draw(library: Library, *, frames: int, random: np.random.Generator) -> Iterator[Chunk]:
    """A random run of the library, in chunks of so many `frames`; clips are longer than that."""
    moving = not library.clips or (bool(library.photos) and random.random() < PHOTO_SHARE)
    if moving:
        footage = move_photos(library.photos, random=random)
    else:
        footage = library.clips[int(random.integers(len(library.clips)))]
    indices = _choose_frames(len(footage.luma), frames=frames, moving=moving, random=random)
    yield from _assemble(_cut(footage, indices, random=random), frames=frames, random=random)


def _choose_frames(count: int, *, frames: int, moving: bool, random: np.random.Generator) -> list[int]:
    """The reference's frame and those to color, as many as make whole chunks."""
    stride = 1 if moving else int(random.choice([1, 1, 1, 2]))
    if (count - 1) // stride < frames:
        stride = 1
    length = min((count - 1) // stride, int(random.integers(SHORTEST, LONGEST + 1)))
    length = max(length // frames, 1) * frames
    first = int(random.integers(count - length * stride))
    indices = list(range(first, first + length * stride + 1, stride))
    return indices[::-1] if random.random() < 0.5 else indices


@dataclass(frozen=True, slots=True)
class _Picture:
    luma: Luma8
    half: Luma8
    chroma: Plane


def _cut(footage: Footage, indices: list[int], *, random: np.random.Generator) -> Iterator[_Picture]:
    """The same square of every frame, more or less enlarged, with one random change of color and of luma for all."""
    height, width = footage.chroma.shape[1:3]
    least = min(CROP // 2, height, width)
    side = int(random.integers(least, min(height, width) + 1))
    top, left = int(random.integers(height - side + 1)), int(random.integers(width - side + 1))
    flip = random.random() < 0.5
    recolor = _recoloring(random=random)
    age = _Aging(random)
    for index in indices:
        luma = footage.luma[index, 2 * top : 2 * (top + side), 2 * left : 2 * (left + side)]
        # Cr, Cb as decoded; Cb, Cr from here on.
        chroma = footage.chroma[index, top : top + side, left : left + side, ::-1].astype(np.float32)
        chroma = np.clip((chroma - 128.0) / 255.0 @ recolor.T, -0.5, 0.5).astype(np.float32)
        if flip:
            luma, chroma = luma[:, ::-1], chroma[:, ::-1]
        aged = age(_resized(luma.astype(np.float32), CROP))
        codes = np.clip(np.rint(aged), 0, 255).astype(np.uint8)
        yield _Picture(codes, half_luma(unit_luma(codes)), _resized(chroma, CROP // 2))


def _resized(plane: Plane, side: int) -> Plane:
    method = cv2.INTER_AREA if plane.shape[0] > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(plane), (side, side), interpolation=method), np.float32)


def _recoloring(*, random: np.random.Generator) -> NDArray[np.float32]:
    """[2, 2]: half of the runs have their colors turned, so that colors are copied and not guessed."""
    angle = random.uniform(0, 2 * np.pi) if random.random() < 0.5 else 0.0
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]], np.float32) * np.float32(random.uniform(0.5, 1.5))


class _Aging:
    """What time, bad copies and a printer's lamp do to luma; the strength is one for a whole run."""

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


def _assemble(pictures: Iterator[_Picture], *, frames: int, random: np.random.Generator) -> Iterator[Chunk]:
    reference = before = next(pictures)
    in_shot = random.random() >= ABSENT_SHARE
    known = {
        "reference_in_shot": torch.full((1, 1, 1), float(in_shot)),
        "reference_luma": unit_luma(reference.luma)[None],
        "reference_chroma": _planes(reference.chroma),
    }
    begins = 1.0
    from_reference: Motion | None = None
    steps: list[dict[str, Tensor]] = []
    for picture in pictures:
        motion = measure_motion(picture.half, before.half)
        from_reference = measure_motion(
            picture.half,
            reference.half,
            initial=None if from_reference is None else from_reference.flow,
            initial_backward=None if from_reference is None else from_reference.backward,
        )
        moved = _planes(warp(reference.chroma, from_reference.flow))
        direct = torch.cat([moved, _evidence(from_reference), torch.ones_like(moved[:1])])
        steps.append(
            {
                "luma": unit_luma(picture.luma)[None],
                "flow": _planes(motion.flow),
                "evidence": _evidence(motion),
                "direct": direct if in_shot else absent(direct),
                "chroma": _planes(picture.chroma),
            }
        )
        before = picture
        if len(steps) == frames:
            fields = {name: torch.stack([step[name] for step in steps]) for name in steps[0]}
            yield Chunk(begins=torch.full((1, 1, 1), begins), **known, **fields)
            begins, steps = 0.0, []


def _evidence(motion: Motion) -> Tensor:
    """[2, h, w]: luma residual, and flow error in units of the farthest that counts."""
    error = np.minimum(motion.disagreement, FARTHEST_FLOW_ERROR) / FARTHEST_FLOW_ERROR
    return _planes(np.dstack([motion.residual, error]))


def _planes(pixels: Plane) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels.astype(np.float32).transpose(2, 0, 1)))
