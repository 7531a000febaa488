"""The exemplar model as a colorizer: what passes from frame to frame, how places are matched, what is tuned."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.base import Prediction, Reference
from models.color import gray_to_l, lab_to_chroma, rgb_to_lab, rgb_to_ycbcr
from models.exemplar.colorizer import OUTPUT_GAIN, ExemplarColorizer
from models.exemplar.matching import look_up
from models.tuning import tune
from models.tuning_run import TuningSettings

HEIGHT, WIDTH = 48, 64


def film(count: int, *, height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    """Textures that no place has twice."""
    return torch.rand(count, height, width, generator=torch.Generator().manual_seed(1))


def reference(seed: int = 2, *, is_frame: bool = True, height: int = HEIGHT, width: int = WIDTH) -> Reference:
    rgb = torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))
    return Reference(rgb=rgb, luma=rgb_to_ycbcr(rgb, matrix="bt601")[0], is_frame=is_frame)


def smooth_reference() -> Reference:
    coarse = torch.rand(1, 3, 6, 8, generator=torch.Generator().manual_seed(5))
    rgb = F.interpolate(coarse, size=(96, 128), mode="bicubic").clamp(0, 1)[0]
    luma = rgb_to_ycbcr(rgb, matrix="bt601")[0]
    nearby = tuple(luma.roll(shift, dims=1) for shift in range(1, 9))
    return Reference(rgb=rgb, luma=luma, is_frame=True, nearby=nearby)


def colorized(model: ExemplarColorizer, frames: Tensor, *references: Reference) -> list[Prediction]:
    return list(model.colorize(frames, references, matrix="bt601"))


def inputs_of_the_color_net(model: ExemplarColorizer, frames: Tensor, *references: Reference) -> list[Tensor]:
    seen: list[Tensor] = []
    hook = model._networks.coloring.register_forward_pre_hook(lambda _, given: seen.append(given[0][0]))
    colorized(model, frames, *references)
    hook.remove()
    return seen


def test_every_frame_sees_the_one_before_as_it_was_colored(exemplar: ExemplarColorizer) -> None:
    frames, own = film(3), reference()
    told = inputs_of_the_color_net(exemplar, frames, own)
    lightness = gray_to_l(frames) - 50
    for index in range(3):
        torch.testing.assert_close(told[index][0], lightness[index])
    # It starts on its own reference: that is the frame before.
    before = rgb_to_lab(own.rgb) - torch.tensor([50.0, 0, 0]).view(3, 1, 1)
    torch.testing.assert_close(told[0][4:], before)
    for index in (1, 2):
        with torch.no_grad():
            ab = exemplar._networks.coloring(told[index - 1][None])[0]
        torch.testing.assert_close(told[index][4:], torch.cat([lightness[index - 1][None], ab]))


def test_a_film_that_does_not_start_on_its_reference_starts_from_nothing(exemplar: ExemplarColorizer) -> None:
    told = inputs_of_the_color_net(exemplar, film(1), reference(is_frame=False))
    assert not told[0][4:].any()


def test_what_is_handed_out_is_stronger_than_what_is_passed_on(exemplar: ExemplarColorizer) -> None:
    frames, own = film(2), reference()
    told = inputs_of_the_color_net(exemplar, frames, own)
    with torch.no_grad():
        ab = exemplar._networks.coloring(told[1][None])[0]
    expected = lab_to_chroma(frames[1], ab * OUTPUT_GAIN, matrix="bt601").clamp(-0.5, 0.5)
    torch.testing.assert_close(colorized(exemplar, frames, own)[1].chroma, expected)


def test_matches_do_not_depend_on_how_many_are_looked_up_at_once() -> None:
    generator = torch.Generator().manual_seed(3)
    queries, keys = torch.randn(1, 8, 48, generator=generator), torch.randn(1, 8, 40, generator=generator)
    colors = torch.randn(1, 40, 3, generator=generator)
    queries, keys = F.normalize(queries, dim=1), F.normalize(keys, dim=1)
    whole = look_up(queries, keys, colors, size=(24, 32), temperature=0.1)
    scores = (queries[0].T @ keys[0]).double()
    expected = (torch.softmax(scores / 0.1, dim=1) @ colors[0].double()).T.reshape(1, 3, 6, 8)
    torch.testing.assert_close(whole.lab[..., ::4, ::4].double(), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(whole.similarity[..., 1::4, 3::4].double(), scores.amax(1).reshape(1, 1, 6, 8))
    for at_once in (1, 40, 90):
        chunked = look_up(queries, keys, colors, size=(24, 32), temperature=0.1, scores_at_once=at_once)
        torch.testing.assert_close(chunked.lab, whole.lab)
        torch.testing.assert_close(chunked.similarity, whole.similarity)


def test_as_published_the_nearest_match_alone_counts() -> None:
    keys = F.normalize(torch.randn(1, 8, 24, generator=torch.Generator().manual_seed(4)), dim=1)
    colors = torch.randn(1, 24, 3)
    order = torch.arange(24).flip(0)
    match = look_up(keys[:, :, order], keys, colors, size=(16, 24))
    assert torch.equal(match.lab[0, :, ::4, ::4].flatten(1).T, colors[0, order])
    torch.testing.assert_close(match.similarity, torch.ones(1, 1, 16, 24))


def test_two_references_are_looked_up_together(exemplar: ExemplarColorizer) -> None:
    first, second = reference(2), reference(3, is_frame=False)
    [alone] = inputs_of_the_color_net(exemplar, film(1), replace(first, is_frame=False))
    [other] = inputs_of_the_color_net(exemplar, film(1), second)
    [both] = inputs_of_the_color_net(exemplar, film(1), replace(first, is_frame=False), second)
    torch.testing.assert_close(both[3], torch.maximum(alone[3], other[3]))
    taken = torch.where(alone[3] >= other[3], alone[1:3], other[1:3])
    torch.testing.assert_close(both[1:3], taken)


@pytest.mark.parametrize(("height", "width"), [(48, 64), (40, 56), (32, 32), (16, 8), (8, 72)])
def test_every_size_that_fits_the_model_comes_back(exemplar: ExemplarColorizer, height: int, width: int) -> None:
    frames = film(2, height=height, width=width)
    for prediction in colorized(exemplar, frames, reference(height=height, width=width)):
        assert prediction.chroma.shape == (2, height, width)
        assert prediction.confidence.shape == (height, width)
        assert prediction.chroma.abs().max() <= 0.5
        assert 0 <= prediction.confidence.min() <= prediction.confidence.max() <= 1 + 1e-5
        assert prediction.luma is None


def test_other_sizes_are_refused_with_the_multiple(exemplar: ExemplarColorizer) -> None:
    with pytest.raises(ValueError, match="multiples of 8"):
        colorized(exemplar, torch.zeros(1, 44, 64), reference())


def test_without_references_there_is_no_color_and_no_confidence(exemplar: ExemplarColorizer) -> None:
    for prediction in colorized(exemplar, film(2)):
        assert not prediction.chroma.any()
        assert not prediction.confidence.any()


def test_one_frame_is_held_at_a_time(exemplar: ExemplarColorizer) -> None:
    taken = 0

    def counted() -> Iterator[Tensor]:
        nonlocal taken
        for frame in film(4):
            taken += 1
            yield frame

    predictions = exemplar.colorize(counted(), [reference()], matrix="bt709")
    next(predictions)
    assert taken == 1


def test_tuning_trains_the_color_net_of_a_copy_alone(exemplar: ExemplarColorizer) -> None:
    copy = exemplar.clone()
    before = [parameter.detach().clone() for parameter in exemplar.tunable_parameters()]
    assert len(before) == 65
    settings = TuningSettings(iterations=6, learning_rate=3e-3)
    report = tune(copy, [smooth_reference()], matrix="bt601", settings=settings)
    assert report.note is None
    assert report.gain_db > 0
    assert all(torch.equal(p, b) for p, b in zip(exemplar.tunable_parameters(), before, strict=True))
    assert any(not torch.equal(p, b) for p, b in zip(copy.tunable_parameters(), before, strict=True))


@pytest.mark.parametrize("objective", ["lab", "rgb", "ab"])
def test_every_objective_that_sees_color_has_a_gradient(exemplar: ExemplarColorizer, objective: str) -> None:
    settings = TuningSettings(iterations=1, learning_rate=1e-4, objective=objective)  # type: ignore[arg-type]
    report = tune(exemplar.clone(), [smooth_reference()], matrix="bt601", settings=settings)
    assert report.iterations == 1


@pytest.mark.parametrize("variation", [0, 1, 2, 3])
def test_samples_repeat_have_the_films_luma_and_differ(exemplar: ExemplarColorizer, variation: int) -> None:
    own = smooth_reference()
    predicted, truth = exemplar.example(own, matrix="bt601", variation=variation)()
    again, _ = exemplar.example(own, matrix="bt601", variation=variation)()
    other, _ = exemplar.example(own, matrix="bt601", variation=variation + 2)()
    assert predicted.requires_grad
    assert torch.equal(predicted, again)
    assert not torch.equal(predicted, other)
    assert predicted.shape == truth.shape == (3, 96, 128)
    if variation % 2:  # around a cycle, back to the reference itself
        torch.testing.assert_close(truth, rgb_to_lab(own.rgb), atol=1e-4, rtol=1e-4)


def test_a_sample_of_a_reference_without_neighbors_is_one_moved(exemplar: ExemplarColorizer) -> None:
    alone = replace(smooth_reference(), nearby=())
    _, truth = exemplar.example(alone, matrix="bt601", variation=1)()
    assert not torch.allclose(truth, rgb_to_lab(alone.rgb), atol=1.0)


def test_weights_are_those_of_all_three_nets_not_of_the_tuned_one_alone(exemplar: ExemplarColorizer) -> None:
    tuned = {parameter.data_ptr() for parameter in exemplar.tunable_parameters()}
    assert tuned < {weight.data_ptr() for weight in exemplar.weights()}
