"""Attention in chunks is the attention of the plain formula."""

import pytest
import torch
from torch import Tensor

from models.deepremaster.attention import SourceReferenceAttention, attend, focus


def plain(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return torch.softmax(torch.bmm(query, key.transpose(1, 2)), dim=-1).bmm(value)


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("scores_at_once", [1, 100, 2**24])
@pytest.mark.parametrize(("batch", "queries", "keys"), [(1, 37, 53), (2, 64, 1), (3, 1, 20)])
def test_every_chunk_size_gives_the_plain_formula(scores_at_once: int, batch: int, queries: int, keys: int) -> None:
    query, key, value = drawn(batch, queries, 4, seed=1), drawn(batch, keys, 4, seed=2), drawn(batch, keys, 9, seed=3)
    with torch.no_grad():
        result = attend(query, key, value, scores_at_once=scores_at_once)
    torch.testing.assert_close(result, plain(query, key, value), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("scores_at_once", [60, 2**24])
def test_gradients_are_those_of_the_plain_formula(scores_at_once: int) -> None:
    shapes = [(2, 11, 3), (2, 13, 3), (2, 13, 5)]
    ours = [drawn(*shape, seed=index).requires_grad_() for index, shape in enumerate(shapes)]
    theirs = [tensor.detach().clone().requires_grad_() for tensor in ours]
    direction = drawn(2, 11, 5, seed=9)
    (attend(*ours, scores_at_once=scores_at_once) * direction).sum().backward()
    (plain(*theirs) * direction).sum().backward()
    for our, their in zip(ours, theirs, strict=True):
        assert our.grad is not None
        assert their.grad is not None
        torch.testing.assert_close(our.grad, their.grad, atol=1e-4, rtol=1e-4)


def test_the_backward_pass_keeps_no_weights_of_pairs() -> None:
    query, key = (drawn(1, 500, 2, seed=seed).requires_grad_() for seed in (1, 2))
    value = drawn(1, 500, 3, seed=3).requires_grad_()
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        attend(query, key, value, scores_at_once=5000)
    assert sum(kept.values()) < 500 * 500 * 4 / 10


def test_attention_starts_as_the_source_itself() -> None:
    layer = SourceReferenceAttention(16)
    source, reference = drawn(1, 16, 2, 3, 4, seed=1), drawn(1, 16, 1, 5, 2, seed=2)
    assert torch.equal(layer(source, reference), source)


def test_query_and_key_keep_at_least_one_channel() -> None:
    layer = SourceReferenceAttention(4)
    assert layer.query_conv.out_channels == layer.key_conv.out_channels == 1
    assert layer(drawn(1, 4, 1, 2, 2, seed=1), drawn(1, 4, 3, 2, 2, seed=2)).shape == (1, 4, 1, 2, 2)


@pytest.mark.parametrize("scores_at_once", [7, 2**24])
def test_focus_is_one_on_a_single_place_and_zero_on_all_alike(scores_at_once: int) -> None:
    key = torch.eye(6)[None]
    sharp = focus(key[:, :2] * 1000, key, scores_at_once=scores_at_once)
    even = focus(torch.zeros(1, 3, 6), key, scores_at_once=scores_at_once)
    between = focus(key[:, :2] * 2, key, scores_at_once=scores_at_once)
    torch.testing.assert_close(sharp, torch.ones(1, 2), atol=1e-5, rtol=0)
    torch.testing.assert_close(even, torch.zeros(1, 3), atol=1e-5, rtol=0)
    assert ((between > 0.05) & (between < 0.95)).all()


def test_a_single_place_to_look_at_is_looked_at_fully() -> None:
    assert torch.equal(focus(torch.zeros(1, 3, 2), torch.zeros(1, 1, 2)), torch.ones(1, 3))
