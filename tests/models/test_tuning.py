"""Test-time tuning: what trains, what judges, what is kept."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Self

import pytest
import torch
from torch import Tensor, nn

from models.base import Example, Matrix, ModelDescription, Prediction, Reference
from models.color import rgb_to_lab, rgb_to_ycbcr
from models.deepremaster.colorizer import DESCRIPTION, DeepRemasterColorizer
from models.errors import OutOfMemory
from models.held_out import split_picture
from models.objectives import Objective, ab_psnr_db, objective_error
from models.tuning import TuningStep, tune
from models.tuning_run import PATIENCE, TuningSettings, frames_to_color

CPU = torch.device("cpu")


def picture(seed: int, *, height: int = 32, width: int = 48) -> Reference:
    """Smooth random colors."""
    generator = torch.Generator().manual_seed(seed)
    rgb = nn.functional.interpolate(torch.rand(1, 3, 4, 4, generator=generator), size=(height, width), mode="bicubic")
    rgb = rgb[0].clamp(0, 1)
    return Reference(rgb=rgb, luma=rgb_to_ycbcr(rgb, matrix="bt601")[0], is_frame=True)


class Tint:
    """Gives every pixel one ab, which it learns; the truth scatters around 30. Its L is the truth, never predicted."""

    def __init__(self) -> None:
        self.ab = nn.Parameter(torch.zeros(2))
        self.asked: list[tuple[Tensor, int]] = []
        self.worse_where_held_out = False

    @property
    def description(self) -> ModelDescription:
        return DESCRIPTION

    def clone(self) -> Self:
        raise AssertionError("tuning works in place")

    def colorize(
        self, lumas: Iterable[Tensor], references: Sequence[Reference], *, matrix: Matrix, restore: bool = False
    ) -> Iterator[Prediction]:
        raise AssertionError("tuning asks for examples alone")

    def weights(self) -> Iterator[torch.Tensor]:
        return iter(self.tunable_parameters())

    def tunable_parameters(self) -> list[nn.Parameter]:
        return [self.ab]

    def example(self, reference: Reference, *, matrix: Matrix, variation: int) -> Example:
        self.asked.append((reference.rgb, variation))
        return partial(self._predict, reference)

    def _predict(self, reference: Reference) -> tuple[Tensor, Tensor]:
        truth = rgb_to_lab(reference.rgb)
        truth = torch.cat([truth[:1], 0.2 * truth[1:] + 30.0])
        ab = self.ab[:, None, None].expand(2, *truth.shape[1:])
        if self.worse_where_held_out:
            held_out = split_picture(*truth.shape[1:], device=CPU).held_out
            truth = torch.cat([truth[:1], torch.full_like(ab, 40.0)])
            ab = torch.where(held_out, 40.0 - ab, ab)
        return torch.cat([truth[:1], ab]), truth


def settings(
    iterations: int = 4, *, learning_rate: float = 1e-3, objective: Objective = "lab", noise: float = 0.0, seed: int = 0
) -> TuningSettings:
    return TuningSettings(
        iterations=iterations, learning_rate=learning_rate, objective=objective, weight_noise=noise, seed=seed
    )


# The held-out part


@pytest.mark.parametrize(("height", "width"), [(21, 21), (32, 48), (240, 427), (320, 576), (540, 960)])
def test_a_quarter_is_held_out_and_a_margin_around_it_belongs_to_neither(height: int, width: int) -> None:
    split = split_picture(height, width, device=CPU)
    assert 0.18 < split.held_out.float().mean() < 0.30
    assert split.trained.float().mean() > 0.25
    reach = nn.functional.max_pool2d(split.held_out[None, None].float(), 3, stride=1, padding=1)[0, 0] > 0
    assert not (reach & split.trained).any()
    assert not (split.held_out & split.trained).any()


@pytest.mark.parametrize(("height", "width"), [(21, 35), (320, 576)])
def test_a_mirrored_picture_shows_nothing_held_out(height: int, width: int) -> None:
    split = split_picture(height, width, device=CPU)
    for axis in (0, 1):
        assert not (split.held_out.flip(axis) & split.trained).any()


def test_a_picture_too_small_to_split_is_refused() -> None:
    with pytest.raises(ValueError, match="too small"):
        split_picture(20, 400, device=CPU)


def test_errors_in_the_held_out_part_do_not_train() -> None:
    truth = torch.rand(3, 32, 48)
    split = split_picture(32, 48, device=CPU)
    predicted = torch.rand(3, 32, 48).requires_grad_()
    objective_error(predicted, truth, objective="lab", mask=split.trained).backward()
    assert predicted.grad is not None
    assert not predicted.grad[:, split.held_out].any()
    assert predicted.grad[:, split.trained].all()


# The objectives


def test_the_papers_objective_is_the_sum_of_its_ablations() -> None:
    generator = torch.Generator().manual_seed(0)
    predicted, truth = torch.rand(2, 3, 24, 24, generator=generator) * 50
    mask = torch.rand(24, 24, generator=generator) < 0.5
    lab, l_alone, ab = (
        objective_error(predicted, truth, objective=name, mask=mask).item() for name in ("lab", "l", "ab")
    )
    assert math.isclose(lab, l_alone + ab, rel_tol=1e-5)
    assert math.isclose(l_alone, ((predicted - truth)[0][mask] ** 2).mean().item(), rel_tol=1e-5)
    assert math.isclose(ab, ((predicted - truth)[1:, mask] ** 2).sum(0).mean().item(), rel_tol=1e-5)


def test_the_rgb_objective_compares_colors_as_rgb() -> None:
    rgb, other = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    mask = torch.ones(8, 8, dtype=torch.bool)
    error = objective_error(rgb_to_lab(rgb), rgb_to_lab(other), objective="rgb", mask=mask)
    assert math.isclose(error.item(), ((rgb - other) ** 2).sum(0).mean().item(), rel_tol=1e-3)


def test_psnr_of_ab_knows_its_peak_and_its_ceiling() -> None:
    truth, mask = torch.zeros(3, 8, 8), torch.ones(8, 8, dtype=torch.bool)
    assert math.isclose(ab_psnr_db(truth + 25.5, truth, mask=mask), 20.0, abs_tol=1e-6)
    assert ab_psnr_db(truth, truth, mask=mask) == 100.0
    assert ab_psnr_db(truth * math.nan, truth, mask=mask) == -math.inf


# What tuning does


def test_tuning_learns_and_reports_what_it_gained() -> None:
    model = Tint()
    seen: list[TuningStep] = []
    report = tune(model, [picture(1)], matrix="bt601", settings=settings(10, learning_rate=1.0), on_step=seen.append)
    assert report.iterations == 10
    assert report.gain_db > 3.0
    assert tuple(seen) == report.curve
    assert [point.step for point in report.curve] == list(range(11))
    assert report.curve[-1].loss < report.curve[0].loss
    best = max(point.held_out_psnr_db for point in report.curve)
    assert math.isclose(report.gain_db, best - report.curve[0].held_out_psnr_db, abs_tol=0.01)
    assert report.seconds >= 0
    assert not report.stopped_early
    assert report.note is None
    assert model.ab.grad is None


def test_the_best_weights_are_kept_not_the_last() -> None:
    model = Tint()
    report = tune(model, [picture(1)], matrix="bt601", settings=settings(40, learning_rate=8.0))
    psnr = [point.held_out_psnr_db for point in report.curve]
    assert psnr[-1] < max(psnr) - 0.1
    predicted, truth = model.example(picture(1), matrix="bt601", variation=0)()
    held_out = split_picture(32, 48, device=CPU).held_out
    assert ab_psnr_db(predicted.detach(), truth, mask=held_out) == max(psnr)


def test_tuning_that_only_harms_the_held_out_part_stops_and_changes_nothing() -> None:
    model = Tint()
    model.worse_where_held_out = True
    report = tune(model, [picture(1)], matrix="bt601", settings=settings(50, learning_rate=1.0))
    assert report.iterations == PATIENCE
    assert report.stopped_early
    assert report.gain_db == 0.0
    assert report.curve[-1].loss < report.curve[0].loss
    assert not model.ab.any()


def test_several_references_take_turns_in_samples_that_never_repeat() -> None:
    model = Tint()
    pictures = [picture(seed) for seed in range(3)]
    tune(model, pictures, matrix="bt601", settings=settings(12, learning_rate=0.1))
    trained_on = [(rgb, variation) for rgb, variation in model.asked if variation > 1]
    for place, one in enumerate(pictures):
        variations = [variation for rgb, variation in trained_on if rgb is one.rgb]
        assert len(set(variations)) == 4
        assert [variation % 2 for variation in variations] == [0, 1, 0, 1]
        assert trained_on[place][0] is one.rgb


def test_the_same_seed_gives_the_same_tuning_and_another_another(deepremaster: DeepRemasterColorizer) -> None:
    def tuned(seed: int) -> list[float]:
        report = tune(deepremaster.clone(), [picture(1)], matrix="bt601", settings=settings(2, noise=0.5, seed=seed))
        return [point.loss for point in report.curve]

    assert tuned(1) == tuned(1)
    assert tuned(1) != tuned(2)


@pytest.mark.parametrize(
    ("given", "pictures", "note"),
    [(settings(0), 1, "off"), (settings(3), 0, "no reference"), (settings(3, objective="l"), 1, "no gradient")],
    ids=["no iterations", "no references", "an objective out of reach"],
)
def test_where_there_is_nothing_to_tune_the_report_says_so(given: TuningSettings, pictures: int, note: str) -> None:
    model = Tint()
    report = tune(model, [picture(1)] * pictures, matrix="bt601", settings=given)
    assert (report.iterations, report.gain_db, report.stopped_early) == (0, 0.0, False)
    assert report.note is not None
    assert note in report.note
    assert not model.ab.any()


def test_steps_that_lose_all_measure_are_taken_back_and_not_reported() -> None:
    model = Tint()
    report = tune(model, [picture(1)], matrix="bt601", settings=settings(9, learning_rate=1e37))
    assert report.stopped_early
    assert all(math.isfinite(point.loss + point.held_out_psnr_db) for point in report.curve)
    assert torch.isfinite(model.ab).all()
    model.ab.data.fill_(math.nan)
    report = tune(model, [picture(1)], matrix="bt601", settings=settings())
    assert report.iterations == 0
    assert report.note == "what the model predicts for its reference is not finite."


def test_an_observer_may_end_it() -> None:
    def cancel(step: TuningStep) -> None:
        if step.step == 2:
            raise KeyboardInterrupt

    model = Tint()
    with pytest.raises(KeyboardInterrupt):
        tune(model, [picture(1)], matrix="bt601", settings=settings(10), on_step=cancel)
    assert len([variation for _, variation in model.asked if variation > 1]) == 2


def test_want_of_memory_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Tint()

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(model, "example", full)
    with pytest.raises(OutOfMemory, match="Tuning does not fit the device's memory"):
        tune(model, [picture(1)], matrix="bt601", settings=settings())


# DeepRemaster


def gradients(model: DeepRemasterColorizer, objective: Objective) -> tuple[bool, bool]:
    """Whether the objective reaches R and C."""
    predicted, truth = model.example(picture(1), matrix="bt601", variation=0)()
    trained = split_picture(*predicted.shape[1:], device=CPU).trained
    objective_error(predicted, truth, objective=objective, mask=trained).backward()

    def reached(network: nn.Module) -> bool:
        return any(p.grad is not None and bool(p.grad.any()) for p in network.parameters())

    return reached(model._restoration), reached(model._colorization)


@pytest.mark.parametrize(
    ("objective", "reached"),
    [("lab", (True, True)), ("rgb", (True, True)), ("ab", (True, True)), ("l", (True, False))],
)
def test_both_networks_receive_gradients_where_the_objective_reaches_them(
    deepremaster: DeepRemasterColorizer, objective: Objective, reached: tuple[bool, bool]
) -> None:
    assert gradients(deepremaster, objective) == reached


@pytest.mark.parametrize("objective", ["lab", "rgb", "ab", "l"])
def test_tuning_a_clone_leaves_the_pretrained_weights_as_they_were(
    deepremaster: DeepRemasterColorizer, objective: Objective
) -> None:
    before = [state.clone() for state in all_state(deepremaster)]
    clone = deepremaster.clone()
    report = tune(clone, [picture(1), picture(2)], matrix="bt601", settings=settings(3, objective=objective, noise=0.1))
    assert report.iterations == 3
    assert report.gain_db >= 0
    assert all(torch.equal(now, then) for now, then in zip(all_state(deepremaster), before, strict=True))


def test_tuning_changes_both_networks_and_no_stored_statistic(deepremaster: DeepRemasterColorizer) -> None:
    clone = deepremaster.clone()
    report = tune(clone, [picture(3)], matrix="bt601", settings=settings(6, learning_rate=3e-3))
    assert report.gain_db > 0
    assert min(point.loss for point in report.curve) < report.curve[0].loss
    for network, original in (
        (clone._restoration, deepremaster._restoration),
        (clone._colorization, deepremaster._colorization),
    ):
        state, untouched = network.state_dict(), original.state_dict()
        changed = {name for name in state if not torch.equal(state[name], untouched[name])}
        assert changed
        assert not any("running" in name or "tracked" in name for name in changed)


def test_noise_is_relative_to_each_tensors_spread_and_even(deepremaster: DeepRemasterColorizer) -> None:
    noisy, start = deepremaster.clone(), deepremaster.tunable_parameters()
    moved: list[Tensor] = []

    def look(step: TuningStep) -> None:
        if step.step == 1:
            moved.extend(p.detach().clone() for p in noisy.tunable_parameters())

    # A learning rate too small to matter: what differs after the first step is the noise.
    given = settings(1, learning_rate=1e-12, noise=0.2, seed=3)
    tune(noisy, [picture(1)], matrix="bt601", settings=given, on_step=look)
    for after, before in zip(moved, start, strict=True):
        if before.numel() < 2:
            assert torch.equal(after, before)
            continue
        shift, spread = (after - before).detach(), before.detach().std()
        assert shift.abs().max() <= 0.1 * spread * 1.01 + 1e-6
        if before.numel() > 1000:
            assert math.isclose(shift.std().item(), 0.2 * spread.item() / math.sqrt(12), rel_tol=0.15)


def all_state(model: DeepRemasterColorizer) -> list[Tensor]:
    return [*model._restoration.state_dict().values(), *model._colorization.state_dict().values()]


# The rehearsal


class Film(Tint):
    """Carries what it is given from frame to frame, and adds an error that grows with what it learned."""

    def __init__(self, *, error: float) -> None:
        super().__init__()
        self._error = error
        self.learned: list[Reference] = []
        self.runs = 0

    @property
    def description(self) -> ModelDescription:
        return replace(DESCRIPTION, rehearses=True)

    def example(self, reference: Reference, *, matrix: Matrix, variation: int) -> Example:
        self.learned.append(reference)
        return super().example(reference, matrix=matrix, variation=variation)

    def colorize(
        self, lumas: Iterable[Tensor], references: Sequence[Reference], *, matrix: Matrix, restore: bool = False
    ) -> Iterator[Prediction]:
        self.runs += 1
        chroma = nn.functional.avg_pool2d(rgb_to_ycbcr(references[0].rgb, matrix=matrix)[None, 1:], 2)[0]
        for _ in lumas:
            # As it comes it is off by 0.02; learning adds to that, or takes from it.
            wrong = 0.02 + self._error * float(self.ab.abs().sum())
            yield Prediction(chroma=chroma + wrong, confidence=torch.ones(chroma.shape[1:]))


@pytest.mark.parametrize(("error", "kept"), [(-0.005, True), (-0.0001, False), (0.005, False)])
def test_tuned_weights_are_used_where_a_run_through_the_film_is_clearly_better(error: float, kept: bool) -> None:
    model = Film(error=error)
    reference = picture(0)
    reference = replace(reference, nearby=(reference.luma,) * 3)
    report = tune(model, [reference], matrix="bt601", settings=settings(learning_rate=0.1))
    assert model.runs == 4  # there and back, untuned and tuned
    assert (report.gain_db > 0) == kept
    assert (report.note is None) == kept
    assert bool(model.ab.abs().sum() > 0) == kept


@pytest.mark.parametrize("nearby", [0, 2])
def test_without_frames_nearby_that_lie_apart_nothing_is_rehearsed(nearby: int) -> None:
    model = Film(error=1.0)
    reference = replace(picture(0), nearby=(picture(0).luma,) * nearby)
    report = tune(model, [reference], matrix="bt601", settings=settings(learning_rate=0.1))
    assert model.runs == 0
    assert report.gain_db > 0


def test_weights_whose_rehearsal_is_not_finite_are_not_used() -> None:
    model = Film(error=math.nan)
    reference = replace(picture(0), nearby=(picture(0).luma,) * 3)
    report = tune(model, [reference], matrix="bt601", settings=settings(learning_rate=0.1))
    assert model.runs == 4
    assert report.note is not None
    assert not model.ab.any()


@pytest.mark.parametrize(("iterations", "frames"), [(9, [0, 0, 0, 0]), (14, [3, 3, 2, 2]), (200, [12, 12, 12, 12])])
def test_frames_near_the_first_references_are_colored_before_anything_is_learned(
    iterations: int, frames: list[int]
) -> None:
    model = Film(error=0.005)
    references = [replace(picture(seed), nearby=(picture(seed).luma,) * 20) for seed in range(6)]
    tune(model, references, matrix="bt601", settings=settings(iterations=iterations, learning_rate=0.1))
    colored = {id(one.rgb): one.colored for one in model.learned}
    given = [colored[id(one.rgb)] for one in references if id(one.rgb) in colored]
    assert [len(one) for one in given] == [*frames, 0, 0][: len(given)]
    for reference, predictions in zip(references, given, strict=False):
        truth = nn.functional.avg_pool2d(rgb_to_ycbcr(reference.rgb, matrix="bt601")[None, 1:], 2)[0]
        assert all(torch.allclose(one.chroma, truth + 0.02) for one in predictions)


@pytest.mark.parametrize(
    ("iterations", "nearby"),
    [(0, [5]), (5, [5]), (10, [0]), (10, [2, 3]), (10, [5]), (14, [1, 40, 20, 20, 20]), (30, [40])],
)
def test_how_many_frames_tuning_colors_is_known_beforehand(iterations: int, nearby: list[int]) -> None:
    references = [replace(picture(seed), nearby=(picture(seed).luma,) * count) for seed, count in enumerate(nearby)]
    colored: list[None] = []
    model = Film(error=-0.005)
    tuned = settings(iterations=iterations, learning_rate=0.1)
    tune(model, references, matrix="bt601", settings=tuned, on_frame=lambda: colored.append(None))
    assert len(colored) == frames_to_color(model.description, iterations=iterations, nearby=nearby)


def test_tuning_can_be_stopped_at_any_frame_that_is_colored() -> None:
    """In the run to learn from and in the rehearsal."""
    reference = replace(picture(0), nearby=(picture(0).luma,) * 3)

    def tuned(*, on_frame: Callable[[], None]) -> None:
        ten = settings(iterations=10, learning_rate=0.1)
        tune(Film(error=-0.005), [reference], matrix="bt601", settings=ten, on_frame=on_frame)

    called: list[None] = []
    tuned(on_frame=lambda: called.append(None))
    assert (
        len(called) == 4 + 4 * 3
    )  # the reference and its frames; those at one and three frames, there and back, twice
    for last in (2, 9):
        left = iter(range(last))

        def stop(left: Iterator[int] = left) -> None:
            next(left)

        with pytest.raises((StopIteration, RuntimeError)):
            tuned(on_frame=stop)


@pytest.mark.parametrize(
    ("iterations", "expected"),
    [(4, [2, 3]), (10, list(range(2, 17)))],
    ids=["a few steps, one sample each", "three samples a step, of colored frames too"],
)
def test_a_step_learns_from_as_many_samples_as_the_model_asks_for(iterations: int, expected: list[int]) -> None:
    model = Many(error=-0.005)
    references = [replace(picture(seed), nearby=(picture(seed).luma,) * 3) for seed in (0, 1)]
    tune(model, references, matrix="bt601", settings=settings(iterations=iterations))
    for reference in references:
        assert [number for rgb, number in model.asked if rgb is reference.rgb and number > 1] == expected


class Many(Film):
    @property
    def description(self) -> ModelDescription:
        return replace(super().description, samples=3)
