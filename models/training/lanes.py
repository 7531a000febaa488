"""Runs being colored in training: every frame from what the network made of the frames before it.

A network trained on single steps from the truth does not learn what its own errors become twenty frames later. No
gradient passes from frame to frame: what a network must learn is to choose well among offers that are worn already.
"""

import math
from collections import deque
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.retint.colorizer import EARLIER, REMEMBERED, REMEMBERED_EVERY
from models.retint.fusion import Fused
from models.retint.matching import Description
from models.retint.network import RetintNetwork
from models.retint.offers import (
    Flown,
    Offers,
    Source,
    flow_offer,
    flow_offers,
    likeness_along,
    memory_offer,
    reference_offers,
    source_of,
)
from models.training.material import Run, Runs
from models.training.objective import frame_loss

TURNED_SHARE = 0.6
"""Of runs that have their colors turned, so that colors are copied and not guessed."""
FAINTEST, STRONGEST = 0.6, 1.4
"""Factors of the chroma of a run."""


@dataclass(frozen=True, slots=True)
class Recoloring:
    """A change of all colors of a run, and mirrored or not. What is offered depends on color linearly, so it is changed
    where it is fed to the network, and what comes out is changed back."""

    turn: Tensor
    """[2, 2]."""
    mirrored: bool

    @classmethod
    def draw(cls, random: np.random.Generator, device: torch.device) -> Self:
        angle = random.uniform(0, 2 * math.pi) if random.random() < TURNED_SHARE else 0.0
        cosine, sine = math.cos(angle), math.sin(angle)
        turn = torch.tensor([[cosine, -sine], [sine, cosine]], dtype=torch.float32, device=device)
        return cls(turn * random.uniform(FAINTEST, STRONGEST), mirrored=bool(random.random() < 0.5))

    def apply(self, offers: Offers, truth: Tensor) -> tuple[Offers, Tensor]:
        chromas = torch.einsum("dc,bnchw->bndhw", self.turn, offers.chromas)
        planes = self._mirror(torch.cat([chromas, offers.planes[:, :, 2:]], 2))
        turned = self._mirror(torch.einsum("dc,bchw->bdhw", self.turn, truth))
        return Offers(luma=self._mirror(offers.luma), planes=planes), turned

    def undo(self, fused: Fused) -> Fused:
        chroma = torch.einsum("dc,bchw->bdhw", torch.linalg.inv(self.turn), fused.chroma.detach())
        trust, confidence = (self._mirror(planes.detach()) for planes in (fused.trust, fused.confidence))
        return Fused(chroma=self._mirror(chroma), trust=trust, confidence=confidence)

    def _mirror(self, planes: Tensor) -> Tensor:
        return planes.flip(-1) if self.mirrored else planes


@dataclass(frozen=True, slots=True)
class Known:
    """A frame as it was colored."""

    planes: Tensor
    """[1, 4, h, w]: chroma, trust, luma."""
    description: Tensor


