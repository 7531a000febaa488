"""What the demo shows of its result: distance from the truth, and a picture."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from cli.demo_clip import REFERENCE_FRAME, Rgb, frames_of, true_frames
from models.metrics import ab_psnr, rgb_psnr
from worker.media.stills import write_png

SHOWN_FRAME = 105
"""Far from the reference, in time and in content."""


@dataclass(frozen=True, slots=True)
class Distance:
    """Mean over the frames but the reference's own, in dB; more is nearer."""

    rgb_psnr: float
    ab_psnr: float


def measure(result: Path, footage: Path, *, every: int = 1) -> Distance:
    """How near a colorized video is to the footage in color, by every so many frames."""
    pairs = [
        (rgb_psnr(_tensor(found), _tensor(true)), ab_psnr(_tensor(found), _tensor(true)))
        for found, true in _compared(result, footage, every=every)
    ]
    return Distance(rgb_psnr=sum(rgb for rgb, _ in pairs) / len(pairs), ab_psnr=sum(ab for _, ab in pairs) / len(pairs))


def write_before_after(mono: Path, result: Path, target: Path) -> None:
    """The same frame before and after, side by side, a white line between."""
    before, after = _frame(mono), _frame(result)
    line = np.full((before.shape[0], 4, 3), 255, np.uint8)
    write_png(target, np.concatenate([before, line, after], axis=1))


def _compared(result: Path, footage: Path, *, every: int) -> Iterator[tuple[Rgb, Rgb]]:
    for index, (found, true) in enumerate(zip(frames_of(result), true_frames(footage), strict=True)):
        if index % every == 0 and index != REFERENCE_FRAME:
            yield found, true


def _frame(video: Path) -> Rgb:
    for index, frame in enumerate(frames_of(video)):
        if index == SHOWN_FRAME:
            return frame
    raise ValueError(f"{video} has no frame {SHOWN_FRAME}.")


def _tensor(rgb: Rgb) -> torch.Tensor:
    """[H, W, 3] to [3, H, W]."""
    return torch.from_numpy(rgb).permute(2, 0, 1)
