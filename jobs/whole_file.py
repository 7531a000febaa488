"""Writes small files that are there whole or not at all, also after a crash of the machine."""

import os
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Put `text` at `path`; only one process at a time may do so."""
    partial = path.with_name(f"{path.name}.part")
    with partial.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
