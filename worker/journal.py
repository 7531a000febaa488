"""Collects what a job found out on its way, in memory that does not grow with the video's pictures."""

from array import array
from dataclasses import dataclass, field
from math import nan
from typing import Self

import numpy as np
from numpy.typing import NDArray

from jobs.record import PlacedReference, Shot, ShotTuning, VideoFacts
from worker.film_plan import FilmPlan
from worker.media.frames import Rgb, VideoInfo
from worker.media.timeline import Timeline
from worker.notes import ColoringNotes, TuningNotes
from worker.pieces import Coloring, Tuning
from worker.plan import ShotPlan

SHOWN_SHOTS = 6
"""Shots that the report shows a before and after of, at most."""


@dataclass(frozen=True, slots=True)
class BeforeAfter:
    """One frame, gray and colored, as it is shown."""

    frame: int
    before: Rgb
    after: Rgb

    def side_by_side(self) -> Rgb:
        """Before on the left, after on the right."""
        return np.concatenate([self.before, self.after], axis=1)


@dataclass(slots=True)
class Journal:
    """What the report is made of."""

    info: VideoInfo
    timeline: Timeline
    plans: tuple[ShotPlan, ...]
    references: tuple[PlacedReference, ...]
    tunings: dict[int, ShotTuning] = field(default_factory=dict)
    """By number of the shot."""
    confidences: "array[float]" = field(default_factory=lambda: array("f"))
    """Mean confidence of each frame, NaN where it is not colored: 4 bytes per frame."""
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, plan: FilmPlan) -> Self:
        """Of a film of which nothing is colored."""
        return cls(
            info=plan.info,
            timeline=plan.timeline,
            plans=plan.shots,
            references=tuple(reference.record for reference in plan.references),
            confidences=array("f", [nan]) * plan.info.frames,
            warnings=list(plan.warnings),
        )

    def note(self, work: Tuning | Coloring, notes: TuningNotes | ColoringNotes) -> None:
        """A piece is through."""
        if isinstance(work, Coloring) and isinstance(notes, ColoringNotes):
            self.confidences[work.first : work.last + 1] = array("f", notes.confidences)
        elif isinstance(work, Tuning) and isinstance(notes, TuningNotes):
            for plan in self.plans:
                if plan.tuned_on == work.references:
                    self.tunings[plan.index] = notes.record

    @property
    def facts(self) -> VideoFacts:
        return video_facts(self.info)

    def shots(self) -> list[Shot]:
        """The shots as users see them, with what is known of each by now."""
        return [self.shot(plan) for plan in self.plans]

    def shot(self, plan: ShotPlan) -> Shot:
        part = self.confidence_of(plan)
        return Shot(
            index=plan.index,
            first_frame=plan.shot.first,
            last_frame=plan.shot.last,
            reference=self.references[plan.references[0]].name if plan.references else None,
            confidence=float(part.mean()) if self._is_whole(part) else None,
            tuning=self.tunings.get(plan.index),
        )

    def weakest_frame(self, plan: ShotPlan) -> int | None:
        """The frame of a shot with the lowest confidence; None before it is colored."""
        part = self.confidence_of(plan)
        return plan.shot.first + int(part.argmin()) if self._is_whole(part) else None

    def confidence_of(self, plan: ShotPlan) -> NDArray[np.float32]:
        return np.asarray(self.confidences[plan.shot.first : plan.shot.last + 1], np.float32)

    def _is_whole(self, part: NDArray[np.float32]) -> bool:
        return bool(part.size) and not bool(np.isnan(part).any())


def video_facts(info: VideoInfo) -> VideoFacts:
    """The facts that users see."""
    display_width, display_height = info.display_size
    return VideoFacts(
        width=info.width,
        height=info.height,
        display_width=display_width,
        display_height=display_height,
        quarter_turns=info.quarter_turns,
        frames=info.frames,
        duration_seconds=info.duration_seconds,
        frame_rate=float(info.frame_rate),
        codec=info.codec,
        has_audio=info.has_audio,
    )


def frames_to_show(plans: tuple[ShotPlan, ...]) -> tuple[int, ...]:
    """The middle frame of the longest shot, then those of the next longest."""
    longest = sorted(plans, key=lambda plan: -len(plan.shot))[:SHOWN_SHOTS]
    return tuple((plan.shot.first + plan.shot.last) // 2 for plan in longest)