class Lane:
    """One run, frame by frame."""

    @torch.no_grad()
    def __init__(self, run: Run, describe: Description, *, recoloring: Recoloring | None = None) -> None:
        self._run, self._describe = run, describe
        self._device = describe.log_reach.device
        self._recoloring = recoloring
        self._frame = 0
        luma = self._luma()
        chroma = run.material.chroma_of(0, self._device)
        low = F.avg_pool2d(luma, 2)
        self._reference = torch.cat([chroma, torch.ones_like(low), low], 1)
        description = describe(run.material.features_of(0, self._device), luma)
        self._latest = deque([Known(self._reference, description)], maxlen=EARLIER)
        self._source = source_of(describe, description, picture=self._reference)
        self._memory: list[Source] = [self._source] * REMEMBERED

    @property
    def is_done(self) -> bool:
        return self._frame + 1 >= len(self._run.material.luma)

    def learn(self, network: RetintNetwork) -> tuple[Tensor, Tensor]:
        """Color the next frame; its loss, and its squared error of R'G'B'."""
        offers, truth, description = self._next()
        if self._recoloring is None:
            fused = network.fusion(offers)
        else:
            offers, truth = self._recoloring.apply(offers, truth)
            fused = network.fusion(offers)
        loss, square = frame_loss(fused, truth)
        self._go_on(fused if self._recoloring is None else self._recoloring.undo(fused), description)
        return loss, square

    @torch.no_grad()
    def _next(self) -> tuple[Offers, Tensor, Tensor]:
        """What is offered to the next frame, its true chroma and its description."""
        self._frame += 1
        luma = self._luma()
        low = F.avg_pool2d(luma, 2)
        description, steady = self._from_reference(luma, low)
        before, long_before = self._latest[-1], self._latest[0]
        by = self._flown(self._run.previous, description, before.description)
        previous = flow_offers(before.planes, low, by=by)
        by = self._flown(self._run.earlier, description, long_before.description)
        earlier = flow_offer(long_before.planes, by=by)
        queries = self._describe.placed(description)
        remembered = memory_offer(self._describe, queries, low, memory=self._memory)
        truth = self._run.material.chroma_of(self._frame, self._device)
        return (
            Offers(luma, torch.cat([previous, steady[:, :2], earlier, steady[:, 2:], remembered], 1)),
            truth,
            description,
        )

    def _from_reference(self, luma: Tensor, low: Tensor) -> tuple[Tensor, Tensor]:
        description = self._describe(self._run.material.features_of(self._frame, self._device), luma)
        by = self._flown(self._run.direct, description, self._source.description)
        direct = flow_offers(self._reference, low, by=by)
        found = reference_offers(
            self._describe,
            self._describe.placed(description),
            low,
            references=[self._source],
            pictures=[self._reference],
        )
        return description, torch.cat([direct, found], 1)

    @torch.no_grad()
    def _go_on(self, fused: Fused, description: Tensor) -> None:
        low = F.avg_pool2d(self._luma(), 2)
        picture = torch.cat([fused.chroma.detach(), fused.trust.detach(), low], 1)
        self._latest.append(Known(picture, description))
        if self._frame % REMEMBERED_EVERY == 0:
            latest = source_of(self._describe, description, picture=picture)
            self._memory = [*self._memory[1:], latest]

    def _flown(self, packed: Tensor, description: Tensor, source: Tensor) -> Flown:
        planes = packed[self._frame - 1][None].to(self._device).float()
        flow = planes[:, :2]
        likeness = likeness_along(flow, description, source)
        return Flown(flow, residual=planes[:, 2:3], error=planes[:, 3:], likeness=likeness)

    def _luma(self) -> Tensor:
        return self._run.material.luma_of(self._frame, self._device)


class Lanes:
    """Several runs by turns: a new one begins where one ends."""

    def __init__(self, runs: Runs, *, count: int, random: np.random.Generator) -> None:
        self._runs, self._random = runs, random
        self._lanes: list[Lane | None] = [None] * count

    def train_step(self, network: RetintNetwork) -> tuple[Tensor, Tensor]:
        """The mean loss and mean squared error of the next frame of every lane, gradients added to the weights."""
        losses, squares = [], []
        for place, lane in enumerate(self._lanes):
            if lane is None or lane.is_done:
                lane = self._begin(network.description)
                self._lanes[place] = lane
            loss, square = lane.learn(network)
            (loss / len(self._lanes)).backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
            squares.append(square)
        return torch.stack(losses).mean(), torch.stack(squares).mean()

    def _begin(self, describe: Description) -> Lane:
        recoloring = Recoloring.draw(self._random, describe.log_reach.device)
        return Lane(self._runs.next(), describe, recoloring=recoloring)


def decibels(square: float) -> float:
    return -10 * math.log10(max(square, 1e-10))
