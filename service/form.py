"""What a submission may hold beside its video, by what is asked for."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from jobs.options import JobOptions, KeyframeOptions, StrictModel

Options = TypeVar("Options", bound=StrictModel)


@dataclass(frozen=True, slots=True)
class Form(Generic[Options]):
    """The parts of one multipart body."""

    options: type[Options]
    """What its part `options` is read as."""
    takes_references: bool
    parts: str
    """Its parts, for those who sent another one."""


TO_COLOR = Form(
    JobOptions,
    takes_references=True,
    parts="a job has `video`, `video_upload` or `video_of`, `references` and `options`",
)
FOR_KEYFRAMES = Form(
    KeyframeOptions,
    takes_references=False,
    parts="a search for keyframes has `video`, `video_upload` or `video_of`, and `options`",
)
