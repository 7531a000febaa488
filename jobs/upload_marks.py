"""Small files beside an upload's data by which processes tell one another how things stand."""

from contextlib import suppress
from pathlib import Path

from jobs.whole_file import write_whole


class UploadMarks:
    """The marks of one upload."""

    def __init__(self, folder: Path) -> None:
        self._unverified = folder / "unverified"
        self._wanted = folder / "wanted"

    def unverified_from(self) -> int | None:
        """The offset from which on the data still waits for its checksum."""
        try:
            return int(self._unverified.read_text())
        except FileNotFoundError:
            return None

    def set_unverified_from(self, offset: int) -> None:
        write_whole(self._unverified, str(offset))

    def clear_unverified(self) -> None:
        self._unverified.unlink(missing_ok=True)

    def is_wanted(self) -> bool:
        return self._wanted.exists()

    def set_wanted(self) -> None:
        with suppress(FileNotFoundError):  # deleted meanwhile
            self._wanted.touch()

    def clear_wanted(self) -> None:
        self._wanted.unlink(missing_ok=True)
