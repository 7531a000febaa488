"""Decodes in processes of their own: each does one thing, confined before it looks at what it is to decode.

What comes back from such a process is as little trusted as the film: numbers and samples of sizes that are known, never
pickled objects.
"""

import fcntl
import json
import os
import pickle
import select
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from jobs.errors import Internal, JobFailure, ReferenceUndecodable, VideoUndecodable
from jobs.process import die_with_parent
from worker.media.confinement import Allowance, NotConfined, confine
from worker.media.decode import VideoReader
from worker.media.decoder import use_decoder
from worker.media.frames import LumaFrame, VideoInfo
from worker.media.probe import Examination, examine
from worker.media.stills import Rgb, read_image
from worker.media.timeline import Timeline
from worker.task import Limits

MEMORY_BYTES = 3 * 1024**3
"""For one decoder: sixteen reference frames of 4096x2304 in 4:4:4 at 10 bits are 1 GB, a 100-megapixel picture of 16
bits takes as much."""
STALL_SECONDS = 600.0
"""Without a word from the decoder after it, it is ended: a frame takes a second at most."""
CPU_SECONDS = 600
FRAMES_PER_CPU_SECOND = 5
"""What a large frame may take, on a slow core."""
PIPE_BYTES = 1024**2
"""What is decoded while the frame before is worked on; the most that the kernel gives everybody."""
IDLE_PROCESSES = 2
"""Of one film, kept for its next range: films are read forward and backward at once."""
WORD_SECONDS = 0.1
_HEAD = struct.Struct("<IQ")
_LENGTH = struct.Struct("<Q")
_RANGE = struct.Struct("<QQ")
_HEAD_BYTES = 64 * 1024
_INFO = TypeAdapter(VideoInfo)

Head = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Examine:
    path: Path
    limits: Limits | None

    def allowance(self) -> Allowance:
        frames = 500_000 if self.limits is None else self.limits.max_frames
        return _allowance(self.path, frames=frames)

    def do(self, channel: "_Channel") -> None:
        last_word = time.monotonic()

        def found(frames: int) -> None:
            nonlocal last_word
            if time.monotonic() - last_word >= WORD_SECONDS:
                last_word = time.monotonic()
                channel.send({"found": frames})

        examination = examine(self.path, limits=self.limits, on_packet=found)
        timeline = examination.timeline
        channel.send(
            {
                "info": _INFO.dump_python(examination.info, mode="json"),
                "time_base": str(timeline.time_base),
                "last_duration": timeline.last_duration,
                "exact": timeline.exact,
                "frames": len(timeline),
                "warnings": examination.warnings,
            },
            timeline.pts.tobytes() + timeline.keys.tobytes(),
        )


@dataclass(frozen=True, slots=True)
class _ReadFrames:
    """Asked for one range after the other, since to start a process takes as long as to decode some frames."""

    path: Path
    examination: Examination

    def allowance(self) -> Allowance:
        return _allowance(self.path, frames=self.examination.info.frames)

    def do(self, channel: "_Channel") -> None:
        reader = VideoReader(self.path, examination=self.examination)
        while True:
            first, last = _RANGE.unpack(channel.read(_RANGE.size))
            for frame in reader.frames(first, last):
                channel.send({"index": frame.index}, np.ascontiguousarray(frame.luma).data.cast("B"))


@dataclass(frozen=True, slots=True)
class _ReadImage:
    path: Path
    max_pixels: int
    transparent: bool

    def allowance(self) -> Allowance:
        return _allowance(self.path, frames=1)

    def do(self, channel: "_Channel") -> None:
        picture = read_image(self.path, max_pixels=self.max_pixels, transparent=self.transparent)
        channel.send({"height": picture.shape[0], "width": picture.shape[1]}, picture.data.cast("B"))


Request = _Examine | _ReadFrames | _ReadImage


