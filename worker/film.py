"""A planned film: what is read of it, what is made of it, and where its parts are kept."""

from dataclasses import dataclass

from worker.checkpoints import Checkpoints
from worker.film_plan import FilmPlan
from worker.media.comparison import ComparisonOutput
from worker.media.decode import VideoReader
from worker.media.encode import VideoOutput
from worker.media.frame_archive import FrameArchive
from worker.media.probe import Examination
from worker.task import ColorizationTask


@dataclass(frozen=True, slots=True)
class Film:
    """A planned film, and where its parts are kept."""

    task: ColorizationTask
    plan: FilmPlan
    checkpoints: Checkpoints

    @property
    def reader(self) -> VideoReader:
        return VideoReader(
            self.task.video, examination=Examination(info=self.plan.info, timeline=self.plan.timeline, warnings=())
        )

    @property
    def output(self) -> VideoOutput:
        plan, options = self.plan, self.task.options
        return VideoOutput(source=self.task.video, info=plan.info, timeline=plan.timeline, output=options.output)

    @property
    def comparison(self) -> ComparisonOutput | None:
        if "comparison" not in self.task.options.variants:
            return None
        return ComparisonOutput(source=self.task.video, info=self.plan.info, timeline=self.plan.timeline)

    @property
    def frame_archive(self) -> FrameArchive | None:
        if "frames" not in self.task.options.variants:
            return None
        return FrameArchive(info=self.plan.info, timeline=self.plan.timeline)
