"""Does a whole job: a video and references in, a colored video and what tells about it out."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import Tensor

from jobs.options import VariantName
from models.base import Colorizer, Reference, select_device
from models.registry import load
from worker.coloring import FinishedFrame, Finisher
from worker.failures import failures_for_users
from worker.journal import STILL_WIDTH, BeforeAfter, frames_to_show, video_facts
from worker.likeness import luma_tensor
from worker.media.comparison import ComparisonOutput
from worker.media.decode import VideoReader, open_video
from worker.media.encode import VideoOutput
from worker.media.stills import to_rgb, write_png
from worker.nearby import nearby_frames
from worker.observer import Observer
from worker.plan import ShotPlan
from worker.preparation import Preparation, prepare, refuse_references, tuning_that_fits
from worker.progress import Progress
from worker.propagation import Anchor, Feed, ShotColors, color_shot, frames_to_feed
from worker.report import build_report
from worker.report_page import report_page
from worker.shot_tuning import ShotTuner
from worker.task import ColorizationTask, VariantFile

_VIDEO_TYPES = {"mp4": "video/mp4", "mkv": "video/x-matroska", "mov": "video/quicktime"}


def colorize_video(
    task: ColorizationTask,
    *,
    observer: Observer,
    device: str,
    weights_folder: Path,
    pretrained: Colorizer | None = None,
) -> tuple[VariantFile, ...]:
    """Do one job in `task.folder`; the files returned are all that is left there.

    `device` is as in `models.base.select_device`; `pretrained` is the job's model where a warm worker holds it already,
    and stays as it is.

    Raises:
        JobFailure: what ends the job, with a sentence for its user.
        JobCanceled: the observer said so; TimedOut likewise.
    """
    with failures_for_users(), ExitStack() as stack:
        progress = Progress(observer, tuning_steps=task.options.resolved_tuning.iterations)
        progress.enter("probing")
        reader = stack.enter_context(open_video(task.video, limits=task.limits, on_packet=progress.found))
        observer.learned(video=video_facts(reader.info))
        progress.expect_frames(reader.info.frames)
        refuse_references(task, reader)
        model = pretrained or load(task.options.model, device=select_device(device), weights_folder=weights_folder)
        scratch = Path(stack.enter_context(TemporaryDirectory(prefix="scratch-", dir=task.folder)))
        preparation = prepare(task, reader, model=model, progress=progress, scratch=scratch)
        job = _Job(task, reader, model, preparation, progress, observer, scratch)
        return job.run()


class _Job:
    """The coloring of one video."""

    def __init__(
        self,
        task: ColorizationTask,
        reader: VideoReader,
        model: Colorizer,
        preparation: Preparation,
        progress: Progress,
        observer: Observer,
        scratch: Path,
    ) -> None:
        self._task = task
        self._reader = reader
        self._info = reader.info
        self._model = model
        self._canvas = preparation.canvas
        self._references = preparation.references
        self._journal = preparation.journal
        self._progress = progress
        self._observer = observer
        self._scratch = scratch
        self._wanted: frozenset[VariantName] = frozenset(task.options.variants)
        self._shown = frames_to_show(self._journal.plans)
        self._preview: BeforeAfter | None = None
        self._tuner = ShotTuner(
            model,
            options=tuning_that_fits(task, preparation.canvas),
            matrix=reader.info.matrix,
            folder=scratch,
            order=[plan.tuned_on for plan in self._journal.plans if plan.tuned_on],
        )

    def run(self) -> tuple[VariantFile, ...]:
        self._tell()
        sets = {plan.tuned_on for plan in self._journal.plans if plan.tuned_on}
        self._progress.expect_tunings(len(sets) * self._tuner.iterations)
        self._progress.expect_feeds(sum(self._feeds(plan) for plan in self._journal.plans))
        files = [*self._color(), *self._tell_about_it()]
        self._tell()
        return tuple(files)

    def _color(self) -> list[VariantFile]:
        """Color every shot into segments, and join them to the video and the comparison."""
        container = self._task.options.output.container
        video = self._task.folder / f"video.{container}"
        comparison = self._task.folder / "comparison.mp4"
        source, info, timeline = self._task.video, self._info, self._reader.timeline
        output = VideoOutput(source=source, info=info, timeline=timeline, output=self._task.options.output)
        beside = ComparisonOutput(source=source, info=info, timeline=timeline) if "comparison" in self._wanted else None
        segments: list[Path] = []
        compared: list[Path] = []
        for plan in self._journal.plans:
            segments.append(self._scratch / f"{plan.index}.segment")
            with ExitStack() as stack:
                writer = stack.enter_context(output.open_segment(segments[-1]))
                pair = None
                if beside is not None:
                    compared.append(self._scratch / f"{plan.index}.compared")
                    pair = stack.enter_context(beside.open_segment(compared[-1]))
                for finished in self._shot(plan, chroma_size=output.chroma_size):
                    writer.write(finished.result, finished.chroma)
                    if pair is not None:
                        pair.write(finished.frame, finished.chroma, restored=finished.restored)
                    self._note(finished)
            self._tell()
        self._progress.enter("encoding")
        output.join(video, segments, on_frame=self._progress.check)
        self._journal.warnings.extend(output.warnings)
        files = [VariantFile("video", video, _VIDEO_TYPES[container])]
        if beside is not None:
            beside.join(comparison, compared, on_frame=self._progress.check)
            files.append(VariantFile("comparison", comparison, "video/mp4"))
        return files

    def _shot(self, plan: ShotPlan, *, chroma_size: tuple[int, int]) -> Iterator[FinishedFrame]:
        """Tune for a shot, then yield its frames as they are encoded."""
        colors = self._colors(plan)
        colorizer = self._tuned(plan)
        self._progress.enter("colorizing")
        feed = Feed(
            source=self._reader,
            colorizer=colorizer,
            matrix=self._info.matrix,
            restore=self._task.options.restore and self._model.description.restores,
            to_luma=lambda frame: self._canvas.luma(frame, info=self._info),
            spool_folder=self._scratch,
            before_frame=self._progress.fed,
        )
        finisher = Finisher(info=self._info, canvas=self._canvas, chroma_size=chroma_size)
        for colored in color_shot(colors, feed=feed):
            yield finisher.finish(colored, most_confidence=plan.most_confidence(colored.frame.index))

    def _feeds(self, plan: ShotPlan) -> int:
        anchors = [frame for frame, _ in plan.anchors]
        return frames_to_feed(plan.shot, anchors, propagates=self._model.description.propagates)

    def _tuned(self, plan: ShotPlan) -> Colorizer:
        if not plan.tuned_on:
            return self._model
        if not self._tuner.is_tuned(plan.tuned_on):
            self._progress.enter("tuning")
        tuned = self._tuner.tuned(
            plan.tuned_on,
            pictures=lambda: [self._lesson(number) for number in plan.tuned_on],
            on_step=lambda _: self._progress.tuned_step(),
        )
        if tuned.note is not None:
            self._journal.warnings.append(f"Shot {plan.index} was not tuned: {tuned.note}")
        if tuned.record is not None:
            self._journal.tunings[plan.index] = tuned.record
            self._progress.tuned(self._tuner.sets_tuned * self._tuner.iterations)
            self._tell()
        return tuned.colorizer

    def _colors(self, plan: ShotPlan) -> ShotColors:
        return ShotColors(
            shot=plan.shot,
            anchors=tuple(Anchor(frame, self._reference(number)) for frame, number in plan.anchors),
            examples=tuple(self._example(number) for number in plan.examples),
        )

    def _reference(self, number: int) -> Reference:
        """A reference as it is where it stands: with the video's own luma where it is a frame."""
        located = self._references[number]
        if located.frame is None:
            return self._example(number)
        return Reference(rgb=self._canvas.rgb(located.picture), luma=self._luma(located.frame), is_frame=True)

    def _lesson(self, number: int) -> Reference:
        """A reference as tuning learns from it: where it is a frame, with frames near it of its own shot."""
        located = self._references[number]
        if located.frame is None:
            return self._example(number)
        shot = next(plan.shot for plan in self._journal.plans if located.frame in plan.shot)
        nearby = nearby_frames(located.frame, first=shot.first, last=shot.last)
        return replace(self._reference(number), nearby=tuple(self._luma(frame) for frame in nearby))

    def _luma(self, frame: int) -> Tensor:
        """[H, W]: luma of one frame of the video as the model is fed."""
        return self._canvas.luma(next(self._reader.frames(frame, frame)), info=self._info)

    def _example(self, number: int) -> Reference:
        rgb = self._canvas.rgb(self._references[number].picture)
        return Reference(rgb=rgb, luma=luma_tensor(rgb, matrix=self._info.matrix), is_frame=False)

    def _note(self, finished: FinishedFrame) -> None:
        """Remember what the report will tell of a frame."""
        self._journal.confidences.append(finished.confidence)
        self._progress.colored()
        index = finished.frame.index
        if index not in self._shown:
            return
        still = BeforeAfter(
            frame=index,
            before=to_rgb(finished.frame.luma, None, info=self._info),
            after=to_rgb(finished.result.luma, finished.chroma, info=self._info),
        )
        self._journal.stills.append(still.shrunk(STILL_WIDTH))
        if index == self._shown[0]:
            self._preview = still

    def _tell(self) -> None:
        self._observer.learned(
            references=self._journal.references, shots=self._journal.shots(), warnings=self._journal.warnings
        )

    def _tell_about_it(self) -> Sequence[VariantFile]:
        """Write the preview and the reports."""
        self._progress.enter("publishing")
        folder = self._task.folder
        files: list[VariantFile] = []
        if "preview" in self._wanted and self._preview is not None:
            write_png(folder / "preview.png", self._preview.side_by_side())
            files.append(VariantFile("preview", folder / "preview.png", "image/png"))
        report = build_report(
            self._journal,
            options=self._task.options,
            model=self._model.description,
            phase_seconds=self._progress.phase_seconds,
        )
        if "report" in self._wanted:
            page = report_page(report, stills=self._journal.stills)
            (folder / "report.html").write_text(page, encoding="utf-8")
            files.append(VariantFile("report", folder / "report.html", "text/html; charset=utf-8"))
        if "report_json" in self._wanted:
            (folder / "report.json").write_text(report.model_dump_json(indent=2), encoding="utf-8")
            files.append(VariantFile("report_json", folder / "report.json", "application/json"))
        return files