def _allowance(path: Path, *, frames: int) -> Allowance:
    return Allowance(path, memory_bytes=MEMORY_BYTES, cpu_seconds=CPU_SECONDS + frames // FRAMES_PER_CPU_SECOND)


class DecodingProcesses:
    """A `Decoder` by processes that can open one file, and nothing else: no other file, no network, no program.

    They are forked from a process that has done nothing yet. Make this before there are threads or a GPU is used.
    """

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        self._idle: dict[Path, list[_Answers]] = {}
        parent = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        self._starter = os.fork()
        if self._starter == 0:
            _start_processes(theirs, parent=parent)
        theirs.close()

    def close(self) -> None:
        """End all of them."""
        for answers in (answers for idle in self._idle.values() for answers in idle):
            answers.close()
        self._control.close()
        os.waitpid(self._starter, 0)

    def examine(self, path: Path, *, limits: Limits | None, on_packet: Callable[[int], None]) -> Examination:
        with self._begin(_Examine(path.resolve(), limits)) as answers:
            while "found" in (head := answers.head()):
                on_packet(int(head["found"]))
            return answers.examination(head)

    def frames(self, path: Path, examination: Examination, *, first: int, last: int) -> Iterator[LumaFrame]:
        info, timeline = examination.info, examination.timeline
        dtype = np.dtype(np.uint8 if info.bit_depth == 8 else np.uint16)
        with self._reader(path.resolve(), examination) as answers:
            answers.ask(_RANGE.pack(first, last))
            for index in range(first, last + 1):
                if answers.head().get("index") != index:
                    raise _ended_by_force()
                yield LumaFrame(
                    index=index,
                    pts=int(timeline.pts[index]),
                    time_base=timeline.time_base,
                    luma=answers.samples((info.height, info.width), dtype),
                )

    def read_image(self, path: Path, *, max_pixels: int, transparent: bool = False) -> Rgb:
        try:
            with self._begin(_ReadImage(path.resolve(), max_pixels, transparent)) as answers:
                head = answers.head()
                height, width = int(head["height"]), int(head["width"])
                if not 0 < height * width <= max_pixels:
                    raise _ended_by_force()
                return answers.samples((height, width, 4 if transparent else 3), np.dtype(np.uint8))
        except VideoUndecodable as error:
            raise ReferenceUndecodable(
                f"The reference {path.name} could not be decoded within the limits of memory and time; save it anew as "
                "a PNG or JPEG file."
            ) from error

    @contextmanager
    def _reader(self, path: Path, examination: Examination) -> Iterator["_Answers"]:
        """A process that reads this film: one that has done what it was asked, or a new one."""
        with self._lock:
            idle = self._idle.setdefault(path, [])
            answers = idle.pop() if idle else None
        if answers is None:
            answers = self._begin(_ReadFrames(path, examination))
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

    def _begin(self, request: Request) -> "_Answers":
        answer, answering = os.pipe()
        asked, question = os.pipe()
        with suppress(OSError):  # where this user has too many large pipes already, a small one does
            fcntl.fcntl(answering, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        try:
            with self._lock:
                socket.send_fds(self._control, [b"."], [asked, answering])
        finally:
            os.close(asked)
            os.close(answering)
        answers = _Answers(answer, question)
        pickled = pickle.dumps(request)
        try:
            answers.ask(_LENGTH.pack(len(pickled)) + pickled)
        except BaseException:
            answers.close()
            raise
        return answers


def _ended_by_force() -> VideoUndecodable:
    return VideoUndecodable(
        "The video could not be decoded within the limits of memory and time: the file is damaged, or made to do harm. "
        "Export it again and use that."
    )


class _Answers:
    """What a decoding process says, looked at with suspicion; a context manager, after which the process ends."""

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
            raise _ended_by_force() from error

    def head(self) -> Head:
        """The next message's; its payload is read next.

        Raises:
            JobFailure: what the decoder found, or that it ended.
        """
        length, self._payload = _HEAD.unpack(self._bytes(_HEAD.size))
        if length > _HEAD_BYTES:
            raise _ended_by_force()
        try:
            head = json.loads(self._bytes(length))
        except ValueError as error:
            raise _ended_by_force() from error
        if not isinstance(head, dict):
            raise _ended_by_force()
        if "failure" in head:
            raise _failure(str(head["failure"]), str(head["detail"]))
        return head

    def samples(self, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> NDArray[Any]:
        array = np.empty(shape, dtype)
        if array.nbytes != self._payload:
            raise _ended_by_force()
        self._read_into(array.data.cast("B"))
        return array

    def examination(self, head: Head) -> Examination:
        try:
            info, frames = _INFO.validate_python(head["info"]), int(head["frames"])
            times = self.samples((self._payload // 8,), np.dtype(np.int64))
            if not (0 < frames == info.frames <= len(times)):
                raise _ended_by_force()
            timeline = Timeline(
                time_base=Fraction(head["time_base"]),
                pts=times[:frames],
                keys=times[frames:],
                last_duration=int(head["last_duration"]),
                exact=bool(head["exact"]),
            )
            return Examination(info=info, timeline=timeline, warnings=tuple(map(str, head["warnings"])))
        except (KeyError, ValueError, TypeError) as error:
            raise _ended_by_force() from error

    def _bytes(self, count: int) -> bytes:
        data = bytearray(count)
        self._read_into(memoryview(data))
        return bytes(data)

    def _read_into(self, view: memoryview) -> None:
        while view:
            if not self._poll.poll(STALL_SECONDS * 1000):
                raise _ended_by_force()
            count = os.readv(self._answer, [view])
            if count == 0:
                raise _ended_by_force()
            view = view[count:]


def _failure(code: str, detail: str) -> JobFailure:
    kinds: list[type[JobFailure]] = [JobFailure]
    for kind in kinds:
        if getattr(kind, "code", None) == code:
            return kind(detail)
        kinds.extend(kind.__subclasses__())
    return Internal(detail)


# What the processes do


def _start_processes(control: socket.socket, *, parent: int) -> NoReturn:
    """The process that the others are forked from, as long as its parent lives."""
    try:
        die_with_parent(signal.SIGKILL, parent_pid=parent)
        os.closerange(3, control.fileno())
        os.closerange(control.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        use_decoder(None)
        _start_as_asked(control)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def _start_as_asked(control: socket.socket) -> None:
    me = os.getpid()
    while True:
        word, descriptors, _, _ = socket.recv_fds(control, 1, 2)
        if not word:
            return
        child: int | None = None
        try:
            child = os.fork()
        except OSError as error:
            detail = f"No process could be started to decode in: {error.strerror}."
            with suppress(BrokenPipeError):  # nobody wants to know
                _Channel(*descriptors).send({"failure": Internal.code, "detail": detail})
        if child == 0:
            control.close()
            _decode(_Channel(*descriptors), parent=me)
        for descriptor in descriptors:
            os.close(descriptor)


def _decode(channel: "_Channel", *, parent: int) -> NoReturn:
    status = 1
    try:
        die_with_parent(signal.SIGKILL, parent_pid=parent)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        request: Request = pickle.loads(channel.read(_LENGTH.unpack(channel.read(_LENGTH.size))[0]))
        try:
            confine(request.allowance(), keep=(channel.question, channel.answer))
            request.do(channel)
        except JobFailure as failure:
            channel.send({"failure": failure.code, "detail": failure.detail})
        except MemoryError:
            channel.send({"failure": VideoUndecodable.code, "detail": _ended_by_force().detail})
        except NotConfined as error:
            channel.send({"failure": Internal.code, "detail": f"The decoder could not be confined: {error}."})
        status = 0
    except (BrokenPipeError, EOFError):
        pass  # nobody wants more
    except BaseException:
        # The caller only learns that this process has ended; its log has the rest.
        traceback.print_exc()
    finally:
        os._exit(status)


@dataclass(frozen=True, slots=True)
class _Channel:
    """To the caller and back, as a decoding process has it."""

    question: int
    answer: int

    def read(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            piece = os.read(self.question, count - len(data))
            if not piece:
                raise EOFError
            data += piece
        return bytes(data)

    def send(self, head: Head, payload: bytes | memoryview = b"") -> None:
        text = json.dumps(head).encode()
        for part in (_HEAD.pack(len(text), len(payload)) + text, payload):
            view = memoryview(part)
            while view:
                view = view[os.write(self.answer, view) :]
