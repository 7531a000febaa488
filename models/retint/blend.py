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

    def __init__(self) -> None:
        super().__init__()
        # Fitted by gradient to the error of chroma on 52 training clips: +0.4 dB there over the best single candidate,
        # +0.9 dB on the harder half. In the order of `evidence`, and the bias.
        self.previous = nn.Parameter(torch.tensor([-0.12, -0.98, -0.16, -0.14, 0.16, 0.49, -0.86, -0.21]))
        self.direct = nn.Parameter(torch.tensor([-0.64, -1.20, -0.35, -0.35, 0.08, 0.78, -0.45, 1.78]))
        self.match = nn.Parameter(torch.tensor([-0.32, -0.36, 0.07, 0.0, 0.0, -1.14, -0.72, 0.38]))

    def forward(self, candidates: Sequence[Candidate]) -> tuple[Tensor, Tensor]:
        """Blend the candidates into chroma [2, h, w] and confidence [h, w] in 0..1."""
        found = evidence(candidates)
        coefficients = torch.stack([self._coefficients(candidate.kind) for candidate in candidates])
        logs = torch.einsum("ne,nehw->nhw", coefficients[:, :-1], found) + coefficients[:, -1, None, None]
        weights = logs.softmax(0)
        chroma = (weights[:, None] * torch.stack([c.chroma for c in candidates])).sum(0)
        reliabilities = [reliability(c, evidence=e) for c, e in zip(candidates, found, strict=True)]
        return chroma, (weights * torch.stack(reliabilities)).sum(0)

    def _coefficients(self, kind: Kind) -> Tensor:
        return {"previous": self.previous, "direct": self.direct, "match": self.match}[kind]


def evidence(candidates: Sequence[Candidate]) -> Tensor:
    """[N, 7, h, w]: what speaks against each of N candidates, and the trust in its source.

    Residual of luma at the pixel, over 7x7 and over 21x21 pixels; flow error at the pixel and over 7x7; trust; and how
    far the color is from the nearest other candidate's.
    """
    # Saturating scales: beyond a tenth of the luma range, or some pixels, wrong is wrong.
    residual = torch.stack([c.residual for c in candidates]).abs()
    flow_error = torch.stack([c.disagreement for c in candidates]).clamp(max=8.0)
    return torch.stack(
        [
            (residual / 0.05).clamp(max=4.0),
            (smooth(residual, size=7) / 0.05).clamp(max=4.0),
            (smooth(residual, size=21) / 0.05).clamp(max=4.0),
            flow_error / 2.0,
            smooth(flow_error, size=7) / 2.0,
            torch.stack([c.trust for c in candidates]),
            (oddity([c.chroma for c in candidates]) / 0.1).clamp(max=4.0),
        ],
        dim=1,
    )


def oddity(chromas: Sequence[Tensor]) -> Tensor:
    """[N, h, w]: how far each of N colors [2, h, w] is from the nearest of the others; 0 where it is alone."""
    if len(chromas) == 1:
        return torch.zeros_like(chromas[0][:1])
    distances: list[list[Tensor]] = [[] for _ in chromas]
    for one in range(len(chromas)):
        for other in range(one):
            distance = torch.linalg.vector_norm(chromas[one] - chromas[other], dim=0)
            distances[one].append(distance)
            distances[other].append(distance)
    return torch.stack([torch.stack(several).amin(0) for several in distances])


def reliability(candidate: Candidate, *, evidence: Tensor) -> Tensor:
    """[h, w] in 0..1: the source's confidence, less where luma or flow speak against it."""
    if candidate.kind == "match":
        return candidate.trust
    # A residual of a tenth of the range, or an error of five pixels, around a pixel nearly halves the trust.
    return candidate.trust * torch.exp(-0.25 * evidence[1] - 0.25 * evidence[4])


def smooth(planes: Tensor, *, size: int) -> Tensor:
    """Means of planes [N, h, w] over `size` x `size` pixels (odd), fewer at the edges."""
    half = size // 2
    rows = F.avg_pool2d(planes[None], (1, size), stride=1, padding=(0, half), count_include_pad=False)
    return F.avg_pool2d(rows, (size, 1), stride=1, padding=(half, 0), count_include_pad=False)[0]
