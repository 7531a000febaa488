"""The frames next to a reference, and how they are read."""

import weakref
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from models.self_training import LOOKED_AT
from worker.nearby import nearby_frames, read_together


@pytest.mark.parametrize(
    ("frame", "first", "last", "expected"),
    [
        (3, 0, 10, range(4, 11)),
        (8, 0, 10, range(7, -1, -1)),
        (50, 0, 100, range(51, 86)),
        (60, 0, 100, range(59, 24, -1)),
        (5, 5, 5, range(0)),
    ],
    ids=["after", "before", "after, as far as it goes", "before, as far as it goes", "a shot of one frame"],
)
def test_they_lie_where_the_shot_has_more_frames(frame: int, first: int, last: int, expected: range) -> None:
    assert nearby_frames(frame, first=first, last=last) == tuple(expected)


@pytest.mark.parametrize("frames", [(4, 5, 6, 7), (7, 6, 5, 4)])
def test_they_are_read_once_and_together_when_one_is_asked_for(frames: tuple[int, ...]) -> None:
    read = []

    def planes(first: int, last: int) -> Iterator[Tensor]:
        read.append((first, last))
        return (torch.full((2, 2), float(frame)) for frame in range(first, last + 1))

    nearby = read_together(frames, read=planes)
    assert len(nearby) == 4
    assert read == []
    assert [int(plane[0, 0]) for plane in nearby] == list(frames)
    assert [int(plane[0, 0]) for plane in nearby[:2]] == list(frames[:2])
    assert read == [(4, 7)]


def test_frames_that_tuning_does_not_look_at_are_not_kept() -> None:
    made = {frame: torch.zeros(1) for frame in range(100, 136)}
    alive = {frame: weakref.ref(plane) for frame, plane in made.items()}
    nearby = read_together(range(135, 100, -1), read=lambda first, last: map(made.pop, range(first, last + 1)))
    assert nearby[0] is alive[135]()
    assert {135 - frame + 1 for frame, plane in alive.items() if plane() is not None and frame > 100} == LOOKED_AT


def test_of_no_frames_nothing_is_read() -> None:
    assert list(read_together((), read=lambda first, last: pytest.fail(f"{first} to {last} were read"))) == []
