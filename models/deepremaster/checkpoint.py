"""Weight files of DeepRemaster: torch's own (as published) and safetensors (as cached), read without running code."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from models.deepremaster.colorization import ColorizationNetwork
from models.deepremaster.restoration import RestorationNetwork
from models.errors import WeightsInvalid
from models.tensor_files import State, checked_state, fill, read_safetensors, read_torch

RESTORATION, COLORIZATION = "modelR", "modelC"
"""The entries of the published file; in safetensors, prefixes of the tensors' names."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The tensors of both networks, by their published names."""

    restoration: State
    colorization: State

    def flat(self) -> State:
        """One flat dict as safetensors wants it: `modelR.` and `modelC.` before each name."""
        return {
            f"{prefix}.{name}": tensor.contiguous()
            for prefix, state in ((RESTORATION, self.restoration), (COLORIZATION, self.colorization))
            for name, tensor in state.items()
        }


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a file that torch saved as {"modelR": ..., "modelC": ...}, or the safetensors made of one.

    Raises:
        WeightsInvalid: the file is damaged, holds something else, or holds code.
        FileNotFoundError: there is no such file.
    """
    if path.suffix == ".safetensors":
        return _unflatten(read_safetensors(path), path=path)
    return _check(read_torch(path, name=path.name), path=path)


def _unflatten(tensors: Mapping[str, Tensor], *, path: Path) -> Checkpoint:
    states: dict[str, State] = {RESTORATION: {}, COLORIZATION: {}}
    for full_name, tensor in tensors.items():
        prefix, _, name = full_name.partition(".")
        if prefix not in states:
            raise WeightsInvalid(f"{path.name} holds {full_name!r}, which is no tensor of DeepRemaster.")
        states[prefix][name] = tensor
    return _check(states, path=path)


def _check(content: object, *, path: Path) -> Checkpoint:
    if not isinstance(content, Mapping) or not {RESTORATION, COLORIZATION} <= content.keys():
        raise WeightsInvalid(f"{path.name} is not DeepRemaster's: it has no entries {RESTORATION} and {COLORIZATION}.")
    return Checkpoint(
        restoration=checked_state(content[RESTORATION], name=path.name),
        colorization=checked_state(content[COLORIZATION], name=path.name),
    )


def build_networks(checkpoint: Checkpoint) -> tuple[RestorationNetwork, ColorizationNetwork]:
    """R and C on the CPU with the checkpoint's weights, at the width that its shapes show, in evaluation mode.

    Raises:
        WeightsInvalid: a tensor is missing, left over or of another shape.
    """
    # On the meta device nothing is drawn at random first, only to be replaced.
    with torch.device("meta"):
        restoration = RestorationNetwork(width=_width(checkpoint.restoration, "layers.1.conv3d.weight"))
        colorization = ColorizationNetwork(width=_width(checkpoint.colorization, "down1.1.conv3d.weight"))
    fill(restoration, checkpoint.restoration, name=f"The checkpoint's {RESTORATION}")
    fill(colorization, checkpoint.colorization, name=f"The checkpoint's {COLORIZATION}")
    return restoration.eval(), colorization.eval()


def _width(state: State, first_layer: str) -> float:
    """The width factor: the first layer gives 64 channels at width 1."""
    tensor = state.get(first_layer)
    if tensor is None or tensor.ndim == 0 or tensor.shape[0] == 0:
        raise WeightsInvalid(f"The checkpoint has no {first_layer}, so it is not DeepRemaster's.")
    return tensor.shape[0] / 64
