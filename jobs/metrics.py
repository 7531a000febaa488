"""What is counted, and under which fields of one hash in Redis: there the counts of all processes meet.

A counter is the field `name label label`, a histogram `name label label le=bound` for each of its buckets (what fell
into that one alone) and `name label label sum`. No label ever holds what a caller chose freely.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from jobs.errors import JobFailure
from jobs.record import TERMINAL_STATUSES
from jobs.record_keys import KINDS

JOB_BOUNDS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0, 43200.0)
REQUEST_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
SPEED_BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0)
GAIN_BOUNDS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0)
Series = tuple[str, ...]
"""Values of a metric's labels, in order."""


@dataclass(frozen=True, slots=True)
class Counter:
    name: str
    help: str
    labels: tuple[str, ...] = ()
    known: tuple[Series, ...] = ()
    """Series that are there from the start, at 0: an alert would miss the first of them otherwise."""


@dataclass(frozen=True, slots=True)
class Histogram:
    name: str
    help: str
    bounds: tuple[float, ...]
    """Upper ones; infinity comes by itself."""
    labels: tuple[str, ...] = ()

    @property
    def bound_names(self) -> tuple[str, ...]:
        """As fields and Prometheus have them."""
        return (*(f"{bound:g}" for bound in self.bounds), "+Inf")


def _codes(failure: type[JobFailure]) -> Iterator[str]:
    """Of all failures below this one."""
    for kind in failure.__subclasses__():
        yield kind.code
        yield from _codes(kind)


_KINDS = tuple((kind,) for kind in KINDS)

# create.lua and transition.lua count these six, with the change itself.
JOBS_SUBMITTED = Counter(
    "retint_jobs_submitted_total", "Jobs and searches for keyframes that were taken in.", ("kind",), _KINDS
)
JOBS_ENDED = Counter(
    "retint_jobs_ended_total",
    "Those that ended, by how.",
    ("kind", "status"),
    tuple(product(KINDS, TERMINAL_STATUSES)),
)
JOB_FAILURES = Counter(
    "retint_job_failures_total",
    "Those that failed, by the code of their error.",
    ("kind", "code"),
    tuple(product(KINDS, _codes(JobFailure))),
)
EXECUTIONS_LOST = Counter(
    "retint_executions_lost_total",
    "Tries that ended without a result, since their worker died or stopped.",
    ("kind",),
    _KINDS,
)
JOB_WAIT = Histogram(
    "retint_job_wait_seconds", "Time from submission until a worker took it up first.", JOB_BOUNDS, ("kind",)
)
JOB_DURATION = Histogram(
    "retint_job_duration_seconds", "Time from submission to the end.", JOB_BOUNDS, ("kind", "status")
)

# Executions count these as they end, through the record that they own.
JOB_PHASE = Histogram(
    "retint_job_phase_seconds",
    "Time that a finished execution spent in a phase, all its visits together.",
    JOB_BOUNDS,
    ("kind", "phase"),
)
FRAMES_COLORED = Counter("retint_frames_colored_total", "Frames colored by jobs that succeeded or failed.", known=((),))
JOB_SPEED = Histogram(
    "retint_job_frames_per_second",
    "Frames per second of a job that succeeded, from its start to its end.",
    SPEED_BOUNDS,
)
TUNING_GAIN = Histogram(
    "retint_tuning_gain_decibels",
    "PSNR of ab that tuning gained on the held-out part of the reference, per tuned shot.",
    GAIN_BOUNDS,
)

# API processes count these by themselves and add them every few seconds.
HTTP_REQUESTS = Counter(
    "retint_http_requests_total",
    "Answers of the API; 499: the client went away.",
    ("method", "route", "status"),
)
HTTP_LATENCY = Histogram(
    "retint_http_request_duration_seconds",
    "Time from a request's head to the head of its answer, the upload in between included.",
    REQUEST_BOUNDS,
    ("method", "route"),
)

COUNTERS = (JOBS_SUBMITTED, JOBS_ENDED, JOB_FAILURES, EXECUTIONS_LOST, FRAMES_COLORED, HTTP_REQUESTS)
HISTOGRAMS = (JOB_WAIT, JOB_DURATION, JOB_PHASE, JOB_SPEED, TUNING_GAIN, HTTP_LATENCY)


class Tally:
    """Counts on their way to Redis. Threads may share one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._amounts: dict[str, float] = {}

    def count(self, counter: Counter, *, labels: Sequence[str] = (), amount: float = 1) -> None:
        self._add(" ".join((counter.name, *labels)), amount)

    def observe(self, histogram: Histogram, value: float, *, labels: Sequence[str] = ()) -> None:
        series = " ".join((histogram.name, *labels))
        index = sum(value > bound for bound in histogram.bounds)
        self._add(f"{series} le={histogram.bound_names[index]}", 1)
        self._add(f"{series} sum", value)

    def take(self) -> Mapping[str, float]:
        """What was counted since the last call, by field."""
        with self._lock:
            amounts, self._amounts = self._amounts, {}
        return amounts

    def _add(self, field: str, amount: float) -> None:
        with self._lock:
            self._amounts[field] = self._amounts.get(field, 0) + amount
