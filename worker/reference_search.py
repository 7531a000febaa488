"""Looks for the frame that a picture is of: by signature among all, by luma around the likeliest."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.analysis import ShotRange, unit_luma
from worker.fitting import Fitting
from worker.likeness import FINE_WIDTH, Fine, likeness, luma_of
from worker.media.decode import VideoReader
from worker.signatures import Signature, SignatureFile, signature_of

_ALIKE = 0.004
"""Two places whose likeness differs by less cannot be told apart."""
_DIP = 0.03
"""Between two places that are no single still stretch, likeness falls by this at least."""

_PEAKS = 5
_PEAK_DISTANCE = 12
_REACH = 6
"""Frames compared finely on both sides of each of the best peaks of the coarse likeness."""


@dataclass(frozen=True, slots=True)
class Match:
    """How much a frame looks like a picture, -1 to 1."""

    frame: int
    score: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """One fitting of a reference, ready to be compared."""

    fitting: Fitting
    signature: Signature
    fine: Fine


@dataclass(frozen=True, slots=True)
class Found:
    """Where in the video a candidate may stand."""

    matches: Sequence[Match]
    """The best frame near each of the likeliest places, best first."""
    coarse: NDArray[np.float32]
    """Coarse likeness of all frames; minus infinity for those that it was not searched among."""

    @property
    def best(self) -> Match:
        return self.matches[0]

    def rival(self) -> Match | None:
        """Another place that is as likely, and not just more of the same still picture."""
        best, coarse = self.best, self.coarse
        for other in self.matches[1:]:
            between = coarse[min(best.frame, other.frame) : max(best.frame, other.frame) + 1]
            if best.score - other.score < _ALIKE and coarse[best.frame] - between.min() > _DIP:
                return other
        return None


class ReferenceSearch:
    """Compares references with the frames of one video."""

    def __init__(
        self,
        reader: VideoReader,
        *,
        shots: Sequence[ShotRange],
        signatures: SignatureFile,
        check: Callable[[], None],
    ) -> None:
        """`check` is called between looks at the video, to raise where it is to stop."""
        self._reader = reader
        self._shots = shots
        self._signatures = signatures
        self._check = check
        width = min(FINE_WIDTH, reader.info.width)
        self._fine_size = (max(1, round(reader.info.height * width / reader.info.width)), width)

    def candidate(self, fitting: Fitting) -> Candidate:
        height, width = self._fine_size
        small = cv2.resize(fitting.picture, (width, height), interpolation=cv2.INTER_AREA)
        luma = luma_of(np.asarray(small, np.uint8), matrix=self._reader.info.matrix)
        return Candidate(fitting=fitting, signature=signature_of(luma), fine=luma)

    def there(self, candidates: Iterable[Candidate], frame: int) -> tuple[Candidate, Match]:
        """That of `candidates` which looks most like `frame`."""
        truth = self._fine(frame, frame)[0]
        scored = [(candidate, Match(frame, likeness(candidate.fine, truth))) for candidate in candidates]
        return max(scored, key=lambda pair: pair[1].score)

    def anywhere(self, candidate: Candidate, *, within: range | None = None) -> Found:
        """Looks among the frames `within`, or else among all."""
        frames = within or range(self._reader.info.frames)
        coarse = self._signatures.similarities(candidate.signature)
        coarse[: frames.start] = coarse[frames.stop :] = -np.inf
        matches: dict[int, Match] = {}
        for peak in _places(coarse, self._shots):
            self._check()
            match = self._climb(candidate, peak, within=frames)
            matches[match.frame] = match
        return Found(sorted(matches.values(), key=lambda match: -match.score), coarse)

    def _climb(self, candidate: Candidate, peak: int, *, within: range) -> Match:
        """The best frame in reach of `peak`, and onward where the best is the last one looked at."""
        scores: dict[int, float] = {}
        center = peak
        while True:
            first = max(within[0], center - _REACH)
            last = min(within[-1], center + _REACH)
            if not all(frame in scores for frame in range(first, last + 1)):
                for frame, fine in enumerate(self._fine(first, last), start=first):
                    scores[frame] = likeness(candidate.fine, fine)
            best = max(scores, key=lambda frame: scores[frame])
            at_the_edge = best in (min(scores), max(scores)) and best not in (within[0], within[-1])
            if not at_the_edge or len(scores) > 8 * _REACH:
                return Match(best, scores[best])
            center = best

    def _fine(self, first: int, last: int) -> list[Fine]:
        info = self._reader.info
        return [unit_luma(frame, info=info, size=self._fine_size) for frame in self._reader.frames(first, last)]


def _places(coarse: NDArray[np.float32], shots: Sequence[ShotRange]) -> list[int]:
    """Frames to look around more closely: the likeliest, and those of each of the likeliest shots. Where little moves
    in one shot, all of the former may be in it, though the reference is of another shot that looks like it."""
    best = [shot.first + int(coarse[shot.first : shot.last + 1].argmax()) for shot in shots]
    best = [frame for frame in best if np.isfinite(coarse[frame])]
    best.sort(key=lambda frame: -coarse[frame])
    return sorted({*_peaks(coarse), *best[:_PEAKS]})


def _peaks(coarse: NDArray[np.float32]) -> list[int]:
    """The frames of highest coarse likeness, no two of them close together."""
    left = coarse.copy()
    peaks: list[int] = []
    while len(peaks) < _PEAKS:
        peak = int(left.argmax())
        if not np.isfinite(left[peak]):
            break
        peaks.append(peak)
        left[max(0, peak - _PEAK_DISTANCE) : peak + _PEAK_DISTANCE + 1] = -np.inf
    return peaks
