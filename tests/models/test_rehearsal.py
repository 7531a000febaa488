"""The run through the film and back, by which tuned weights are judged."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from models.base import Matrix, Prediction, Reference
from models.color import chroma_to_lab, rgb_to_ycbcr
from models.objectives import ab_psnr_db
from models.rehearsal import DISTANCES, frames_rehearsed, rehearse, spread

HEIGHT, WIDTH = 32, 48


def luma_of(number: int) -> Tensor:
    """That of frame `number`, which can be told from it."""
    return torch.full((HEIGHT, WIDTH), 0.4 + 0.005 * number)


def reference(nearby: int) -> Reference:
    luma = luma_of(0)
    return Reference(
        rgb=torch.stack([luma + 0.1, luma, luma - 0.1]),
        luma=luma,
        is_frame=True,
        nearby=tuple(luma_of(number) for number in range(1, nearby + 1)),
    )


class Film:
    """Adds an error to the color of its reference in every run, and remembers what it is fed."""

    def __init__(self, *, error: float) -> None:
        self._error = error
        self.runs: list[list[int]] = []

    def colorize(
        self, lumas: Iterable[Tensor], references: Sequence[Reference], *, matrix: Matrix, restore: bool = False
    ) -> Iterator[Prediction]:
        self.runs.append([])
        chroma = nn.functional.avg_pool2d(rgb_to_ycbcr(references[0].rgb, matrix=matrix)[None, 1:], 2)[0]
        for luma in lumas:
            self.runs[-1].append(round((float(luma[0, 0]) - 0.4) / 0.005))
            yield Prediction(chroma=chroma + self._error, confidence=torch.ones(chroma.shape[1:]))


def rehearsed(film: Film, reference: Reference) -> float:
    return rehearse(film, reference, matrix="bt601")  # type: ignore[arg-type]  # it only colors


@pytest.mark.parametrize(("nearby", "frames"), [(3, (1, 3)), (13, (1, 3, 8)), (40, DISTANCES)])
def test_it_goes_through_frames_ever_farther_apart_and_back(nearby: int, frames: tuple[int, ...]) -> None:
    film = Film(error=0.0)
    rehearsed(film, reference(nearby))
    assert film.runs == [[0, *frames], [*reversed(frames), 0]]
    assert sum(map(len, film.runs)) == frames_rehearsed(nearby)


def test_frames_lie_ever_farther_apart() -> None:
    steps = [later - earlier for earlier, later in pairwise((0, *DISTANCES))]
    assert all(earlier <= later for earlier, later in pairwise(steps))
    assert DISTANCES[-1] >= 30
    assert spread(()) == []


def test_errors_of_both_ways_add_up() -> None:
    plain = reference(3)
    luma = nn.functional.avg_pool2d(plain.luma[None], 2)[0]
    chroma = nn.functional.avg_pool2d(rgb_to_ycbcr(plain.rgb, matrix="bt601")[None, 1:], 2)[0]
    everywhere = torch.ones_like(luma, dtype=torch.bool)
    off, right = (chroma_to_lab(luma, one, matrix="bt601") for one in (chroma + 0.04, chroma))
    expected = ab_psnr_db(off, right, mask=everywhere)
    assert rehearsed(Film(error=0.02), plain) == pytest.approx(expected, abs=0.01)
