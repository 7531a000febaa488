"""Takes from a process all that decoding does not need, for good: what it decodes may be made to take it over.

Landlock (Linux 5.13 and newer) and seccomp work without privileges, in containers too, where namespaces often do not.
"""

import ctypes
import errno
import fcntl
import mmap
import os
import resource
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
"""Of every architecture: Linux numbers its newer calls alike."""
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_FILE_RIGHTS_BY_VERSION = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many rights on files each version knows; each is a bit. Newer versions know those of the fifth."""
_TCP_RIGHTS = 0b11  # bind, connect; from version 4
_SCOPES = 0b11  # abstract sockets, signals; from version 6
_MODULES = ("stdlib", "platstdlib", "purelib", "platlib")
_PR_SET_NO_NEW_PRIVS = 38  # <sys/prctl.h>

_SCMP_ACT_ALLOW = 0x7FFF0000  # <seccomp.h>
_SCMP_ACT_ERRNO = 0x00050000
_SCMP_CMP_NE, _SCMP_CMP_MASKED_EQ = 1, 7
_CLONE_THREAD = 0x00010000  # <linux/sched.h>
_F_SETOWN_EX = 15  # <asm-generic/fcntl.h>
_32_BITS = 0xFFFFFFFF
_FORBIDDEN = (
    # Ways out of the machine and to other processes.
    "socket", "socketpair", "connect", "bind", "listen", "accept", "accept4", "sendto", "sendmsg", "sendmmsg",
    "io_uring_setup", "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_open", "pidfd_getfd",
    "shmget", "shmat", "msgget", "semget", "mq_open",
    # What changes a file that nobody opened: Landlock has no right for it, or has one only in newer kernels.
    "chmod", "fchmod", "fchmodat", "chown", "fchown", "lchown", "fchownat", "utime", "utimes", "utimensat", "futimesat",
    "setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr", "truncate", "ftruncate",
    # What other processes of this user would feel.
    "kill", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal", "setpriority", "ioprio_set",
    "sched_setscheduler", "sched_setparam", "sched_setattr", "sched_setaffinity",
    # Other programs, and what only attacks need.
    "fork", "vfork", "execve", "execveat", "prctl", "setrlimit", "bpf", "perf_event_open", "userfaultfd", "keyctl",
    "add_key", "request_key", "mount", "umount2", "pivot_root", "unshare", "setns", "chroot", "init_module",
    "finit_module", "kexec_load", "open_by_handle_at", "memfd_create", "memfd_secret", "personality",
)  # fmt: skip
_FORBIDDEN_NUMBERS = (452, 463, 466, 469)  # fchmodat2, setxattrat, removexattrat, file_setattr
"""Of every architecture, as Landlock's: of the same kind, and so new that the libseccomp of many systems does not know
their names."""
_FORBIDDEN_IOCTLS = (
    0x5412, 0x541C,  # TIOCSTI, TIOCLINUX: input of the terminal that the worker was started from
    0x40086602, 0x401C5820,  # FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR: attributes of files that are open to read
)  # fmt: skip


class NotConfined(Exception):
    """The kernel, or what it runs under, does not let a process give up its rights; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a process may still do."""

    read: Path
    """The one file that it may open, and only to read; beside it Python's own modules."""
    memory_bytes: int
    """Beyond what it has already."""
    cpu_seconds: int
    """After it the kernel ends the process."""


def confine(allowance: Allowance, *, keep: Sequence[int]) -> None:
    """Leave this process nothing but the descriptors `keep`, standard ones and its allowance. It has one thread yet.

    Raises:
        NotConfined: this system cannot; the process still has most of its rights then, and should end.
    """
    kept = (2, *sorted(keep), os.sysconf("SC_OPEN_MAX"))
    for below, above in pairwise(kept):
        os.closerange(below + 1, above)
    _limit(allowance)
    libc, seccomp = ctypes.CDLL(None, use_errno=True), _load_seccomp()
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise NotConfined(f"no_new_privs: {os.strerror(ctypes.get_errno())}")
    _restrict_files(libc, allowance.read)
    _restrict_calls(seccomp)


def why_not_confined(*, memory_bytes: int, cpu_seconds: int) -> str | None:
    """What keeps processes here from being confined, found out by trying with the limits that they will have; None
    where nothing does. Call it before there are threads."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            confine(Allowance(Path(os.devnull), memory_bytes, cpu_seconds), keep=[writer])
            status = 0
        except Exception as error:
            os.write(writer, str(error).encode()[:4096])
        finally:
            os._exit(status)
    os.close(writer)
    problem = os.read(reader, 4096).decode(errors="replace")
    os.close(reader)
    _, status = os.waitpid(child, 0)
    return None if status == 0 else problem or "the process that tried it died"


def landlock_version() -> int:
    """Of the kernel; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    return max(0, int(libc.syscall(_LANDLOCK_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION)))


