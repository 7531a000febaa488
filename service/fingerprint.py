"""What makes two submissions the same, for idempotency keys."""

import hashlib
import json

from jobs.options import StrictModel


class Fingerprint:
    """Over what each file is for, its name and its bytes, and what the options mean: not over how a form packs them.

    For each file `begin` it and `add` its bytes.
    """

    def __init__(self) -> None:
        self._files: list[tuple[str, str, hashlib._Hash]] = []

    def begin(self, kind: str, name: str) -> None:
        self._files.append((kind, name, hashlib.sha256()))

    def add(self, data: bytes) -> None:
        self._files[-1][2].update(data)

    def value(self, options: StrictModel) -> str:
        """In hexadecimal, once all files are there."""
        files = sorted((kind, name, digest.hexdigest()) for kind, name, digest in self._files)
        meant = [files, options.model_dump(mode="json", context={"for_redis": True})]
        return hashlib.sha256(json.dumps(meant, sort_keys=True).encode()).hexdigest()
