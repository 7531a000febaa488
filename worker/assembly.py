"""Puts a film together from its finished pieces, and tells about it."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from jobs.options import VariantName
from jobs.record import Phase
from models.base import ModelDescription
from worker.film import Film
from worker.film_plan import FilmPlan
from worker.journal import BeforeAfter, Journal, frames_to_show
from worker.media.frames import Rgb
from worker.media.stills import STILL_WIDTH, as_shown, to_rgb, write_png
from worker.memory import peak_megabytes
from worker.notes import ColoringNotes, TuningNotes
from worker.pieces import Coloring, Tuning
from worker.plan import named
from worker.progress import Progress
from worker.report import build_report
from worker.report_page import report_page
from worker.task import VariantFile

VIDEO_TYPES = {"mp4": "video/mp4", "mkv": "video/x-matroska", "mov": "video/quicktime"}


def assemble(
    film: Film, notes: Sequence[TuningNotes | ColoringNotes], *, description: ModelDescription, progress: Progress
) -> tuple[VariantFile, ...]:
    """Write the film and what goes with it into the task's folder; `notes` are those of all its pieces, in order.

    Raises:
        StorageFull: no space is left.
        JobCanceled, TimedOut: the observer said so.
    """
    return _Assembly(film, notes, description, progress).assemble()


class _Assembly:
    def __init__(
        self,
        film: Film,
        notes: Sequence[TuningNotes | ColoringNotes],
        description: ModelDescription,
        progress: Progress,
    ) -> None:
        self._film = film
        self._plan = film.plan
        self._task = film.task
        self._description = description
        self._progress = progress
        self._wanted: frozenset[VariantName] = frozenset(film.task.options.variants)
        self._notes = notes
        self._journal = Journal.of(film.plan)
        for piece, note in zip(film.plan.pieces, notes, strict=True):
            self._journal.note(piece.work, note)
        self._journal.warnings += [*_about_tuning(film.plan, self._notes), *_about_size(film, self._notes)]

    def assemble(self) -> tuple[VariantFile, ...]:
        self._progress.enter("encoding")
        files = self._join()
        preview, stills = self._pictures()
        self._progress.enter("publishing")
        files += self._write_preview(preview)
        files += self._write_reports(stills)
        self._progress.observer.learned(
            references=self._journal.references, shots=self._journal.shots(), warnings=self._journal.warnings
        )
        return tuple(files)

    def _join(self) -> list[VariantFile]:
        film, container = self._film, self._task.options.output.container
        colored = [notes for notes in self._notes if isinstance(notes, ColoringNotes)]
        output, beside, archive = film.output, film.comparison, film.frame_archive
        video = self._task.folder / f"video.{container}"
        with self._fetched(notes.video for notes in colored) as segments:
            output.join(video, segments, on_frame=self._progress.check)
        self._journal.warnings += output.warnings
        files = [VariantFile("video", video, VIDEO_TYPES[container])]
        if beside is not None:
            comparison = self._task.folder / "comparison.mp4"
            with self._fetched(notes.comparison or "" for notes in colored) as segments:
                beside.join(comparison, segments, on_frame=self._progress.check)
            files.append(VariantFile("comparison", comparison, "video/mp4"))
        if archive is not None:
            frames = self._task.folder / "frames.zip"
            with self._fetched(notes.frames or "" for notes in colored) as segments:
                archive.join(frames, segments, on_frame=self._progress.check)
            files.append(VariantFile("frames", frames, "application/zip"))
        return files

    def _fetched(self, names: Iterable[str]) -> AbstractContextManager[Sequence[Path]]:
        return self._film.checkpoints.fetch_all([*names], check=self._progress.check)

    def _pictures(self) -> tuple[BeforeAfter | None, list[BeforeAfter]]:
        """The preview, at the film's own size, and what the report shows, small."""
        if not {"preview", "report"} & self._wanted:
            return None, []
        shown, info = frames_to_show(self._plan.shots), self._plan.info
        preview, stills = None, []
        for before in self._film.reader.picked_frames(sorted(shown), check=self._progress.check):
            pictures = (to_rgb(before.luma, None, info=info), self._colored_picture(before.index))
            small = [as_shown(picture, info=info, most_width=STILL_WIDTH) for picture in pictures]
            stills.append(BeforeAfter(before.index, *small))
            if before.index == shown[0]:
                preview = BeforeAfter(before.index, *(as_shown(picture, info=info) for picture in pictures))
        return preview, stills

    def _colored_picture(self, frame: int) -> Rgb:
        """A frame of the film as it was encoded."""
        for piece, work in self._plan.colorings:
            if work.first <= frame <= work.last:
                notes = self._notes[piece.number]
                assert isinstance(notes, ColoringNotes)
                with self._film.checkpoints.fetch(notes.video) as path:
                    return self._film.output.read_picture(path, frame - work.first)
        raise ValueError(f"frame {frame} is in no piece")

    def _write_preview(self, preview: BeforeAfter | None) -> list[VariantFile]:
        if preview is None or "preview" not in self._wanted:
            return []
        path = self._task.folder / "preview.png"
        write_png(path, preview.side_by_side())
        return [VariantFile("preview", path, "image/png")]

    def _write_reports(self, stills: Sequence[BeforeAfter]) -> list[VariantFile]:
        folder = self._task.folder
        files = []
        report = build_report(
            self._journal,
            options=self._task.options,
            model=self._description,
            phase_seconds=self._seconds(),
            peak_memory_megabytes=max(
                peak_megabytes(), self._plan.peak_memory_megabytes, *(one.peak_memory_megabytes for one in self._notes)
            ),
            frames_colored=sum(
                work.frames for piece, work in self._plan.colorings if self._notes[piece.number].seconds > 0
            ),
        )
        if "report" in self._wanted:
            page = report_page(report, stills=stills)
            (folder / "report.html").write_text(page, encoding="utf-8")
            files.append(VariantFile("report", folder / "report.html", "text/html; charset=utf-8"))
        if "report_json" in self._wanted:
            (folder / "report.json").write_text(report.model_dump_json(indent=2), encoding="utf-8")
            files.append(VariantFile("report_json", folder / "report.json", "application/json"))
        return files

    def _seconds(self) -> dict[Phase, float]:
        """What each phase took, of all workers together; what was taken over from another job took nothing."""
        seconds = dict(self._plan.seconds)
        for notes in self._notes:
            phase: Phase = "tuning" if isinstance(notes, TuningNotes) else "colorizing"
            seconds[phase] = seconds.get(phase, 0.0) + notes.seconds
        for phase in ("encoding", "publishing"):
            seconds[phase] = self._progress.phase_seconds.get(phase, 0.0)
        return seconds


