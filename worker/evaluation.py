"""Measures colorizers on clips whose colors are known: untuned beside tuned, in one run."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import torch
from torch import Tensor

from jobs.errors import ClipUnusable
from jobs.options import TuningOptions
from models.base import Colorizer, ModelDescription, Reference
from models.color import dequantize_luma, ycbcr_to_rgb
from models.metrics import ab_psnr, ciede2000, color_distribution_consistency, rgb_psnr, ssim
from models.tuning import TuningReport, tune
from models.upsampling import resize_chroma, upsample_chroma
from worker.analysis import ShotRange, analyze
from worker.canvas import Canvas
from worker.clip_search import Clip
from worker.coloring import restored_change
from worker.evaluation_clips import OpenClip, open_clip
from worker.evaluation_results import ClipResult, Scores, SeedResult, Tuned
from worker.fitting import LEAST_CHROMA, chroma_reach
from worker.keyframe_choice import FrameMeasures, choose
from worker.memory import peak_megabytes
from worker.nearby import nearby_frames, read_together
from worker.propagation import Anchor, ColoredFrame, Feed, ShotColors, color_shot, frames_to_feed
from worker.shot_tuning import tuning_settings
from worker.signatures import SignatureFile
from worker.stopwatch import Stopwatch, TimedSource

_MOST_DB = 100.0
"""What a frame without any error counts as in a mean of PSNR."""


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    tuning: TuningOptions
    frames: int | None = None
    """Measure the first so many only."""
    references: int = 1
    """Frames whose colors are given: the first, and from two on the last, the others evenly between them."""
    keyframes: bool = False
    """Give the colors of the frames that a search for keyframes would name for a shot of so many parts, in place of
    these."""
    seeds: int = 1
    """How often tuning is repeated, with seeds 0, 1, 2 and so on."""
    lines: int | None = None
    """Measure the clips as if they had been made this small before, see `open_clip`; None: at their own size."""
    restore: bool = False
    """Take the luma too from models that restore it; all others keep the film's."""

    @property
    def passes(self) -> int:
        """How often a clip is colored."""
        return 1 + (self.seeds if self.tuning.iterations > 0 else 0)


def evaluate_clip(
    clip: Clip,
    colorizer: Colorizer,
    *,
    settings: EvaluationSettings,
    on_frame: Callable[[], None] = lambda: None,
) -> ClipResult:
    """Colorize `clip` from its references as a job does and compare it with the truth; `colorizer` is left as it is.

    Holds a bounded number of frames; color that waits for its frame lies in a temporary folder. `on_frame` is called
    before every frame fed, `frames_fed` times in all.

    Raises:
        JobFailure: a video of the clip cannot be decoded.
        ClipUnusable: the clip has no frame beside the references.
        OutOfMemory: the clip does not fit the device.
    """
    with (
        open_clip(clip, frames=settings.frames, lines=settings.lines) as opened,
        TemporaryDirectory(prefix="retint-evaluate-") as scratch,
    ):
        run = _Run.prepare(opened, colorizer.description, settings=settings, scratch=Path(scratch), on_frame=on_frame)
        untuned = run.measure(colorizer)
        seeds = tuple(run.tune_and_measure(colorizer)) if settings.tuning.iterations > 0 else ()
    references = tuple(anchor.frame for anchor in run.anchors)
    return ClipResult(clip.name, references, opened.frames - len(references), untuned, seeds, peak_megabytes())


def compare_tunings(
    clip: Clip,
    colorizer: Colorizer,
    tunings: Sequence[TuningOptions],
    *,
    settings: EvaluationSettings,
    on_frame: Callable[[], None] = lambda: None,
) -> Iterator[Tuned]:
    """Yield what `colorizer` makes of `clip` after each of `tunings`, every one from its weights as they are.

    `settings.tuning` and `settings.seeds` are not looked at. Raises what `evaluate_clip` does.
    """
    with (
        open_clip(clip, frames=settings.frames, lines=settings.lines) as opened,
        TemporaryDirectory(prefix="retint-evaluate-") as scratch,
    ):
        run = _Run.prepare(opened, colorizer.description, settings=settings, scratch=Path(scratch), on_frame=on_frame)
        frames = opened.frames - len(run.anchors)
        for tuning in tunings:
            tuned, report = colorizer, None
            if tuning.iterations > 0:
                tuned, report = run.tune(colorizer, tuning, seed=0)
            yield Tuned(scores=run.measure(tuned), frames=frames, tuning=report)


