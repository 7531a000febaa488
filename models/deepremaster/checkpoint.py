"""Weight files of DeepRemaster: torch's own (as published) and safetensors (as cached), read without running code."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from models.deepremaster.colorization import ColorizationNetwork
from models.deepremaster.restoration import RestorationNetwork
from models.errors import WeightsInvalid

State = dict[str, Tensor]

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

    Nothing in the file is executed: torch reads it with `weights_only`, which refuses everything but tensors.

    Raises:
        WeightsInvalid: the file is damaged, holds something else, or holds code.
        FileNotFoundError: there is no such file.
    """
    if path.suffix == ".safetensors":
        try:
            return _unflatten(load_file(path), path=path)
        except SafetensorError as error:
            raise WeightsInvalid(f"{path.name} is no safetensors file, or is damaged: {error}.") from error
    try:
        with warnings.catch_warnings():
            # Files of 2019 hold storages of a kind that newer releases of torch read with a deprecation warning.
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # Damaged bytes make the unpickler raise nearly anything; all of it means one thing.
        raise WeightsInvalid(
            f"{path.name} cannot be read as tensors alone: it is damaged, or it holds code, which is never run."
            " Fetch it again from its publisher."
        ) from error
    return _check(content, path=path)


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
        restoration=_state(content[RESTORATION], path=path), colorization=_state(content[COLORIZATION], path=path)
    )


def _state(entry: object, *, path: Path) -> State:
    if not isinstance(entry, Mapping):
        raise WeightsInvalid(f"{path.name} holds no tensors by name where DeepRemaster's file does.")
    state: State = {}
    for name, tensor in entry.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor) or tensor.layout != torch.strided:
            raise WeightsInvalid(f"{path.name} holds {name!r}, which is no plain tensor.")
        if tensor.is_floating_point():
            tensor = tensor.detach().to(torch.float32)
            if not bool(torch.isfinite(tensor).all()):
                raise WeightsInvalid(f"{path.name} is damaged: {name} holds values that are not finite.")
        state[name] = tensor
    return state


def build_networks(checkpoint: Checkpoint) -> tuple[RestorationNetwork, ColorizationNetwork]:
    """R and C on the CPU with the checkpoint's weights, at the width that its shapes show, in evaluation mode.

    Raises:
        WeightsInvalid: a tensor is missing, left over or of another shape.
    """
    # On the meta device nothing is drawn at random first, only to be replaced.
    with torch.device("meta"):
        restoration = RestorationNetwork(width=_width(checkpoint.restoration, "layers.1.conv3d.weight"))
        colorization = ColorizationNetwork(width=_width(checkpoint.colorization, "down1.1.conv3d.weight"))
    _fill(restoration, checkpoint.restoration, entry=RESTORATION)
    _fill(colorization, checkpoint.colorization, entry=COLORIZATION)
    return restoration.eval(), colorization.eval()


def _width(state: State, first_layer: str) -> float:
    """The width factor: the first layer gives 64 channels at width 1."""
    tensor = state.get(first_layer)
    if tensor is None or tensor.ndim == 0 or tensor.shape[0] == 0:
        raise WeightsInvalid(f"The checkpoint has no {first_layer}, so it is not DeepRemaster's.")
    return tensor.shape[0] / 64


def _fill(network: nn.Module, state: State, *, entry: str) -> None:
    try:
        network.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        raise WeightsInvalid(f"The checkpoint's {entry} does not fit the network. {error}") from error
