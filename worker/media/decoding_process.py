"""Decodes in processes of their own: each does one thing, confined before it looks at what it is to decode."""

import fcntl
import os
import pickle
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import structlog

from jobs.errors import ReferenceUndecodable, StorageUnavailable, VideoUndecodable
from worker.media.decoding_answers import Answers, whole_number
from worker.media.decoding_child import Examine, ReadFrames, ReadImage, Request, start_processes
from worker.media.decoding_words import LENGTH, RANGE, ended_by_force
from worker.media.frames import LumaFrame, Rgb
from worker.media.limits import refuse_frames
from worker.media.probe import Examination
from worker.task import Limits

PIPE_BYTES = 1024**2
"""What is decoded while the frame before is worked on; the most that the kernel gives everybody."""
IDLE_PROCESSES = 2
"""Of one film, kept for its next range: films are read forward and backward at once."""

LAST_WORDS_BYTES = 64 * 1024
"""More than those of the process that the others are forked from can have."""

log = structlog.stdlib.get_logger("retint.worker")


class DecodingProcesses:
    """A `Decoder` by processes that can open one file, and nothing else: no other file, no network, no program.

    They are forked from a process that has done nothing yet. Make this before there are threads or a GPU is used.
    """

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        self._idle: dict[Path, list[Answers]] = {}
        parent = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        self._starter = os.fork()
        if self._starter == 0:
            start_processes(theirs, parent=parent)
        theirs.close()

    def close(self) -> None:
        """End all of them."""
        for answers in (answers for idle in self._idle.values() for answers in idle):
            answers.close()
        self._control.close()
        os.waitpid(self._starter, 0)

    def examine(self, path: Path, *, limits: Limits | None, on_packet: Callable[[int], None]) -> Examination:
        with _blaming_the_film(path), self._begin(Examine(path.resolve(), limits)) as answers:
            while "found" in (head := answers.head()):
                found = whole_number(head, "found")
                if limits is not None:
                    refuse_frames(found, limits)
                on_packet(found)
            return answers.examination(head, limits=limits)

    def frames(self, path: Path, examination: Examination, *, first: int, last: int) -> Iterator[LumaFrame]:
        info, timeline = examination.info, examination.timeline
        dtype = np.dtype(np.uint8 if info.bit_depth == 8 else np.uint16)
        with _blaming_the_film(path), self._reader(path.resolve(), examination) as answers:
            answers.ask(RANGE.pack(first, last))
            for index in range(first, last + 1):
                if answers.head().get("index") != index:
                    raise ended_by_force()
                yield LumaFrame(
                    index=index,
                    pts=int(timeline.pts[index]),
                    time_base=timeline.time_base,
                    luma=answers.samples((info.height, info.width), dtype),
                )

    def read_image(self, path: Path, *, max_pixels: int, transparent: bool = False) -> Rgb:
        try:
            with (
                _blaming_the_film(path),
                self._begin(ReadImage(path.resolve(), max_pixels, transparent)) as answers,
            ):
                head = answers.head()
                height, width = whole_number(head, "height"), whole_number(head, "width")
                if not 0 < height * width <= max_pixels:
                    raise ended_by_force()
                return answers.samples((height, width, 4 if transparent else 3), np.dtype(np.uint8))
        except VideoUndecodable as error:
            raise ReferenceUndecodable(
                f"The reference {path.name} could not be decoded within the limits of memory and time; save it anew as "
                "a PNG or JPEG file."
            ) from error

    @contextmanager
    def _reader(self, path: Path, examination: Examination) -> Iterator["Answers"]:
        """A process that reads this film: one that has done what it was asked, or a new one."""
        with self._lock:
            idle = self._idle.setdefault(path, [])
            answers = idle.pop() if idle else None
        if answers is None:
            answers = self._begin(ReadFrames(path, examination))
        try:
            yield answers
        except BaseException:
            # Of a range that is not read to its end frames are still on their way.
            answers.close()
            raise
        with self._lock:
            if len(idle) < IDLE_PROCESSES:
                idle.append(answers)
                return
        answers.close()

    def _begin(self, request: Request) -> "Answers":
        answer, answering = os.pipe()
        asked, question = os.pipe()
        with suppress(OSError):  # where this user has too many large pipes already, a small one does
            fcntl.fcntl(answering, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        try:
            with self._lock:
                socket.send_fds(self._control, [b"."], [asked, answering])
        except ConnectionError:
            log.error("decoders_died", cause=self._control.recv(LAST_WORDS_BYTES).decode(errors="replace"))
            raise
        finally:
            os.close(asked)
            os.close(answering)
        answers = Answers(answer, question)
        pickled = pickle.dumps(request)
        try:
            answers.ask(LENGTH.pack(len(pickled)) + pickled)
        except BaseException:
            answers.close()
            raise
        return answers


@contextmanager
def _blaming_the_film(path: Path) -> Iterator[None]:
    """What a decoder says, or that it ended, is the file's fault only where the file is there to be read.

    Raises:
        StorageUnavailable: it is not.
    """
    try:
        yield
    except VideoUndecodable:
        try:
            with path.open("rb") as file:
                file.read(1)
        except OSError as error:
            raise StorageUnavailable(
                f"The job's upload cannot be read from the storage any more: {error.strerror}. Submit the job again, "
                "and have the operator look at the storage if that does not help."
            ) from error
        raise
