"""What a job tells about itself when it is done, as data; `worker.report_page` shows the same to people."""

import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from jobs.options import JobOptions, StrictModel
from jobs.pieces import StretchSum
from jobs.record import ConfidencePoint, Phase, PlacedReference, Shot, VideoFacts
from models.base import ModelDescription
from worker.journal import Journal
from worker.next_reference import best_next_frame, confidence_by_distance

MOST_POINTS = 1000
"""Points of the confidence curve at most, however long the video."""
SHOWN_POINTS = 200
"""The same of a job that runs: each change of the curve sends it whole to those who watch."""
_HELPFUL_BELOW = 0.5
"""Confidence of a shot's weakest frame below which a reference there is proposed."""
_PACKAGES = ("retint-service", "torch", "av", "opencv-python-headless", "scenedetect-headless", "numpy")


class ReportedModel(StrictModel):
    """What colored the video."""

    name: str
    title: str
    license: str


class WeakestFrame(StrictModel):
    """Where in a shot a reference would help most."""

    shot: int
    frame: int
    time_seconds: float
    confidence: float
    reference_would_help: bool


class Suggestion(StrictModel):
    """The frame of a shot that is worth coloring next."""

    shot: int
    frame: int
    time_seconds: float
    gain: float
    """What it is expected to add to the confidence of the shot's frames, all together: 10 is as much as ten frames that
    nobody trusts and then everybody does."""


class Speed(StrictModel):
    """How long the job took, and what it took."""

    seconds: float
    """All phases together, of all workers."""
    seconds_by_phase: dict[Phase, float]
    """Decoding, coloring and encoding a frame follow each other, so that `colorizing` holds all three."""
    frames_per_second: float
    """Of coloring what was not taken over from another job, tuning not counted; 0 where that is nothing."""
    peak_memory_megabytes: float
    """Of the process that took most."""


class Report(StrictModel):
    """The `report_json` variant."""

    options: JobOptions
    model: ReportedModel
    video: VideoFacts
    references: list[PlacedReference]
    shots: list[Shot]
    confidence: list[ConfidencePoint]
    weakest_frames: list[WeakestFrame]
    next_references: list[Suggestion]
    """One per shot that would win by it, the one that wins most first."""
    warnings: list[str]
    speed: Speed
    versions: dict[str, str]


def build_report(
    journal: Journal,
    *,
    options: JobOptions,
    model: ModelDescription,
    phase_seconds: dict[Phase, float],
    peak_memory_megabytes: float,
    frames_colored: int,
) -> Report:
    """The report of a finished job, which colored so many frames itself."""
    return Report(
        options=options,
        model=ReportedModel(name=model.name, title=model.title, license=model.license),
        video=journal.facts,
        references=list(journal.references),
        shots=journal.shots(),
        confidence=confidence_curve(journal),
        weakest_frames=_weakest_frames(journal),
        next_references=_next_references(journal),
        warnings=list(journal.warnings),
        speed=_speed(phase_seconds, peak_memory_megabytes, frames=frames_colored),
        versions=_versions(),
    )


def confidence_curve(journal: Journal, *, most_points: int = MOST_POINTS) -> list[ConfidencePoint]:
    """At most `most_points` points over the whole video, as far as it is colored; each stands for as many frames."""
    values = np.asarray(journal.confidences, np.float32)
    stretch = -(-max(1, values.size) // most_points)
    stretches = ((start, values[start : start + stretch]) for start in range(0, values.size, stretch))
    return [
        ConfidencePoint(frame=start, mean=float(part.mean()), lowest=float(part.min()))
        for start, part in stretches
        if not np.isnan(part).any()
    ]


def curve_sums(confidences: Sequence[float], *, first: int, frames: int) -> list[StretchSum]:
    """What the frames from `first` on add to the curve that is shown of a film of so many `frames` while it is made."""
    stretch = _shown_stretch(frames)
    sums = []
    for point in range(first // stretch, (first + len(confidences) - 1) // stretch + 1):
        part = confidences[max(0, point * stretch - first) : (point + 1) * stretch - first]
        sums.append(StretchSum(point=point, frames=len(part), total=sum(part), lowest=min(part)))
    return sums


def shown_curve(sums: Iterable[StretchSum], *, frames: int) -> list[ConfidencePoint]:
    """The points of that curve of which all frames are there."""
    stretch = _shown_stretch(frames)
    parts: dict[int, list[StretchSum]] = {}
    for one in sums:
        parts.setdefault(one.point, []).append(one)
    return [
        ConfidencePoint(
            frame=point * stretch,
            mean=sum(part.total for part in found) / sum(part.frames for part in found),
            lowest=min(part.lowest for part in found),
        )
        for point, found in sorted(parts.items())
        if sum(part.frames for part in found) == min(stretch, frames - point * stretch)
    ]


def _shown_stretch(frames: int) -> int:
    return -(-max(1, frames) // SHOWN_POINTS)


def _weakest_frames(journal: Journal) -> list[WeakestFrame]:
    weakest = []
    for plan in journal.plans:
        frame = journal.weakest_frame(plan)
        if frame is None:
            continue
        confidence = float(journal.confidences[frame])
        weakest.append(
            WeakestFrame(
                shot=plan.index,
                frame=frame,
                time_seconds=journal.timeline.seconds(frame),
                confidence=confidence,
                reference_would_help=plan.borrows or confidence < _HELPFUL_BELOW,
            )
        )
    return weakest


def _next_references(journal: Journal) -> list[Suggestion]:
    reach = confidence_by_distance(
        (journal.confidence_of(plan), [frame - plan.shot.first for frame, _ in plan.anchors]) for plan in journal.plans
    )
    found = []
    for plan in journal.plans:
        best = best_next_frame(journal.confidence_of(plan), reach)
        if best is not None:
            frame = plan.shot.first + best[0]
            seconds = journal.timeline.seconds(frame)
            found.append(Suggestion(shot=plan.index, frame=frame, time_seconds=seconds, gain=best[1]))
    return sorted(found, key=lambda suggestion: -suggestion.gain)


def _speed(phase_seconds: dict[Phase, float], peak_memory_megabytes: float, *, frames: int) -> Speed:
    coloring = phase_seconds.get("colorizing", 0.0) + phase_seconds.get("encoding", 0.0)
    return Speed(
        seconds=sum(phase_seconds.values()),
        seconds_by_phase=phase_seconds,
        frames_per_second=frames / coloring if coloring > 0 else 0.0,
        peak_memory_megabytes=peak_memory_megabytes,
    )


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            # Run from a checkout, or built under another distribution's name.
            continue
    return found