def frames_fed(clip: Clip, description: ModelDescription, *, settings: EvaluationSettings) -> int:
    """How many frames `evaluate_clip` feeds to the model, those that are colored both ways counted twice.

    Raises:
        JobFailure: a video of the clip cannot be opened.
        ClipUnusable: the clip has no frame beside the references.
    """
    with open_clip(clip, frames=settings.frames, lines=settings.lines) as opened:
        anchors = reference_frames(opened, settings=settings)
        return settings.passes * frames_to_feed(_shot(opened), anchors, propagates=description.propagates)


def reference_frames(clip: OpenClip, *, settings: EvaluationSettings) -> tuple[int, ...]:
    """Frames of the references: the keyframes; or the first, and from two on the last, the others evenly between them.

    Raises:
        ClipUnusable: no frame would be left to measure.
    """
    count = settings.references
    if clip.frames <= count:
        raise ClipUnusable(
            f"{clip.name} is too short: of {clip.frames} to color {count} would be references, which do not count. "
            f"Give {count + 1} frames or more, or fewer references."
        )
    if settings.keyframes:
        return _keyframes(clip, count)
    return (0,) if count == 1 else tuple(round(i * (clip.frames - 1) / (count - 1)) for i in range(count))


def _keyframes(clip: OpenClip, count: int) -> tuple[int, ...]:
    measures = FrameMeasures()
    with (
        TemporaryDirectory(prefix="retint-evaluate-") as scratch,
        SignatureFile(Path(scratch) / "signatures") as signatures,
    ):
        frames = measures.watch(clip.mono.frames(0, clip.frames - 1), info=clip.info)
        look = analyze(frames, info=clip.info, shots="single", signatures=signatures, on_frame=lambda _: None)
        chosen = choose(look.shots[0], count=count, measures=measures, signatures=signatures)
    return tuple(choice.frame for choice in chosen)


def _shot(clip: OpenClip) -> ShotRange:
    return ShotRange(0, clip.frames - 1)


@dataclass(slots=True)
class _Sums:
    """Running sums over the measured frames."""

    frames: int = 0
    rgb_psnr_db: float = 0.0
    ssim: float = 0.0
    ab_psnr_db: float = 0.0
    ciede2000: float = 0.0

    def add(self, result: Tensor, truth: Tensor) -> None:
        self.frames += 1
        self.rgb_psnr_db += min(rgb_psnr(result, truth), _MOST_DB)
        self.ssim += ssim(result, truth) if min(truth.shape[-2:]) >= 11 else math.nan
        self.ab_psnr_db += min(ab_psnr(result, truth), _MOST_DB)
        self.ciede2000 += ciede2000(result, truth)


