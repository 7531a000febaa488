"""Measures colorizers on clips whose colors are known: untuned beside tuned, in one run."""

import math
import resource
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from jobs.errors import InvalidRequest
from jobs.options import TuningOptions
from models.base import Colorizer, Prediction, Reference
from models.color import dequantize_luma, ycbcr_to_rgb
from models.metrics import ab_psnr, ciede2000, color_distribution_consistency, rgb_psnr, ssim
from models.tuning import TuningSettings, tune
from models.upsampling import resize_chroma, upsample_chroma
from worker.canvas import Canvas
from worker.evaluation_clips import Clip, ClipFrame, count_frames, first_picture, mono_info, read_frames
from worker.media.frames import LumaFrame, VideoInfo

_MOST_DB = 100.0
"""What a frame without any error counts as in a mean of PSNR."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Means over all frames but the reference, on 8-bit RGB of the source's own size."""

    rgb_psnr_db: float
    ssim: float
    ab_psnr_db: float
    ciede2000: float
    cdc: float
    """Color distribution consistency of the result; the nearer to the truth's the better."""
    seconds_per_frame: float
    """Of prediction alone: decoding, upsampling and measuring not counted."""


@dataclass(frozen=True, slots=True)
class TuningOutcome:
    iterations: int
    gain_db: float
    """PSNR of ab on the held-out part of the reference."""
    seconds: float


@dataclass(frozen=True, slots=True)
class ClipResult:
    clip: str
    frames: int
    """Measured: the reference not counted."""
    untuned: Scores
    tuned: Scores | None
    tuning: TuningOutcome | None
    peak_memory_megabytes: float
    """Of the whole process up to the end of this clip."""


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    tuning: TuningOptions
    frames: int | None = None
    """Measure the first so many only."""
    seed: int = 0


def evaluate_clip(
    clip: Clip,
    colorizer: Colorizer,
    *,
    settings: EvaluationSettings,
    on_frame: Callable[[], None] = lambda: None,
) -> ClipResult:
    """Colorize `clip` from its first frame and compare it with the truth; `colorizer` is left as it is.

    Holds a bounded number of frames. `on_frame` is called after every frame of every pass.

    Raises:
        JobFailure: a video of the clip cannot be decoded.
        InvalidRequest: the clip has fewer than two frames.
        OutOfMemory: the clip does not fit the device.
    """
    run = _Run.prepare(clip, colorizer, settings=settings)
    untuned, frames = run.measure(colorizer, on_frame=on_frame)
    tuned, outcome = None, None
    if settings.tuning.iterations > 0:
        copy, outcome = run.tuned(colorizer)
        tuned, _ = run.measure(copy, on_frame=on_frame)
    # ru_maxrss is in kilobytes on Linux, where workers run.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return ClipResult(clip.name, frames, untuned, tuned, outcome, peak)


def mean_scores(scores: list[Scores]) -> Scores:
    """The mean over clips."""
    count = len(scores)
    return Scores(
        rgb_psnr_db=sum(s.rgb_psnr_db for s in scores) / count,
        ssim=sum(s.ssim for s in scores) / count,
        ab_psnr_db=sum(s.ab_psnr_db for s in scores) / count,
        ciede2000=sum(s.ciede2000 for s in scores) / count,
        cdc=sum(s.cdc for s in scores) / count,
        seconds_per_frame=sum(s.seconds_per_frame for s in scores) / count,
    )


@dataclass(slots=True)
class _Feed:
    """Hands lumas to a colorizer, remembers their frames until the prediction is there, and counts its own time."""

    frames: Iterator[ClipFrame]
    canvas: Canvas
    info: VideoInfo
    waiting: deque[ClipFrame] = field(default_factory=deque)
    seconds: float = 0.0

    def lumas(self) -> Iterator[Tensor]:
        while True:
            started = time.monotonic()
            frame = next(self.frames, None)
            if frame is None:
                return
            self.waiting.append(frame)
            luma = self.canvas.luma(frame.mono, info=self.info)
            self.seconds += time.monotonic() - started
            yield luma


