"""Random networks small enough for a test."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.deepremaster.colorization import ColorizationNetwork
from models.deepremaster.colorizer import DeepRemasterColorizer
from models.deepremaster.restoration import RestorationNetwork

Content = dict[str, dict[str, Tensor]]


def random_deepremaster(*, width: float = 1 / 16, seed: int = 0) -> Content:
    """What DeepRemaster's published file holds, at another width, with every statistic and gamma in use."""
    generator = torch.Generator().manual_seed(seed)
    content: Content = {}
    with torch.device("meta"):
        networks = {"modelR": RestorationNetwork(width=width), "modelC": ColorizationNetwork(width=width)}
    for entry, network in networks.items():
        state = {}
        for name, tensor in network.state_dict().items():
            if name.endswith("num_batches_tracked"):
                state[name] = torch.tensor(3)
            elif name.endswith("running_var") or name.endswith("bn.weight"):
                state[name] = torch.rand(tensor.shape, generator=generator) + 0.5
            elif name.endswith("gamma"):
                state[name] = torch.full(tensor.shape, 0.7)
            else:
                fan_in = max(1, tensor[0].numel())
                state[name] = torch.randn(tensor.shape, generator=generator) * (1.7 / fan_in) ** 0.5
        content[entry] = state
    return content


@pytest.fixture
def deepremaster_content() -> Callable[..., Content]:
    return random_deepremaster


@pytest.fixture(scope="session")
def deepremaster_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file like the published one, sixteen times narrower."""
    path = tmp_path_factory.mktemp("deepremaster") / "remasternet.pth.tar"
    torch.save(random_deepremaster(), path)
    return path


@pytest.fixture
def deepremaster(deepremaster_file: Path) -> DeepRemasterColorizer:
    return DeepRemasterColorizer.load(deepremaster_file, device=torch.device("cpu"))
