"""Packs the keyframes of a video into one file."""

import zipfile
from pathlib import Path

from worker.keyframes import FoundKeyframes, KeyframesTask, find_keyframes
from worker.observer import Observer


def archive_keyframes(task: KeyframesTask, *, into: Path, pictures: Path, observer: Observer) -> FoundKeyframes:
    """Write a zip of the keyframes' pictures and their list, as they are found, and the files by themselves into the
    folder `pictures`: what is to be had alone must be a file alone where the API does not read the files.

    The same video makes the same file, byte for byte.

    Raises:
        As `find_keyframes`.
    """
    # PNG is compressed already.
    with zipfile.ZipFile(into, "w", compression=zipfile.ZIP_STORED) as archive:

        def keep(name: str, content: bytes) -> None:
            # Without the time of day, which a plain name would carry.
            archive.writestr(zipfile.ZipInfo(name), content)
            (pictures / name).write_bytes(content)

        return find_keyframes(task, keep=keep, observer=observer)
