"""The weight files that the service knows and does not ship, as data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from models.errors import WeightsInvalid

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """A file that can be fetched."""

    url: str
    bytes: int
    """About how large the file is; an answer of more than twice that is not it."""
    algorithm: Literal["md5", "sha256"]
    """What `digest` is of the file as published."""
    digest: str


@dataclass(frozen=True, slots=True)
class KnownWeights:
    """The published weights of one model."""

    name: str
    """The model's name."""
    title: str
    published: PublishedFile | None
    """None: they come in an archive that the user gets from `source`, and are only imported."""
    source: str
    """A page that says where they come from."""
    files: tuple[str, ...]
    """Names of the files as published."""
    license: str
    """SPDX identifier."""
    license_summary: str
    """What the license asks, in sentences."""
    license_url: str
    read: Callable[[Sequence[Path]], "dict[str, Tensor]"]
    """Reads the files as published, or the one converted, into the tensors to keep, and checks that they fit the model.

    Raises WeightsInvalid.
    """


def _read_deepremaster(paths: Sequence[Path]) -> "dict[str, Tensor]":
    # Imported here, so that listing what is known does not wait for torch.
    from models.deepremaster.checkpoint import build_networks, read_checkpoint

    if len(paths) != 1:
        raise WeightsInvalid(f"The weights of deepremaster are one file, remasternet.pth.tar; {len(paths)} were given.")
    checkpoint = read_checkpoint(paths[0])
    build_networks(checkpoint)
    return checkpoint.flat()


def _read_exemplar(paths: Sequence[Path]) -> "dict[str, Tensor]":
    from models.exemplar.checkpoint import build_networks, read_checkpoint

    checkpoint = read_checkpoint(paths)
    build_networks(checkpoint)
    return checkpoint.flat()


_DEEPREMASTER = KnownWeights(
    name="deepremaster",
    title="DeepRemaster, by Satoshi Iizuka and Edgar Simo-Serra (2019)",
    published=PublishedFile(
        url="http://iizuka.cs.tsukuba.ac.jp/data/remasternet.pth.tar",
        bytes=257_000_000,
        algorithm="md5",
        digest="1219f5830e4a7208b1c7ba2f089a16c8",
    ),
    source="http://iizuka.cs.tsukuba.ac.jp/projects/remastering/en/index.html",
    files=("remasternet.pth.tar",),
    license="CC-BY-NC-SA-4.0",
    license_summary=(
        "You may share and adapt the weights for noncommercial purposes only. You must give credit to their authors,"
        " and share what you adapt under the same license. They come without warranty."
    ),
    license_url="https://creativecommons.org/licenses/by-nc-sa/4.0/legalcode",
    read=_read_deepremaster,
)

_EXEMPLAR = KnownWeights(
    name="exemplar",
    title="Deep exemplar-based video colorization, by Zhang et al. (2019)",
    published=None,
    source="https://github.com/zhangmozhe/Deep-Exemplar-based-Video-Colorization",
    files=("vgg19_conv.pth", "nonlocal_net_iter_76000.pth", "colornet_iter_76000.pth"),
    license="MIT",
    license_summary="The code that the weights come with is under the MIT license; they name none of their own.",
    license_url="https://opensource.org/license/mit",
    read=_read_exemplar,
)

CATALOG: Mapping[str, KnownWeights] = MappingProxyType({entry.name: entry for entry in (_DEEPREMASTER, _EXEMPLAR)})
"""By model name."""
