"""Finds where each reference stands in the video."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from jobs.errors import ReferenceUndecodable, ReferenceUnplaced
from jobs.options import ReferenceOptions
from jobs.record import PlacedReference
from worker.analysis import ShotRange
from worker.asked_place import frame_asked_for, range_asked_for
from worker.fitting import Fitting, fittings, require_color
from worker.found_places import FoundPlace, FoundPlaces, search_key
from worker.likeness import FRAME_SCORE, SCENE_SCORE
from worker.media.decode import VideoReader
from worker.media.frames import Rgb, VideoInfo
from worker.media.stills import read_image, write_png
from worker.reference_search import Candidate, Match, ReferenceSearch
from worker.signatures import Signature, SignatureFile
from worker.task import ReferenceFile


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
        range_asked_for(option, reader=reader)


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


class ReferenceLocator:
    """Places references in one video."""

    def __init__(
        self,
        reader: VideoReader,
        *,
        shots: Sequence[ShotRange],
        signatures: SignatureFile,
        found: FoundPlaces,
        folder: Path,
        check: Callable[[], None],
    ) -> None:
        """What is in `found` is not searched for, and what is searched for comes into it; `folder` is where the
        pictures go, brought to the video's shape."""
        self._found = found
        self._folder = folder
        self._reader = reader
        self._shots = shots
        self._check = check
        self._search = ReferenceSearch(reader, shots=shots, signatures=signatures, check=check)

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
        candidates = [self._search.candidate(fitting) for fitting in fittings(picture, info=self._reader.info)]
        if option is not None and not option.is_frame:
            return self._placeless(number, file, candidates[0], keep_side=keep_side)
        wanted = None if option is None else frame_asked_for(option, reader=self._reader)
        if wanted is None:
            within = None if option is None else range_asked_for(option, reader=self._reader)
            candidate, match = self._best_anywhere(file, candidates, within, warnings)
        else:
            candidate, match = self._best_there(file.name, candidates, wanted, warnings)
        is_frame = wanted is not None or match.score >= FRAME_SCORE
        given = f"{file.name} ({picture.shape[1]}x{picture.shape[0]})"
        if is_frame and candidate.fitting.guessed:
            warnings.append(_only_the_middle(given, match, info=self._reader.info))
        if not is_frame and len(candidates) > 1:
            warnings.append(_like_no_frame(given, match))
        record = PlacedReference(
            name=file.name,
            frame=match.frame if is_frame else None,
            shot=shot_of(match.frame, self._shots),
            placed_by="matching" if wanted is None else "user",
            note=_note(candidate.fitting, match, is_frame=is_frame),
        )
        return self._located(number, candidate, record, likeness=match.score, keep_side=keep_side)

    def _placeless(self, number: int, file: ReferenceFile, candidate: Candidate, *, keep_side: int) -> LocatedReference:
        """A reference that is no frame of the video, as its user says."""
        notes = [candidate.fitting.note] if candidate.fitting.note else []
        notes.append("no frame of the video: an example for shots that no other reference looks like")
        record = PlacedReference(name=file.name, frame=None, shot=None, placed_by="user", note="; ".join(notes))
        return self._located(number, candidate, record, likeness=0.0, keep_side=keep_side)

    def _located(
        self, number: int, candidate: Candidate, record: PlacedReference, *, likeness: float, keep_side: int
    ) -> LocatedReference:
        path = self._folder / f"{number:04d}.png"
        write_png(path, _shrunk(candidate.fitting.picture, keep_side))
        return LocatedReference(path=path, signature=candidate.signature, record=record, likeness=likeness)

    def _best_there(
        self, name: str, candidates: Sequence[Candidate], frame: int, warnings: list[str]
    ) -> tuple[Candidate, Match]:
        candidate, match = self._search.there(candidates, frame)
        if match.score < FRAME_SCORE:
            warnings.append(
                f"The reference {name} was placed at frame {frame}, but does not look like it (likeness "
                f"{match.score:.2f}, at least {FRAME_SCORE} expected), so the colors around it are not to be trusted. "
                f"{self._better_place(candidates)}"
            )
        return candidate, match

    def _better_place(self, candidates: Sequence[Candidate]) -> str:
        """What to do about a reference that does not look like the frames that it was said to be of."""
        everywhere = [self._search.anywhere(candidate).best for candidate in candidates]
        best = max(everywhere, key=lambda match: match.score)
        if best.score < FRAME_SCORE:
            return "It looks like no other frame either: use a colored frame of this video."
        return f"It looks like frame {best.frame} (likeness {best.score:.2f}): place it there, or leave the place out."

    def _best_anywhere(
        self, file: ReferenceFile, candidates: Sequence[Candidate], within: range | None, warnings: list[str]
    ) -> tuple[Candidate, Match]:
        """Among the frames `within`, or else among all."""
        key = search_key(file.path, within=within)
        if key not in self._found:
            self._found[key] = self._search_for(file.name, candidates, within)
        place = self._found[key]
        candidate, best = self._search.there(candidates, place.frame)
        if place.rival is not None:
            warnings.append(
                f"The reference {file.name} matches frame {place.rival.frame} as well as frame {best.frame} "
                f"({place.rival.score:.3f} and {best.score:.3f}); frame {best.frame} was taken. Name its frame if that "
                "is wrong."
            )
        return candidate, best

    def _search_for(self, name: str, candidates: Sequence[Candidate], within: range | None) -> FoundPlace:
        """Raises `ReferenceUnplaced` where nothing looks like it."""
        everywhere = [self._search.anywhere(candidate, within=within) for candidate in candidates]
        found = max(everywhere, key=lambda one: one.best.score)
        best = found.best
        if best.score < SCENE_SCORE:
            searched, advice = "no frame of the video", "Use a colored frame of this video, or name its frame."
            if within is not None:
                searched = f"none of the frames {within[0]} to {within[-1]}, among which it was looked for"
                advice = self._better_place(candidates)
            raise ReferenceUnplaced(
                f"The reference {name} matches {searched}: the likeliest is frame {best.frame} "
                f"({self._reader.timeline.seconds(best.frame):.2f} s) with a likeness of {best.score:.2f}, where at "
                f"least {SCENE_SCORE} are expected. {advice}"
            )
        return FoundPlace(best.frame, found.rival())


