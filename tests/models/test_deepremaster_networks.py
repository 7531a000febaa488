"""DeepRemaster's networks against a plain rewriting of METHOD's description, tensor by tensor."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.deepremaster.blocks import TempConv
from models.deepremaster.colorization import ColorizationNetwork
from models.deepremaster.restoration import RestorationNetwork

WIDTH = 1 / 8
State = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]


# The published tensors, listed from the description alone


def conv(name: str, inputs: int, outputs: int, kernel: tuple[int, int, int]) -> Shapes:
    return {f"{name}.weight": (outputs, inputs, *kernel), f"{name}.bias": (outputs,)}


def block(name: str, inputs: int, outputs: int, depth: int) -> Shapes:
    per_channel = ("weight", "bias", "running_mean", "running_var")
    return {
        **conv(f"{name}.conv3d", inputs, outputs, (depth, 3, 3)),
        **{f"{name}.bn.{entry}": (outputs,) for entry in per_channel},
        f"{name}.bn.num_batches_tracked": (),
    }


def attention(name: str) -> Shapes:
    return {
        f"{name}.gamma": (1,),
        **conv(f"{name}.query_conv", 512, 64, (1, 1, 1)),
        **conv(f"{name}.key_conv", 512, 64, (1, 1, 1)),
        **conv(f"{name}.value_conv", 512, 512, (1, 1, 1)),
    }


def chain(name: str, channels: list[int], *, first: int, depth: int) -> Shapes:
    shapes: Shapes = {}
    for index, (inputs, outputs) in enumerate(itertools.pairwise(channels)):
        shapes |= block(f"{name}.{index + first}", inputs, outputs, depth)
    return shapes


PUBLISHED_R: Shapes = {
    **chain("layers", [1, 64, 128, 128, 256, 256, 256, 256, 256, 128, 64, 64, 16], first=1, depth=3),
    **conv("layers.13", 16, 1, (3, 3, 3)),
}
ENCODER = [64, 128, 128, 256, 256, 256, 512, 512, 512]
PUBLISHED_C: Shapes = {
    **chain("down1", [1, *ENCODER], first=1, depth=1),
    **chain("reffeatnet1", [3, *ENCODER], first=0, depth=1),
    **chain("flat", [512] * 3, first=0, depth=1),
    **chain("down2", [512] * 3, first=0, depth=1),
    **chain("reffeatnet2", [512] * 4, first=0, depth=1),
    **attention("stattn1"),
    **attention("stattn2"),
    **attention("selfattn1"),
    **attention("selfattn2"),
    **block("conv1", 512, 512, 1),
    **block("up1.conv3d", 1024, 512, 3),
    **block("conv2", 512, 256, 3),
    **chain("up2", [256, 128, 64], first=0, depth=3),
    **chain("up3", [64, 32, 16], first=0, depth=3),
    **block("up4.0", 16, 8, 3),
    **conv("up4.1", 8, 2, (3, 3, 3)),
}


def shapes_of(network: torch.nn.Module) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def test_network_r_has_the_published_tensors() -> None:
    with torch.device("meta"):
        assert shapes_of(RestorationNetwork()) == PUBLISHED_R


def test_network_c_has_the_published_tensors() -> None:
    with torch.device("meta"):
        assert shapes_of(ColorizationNetwork()) == PUBLISHED_C


def test_both_networks_together_have_64_million_parameters() -> None:
    with torch.device("meta"):
        networks = [RestorationNetwork(), ColorizationNetwork()]
    assert round(sum(p.numel() for n in networks for p in n.parameters()) / 1e6, 1) == 64.2


# The networks written out once more, as formulas on a state dict


def layer(x: Tensor, s: State, name: str, *, stride: int = 1, padding: tuple[int, int, int] | None = None) -> Tensor:
    weight = s[f"{name}.conv3d.weight"]
    depth = weight.shape[2] // 2
    x = F.conv3d(
        x, weight, s[f"{name}.conv3d.bias"], (1, stride, stride), (depth, 1, 1) if padding is None else padding
    )
    mean, variance = s[f"{name}.bn.running_mean"], s[f"{name}.bn.running_var"]
    each = (1, -1, 1, 1, 1)
    x = (x - mean.view(each)) / torch.sqrt(variance.view(each) + 1e-5)
    x = x * s[f"{name}.bn.weight"].view(each) + s[f"{name}.bn.bias"].view(each)
    return torch.where(x > 0, x, torch.exp(x.clamp(max=0)) - 1)


def resized(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=(1, 2, 2), mode="trilinear", align_corners=False)


def attended(source: Tensor, reference: Tensor, s: State, name: str) -> Tensor:
    def project(x: Tensor, part: str) -> Tensor:
        weight = s[f"{name}.{part}.weight"].flatten(1)
        return torch.einsum("oc,bcn->bon", weight, x.flatten(2)) + s[f"{name}.{part}.bias"].view(1, -1, 1)

    query, key = project(source, "query_conv"), project(reference, "key_conv")
    weights = torch.softmax(torch.einsum("bcq,bck->bqk", query, key), dim=2)
    out = torch.einsum("bck,bqk->bcq", project(reference, "value_conv"), weights)
    return s[f"{name}.gamma"] * out.view(source.shape) + source


def plain_r(x: Tensor, s: State) -> Tensor:
    y = F.pad(x - 0.4462414, (1, 1, 1, 1, 1, 1), mode="replicate")
    y = layer(y, s, "layers.1", stride=2, padding=(0, 0, 0))
    for index in range(2, 9):
        y = layer(y, s, f"layers.{index}", stride=2 if index == 4 else 1)
    y = layer(resized(y), s, "layers.9")
    y = layer(layer(y, s, "layers.10"), s, "layers.11")
    y = layer(resized(y), s, "layers.12")
    y = F.conv3d(y, s["layers.13.weight"], s["layers.13.bias"], padding=1)
    return torch.clamp(x + torch.tanh(y), 0, 1)


def plain_c(x: Tensor, references: Tensor | None, s: State) -> Tensor:
    y = F.pad(x - 0.4462414, (1, 1, 1, 1, 0, 0), mode="replicate")
    y = layer(y, s, "down1.1", stride=2, padding=(0, 0, 0))
    for index in range(2, 10):
        y = layer(y, s, f"down1.{index}", stride=2 if index in (4, 7) else 1)
    r = None
    if references is not None:
        r = references.permute(0, 2, 1, 3, 4) - 0.48
        for index in range(9):
            r = layer(r, s, f"reffeatnet1.{index}", stride=2 if index in (0, 3, 6) else 1)
        y = attended(y, r, s, "stattn1")
    x2 = layer(layer(y, s, "flat.0"), s, "flat.1")
    y = layer(layer(y, s, "down2.0", stride=2), s, "down2.1")
    if r is not None:
        for index in range(3):
            r = layer(r, s, f"reffeatnet2.{index}", stride=2 if index == 0 else 1)
        y = attended(y, r, s, "stattn2")
    y = layer(y, s, "conv1")
    y = attended(y, y, s, "selfattn1")
    y = layer(torch.cat([resized(y), x2], dim=1), s, "up1.conv3d")
    y = attended(y, y, s, "selfattn2")
    y = layer(y, s, "conv2")
    for name in ("up2", "up3"):
        y = layer(layer(resized(y), s, f"{name}.0"), s, f"{name}.1")
    y = layer(resized(y), s, "up4.0")
    return torch.sigmoid(F.conv3d(y, s["up4.1.weight"], s["up4.1.bias"], padding=1))


@pytest.fixture(scope="module")
def networks() -> tuple[RestorationNetwork, ColorizationNetwork]:
    torch.manual_seed(5)
    pair = RestorationNetwork(width=WIDTH), ColorizationNetwork(width=WIDTH)
    with torch.no_grad():
        for network in pair:
            for name, tensor in network.state_dict().items():
                if name.endswith(("running_mean", "bias")):
                    tensor.normal_(0, 0.1)
                elif name.endswith(("running_var", "bn.weight")):
                    tensor.uniform_(0.5, 1.5)
                elif name.endswith("gamma"):
                    tensor.fill_(0.8)
                elif name.endswith("weight"):
                    # Signals stay as strong from layer to layer as they are, so that every layer shows in the output.
                    tensor.normal_(0, (1.7 / tensor[0].numel()) ** 0.5)
    return pair


@pytest.mark.parametrize("frames", range(1, 8))
def test_network_r_follows_the_formula(networks: tuple[RestorationNetwork, ColorizationNetwork], frames: int) -> None:
    restoration, _ = networks
    x = torch.rand(1, 1, frames, 36, 44, generator=torch.Generator().manual_seed(frames))
    with torch.no_grad():
        expected = plain_r(x, restoration.state_dict())
        torch.testing.assert_close(restoration(x), expected, atol=1e-4, rtol=1e-4)
    assert expected.shape == x.shape
    assert (expected - x).std() > 0.02
    assert 0 <= expected.min() <= expected.max() <= 1


@pytest.mark.parametrize(
    ("frames", "references"),
    [
        (1, None),
        (1, (1, 32, 48)),
        (2, (3, 37, 50)),
        (3, None),
        (4, (1, 41, 33)),
        (5, (1, 48, 32)),
        (5, (3, 48, 61)),
        (6, (1, 33, 33)),
        (7, (3, 32, 32)),
    ],
)
def test_network_c_follows_the_formula(
    networks: tuple[RestorationNetwork, ColorizationNetwork], frames: int, references: tuple[int, int, int] | None
) -> None:
    _, colorization = networks
    generator = torch.Generator().manual_seed(frames)
    x = torch.rand(2, 1, frames, 32, 48, generator=generator)
    pictures = None
    if references is not None:
        count, height, width = references
        pictures = torch.rand(2, count, 3, height, width, generator=generator)
    with torch.no_grad():
        expected = plain_c(x, pictures, colorization.state_dict())
        torch.testing.assert_close(colorization(x, pictures), expected, atol=1e-4, rtol=1e-4)
    assert expected.shape == (2, 2, frames, 32, 48)
    assert expected.std() > 0.01


def test_references_change_the_colors(networks: tuple[RestorationNetwork, ColorizationNetwork]) -> None:
    _, colorization = networks
    x = torch.rand(1, 1, 1, 32, 32)
    with torch.no_grad():
        one = colorization(x, torch.zeros(1, 1, 3, 32, 32))
        other = colorization(x, torch.ones(1, 1, 3, 32, 32))
    assert (one - other).abs().max() > 1e-3


def test_sizes_that_halvings_do_not_give_back_are_refused_with_the_multiple(
    networks: tuple[RestorationNetwork, ColorizationNetwork],
) -> None:
    restoration, colorization = networks
    with pytest.raises(ValueError, match="multiples of 4"):
        restoration(torch.zeros(1, 1, 1, 34, 32))
    with pytest.raises(ValueError, match="multiples of 16"):
        colorization(torch.zeros(1, 1, 1, 32, 40))


def test_a_temporal_convolution_equals_its_formula_at_every_stride_and_padding() -> None:
    torch.manual_seed(1)
    made = TempConv(3, 4, kernel=(3, 3, 3), stride=(1, 2, 2), padding=(0, 0, 0))
    with torch.no_grad():
        statistics = made.bn.state_dict()
        statistics["running_mean"].normal_()
        statistics["running_var"].uniform_(0.5, 2)
        x = torch.randn(2, 3, 5, 9, 11)
        state = {f"it.{name}": tensor for name, tensor in made.state_dict().items()}
        torch.testing.assert_close(made(x), layer(x, state, "it", stride=2, padding=(0, 0, 0)), atol=1e-5, rtol=1e-5)


def test_batch_norm_keeps_its_stored_statistics_even_in_training_mode() -> None:
    made = TempConv(1, 2).train()
    before = {name: tensor.clone() for name, tensor in made.bn.state_dict().items()}
    x = torch.randn(1, 1, 2, 8, 8) * 5 + 3
    in_training = made(x)
    assert all(torch.equal(tensor, before[name]) for name, tensor in made.bn.state_dict().items())
    assert torch.equal(in_training, made.eval()(x))
