"""Weights that the user fetches or brings: checked, converted to safetensors, kept in one folder."""

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from models.catalog import CATALOG, KnownWeights, PublishedFile
from models.download import OnProgress, discard, download, ignore
from models.errors import DownloadFailed, LicenseNotAccepted, ModelError, WeightsInvalid, WeightsMissing

if TYPE_CHECKING:
    from torch import Tensor

Catalog = Mapping[str, KnownWeights]


def known(name: str, *, catalog: Catalog = CATALOG) -> KnownWeights:
    """The catalog's entry of a model.

    Raises:
        ModelError: the catalog has no such model.
    """
    if name not in catalog:
        raise ModelError(f"No weights are known by the name {name!r}; there are {', '.join(sorted(catalog))}.")
    return catalog[name]


def path_of(name: str, folder: Path) -> Path:
    """Where a model's weights are, once they are installed."""
    return folder / f"{name}.safetensors"


def installed(name: str, folder: Path) -> Path | None:
    """The model's weight file in `folder`, or None; whether it is intact shows when it is loaded."""
    path = path_of(name, folder)
    return path if path.is_file() else None


def fetch(
    name: str,
    folder: Path,
    *,
    accept_license: bool = False,
    url: str | None = None,
    on_progress: OnProgress = ignore,
    catalog: Catalog = CATALOG,
) -> Path:
    """Download a model's weights into `folder`, check them, convert them; returns the safetensors file.

    Intact weights that are there already are not fetched again; a download that was cut off goes on. `url` stands in
    for the published address, as of a mirror; the checksum stays the published file's.

    Raises:
        LicenseNotAccepted: `accept_license` is false; the message shows the license.
        DownloadFailed: the server did not deliver, or `folder` cannot be written.
        WeightsInvalid: what came has another checksum, or does not fit the model. It is deleted.
        WeightsMissing: the model's weights are not published as a file to fetch; the message says where they are.
        ModelError: the catalog has no such model.
    """
    entry = known(name, catalog=catalog)
    published = entry.published
    if published is None:
        raise WeightsMissing(
            f"The weights of {name} come in an archive that cannot be fetched from here. Get it from {entry.source},"
            f" then run: retint weights import {name} {' '.join(entry.files)} (or the archive itself, as a zip)"
        )
    if not accept_license:
        raise LicenseNotAccepted(license_notice(entry))
    try:
        with _locked(folder, name):
            present = installed(name, folder)
            if present is not None and _is_intact(present, entry):
                return present
            part = folder / f"{name}.part"
            address = url or published.url
            download(address, part, at_most_bytes=2 * published.bytes, on_progress=on_progress)
            try:
                _check_digest(part, published, name=name)
                return _install([part], entry, folder=folder, source=address)
            finally:
                discard(part)
    except OSError as error:
        raise DownloadFailed(f"The weights cannot be kept in {folder}: {error.strerror or error}.") from error


def import_files(name: str, paths: Sequence[Path], folder: Path, *, catalog: Catalog = CATALOG) -> Path:
    """Take files that the user has, as published or as safetensors, into `folder`; returns the safetensors file.

    They may be the user's own training: they must fit the model, not the published checksum.

    Raises:
        WeightsMissing: there is no such file.
        WeightsInvalid: a file is damaged, does not fit the model, or holds code.
        ModelError: the catalog has no such model, or `folder` cannot be written.
    """
    entry = known(name, catalog=catalog)
    for path in paths:
        if not path.is_file():
            raise WeightsMissing(f"There is no file {path} to import. Give the path of the weights of {name}.")
    try:
        with _locked(folder, name):
            return _install(paths, entry, folder=folder, source=", ".join(path.name for path in paths))
    except OSError as error:
        raise ModelError(f"{_names(paths)} cannot be imported into {folder}: {error.strerror or error}.") from error


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(map(str, paths))


def license_notice(entry: KnownWeights) -> str:
    """What the user is told before weights of another party are fetched."""
    return (
        f"The weights of {entry.title} are under {entry.license}. {entry.license_summary}"
        f" The license: {entry.license_url}. If you accept it, run:"
        f" retint weights fetch {entry.name} --accept-license"
    )


def _check_digest(path: Path, published: PublishedFile, *, name: str) -> None:
    found = _digest(path, published.algorithm)
    if found != published.digest:
        raise WeightsInvalid(
            f"What was downloaded for {name} is not the published file: its {published.algorithm} is {found},"
            f" expected {published.digest}. It was deleted; fetch again, or from another --url."
        )


def _digest(path: Path, algorithm: str) -> str:
    # MD5 finds damage, not malice; nothing in the file is executed, whoever wrote it.
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def _is_intact(path: Path, entry: KnownWeights) -> bool:
    try:
        entry.read([path])
    except WeightsInvalid:
        return False
    return True


def _install(paths: Sequence[Path], entry: KnownWeights, *, folder: Path, source: str) -> Path:
    tensors = entry.read(paths)
    metadata = {
        "format": "pt",
        "model": entry.name,
        "title": entry.title,
        "license": entry.license,
        "license_url": entry.license_url,
        "source": source,
        "source_sha256": ", ".join(_digest(path, "sha256") for path in paths),
    }
    target = path_of(entry.name, folder)
    _write(tensors, target, metadata=metadata)
    return target


def _write(tensors: "dict[str, Tensor]", target: Path, *, metadata: dict[str, str]) -> None:
    """All of the file or none of it: readers never see half a file under the final name."""
    from safetensors.torch import save_file

    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    unfinished = Path(name)
    try:
        save_file(tensors, unfinished, metadata=metadata)
        os.fsync(descriptor)
        unfinished.chmod(0o644)
        unfinished.replace(target)
    finally:
        os.close(descriptor)
        unfinished.unlink(missing_ok=True)


@contextmanager
def _locked(folder: Path, name: str) -> Iterator[None]:
    """One process at a time installs a model's weights; the lock goes with the process that holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ModelError(f"Another process is installing the weights of {name} just now. Wait for it.") from error
        yield
