"""One tuning under way: what it learns from, what measures it, and the weights before and after."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Self

import torch
from torch import Tensor, nn

from models.base import MEASURED_VARIATIONS, Colorizer, Example, Matrix, ModelDescription, Prediction, Reference
from models.held_out import split_picture
from models.objectives import Objective, ab_psnr_db, lightness_psnr_db, objective_error
from models.rehearsal import LEAST_NEARBY, frames_rehearsed, rehearse
from models.self_training import color_nearby, frames_to_learn_from

PATIENCE = 10
"""Steps without a better held-out part after which jobs stop tuning."""
SMALLEST_REHEARSED_GAIN_DB = 0.1
"""Tuned weights that gain less in a rehearsal are not used: what one reference tells may not hold for a film. Of 13
clips held out, three gained 0.02 to 0.1 there, and 0.01, 0.14 and -0.26 dB on the film."""
MEASURED_REFERENCES = 4
"""References whose held-out parts are measured after every step, the first ones; all are trained on."""
SMALLEST_ERROR = 1e-6
"""Of a sample, so that its logarithm is finite."""


@dataclass(frozen=True, slots=True)
class TuningSettings:
    """How to tune."""

    iterations: int
    """Optimizer steps at most; 0 is off. METHOD: the paper takes 20; 5 give most of the gain."""
    learning_rate: float
    """Adam's. METHOD: 1e-4 for DeepRemaster."""
    objective: Objective = "lab"
    weight_noise: float = 0.0
    """Width of the uniform noise on every weight tensor before the first step, relative to the tensor's spread
    (NoisyTune, Wu et al. 2022; METHOD names it as future work of the paper)."""
    seed: int = 0
    """The same seed gives the same tuning on the same device."""
    patience: int = PATIENCE
    """Steps without a better held-out part after which tuning ends."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """Where the network stands, on the fixed sample of each measured reference."""

    loss: float
    ab_db: float
    rank_db: float
    """What the best is chosen by: PSNR of ab, or of L where the objective is L alone."""

    @property
    def is_finite(self) -> bool:
        return all(map(math.isfinite, (self.loss, self.ab_db, self.rank_db)))


@dataclass(frozen=True, slots=True)
class TuningRun:
    """One tuning under way."""

    colorizer: Colorizer
    references: Sequence[Reference]
    parameters: list[nn.Parameter]
    matrix: Matrix = field(kw_only=True)
    settings: TuningSettings = field(kw_only=True)
    on_frame: Callable[[], None] = field(kw_only=True)
    colored: Sequence[Sequence[Prediction]] = field(default=(), kw_only=True)
    """The frames next to the first references."""

    def losses(self, step: int) -> Iterator[Tensor]:
        """The objective on the trained part of each of this step's samples; the references take turns."""
        turn, place = divmod(step - 1, len(self.references))
        lesson = self.lesson(place)
        samples = self.colorizer.description.samples if any(self.colored) else 1
        for sample in range(samples):
            # Never a measured one; another seed gives other samples, and every reference gets all kinds by turns, of
            # which there are two or four.
            variation = len(MEASURED_VARIATIONS) + turn * samples + sample + 1_000_004 * self.settings.seed
            predicted, truth = self.colorizer.example(lesson, matrix=self.matrix, variation=variation)()
            height, width = predicted.shape[-2:]
            trained = split_picture(height, width, device=predicted.device).trained
            error = objective_error(predicted, truth, objective=self.settings.objective, mask=trained)
            # Where samples of several kinds make a step, the one that is hardest is not to outweigh the others.
            yield error if samples == 1 else (error + SMALLEST_ERROR).log()

    def with_colors(self) -> Self:
        """With the frames next to the first references as the network colors them that has learned nothing yet."""
        if not self.colorizer.description.rehearses:
            return self
        nearby = [len(reference.nearby) for reference in self.references]
        color = partial(color_nearby, self.colorizer, matrix=self.matrix, on_frame=self.on_frame)
        counts = frames_to_learn_from(nearby, iterations=self.settings.iterations)
        return replace(
            self, colored=[color(self.references[place], frames=count) for place, count in enumerate(counts)]
        )

    def lesson(self, place: int) -> Reference:
        reference = self.references[place]
        return reference if place >= len(self.colored) else replace(reference, colored=self.colored[place])

    def measured_examples(self) -> list[Example]:
        return [
            self.colorizer.example(reference, matrix=self.matrix, variation=variation)
            for reference in self.references[:MEASURED_REFERENCES]
            for variation in MEASURED_VARIATIONS
        ]

    @torch.no_grad()
    def measure(self, examples: Sequence[Example]) -> Measurement:
        losses, ab, lightness = [], [], []
        for example in examples:
            predicted, truth = example()
            height, width = predicted.shape[-2:]
            split = split_picture(height, width, device=predicted.device)
            losses.append(
                objective_error(predicted, truth, objective=self.settings.objective, mask=split.trained).item()
            )
            ab.append(ab_psnr_db(predicted, truth, mask=split.held_out))
            lightness.append(lightness_psnr_db(predicted, truth, mask=split.held_out))
        ab_db = sum(ab) / len(ab)
        rank_db = sum(lightness) / len(lightness) if self.settings.objective == "l" else ab_db
        return Measurement(loss=sum(losses) / len(losses), ab_db=ab_db, rank_db=rank_db)

    @torch.no_grad()
    def add_noise(self) -> None:
        """Uniform noise on every weight tensor, as wide as `weight_noise` times the tensor's standard deviation."""
        # Drawn on the CPU, so that every device gets the same noise.
        generator = torch.Generator().manual_seed(self.settings.seed)
        for parameter in self.parameters:
            if parameter.numel() < 2:
                continue  # A single number has no spread.
            noise = torch.rand(parameter.shape, generator=generator) - 0.5
            parameter.add_(noise.to(parameter) * (self.settings.weight_noise * parameter.std()))

    def holds_in_a_rehearsal(self, tuned: Sequence[Tensor], *, untuned: Sequence[Tensor]) -> bool:
        """Whether the tuned weights do clearly better there, or nothing can be rehearsed; they are in place after."""
        if not self.colorizer.description.rehearses:
            return True
        place = _rehearsed([len(reference.nearby) for reference in self.references])
        if place is None:
            return True
        rehearsed = self.references[place]
        self.put_back(untuned)
        rehearsal = partial(rehearse, self.colorizer, rehearsed, matrix=self.matrix, on_frame=self.on_frame)
        before = rehearsal()
        self.put_back(tuned)
        after = rehearsal()
        return math.isfinite(after) and after >= before + SMALLEST_REHEARSED_GAIN_DB

    @torch.no_grad()
    def weights(self) -> list[Tensor]:
        return [parameter.detach().clone() for parameter in self.parameters]

    @torch.no_grad()
    def put_back(self, weights: Sequence[Tensor]) -> None:
        for parameter, weight in zip(self.parameters, weights, strict=True):
            parameter.copy_(weight)


def frames_to_color(description: ModelDescription, *, iterations: int, nearby: Sequence[int]) -> int:
    """How many frames `tune` colors at most in so many steps on references with so many frames `nearby` each."""
    if not description.rehearses or iterations <= 0:
        return 0
    learned_from = sum(1 + count for count in frames_to_learn_from(nearby, iterations=iterations) if count)
    place = _rehearsed(nearby)
    return learned_from + (0 if place is None else 2 * frames_rehearsed(nearby[place]))


def _rehearsed(nearby: Sequence[int]) -> int | None:
    """Which of the references, with so many frames nearby each, a rehearsal is made with."""
    return next((place for place, count in enumerate(nearby) if count >= LEAST_NEARBY), None)
