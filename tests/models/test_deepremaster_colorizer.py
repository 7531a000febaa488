"""DeepRemaster as a colorizer: how frames and references are fed, and what comes back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.base import Colorizer, Prediction, Reference
from models.color import lab_to_chroma, lab_to_rgb, rgb_to_lab, rgb_to_ycbcr
from models.deepremaster.checkpoint import build_networks, read_checkpoint
from models.deepremaster.colorizer import DeepRemasterColorizer
from models.errors import OutOfMemory

HEIGHT, WIDTH = 48, 64


def lumas(count: int) -> Tensor:
    return torch.rand(count, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))


def reference(seed: int = 2) -> Reference:
    rgb = torch.rand(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(seed))
    return Reference(rgb=rgb, luma=rgb_to_ycbcr(rgb, matrix="bt601")[0], is_frame=True)


def colorized(model: Colorizer, frames: Tensor, *references: Reference, restore: bool = False) -> list[Prediction]:
    return list(model.colorize(frames, references, matrix="bt601", restore=restore))


def test_blocks_of_five_go_through_both_networks_with_references_at_256(
    deepremaster: DeepRemasterColorizer, deepremaster_file: Path
) -> None:
    restoration, colorization = build_networks(read_checkpoint(deepremaster_file))
    frames, seen = lumas(7), [reference(2), reference(3)]
    fed = torch.stack([r.rgb for r in seen])
    # 64x48 to a short side of 256 is 341.3x256.
    fed = F.interpolate(fed, size=(256, 341), mode="bilinear", align_corners=False, antialias=True)[None]
    predictions = colorized(deepremaster, frames, *seen)
    with torch.no_grad():
        blocks = [colorization(restoration(part[None, None]), fed)[0] for part in (frames[:5], frames[5:])]
    ab = (torch.cat(blocks, dim=1) * 255 - 128).clamp(-100, 100)
    for index, prediction in enumerate(predictions):
        expected = lab_to_chroma(frames[index], ab[:, index], matrix="bt601").clamp(-0.5, 0.5)
        torch.testing.assert_close(prediction.chroma, expected, atol=1e-4, rtol=1e-4)
    assert len(predictions) == 7


@pytest.mark.parametrize("count", [1, 4, 5, 6])
def test_every_frame_gets_one_prediction_in_range(deepremaster: DeepRemasterColorizer, count: int) -> None:
    predictions = colorized(deepremaster, lumas(count), reference())
    assert len(predictions) == count
    for prediction in predictions:
        assert prediction.chroma.shape == (2, HEIGHT, WIDTH)
        assert prediction.confidence.shape == (HEIGHT, WIDTH)
        assert prediction.chroma.abs().max() <= 0.5
        assert 0 <= prediction.confidence.min() <= prediction.confidence.max() <= 1
        assert prediction.luma is None
        assert not prediction.chroma.requires_grad


def test_restored_luma_is_that_of_the_predicted_lab_and_comes_only_when_asked_for(
    deepremaster: DeepRemasterColorizer, deepremaster_file: Path
) -> None:
    restoration, _ = build_networks(read_checkpoint(deepremaster_file))
    frames = lumas(2)
    [first, _] = colorized(deepremaster, frames, reference(), restore=True)
    assert first.luma is not None
    assert first.luma.shape == (HEIGHT, WIDTH)
    [gray, _] = colorized(deepremaster, frames, restore=True)
    with torch.no_grad():
        lightness = restoration(frames[None, None])[0, 0, 0] * 100
    assert gray.luma is not None
    expected = lab_to_rgb(torch.stack([lightness, torch.zeros_like(lightness), torch.zeros_like(lightness)]))[0]
    torch.testing.assert_close(gray.luma, expected.clamp(0, 1), atol=1e-4, rtol=1e-4)


def test_without_references_there_is_no_color_and_no_confidence(deepremaster: DeepRemasterColorizer) -> None:
    for prediction in colorized(deepremaster, lumas(6)):
        assert not prediction.chroma.any()
        assert not prediction.confidence.any()


def test_no_more_than_a_block_of_frames_is_taken_ahead(deepremaster: DeepRemasterColorizer) -> None:
    taken = 0

    def film() -> Iterator[Tensor]:
        nonlocal taken
        for frame in lumas(12):
            taken += 1
            yield frame

    predictions = deepremaster.colorize(film(), [reference()], matrix="bt709")
    next(predictions)
    assert taken == 5


def test_the_sample_is_the_references_own_frame_in_lab(deepremaster: DeepRemasterColorizer) -> None:
    pair = reference()
    predicted, truth = deepremaster.example(pair, matrix="bt601", variation=0)()
    torch.testing.assert_close(truth, rgb_to_lab(pair.rgb))
    [prediction] = colorized(deepremaster, pair.luma[None].expand(5, -1, -1), pair)[:1]
    ab = predicted[1:].detach().clamp(-100, 100)
    chroma = lab_to_chroma(pair.luma, ab, matrix="bt601").clamp(-0.5, 0.5)
    torch.testing.assert_close(chroma, prediction.chroma, atol=1e-4, rtol=1e-4)
    assert 0 <= predicted[0].min() <= predicted[0].max() <= 100


def test_variations_repeat_and_differ(deepremaster: DeepRemasterColorizer) -> None:
    def predicted(variation: int) -> Tensor:
        with torch.no_grad():
            return deepremaster.example(reference(), matrix="bt601", variation=variation)()[0]

    assert torch.equal(predicted(2), predicted(2))
    assert not torch.equal(predicted(0), predicted(2))


def test_a_clone_shares_no_weight(deepremaster: DeepRemasterColorizer) -> None:
    clone = deepremaster.clone()
    before = [p.detach().clone() for p in deepremaster.tunable_parameters()]
    with torch.no_grad():
        for parameter in clone.tunable_parameters():
            parameter.add_(1.0)
    assert all(torch.equal(p, b) for p, b in zip(deepremaster.tunable_parameters(), before, strict=True))


def test_want_of_memory_is_told_with_the_size(
    deepremaster: DeepRemasterColorizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(deepremaster._restoration, "forward", full)
    with pytest.raises(OutOfMemory, match=r"3 frames of 64x48 does not fit the device's memory\. Use a smaller"):
        colorized(deepremaster, lumas(3), reference())


def test_the_cpus_own_want_of_memory_is_told_alike() -> None:
    from models.memory import memory_checked

    with pytest.raises(OutOfMemory, match="Everything does not fit"), memory_checked("Everything"):
        torch.empty(2**60, dtype=torch.uint8)
    with pytest.raises(RuntimeError, match="other"), memory_checked("Everything"):
        raise RuntimeError("other")


def test_a_size_that_is_no_multiple_of_sixteen_is_refused(deepremaster: DeepRemasterColorizer) -> None:
    with pytest.raises(ValueError, match="multiples of 16"):
        list(deepremaster.colorize([torch.zeros(40, 64)], [reference()], matrix="bt601"))


def test_weights_are_all_that_shape_the_output_stored_statistics_included(deepremaster: DeepRemasterColorizer) -> None:
    tuned = {parameter.data_ptr() for parameter in deepremaster.tunable_parameters()}
    assert tuned < {weight.data_ptr() for weight in deepremaster.weights()}