@dataclass(slots=True)
class _Sums:
    """Running sums over the measured frames."""

    frames: int = 0
    rgb_psnr_db: float = 0.0
    ssim: float = 0.0
    ab_psnr_db: float = 0.0
    ciede2000: float = 0.0
    seconds: float = 0.0
    """Spent waiting for predictions, feeding included."""

    def add(self, result: Tensor, truth: Tensor) -> None:
        self.frames += 1
        self.rgb_psnr_db += min(rgb_psnr(result, truth), _MOST_DB)
        self.ssim += ssim(result, truth) if min(truth.shape[-2:]) >= 11 else math.nan
        self.ab_psnr_db += min(ab_psnr(result, truth), _MOST_DB)
        self.ciede2000 += ciede2000(result, truth)


@dataclass(frozen=True, slots=True)
class _Run:
    clip: Clip
    info: VideoInfo
    canvas: Canvas
    reference: Reference
    settings: EvaluationSettings

    @classmethod
    def prepare(cls, clip: Clip, colorizer: Colorizer, *, settings: EvaluationSettings) -> "_Run":
        info = mono_info(clip, frames=count_frames(clip))
        canvas = Canvas.fit(info, description=colorizer.description, working_size=None)
        first = next(read_frames(clip, frames=1))
        rgb = canvas.rgb(first_picture(clip))
        reference = Reference(rgb=rgb, luma=canvas.luma(first.mono, info=info), is_frame=True)
        return cls(clip, info, canvas, reference, settings)

    def tuned(self, colorizer: Colorizer) -> tuple[Colorizer, TuningOutcome]:
        copy = colorizer.clone()
        options = self.settings.tuning
        report = tune(
            copy,
            [self.reference],
            matrix=self.info.matrix,
            settings=TuningSettings(
                iterations=options.iterations,
                learning_rate=options.learning_rate or colorizer.description.learning_rate,
                objective=options.objective,
                weight_noise=options.weight_noise,
                seed=self.settings.seed,
            ),
        )
        return copy, TuningOutcome(iterations=report.iterations, gain_db=report.gain_db, seconds=report.seconds)

    def measure(self, colorizer: Colorizer, *, on_frame: Callable[[], None]) -> tuple[Scores, int]:
        feed = _Feed(read_frames(self.clip, frames=self.settings.frames), self.canvas, self.info)
        sums = _Sums()
        results = self._results(colorizer, feed=feed, sums=sums, on_frame=on_frame)
        cdc = color_distribution_consistency(results)
        count = sums.frames
        if count == 0:
            raise InvalidRequest(f"{self.clip.name} has one frame, which is the reference; a clip needs two or more.")
        scores = Scores(
            rgb_psnr_db=sums.rgb_psnr_db / count,
            ssim=sums.ssim / count,
            ab_psnr_db=sums.ab_psnr_db / count,
            ciede2000=sums.ciede2000 / count,
            cdc=cdc,
            seconds_per_frame=(sums.seconds - feed.seconds) / (count + 1),
        )
        return scores, count

    def _results(
        self, colorizer: Colorizer, *, feed: _Feed, sums: _Sums, on_frame: Callable[[], None]
    ) -> Iterator[Tensor]:
        """Yield the colored frames, the reference's own first, adding up what each costs and scores on the way."""
        predictions = colorizer.colorize(feed.lumas(), [self.reference], matrix=self.info.matrix)
        index = 0
        while True:
            started = time.monotonic()
            prediction = next(predictions, None)
            sums.seconds += time.monotonic() - started
            if prediction is None:
                return
            frame = feed.waiting.popleft()
            result = self._result(frame.mono, prediction)
            if index > 0:
                sums.add(result, torch.from_numpy(frame.truth).permute(2, 0, 1))
            index += 1
            on_frame()
            yield result

    def _result(self, mono: LumaFrame, prediction: Prediction) -> Tensor:
        """[3, H, W] uint8: the input's luma with the predicted chroma, at the source's own size."""
        luma = dequantize_luma(
            torch.from_numpy(mono.luma), bit_depth=self.info.bit_depth, full_range=self.info.full_range
        )
        chroma = self.canvas.crop(prediction.chroma).float().cpu()
        low = resize_chroma(luma[None], (chroma.shape[-2], chroma.shape[-1]))[0]
        chroma = upsample_chroma(chroma, luma_low=low, luma_high=luma)
        rgb = ycbcr_to_rgb(torch.cat([luma[None], chroma]), matrix=self.info.matrix)
        return (rgb * 255.0).round().clamp(0, 255).to(torch.uint8)
