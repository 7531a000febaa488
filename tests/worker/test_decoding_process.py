"""Films and pictures decoded in processes that can do nothing else; real processes, confined by the real kernel."""

import ctypes
import errno
import fcntl
import mmap
import os
import resource
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image
from structlog.testing import capture_logs
from swapped_profile import swapped_profile

from jobs.errors import (
    Internal,
    JobFailure,
    ReferenceUndecodable,
    StorageUnavailable,
    VideoTooLarge,
    VideoTooLong,
    VideoUndecodable,
    VideoUnsupported,
)
from worker.media import confinement, decoding_child, decoding_process
from worker.media.confinement import Allowance, why_not_confined
from worker.media.decode import open_video
from worker.media.decoder import use_decoder
from worker.media.decoding_answers import Answers
from worker.media.decoding_child import CPU_SECONDS, MEMORY_BYTES
from worker.media.decoding_process import DecodingProcesses
from worker.media.decoding_words import HEAD, INFO
from worker.media.probe import Examination, examine
from worker.media.stills import read_image, write_png
from worker.task import Limits

PROBLEM = why_not_confined(memory_bytes=MEMORY_BYTES, cpu_seconds=CPU_SECONDS)
pytestmark = pytest.mark.skipif(PROBLEM is not None, reason=f"processes cannot be confined here: {PROBLEM}")
ROOT = Path(__file__).resolve().parents[2]
LIMITS = Limits(max_pixels=64 * 48, max_duration_seconds=4.0, max_frames=100)


@pytest.fixture(scope="module")
def processes() -> Iterator[DecodingProcesses]:
    with closing(DecodingProcesses()) as found:
        yield found


@pytest.fixture
def confined(processes: DecodingProcesses) -> Iterator[DecodingProcesses]:
    use_decoder(processes)
    yield processes
    use_decoder(None)


@pytest.mark.parametrize(
    "made",
    [
        {"name": "a.mp4", "frames": 60},
        {"name": "b.mkv", "codec": "ffv1", "pix_fmt": "yuv420p10le", "frames": 20},
        {"name": "c.mkv", "codec": "ffv1", "pix_fmt": "gray", "frames": 20, "steps": [1, 3, 2] * 7},
        {"name": "d.mkv", "codec": "ffv1", "frames": 20, "fields": "bff"},
    ],
    ids=lambda made: str(made["name"]),
)
def test_what_comes_back_is_what_this_process_would_have_decoded(
    make_video: Any, processes: DecodingProcesses, made: dict[str, Any]
) -> None:
    path = make_video(**made).path
    seen = []
    for decoder in (None, processes):
        use_decoder(decoder)
        try:
            with open_video(path) as reader:
                frames = [
                    *reader.frames(),
                    *reader.frames(3, 9),
                    *reader.reversed_frames(2, 14, chunk=5),
                    *reader.picked_frames([1, 7, 19]),
                ]
                timeline = reader.timeline
                seen.append((reader.info, reader.warnings, timeline, frames))
        finally:
            use_decoder(None)
    (info, warnings, timeline, frames), (info2, warnings2, timeline2, frames2) = seen
    assert (info, warnings) == (info2, warnings2)
    assert np.array_equal(timeline.pts, timeline2.pts)
    assert np.array_equal(timeline.keys, timeline2.keys)
    assert (timeline.time_base, timeline.last_duration, timeline.exact) == (
        timeline2.time_base, timeline2.last_duration, timeline2.exact,
    )  # fmt: skip
    assert [(f.index, f.pts, f.time_base) for f in frames] == [(f.index, f.pts, f.time_base) for f in frames2]
    for one, other in zip(frames, frames2, strict=True):
        assert one.luma.dtype == other.luma.dtype
        assert np.array_equal(one.luma, other.luma)


def test_failures_and_limits_are_those_of_this_process(
    make_video: Any, tmp_path: Path, confined: DecodingProcesses
) -> None:
    with pytest.raises(VideoTooLong, match="101 frames"):
        open_video(make_video("long.mkv", rate=50, frames=150).path, limits=LIMITS)
    whole = make_video("whole.mp4", frames=30).path
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[:-4000])
    use_decoder(None)
    with pytest.raises(VideoUndecodable) as here:
        open_video(cut)
    use_decoder(confined)
    with pytest.raises(VideoUndecodable) as there:
        open_video(cut)
    assert there.value.detail == here.value.detail


