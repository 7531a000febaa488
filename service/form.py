"""What a submission may hold beside its video, by what is asked for."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from jobs.options import ColoringOptions, JobOptions, KeyframeOptions, StrictModel

Options = TypeVar("Options", bound=StrictModel)


@dataclass(frozen=True, slots=True)
class Form(Generic[Options]):
    """The parts of one multipart body."""

    options: type[Options]
    """What its part `options` is read as."""
    references: str | None
    """Its part that holds pictures with color, one or more times."""
    parts: str
    """Its parts, for those who sent another one."""
    picture: str | None = None
    """Its part that holds a picture to color; None where that is a video, which comes in one of several ways."""


TO_COLOR = Form(
    JobOptions,
    references="references",
    parts="a job has `video`, `video_upload` or `video_of`, `references` and `options`",
)
FOR_KEYFRAMES = Form(
    KeyframeOptions,
    references=None,
    parts="a search for keyframes has `video`, `video_upload` or `video_of`, and `options`",
)
BY_STROKES = Form(
    ColoringOptions,
    references="strokes",
    picture="picture",
    parts="a picture to color by strokes has `picture`, `strokes` and `options`",
)