def _about_tuning(plan: FilmPlan, notes: Sequence[TuningNotes | ColoringNotes]) -> list[str]:
    told = []
    for piece, note in zip(plan.pieces, notes, strict=True):
        if isinstance(note, TuningNotes) and isinstance(piece.work, Tuning) and note.note is not None:
            shots = [shot for shot in plan.shots if shot.tuned_on == piece.work.references]
            told.append(f"{named(shots)} {'were' if len(shots) > 1 else 'was'} colored without tuning: {note.note}")
    return told


def _about_size(film: Film, notes: Sequence[TuningNotes | ColoringNotes]) -> list[str]:
    """Which shots memory did not hold at their size."""
    smaller: dict[int, int] = {}
    for piece, note in zip(film.plan.pieces, notes, strict=True):
        if note.working_size is not None:
            work = piece.work
            shots = (
                [work.shot]
                if isinstance(work, Coloring)
                else [shot.index for shot in film.plan.shots if shot.tuned_on == work.references]
            )
            for shot in shots:
                smaller[shot] = min(smaller.get(shot, note.working_size), note.working_size)
    return [
        f"Memory did not hold {named([film.plan.shots[shot]]).lower()} at the working size asked for, so that parts of "
        f"it were colored at {size}; for the size asked for, use a worker with more memory."
        for shot, size in sorted(smaller.items())
    ]
