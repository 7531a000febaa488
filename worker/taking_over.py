"""Takes over what an earlier job of the same film has made, where it would be made the same again."""

from pathlib import Path

from jobs.linking import link_or_copy
from worker.checkpoints import Checkpoints
from worker.film_plan import FilmPlan
from worker.notes import TuningNotes, keys_through, notes_name, read_notes
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

    def take_pieces(self, plan: FilmPlan) -> None:
        """Those of the plan that the earlier job has: their keys are made of all that goes into them."""
        through = keys_through(self._earlier.kept())
        for piece in plan.pieces:
            if piece.key not in through:
                continue
            try:
                notes = read_notes(piece, self._earlier)
                files = [notes.weights] if isinstance(notes, TuningNotes) else notes.files
                for name in (*files, notes_name(piece)):
                    self._take(name)
            except FileNotFoundError:
                # The earlier job was deleted meanwhile.
                return

    def _take(self, name: str) -> None:
        path = self._scratch / f"taken-{name}"
        with self._earlier.fetch(name) as kept:
            link_or_copy(kept, path)
        self._own.keep(name, path)
