"""Checkpoints as their authors publish them, of random weights and narrow enough for a test."""

from pathlib import Path

import torch
from torch import Tensor

from models.deepremaster.colorization import ColorizationNetwork
from models.deepremaster.restoration import RestorationNetwork
from models.exemplar.checkpoint import PUBLISHED
from models.exemplar.coloring import ColorNetwork
from models.exemplar.features import FeatureNetwork
from models.exemplar.matching import MatchingNetwork

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


def random_exemplar(*, width: float = 1 / 16, seed: int = 0) -> Content:
    """What the exemplar model's published files hold, by file name, at another width."""
    generator = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        networks = FeatureNetwork(width=width), MatchingNetwork(width=width), ColorNetwork(width=width)
    content: Content = {}
    for file, network in zip(PUBLISHED.values(), networks, strict=True):
        state = {}
        for name, tensor in network.state_dict().items():
            noise = torch.randn(tensor.shape, generator=generator)
            if tensor.ndim > 1:
                state[name] = noise * (2.0 / max(1, tensor[0].numel())) ** 0.5
            else:
                state[name] = 0.25 + 0.1 * noise if name.endswith("weight") else 0.1 * noise
        content[file] = state
    return content


def write_exemplar(folder: Path, content: Content) -> list[Path]:
    """The three files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, state in content.items():
        torch.save(state, folder / name)
    return [folder / name for name in content]
