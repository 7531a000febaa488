"""What one execution did, for the metrics and for its trace."""

import time
from collections.abc import Callable, Mapping, Sequence

from jobs.metrics import FRAMES_COLORED, JOB_PHASE, JOB_SPEED, TUNING_GAIN, Tally
from jobs.record import ConfidencePoint, Phase, PlacedReference, Shot, TuningUnderWay, VideoFacts
from jobs.record_keys import Kind
from jobs.spans import Span, Tracing
from worker.observer import Observer


class Figures:
    """Gathered in memory, and handed over once, with the change that ends the job."""

    def __init__(
        self, kind: Kind, *, tracing: Tracing, span: Span, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`span`: of the execution; each visit of a phase becomes a child of it."""
        self.kind = kind
        self._tracing = tracing
        self._span = span
        self._clock = clock
        self._phase: Phase | None = None
        self._phase_since = 0.0
        self._phase_span = Span()
        self._seconds: dict[Phase, float] = {}
        self._frames_done = 0
        self._gains: Sequence[float] = ()

    def entered(self, phase: Phase) -> None:
        if phase != self._phase:
            self._leave_phase()
            self._phase, self._phase_since = phase, self._clock()
            attributes = {"job.phase": phase}
            self._phase_span = self._tracing.start(phase, parent=self._span.traceparent, attributes=attributes)

    def advanced(self, frames_done: int) -> None:
        self._frames_done = frames_done

    def learned(self, shots: Sequence[Shot]) -> None:
        self._gains = [shot.tuning.gain_db for shot in shots if shot.tuning is not None]

    def failed(self, code: str) -> None:
        self._phase_span.fail(code)
        self._span.fail(code)

    def ended(self, *, frames_per_second: float | None = None) -> Mapping[str, float]:
        """Nothing more comes; what is to be counted. `frames_per_second`: of a job that succeeded."""
        self._leave_phase()
        tally = Tally()
        for phase, seconds in self._seconds.items():
            tally.observe(JOB_PHASE, seconds, labels=(self.kind, phase))
        if self.kind == "jobs":
            tally.count(FRAMES_COLORED, amount=self._frames_done)
            if frames_per_second is not None:
                tally.observe(JOB_SPEED, frames_per_second)
        for gain in self._gains:
            tally.observe(TUNING_GAIN, gain)
        return tally.take()

    def _leave_phase(self) -> None:
        if self._phase is not None:
            self._seconds[self._phase] = self._seconds.get(self._phase, 0.0) + self._clock() - self._phase_since
            self._phase_span.end()
        self._phase = None


class MeasuredObserver:
    """Hands all that the pipeline says to an observer, and what counts to the figures."""

    def __init__(self, observer: Observer, figures: Figures) -> None:
        self._observer = observer
        self._figures = figures

    def entered(self, phase: Phase) -> None:
        self._figures.entered(phase)
        self._observer.entered(phase)

    def advanced(self, *, fraction: float, frames_done: int, frames_total: int) -> None:
        self._figures.advanced(frames_done)
        self._observer.advanced(fraction=fraction, frames_done=frames_done, frames_total=frames_total)

    def learned(
        self,
        *,
        video: VideoFacts | None = None,
        references: Sequence[PlacedReference] | None = None,
        shots: Sequence[Shot] | None = None,
        warnings: Sequence[str] | None = None,
        tuning: TuningUnderWay | None = None,
        confidence: Sequence[ConfidencePoint] | None = None,
    ) -> None:
        if shots is not None:
            self._figures.learned(shots)
        self._observer.learned(
            video=video, references=references, shots=shots, warnings=warnings, tuning=tuning, confidence=confidence
        )

    def showed(self, frame: int, picture: bytes) -> None:
        self._observer.showed(frame, picture)

    def check(self) -> None:
        self._observer.check()
