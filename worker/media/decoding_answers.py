"""What a decoding process says, looked at with suspicion: it is as little trusted as the film that it decodes.

Numbers and samples of sizes that are known are believed, never pickled objects.
"""

import json
import os
import select
from fractions import Fraction
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from jobs.errors import Internal, JobFailure
from worker.media.decoding_words import HEAD, HEAD_BYTES, INFO, Head, ended_by_force
from worker.media.probe import Examination
from worker.media.timeline import Timeline

STALL_SECONDS = 600.0
"""Without a word from the decoder after it, it is ended: a frame takes a second at most."""


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
        except ValueError as error:
            raise ended_by_force() from error
        if not isinstance(head, dict):
            raise ended_by_force()
        if "failure" in head:
            raise _failure(str(head["failure"]), str(head["detail"]))
        return head

    def samples(self, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> NDArray[Any]:
        array = np.empty(shape, dtype)
        if array.nbytes != self._payload:
            raise ended_by_force()
        self._read_into(array.data.cast("B"))
        return array

    def examination(self, head: Head) -> Examination:
        try:
            info, frames = INFO.validate_python(head["info"]), int(head["frames"])
            times = self.samples((self._payload // 8,), np.dtype(np.int64))
            if not (0 < frames == info.frames <= len(times)):
                raise ended_by_force()
            timeline = Timeline(
                time_base=Fraction(head["time_base"]),
                pts=times[:frames],
                keys=times[frames:],
                last_duration=int(head["last_duration"]),
                exact=bool(head["exact"]),
            )
            return Examination(info=info, timeline=timeline, warnings=tuple(map(str, head["warnings"])))
        except (KeyError, ValueError, TypeError) as error:
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


def _failure(code: str, detail: str) -> JobFailure:
    kinds: list[type[JobFailure]] = [JobFailure]
    for kind in kinds:
        if getattr(kind, "code", None) == code:
            return kind(detail)
        kinds.extend(kind.__subclasses__())
    return Internal(detail)
