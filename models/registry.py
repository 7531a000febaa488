"""Models by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch

from models.base import Colorizer, ModelDescription
from models.errors import ModelError, WeightsInvalid, WeightsMissing
from models.weights import installed


@dataclass(frozen=True, slots=True)
class _Entry:
    """One model; each function imports the model's code when it is called, so that others do not wait for it."""

    describe: Callable[[], ModelDescription]
    load: Callable[[torch.device, Path], Colorizer]
    ships_weights: bool
    """Whether the weights are part of the distribution."""


def load(name: str, *, device: torch.device, weights_folder: Path) -> Colorizer:
    """The model with its pretrained weights on `device`.

    Raises:
        WeightsMissing: its weights are not in `weights_folder`; the message says how they get there.
        WeightsInvalid: its weight file is damaged.
        OutOfMemory: the device does not hold it.
        ModelError: there is no such model.
    """
    return _entry(name).load(device, weights_folder)


def describe() -> list[ModelDescription]:
    """Every model, the default first."""
    return [entry.describe() for entry in _ENTRIES.values()]


def weights_present(name: str, weights_folder: Path) -> bool:
    """Whether the model could be loaded now.

    Raises:
        ModelError: there is no such model.
    """
    return _entry(name).ships_weights or installed(name, weights_folder) is not None


def _entry(name: str) -> _Entry:
    if name not in _ENTRIES:
        raise ModelError(f"There is no model {name!r}; there are {', '.join(_ENTRIES)}.")
    return _ENTRIES[name]


def _describe_retint() -> ModelDescription:
    from models.retint.colorizer import DESCRIPTION

    return DESCRIPTION


def _load_retint(device: torch.device, _: Path) -> Colorizer:
    from models.retint.colorizer import RetintColorizer

    return RetintColorizer.load(device)


def _describe_deepremaster() -> ModelDescription:
    from models.deepremaster.colorizer import DESCRIPTION

    return DESCRIPTION


def _load_deepremaster(device: torch.device, weights_folder: Path) -> Colorizer:
    from models.deepremaster.colorizer import DESCRIPTION, DeepRemasterColorizer

    path = installed("deepremaster", weights_folder)
    fetching = "`retint weights fetch deepremaster --accept-license`"
    if path is None:
        raise WeightsMissing(
            f"The weights of deepremaster are not in {weights_folder}. They are their authors' to give:"
            f" run {fetching} if you accept their license, {DESCRIPTION.license}, or"
            " `retint weights import deepremaster FILE`."
        )
    try:
        return DeepRemasterColorizer.load(path, device=device)
    except WeightsInvalid as error:
        raise WeightsInvalid(f"{error} Run {fetching} to replace it.") from error


def _describe_exemplar() -> ModelDescription:
    from models.exemplar.colorizer import DESCRIPTION

    return DESCRIPTION


def _load_exemplar(device: torch.device, weights_folder: Path) -> Colorizer:
    from models.exemplar.colorizer import ExemplarColorizer

    path = installed("exemplar", weights_folder)
    command = "`retint weights import exemplar vgg19_conv.pth nonlocal_net_iter_76000.pth colornet_iter_76000.pth`"
    if path is None:
        raise WeightsMissing(
            f"The weights of exemplar are not in {weights_folder}. They are their authors' to give: get their archive,"
            f" then run {command}."
        )
    try:
        return ExemplarColorizer.load(path, device=device)
    except WeightsInvalid as error:
        raise WeightsInvalid(f"{error} Run {command} to replace it.") from error


_ENTRIES: Mapping[str, _Entry] = MappingProxyType(
    {
        "retint": _Entry(describe=_describe_retint, load=_load_retint, ships_weights=True),
        "deepremaster": _Entry(describe=_describe_deepremaster, load=_load_deepremaster, ships_weights=False),
        "exemplar": _Entry(describe=_describe_exemplar, load=_load_exemplar, ships_weights=False),
    }
)
