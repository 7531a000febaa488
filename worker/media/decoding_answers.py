"""What a decoding process says, looked at with suspicion: it is as little trusted as the film that it decodes.

Numbers and samples of sizes that are known are believed, never pickled objects.
"""

import json
import os
import re
import select
from fractions import Fraction
from types import TracebackType
from typing import Any, Self

import numpy as np
import structlog
from numpy.typing import NDArray

from jobs.errors import Internal, JobFailure
from worker.media.decoding_words import HEAD, HEAD_BYTES, INFO, Head, ended_by_force
from worker.media.frames import MOST_SAMPLE_ASPECT, VideoInfo
from worker.media.limits import refuse_too_much
from worker.media.probe import Examination
from worker.media.timeline import Timeline
from worker.task import Limits

STALL_SECONDS = 600.0
"""Without a word from the decoder after it, it is ended: a frame takes a second at most."""
FRACTION = re.compile("[0-9]{1,40}(/[0-9]{1,40})?")
"""Others are no smaller to write, and far larger to hold: 1e999999999."""

log = structlog.stdlib.get_logger("retint.worker")


class Answers:
    """Of one process; a context manager, after which the process ends."""

    def __init__(self, answer: int, question: int) -> None:
        self._answer, self._question = answer, question
        self._poll = select.poll()
        self._poll.register(answer, select.POLLIN)
        self._payload = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """The process ends at its next word."""
        os.close(self._answer)
        os.close(self._question)

    def ask(self, question: bytes) -> None:
        view = memoryview(question)
        try:
            while view:
                view = view[os.write(self._question, view) :]
        except BrokenPipeError as error:
            # It ended before it was asked: what it may have said of that is the better reason.
            self.head()
            raise ended_by_force() from error

    def head(self) -> Head:
        """The next message's; its payload is read next.

        Raises:
            JobFailure: what the decoder found, or that it ended.
        """
        length, self._payload = HEAD.unpack(self._bytes(HEAD.size))
        if length > HEAD_BYTES:
            raise ended_by_force()
        try:
            head = json.loads(self._bytes(length))
        except (ValueError, RecursionError) as error:
            raise ended_by_force() from error
        if not isinstance(head, dict):
            raise ended_by_force()
        if "died" in head:
            log.warning("decoder_died", cause=str(head["died"]))
            raise ended_by_force()
        if "failure" in head:
            raise _failure(head["failure"], head.get("detail"))
        return head

    def samples(self, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> NDArray[Any]:
        array = np.empty(shape, dtype)
        if array.nbytes != self._payload:
            raise ended_by_force()
        self._read_into(array.data.cast("B"))
        return array

    def examination(self, head: Head, *, limits: Limits | None) -> Examination:
        """What `head`, and the payload behind it, say of a film.

        Raises:
            VideoTooLarge, VideoTooLong: it is beyond `limits`, which the decoder has overlooked.
            VideoUndecodable: no film is so.
        """
        try:
            for name in ("frame_rate", "sample_aspect"):
                _fraction(head["info"][name])
            info = INFO.validate_python(head["info"])
            if limits is not None:
                refuse_too_much(info, limits)
            # Behind the time of every frame stand those of some of them.
            if info.frames < 1 or not info.frames <= self._payload / 8 <= 2 * info.frames:
                raise ended_by_force()
            times = self.samples((self._payload // 8,), np.dtype(np.int64))
            timeline = Timeline(
                time_base=_fraction(head["time_base"]),
                pts=times[: info.frames],
                keys=times[info.frames :],
                last_duration=int(head["last_duration"]),
                exact=bool(head["exact"]),
            )
            if not _is_possible(info, timeline):
                raise ended_by_force()
            return Examination(info=info, timeline=timeline, warnings=tuple(map(str, head["warnings"])))
        except (KeyError, ValueError, TypeError, ArithmeticError) as error:
            raise ended_by_force() from error

    def _bytes(self, count: int) -> bytes:
        data = bytearray(count)
        self._read_into(memoryview(data))
        return bytes(data)

    def _read_into(self, view: memoryview) -> None:
        while view:
            if not self._poll.poll(STALL_SECONDS * 1000):
                raise ended_by_force()
            count = os.readv(self._answer, [view])
            if count == 0:
                raise ended_by_force()
            view = view[count:]


def whole_number(head: Head, name: str) -> int:
    """Of things or pixels.

    Raises:
        VideoUndecodable: it is none.
    """
    number = head.get(name)
    if type(number) is not int or number < 0:
        raise ended_by_force()
    return number


def _fraction(text: Any) -> Fraction:
    if not isinstance(text, str) or FRACTION.fullmatch(text) is None:
        raise ValueError(text)
    return Fraction(text)


def _is_possible(info: VideoInfo, timeline: Timeline) -> bool:
    """Whether these are the facts of a film, and its length, which limits are about, is that of its timeline."""
    pts, base = timeline.pts, timeline.time_base
    return (
        min(info.width, info.height) > 0
        and min(info.frame_rate, base) > 0
        and 1 <= info.sample_aspect * MOST_SAMPLE_ASPECT <= MOST_SAMPLE_ASPECT**2
        and info.quarter_turns in range(4)
        and info.bit_depth in (8, 10)
        and bool((pts[1:] > pts[:-1]).all())
        and info.duration_seconds == float((timeline.end - int(pts[0])) * base)
    )


def _failure(code: Any, detail: Any) -> JobFailure:
    if not isinstance(detail, str):
        return ended_by_force()
    kinds: list[type[JobFailure]] = [JobFailure]
    for kind in kinds:
        if getattr(kind, "code", None) == code:
            return kind(detail)
        kinds.extend(kind.__subclasses__())
    return Internal(detail)
