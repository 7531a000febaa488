"""The default colorizer, on a colored texture that moves."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.base import Prediction, Reference
from models.color import chroma_to_lab, rgb_to_ycbcr
from models.errors import OutOfMemory
from models.features import FeatureTrunk
from models.held_out import split_picture
from models.motion import Luma8, Motion, measure_motion
from models.moved_reference import move_reference
from models.retint.colorizer import RetintColorizer
from models.retint.frames import eight_bit, feature_size
from models.retint.network import RetintNetwork
from models.self_training import LOOKED_AT
from models.tuning import tune
from models.tuning_run import TuningSettings

HEIGHT, WIDTH, STEP = 64, 96, 2


@pytest.fixture(scope="module")
def colorizer() -> RetintColorizer:
    return RetintColorizer.load(torch.device("cpu"))


def scene(*, seed: int = 0) -> Tensor:
    """[3, 64, 160]: a smooth texture whose colors go with its shades."""
    generator = torch.Generator().manual_seed(seed)
    knots = torch.rand(1, 3, 10, 24, generator=generator)
    return F.interpolate(knots, size=(HEIGHT, 160), mode="bicubic", align_corners=False)[0].clamp(0, 1)


def frames(count: int, *, seed: int = 0, height: int = HEIGHT, width: int = WIDTH) -> list[Tensor]:
    """The scene seen through a window that moves by two pixels a frame."""
    return [scene(seed=seed)[:, :height, STEP * i : STEP * i + width] for i in range(count)]


def luma(rgb: Tensor) -> Tensor:
    return rgb_to_ycbcr(rgb, matrix="bt601")[0]


def chroma(rgb: Tensor) -> Tensor:
    return F.avg_pool2d(rgb_to_ycbcr(rgb, matrix="bt601")[None, 1:], 2)[0]


def reference(rgb: Tensor, *, is_frame: bool = True) -> Reference:
    return Reference(rgb=rgb, luma=luma(rgb), is_frame=is_frame)


def run(colorizer: RetintColorizer, film: Sequence[Tensor], references: Sequence[Reference]) -> list[Prediction]:
    return list(colorizer.colorize((luma(f) for f in film), references, matrix="bt601"))


def error(predictions: Sequence[Prediction], film: Sequence[Tensor]) -> float:
    errors = [(p.chroma - chroma(f)).abs().mean() for p, f in zip(predictions, film, strict=True)]
    return float(torch.stack(errors).mean())


def gray_error(film: Sequence[Tensor]) -> float:
    return float(torch.stack([chroma(f).abs().mean() for f in film]).mean())


def test_a_frame_that_memory_does_not_hold_is_told_as_such(
    colorizer: RetintColorizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    film = frames(2)
    colored = colorizer.clone()
    monkeypatch.setattr(colored._network.fusion, "forward", full)
    with pytest.raises(OutOfMemory, match="Coloring a frame does not fit the device's memory"):
        run(colored, film, [reference(film[0])])


def test_a_moving_texture_gets_its_colors_back(colorizer: RetintColorizer) -> None:
    film = frames(8)
    predictions = run(colorizer, film, [reference(film[0])])
    assert len(predictions) == len(film)
    assert error(predictions, film) < 0.2 * gray_error(film)
    for prediction in predictions:
        assert prediction.chroma.shape == (2, HEIGHT // 2, WIDTH // 2)
        assert prediction.confidence.shape == (HEIGHT // 2, WIDTH // 2)
        assert 0.0 <= float(prediction.confidence.min()) <= float(prediction.confidence.max()) <= 1.0
        assert prediction.luma is None


def test_only_flow_straight_from_the_reference_is_estimated_on_all_of_luma(
    colorizer: RetintColorizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Luma8, Luma8] | None] = []

    def measure(target: Luma8, source: Luma8, **rest: Any) -> Motion:
        asked.append(rest.get("fine"))
        return measure_motion(target, source, **rest)

    monkeypatch.setattr("models.retint.colorizer.measure_motion", measure)
    film = frames(3)
    run(colorizer, film, [reference(film[0])])
    fine = [planes for planes in asked if planes is not None]
    assert (len(asked), len(fine)) == (6, 2)
    for frame, (target, source) in zip(film[1:], fine, strict=True):
        assert np.array_equal(target, eight_bit(luma(frame)))
        assert np.array_equal(source, eight_bit(luma(film[0])))


def test_the_references_own_frame_is_the_reference(colorizer: RetintColorizer) -> None:
    film = frames(1)
    (only,) = run(colorizer, film, [reference(film[0])])
    assert torch.allclose(only.chroma, chroma(film[0]), atol=1e-6)
    assert float(only.confidence.min()) == 1.0


def test_time_may_run_backward(colorizer: RetintColorizer) -> None:
    film = frames(8)[::-1]
    assert error(run(colorizer, film, [reference(film[0])]), film) < 0.2 * gray_error(film)


def test_colors_are_carried_on_from_frame_to_frame(colorizer: RetintColorizer) -> None:
    """After 30 frames, two thirds of the first frame have left the picture's place, yet what stayed keeps its color."""
    film = frames(30)
    last = run(colorizer, film, [reference(film[0])])[-1]
    stayed = slice(0, (WIDTH - 29 * STEP) // 2)
    right = chroma(film[-1])[..., stayed]
    assert (last.chroma[..., stayed] - right).abs().mean() < 0.35 * right.abs().mean()


def test_a_second_reference_helps_where_the_first_shows_nothing(colorizer: RetintColorizer) -> None:
    film = frames(30)
    one = run(colorizer, film, [reference(film[0])])
    two = run(colorizer, film, [reference(film[0]), reference(film[-1], is_frame=False)])
    assert error(two[20:], film[20:]) < 0.6 * error(one[20:], film[20:])


def test_a_reference_that_is_no_frame_gives_its_colors_too(colorizer: RetintColorizer) -> None:
    film = frames(6)
    moved = reference(scene()[:, :, 6 : 6 + WIDTH], is_frame=False)
    predictions = run(colorizer, film, [moved])
    assert error(predictions, film) < 0.6 * gray_error(film)
    assert float(predictions[0].confidence.mean()) < 1.0


def test_many_references_are_taken(colorizer: RetintColorizer) -> None:
    film = frames(3)
    others = [reference(scene(seed=s)[:, :, :WIDTH], is_frame=False) for s in range(1, 7)]
    assert error(run(colorizer, film, [reference(film[0]), *others]), film) < 0.4 * gray_error(film)


def test_without_a_reference_there_is_no_color_and_no_confidence(colorizer: RetintColorizer) -> None:
    for prediction in run(colorizer, frames(2), []):
        assert not prediction.chroma.any()
        assert not prediction.confidence.any()


def test_confidence_falls_when_the_scene_is_another(colorizer: RetintColorizer) -> None:
    film = [*frames(3), *frames(1, seed=5)]
    predictions = run(colorizer, film, [reference(film[0])])
    assert float(predictions[3].confidence.mean()) < 0.8 * float(predictions[2].confidence.mean())


def test_frames_are_taken_one_at_a_time_and_a_run_may_be_left(colorizer: RetintColorizer) -> None:
    taken = 0

    def film() -> Iterator[Tensor]:
        nonlocal taken
        for frame in frames(30):
            taken += 1
            yield luma(frame)

    predictions = colorizer.colorize(film(), [reference(frames(1)[0])], matrix="bt601")
    for done in range(1, 5):
        next(predictions)
        assert taken == done
    predictions.close()  # type: ignore[attr-defined]
    assert taken == 4


@pytest.mark.parametrize(("height", "width"), [(8, 8), (8, 96), (40, 24), (56, 88)])
def test_any_multiple_of_8_is_taken(colorizer: RetintColorizer, height: int, width: int) -> None:
    film = frames(3, height=height, width=width)
    predictions = run(colorizer, film, [reference(film[0])])
    assert [p.chroma.shape for p in predictions] == [(2, height // 2, width // 2)] * 3
    assert all(torch.isfinite(p.chroma).all() and torch.isfinite(p.confidence).all() for p in predictions)


def test_features_are_taken_at_multiples_of_16_and_at_most_320_lines() -> None:
    assert feature_size(480, 856) == (320, 576)
    assert feature_size(64, 96) == (64, 96)
    assert feature_size(8, 48) == (32, 48)


def test_nothing_carries_a_graph_and_two_runs_are_equal(colorizer: RetintColorizer) -> None:
    film = frames(4)
    one, two = (run(colorizer, film, [reference(film[0])]) for _ in range(2))
    assert not any(p.chroma.requires_grad for p in one)
    assert all(torch.equal(a.chroma, b.chroma) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("variation", [2, 3], ids=["apart", "moved"])
def test_an_example_is_the_same_for_the_same_variation_and_differentiable(
    colorizer: RetintColorizer, variation: int
) -> None:
    film = frames(20)
    pair = replace(reference(film[0]), nearby=tuple(luma(film[index]) for index in (1, 10, 19)))
    predicted, true = colorizer.example(pair, matrix="bt601", variation=variation)()
    again, true_again = colorizer.example(pair, matrix="bt601", variation=variation)()
    other, other_true = colorizer.example(pair, matrix="bt601", variation=variation + 2)()
    assert predicted.shape == true.shape == (3, HEIGHT // 2, WIDTH // 2)
    assert torch.equal(predicted, again)
    assert torch.equal(true, true_again)
    # There is one way to look at a still picture, and many to move it.
    assert torch.equal(true, other_true) == (variation == 2)
    assert torch.equal(predicted, other) == (variation == 2)
    parameters = colorizer.tunable_parameters()
    gradients = torch.autograd.grad((predicted - true).square().mean(), parameters)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_around_a_cycle_the_truth_is_the_reference(colorizer: RetintColorizer) -> None:
    film = frames(5)
    pair = replace(reference(film[0]), nearby=tuple(luma(film[index]) for index in (1, 2)))
    predicted, true = colorizer.example(pair, matrix="bt601", variation=1)()
    expected = chroma_to_lab(F.avg_pool2d(pair.luma[None], 2)[0], chroma(pair.rgb), matrix="bt601")
    torch.testing.assert_close(true, expected)
    gray = true * torch.tensor([1.0, 0.0, 0.0])[:, None, None]
    assert (predicted - true).abs().mean() < 0.8 * (gray - true).abs().mean()


@pytest.mark.parametrize("variation", [2, 3], ids=["from the reference", "from another frame"])
def test_the_color_of_a_frame_nearby_is_learned_where_it_is_trusted(colorizer: RetintColorizer, variation: int) -> None:
    film = frames(4)
    confidence = torch.zeros(HEIGHT // 2, WIDTH // 2)
    confidence[:, : WIDTH // 4] = 0.9
    colored = tuple(Prediction(chroma=chroma(one), confidence=confidence) for one in film[1:])
    pair = replace(reference(film[0]), nearby=tuple(luma(one) for one in film[1:]), colored=colored)
    predicted, true = colorizer.example(pair, matrix="bt601", variation=variation)()
    known = [
        chroma_to_lab(F.avg_pool2d(luma(one)[None], 2)[0], one_colored.chroma, matrix="bt601")
        for one, one_colored in zip(film[1:], colored, strict=True)
    ]
    assert any(torch.allclose(true[:, confidence > 0], lab[:, confidence > 0]) for lab in known)
    assert torch.equal(true[:, confidence == 0], predicted[:, confidence == 0])
    gradients = torch.autograd.grad((predicted - true).square().mean(), colorizer.tunable_parameters())
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_a_frame_nearby_is_looked_up_in_another_one_or_in_the_reference_where_there_is_none(
    colorizer: RetintColorizer,
) -> None:
    """Other colors of the reference leave what another frame gives as it was."""
    film = frames(4)
    lumas = tuple(luma(one) for one in film[1:])
    sure = torch.ones(HEIGHT // 2, WIDTH // 2)
    colored = tuple(Prediction(chroma=chroma(one), confidence=sure) for one in film[1:])
    for count, alike in ((3, True), (1, False)):
        one, other = (
            colorizer.example(
                replace(reference(rgb), luma=luma(film[0]), nearby=lumas, colored=colored[:count]),
                matrix="bt601",
                variation=3,
            )()[0]
            for rgb in (film[0], 1 - film[0])
        )
        assert torch.equal(one, other) == alike


def test_nothing_is_learned_from_a_frame_of_which_little_is_trusted(colorizer: RetintColorizer) -> None:
    film = frames(2)
    confidence = torch.zeros(HEIGHT // 2, WIDTH // 2)
    confidence[:8, :8] = 0.9
    unsure = (Prediction(chroma=chroma(film[1]), confidence=confidence),)
    plain = replace(reference(film[0]), nearby=(luma(film[1]),))
    for variation in (2, 3):
        one, other = (
            colorizer.example(pair, matrix="bt601", variation=variation)()
            for pair in (plain, replace(plain, colored=unsure))
        )
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("variation", [2, 3, 7, 10, 11])
def test_what_is_held_out_trains_nothing(colorizer: RetintColorizer, variation: int) -> None:
    """Other colors there leave the errors of the trained part as they were, also where the reference is moved."""
    rgb = frames(1)[0]
    split = split_picture(HEIGHT // 2, WIDTH // 2, device=torch.device("cpu"))
    other = torch.where(split.held_out.repeat_interleave(2, 0).repeat_interleave(2, 1), 1 - rgb, rgb)
    one, changed = (
        colorizer.example(Reference(rgb=colors, luma=luma(rgb), is_frame=True), matrix="bt601", variation=variation)()
        for colors in (rgb, other)
    )
    for predicted, truth in (one, changed):
        assert (predicted - truth)[:, split.trained].abs().mean() > 0.5
    errors = [(predicted - truth)[:, split.trained] for predicted, truth in (one, changed)]
    torch.testing.assert_close(*errors, atol=0.1, rtol=0)


def test_a_cell_of_the_reference_is_not_looked_up_near_itself(colorizer: RetintColorizer) -> None:
    """Other colors around a place leave what is found there as it was."""
    rgb = frames(1)[0]
    # Cells of 8 pixels; three of them at least lie between in a picture of 12.
    other = rgb.clone()
    other[:, 24:40, 40:56] = 1 - other[:, 24:40, 40:56]
    one, changed = (
        colorizer.example(Reference(rgb=colors, luma=luma(rgb), is_frame=True), matrix="bt601", variation=0)()[0]
        for colors in (rgb, other)
    )
    assert torch.equal(one[1:, 16, 24], changed[1:, 16, 24])
    assert not torch.equal(one, changed)


def test_a_moved_reference_holds_something_new() -> None:
    codes = (luma(frames(1)[0]) * 255).byte().numpy()
    still = chroma(frames(1)[0]).permute(1, 2, 0).contiguous().numpy()
    moved = move_reference(codes, still, variation=1)
    assert moved.luma.shape == codes.shape
    assert moved.chroma.shape == still.shape
    assert moved.held_out.shape == still.shape[:2]
    assert abs(moved.luma.astype(float) - codes).mean() > 1.0


def test_tuning_changes_a_copy_and_never_lowers_the_held_out_score(colorizer: RetintColorizer) -> None:
    copy = colorizer.clone()
    before = [p.detach().clone() for p in colorizer.tunable_parameters()]
    settings = TuningSettings(iterations=8, learning_rate=colorizer.description.learning_rate)
    report = tune(copy, [reference(frames(1)[0])], matrix="bt601", settings=settings)
    assert report.gain_db > 0.0
    changed = [not torch.equal(a, b) for a, b in zip(before, copy.tunable_parameters(), strict=True)]
    assert any(changed)
    assert all(torch.equal(a, b) for a, b in zip(before, colorizer.tunable_parameters(), strict=True))


def test_tuning_looks_at_few_of_the_frames_nearby_and_learns_from_them(colorizer: RetintColorizer) -> None:
    film = frames(30)
    asked: set[int] = set()

    class Nearby(Sequence[Tensor]):
        def __len__(self) -> int:
            return len(film) - 1

        def __getitem__(self, place: Any) -> Any:
            if isinstance(place, slice):
                return [self[one] for one in range(*place.indices(len(self)))]
            asked.add(place + 1)
            return luma(film[place + 1])

    settings = TuningSettings(iterations=10, learning_rate=colorizer.description.learning_rate)
    learned = []
    for iterations in (9, 10):
        copy, colored = colorizer.clone(), []
        report = tune(
            copy,
            [replace(reference(film[0]), nearby=Nearby())],
            matrix="bt601",
            settings=replace(settings, iterations=iterations),
            on_frame=partial(colored.append, None),
        )
        assert report.iterations == iterations
        assert asked <= LOOKED_AT
        assert asked >= ({*range(1, 11)} if iterations == 10 else {1, 3, 8, 14, 20, 27})
        learned.append(report.curve[1].held_out_psnr_db)
    assert learned[0] != learned[1]


def test_a_clone_shares_only_what_is_never_trained() -> None:
    original = RetintColorizer(FeatureTrunk().eval(), RetintNetwork(), device=torch.device("cpu"))
    copy = original.clone()
    ours = {id(p) for p in original.tunable_parameters()}
    assert not ours & {id(p) for p in copy.tunable_parameters()}


def test_weights_are_all_that_shape_the_output(colorizer: RetintColorizer) -> None:
    tuned = {parameter.data_ptr() for parameter in colorizer.tunable_parameters()}
    every = {weight.data_ptr() for weight in colorizer.weights()}
    assert tuned < every
    assert len(every) > 100  # the features that pictures are matched by, and what fuses the offers
