"""Where pictures were found in a film, kept so that none is looked for twice."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from worker.checkpoints import Checkpoints
from worker.reference_search import Match


@dataclass(frozen=True, slots=True)
class FoundPlace:
    """What a search for a picture's frame came to."""

    frame: int
    rival: Match | None
    """Another frame that the picture looks like as much."""


FoundPlaces = dict[str, FoundPlace]
"""Of one film, by `search_key`."""
_PLACES = TypeAdapter(FoundPlaces)


def search_key(picture: Path, *, within: range | None) -> str:
    """The same for the same file, looked for among the same frames (None: all), whatever it is called."""
    digest = hashlib.sha256(picture.read_bytes()).hexdigest()
    return digest if within is None else f"{digest} {within[0]}-{within[-1]}"


@contextmanager
def found_places(name: str, checkpoints: Checkpoints, *, scratch: Path) -> Iterator[FoundPlaces]:
    """What is kept under `name`; what is found while inside is kept with it."""
    places: FoundPlaces = {}
    if name in checkpoints.kept():
        with checkpoints.fetch(name) as path:
            places = _PLACES.validate_json(path.read_bytes())
    known = len(places)
    yield places
    if len(places) > known:
        path = scratch / name
        path.write_bytes(_PLACES.dump_json(places))
        checkpoints.keep(name, path)
