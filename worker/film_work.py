"""What an execution that owns a film's record does: plans it, or puts it together."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from jobs.pieces import PlannedWork, StretchSum
from jobs.settings import Settings
from models.base import Colorizer, select_device
from models.registry import describe, load
from worker.assembly import assemble
from worker.checkpoints import Checkpoints
from worker.film import Film
from worker.film_plan import PLAN_NAME, FilmPlan
from worker.journal import Journal, video_facts
from worker.notes import ColoringNotes, TuningNotes, keys_through, notes_name, read_notes
from worker.observer import Observer
from worker.outcome import HandOver, Outcome
from worker.pieces import Coloring, Piece
from worker.planning import ANALYSIS_NAMES, fingerprint_of, kept_plan, plan_film
from worker.progress import ANALYSIS_COST, Progress
from worker.report import curve_sums
from worker.taking_over import TakingOver
from worker.task import ColorizationTask


def plan_or_assemble(
    task: ColorizationTask,
    *,
    checkpoints: Checkpoints,
    earlier: Checkpoints | None,
    settings: Settings,
    observer: Observer,
) -> Outcome | HandOver:
    """Go on where the film stands, by what is kept of it; `earlier` is what another job of it has kept.

    Raises:
        JobFailure, JobCanceled, TimedOut: see `worker.pipeline.colorize_video`.
    """
    progress = Progress(observer)
    plan = kept_plan(checkpoints)
    if plan is None or not _is_through(plan, checkpoints):
        model = load(task.options.model, device=select_device(settings.device), weights_folder=settings.weights_folder)
        # Where it is tried again with other weights, none of its pieces are those any more.
        if plan is None or plan.weights != fingerprint_of(model):
            plan = _plan(task, model=model, progress=progress, checkpoints=checkpoints, earlier=earlier)
    journal = Journal.of(plan)
    sums: dict[int, list[StretchSum]] = {}
    kept = checkpoints.kept()
    through = keys_through(kept)
    told = {piece: read_notes(piece, checkpoints) for piece in plan.pieces if piece.key in through}
    for piece, notes in told.items():
        journal.note(piece.work, notes)
        if isinstance(piece.work, Coloring) and isinstance(notes, ColoringNotes):
            sums[piece.number] = curve_sums(notes.confidences, first=piece.work.first, frames=plan.info.frames)
    shots = journal.shots()
    observer.learned(
        video=video_facts(plan.info), references=journal.references, shots=shots, warnings=journal.warnings
    )
    if len(told) < len(plan.pieces):
        return HandOver(_planned_work(plan, through, journal, sums))
    description = next(model for model in describe() if model.name == task.options.model)
    files = assemble(Film(task, plan, checkpoints), [*told.values()], description=description, progress=progress)
    return Outcome(files, leftovers=_leftovers(plan, told, kept))


def _is_through(plan: FilmPlan, checkpoints: Checkpoints) -> bool:
    return keys_through(checkpoints.kept()).issuperset(piece.key for piece in plan.pieces)


def _plan(
    task: ColorizationTask,
    *,
    model: Colorizer,
    progress: Progress,
    checkpoints: Checkpoints,
    earlier: Checkpoints | None,
) -> FilmPlan:
    with TemporaryDirectory(prefix="scratch-", dir=task.folder) as scratch:
        taking = None if earlier is None else TakingOver(earlier, checkpoints, scratch=Path(scratch))
        if taking is not None:
            taking.take_analyses()
        plan = plan_film(task, model=model, progress=progress, checkpoints=checkpoints, scratch=Path(scratch))
        if taking is not None:
            taking.take_pieces(plan.pieces)
    return plan


def _leftovers(
    plan: FilmPlan, told: Mapping[Piece, TuningNotes | ColoringNotes], kept: Sequence[str]
) -> tuple[str, ...]:
    """What of all that is kept tries that failed, and earlier plans, have left behind."""
    used = {PLAN_NAME, *(reference.picture for reference in plan.references)}
    for piece, notes in told.items():
        used |= {notes_name(piece), *notes.files}
    return tuple(name for name in kept if name not in used and not name.startswith(ANALYSIS_NAMES))


def _planned_work(
    plan: FilmPlan, through: set[str], journal: Journal, sums: Mapping[int, Sequence[StretchSum]]
) -> PlannedWork:
    done = [piece for piece in plan.pieces if piece.key in through]
    analysis = plan.info.frames * ANALYSIS_COST
    return PlannedWork(
        after=[piece.after for piece in plan.pieces],
        through=[piece.number for piece in done],
        work_total=analysis + sum(piece.cost for piece in plan.pieces),
        work_done=analysis + sum(piece.cost for piece in done),
        frames_total=plan.info.frames,
        frames_done=sum(piece.frames for piece in done),
        shots=journal.shots(),
        confidence=sums,
    )
