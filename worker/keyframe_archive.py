"""Packs the keyframes of a video into one file."""

import zipfile
from pathlib import Path

from worker.keyframes import FoundKeyframes, KeyframesTask, find_keyframes
from worker.observer import Observer


def archive_keyframes(task: KeyframesTask, *, into: Path, observer: Observer) -> FoundKeyframes:
    """Write a zip of the keyframes' pictures and their list, as they are found.

    The same video makes the same file, byte for byte.

    Raises:
        As `find_keyframes`.
    """
    # PNG is compressed already; as it stands, one picture can be read out of the middle.
    with zipfile.ZipFile(into, "w", compression=zipfile.ZIP_STORED) as archive:

        def keep(name: str, content: bytes) -> None:
            # Without the time of day, which a plain name would carry.
            archive.writestr(zipfile.ZipInfo(name), content)

        return find_keyframes(task, keep=keep, observer=observer)
