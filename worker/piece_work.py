"""Does the pieces of a planned film: tunes, colors, encodes, and keeps what comes of it."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from uuid import uuid4

import numpy as np
import torch

from jobs.record import Shot, TuningStepRecord, TuningUnderWay
from models.base import Colorizer
from models.tuning import TuningStep, tune
from worker.canvas import Canvas
from worker.coloring import FinishedFrame, Finisher
from worker.film import Film
from worker.journal import Journal
from worker.memory import is_out_of_memory, peak_megabytes
from worker.notes import (
    ColoringNotes,
    TuningNotes,
    coloring_notes,
    keys_through,
    notes_name,
    read_notes,
    tuning_notes,
    write_notes,
)
from worker.on_demand import OnDemand
from worker.piece_references import PieceReferences
from worker.pieces import Coloring, Piece, Tuning
from worker.plan import ShotPlan
from worker.planning import tuning_that_fits
from worker.progress import Meter
from worker.propagation import Anchor, Carried, Feed, Neighbors, ShotColors, color_stretch
from worker.shot_tuning import as_record, read_tuned, tuning_settings, write_tuned
from worker.showing import frames_to_picture, picture_of

SMALLER = 0.7
"""Half of the pixels: what the working size is shrunk by where memory does not hold a piece."""
SMALLEST_WORKING_SIZE = 64
KEPT_REFERENCES = 4
"""References of each kind, anchors and examples, held at once while a shot is colored by a model that looks at few of
them at a time. All 64 that a job may have would be 0.4 GB at 720x576, and as many to read for every piece."""
KEPT_LESSONS = 16
"""References held at once while they are tuned on; of more, no step comes back to one soon."""


def do_piece(piece: Piece, film: Film, *, model: Colorizer, meter: Meter, scratch: Path) -> None:
    """Do a piece, those that it needs being through; its notes are kept last. `model` stays as it is.

    Where memory does not hold it, it is done again smaller, and its notes say so.

    Raises:
        JobFailure: what ends the job, with a sentence for its user.
        JobCanceled, TimedOut: the meter said so.
    """
    size: int | None = None
    while True:
        meter.restart()
        bench = _Bench(film, model, meter, scratch, working_size=size)
        try:
            notes = bench.do(piece)
            break
        except Exception as failure:
            smaller = bench.smaller_size()
            if not is_out_of_memory(failure) or smaller is None:
                raise
            size = smaller
        # What the failed try held is let go of first.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    path = scratch / notes_name(piece)
    path.write_bytes(write_notes(notes))
    film.checkpoints.keep(path.name, path)


def shown_shot(piece: Piece, film: Film) -> Shot | None:
    """The shot that a piece is of, as users see it with all of its pieces that are through; None where the piece is
    of no shot."""
    if not isinstance(piece.work, Coloring):
        return None
    journal, through = Journal.of(film.plan), keys_through(film.checkpoints.kept())
    plan = film.plan.shots[piece.work.shot]
    for other, work in film.plan.colorings:
        if work.shot == plan.index and other.key in through:
            journal.note(work, read_notes(other, film.checkpoints))
    for needed in (film.plan.pieces[number] for number in piece.after):
        if isinstance(needed.work, Tuning):
            journal.note(needed.work, read_notes(needed, film.checkpoints))
    return journal.shot(plan)


class _Bench:
    """What one piece is done with."""

    def __init__(self, film: Film, model: Colorizer, meter: Meter, scratch: Path, *, working_size: int | None) -> None:
        """`working_size` where it is to be smaller than planned."""
        self._film = film
        self._plan = film.plan
        self._info = film.plan.info
        self._model = model
        self._meter = meter
        self._scratch = scratch
        self._reader = film.reader
        self._working_size = working_size
        self._canvas = Canvas.fit(
            self._info, description=model.description, working_size=working_size or film.task.options.working_size
        )
        self._references = PieceReferences(film, self._canvas, self._reader, check=meter.check)
        self._started = time.monotonic()
        self._prefix = uuid4().hex[:12]

    def smaller_size(self) -> int | None:
        """The short side to try next; None where it cannot be smaller."""
        size = int(min(self._canvas.height, self._canvas.width) * SMALLER)
        return size if size >= SMALLEST_WORKING_SIZE else None

    def do(self, piece: Piece) -> TuningNotes | ColoringNotes:
        if isinstance(piece.work, Tuning):
            return self._tune(piece, piece.work)
        return self._color(piece, piece.work)

    # Tuning

    def _tune(self, piece: Piece, work: Tuning) -> TuningNotes:
        self._meter.enter("tuning")
        colorizer = self._model.clone()
        report = tune(
            colorizer,
            # Of many references only those that a step learns from are read.
            OnDemand(work.references, lru_cache(KEPT_LESSONS)(self._references.lesson)),
            matrix=self._info.matrix,
            settings=tuning_settings(tuning_that_fits(self._film.task, self._canvas), self._model.description),
            on_step=partial(self._tuned_step, work, []),
            on_frame=self._meter.fed,
        )
        path = self._scratch / "weights"
        write_tuned(colorizer, path)
        seconds = time.monotonic() - self._started
        return TuningNotes(
            record=as_record(report),
            note=report.note,
            weights=self._keep(piece, path),
            seconds=seconds,
            peak_memory_megabytes=peak_megabytes(),
            working_size=self._working_size,
        )

    def _tuned_step(self, work: Tuning, curve: list[TuningStepRecord], step: TuningStep) -> None:
        curve.append(TuningStepRecord(step=step.step, loss=step.loss, held_out_psnr_db=step.held_out_psnr_db))
        shots = [shot.index for shot in self._plan.shots if shot.tuned_on == work.references]
        self._meter.learned(TuningUnderWay(shots=shots, curve=list(curve)))
        self._meter.tuned_step()

    # Coloring

    def _color(self, piece: Piece, work: Coloring) -> ColoringNotes:
        shot = self._plan.shots[work.shot]
        colorizer = self._colorizer(piece)
        self._meter.enter("colorizing")
        output, beside, archive = self._film.output, self._film.comparison, self._film.frame_archive
        video, compared, packed = self._scratch / "video", self._scratch / "comparison", self._scratch / "frames"
        confidences = []
        pictured = frames_to_picture(self._plan.shots, frames=self._info.frames)
        with ExitStack() as stack:
            segment = stack.enter_context(output.open_segment(video))
            pair = None if beside is None else stack.enter_context(beside.open_segment(compared))
            pictures = None if archive is None else stack.enter_context(archive.open_segment(packed))
            coloring = _StretchColoring(self, piece, work, shot, colorizer)
            for finished in coloring.frames(chroma_size=output.chroma_size):
                segment.write(finished.result, finished.chroma)
                if pair is not None:
                    pair.write(finished.frame, finished.chroma, restored=finished.restored)
                if pictures is not None:
                    pictures.write(finished.result, finished.chroma)
                confidences.append(finished.confidence)
                self._meter.colored(finished.frame.index, confidence=finished.confidence)
                if finished.frame.index in pictured:
                    self._meter.showed(finished.frame.index, picture_of(finished, info=self._info))
        seconds = time.monotonic() - self._started
        return ColoringNotes(
            confidences=confidences,
            video=self._keep(piece, video),
            comparison=None if beside is None else self._keep(piece, compared),
            frames=None if archive is None else self._keep(piece, packed),
            first=self._keep_carried(piece, "first", coloring.first if work.keeps_first else None),
            last=self._keep_carried(piece, "last", coloring.last if work.keeps_last else None),
            seconds=seconds,
            peak_memory_megabytes=peak_megabytes(),
            working_size=self._working_size,
        )

    def _colorizer(self, piece: Piece) -> Colorizer:
        for number in piece.after:
            needed = self._plan.pieces[number]
            if isinstance(needed.work, Tuning):
                notes = tuning_notes(needed, self._film.checkpoints)
                with self._film.checkpoints.fetch(notes.weights) as path:
                    return read_tuned(self._model, path)
        return self._model

    def colors(self, plan: ShotPlan) -> ShotColors:
        keep = lru_cache(KEPT_REFERENCES if self._model.description.propagates else None)
        reference = keep(self._references.reference)
        return ShotColors(
            shot=plan.shot,
            anchors=tuple(Anchor(frame, partial(reference, number)) for frame, number in plan.anchors),
            examples=OnDemand(plan.examples, keep(self._references.example)),
        )

    def feed(self, colorizer: Colorizer) -> Feed:
        return Feed(
            source=self._reader,
            colorizer=colorizer,
            matrix=self._info.matrix,
            restore=self._film.task.options.restore and self._model.description.restores,
            to_luma=lambda frame: self._canvas.luma(frame, info=self._info),
            spool_folder=self._scratch,
            before_frame=self._meter.fed,
        )

    def finisher(self, chroma_size: tuple[int, int]) -> Finisher:
        return Finisher(info=self._info, canvas=self._canvas, chroma_size=chroma_size)

    def neighbor(self, number: int, *, side: str) -> Carried:
        """The color of the last or the first frame of another piece."""
        notes = coloring_notes(self._plan.pieces[number], self._film.checkpoints)
        name = notes.last if side == "last" else notes.first
        assert name is not None, "the piece before kept it"
        with self._film.checkpoints.fetch(name) as path, np.load(path) as stored:
            return Carried(torch.from_numpy(stored["chroma"]), float(stored["confidence"]))

    # Keeping

    def _keep(self, piece: Piece, path: Path) -> str:
        # Of this try alone, so that notes always speak of files that were made together.
        name = f"{piece.key}.{self._prefix}.{path.name}"
        self._film.checkpoints.keep(name, path)
        return name

    def _keep_carried(self, piece: Piece, what: str, carried: Carried | None) -> str | None:
        if carried is None:
            return None
        path = self._scratch / what
        with path.open("wb") as file:
            np.savez(file, chroma=carried.chroma.numpy(), confidence=carried.confidence)
        return self._keep(piece, path)


class _StretchColoring:
    """Colors the stretches of a piece, and holds on to the colors of its first and last frame."""

    def __init__(self, bench: _Bench, piece: Piece, work: Coloring, plan: ShotPlan, colorizer: Colorizer) -> None:
        self._bench = bench
        self._piece = piece
        self._work = work
        self._plan = plan
        self._colorizer = colorizer
        self.first: Carried | None = None
        self.last: Carried | None = None

    def frames(self, *, chroma_size: tuple[int, int]) -> Iterator[FinishedFrame]:
        bench, work, number = self._bench, self._work, self._piece.number
        colors, feed, finisher = bench.colors(self._plan), bench.feed(self._colorizer), bench.finisher(chroma_size)
        for index, stretch in enumerate(work.stretches):
            before = self.last
            if index == 0 and stretch.forward == "before":
                before = bench.neighbor(number - 1, side="last")
            behind = bench.neighbor(number + 1, side="first") if stretch.backward == "behind" else None
            last = None
            for colored in color_stretch(stretch, colors, feed=feed, neighbors=Neighbors(before, behind)):
                last = colored.prediction
                if self.first is None:
                    self.first = Carried.of(last)
                finished = finisher.finish(colored, most_confidence=self._plan.most_confidence(colored.frame.index))
                # No color is the right one where there is nothing to see.
                yield replace(finished, confidence=1.0) if self._plan.blank else finished
            self.last = None if last is None else Carried.of(last)
