"""Chooses, pixel by pixel, among the colors that motion and matching offer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Kind = Literal["previous", "direct", "match"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One offered color of a frame."""

    kind: Kind
    chroma: Tensor
    """[2, h, w] in -0.5..0.5."""
    residual: Tensor
    """[h, w] luma of the frame minus luma at the candidate's source, in units of full scale."""
    disagreement: Tensor
    """[h, w] forward-backward error of the flow in pixels; zero for matching."""
    trust: Tensor
    """[h, w] in 0..1: confidence of the source itself."""


class Blend(nn.Module):
    """Softmax over the candidates; a candidate's log-weight is linear in its evidence."""

    EVIDENCE = 5

    def __init__(self) -> None:
        super().__init__()
        #                                  residual, around, flow error, around, trust
        self.previous = nn.Parameter(torch.tensor([-2.0, -2.0, -2.0, -1.0, 1.0, 0.0]))
        self.direct = nn.Parameter(torch.tensor([-2.0, -2.0, -2.0, -1.0, 1.0, 0.0]))
        self.match = nn.Parameter(torch.tensor([0.0, -2.0, 0.0, 0.0, 2.0, -4.0]))

    def forward(self, candidates: Sequence[Candidate]) -> tuple[Tensor, Tensor]:
        """Blend the candidates into chroma [2, h, w] and confidence [h, w] in 0..1."""
        evidences = [evidence(candidate) for candidate in candidates]
        weights = torch.stack(
            [self._log_weight(c, evidence=e) for c, e in zip(candidates, evidences, strict=True)]
        ).softmax(0)
        chroma = (weights[:, None] * torch.stack([c.chroma for c in candidates])).sum(0)
        reliabilities = torch.stack([reliability(c, evidence=e) for c, e in zip(candidates, evidences, strict=True)])
        return chroma, (weights * reliabilities).sum(0)

    def _log_weight(self, candidate: Candidate, *, evidence: Tensor) -> Tensor:
        coefficients: Tensor = getattr(self, candidate.kind)
        return torch.einsum("e,ehw->hw", coefficients[:-1], evidence) + coefficients[-1]


def evidence(candidate: Candidate) -> Tensor:
    """[5, h, w]: residual and flow error, each at the pixel and around it, compressed; and the source's confidence."""
    residual = candidate.residual.abs()
    # Saturating scales: beyond a tenth of the luma range, or some pixels, wrong is wrong.
    flow_error = candidate.disagreement.clamp(max=8.0)
    return torch.stack(
        [
            (residual / 0.05).clamp(max=4.0),
            (smooth(residual) / 0.05).clamp(max=4.0),
            flow_error / 2.0,
            smooth(flow_error) / 2.0,
            candidate.trust,
        ]
    )


def reliability(candidate: Candidate, *, evidence: Tensor) -> Tensor:
    """[h, w] in 0..1: the source's confidence, less where luma or flow speak against it."""
    if candidate.kind == "match":
        return candidate.trust
    return candidate.trust * torch.exp(-0.25 * evidence[1] - 0.25 * evidence[3])


def smooth(plane: Tensor) -> Tensor:
    """Mean of [h, w] over 7x7 pixels, fewer at the edges."""
    return F.avg_pool2d(plane[None, None], 7, stride=1, padding=3, count_include_pad=False)[0, 0]
