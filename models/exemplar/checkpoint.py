"""Weight files of the exemplar model: the three that were published, a zip that holds them, or the safetensors made."""

import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import torch

from models.errors import WeightsInvalid
from models.exemplar.coloring import ColorNetwork
from models.exemplar.features import FeatureNetwork
from models.exemplar.matching import MatchingNetwork
from models.tensor_files import State, checked_state, fill, read_safetensors, read_torch

PUBLISHED = {
    "vgg19": "vgg19_conv.pth",
    "nonlocal": "nonlocal_net_iter_76000.pth",
    "colornet": "colornet_iter_76000.pth",
}
"""Files by network; in safetensors, the networks are prefixes of the tensors' names."""
_SIGNS = {"vgg19": "conv5_4.weight", "nonlocal": "theta.weight", "colornet": "conv10_ab.weight"}
"""A tensor that only this network has: by it a file is known, whatever it is called."""
_LARGEST_MEMBER = 2**31
"""Bytes that one file of a zip may become; the published ones are 140 MB at most."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The tensors of the three networks, by their published names."""

    features: State
    matching: State
    coloring: State

    def flat(self) -> State:
        """One flat dict as safetensors wants it: `vgg19.`, `nonlocal.` and `colornet.` before each name."""
        states = {"vgg19": self.features, "nonlocal": self.matching, "colornet": self.coloring}
        return {
            f"{network}.{name}": tensor.contiguous()
            for network, state in states.items()
            for name, tensor in state.items()
        }


@dataclass(frozen=True, slots=True)
class Networks:
    features: FeatureNetwork
    matching: MatchingNetwork
    coloring: ColorNetwork


def read_checkpoint(paths: Sequence[Path]) -> Checkpoint:
    """Read the three published files in any order, a zip that holds them, or the safetensors made of them.

    Nothing in a file is executed, see `models.tensor_files.read_torch`.

    Raises:
        WeightsInvalid: a file is damaged, holds something else or code; one of the three is missing or there twice.
        FileNotFoundError: there is no such file.
    """
    states: dict[str, State] = {}
    for name, state in _states(paths):
        network = _network_of(state, name=name)
        if network in states:
            raise WeightsInvalid(f"{name} is a second file like {PUBLISHED[network]}; give each of the three once.")
        states[network] = state
    missing = [file for network, file in PUBLISHED.items() if network not in states]
    if missing:
        raise WeightsInvalid(
            f"{_listed(missing)} {'is' if len(missing) == 1 else 'are'} missing. Give {_listed(PUBLISHED.values())}, "
            "or the zip that holds them."
        )
    return Checkpoint(features=states["vgg19"], matching=states["nonlocal"], coloring=states["colornet"])


def _states(paths: Sequence[Path]) -> Iterable[tuple[str, State]]:
    """The tensors of every file, with the file's name."""
    for path in paths:
        if path.suffix == ".safetensors":
            yield from _unflatten(read_safetensors(path), name=path.name)
        elif (members := _published_members(path)) is not None:
            yield from members
        else:
            yield path.name, checked_state(read_torch(path, name=path.name), name=path.name)


def _unflatten(tensors: Mapping[str, torch.Tensor], *, name: str) -> Iterable[tuple[str, State]]:
    states: dict[str, State] = {network: {} for network in PUBLISHED}
    for full_name, tensor in tensors.items():
        network, _, own_name = full_name.partition(".")
        if network not in states:
            raise WeightsInvalid(f"{name} holds {full_name!r}, which is no tensor of the exemplar model.")
        states[network][own_name] = tensor
    return [(name, checked_state(state, name=name)) for state in states.values() if state]


def _published_members(path: Path) -> list[tuple[str, State]] | None:
    """The published files in a zip; None where `path` is none, or is the zip that torch itself writes."""
    if not zipfile.is_zipfile(path):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            if any(PurePosixPath(info.filename).name == "data.pkl" for info in archive.infolist()):
                return None
            wanted = [info for info in archive.infolist() if PurePosixPath(info.filename).name in PUBLISHED.values()]
            if too_large := [info.filename for info in wanted if info.file_size > _LARGEST_MEMBER]:
                raise WeightsInvalid(f"{path.name} is damaged: {too_large[0]} would be larger than 2 GiB.")
            read = [(PurePosixPath(info.filename).name, archive.read(info)) for info in wanted]
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise WeightsInvalid(f"{path.name} is damaged, or a zip that needs a password: {error}.") from error
    return [(name, checked_state(read_torch(io.BytesIO(data), name=name), name=name)) for name, data in read]


def _network_of(state: State, *, name: str) -> str:
    for network, sign in _SIGNS.items():
        if sign in state:
            return network
    raise WeightsInvalid(f"{name} is none of {_listed(PUBLISHED.values())}: it holds none of their tensors.")


def _listed(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def build_networks(checkpoint: Checkpoint) -> Networks:
    """The networks on the CPU with the checkpoint's weights, at the widths that its shapes show.

    Raises:
        WeightsInvalid: a tensor is missing, left over or of another shape.
    """
    # On the meta device nothing is drawn at random first, only to be replaced.
    with torch.device("meta"):
        networks = Networks(
            features=FeatureNetwork(width=_width(checkpoint.features, "conv1_1.weight")),
            matching=MatchingNetwork(width=_width(checkpoint.matching, "layer2_1.5.weight")),
            coloring=ColorNetwork(width=_width(checkpoint.coloring, "conv1_2.weight")),
        )
    fill(networks.features, checkpoint.features, name=PUBLISHED["vgg19"])
    fill(networks.matching, checkpoint.matching, name=PUBLISHED["nonlocal"])
    fill(networks.coloring, checkpoint.coloring, name=PUBLISHED["colornet"])
    return networks


def _width(state: State, layer: str) -> float:
    """The width factor by a layer that gives 64 channels at width 1."""
    tensor = state.get(layer)
    if tensor is None or tensor.ndim == 0 or tensor.shape[0] == 0:
        raise WeightsInvalid(f"The checkpoint has no {layer}, so it is not that of the exemplar model.")
    return tensor.shape[0] / 64
