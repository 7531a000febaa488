"""Test-time tuning: a pretrained colorizer learns a job's own references before it colors the job's video."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Self

import torch
from torch import Tensor, nn

from models.adam import Adam
from models.base import MEASURED_VARIATIONS, Colorizer, Example, Matrix, ModelDescription, Prediction, Reference
from models.held_out import split_picture
from models.memory import memory_checked
from models.objectives import Objective, ab_psnr_db, lightness_psnr_db, objective_error
from models.rehearsal import LEAST_NEARBY, frames_rehearsed, rehearse
from models.self_training import color_nearby, frames_to_learn_from

PATIENCE = 10
"""Steps without a better held-out part after which jobs stop tuning."""
SMALLEST_GAIN_DB = 0.005
"""Less than this is no better."""
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
class TuningStep:
    """One point of the loss curve; step 0 is the pretrained network as it came."""

    step: int
    loss: float
    """The objective over the trained part of the references, after this step."""
    held_out_psnr_db: float
    """PSNR of ab over the held-out part, after this step."""


@dataclass(frozen=True, slots=True)
class TuningReport:
    """What tuning did for one shot."""

    iterations: int
    """Steps taken; fewer than asked for when the held-out part stopped getting better."""
    gain_db: float
    """PSNR of ab on the held-out part of the references, tuned minus untuned; never negative."""
    seconds: float
    stopped_early: bool
    curve: tuple[TuningStep, ...]
    """Step 0 and every step taken; empty where there was nothing to do."""
    note: str | None = None
    """Why nothing was tuned, or what was learned is not used, where that is so."""


def ignore(_: TuningStep) -> None:
    """The observer that does nothing."""


def tune(
    colorizer: Colorizer,
    references: Sequence[Reference],
    *,
    matrix: Matrix,
    settings: TuningSettings,
    on_step: Callable[[TuningStep], None] = ignore,
    on_frame: Callable[[], None] = lambda: None,
) -> TuningReport:
    """Fine-tune `colorizer` in place on the (mono, reference) pairs of one shot; `clone` the pretrained one first.

    The objective is the sum of the luma and chroma errors in Lab on the reference frame (Zhao et al. 2023, equations 1
    to 3) or one of its ablations, by Adam. Several references take turns.

    A quarter of every pair trains nothing (see `held_out.split_picture`): the weights with the best PSNR of ab there
    are kept, the pretrained ones included, so the result is never worse there than the pretrained network. With the
    objective `l` the best PSNR of L decides, among the weights that color no worse. Tuning ends early when the best is
    `patience` steps old.

    Where a reference has frames nearby and the model rehearses, the best weights must also do clearly better in a
    rehearsal (`rehearsal.rehearse`), or the pretrained ones are kept. With `LEAST_COLORED_ITERATIONS` steps or more it
    also learns from the frames next to the reference, as the pretrained network colors them: a step takes as many
    samples as the model asks for, and the logarithms of their objectives are added up.

    `on_step` is called with step 0 and after every step, `on_frame` ahead of every frame that is colored; they may
    raise, which ends tuning with the weights in any state.

    Raises:
        OutOfMemory: a pair does not fit the device.
    """
    started = time.monotonic()
    parameters = colorizer.tunable_parameters()
    nothing = _nothing_to_do(parameters, references, settings=settings)
    if nothing is not None:
        return _untouched(nothing, started=started)
    trainable_before = [parameter.requires_grad for parameter in parameters]
    for parameter in parameters:
        parameter.requires_grad_(True)
        parameter.grad = None
    run = _Run(colorizer, references, parameters, matrix=matrix, settings=settings, on_frame=on_frame)
    try:
        return _tune(run, on_step=on_step, started=started)
    finally:
        for parameter, trainable in zip(parameters, trainable_before, strict=True):
            parameter.grad = None
            parameter.requires_grad_(trainable)


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


def _nothing_to_do(
    parameters: Sequence[nn.Parameter], references: Sequence[Reference], *, settings: TuningSettings
) -> str | None:
    if settings.iterations <= 0:
        return "Tuning is off."
    if not references:
        return "There is no reference to tune on."
    return None if parameters else "The model has no weights to tune."


def _untouched(note: str, *, started: float) -> TuningReport:
    return TuningReport(
        iterations=0, gain_db=0.0, seconds=time.monotonic() - started, stopped_early=False, curve=(), note=note
    )


@dataclass(frozen=True, slots=True)
class _Measurement:
    """Where the network stands, on the fixed sample of each measured reference."""

    loss: float
    ab_db: float
    rank_db: float
    """What the best is chosen by: PSNR of ab, or of L where the objective is L alone."""

    @property
    def is_finite(self) -> bool:
        return all(map(math.isfinite, (self.loss, self.ab_db, self.rank_db)))


@dataclass(frozen=True, slots=True)
class _Run:
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
    def measure(self, examples: Sequence[Example]) -> _Measurement:
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
        return _Measurement(loss=sum(losses) / len(losses), ab_db=ab_db, rank_db=rank_db)

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


def _tune(run: _Run, *, on_step: Callable[[TuningStep], None], started: float) -> TuningReport:
    settings = run.settings
    with memory_checked("Tuning"):
        run = run.with_colors()
        examples = run.measured_examples()
        untuned = best = run.measure(examples)
        if not untuned.is_finite:
            return _untouched("What the model predicts for its reference is not finite.", started=started)
        untuned_weights = best_weights = run.weights()
    best_step, curve = 0, [_point(0, untuned)]
    on_step(curve[0])
    with memory_checked("Tuning"):
        if settings.weight_noise > 0:
            run.add_noise()
        optimizer = Adam(run.parameters, learning_rate=settings.learning_rate)
    stopped_early = False
    for step in range(1, settings.iterations + 1):
        with memory_checked("Tuning"):
            optimizer.forget_gradients()
            obstacle = _back_propagate(run.losses(step), run.parameters)
            if obstacle is not None:
                if step == 1:
                    run.put_back(best_weights)
                    return _untouched(f"The objective {settings.objective!r} {obstacle}.", started=started)
                stopped_early = True
                break
            optimizer.step()
            now = run.measure(examples)
        if not now.is_finite:
            stopped_early = True
            break
        curve.append(_point(step, now))
        on_step(curve[-1])
        if now.rank_db > best.rank_db + SMALLEST_GAIN_DB and now.ab_db >= untuned.ab_db:
            best, best_step, best_weights = now, step, run.weights()
        elif step - best_step >= settings.patience and step < settings.iterations:
            stopped_early = True
            break
    run.put_back(best_weights)
    note = None
    if best_step > 0:
        with memory_checked("Tuning"):
            holds = run.holds_in_a_rehearsal(best_weights, untuned=untuned_weights)
        if not holds:
            run.put_back(untuned_weights)
            best = untuned
            note = "What tuning learned of the reference did not help enough in a run through the video and back."
    return TuningReport(
        iterations=len(curve) - 1,
        gain_db=best.ab_db - untuned.ab_db,
        seconds=time.monotonic() - started,
        stopped_early=stopped_early,
        curve=tuple(curve),
        note=note,
    )


def _point(step: int, measured: _Measurement) -> TuningStep:
    return TuningStep(step=step, loss=measured.loss, held_out_psnr_db=measured.ab_db)


def _back_propagate(losses: Iterable[Tensor], parameters: Sequence[nn.Parameter]) -> str | None:
    """Fill in the gradients, or say why there is no step to take."""
    for loss in losses:
        if not bool(torch.isfinite(loss)):
            return "is not finite on this reference, so the model was left as it is"
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not any(bool(gradient.any()) for gradient in gradients):
        return "has no gradient in this model's weights, so there was nothing to tune"
    if not all(bool(torch.isfinite(gradient).all()) for gradient in gradients):
        return "has a gradient that is not finite on this reference, so the model was left as it is"
    return None
