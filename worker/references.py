"""Finds where each reference stands in the video."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from jobs.errors import ReferenceUndecodable, ReferenceUnplaced
from jobs.options import ReferenceOptions
from jobs.record import PlacedReference
from worker.analysis import ShotRange, unit_luma
from worker.fitting import Fitting, fittings, require_color
from worker.likeness import FINE_WIDTH, FRAME_SCORE, SCENE_SCORE, Fine, likeness, luma_of
from worker.media.decode import VideoReader
from worker.media.frames import Rgb
from worker.media.stills import read_image, write_png
from worker.signatures import Signature, SignatureFile, signature_of
from worker.task import ReferenceFile

_ALIKE = 0.004
"""Two places whose likeness differs by less cannot be told apart."""
_DIP = 0.03
"""Between two places that are no single still stretch, likeness falls by this at least."""

_PEAKS = 5
_PEAK_DISTANCE = 12
_REACH = 6
"""Frames compared finely on both sides of each of the best peaks of the coarse likeness."""


@dataclass(frozen=True, slots=True)
class LocatedReference:
    """A reference, brought to the video's shape, with its place."""

    path: Path
    """PNG of the picture: 64 of them in memory would be as much as all else together."""
    signature: Signature
    record: PlacedReference
    likeness: float
    """How much it looks like the frame that it stands at, -1 to 1."""

    @property
    def picture(self) -> Rgb:
        return read_image(self.path)

    @property
    def frame(self) -> int | None:
        return self.record.frame

    @property
    def most_confidence(self) -> float:
        """What confidence in the colors around it is at most: low where it does not look like the frame that it is
        placed at, however sure the model is of having carried them on."""
        return 1.0 if self.likeness >= FRAME_SCORE or self.frame is None else max(0.0, self.likeness)


