"""All that is found out about a job before its first frame is colored."""

from dataclasses import dataclass
from pathlib import Path

from jobs.errors import ReferenceUnplaced
from jobs.options import TuningOptions
from models.base import Colorizer
from worker.analysis import analyze
from worker.canvas import Canvas
from worker.journal import Journal
from worker.media.decode import VideoReader
from worker.plan import plan_shots, warnings_of
from worker.progress import Progress
from worker.references import LocatedReference, ReferenceLocator, refuse_unusable
from worker.shot_tuning import SMALLEST_TUNED
from worker.signatures import SignatureFile
from worker.task import ColorizationTask


@dataclass(frozen=True, slots=True)
class Preparation:
    """What is known before the first frame is colored."""

    canvas: Canvas
    references: tuple[LocatedReference, ...]
    journal: Journal


def prepare(
    task: ColorizationTask, reader: VideoReader, *, model: Colorizer, progress: Progress, scratch: Path
) -> Preparation:
    """Look at every frame once, find the shots, place the references, plan.

    Raises:
        ReferenceUnplaced: a reference is of another scene.
    """
    progress.enter("detecting_shots")
    options = task.options
    canvas = Canvas.fit(reader.info, description=model.description, working_size=options.working_size)
    with SignatureFile(scratch / "signatures") as signatures:
        analysis = analyze(
            reader.frames(),
            info=reader.info,
            shots=options.shots,
            signatures=signatures,
            on_frame=progress.analyzed,
        )
        locator = ReferenceLocator(reader, shots=analysis.shots, signatures=signatures, check=progress.check)
        placement = locator.locate(
            task.references, options=options.references, keep_side=min(canvas.height, canvas.width)
        )
        plans = plan_shots(
            analysis.shots,
            placement.references,
            signatures=signatures,
            examples_help=not model.description.references_must_be_frames,
        )
    journal = Journal(
        info=reader.info,
        plans=plans,
        references=tuple(reference.record for reference in placement.references),
        warnings=[
            *reader.warnings,
            *analysis.warnings,
            *placement.warnings,
            *warnings_of(plans, placement.references),
            *_about_restoring(task, model),
            *_about_tuning(task, canvas),
        ],
    )
    return Preparation(canvas=canvas, references=placement.references, journal=journal)


def refuse_references(task: ColorizationTask, reader: VideoReader) -> None:
    """Raise what is wrong with the references, as far as it shows without looking at the video.

    Raises:
        ReferenceUndecodable, ReferenceNotColor, ReferenceUnplaced: see `worker.references.refuse_unusable`.
    """
    if not task.references:
        raise ReferenceUnplaced("The job has no reference; give at least one colored frame of the video.")
    refuse_unusable(task.references, options=task.options.references, reader=reader)


def _about_restoring(task: ColorizationTask, model: Colorizer) -> list[str]:
    if not task.options.restore or model.description.restores:
        return []
    return [f"The model {model.description.name} does not restore; the film's luma was kept as it is."]


def tuning_that_fits(task: ColorizationTask, canvas: Canvas) -> TuningOptions:
    """The tuning asked for, or none where the frames are too small for it."""
    wanted = task.options.resolved_tuning
    return TuningOptions(iterations=0) if min(canvas.height, canvas.width) < SMALLEST_TUNED else wanted


def _about_tuning(task: ColorizationTask, canvas: Canvas) -> list[str]:
    if task.options.resolved_tuning.iterations == tuning_that_fits(task, canvas).iterations:
        return []
    return [
        f"At {canvas.width}x{canvas.height} the frames are too small to tune on (at least {SMALLEST_TUNED} pixels a "
        "side are needed); the pretrained weights colored them."
    ]
