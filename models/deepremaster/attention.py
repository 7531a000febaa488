"""Attention of every source position to every reference position, in memory that is linear in either.

The plain formula holds one weight for each pair of positions, 0.8 GB for five frames of 320x576 in the last
self-attention. Here the queries go through in chunks, and the backward pass computes a chunk's weights again
rather than keep them. `scaled_dot_product_attention` is no way out: its linear kernels for the CPU want keys and
values of one depth, and here values are eight times as deep.
"""

import math

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

SCORES_AT_ONCE = 2**24
"""Pairs of positions whose weights exist at one time: 64 MiB in float32."""


def attend(query: Tensor, key: Tensor, value: Tensor, *, scores_at_once: int = SCORES_AT_ONCE) -> Tensor:
    """softmax(query . key) value, without scaling.

    `query` [B, Q, D], `key` [B, K, D], `value` [B, K, C] give [B, Q, C]; differentiable in all three.
    """
    rows = max(1, scores_at_once // (key.shape[0] * key.shape[1]))
    attended: Tensor = _ChunkedAttention.apply(query, key, value, rows)  # type: ignore[no-untyped-call]
    return attended


class _ChunkedAttention(torch.autograd.Function):
    """Attention of `rows` queries at a time, whose weights are forgotten and computed again to go back.

    `torch.utils.checkpoint` would do as well, but its first call imports torch's compiler: two seconds of every job.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, query: Tensor, key: Tensor, value: Tensor, rows: int) -> Tensor:
        ctx.save_for_backward(query, key, value)
        ctx.rows = rows  # type: ignore[attr-defined]
        return torch.cat([_weights(part, key) @ value for part in torch.split(query, rows, dim=1)], dim=1)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        query, key, value = ctx.saved_tensors  # type: ignore[attr-defined]
        rows: int = ctx.rows  # type: ignore[attr-defined]
        to_query, to_key, to_value = [], torch.zeros_like(key), torch.zeros_like(value)
        parts = zip(torch.split(query, rows, dim=1), torch.split(gradients[0], rows, dim=1), strict=True)
        for part, gradient in parts:
            weights = _weights(part, key)
            to_value += weights.transpose(1, 2) @ gradient
            to_weights = gradient @ value.transpose(1, 2)
            # The derivative of softmax: what favors a weight counts only so far as it favors it above the others.
            to_scores = weights * (to_weights - (weights * to_weights).sum(dim=-1, keepdim=True))
            to_query.append(to_scores @ key)
            to_key += to_scores.transpose(1, 2) @ part
        return torch.cat(to_query, dim=1), to_key, to_value, None


def _weights(query: Tensor, key: Tensor) -> Tensor:
    return torch.softmax(query @ key.transpose(1, 2), dim=-1)


@torch.no_grad()
def focus(query: Tensor, key: Tensor, *, scores_at_once: int = SCORES_AT_ONCE) -> Tensor:
    """How narrowly each query looks: [B, Q] in 0..1.

    One minus the entropy of its weights over the entropy of even weights: 1 looks at a single position of the
    reference, 0 at all of them alike. `query` [B, Q, D], `key` [B, K, D].
    """
    count = key.shape[1]
    if count == 1:
        return torch.ones_like(query[..., 0])
    rows = max(1, scores_at_once // (key.shape[0] * count))
    keys = key.transpose(1, 2)
    parts = []
    for part in torch.split(query, rows, dim=1):
        logarithms = torch.log_softmax(part @ keys, dim=-1)
        # Weights that round to zero have a logarithm of minus hundreds, not infinity, so their product is zero.
        entropy = -(logarithms.exp() * logarithms).sum(dim=-1)
        parts.append(1.0 - entropy / math.log(count))
    return torch.cat(parts, dim=1).clamp(0.0, 1.0)


class SourceReferenceAttention(nn.Module):
    """gamma * attended + source; with source = reference it is self-attention.

    Queries come from the source, keys and values from the reference, both [B, C, T, H, W] of any T, H and W.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        depth = max(1, channels // 8)
        self.query_conv = nn.Conv3d(channels, depth, 1)
        self.key_conv = nn.Conv3d(channels, depth, 1)
        self.value_conv = nn.Conv3d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, source: Tensor, reference: Tensor) -> Tensor:
        attended = attend(
            _positions(self.query_conv(source)),
            _positions(self.key_conv(reference)),
            _positions(self.value_conv(reference)),
        )
        return self.gamma * attended.transpose(1, 2).reshape(source.shape) + source

    @torch.no_grad()
    def focus(self, source: Tensor, reference: Tensor) -> Tensor:
        """How narrowly each source position looks at the reference: [B, T, H, W] in 0..1."""
        narrow = focus(_positions(self.query_conv(source)), _positions(self.key_conv(reference)))
        batch, _, *places = source.shape
        return narrow.reshape(batch, *places)


def _positions(x: Tensor) -> Tensor:
    """[B, C, T, H, W] -> [B, T*H*W, C]."""
    return x.flatten(2).transpose(1, 2)
