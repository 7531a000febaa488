"""The default model's network: what it fuses from what is offered, and weights that load strictly."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from models.errors import WeightsInvalid, WeightsMissing
from models.retint.fusion import Fusion, Prior, evidence, oddity
from models.retint.network import RetintNetwork, load_network
from models.retint.offers import FLOWN, OFFERS, PLANES, Offers, memory_offer, reference_offers, source_of
from tests.models.test_retint_matching import features


def offers(*, height: int = 24, width: int = 40, seed: int = 0) -> Offers:
    generator = torch.Generator().manual_seed(seed)
    planes = torch.rand(1, len(OFFERS), PLANES, height, width, generator=generator)
    planes[:, :, :2] -= 0.5
    return Offers(luma=torch.rand(1, 1, 2 * height, 2 * width, generator=generator), planes=planes)


@pytest.mark.parametrize(("height", "width"), [(24, 40), (4, 4), (20, 44), (28, 36)])
def test_an_untrained_network_weighs_as_its_prior_does(height: int, width: int) -> None:
    given = offers(height=height, width=width)
    network = Fusion()
    with torch.no_grad():
        network.prior.coefficients.zero_()
        fused = network(given)
    assert fused.chroma.shape == (1, 2, height, width)
    assert fused.confidence.shape == (1, 1, height, width)
    # To start from, next to nothing is left without color.
    torch.testing.assert_close(fused.chroma, given.chromas.mean(1), atol=2e-3, rtol=0)


def test_a_pixel_for_which_no_offer_is_good_is_left_without_color_and_without_confidence() -> None:
    given, network = offers(), Fusion()
    with torch.no_grad():
        network.out.bias[4 * len(OFFERS) : -4] = 40.0
        fused = network(given)
    torch.testing.assert_close(fused.chroma, torch.zeros_like(fused.chroma))
    torch.testing.assert_close(fused.confidence, torch.zeros_like(fused.confidence))


def test_no_color_is_invented() -> None:
    torch.manual_seed(0)
    network, given = Fusion(), offers()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    with torch.no_grad():
        fused = network(given)
    assert (fused.chroma <= given.chromas.amax(1).clamp(min=0) + 1e-5).all()
    assert (fused.chroma >= given.chromas.amin(1).clamp(max=0) - 1e-5).all()
    assert 0 <= fused.confidence.min() <= fused.confidence.max() <= 1


def test_evidence_lowers_the_weight_of_the_offer_that_it_speaks_against() -> None:
    clear = torch.zeros(1, len(OFFERS), PLANES, 8, 8)
    spoken = clear.clone()
    spoken[:, 1, 2] = 0.2
    with torch.no_grad():
        weights, before = (Prior()(evidence(planes)).softmax(1) for planes in (spoken, clear))
    assert (weights[:, 1] < 0.2 * before[:, 1]).all()
    assert (weights[:, 0] > before[:, 0]).all()


def test_a_color_that_no_other_offer_has_is_odd() -> None:
    chromas = torch.zeros(1, 4, 2, 2, 2)
    chromas[:, 2, 0] = 0.3
    found = oddity(chromas)
    torch.testing.assert_close(found[:, 2], torch.full((1, 2, 2), 0.3), atol=1e-3, rtol=0)
    torch.testing.assert_close(found[:, [0, 1, 3]], torch.zeros(1, 3, 2, 2), atol=1e-3, rtol=0)


@pytest.mark.parametrize("offers", [1, 2, 7, 8])
def test_how_odd_a_color_is_is_told_from_the_lower_median(offers: int) -> None:
    chromas = torch.rand(2, offers, 2, 5, 6, generator=torch.Generator().manual_seed(offers))
    median = chromas.median(dim=1, keepdim=True).values
    torch.testing.assert_close(oddity(chromas), (chromas - median).norm(dim=2), atol=2e-4, rtol=0)


def test_trained_weights_load_strictly_and_what_is_wrong_is_told(tmp_path: Path) -> None:
    weights = RetintNetwork().state_dict()
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


def test_every_weight_is_reached_by_a_gradient() -> None:
    torch.manual_seed(0)
    network = RetintNetwork()
    # As built, the last layers are zero and pass no gradient on.
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    given = offers(height=32, width=48)
    describe = network.description
    picture, low = torch.rand(1, 4, 32, 48), torch.rand(1, 1, 32, 48)
    known, asked = (describe(features(seed=seed), given.luma) for seed in (1, 2))
    sources = [source_of(describe, known, picture=picture)]
    queries = describe.placed(asked)
    found = [
        reference_offers(describe, queries, low, references=sources, pictures=[picture]),
        memory_offer(describe, queries, low, memory=sources),
    ]
    fused = network.fusion(Offers(luma=given.luma, planes=torch.cat([given.planes[:, :FLOWN], *found], 1)))
    (fused.chroma.square().sum() + fused.confidence.square().sum()).backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in network.parameters())
