"""At full width, the networks compute what an independent rewriting of METHOD's description in NumPy computes.

`expected.npz` is written by `rederive.py`, which imports neither torch nor this project.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import torch
from seeded_weights import picture, weight
from torch import Tensor, nn

from models.base import Reference
from models.deepremaster.colorization import ColorizationNetwork
from models.deepremaster.restoration import RestorationNetwork
from models.exemplar.checkpoint import Networks
from models.exemplar.coloring import ColorNetwork
from models.exemplar.colorizer import ExemplarColorizer
from models.exemplar.features import FeatureNetwork
from models.exemplar.matching import MatchingNetwork

EXPECTED = np.load(Path(__file__).with_name("expected.npz"))
RELATIVE = 1e-4
Network = TypeVar("Network", bound=nn.Module)
REFERENCES = {"none": None, "one": (1, 1, 3, 37, 50), "three": (1, 3, 3, 32, 48)}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The pictures are small: on a busy machine, threads that wait for each other would take most of the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def seeded(network: Network, name: str) -> Network:
    """With the weights that the expected figures were computed with."""
    state = {key: torch.from_numpy(weight(name, key, tuple(t.shape))) for key, t in network.state_dict().items()}
    network.load_state_dict(state, strict=True, assign=True)
    return network.eval()


def input_of(name: str, *shape: int) -> Tensor:
    return torch.from_numpy(picture(name, shape))


def assert_agrees(found: Tensor, name: str, *, recurrent: bool = False) -> None:
    """Every value within 1e-4 of itself, or of the values' spread where it is nearer to zero than that.

    Where rounding adds up from frame to frame, within 1e-4 of the largest value: seven frames on, single pixels differ
    by up to 1.2e-4 of the spread.
    """
    expected = torch.from_numpy(EXPECTED[name]).double()
    difference = (found[..., ::2, ::2].double() - expected).abs()
    spread = expected.std()
    assert spread > 0.02 * expected.abs().max(), "figures that hardly vary show nothing"
    least = expected.abs().max() if recurrent else spread
    relative = difference / expected.abs().clamp(min=float(least))
    assert relative.max() <= RELATIVE


@pytest.fixture(scope="module")
def restoration() -> RestorationNetwork:
    with torch.device("meta"):
        network = RestorationNetwork()
    return seeded(network, "R")


@pytest.fixture(scope="module")
def colorization() -> ColorizationNetwork:
    with torch.device("meta"):
        network = ColorizationNetwork()
    return seeded(network, "C")


@pytest.fixture(scope="module")
def exemplar() -> ExemplarColorizer:
    with torch.device("meta"):
        features, matching, coloring = FeatureNetwork(), MatchingNetwork(), ColorNetwork()
    return ExemplarColorizer(
        Networks(seeded(features, "vgg19"), seeded(matching, "nonlocal"), seeded(coloring, "colornet"))
    )


@pytest.mark.parametrize("frames", [1, 5, 7])
@pytest.mark.parametrize(("height", "width"), [(32, 48), (20, 28)])
def test_network_r_agrees(restoration: RestorationNetwork, frames: int, height: int, width: int) -> None:
    x = input_of(f"mono {height}", 1, frames, height, width)[None]
    with torch.no_grad():
        assert_agrees(restoration(x)[0], f"R {frames} {height}")


@pytest.mark.parametrize("frames", [1, 5, 7])
@pytest.mark.parametrize("references", ["none", "one", "three"])
def test_network_c_agrees(colorization: ColorizationNetwork, frames: int, references: str) -> None:
    x = input_of("mono", 1, frames, 32, 48)[None]
    shape = REFERENCES[references]
    seen = None if shape is None else input_of(f"references {references}", *shape[1:])[None]
    with torch.no_grad():
        assert_agrees(colorization(x, seen)[0], f"C {frames} {references}")


@pytest.mark.parametrize("starts_on_it", [True, False])
@pytest.mark.parametrize(("height", "width"), [(32, 48), (40, 48)])
def test_the_exemplar_model_agrees_over_seven_frames(
    exemplar: ExemplarColorizer, starts_on_it: bool, height: int, width: int
) -> None:
    film = input_of(f"film {height}", 7, height, width)
    reference = Reference(rgb=input_of(f"exemplar {height}", 3, height, width), luma=film[0], is_frame=starts_on_it)
    outputs: list[Tensor] = []
    hook = exemplar._networks.coloring.register_forward_hook(lambda _, __, output: outputs.append(output[0]))
    try:
        list(exemplar.colorize(film, [reference], matrix="bt601"))
    finally:
        hook.remove()
    assert_agrees(torch.stack(outputs), f"exemplar {height} {starts_on_it}", recurrent=True)
