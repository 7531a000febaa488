"""Does a whole job in this process: a video and references in, a colored video and what tells about it out."""

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from models.base import Colorizer, select_device
from models.registry import load
from worker.assembly import assemble
from worker.checkpoints import FolderCheckpoints
from worker.failures import failures_for_users
from worker.film import Film
from worker.journal import Journal
from worker.notes import read_notes
from worker.observer import Observer
from worker.piece_work import do_piece
from worker.pieces import in_turn
from worker.planning import plan_film
from worker.progress import Progress
from worker.report import SHOWN_POINTS, confidence_curve
from worker.task import ColorizationTask, VariantFile


def colorize_video(
    task: ColorizationTask,
    *,
    observer: Observer,
    device: str,
    weights_folder: Path,
    pretrained: Colorizer | None = None,
) -> tuple[VariantFile, ...]:
    """Do one job in `task.folder`; the files returned are all that is left there.

    The film is planned, done piece by piece, and put together, as workers do it together.
    `device` is as in `models.base.select_device`; `pretrained` is the job's model where it is loaded already, and stays
    as it is.

    Raises:
        JobFailure: what ends the job, with a sentence for its user.
        JobCanceled: the observer said so; TimedOut likewise.
    """
    with failures_for_users(), ExitStack() as stack:
        progress = Progress(observer)
        progress.enter("probing")
        model = pretrained or load(task.options.model, device=select_device(device), weights_folder=weights_folder)
        scratch = Path(stack.enter_context(TemporaryDirectory(prefix="scratch-", dir=task.folder)))
        kept = Path(stack.enter_context(TemporaryDirectory(prefix="kept-", dir=task.folder)))
        checkpoints = FolderCheckpoints(kept)
        plan = plan_film(task, model=model, progress=progress, checkpoints=checkpoints, scratch=scratch)
        film = Film(task, plan, checkpoints)
        journal = Journal.of(plan)
        observer.learned(references=journal.references, shots=journal.shots(), warnings=journal.warnings)
        progress.expect_work(sum(piece.cost for piece in plan.pieces))
        notes = {}
        for piece in in_turn(plan.pieces):
            do_piece(piece, film, model=model, meter=progress, scratch=scratch)
            notes[piece.number] = read_notes(piece, checkpoints)
            journal.note(piece.work, notes[piece.number])
            progress.through(cost=piece.cost, frames=piece.frames)
            observer.learned(shots=journal.shots(), confidence=confidence_curve(journal, most_points=SHOWN_POINTS))
        return assemble(
            film, [notes[piece.number] for piece in plan.pieces], description=model.description, progress=progress
        )
