"""What a decoding process does: one thing, confined before it looks at what it is to decode."""

import json
import os
import pickle
import signal
import socket
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from jobs.errors import Internal, JobFailure, VideoUndecodable
from jobs.process import die_with_parent
from worker.media.confinement import Allowance, NotConfined, confine
from worker.media.decode import VideoReader
from worker.media.decoder import use_decoder
from worker.media.decoding_words import HEAD, INFO, LENGTH, RANGE, Head, ended_by_force
from worker.media.probe import Examination, examine
from worker.media.stills import read_image
from worker.task import Limits

MEMORY_BYTES = 3 * 1024**3
"""For one decoder: sixteen reference frames of 4096x3112 in 4:4:4 at 10 bits are 1.2 GB, a 100-megapixel picture of 16
bits takes as much."""
CPU_SECONDS = 600
FRAMES_PER_CPU_SECOND = 5
"""What a large frame may take, on a slow core."""
WORD_SECONDS = 0.1
TOLD_CHARACTERS = 4000


@dataclass(frozen=True, slots=True)
class Examine:
    path: Path
    limits: Limits | None

    def allowance(self) -> Allowance:
        frames = 500_000 if self.limits is None else self.limits.max_frames
        return _allowance(self.path, frames=frames)

    def do(self, channel: "Channel") -> None:
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
                "info": INFO.dump_python(examination.info, mode="json"),
                "time_base": str(timeline.time_base),
                "last_duration": timeline.last_duration,
                "exact": timeline.exact,
                "warnings": examination.warnings,
            },
            timeline.pts.tobytes() + timeline.keys.tobytes(),
        )


@dataclass(frozen=True, slots=True)
class ReadFrames:
    """Asked for one range after the other, since to start a process takes as long as to decode some frames."""

    path: Path
    examination: Examination

    def allowance(self) -> Allowance:
        return _allowance(self.path, frames=self.examination.info.frames)

    def do(self, channel: "Channel") -> None:
        reader = VideoReader(self.path, examination=self.examination)
        while True:
            first, last = RANGE.unpack(channel.read(RANGE.size))
            for frame in reader.frames(first, last):
                channel.send({"index": frame.index}, np.ascontiguousarray(frame.luma).data.cast("B"))


@dataclass(frozen=True, slots=True)
class ReadImage:
    path: Path
    max_pixels: int
    transparent: bool

    def allowance(self) -> Allowance:
        return _allowance(self.path, frames=1)

    def do(self, channel: "Channel") -> None:
        picture = read_image(self.path, max_pixels=self.max_pixels, transparent=self.transparent)
        channel.send({"height": picture.shape[0], "width": picture.shape[1]}, picture.data.cast("B"))


Request = Examine | ReadFrames | ReadImage


def _allowance(path: Path, *, frames: int) -> Allowance:
    return Allowance(path, memory_bytes=MEMORY_BYTES, cpu_seconds=CPU_SECONDS + frames // FRAMES_PER_CPU_SECOND)


def start_processes(control: socket.socket, *, parent: int) -> NoReturn:
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
    except BaseException as error:
        # For whoever asks next, and finds nobody.
        with suppress(OSError):
            control.send(_told(error).encode())
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
                Channel(*descriptors).send({"failure": Internal.code, "detail": detail})
        if child == 0:
            control.close()
            _decode(Channel(*descriptors), parent=me)
        for descriptor in descriptors:
            os.close(descriptor)


def _decode(channel: "Channel", *, parent: int) -> NoReturn:
    status = 1
    try:
        die_with_parent(signal.SIGKILL, parent_pid=parent)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        request: Request = pickle.loads(channel.read(LENGTH.unpack(channel.read(LENGTH.size))[0]))
        try:
            confine(request.allowance(), keep=(channel.question, channel.answer))
            request.do(channel)
        except JobFailure as failure:
            channel.send({"failure": failure.code, "detail": failure.detail})
        except MemoryError:
            channel.send({"failure": VideoUndecodable.code, "detail": ended_by_force().detail})
        except NotConfined as error:
            channel.send({"failure": Internal.code, "detail": f"The decoder could not be confined: {error}."})
        status = 0
    except (BrokenPipeError, EOFError):
        pass  # nobody wants more
    except BaseException as error:
        with suppress(OSError):
            channel.send({"died": _told(error)})
    finally:
        os._exit(status)


def _told(error: BaseException) -> str:
    """For the caller's log, which knows which job it was for; its end says most."""
    return "".join(traceback.format_exception(error))[-TOLD_CHARACTERS:]


@dataclass(frozen=True, slots=True)
class Channel:
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
        for part in (HEAD.pack(len(text), len(payload)) + text, payload):
            view = memoryview(part)
            while view:
                view = view[os.write(self.answer, view) :]
