"""Finds the shots of a video and writes the frames of each that are worth coloring."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from jobs.errors import FrameNotFound, TooManyFrames
from jobs.options import MOST_PARTS, FrameOptions, KeyframeOptions, StrictModel
from jobs.record import PickedFrame, VideoFacts
from worker.analysis import ShotRange, analyze
from worker.failures import failures_for_users
from worker.fitting import SAME_SHAPE
from worker.journal import video_facts
from worker.keyframe_choice import FrameMeasures, choose
from worker.media.decode import VideoReader, open_video
from worker.media.frames import VideoInfo
from worker.media.stills import png_of, still_of, to_rgb
from worker.media.timeline import Timeline
from worker.observer import Observer
from worker.signatures import SignatureFile
from worker.task import Limits

LIST_NAME = "keyframes.json"
"""File beside the pictures that says what each of them is."""

_ANALYSIS_SHARE = 0.8
"""Of the whole work, until all frames have been looked at; the rest is finding the pictures again and packing them."""


@dataclass(frozen=True, slots=True)
class KeyframesTask:
    """One search for keyframes, as files."""

    video: Path
    options: KeyframeOptions
    folder: Path
    """For temporary files."""
    limits: Limits


class FoundKeyframes(StrictModel):
    """All that a search found; what `keyframes.json` holds."""

    video: VideoFacts
    keyframes: list[PickedFrame]
    warnings: list[str]


Keep = Callable[[str, bytes], None]
"""Takes a finished file: its name and content."""


def find_keyframes(task: KeyframesTask, *, keep: Keep, observer: Observer) -> FoundKeyframes:
    """Look for the keyframes of a video and hand each picture, a PNG at the video's size, to `keep`; the list last.

    The video is decoded once to look at it, and again only where a picture is taken from. Memory does not grow with
    its pictures.

    Raises:
        JobFailure: what ends the search, with a sentence for its user.
        JobCanceled: the observer said so; TimedOut likewise.
    """

    def counted(frames: int) -> None:
        observer.check()
        observer.advanced(fraction=0.0, frames_done=0, frames_total=frames)

    with failures_for_users():
        observer.check()
        observer.entered("probing")
        with open_video(task.video, limits=task.limits, on_packet=counted) as reader:
            _refuse_too_many(task.options, reader.info)
            observer.learned(video=video_facts(reader.info))
            observer.advanced(fraction=0.0, frames_done=0, frames_total=reader.info.frames)
            found = _asked_for(task, reader) if task.options.frames else _look(task, reader, observer)
            observer.learned(warnings=found.warnings)
            _take_pictures(reader, found.keyframes, keep=keep, observer=observer)
        keep(LIST_NAME, (found.model_dump_json(indent=2) + "\n").encode())
    return found


def _refuse_too_many(options: KeyframeOptions, info: VideoInfo) -> None:
    """Before all frames of the film are looked at, which may take an hour."""
    seconds, every = info.duration_seconds, options.every_seconds
    if every is None or seconds <= MOST_PARTS * every:
        return
    raise TooManyFrames(
        f"A frame for every {every:g} s of a film of {seconds:.0f} s is too many: one search divides a film into "
        f"{MOST_PARTS} parts at most. Ask for one for every {ceil(seconds / MOST_PARTS)} s or more, or cut the film "
        "into several and search each."
    )


def _look(task: KeyframesTask, reader: VideoReader, observer: Observer) -> FoundKeyframes:
    """See every frame once, and choose those of each shot."""
    total = reader.info.frames

    def seen(count: int) -> None:
        observer.check()
        observer.advanced(fraction=_ANALYSIS_SHARE * count / total, frames_done=count, frames_total=total)

    observer.entered("detecting_shots")
    measures = FrameMeasures()
    with (
        TemporaryDirectory(prefix="scratch-", dir=task.folder) as scratch,
        SignatureFile(Path(scratch) / "signatures") as signatures,
    ):
        analysis = analyze(
            measures.watch(reader.frames(), info=reader.info),
            info=reader.info,
            shots=task.options.shots,
            signatures=signatures,
            on_frame=seen,
        )
        choices = [
            (index, shot, choice)
            for index, shot in enumerate(analysis.shots)
            for choice in choose(
                shot, count=_parts(shot, task.options, reader.timeline), measures=measures, signatures=signatures
            )
        ]
    seen_something = any(not choice.blank for _, _, choice in choices)
    keyframes = [
        PickedFrame(
            shot=index,
            first_frame=shot.first,
            last_frame=shot.last,
            frame=choice.frame,
            time_seconds=reader.timeline.seconds(choice.frame),
            name=picture_name(index, choice.frame),
        )
        for index, shot, choice in choices
        # Of leader there is nothing to color; a film that is all blank has its picture all the same.
        if not (choice.blank and seen_something)
    ]
    blank = [choice.part for _, _, choice in choices if choice.blank]
    return FoundKeyframes(
        video=video_facts(reader.info),
        keyframes=keyframes,
        warnings=[*reader.warnings, *analysis.warnings, *_about_blank(blank)],
    )


def _parts(shot: ShotRange, options: KeyframeOptions, timeline: Timeline) -> int:
    """How many frames of `shot` are to be colored."""
    if options.every_seconds is None:
        return 1
    return max(1, round(timeline.seconds_of(shot.first, shot.last) / options.every_seconds))


def _asked_for(task: KeyframesTask, reader: VideoReader) -> FoundKeyframes:
    """The frames that the options name, each once, in order: nothing is searched, and no shots are known."""
    numbers = sorted({_number(option, reader) for option in task.options.frames})
    return FoundKeyframes(
        video=video_facts(reader.info),
        keyframes=[
            PickedFrame(
                shot=index,
                first_frame=number,
                last_frame=number,
                frame=number,
                time_seconds=reader.timeline.seconds(number),
                name=f"frame-{number:06d}.png",
            )
            for index, number in enumerate(numbers)
        ],
        warnings=list(reader.warnings),
    )


def _number(option: FrameOptions, reader: VideoReader) -> int:
    info = reader.info
    if option.time_seconds is not None and option.time_seconds <= info.duration_seconds:
        return reader.timeline.nearest(option.time_seconds)
    if option.frame is not None and option.frame < info.frames:
        return option.frame
    asked = f"frame {option.frame}" if option.frame is not None else f"the frame at {option.time_seconds:g} s"
    raise FrameNotFound(
        f"The video has no {asked.removeprefix('the ')}: its frames are 0 to {info.frames - 1}, and it is "
        f"{info.duration_seconds:.3f} s long. Ask for one of them."
    )


def picture_name(shot: int, frame: int) -> str:
    """File name of a keyframe: sorts as the film runs, and says where the picture belongs. Both numbers are from 0; in
    the name, as people count, that of the shot is from 1."""
    return f"shot-{shot + 1:04d}_frame-{frame:06d}.png"


def _about_blank(parts: Sequence[ShotRange]) -> list[str]:
    if not parts:
        return []
    stretches = _joined(parts)
    told = ", ".join(f"{stretch.first} to {stretch.last}" for stretch in stretches[:10])
    more = f" and {len(stretches) - 10} more stretches" if len(stretches) > 10 else ""
    return [f"Nothing is to be seen, and so to be colored, in the frames {told}{more}."]


def _joined(parts: Sequence[ShotRange]) -> list[ShotRange]:
    """`parts`, in order, those that adjoin as one."""
    joined: list[ShotRange] = []
    for part in parts:
        if joined and joined[-1].last + 1 == part.first:
            joined[-1] = ShotRange(joined[-1].first, part.last)
        else:
            joined.append(part)
    return joined


def _take_pictures(reader: VideoReader, keyframes: Sequence[PickedFrame], *, keep: Keep, observer: Observer) -> None:
    observer.entered("encoding")
    total = reader.info.frames
    info = reader.info
    turns = _turns(info)
    pictures = reader.picked_frames([keyframe.frame for keyframe in keyframes], check=observer.check)
    for done, (keyframe, frame) in enumerate(zip(keyframes, pictures, strict=True), start=1):
        picture = to_rgb(frame.luma, info=info)
        # As many pixels as the film has, for a colored one is then used as it is.
        keep(keyframe.name, png_of(np.rot90(picture, turns)))
        observer.showed(keyframe.frame, still_of(picture, info=info, quarter_turns=turns))
        fraction = _ANALYSIS_SHARE + (1 - _ANALYSIS_SHARE) * done / len(keyframes)
        observer.advanced(fraction=fraction, frames_done=total, frames_total=total)


def _turns(info: VideoInfo) -> int:
    """Quarter turns counterclockwise that bring the pictures upright, where a reference that stands so is turned back.

    By half, and where width and height are nearly the same, it would be taken as it is; there they stay as stored.
    """
    return info.quarter_turns if info.quarter_turns % 2 and not _nearly_square(info) else 0


def _nearly_square(info: VideoInfo) -> bool:
    return max(info.width, info.height) / min(info.width, info.height) < 1 + 2 * SAME_SHAPE
