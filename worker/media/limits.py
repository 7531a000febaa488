"""Refuses videos that are more than the operator allows, as soon as it shows."""

from typing import Any

from jobs.errors import VideoTooLarge, VideoTooLong
from worker.media.frames import VideoInfo
from worker.task import Limits


def refuse_too_much(info: VideoInfo, limits: Limits) -> None:
    """Raise where a video is beyond the limits.

    Raises:
        VideoTooLarge: more pixels per frame than allowed.
        VideoTooLong: more seconds or frames than allowed.
    """
    _refuse_picture(info.width, info.height, limits)
    _refuse_duration(info.duration_seconds, limits)
    refuse_frames(info.frames, limits)


def refuse_announced(stream: Any, limits: Limits) -> None:
    """Raise where the header says that a video stream is beyond the limits, before anything of it is read.

    Raises:
        VideoTooLarge, VideoTooLong: as `refuse_too_much`.
    """
    _refuse_picture(stream.codec_context.width, stream.codec_context.height, limits)
    # The stream's own: the container's counts the sound too, which may be longer.
    if stream.duration:
        _refuse_duration(float(stream.duration * stream.time_base), limits)


def refuse_frames(frames: int, limits: Limits) -> None:
    """Raise where so many frames, found so far, are more than allowed.

    Raises:
        VideoTooLong: they are.
    """
    if frames > limits.max_frames:
        raise VideoTooLong(
            f"The video has at least {frames} frames; at most {limits.max_frames} are allowed. "
            "Cut it into parts and colorize them one by one, or raise RETINT_MAX_FRAMES where retint runs."
        )


def _refuse_picture(width: int, height: int, limits: Limits) -> None:
    if width * height > limits.max_pixels:
        raise VideoTooLarge(
            f"The video's picture is {width}x{height}, {width * height} pixels; at most {limits.max_pixels} are "
            "allowed. Scale the video down, or raise RETINT_MAX_PIXELS where retint runs."
        )


def _refuse_duration(seconds: float, limits: Limits) -> None:
    if seconds > limits.max_duration_seconds:
        raise VideoTooLong(
            f"The video is {seconds:.1f} seconds long; at most {limits.max_duration_seconds:.1f} are "
            "allowed. Cut it into parts and colorize them one by one, or raise RETINT_MAX_DURATION_SECONDS where "
            "retint runs."
        )
