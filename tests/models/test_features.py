"""The feature trunk: shapes, weights, and the file they come in."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from models.errors import WeightsInvalid, WeightsMissing
from models.features import CHANNELS, FeatureTrunk, SameConv, load_trunk
from models.retint.colorizer import TRUNK_WEIGHTS
from models.retint.convert_features import EPSILON, fold


def test_features_come_at_strides_4_8_and_16() -> None:
    features = FeatureTrunk().eval()(torch.rand(2, 1, 48, 64))
    assert [tuple(f.shape) for f in features] == [
        (2, CHANNELS[0], 12, 16),
        (2, CHANNELS[1], 6, 8),
        (2, CHANNELS[2], 3, 4),
    ]


def test_sides_that_are_no_multiple_of_16_are_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 16"):
        FeatureTrunk()(torch.rand(1, 1, 40, 64))


def test_the_weights_that_ship_tell_pictures_apart() -> None:
    trunk = load_trunk(TRUNK_WEIGHTS)
    ramp = torch.linspace(0, 1, 64).expand(1, 1, 64, 64)
    plain, ramped = trunk(torch.full((1, 1, 64, 64), 0.5)), trunk(ramp)
    for one, other in zip(plain, ramped, strict=True):
        assert torch.isfinite(other).all()
        assert (one - other).abs().mean() > 0.05
    assert not any(parameter.requires_grad for parameter in trunk.parameters())


def test_folding_a_batch_norm_leaves_the_output_as_it_is() -> None:
    convolution = torch.nn.Conv2d(3, 5, 3, bias=False)
    norm = torch.nn.BatchNorm2d(5, eps=EPSILON).eval()
    torch.nn.init.uniform_(norm.weight, 0.5, 2.0)
    torch.nn.init.normal_(norm.bias)
    norm.running_mean = torch.randn(5)
    norm.running_var = torch.rand(5) + 0.1
    published = {f"c.{k}": v for k, v in convolution.state_dict().items()}
    published |= {f"n.{k}": v for k, v in norm.state_dict().items()}
    weight, bias = fold(published, convolution="c", norm="n")
    x = torch.randn(1, 3, 8, 8)
    assert torch.allclose(torch.nn.functional.conv2d(x, weight, bias), norm(convolution(x)), atol=1e-5)


def test_padding_at_stride_2_adds_below_and_right_as_tensorflow_does() -> None:
    convolution = SameConv(1, 1, kernel=3, stride=2)
    torch.nn.init.zeros_(convolution.weight)
    torch.nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
    with torch.no_grad():
        convolution.weight[0, 0, 0, 0] = 1.0
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert torch.equal(convolution(x), x[..., ::2, ::2])


def test_a_missing_file_and_a_strange_file_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing):
        load_trunk(tmp_path / "absent.safetensors")
    save_file({"other": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsInvalid):
        load_trunk(tmp_path / "other.safetensors")
    (tmp_path / "damaged.safetensors").write_bytes(b"not tensors")
    with pytest.raises(WeightsInvalid):
        load_trunk(tmp_path / "damaged.safetensors")
