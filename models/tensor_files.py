"""Files of tensors: torch's own and safetensors, read without running what may be in them."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from models.errors import WeightsInvalid

State = dict[str, Tensor]
"""Tensors by name, floating ones in float32."""


def read_torch(source: Path | BinaryIO, *, name: str) -> object:
    """What torch saved in `source`, a file that is called `name` in errors.

    Nothing in it is executed: torch reads it with `weights_only`, which refuses everything but tensors.

    Raises:
        WeightsInvalid: the file is damaged, or holds code.
        FileNotFoundError: there is no such file.
    """
    try:
        with warnings.catch_warnings():
            # Files of 2019 hold storages of a kind that newer releases of torch read with a deprecation warning.
            warnings.simplefilter("ignore")
            content: object = torch.load(source, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # Damaged bytes make the unpickler raise nearly anything; all of it means one thing.
        raise WeightsInvalid(
            f"{name} cannot be read as tensors alone: it is damaged, or it holds code, which is never run."
            " Fetch it again from its publisher."
        ) from error
    return content


def read_safetensors(path: Path) -> State:
    """All tensors of a safetensors file, as they are stored.

    Raises:
        WeightsInvalid: it is damaged, or none.
        FileNotFoundError: there is no such file.
    """
    try:
        tensors: State = load_file(path)
    except SafetensorError as error:
        raise WeightsInvalid(f"{path.name} is no safetensors file, or is damaged: {error}.") from error
    return tensors


def checked_state(content: object, *, name: str) -> State:
    """`content` as tensors by name, where it is nothing else; `name` is the file's, for errors.

    Raises:
        WeightsInvalid: it is something else, or holds values that are not finite.
    """
    if not isinstance(content, Mapping):
        raise WeightsInvalid(f"{name} holds no tensors by name where the published file does.")
    state: State = {}
    for key, tensor in content.items():
        if not isinstance(key, str) or not isinstance(tensor, Tensor) or tensor.layout != torch.strided:
            raise WeightsInvalid(f"{name} holds {key!r}, which is no plain tensor.")
        if tensor.is_floating_point():
            tensor = tensor.detach().to(torch.float32)
            if not bool(torch.isfinite(tensor).all()):
                raise WeightsInvalid(f"{name} is damaged: {key} holds values that are not finite.")
        state[key] = tensor
    return state


def fill(network: nn.Module, state: State, *, name: str) -> None:
    """Give `network`, on the meta device, exactly the tensors of `state`; `name` is what errors call the state.

    Raises:
        WeightsInvalid: a tensor is missing, left over or of another shape.
    """
    try:
        network.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        raise WeightsInvalid(f"{name} does not fit the network. {error}") from error