@dataclass(frozen=True, slots=True)
class _Run:
    clip: OpenClip
    canvas: Canvas
    anchors: tuple[Anchor, ...]
    settings: EvaluationSettings
    scratch: Path
    on_frame: Callable[[], None]

    @classmethod
    def prepare(
        cls,
        clip: OpenClip,
        description: ModelDescription,
        *,
        settings: EvaluationSettings,
        scratch: Path,
        on_frame: Callable[[], None],
    ) -> Self:
        canvas = Canvas.fit(clip.info, description=description, working_size=None)
        anchors = tuple(
            Anchor(frame, _held(_reference(clip, canvas, frame=frame)))
            for frame in reference_frames(clip, settings=settings)
        )
        return cls(clip, canvas, anchors, settings, scratch, on_frame)

    def tune_and_measure(self, colorizer: Colorizer) -> Iterator[SeedResult]:
        """Yield what tuning of each seed makes of the clip."""
        for seed in range(self.settings.seeds):
            copy, report = self.tune(colorizer, self.settings.tuning, seed=seed)
            yield SeedResult(seed=seed, scores=self.measure(copy), tuning=report)

    def tune(self, colorizer: Colorizer, options: TuningOptions, *, seed: int) -> tuple[Colorizer, TuningReport]:
        """A copy of `colorizer` that has learned the references."""
        copy = colorizer.clone()
        report = tune(
            copy,
            [replace(anchor.read(), nearby=self._nearby(anchor.frame)) for anchor in self.anchors],
            matrix=self.clip.info.matrix,
            settings=replace(tuning_settings(options, colorizer.description), seed=seed),
        )
        return copy, report

    def measure(self, colorizer: Colorizer) -> Scores:
        """Color the clip and compare."""
        source = TimedSource(self.clip.mono, self.canvas, self.clip.info)
        feed = Feed(
            source=source,
            colorizer=colorizer,
            matrix=self.clip.info.matrix,
            restore=self.settings.restore and colorizer.description.restores,
            to_luma=source.luma,
            spool_folder=self.scratch,
            before_frame=self.on_frame,
        )
        watch, sums = Stopwatch(), _Sums()
        colors = ShotColors(shot=_shot(self.clip), anchors=self.anchors, examples=())
        cdc = color_distribution_consistency(self._results(watch.timed(color_shot(colors, feed=feed)), sums=sums))
        return Scores(
            rgb_psnr_db=sums.rgb_psnr_db / sums.frames,
            ssim=sums.ssim / sums.frames,
            ab_psnr_db=sums.ab_psnr_db / sums.frames,
            ciede2000=sums.ciede2000 / sums.frames,
            cdc=cdc,
            seconds_per_frame=(watch.seconds - source.watch.seconds) / self.clip.frames,
        )

    def _nearby(self, frame: int) -> Sequence[Tensor]:
        """Luma of frames near a reference, as the model is fed; the clip is one shot."""
        near = nearby_frames(frame, first=0, last=self.clip.frames - 1)
        return read_together(near, read=partial(_lumas, self.clip, self.canvas))

    def _results(self, colored: Iterator[ColoredFrame], *, sums: _Sums) -> Iterator[Tensor]:
        """Yield the colored frames, adding up how those that are no references score on the way."""
        references = {anchor.frame for anchor in self.anchors}
        truths = self.clip.truth.pictures(0, self.clip.frames - 1)
        for one, truth in zip(colored, truths, strict=True):
            self.clip.check_size(truth)
            result = self._result(one)
            if one.frame.index not in references:
                sums.add(result, torch.from_numpy(truth).permute(2, 0, 1))
            yield result

    def _result(self, colored: ColoredFrame) -> Tensor:
        """[3, H, W] uint8: the luma, the input's or the restored one, with the predicted chroma, at the source's own
        size, before any codec."""
        info = self.clip.info
        luma = dequantize_luma(
            torch.from_numpy(colored.frame.luma), bit_depth=info.bit_depth, full_range=info.full_range
        )
        chroma = self.canvas.crop(colored.prediction.chroma).float().cpu()
        low = resize_chroma(luma[None], (chroma.shape[-2], chroma.shape[-1]))[0]
        chroma = upsample_chroma(chroma, luma_low=low, luma_high=luma)
        if colored.prediction.luma is not None:
            fed = self.canvas.luma(colored.frame, info=info)
            luma = luma + restored_change(self.canvas, fed=fed, restored=colored.prediction.luma, like=luma)
        rgb = ycbcr_to_rgb(torch.cat([luma[None], chroma]), matrix=info.matrix)
        return (rgb * 255.0).round().clamp(0, 255).to(torch.uint8)


def _reference(clip: OpenClip, canvas: Canvas, *, frame: int) -> Reference:
    picture = clip.reference_picture(frame)
    if chroma_reach(picture) < LEAST_CHROMA:
        raise ClipUnusable(f"{clip.name} has no colors to compare with: its frame {frame} is gray; give a color clip.")
    rgb = canvas.rgb(picture)
    return Reference(rgb=rgb, luma=next(_lumas(clip, canvas, frame, frame)), is_frame=True)


def _held(reference: Reference) -> Callable[[], Reference]:
    """Read before time is taken."""
    return lambda: reference


def _lumas(clip: OpenClip, canvas: Canvas, first: int, last: int) -> Iterator[Tensor]:
    for frame in clip.mono.frames(first, last):
        yield canvas.luma(frame, info=clip.info)
