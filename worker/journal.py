"""Collects what a job found out on its way, in memory that does not grow with the video's pictures."""

from array import array
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from jobs.record import PlacedReference, Shot, ShotTuning, VideoFacts
from worker.media.frames import VideoInfo
from worker.plan import ShotPlan

SHOWN_SHOTS = 6
"""Shots that the report shows a before and after of, at most."""
STILL_WIDTH = 480

Picture = NDArray[np.uint8]
"""[H, W, 3] uint8, R'G'B'."""


@dataclass(frozen=True, slots=True)
class BeforeAfter:
    """One frame, gray and colored."""

    frame: int
    before: Picture
    after: Picture

    def side_by_side(self) -> Picture:
        """Before on the left, after on the right."""
        return np.concatenate([self.before, self.after], axis=1)

    def shrunk(self, width: int) -> "BeforeAfter":
        """Both pictures at most `width` wide."""
        if self.before.shape[1] <= width:
            return self
        size = (width, max(1, round(self.before.shape[0] * width / self.before.shape[1])))
        before, after = (
            np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
            for picture in (self.before, self.after)
        )
        return BeforeAfter(self.frame, before, after)


@dataclass(slots=True)
class Journal:
    """What the report is made of."""

    info: VideoInfo
    plans: tuple[ShotPlan, ...]
    references: tuple[PlacedReference, ...]
    tunings: dict[int, ShotTuning] = field(default_factory=dict)
    """By number of the shot."""
    confidences: "array[float]" = field(default_factory=lambda: array("f"))
    """Mean confidence of each frame colored so far: 4 bytes per frame."""
    stills: list[BeforeAfter] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    _finished: dict[int, Shot] = field(default_factory=dict)
    """Shots that will not change any more, so that telling of thousands after each of them stays cheap."""

    @property
    def facts(self) -> VideoFacts:
        return video_facts(self.info)

    def shots(self) -> list[Shot]:
        """The shots as users see them, with what is known of each by now."""
        return [self._finished.get(plan.index) or self._shot(plan) for plan in self.plans]

    def weakest_frame(self, plan: ShotPlan) -> int | None:
        """The frame of a shot with the lowest confidence, where a reference would help most; None before it is
        colored."""
        part = self._confidences(plan)
        return plan.shot.first + int(part.argmin()) if part.size else None

    def _shot(self, plan: ShotPlan) -> Shot:
        part = self._confidences(plan)
        shot = Shot(
            index=plan.index,
            first_frame=plan.shot.first,
            last_frame=plan.shot.last,
            reference=self.references[plan.references[0]].name if plan.references else None,
            confidence=float(part.mean()) if part.size else None,
            tuning=self.tunings.get(plan.index),
        )
        if part.size == len(plan.shot):
            self._finished[plan.index] = shot
        return shot

    def _confidences(self, plan: ShotPlan) -> NDArray[np.float32]:
        return np.asarray(self.confidences[plan.shot.first : plan.shot.last + 1], np.float32)


def video_facts(info: VideoInfo) -> VideoFacts:
    """The facts that users see."""
    return VideoFacts(
        width=info.width,
        height=info.height,
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
