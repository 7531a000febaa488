"""Matching: a picture found in itself, places, bounded memory, several pictures at once."""

import math
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor

from models.features import CHANNELS
from models.retint import matching
from models.retint.matching import Description, Found


def features(*, seed: int = 0, rows: int = 8, columns: int = 12) -> list[Tensor]:
    """Random features of strides 4, 8 and 16 of a picture of `rows` x `columns` cells."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [(2 * rows, 2 * columns), (rows, columns), (rows // 2, columns // 2)]
    return [
        torch.randn(1, channels, *size, generator=generator) for channels, size in zip(CHANNELS, sizes, strict=True)
    ]


def luma(*, seed: int = 0) -> Tensor:
    return torch.rand(1, 1, 64, 96, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(autouse=True)
def exact_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products of bfloat16, which some CPUs have, leave room for mistakes."""
    monkeypatch.setattr(matching, "_fast_products", nullcontext)


@pytest.fixture
def description() -> Description:
    torch.manual_seed(0)
    return Description()


def look_up(description: Description, asked: Tensor, known: Tensor, values: Tensor) -> Found:
    keys = description.as_keys(known)
    return description.look_up(description.placed(asked), keys, values)


@torch.no_grad()
def test_a_picture_is_found_in_itself(description: Description) -> None:
    description.log_sharpness.fill_(5.0)
    described = description(features(), luma())
    values = torch.rand(1, 3, 8 * 12)
    found = look_up(description, described, described, values)
    assert described.shape == (1, Description.SIZE, 8, 12)
    torch.testing.assert_close(described.norm(dim=1), torch.full((1, 8, 12), (4 * math.exp(5.0)) ** 0.5))
    torch.testing.assert_close(found.values, values.reshape(1, 3, 8, 12), atol=1e-3, rtol=0)
    torch.testing.assert_close(found.similarity, torch.ones(1, 1, 8, 12), atol=1e-3, rtol=0)
    assert torch.equal(found.nearest.flatten(), torch.arange(96))


@torch.no_grad()
def test_the_nearer_of_two_equal_places_is_preferred(description: Description) -> None:
    same = [plane.mean((-2, -1), keepdim=True).expand_as(plane).contiguous() for plane in features()]
    description.log_reach.fill_(-4.0)
    described = description(same, torch.full_like(luma(), 0.5))[:, :, 2:-2, 2:-2]  # the embedding sees the border
    columns = torch.arange(8.0).expand(1, 1, 4, 8)
    found = look_up(description, described, described, columns.flatten(2))
    torch.testing.assert_close(found.values[..., 2:-2], columns[..., 2:-2], atol=0.6, rtol=0)


@torch.no_grad()
def test_looking_up_in_pieces_changes_nothing(description: Description, monkeypatch: pytest.MonkeyPatch) -> None:
    described, values = description(features(), luma()), torch.rand(1, 2, 96)
    monkeypatch.setattr(matching, "CPU_QUERIES", 1024)
    whole = look_up(description, described, described, values)
    monkeypatch.setattr(matching, "CPU_QUERIES", 7)
    pieces = look_up(description, described, described, values)
    torch.testing.assert_close(pieces.values, whole.values)
    torch.testing.assert_close(pieces.similarity, whole.similarity)
    assert torch.equal(pieces.nearest, whole.nearest)


@torch.no_grad()
def test_what_another_picture_shows_is_found_there_and_where(description: Description) -> None:
    description.log_sharpness.fill_(5.0)
    one, other = (description(features(seed=seed), luma(seed=seed)) for seed in (1, 2))
    keys = torch.cat([description.as_keys(one), description.as_keys(other)], -1)
    values = torch.cat([torch.zeros(1, 1, 96), torch.ones(1, 1, 96)], -1)
    found = description.look_up(description.placed(other), keys, values)
    torch.testing.assert_close(found.values, torch.ones(1, 1, 8, 12), atol=1e-3, rtol=0)
    assert torch.equal(found.nearest.flatten(), torch.arange(96, 192))


@torch.no_grad()
def test_the_colors_found_are_hardly_others_with_products_of_bfloat16(description: Description) -> None:
    one, other = (description(features(seed=seed), luma(seed=seed)) for seed in (1, 2))
    values = torch.rand(1, 2, 96)
    queries, keys = description.placed(other), description.as_keys(one)
    exact = description.look_up(queries, keys, values)
    coarse = description.look_up(*(given.bfloat16().float() for given in (queries, keys, values)))
    torch.testing.assert_close(coarse.values, exact.values, atol=0.01, rtol=0)


def test_looking_up_leaves_the_precision_of_other_products_as_it_was(description: Description) -> None:
    before = torch.get_float32_matmul_precision()
    assert before != "medium"
    described = description(features(), luma())
    look_up(description, described, described, torch.rand(1, 2, 96))
    with pytest.raises(RuntimeError):
        look_up(description, described, described, torch.rand(1, 2, 95))
    assert torch.get_float32_matmul_precision() == before