def test_a_file_that_is_lost_while_it_is_read_is_not_the_films_fault(
    make_video: Any, tmp_path: Path, processes: DecodingProcesses
) -> None:
    video, picture = make_video(frames=12).path, tmp_path / "still.png"
    examination = examine(video)
    assert next(iter(processes.frames(video, examination, first=0, last=0))).index == 0
    video.unlink()
    lost = pytest.raises(StorageUnavailable, match="cannot be read from the storage any more: No such file")
    with lost:
        # By a process that had it open before.
        list(processes.frames(video, examination, first=4, last=8))
    with lost:
        processes.examine(video, limits=None, on_packet=lambda _: None)
    with lost:
        processes.read_image(picture, max_pixels=100)


def test_opening_ends_where_the_caller_raises(make_video: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Enough(Exception): ...

    def enough(_: int) -> None:
        raise Enough

    path = make_video("clip.mkv", frames=400).path
    # The decoder speaks every tenth of a second, which so short a film does not take.
    monkeypatch.setattr(decoding_child, "WORD_SECONDS", 0.0)
    with closing(DecodingProcesses()) as talkative, pytest.raises(Enough):
        talkative.examine(path, limits=None, on_packet=enough)


def test_a_decoder_ends_when_nobody_wants_more_frames(make_video: Any) -> None:
    path = make_video("large.mkv", width=640, height=480, frames=60).path
    examination = examine(path)
    with closing(DecodingProcesses()) as own:
        frames = own.frames(path, examination, first=0, last=59)
        assert next(frames).index == 0
        assert len(decoders(own)) == 1
        frames.close()  # type: ignore[attr-defined]
        deadline = time.monotonic() + 60
        while decoders(own):
            assert time.monotonic() < deadline, "the decoder lives on"
            time.sleep(0.05)


def test_ranges_of_a_film_are_read_by_one_process_after_the_other(make_video: Any) -> None:
    path = make_video(frames=12).path
    examination = examine(path)
    with closing(DecodingProcesses()) as own:
        pids: set[int] = set()
        for first in (0, 4, 8):
            assert [frame.index for frame in own.frames(path, examination, first=first, last=first + 3)]
            pids.add(*(process.pid for process in decoders(own)))
        assert len(pids) == 1
        forward, backward = (own.frames(path, examination, first=first, last=11) for first in (0, 6))
        assert (next(forward).index, next(backward).index) == (0, 6)
        assert len(decoders(own)) == 2


def refused_fork() -> int:
    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def test_a_process_that_cannot_be_started_is_not_the_films_fault(
    make_video: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video("clip.mkv").path
    me, fork = os.getpid(), os.fork
    monkeypatch.setattr(os, "fork", lambda: fork() if os.getpid() == me else refused_fork())
    with closing(DecodingProcesses()) as own:
        for _ in range(2):
            with pytest.raises(JobFailure, match="No process could be started to decode in: Resource temp") as refused:
                own.examine(path, limits=None, on_packet=lambda _: None)
            assert refused.value.code == Internal.code


def test_a_starter_that_fails_ends_and_the_next_to_ask_tells_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(decoding_child, "use_decoder", lambda _: refused_fork())
    with closing(DecodingProcesses()) as own:
        ended = os.waitid(os.P_PID, own._starter, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        assert (ended.si_code, ended.si_status) == (os.CLD_EXITED, 1)
        with capture_logs() as lines, pytest.raises(ConnectionError):
            own.examine(tmp_path / "film", limits=None, on_packet=lambda _: None)
    [line] = lines
    assert line["event"] == "decoders_died"
    assert "BlockingIOError" in line["cause"]
    assert capfd.readouterr() == ("", "")


def stumble(_: Path) -> None:
    raise ZeroDivisionError("a bug")


def test_what_a_decoder_died_of_is_told_once_in_a_line_of_its_own(
    tmp_path: Path, processes: DecodingProcesses, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "film"
    path.write_text("film")
    with capture_logs() as lines, pytest.raises(VideoUndecodable, match="within the limits of memory and time"):
        attacked(processes, Attack(path, (stumble,)))
    [line] = lines
    assert (line["event"], line["log_level"]) == ("decoder_died", "warning")
    assert line["cause"].startswith("Traceback")
    assert line["cause"].endswith("ZeroDivisionError: a bug\n")
    assert capfd.readouterr() == ("", "")


def decoders(processes: DecodingProcesses) -> list[psutil.Process]:
    return [p for p in psutil.Process(processes._starter).children() if p.status() != psutil.STATUS_ZOMBIE]


def test_pictures_are_those_of_this_process(tmp_path: Path, confined: DecodingProcesses) -> None:
    rng = np.random.default_rng(1)
    rgb = rng.integers(0, 256, (30, 40, 3), np.uint8)
    path = tmp_path / "still.png"
    write_png(path, rgb)
    assert np.array_equal(read_image(path), rgb)
    Image.fromarray(rgb).save(path, icc_profile=swapped_profile())
    assert np.abs(read_image(path).astype(int) - rgb[..., [1, 0, 2]]).max() <= 1
    path.write_bytes(b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>")
    with pytest.raises(ReferenceUndecodable, match="not a picture that can be read"):
        read_image(path)


# Where the operator has set limits

LIMITED = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_DATA, (2 * 1024**3,) * 2)
resource.setrlimit(resource.RLIMIT_CPU, (300, 300))
from worker.media.confinement import Allowance, _limit, why_not_confined
from worker.media.decoding_answers import Answers
from worker.media.decoding_child import CPU_SECONDS, MEMORY_BYTES
from worker.media.decoding_process import DecodingProcesses
from worker.media.decoding_words import HEAD, INFO
print(why_not_confined(memory_bytes=MEMORY_BYTES, cpu_seconds=CPU_SECONDS))
print(DecodingProcesses().examine(Path(sys.argv[1]), limits=None, on_packet=lambda _: None).info.frames)
_limit(Allowance(Path(sys.argv[1]), MEMORY_BYTES, CPU_SECONDS))  # what root raises, others may not raise
print(resource.getrlimit(resource.RLIMIT_DATA)[1] // 1024**3, resource.getrlimit(resource.RLIMIT_CPU)[1])
"""


def test_a_limit_lower_than_ours_stays_and_films_are_decoded(make_video: Any) -> None:
    path = make_video("clip.mkv", frames=12).path
    done = subprocess.run([sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.split() == ["None", "12", "2", "300"], done.stderr


def test_whatever_keeps_a_process_from_being_confined_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for restrict, told in ((refuse_limit, "not allowed to raise"), (os.abort, "the process that tried it died")):
        monkeypatch.setattr(confinement, "_limit", lambda _, restrict=restrict: restrict())
        problem = why_not_confined(memory_bytes=MEMORY_BYTES, cpu_seconds=CPU_SECONDS)
        assert problem is not None
        assert told in problem


def refuse_limit() -> None:
    raise ValueError("not allowed to raise maximum limit")


# What a decoder that was taken over can do


@dataclass(frozen=True)
class Attack:
    """In place of decoding."""

    path: Path
    attempts: tuple[Callable[[Path], object], ...]
    memory_bytes: int = 2**28
    cpu_seconds: int = 60

    def allowance(self) -> Allowance:
        return Allowance(self.path, memory_bytes=self.memory_bytes, cpu_seconds=self.cpu_seconds)

    def do(self, channel: Any) -> None:
        for attempt in self.attempts:
            try:
                result = repr(attempt(self.path))
            except (OSError, MemoryError) as error:
                result = type(error).__name__
            channel.send({"result": result})


def attacked(processes: DecodingProcesses, attack: Attack) -> list[str]:
    with processes._begin(attack) as answers:  # type: ignore[arg-type]
        return [str(answers.head()["result"]) for _ in attack.attempts]


def read_own(path: Path) -> str:
    return path.read_text()


def read_neighbor(path: Path) -> bytes:
    return (path.parent / "secret").read_bytes()


def list_folder(path: Path) -> list[Path]:
    return list(path.parent.iterdir())


def write_own(path: Path) -> int:
    return path.write_text("changed")


def make_file(path: Path) -> int:
    return (path.parent / "new").write_text("new")


def remove_own(path: Path) -> None:
    path.unlink()


def open_own_to_all(path: Path) -> None:
    path.chmod(0o666)


def open_neighbor_to_all(path: Path) -> None:
    (path.parent / "secret").chmod(0o666)


def age_neighbor(path: Path) -> None:
    os.utime(path.parent / "secret", (0, 0))


def give_neighbor_away(path: Path) -> None:
    os.chown(path.parent / "secret", os.getuid(), os.getgid())


def mark_own(path: Path) -> None:
    """Through a descriptor that is open to read; without flags nothing would change."""
    flags = ctypes.c_long(0)
    with path.open() as film:
        call("ioctl", film.fileno(), 0x40086602, ctypes.addressof(flags))  # FS_IOC_SETFLAGS


def type_into_terminal(_: Path) -> int:
    letter = ctypes.c_char(b"x")
    return call("ioctl", 2, termios.TIOCSTI, ctypes.addressof(letter))


CHANGES = (
    "chmod", "fchmod", "fchmodat", "chown", "fchown", "lchown", "fchownat", "utime", "utimes", "utimensat", "futimesat",
    "setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr", "truncate", "ftruncate",
    452, 463, 466, 469,  # fchmodat2, setxattrat, removexattrat, file_setattr
)  # fmt: skip
"""A call that seccomp refuses says EPERM, whatever it is given; Landlock says EACCES, the kernel that -1 is no file."""


def change_files_otherwise(_: Path) -> list[str | int]:
    return [name for name in CHANGES if is_let_through(name)]


def is_let_through(name: str | int) -> bool:
    try:
        call(name, -1, -1, -1, -1, -1)
    except LookupError:
        return False  # this architecture has none of that name
    except OSError as error:
        return error.errno != errno.EPERM
    return True


def read_environment(_: Path) -> bytes:
    return Path("/proc/self/environ").read_bytes()


def open_socket(_: Path) -> object:
    return socket.socket()


def open_unix_socket(_: Path) -> object:
    return socket.socket(socket.AF_UNIX)


def run_program(_: Path) -> object:
    return subprocess.run(["/bin/true"])


def replace_program(_: Path) -> None:
    os.execv("/bin/true", ["true"])


def kill_starter(_: Path) -> None:
    os.kill(os.getppid(), 9)


def take_memory(_: Path) -> int:
    return len(bytearray(2**29))


def use_descriptors(_: Path) -> list[str]:
    """What else it still holds open than standard streams and the ways to its caller and back."""
    held = []
    for descriptor in range(3, 200):
        try:
            os.fstat(descriptor)
            held.append(str(descriptor))
        except OSError:
            continue
    return held[2:]


def call(name: str | int, *arguments: int) -> int:
    """A call of the kernel that no library makes for Python, by name or number."""
    resolve = ctypes.CDLL("libseccomp.so.2").seccomp_syscall_resolve_name
    number = name if isinstance(name, int) else int(resolve(name.encode()))
    if number < 0:
        raise LookupError(name)
    result = int(ctypes.CDLL(None, use_errno=True).syscall(number, *map(ctypes.c_long, arguments)))
    if result == -1:
        raise OSError(ctypes.get_errno(), str(name))
    return result


def signal_starter(name: str) -> int:
    """With signal 0, which is checked and not sent. The information says that a user's process sends it."""
    information = ctypes.create_string_buffer((0).to_bytes(8, "little") + (-1).to_bytes(4, "little", signed=True), 128)
    starter, where = os.getppid(), ctypes.addressof(information)
    arguments = {
        "kill": (starter, 0),
        "tkill": (starter, 0),
        "tgkill": (starter, starter, 0),
        "rt_sigqueueinfo": (starter, 0, where),
        "rt_tgsigqueueinfo": (starter, starter, 0, where),
    }
    return call(name, *arguments[name])


def kill_by_tgkill(_: Path) -> int:
    return signal_starter("tgkill")


def kill_by_queue(_: Path) -> int:
    return signal_starter("rt_sigqueueinfo")


def kill_by_thread_queue(_: Path) -> int:
    return signal_starter("rt_tgsigqueueinfo")


def kill_by_descriptor(_: Path) -> int:
    return call("pidfd_send_signal", 2, 0, 0, 0)  # 2 is none: the kernel would say so


def kill_by_pipe(_: Path) -> int:
    return call("fcntl", 2, fcntl.F_SETOWN | 1 << 32, os.getppid())


def limit_starter(_: Path) -> object:
    return resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (256, 256))


def read_limits_of_starter(_: Path) -> object:
    return resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE)


def lift_own_limit(_: Path) -> object:
    return resource.prlimit(0, resource.RLIMIT_CPU, (-1, -1))


def slow_starter(_: Path) -> None:
    os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)


def start_process(_: Path) -> object:
    if (child := os.fork()) == 0:
        os._exit(0)
    return child


def take_shared_memory(_: Path) -> object:
    return mmap.mmap(-1, 2**29)


def test_a_decoder_that_was_taken_over_reaches_its_own_file_and_nothing_else(
    tmp_path: Path, processes: DecodingProcesses
) -> None:
    path = tmp_path / "film"
    path.write_text("film")
    (tmp_path / "secret").write_text("secret")
    attempts = (
        read_own, read_neighbor, list_folder, write_own, make_file, remove_own, open_own_to_all, open_neighbor_to_all,
        age_neighbor, give_neighbor_away, mark_own, type_into_terminal, change_files_otherwise, read_environment,
        open_socket, open_unix_socket, run_program, replace_program, kill_starter, kill_by_tgkill, kill_by_queue,
        kill_by_thread_queue, kill_by_descriptor, kill_by_pipe, limit_starter, read_limits_of_starter, lift_own_limit,
        slow_starter, start_process, take_shared_memory, take_memory, use_descriptors,
    )  # fmt: skip
    results = dict(zip((a.__name__ for a in attempts), attacked(processes, Attack(path, attempts)), strict=True))
    assert results == {
        "read_own": "'film'",
        "read_neighbor": "PermissionError",
        "list_folder": "PermissionError",
        "write_own": "PermissionError",
        "make_file": "PermissionError",
        "remove_own": "PermissionError",
        "open_own_to_all": "PermissionError",
        "open_neighbor_to_all": "PermissionError",
        "age_neighbor": "PermissionError",
        "give_neighbor_away": "PermissionError",
        "mark_own": "PermissionError",
        "type_into_terminal": "PermissionError",
        "change_files_otherwise": "[]",
        "read_environment": "PermissionError",
        "open_socket": "PermissionError",
        "open_unix_socket": "PermissionError",
        "run_program": "PermissionError",
        "replace_program": "PermissionError",
        "kill_starter": "PermissionError",
        "kill_by_tgkill": "PermissionError",
        "kill_by_queue": "PermissionError",
        "kill_by_thread_queue": "PermissionError",
        "kill_by_descriptor": "PermissionError",
        "kill_by_pipe": "PermissionError",
        "limit_starter": "PermissionError",
        "read_limits_of_starter": "PermissionError",
        "lift_own_limit": "PermissionError",
        "slow_starter": "PermissionError",
        "start_process": "PermissionError",
        "take_shared_memory": "PermissionError",
        "take_memory": "MemoryError",
        "use_descriptors": "[]",
    }
    assert path.read_text() == "film"


def signal_itself(_: Path) -> None:
    signal.raise_signal(signal.SIGURG)  # which does nothing


def start_thread(_: Path) -> bool:
    begun = threading.Event()
    thread = threading.Thread(target=begun.set)
    thread.start()
    thread.join()
    return begun.is_set()


def read_own_limit(_: Path) -> int:
    return resource.getrlimit(resource.RLIMIT_CPU)[1]


def test_what_libraries_do_to_their_own_process_goes_on(tmp_path: Path, processes: DecodingProcesses) -> None:
    attempts = (signal_itself, start_thread, read_own_limit)
    (path := tmp_path / "film").touch()
    assert attacked(processes, Attack(path, attempts)) == ["None", "True", "60"]


def spin(_: Path) -> None:
    while True:
        pass


def crash(_: Path) -> None:
    os.abort()


@pytest.mark.parametrize("attempt", [spin, crash])
def test_a_decoder_that_spins_or_crashes_is_the_films_failure(
    tmp_path: Path, processes: DecodingProcesses, attempt: Callable[[Path], None]
) -> None:
    path = tmp_path / "film"
    path.write_text("film")
    with pytest.raises(VideoUndecodable, match="within the limits of memory and time"):
        attacked(processes, Attack(path, (attempt,), cpu_seconds=1))


@dataclass(frozen=True)
class Lie:
    """Words that no decoder says."""

    path: Path
    head: Any
    payload: bytes

    def allowance(self) -> Allowance:
        return Allowance(self.path, memory_bytes=2**28, cpu_seconds=60)

    def do(self, channel: Any) -> None:
        channel.send(self.head, self.payload)


@pytest.mark.parametrize(
    ("head", "payload"),
    [
        ({"index": 5}, b"\0" * 64 * 48),
        ({"index": 0}, b"\0" * 7),
        ({"index": 0}, b""),
        ([], b""),
        ({"x": "y" * 100_000}, b""),
        ({"failure": "no such code", "detail": "but a failure"}, b""),
        ({"failure": 3, "detail": None}, b""),
        ({"failure": "internal"}, b""),
    ],
)
def test_a_lie_is_a_failure_of_the_job_and_never_believed(
    make_video: Any, processes: DecodingProcesses, monkeypatch: pytest.MonkeyPatch, head: Any, payload: bytes
) -> None:
    path = make_video("clip.mkv").path
    examination = open_video(path)._examination
    monkeypatch.setattr(decoding_process, "ReadFrames", lambda path, *_: Lie(path, head, payload))
    with pytest.raises(JobFailure):
        list(processes.frames(path, examination, first=0, last=3))


def test_a_head_that_is_too_deep_to_read_is_a_failure_of_the_job() -> None:
    deep = b"[" * 40_000
    reader, writer = os.pipe()
    os.write(writer, HEAD.pack(len(deep), 0) + deep)
    with Answers(reader, writer) as answers, pytest.raises(VideoUndecodable):
        answers.head()


def examined(
    processes: DecodingProcesses, monkeypatch: pytest.MonkeyPatch, path: Path, head: Any, payload: bytes
) -> Examination:
    monkeypatch.setattr(decoding_process, "Examine", lambda path, _: Lie(path, head, payload))
    return processes.examine(path, limits=LIMITS, on_packet=lambda _: None)


def facts_of(examination: Examination) -> tuple[dict[str, Any], bytes]:
    """As an honest decoder tells them."""
    timeline = examination.timeline
    head = {
        "info": INFO.dump_python(examination.info, mode="json"),
        "time_base": str(timeline.time_base),
        "last_duration": timeline.last_duration,
        "exact": timeline.exact,
        "warnings": [],
    }
    return head, timeline.pts.tobytes() + timeline.keys.tobytes()


@pytest.mark.parametrize(
    ("lie", "told"),
    [
        ({"info": {"width": 100_000, "height": 100_000}}, VideoTooLarge),
        ({"info": {"width": -64, "height": -48}}, VideoUndecodable),
        ({"info": {"frames": 101}}, VideoTooLong),
        ({"info": {"frames": 11}}, VideoUndecodable),
        ({"info": {"frames": 0}}, VideoUndecodable),
        ({"info": {"duration_seconds": 4000.0}}, VideoTooLong),
        ({"info": {"duration_seconds": float("nan")}}, VideoUndecodable),
        ({"info": {"bit_depth": 64}}, VideoUndecodable),
        ({"info": {"frame_rate": "1e9999999999"}}, VideoUndecodable),
        ({"info": {"frame_rate": "25/0"}}, VideoUndecodable),
        ({"info": {"frame_rate": "0"}}, VideoUndecodable),
        ({"info": {"sample_aspect": "1e9999999999"}}, VideoUndecodable),
        ({"info": {"sample_aspect": "0"}}, VideoUndecodable),
        ({"info": {"sample_aspect": "9"}}, VideoUndecodable),
        ({"info": {"quarter_turns": 4}}, VideoUndecodable),
        ({"info": {"matrix": "none"}}, VideoUndecodable),
        ({"info": {"field_order": "none"}}, VideoUndecodable),
        ({"time_base": "1e9999999999"}, VideoUndecodable),
        ({"time_base": "1000"}, VideoUndecodable),  # so that the film lasts for hours, whatever its facts say
        ({"last_duration": 1e999}, VideoUndecodable),
        ({"last_duration": 10**9}, VideoUndecodable),
        ({"warnings": None}, VideoUndecodable),
        ({"found": 101}, VideoTooLong),
        ({"found": -1}, VideoUndecodable),
        ({"found": "many"}, VideoUndecodable),
    ],
    ids=str,
)
def test_facts_beyond_the_limits_or_of_no_film_are_not_believed(
    make_video: Any,
    processes: DecodingProcesses,
    monkeypatch: pytest.MonkeyPatch,
    lie: dict[str, Any],
    told: type[JobFailure],
) -> None:
    path = make_video("clip.mkv", frames=12).path
    truth = examine(path)
    head, payload = facts_of(truth)
    assert examined(processes, monkeypatch, path, head, payload).info == truth.info
    with pytest.raises(told):
        examined(processes, monkeypatch, path, head | lie | {"info": head["info"] | lie.get("info", {})}, payload)


def test_times_that_are_too_many_or_step_back_are_not_believed(
    make_video: Any, processes: DecodingProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video("clip.mkv", frames=12).path
    head, payload = facts_of(examine(path))
    pts = payload[: 12 * 8]
    for lie in (
        payload + pts,
        payload[: 11 * 8],
        payload + b"\0",
        pts[:8] + pts[16:24] + pts[8:16] + payload[24:],
        b"",
    ):
        with pytest.raises(VideoUndecodable):
            examined(processes, monkeypatch, path, head, lie)


@pytest.mark.parametrize(
    "head",
    [{}, {"height": "x", "width": 2}, {"height": -2, "width": -2}, {"height": 2, "width": 10**6}, {"height": 2.5}],
)
def test_a_picture_of_no_size_is_not_believed(
    tmp_path: Path, processes: DecodingProcesses, monkeypatch: pytest.MonkeyPatch, head: Any
) -> None:
    (path := tmp_path / "still.png").touch()
    monkeypatch.setattr(decoding_process, "ReadImage", lambda path, *_: Lie(path, head, b"\0" * 12))
    with pytest.raises(ReferenceUndecodable):
        processes.read_image(path, max_pixels=100)


# Files that name other files


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("hls.mp4", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n"),
        ("hls-after-spaces.mp4", "\n\n  #EXTM3U\n#EXTINF:1,\nfile://{secret}\n"),
        ("hls-address.ts", "#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n"),
        ("hls-data.mkv", "#EXTM3U\n#EXTINF:1,\ndata:video/mp4;base64,AAAA\n"),
        ("concat.mkv", "ffconcat version 1.0\nfile '{secret}'\n"),
        ("concat-old.avi", "file '{secret}'\n"),
        ("dash.mp4", "<?xml version='1.0'?><MPD><Period><BaseURL>{secret}</BaseURL></Period></MPD>"),
        ("smil.mov", "<smil><body><video src='{secret}'/></body></smil>"),
        ("rtsp.sdp", "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nc=IN IP4 127.0.0.1\r\nm=video 9 RTP/AVP 96\r\n"),
        ("reference.mov", "RTSPtext\r\nrtsp://127.0.0.1:9/x\r\n"),
        ("list.asx", "<asx version='3.0'><entry><ref href='file://{secret}'/></entry></asx>"),
        ("list.pls", "[playlist]\nFile1={secret}\nNumberOfEntries=1\n"),
        ("sequence-%03d.png", "sequence"),
        ("subtitles.idx", "# VobSub index file, v7 (do not modify this line!)\ntimestamp: 00:00:00:000\n"),
        ("script.avs", 'DirectShowSource("{secret}")'),
        ("filter.mp4", "movie={secret}"),
        ("tiles.imf", "<CompositionPlaylist xmlns='http://www.smpte-ra.org/schemas/2067-3/2016'/>"),
    ],
)
@pytest.mark.parametrize("apart", [False, True], ids=["in this process", "in a process of its own"])
def test_a_file_that_names_another_is_refused(
    make_video: Any, tmp_path: Path, processes: DecodingProcesses, name: str, content: str, apart: bool
) -> None:
    secret = make_video("secret.mp4").path
    film = tmp_path / name
    film.write_text(content.format(secret=secret))
    use_decoder(processes if apart else None)
    try:
        with pytest.raises((VideoUndecodable, VideoUnsupported)):
            open_video(film)
    finally:
        use_decoder(None)
