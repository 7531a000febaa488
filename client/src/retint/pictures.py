"""Keyframes' pictures: a folder of them out of the archive in which they come."""

import shutil
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from retint.local_files import writing


def archive_of(target: Path) -> Path:
    """Where the archive goes: to `target` itself if that is to be one, or else beside the folder that it is to be."""
    return target if target.suffix.lower() == ".zip" else target.with_name(f".{target.name}.keyframes.zip")


def unpack(archive: Path, *, into: Path) -> Path:
    """Put the archive's files into a folder, each whole or not at all, and remove the archive.

    Raises:
        FileUnwritable: the folder does not take them.
    """
    with writing(into):
        into.mkdir(exist_ok=True)
        with TemporaryDirectory(dir=into, prefix=".unpacking-") as scratch, zipfile.ZipFile(archive) as files:
            for entry in files.infolist():
                # The last step alone: no name leads out of the folder.
                name = Path(entry.filename).name
                part = Path(scratch, name)
                with files.open(entry) as source, part.open("wb") as target:
                    shutil.copyfileobj(source, target)
                part.replace(into / name)
        archive.unlink()
    return into
