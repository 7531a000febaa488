"""The default model's network: shapes, places, bounded memory, and weights that load strictly."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from models.errors import WeightsInvalid, WeightsMissing
from models.features import CHANNELS
from models.retint import network as network_module
from models.retint.network import (
    CARRIED,
    MATCHED,
    Description,
    Fusion,
    Offers,
    Prior,
    RetintNetwork,
    evidence,
    load_network,
    matched_planes,
    oddity,
    warp_planes,
)


def features(*, seed: int = 0, rows: int = 8, columns: int = 12) -> list[Tensor]:
    """Random features of strides 4, 8 and 16 of a picture of `rows` x `columns` cells."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [(2 * rows, 2 * columns), (rows, columns), (rows // 2, columns // 2)]
    return [
        torch.randn(1, channels, *size, generator=generator) for channels, size in zip(CHANNELS, sizes, strict=True)
    ]


def offers(*, height: int = 24, width: int = 40, seed: int = 0) -> Offers:
    generator = torch.Generator().manual_seed(seed)

    def planes(channels: int, rows: int, columns: int) -> Tensor:
        return torch.rand(1, channels, rows, columns, generator=generator)

    return Offers(
        luma=planes(1, 2 * height, 2 * width),
        previous=planes(CARRIED, height, width) - 0.5,
        direct=planes(CARRIED, height, width) - 0.5,
        matched=planes(MATCHED, 4, 7) - 0.5,
        remembered=planes(MATCHED, 4, 7) - 0.5,
    )


def test_a_picture_is_found_in_itself() -> None:
    description = Description()
    with torch.no_grad():
        description.log_sharpness.fill_(5.0)
        described = description(features())
        values = torch.rand(1, 3, 8 * 12)
        found = description.look_up(description.placed(described), description.as_keys(described), values)
    assert described.shape == (1, Description.SIZE, 8, 12)
    torch.testing.assert_close(described.norm(dim=1), torch.full((1, 8, 12), (3 * math.exp(5.0)) ** 0.5))
    torch.testing.assert_close(found[:, :3], values.reshape(1, 3, 8, 12), atol=1e-3, rtol=0)
    torch.testing.assert_close(found[:, 3], torch.ones(1, 8, 12), atol=1e-3, rtol=0)


def test_the_nearer_of_two_equal_places_is_preferred() -> None:
    description = Description()
    same = [plane.mean((-2, -1), keepdim=True).expand_as(plane).contiguous() for plane in features()]
    with torch.no_grad():
        description.log_reach.fill_(-4.0)
        described = description(same)
        columns = torch.arange(12.0).expand(1, 1, 8, 12)
        found = description.look_up(description.placed(described), description.as_keys(described), columns.flatten(2))
    torch.testing.assert_close(found[:, :1, :, 2:-2], columns[..., 2:-2], atol=0.6, rtol=0)


def test_looking_up_in_pieces_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    description = Description()
    with torch.no_grad():
        described = description(features())
        given = (description.placed(described), description.as_keys(described), torch.rand(1, 2, 96))
        whole = description.look_up(*given)
        monkeypatch.setattr(network_module, "QUERY_CHUNK", 7)
        torch.testing.assert_close(description.look_up(*given), whole)


@pytest.mark.parametrize(("height", "width"), [(24, 40), (4, 4), (20, 44), (28, 36)])
def test_an_untrained_network_weighs_as_its_prior_does(height: int, width: int) -> None:
    given = offers(height=height, width=width)
    network = Fusion(refined=True)
    with torch.no_grad():
        network.prior.coefficients.zero_()
        fused = network(given)
    assert fused.chroma.shape == (1, 2, height, width)
    assert fused.confidence.shape == (1, 1, height, width)
    coarse = (given.matched[:, :2] + given.remembered[:, :2]) / 4
    mean = (given.previous[:, :2] + given.direct[:, :2]) / 4 + torch.nn.functional.interpolate(
        coarse, size=(height, width), mode="bilinear", align_corners=False
    )
    torch.testing.assert_close(fused.chroma, mean)


