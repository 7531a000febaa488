"""What a job takes over of what an earlier one has kept."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from worker.checkpoints import FolderCheckpoints
from worker.notes import ColoringNotes, notes_name, read_notes, write_notes
from worker.pieces import Coloring, Piece
from worker.stretches import Stretch
from worker.taking_over import TakingOver


class Vanishing(FolderCheckpoints):
    """Of a job that is deleted after so many of its files were read."""

    def __init__(self, folder: Path, *, reads: int) -> None:
        super().__init__(folder)
        self._names = super().kept()
        self._reads = reads

    def kept(self) -> Sequence[str]:
        return self._names

    @contextmanager
    def fetch(self, name: str) -> Iterator[Path]:
        if self._reads == 0:
            raise FileNotFoundError(name)
        self._reads -= 1
        with super().fetch(name) as path:
            yield path


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Of the earlier job, of the later one, and for what is on its way."""
    made = tmp_path / "earlier", tmp_path / "own", tmp_path / "scratch"
    for folder in made:
        folder.mkdir()
    return made


@pytest.mark.parametrize("reads", [0, 1, 2, 3])
def test_a_look_at_every_frame_is_taken_as_far_as_the_earlier_job_is_there(
    folders: tuple[Path, Path, Path], reads: int
) -> None:
    earlier, own, scratch = folders
    for name in ("shots-k.json", "signatures-k", "found-k.json", "other"):
        (earlier / name).write_text(name)
    TakingOver(Vanishing(earlier, reads=reads), FolderCheckpoints(own), scratch=scratch).take_analyses()
    # The shots are what a look is found by.
    assert FolderCheckpoints(own).kept() == sorted(["found-k.json", "signatures-k", "shots-k.json"][:reads])
    assert list(scratch.iterdir()) == []


def test_what_a_piece_took_stays_with_the_job_that_made_it(folders: tuple[Path, Path, Path]) -> None:
    earlier, own, scratch = folders
    stretch = Stretch(0, 1, forward="reference")
    piece = Piece(0, Coloring(0, (stretch,), keeps_first=False, keeps_last=False), after=(), key="k", cost=1.0)
    made = ColoringNotes(
        **{"confidences": [0.5, 0.25], "video": "k.mkv", "comparison": None, "frames": None, "first": None},
        **{"last": None, "seconds": 3.0, "peak_memory_megabytes": 700.0, "working_size": 48},
    )
    (earlier / "k.mkv").write_text("film")
    (earlier / notes_name(piece)).write_bytes(write_notes(made))
    TakingOver(FolderCheckpoints(earlier), FolderCheckpoints(own), scratch=scratch).take_pieces([piece])
    taken = read_notes(piece, FolderCheckpoints(own))
    assert taken == made.model_copy(update={"seconds": 0.0, "peak_memory_megabytes": 0.0})
    assert (own / "k.mkv").read_text() == "film"
    assert list(scratch.iterdir()) == []
