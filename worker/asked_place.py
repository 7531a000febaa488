"""Where a user says that a reference stands, checked against the video."""

from jobs.errors import ReferenceUnplaced
from jobs.options import ReferenceOptions
from worker.media.decode import VideoReader


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


def range_asked_for(option: ReferenceOptions, *, reader: VideoReader) -> range | None:
    """The frames among which the user wants it to be found, None for all.

    Raises:
        ReferenceUnplaced: they are not all in the video.
    """
    if option.within is None:
        return None
    first, last = option.within
    frames = reader.info.frames
    if last >= frames:
        raise ReferenceUnplaced(
            f"The reference {option.name} is to be looked for in the frames {first} to {last}, but the video has "
            f"{frames} frames, 0 to {frames - 1}. Give frames of the video, or none to look in all of it."
        )
    return range(first, last + 1)