@dataclass(frozen=True, slots=True)
class Placement:
    references: tuple[LocatedReference, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Match:
    frame: int
    score: float


@dataclass(frozen=True, slots=True)
class _Candidate:
    """One fitting of a reference, ready to be compared."""

    fitting: Fitting
    signature: Signature
    fine: Fine


def refuse_unusable(
    files: Iterable[ReferenceFile], *, options: Iterable[ReferenceOptions], reader: VideoReader
) -> None:
    """Raise what can be known to be wrong with references before the video is looked at.

    Raises:
        ReferenceUndecodable, ReferenceNotColor: see `read_reference`.
        ReferenceUnplaced: a place is out of the video's range.
    """
    for file in files:
        read_reference(file)
    for option in options:
        frame_asked_for(option, reader=reader)


def read_reference(file: ReferenceFile) -> Rgb:
    """The picture in a file.

    Raises:
        ReferenceUndecodable: it is no picture.
        ReferenceNotColor: it is gray.
    """
    try:
        picture = read_image(file.path)
    except ReferenceUndecodable as error:
        # The user knows the file by the name that it was sent under, not by the one that it is stored under.
        raise ReferenceUndecodable(error.detail.replace(file.path.name, file.name)) from error
    require_color(picture, name=file.name)
    return picture


def frame_asked_for(option: ReferenceOptions, *, reader: VideoReader) -> int | None:
    """The frame that the user named, None where the user left it to matching.

    Raises:
        ReferenceUnplaced: it is not in the video.
    """
    info, timeline = reader.info, reader.timeline
    if option.frame is not None:
        if option.frame >= info.frames:
            raise ReferenceUnplaced(
                f"The reference {option.name} was placed at frame {option.frame}, but the video's frames are 0 to "
                f"{info.frames - 1}. Give a frame of the video, or none to have it found."
            )
        return option.frame
    if option.time_seconds is None:
        return None
    if option.time_seconds > info.duration_seconds:
        raise ReferenceUnplaced(
            f"The reference {option.name} was placed at {option.time_seconds:g} s, but the video is "
            f"{info.duration_seconds:.3f} s long. Give a time of the video, or none to have it found."
        )
    return timeline.nearest(option.time_seconds)


class ReferenceLocator:
    """Places references in one video."""

    def __init__(
        self,
        reader: VideoReader,
        *,
        shots: Sequence[ShotRange],
        signatures: SignatureFile,
        folder: Path,
        check: Callable[[], None],
    ) -> None:
        """`folder` is where the pictures go, brought to the video's shape."""
        self._folder = folder
        self._reader = reader
        self._shots = shots
        self._signatures = signatures
        self._check = check
        width = min(FINE_WIDTH, reader.info.width)
        self._fine_size = (max(1, round(reader.info.height * width / reader.info.width)), width)

    def locate(
        self, files: Sequence[ReferenceFile], *, options: Sequence[ReferenceOptions], keep_side: int
    ) -> Placement:
        """Place every reference; pictures larger than `keep_side` on their short side are kept at that size.

        Raises:
            ReferenceUndecodable: a file is no picture.
            ReferenceNotColor: a picture is gray.
            ReferenceUnplaced: a place out of the video's range, or a picture of another scene.
        """
        asked = {option.name: option for option in options}
        names = {file.name for file in files}
        warnings = [
            f"The options place a reference {name}, but none of that name was given."
            for name in asked
            if name not in names
        ]
        located = []
        for number, file in enumerate(files):
            self._check()
            reference = self._locate(number, file, asked.get(file.name), keep_side=keep_side, warnings=warnings)
            located.append(reference)
        warnings += _crowded(located)
        return Placement(references=tuple(located), warnings=tuple(warnings))

    def _locate(
        self,
        number: int,
        file: ReferenceFile,
        option: ReferenceOptions | None,
        *,
        keep_side: int,
        warnings: list[str],
    ) -> LocatedReference:
        picture = read_reference(file)
        candidates = [self._candidate(fitting) for fitting in fittings(picture, info=self._reader.info)]
        if option is not None and not option.is_frame:
            return self._placeless(number, file, candidates[0], keep_side=keep_side)
        wanted = None if option is None else frame_asked_for(option, reader=self._reader)
        if wanted is None:
            candidate, match = self._best_anywhere(file.name, candidates, warnings)
        else:
            candidate, match = self._best_there(file.name, candidates, wanted, warnings)
        is_frame = wanted is not None or match.score >= FRAME_SCORE
        notes = [candidate.fitting.note] if candidate.fitting.note else []
        if is_frame and candidate.fitting.guessed:
            warnings.append(
                f"The reference {file.name} ({picture.shape[1]}x{picture.shape[0]}) shows only the middle of frame "
                f"{match.frame} ({self._reader.info.width}x{self._reader.info.height}); the colors beyond it are "
                "guessed from its edges. Color the whole frame."
            )
        if is_frame and match.score < FRAME_SCORE:
            notes.append(f"does not look like frame {match.frame} ({match.score:.2f})")
        if not is_frame and len(candidates) > 1:
            warnings.append(
                f"The reference {file.name} ({picture.shape[1]}x{picture.shape[0]}) has another shape than the video, "
                f"and looks like none of its frames however it is fitted: most like frame {match.frame} (likeness "
                f"{match.score:.2f}, at least {FRAME_SCORE} expected), so that it is used as an example. Color a whole "
                "frame."
            )
        if not is_frame:
            notes.append(f"no frame of the video, but like frame {match.frame} ({match.score:.2f}): used as an example")
        record = PlacedReference(
            name=file.name,
            frame=match.frame if is_frame else None,
            shot=shot_of(match.frame, self._shots),
            placed_by="matching" if wanted is None else "user",
            note="; ".join(notes) or None,
        )
        return self._located(number, candidate, record, likeness=match.score, keep_side=keep_side)

    def _placeless(
        self, number: int, file: ReferenceFile, candidate: _Candidate, *, keep_side: int
    ) -> LocatedReference:
        """A reference that is no frame of the video, as its user says."""
        notes = [candidate.fitting.note] if candidate.fitting.note else []
        notes.append("no frame of the video: an example for shots that no other reference looks like")
        record = PlacedReference(name=file.name, frame=None, shot=None, placed_by="user", note="; ".join(notes))
        return self._located(number, candidate, record, likeness=0.0, keep_side=keep_side)

    def _located(
        self, number: int, candidate: _Candidate, record: PlacedReference, *, likeness: float, keep_side: int
    ) -> LocatedReference:
        path = self._folder / f"{number:04d}.png"
        write_png(path, _shrunk(candidate.fitting.picture, keep_side))
        return LocatedReference(path=path, signature=candidate.signature, record=record, likeness=likeness)

    def _candidate(self, fitting: Fitting) -> _Candidate:
        height, width = self._fine_size
        small = cv2.resize(fitting.picture, (width, height), interpolation=cv2.INTER_AREA)
        luma = luma_of(np.asarray(small, np.uint8), matrix=self._reader.info.matrix)
        return _Candidate(fitting=fitting, signature=signature_of(luma), fine=luma)

    def _best_there(
        self, name: str, candidates: Iterable[_Candidate], frame: int, warnings: list[str]
    ) -> tuple[_Candidate, _Match]:
        truth = self._fine(frame, frame)[0]
        scored = [(likeness(candidate.fine, truth), candidate) for candidate in candidates]
        score, candidate = max(scored, key=lambda pair: pair[0])
        if score < FRAME_SCORE:
            warnings.append(
                f"The reference {name} was placed at frame {frame}, but does not look like it (likeness {score:.2f}, "
                f"at least {FRAME_SCORE} expected), so the colors around it are not to be trusted. "
                f"{self._better_place(candidate)}"
            )
        return candidate, _Match(frame, score)

    def _better_place(self, candidate: _Candidate) -> str:
        """What to do about a reference that does not look like the frame that it was placed at."""
        best = self._search(candidate)[0][0]
        if best.score < FRAME_SCORE:
            return "It looks like no other frame either: use a colored frame of this video."
        return f"It looks like frame {best.frame} (likeness {best.score:.2f}): place it there, or leave the place out."

    def _best_anywhere(
        self, name: str, candidates: Iterable[_Candidate], warnings: list[str]
    ) -> tuple[_Candidate, _Match]:
        found = [(candidate, *self._search(candidate)) for candidate in candidates]
        candidate, matches, coarse = max(found, key=lambda item: item[1][0].score)
        best = matches[0]
        if best.score < SCENE_SCORE:
            raise ReferenceUnplaced(
                f"The reference {name} matches no frame of the video: the likeliest is frame {best.frame} "
                f"({self._reader.timeline.seconds(best.frame):.2f} s) with a likeness of {best.score:.2f}, where at "
                f"least {SCENE_SCORE} are expected. Use a colored frame of this video, or name its frame."
            )
        rival = _rival(best, matches[1:], coarse)
        if rival is not None:
            warnings.append(
                f"The reference {name} matches frame {rival.frame} as well as frame {best.frame} "
                f"({rival.score:.3f} and {best.score:.3f}); frame {best.frame} was taken. Name its frame if that is "
                "wrong."
            )
        return candidate, best

    def _search(self, candidate: _Candidate) -> tuple[list[_Match], NDArray[np.float32]]:
        """The best frame near each of the likeliest places, best first, and the coarse likeness of all frames."""
        coarse = self._signatures.similarities(candidate.signature)
        matches: dict[int, _Match] = {}
        for peak in _places(coarse, self._shots):
            self._check()
            match = self._climb(candidate, peak)
            matches[match.frame] = match
        return sorted(matches.values(), key=lambda match: -match.score), coarse

    def _climb(self, candidate: _Candidate, peak: int) -> _Match:
        """The best frame within reach of `peak`, and onward where the best is the last one looked at."""
        scores: dict[int, float] = {}
        center = peak
        while True:
            first = max(0, center - _REACH)
            last = min(self._reader.info.frames - 1, center + _REACH)
            if not all(frame in scores for frame in range(first, last + 1)):
                for frame, fine in enumerate(self._fine(first, last), start=first):
                    scores[frame] = likeness(candidate.fine, fine)
            best = max(scores, key=lambda frame: scores[frame])
            at_the_edge = best in (min(scores), max(scores)) and best not in (0, self._reader.info.frames - 1)
            if not at_the_edge or len(scores) > 8 * _REACH:
                return _Match(best, scores[best])
            center = best

    def _fine(self, first: int, last: int) -> list[Fine]:
        info = self._reader.info
        return [unit_luma(frame, info=info, size=self._fine_size) for frame in self._reader.frames(first, last)]


def shot_of(frame: int, shots: Sequence[ShotRange]) -> int:
    """Number of the shot that `frame` is in.

    Raises:
        ValueError: it is in none.
    """
    for index, shot in enumerate(shots):
        if frame in shot:
            return index
    raise ValueError(f"frame {frame} is in no shot")


def _places(coarse: NDArray[np.float32], shots: Sequence[ShotRange]) -> list[int]:
    """Frames to look around more closely: the likeliest, and those of each of the likeliest shots. Where little moves
    in one shot, all of the former may be in it, though the reference is of another shot that looks like it."""
    best = [shot.first + int(coarse[shot.first : shot.last + 1].argmax()) for shot in shots]
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


def _rival(best: _Match, others: Iterable[_Match], coarse: NDArray[np.float32]) -> _Match | None:
    """Another place that is as likely, and not just more of the same still picture."""
    for other in others:
        between = coarse[min(best.frame, other.frame) : max(best.frame, other.frame) + 1]
        if best.score - other.score < _ALIKE and coarse[best.frame] - between.min() > _DIP:
            return other
    return None


def _crowded(references: Sequence[LocatedReference]) -> list[str]:
    first: dict[int, str] = {}
    warnings = []
    for reference in references:
        if reference.frame is None:
            continue
        if reference.frame in first:
            warnings.append(
                f"The references {first[reference.frame]} and {reference.record.name} are both of frame "
                f"{reference.frame}; only the first is used there."
            )
        first.setdefault(reference.frame, reference.record.name)
    return warnings


def _shrunk(picture: Rgb, side: int) -> Rgb:
    """`picture` with its short side at most `side`: 64 references of a 4K film would take 1.6 GB."""
    height, width = picture.shape[:2]
    scale = side / min(height, width)
    if scale >= 1:
        return np.ascontiguousarray(picture)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
