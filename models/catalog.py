"""The weight files that the service knows and does not ship, as data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class KnownWeights:
    """One published weight file."""

    name: str
    """The model's name."""
    title: str
    url: str
    bytes: int
    """About how large the file is; an answer of more than twice that is not it."""
    algorithm: Literal["md5", "sha256"]
    """What `digest` is of the file as published."""
    digest: str
    license: str
    """SPDX identifier."""
    license_summary: str
    """What the license asks, in sentences."""
    license_url: str
    read: Callable[[Path], "dict[str, Tensor]"]
    """Reads the file as published, or as converted, into the tensors to keep, and checks that they fit the model.

    Raises WeightsInvalid.
    """


def _read_deepremaster(path: Path) -> "dict[str, Tensor]":
    # Imported here, so that listing what is known does not wait for torch.
    from models.deepremaster.checkpoint import build_networks, read_checkpoint

    checkpoint = read_checkpoint(path)
    build_networks(checkpoint)
    return checkpoint.flat()


_DEEPREMASTER = KnownWeights(
    name="deepremaster",
    title="DeepRemaster, by Satoshi Iizuka and Edgar Simo-Serra (2019)",
    url="http://iizuka.cs.tsukuba.ac.jp/data/remasternet.pth.tar",
    bytes=257_000_000,
    algorithm="md5",
    digest="1219f5830e4a7208b1c7ba2f089a16c8",
    license="CC-BY-NC-SA-4.0",
    license_summary=(
        "You may share and adapt the weights for noncommercial purposes only. You must give credit to their authors,"
        " and share what you adapt under the same license. They come without warranty."
    ),
    license_url="https://creativecommons.org/licenses/by-nc-sa/4.0/legalcode",
    read=_read_deepremaster,
)

CATALOG: Mapping[str, KnownWeights] = MappingProxyType({_DEEPREMASTER.name: _DEEPREMASTER})
"""By model name."""
