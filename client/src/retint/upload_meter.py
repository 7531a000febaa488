"""How far an upload is, for those who watch it."""

from collections.abc import Callable

UploadProgress = Callable[[int, int], None]
"""Called with the bytes sent and the bytes in all."""


class UploadMeter:
    """Never tells less than it did before: what had to be sent again counts once."""

    def __init__(self, total: int, on_upload: UploadProgress | None) -> None:
        self._total = total
        self._on_upload = on_upload
        self._told = 0

    def reached(self, position: int) -> None:
        """`position`: bytes from the start of all that is to be sent; beyond the end counts as the end."""
        position = min(position, self._total)
        if self._on_upload is not None and position > self._told:
            self._told = position
            self._on_upload(position, self._total)
