"""How long the client sits out what may pass, and what it takes for lasting."""

import pytest
import retint
from retint.errors import APIError, Problem, RetintError, error_class
from retint.outage import Outage

AWAY = retint.ConnectionFailed("away")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def refusal(status: int, code: str = "a_code", *, retry_after: float | None = None) -> APIError:
    return error_class(status)(Problem(status, code, "T", "D.", None, ()), retry_after=retry_after)


def test_pauses_grow_and_end_with_the_patience() -> None:
    clock = Clock()
    outage = Outage(patience=300, clock=clock)
    pauses = [outage.failed(AWAY) for _ in range(8)]
    assert pauses[:4] == [0.5, 1.0, 2.0, 4.0]
    assert pauses[-1] == 15.0
    clock.now += 286
    with pytest.raises(retint.ConnectionFailed):
        outage.failed(AWAY)


def test_what_went_well_in_between_begins_it_anew() -> None:
    clock = Clock()
    outage = Outage(patience=10, clock=clock)
    for _ in range(5):
        assert outage.failed(AWAY) == 0.5
        outage.over()
        clock.now += 8


def test_the_server_says_how_long_and_in_vain_is_not_waited() -> None:
    outage = Outage(patience=60, clock=Clock())
    assert outage.failed(refusal(429, retry_after=30)) == 30
    assert outage.failed(refusal(503, retry_after=0)) == 0
    with pytest.raises(retint.RateLimited) as caught:
        outage.failed(refusal(429, retry_after=61))
    assert caught.value.retry_after == 61


@pytest.mark.parametrize("error", [AWAY, refusal(429), refusal(500), refusal(502), refusal(503), refusal(504)])
def test_what_may_pass_is_sat_out(error: RetintError) -> None:
    assert Outage(patience=60).failed(error) == 0.5
    with pytest.raises(type(error)):
        Outage(patience=0).failed(error)


@pytest.mark.parametrize(
    "error",
    [
        retint.ConnectionFailed("never there", transient=False),
        refusal(401),
        refusal(404),
        refusal(409),
        refusal(422),
        refusal(507),
        retint.ChecksumMismatch("other bytes"),
    ],
)
def test_what_stays_is_told_at_once(error: RetintError) -> None:
    with pytest.raises(type(error)):
        Outage(patience=60).failed(error)


def test_a_problem_that_passes_in_some_calls_is_named() -> None:
    assert Outage(patience=60).failed(refusal(409, "upload_locked"), passing={"upload_locked"}) == 0.5
