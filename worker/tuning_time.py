"""How long test-time tuning takes by size and iterations: the paper's Table 3 (Zhao et al., ICIP 2023)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np
import torch
from torch import Tensor

from models.base import Colorizer, Reference
from models.color import rgb_to_ycbcr
from models.tuning import TuningStep, tune
from models.tuning_run import TuningSettings
from worker.nearby import FARTHEST

Size = tuple[int, int]
"""Height and width in pixels."""
SIZES: tuple[Size, ...] = ((320, 576), (320, 400), (256, 256))
ITERATIONS = (5, 20)
PUBLISHED_MINUTES: Mapping[Size, Mapping[int, float]] = MappingProxyType(
    {(320, 576): {5: 1.50, 20: 5.47}, (320, 400): {5: 1.13, 20: 4.10}, (256, 256): {5: 0.53, 20: 1.94}}
)
"""METHOD, section 2: minutes per video; the paper does not say on what."""


@dataclass(frozen=True, slots=True)
class TuningTime:
    """One measured tuning."""

    size: Size
    iterations: int
    """As asked for."""
    steps: int
    """As taken: fewer only where a loss was not finite."""
    seconds: float
    note: str | None
    """Why nothing was tuned, where that is so."""


def tuning_times(
    colorizer: Colorizer,
    *,
    sizes: Sequence[Size],
    iterations: Sequence[int],
    on_step: Callable[[Size, int, TuningStep], None] = lambda *_: None,
) -> Iterator[TuningTime]:
    """Yield the time of tuning a copy of `colorizer` on one reference, for every size and number of iterations.

    Every step is taken, so tuning never ends early, and every step measures the held-out part, as jobs do. A size is
    what the network is fed, continued to the next multiple that it needs. What tuning itself colors counts; nothing
    else is colored, decoded or encoded.

    Raises:
        OutOfMemory: a reference does not fit the device.
    """
    for size in sizes:
        reference = _reference(size, multiple=colorizer.description.size_multiple)
        for steps in iterations:
            report = tune(
                colorizer.clone(),
                [reference],
                matrix="bt601",
                settings=TuningSettings(
                    iterations=steps, learning_rate=colorizer.description.learning_rate, patience=steps
                ),
                on_step=lambda step, size=size, steps=steps: on_step(size, steps, step),  # type: ignore[misc]
            )
            yield TuningTime(size, steps, report.iterations, report.seconds, report.note)


def _reference(size: Size, *, multiple: int) -> Reference:
    """Clouds of color, and frames near them in which they drift."""
    height, width = (-(-side // multiple) * multiple for side in size)
    random = np.random.default_rng(0)
    wide = width + 2 * FARTHEST
    picture = np.zeros((height, wide, 3), np.float32)
    for knots, weight in ((5, 0.5), (20, 0.3), (80, 0.2)):
        coarse = random.random((knots, 2 * knots, 3)).astype(np.float32)
        picture += weight * cv2.resize(coarse, (wide, height), interpolation=cv2.INTER_CUBIC)
    pictures = torch.from_numpy(np.clip(picture, 0.0, 1.0)).permute(2, 0, 1)

    def seen(shift: int) -> Tensor:
        return pictures[:, :, shift : shift + width].contiguous()

    rgb = seen(0)
    return Reference(
        rgb=rgb,
        luma=rgb_to_ycbcr(rgb, matrix="bt601")[0],
        is_frame=True,
        nearby=tuple(rgb_to_ycbcr(seen(2 * distance), matrix="bt601")[0] for distance in range(1, FARTHEST + 1)),
    )
