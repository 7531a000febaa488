"""Takes over what an earlier job of the same film has made, where it would be made the same again."""

from collections.abc import Sequence
from pathlib import Path

from jobs.linking import link_or_copy
from worker.checkpoints import Checkpoints
from worker.notes import ColoringNotes, TuningNotes, keys_through, notes_name, read_notes, write_notes
from worker.pieces import Piece
from worker.planning import ANALYSIS_NAMES


class TakingOver:
    """What the earlier job does not keep any more is made anew."""

    def __init__(self, earlier: Checkpoints, own: Checkpoints, *, scratch: Path) -> None:
        self._earlier = earlier
        self._own = own
        self._scratch = scratch

    def take_analyses(self) -> None:
        """The look at every frame: what it found is named by the film and by what was looked for."""
        # The file that others are found by comes last.
        for name in sorted(self._earlier.kept(), key=lambda name: name.startswith(ANALYSIS_NAMES[-1])):
            if name.startswith(ANALYSIS_NAMES):
                try:
                    self._take(name)
                except FileNotFoundError:
                    # The earlier job was deleted meanwhile.
                    return

    def take_pieces(self, pieces: Sequence[Piece]) -> None:
        """Those that the earlier job has: their keys are made of all that goes into them."""
        through = keys_through(self._earlier.kept())
        for piece in pieces:
            if piece.key not in through:
                continue
            try:
                notes = read_notes(piece, self._earlier)
                for name in notes.files:
                    self._take(name)
            except FileNotFoundError:
                # The earlier job was deleted meanwhile.
                return
            self._note(piece, notes)

    def _note(self, piece: Piece, notes: TuningNotes | ColoringNotes) -> None:
        """What the earlier job took for it is no figure of this one."""
        path = self._scratch / f"taken-{notes_name(piece)}"
        path.write_bytes(write_notes(notes.model_copy(update={"seconds": 0.0, "peak_memory_megabytes": 0.0})))
        self._own.keep(notes_name(piece), path)

    def _take(self, name: str) -> None:
        path = self._scratch / f"taken-{name}"
        with self._earlier.fetch(name) as kept:
            link_or_copy(kept, path)
        self._own.keep(name, path)