def _limit(allowance: Allowance) -> None:
    # Of private memory, not of addresses: libraries for GPUs are mapped by the gigabyte and never touched here.
    had = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    memory = had + allowance.memory_bytes
    _lower(resource.RLIMIT_DATA, memory)
    _lower(resource.RLIMIT_CPU, allowance.cpu_seconds)
    _lower(resource.RLIMIT_CORE, 0)


def _lower(kind: int, wanted: int) -> None:
    """For good; a limit that the operator has set lower stays."""
    hard = resource.getrlimit(kind)[1]
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(kind, (limit, limit))


class _Comparison(ctypes.Structure):
    """`struct scmp_arg_cmp`: one argument of a call, all 64 bits of it, of which the kernel may heed 32 alone."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operation", ctypes.c_int),
        ("value", ctypes.c_uint64),
        ("masked", ctypes.c_uint64),
    )


class _Ruleset(ctypes.Structure):
    """`struct landlock_ruleset_attr`."""

    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    """`struct landlock_path_beneath_attr`."""

    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def _restrict_files(libc: ctypes.CDLL, read: Path) -> None:
    version = landlock_version()
    if version == 0:
        raise NotConfined("the kernel has no Landlock, or it is switched off")
    rights = _FILE_RIGHTS_BY_VERSION.get(version, _FILE_RIGHTS_BY_VERSION[5])
    ruleset = _Ruleset((1 << rights) - 1, _TCP_RIGHTS if version >= 4 else 0, _SCOPES if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    rules = libc.syscall(_LANDLOCK_CREATE_RULESET, ctypes.byref(ruleset), ctypes.c_size_t(size), 0)
    if rules < 0:
        raise NotConfined(f"Landlock: {os.strerror(ctypes.get_errno())}")
    # Modules that are imported only when they are needed are there too; what is installed is no secret.
    places = {Path(sysconfig.get_path(name)): _READ_FILE | _READ_DIR for name in _MODULES}
    for path, allowed in {**places, read: _READ_FILE}.items():
        place = os.open(path, os.O_PATH)
        rule = _PathBeneath(allowed, place)
        if libc.syscall(_LANDLOCK_ADD_RULE, rules, _RULE_PATH_BENEATH, ctypes.byref(rule), 0) != 0:
            raise NotConfined(f"Landlock: {os.strerror(ctypes.get_errno())}")
        os.close(place)
    if libc.syscall(_LANDLOCK_RESTRICT_SELF, rules, 0) != 0:
        raise NotConfined(f"Landlock: {os.strerror(ctypes.get_errno())}")
    os.close(rules)


def _load_seccomp() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError as error:
        raise NotConfined("libseccomp is not installed (Debian: libseccomp2)") from error
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_rule_add_array.argtypes = (
        ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p,
    )  # fmt: skip
    library.seccomp_load.argtypes = (ctypes.c_void_p,)
    return library


def _restrict_calls(library: ctypes.CDLL) -> None:
    rules = library.seccomp_init(_SCMP_ACT_ALLOW)

    def forbid(call: str | int, where: _Comparison | None = None, *, error: int = errno.EPERM) -> None:
        number = call if isinstance(call, int) else library.seccomp_syscall_resolve_name(call.encode())
        count, compared = (0, None) if where is None else (1, ctypes.byref(where))
        if library.seccomp_rule_add_array(rules, _SCMP_ACT_ERRNO | error, number, count, compared) != 0:
            raise NotConfined(f"seccomp knows no way to forbid {call}")

    for call in (*_FORBIDDEN, *_FORBIDDEN_NUMBERS):
        forbid(call)
    for request in _FORBIDDEN_IOCTLS:
        forbid("ioctl", _has(1, _32_BITS, request))
    # Signals to itself: `abort` sends one.
    forbid("tgkill", _is_not(0, os.getpid()))
    for command in (fcntl.F_SETOWN, _F_SETOWN_EX, fcntl.F_SETSIG):  # to whom signals go that a pipe causes
        forbid("fcntl", _has(1, _32_BITS, command))
    # Limits may be read, its own alone.
    forbid("prlimit64", _is_not(0, 0))
    forbid("prlimit64", _is_not(2, 0))
    # Threads, which share its limits; another process would have as much again. The flags of clone3 are out of a
    # filter's reach: without it, libraries use clone.
    forbid("clone", _has(0, _CLONE_THREAD, 0))
    forbid("clone3", error=errno.ENOSYS)
    # Memory that RLIMIT_DATA does not count.
    shared = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS
    forbid("mmap", _has(3, shared, shared))
    if (failure := library.seccomp_load(rules)) != 0:
        raise NotConfined(f"seccomp: {os.strerror(-failure)}")


def _is_not(argument: int, value: int) -> _Comparison:
    return _Comparison(argument, _SCMP_CMP_NE, value)


def _has(argument: int, mask: int, value: int) -> _Comparison:
    return _Comparison(argument, _SCMP_CMP_MASKED_EQ, mask, value)
