"""What there is to do for a record, by its kind."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from jobs.options import ColoringOptions, JobOptions, KeyframeOptions
from jobs.record import Keyframe
from jobs.record_keys import Kind
from jobs.settings import Settings
from worker.checkpoints import Checkpoints
from worker.keyframe_archive import archive_keyframes
from worker.keyframes import KeyframesTask
from worker.observer import Observer
from worker.outcome import HandOver, Outcome
from worker.stroke_coloring import StrokesTask, color_picture
from worker.task import ColorizationTask, VariantFile


class Colorize(Protocol):
    """Does a whole job at once: `worker.pipeline.colorize_video`, or what a test puts in its place."""

    def __call__(
        self, task: ColorizationTask, *, observer: Observer, device: str, weights_folder: Path
    ) -> tuple[VariantFile, ...]: ...


@dataclass(frozen=True, slots=True)
class Work:
    """What there is to do for a record."""

    kind: Kind
    options: JobOptions | KeyframeOptions | ColoringOptions
    reference_count: int
    do: Callable[[Observer], Outcome | HandOver]


def coloring(task: ColorizationTask, *, colorize: Colorize, settings: Settings) -> Work:
    def do(observer: Observer) -> Outcome:
        return Outcome(
            colorize(task, observer=observer, device=settings.device, weights_folder=settings.weights_folder)
        )

    return Work("jobs", options=task.options, reference_count=len(task.references), do=do)


def film(task: ColorizationTask, *, checkpoints: Checkpoints, earlier: Checkpoints | None, settings: Settings) -> Work:
    """Plan a film, or put it together where all of its pieces are through."""

    def do(observer: Observer) -> Outcome | HandOver:
        # Imported here: networks come with it.
        from worker.film_work import plan_or_assemble

        return plan_or_assemble(task, checkpoints=checkpoints, earlier=earlier, settings=settings, observer=observer)

    return Work("jobs", options=task.options, reference_count=len(task.references), do=do)


def keyframe_search(record_id: str, task: KeyframesTask) -> Work:
    def do(observer: Observer) -> Outcome:
        archive, pictures = task.folder / "archive.zip", task.folder / "pictures"
        pictures.mkdir()
        found = archive_keyframes(task, into=archive, pictures=pictures, observer=observer)
        keyframes = tuple(
            Keyframe(**picked.model_dump(), href=f"/v1/keyframes/{record_id}/frames/{picked.frame}")
            for picked in found.keyframes
        )
        return Outcome(
            (VariantFile("archive", archive, "application/zip"),),
            keyframes,
            pictures=tuple(pictures / keyframe.name for keyframe in keyframes),
        )

    return Work("keyframes", options=task.options, reference_count=0, do=do)


def stroke_coloring(task: StrokesTask) -> Work:
    def do(observer: Observer) -> Outcome:
        return Outcome((color_picture(task, observer=observer),))

    return Work("colorings", options=task.options, reference_count=1, do=do)
