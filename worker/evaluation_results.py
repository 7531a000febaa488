"""What an evaluation measures, clip by clip, and the means of it."""

from dataclasses import dataclass
from typing import Self

from models.tuning import TuningReport


@dataclass(frozen=True, slots=True)
class Scores:
    """Means over all frames but those of the references, on 8-bit RGB of the source's own size."""

    rgb_psnr_db: float
    ssim: float
    ab_psnr_db: float
    ciede2000: float
    cdc: float
    """Color distribution consistency of the result, references included; the nearer to the truth's the better."""
    seconds_per_frame: float
    """Of prediction alone, both ways where a frame is colored both ways: decoding, upsampling and measuring not
    counted."""


@dataclass(frozen=True, slots=True)
class SeedResult:
    """One tuning, and the clip colored by what it made."""

    seed: int
    scores: Scores
    tuning: TuningReport


@dataclass(frozen=True, slots=True)
class Tuned:
    """A clip as it is colored after one tuning."""

    scores: Scores
    frames: int
    """Measured: the references not counted."""
    tuning: TuningReport | None
    """None where it was off."""


@dataclass(frozen=True, slots=True)
class Gain:
    """PSNR of RGB in dB, tuned minus untuned, over the seeds."""

    mean_db: float
    lowest_db: float
    highest_db: float

    @classmethod
    def of(cls, gains: list[float]) -> Self:
        return cls(mean_db=sum(gains) / len(gains), lowest_db=min(gains), highest_db=max(gains))


@dataclass(frozen=True, slots=True)
class ClipResult:
    clip: str
    references: tuple[int, ...]
    """Frames whose colors were given."""
    frames: int
    """Measured: the references not counted."""
    untuned: Scores
    seeds: tuple[SeedResult, ...]
    """Empty where tuning is off."""
    peak_memory_megabytes: float
    """Of the whole process up to the end of this clip."""

    @property
    def tuned(self) -> Scores | None:
        """The mean over the seeds."""
        return mean_scores([seed.scores for seed in self.seeds]) if self.seeds else None

    @property
    def gains_db(self) -> list[float]:
        """What tuning adds to the PSNR of RGB, seed by seed."""
        return [seed.scores.rgb_psnr_db - self.untuned.rgb_psnr_db for seed in self.seeds]


def mean_scores(scores: list[Scores]) -> Scores:
    """The mean over clips, or over seeds."""
    count = len(scores)
    return Scores(
        rgb_psnr_db=sum(s.rgb_psnr_db for s in scores) / count,
        ssim=sum(s.ssim for s in scores) / count,
        ab_psnr_db=sum(s.ab_psnr_db for s in scores) / count,
        ciede2000=sum(s.ciede2000 for s in scores) / count,
        cdc=sum(s.cdc for s in scores) / count,
        seconds_per_frame=sum(s.seconds_per_frame for s in scores) / count,
    )


def mean_gains_db(results: list[ClipResult]) -> list[float]:
    """What tuning adds to the PSNR of RGB, mean over the clips, seed by seed."""
    return [sum(gains) / len(gains) for gains in zip(*(result.gains_db for result in results), strict=True)]
