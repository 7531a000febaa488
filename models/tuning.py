"""Test-time tuning: a pretrained colorizer learns a job's own references before it colors the job's video."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.adam import Adam
from models.base import Colorizer, Matrix, Reference
from models.memory import memory_checked
from models.tuning_run import Measurement, TuningRun, TuningSettings

SMALLEST_GAIN_DB = 0.005
"""Less than this is no better."""


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
    rehearsal (`rehearsal.rehearse`), or the pretrained ones are kept. With `self_training.LEAST_ITERATIONS` steps or
    more it also learns from the frames next to the reference, as the pretrained network colors them: a step takes as
    many samples as the model asks for, and the logarithms of their objectives are added up.

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
    run = TuningRun(colorizer, references, parameters, matrix=matrix, settings=settings, on_frame=on_frame)
    try:
        return _tune(run, on_step=on_step, started=started)
    finally:
        for parameter, trainable in zip(parameters, trainable_before, strict=True):
            parameter.grad = None
            parameter.requires_grad_(trainable)


def _nothing_to_do(
    parameters: Sequence[nn.Parameter], references: Sequence[Reference], *, settings: TuningSettings
) -> str | None:
    if settings.iterations <= 0:
        return "tuning is off."
    if not references:
        return "there is no reference to tune on."
    return None if parameters else "the model has no weights to tune."


def _untouched(note: str, *, started: float) -> TuningReport:
    return TuningReport(
        iterations=0, gain_db=0.0, seconds=time.monotonic() - started, stopped_early=False, curve=(), note=note
    )


def _tune(run: TuningRun, *, on_step: Callable[[TuningStep], None], started: float) -> TuningReport:
    settings = run.settings
    with memory_checked("Tuning"):
        run = run.with_colors()
        examples = run.measured_examples()
        untuned = best = run.measure(examples)
        if not untuned.is_finite:
            return _untouched("what the model predicts for its reference is not finite.", started=started)
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
                    return _untouched(f"the objective {settings.objective!r} {obstacle}.", started=started)
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
            note = "what it learned did not help enough in a trial run on the film, so little or nothing is lost."
    return TuningReport(
        iterations=len(curve) - 1,
        gain_db=best.ab_db - untuned.ab_db,
        seconds=time.monotonic() - started,
        stopped_early=stopped_early,
        curve=tuple(curve),
        note=note,
    )


def _point(step: int, measured: Measurement) -> TuningStep:
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