def shot_of(frame: int, shots: Sequence[ShotRange]) -> int:
    """Number of the shot that `frame` is in.

    Raises:
        ValueError: it is in none.
    """
    for index, shot in enumerate(shots):
        if frame in shot:
            return index
    raise ValueError(f"frame {frame} is in no shot")


def _note(fitting: Fitting, match: Match, *, is_frame: bool) -> str | None:
    """What was done with a reference, and how it is used."""
    notes = [fitting.note] if fitting.note else []
    if not is_frame:
        notes.append(f"no frame of the video, but like frame {match.frame} ({match.score:.2f}): used as an example")
    elif match.score < FRAME_SCORE:
        notes.append(f"does not look like frame {match.frame} ({match.score:.2f})")
    return "; ".join(notes) or None


def _only_the_middle(given: str, match: Match, *, info: VideoInfo) -> str:
    """Warning of a reference, by name and size, that is less than a frame."""
    return (
        f"The reference {given} shows only the middle of frame {match.frame} ({info.width}x{info.height}); the colors "
        "beyond it are guessed from its edges. Color the whole frame."
    )


def _like_no_frame(given: str, match: Match) -> str:
    """Warning of a reference, by name and size, that has another shape and was found nowhere."""
    return (
        f"The reference {given} has another shape than the video, and looks like none of its frames however it is "
        f"fitted: most like frame {match.frame} (likeness {match.score:.2f}, at least {FRAME_SCORE} expected), so that "
        "it is used as an example. Color a whole frame."
    )


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
