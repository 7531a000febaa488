"""Several calls that belong together, written once for both clients.

A generator yields what is to be done next and is sent what came of it: the answer to a call, or thrown the error. It
does no network I/O and never sleeps; the clients do both, each in its way. It may touch the disk: the asyncio client
resumes it in a thread.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from retint.calls import Call
from retint.errors import RetintError
from retint.outage import Outage

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


@dataclass(frozen=True, slots=True)
class Tell:
    """Something for the caller to hear, in the caller's own thread."""

    tell: Callable[[], object]


Step: TypeAlias = Call[Any] | Pause | Tell
Steps: TypeAlias = Generator[Step, Any, T]


class Conversation(Generic[T]):
    """Steps on their way. Take the `next`, `answer` it or `fail` it if it is a call; in the end `close`."""

    result: T
    """What came of it all; there once `next` is None."""

    def __init__(self, steps: Steps[T]) -> None:
        self._steps = steps
        self._answer: Any = None
        self._error: RetintError | None = None

    def next(self) -> Step | None:
        """Raises:
        RetintError: what the steps make of an error, or of a file.
        """
        answer, error, self._answer, self._error = self._answer, self._error, None, None
        try:
            return self._steps.send(answer) if error is None else self._steps.throw(error)
        except StopIteration as end:
            self.result = end.value
            return None

    def answer(self, answer: Any) -> None:
        self._answer = answer

    def fail(self, error: RetintError) -> None:
        self._error = error

    def close(self) -> None:
        self._steps.close()


def ask(call: Call[T]) -> Steps[T]:
    """One call."""
    answer: T = yield call
    return answer


def persist(call: Callable[[], Call[T]], *, outage: Outage, passing: frozenset[str] = frozenset()) -> Steps[T]:
    """One call, made until it is answered; see `Outage.failed`."""
    while True:
        try:
            return (yield from ask(call()))
        except RetintError as error:
            yield Pause(outage.failed(error, passing=passing))
