"""Matching: values are found again where the features are, in bounded memory."""

import pytest
import torch
from torch import Tensor

import models.matching
from models.features import CHANNELS
from models.matching import Matching


def features(*, seed: int = 0, height: int = 8, width: int = 12) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    sizes = ((2 * height, 2 * width), (height, width), (height // 2, width // 2))
    return [torch.randn(1, c, *size, generator=generator) for c, size in zip(CHANNELS, sizes, strict=True)]


def mirrored(planes: list[Tensor]) -> list[Tensor]:
    return [plane.flip(-1) for plane in planes]


def colors(height: int = 8, width: int = 12) -> Tensor:
    return torch.rand(2, height, width, generator=torch.Generator().manual_seed(7))


def test_a_picture_finds_its_own_values() -> None:
    matching = Matching()
    description = matching.describe(features())
    match = matching(description, [matching.keys(description, planes=colors())])
    assert (match.values - colors()).abs().mean() < 0.02
    assert match.similarity.min() > 0.95


def test_what_has_moved_across_the_picture_is_found() -> None:
    matching = Matching()
    keys = matching.keys(matching.describe(features()), planes=colors())
    match = matching(matching.describe(mirrored(features())), [keys])
    assert (match.values - colors().flip(-1)).abs().mean() < 0.05


def test_of_two_references_the_one_that_looks_alike_gives_the_values() -> None:
    matching = Matching()
    other = matching.keys(matching.describe(features(seed=1)), planes=torch.ones(2, 8, 12))
    same = matching.keys(matching.describe(features()), planes=colors())
    match = matching(matching.describe(features()), [other, same])
    assert (match.values - colors()).abs().mean() < 0.02


def test_a_stranger_is_less_similar() -> None:
    matching = Matching()
    keys = matching.keys(matching.describe(features()), planes=colors())
    assert matching(matching.describe(features(seed=1)), [keys]).similarity.mean() < 0.6


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    matching = Matching()
    keys = matching.keys(matching.describe(features()), planes=colors())
    queries = matching.describe(features(seed=1))
    whole = matching(queries, [keys])
    monkeypatch.setattr(models.matching, "QUERY_CHUNK", 7)
    parts = matching(queries, [keys])
    assert torch.allclose(whole.values, parts.values, atol=1e-5)
    assert torch.allclose(whole.similarity, parts.similarity, atol=1e-5)


def test_gradients_reach_every_weight() -> None:
    matching = Matching()
    keys = matching.keys(matching.describe(features()), planes=colors())
    matching(matching.describe(features(seed=1)), [keys]).values.square().sum().backward()
    for parameter in matching.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0