def test_evidence_lowers_the_weight_of_the_offer_that_it_speaks_against() -> None:
    chromas = torch.zeros(1, 4, 2, 8, 8)
    nothing = torch.zeros(1, 4, 8, 8)
    residuals = nothing.clone()
    residuals[:, 1] = 0.2
    given = evidence(chromas, residuals=residuals, flow_errors=nothing, trusts=nothing + 1)
    clear = evidence(chromas, residuals=nothing, flow_errors=nothing, trusts=nothing + 1)
    with torch.no_grad():
        weights, before = (Prior()(found, rows=range(4)).softmax(1) for found in (given, clear))
    assert (weights[:, 1] < 0.2 * before[:, 1]).all()
    assert (weights[:, 0] > before[:, 0]).all()


def test_a_color_that_no_other_offer_has_is_odd() -> None:
    chromas = torch.zeros(1, 4, 2, 2, 2)
    chromas[:, 2, 0] = 0.3
    found = oddity(chromas)
    torch.testing.assert_close(found[:, 2], torch.full((1, 2, 2), 0.3), atol=1e-3, rtol=0)
    torch.testing.assert_close(found[:, [0, 1, 3]], torch.zeros(1, 3, 2, 2), atol=1e-3, rtol=0)


def test_found_luma_becomes_a_residual() -> None:
    found = torch.zeros(1, 6, 2, 3)
    found[:, 2] = 0.25
    luma = torch.full((1, 1, 16, 24), 0.75)
    planes = matched_planes(found, luma)
    assert planes.shape == (1, MATCHED, 2, 3)
    torch.testing.assert_close(planes[:, 2], torch.full((1, 2, 3), 0.5))


def test_warping_moves_whole_pixels_and_repeats_the_edge() -> None:
    plane = torch.arange(12.0).reshape(1, 1, 3, 4)
    right = torch.zeros(1, 2, 3, 4)
    right[:, 0] = 1.0
    torch.testing.assert_close(warp_planes(plane, right)[0, 0], plane[0, 0, :, [1, 2, 3, 3]])
    torch.testing.assert_close(warp_planes(plane, torch.zeros(1, 2, 3, 4)), plane)


def test_trained_weights_load_strictly_and_what_is_wrong_is_told(tmp_path: Path) -> None:
    weights = RetintNetwork(refined=True).state_dict()
    save_file(weights, tmp_path / "network.safetensors")
    network = load_network(tmp_path / "network.safetensors")
    assert not network.training
    assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in weights.items())
    with pytest.raises(WeightsMissing, match="There is no file"):
        load_network(tmp_path / "another.safetensors")
    weights.pop(sorted(weights)[0])
    save_file(weights, tmp_path / "network.safetensors")
    with pytest.raises(WeightsInvalid, match="does not hold this network's weights"):
        load_network(tmp_path / "network.safetensors")


@pytest.mark.parametrize("refined", [False, True])
def test_a_frame_that_has_none_before_it_is_colored_by_the_others(refined: bool) -> None:
    given = offers()
    color = torch.full_like(given.direct[:, :2], 0.2)
    direct = torch.cat([color, torch.zeros_like(color), torch.ones_like(color[:, :1])], 1)
    matched = given.matched.clone()
    matched[:, :2] = 0.2
    with torch.no_grad():
        fused = Fusion(refined=refined)(
            replace(given, previous=None, direct=direct, matched=matched, remembered=matched if refined else None)
        )
    torch.testing.assert_close(fused.chroma, color, atol=0.03 if refined else 1e-5, rtol=0)


def test_without_a_refinement_nothing_is_remembered() -> None:
    given = offers()
    network = Fusion(refined=False)
    with torch.no_grad():
        fused = network(replace(given, remembered=None))
    assert fused.chroma.shape == (1, 2, 24, 40)
    assert 0 <= fused.confidence.min() <= fused.confidence.max() <= 1


def test_every_weight_is_reached_by_a_gradient() -> None:
    network = RetintNetwork(refined=True)
    # As built, the last layers are zero and pass no gradient on.
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    described = network.description(features())
    found = network.description.look_up(
        network.description.placed(described), network.description.as_keys(described), torch.rand(1, 4, 96)
    )
    given = offers(height=32, width=48)
    matched = matched_planes(found, given.luma)
    fused = network.fusion(
        Offers(luma=given.luma, previous=given.previous, direct=given.direct, matched=matched, remembered=matched)
    )
    (fused.chroma.square().sum() + fused.confidence.square().sum()).backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in network.parameters())
