import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.media.constant_rate import exact_times
from worker.media.timeline import Timeline

MILLISECONDS = Fraction(1, 1000)
NTSC_FILM = Fraction(24000, 1001)


def timeline(pts: list[int], *, tick: Fraction, last_duration: int = 42) -> Timeline:
    places = np.asarray(pts, np.int64)
    return Timeline(time_base=tick, pts=places, keys=places[::10], last_duration=last_duration, exact=True)


def rounded(rate: Fraction, *, tick: Fraction, frames: int, start: Fraction = Fraction(0)) -> Timeline:
    """As a muxer rounds the times of frames."""
    pts = [math.floor((start + index / rate) / tick + Fraction(1, 2)) for index in range(frames)]
    return timeline(pts, tick=tick, last_duration=round(1 / rate / tick))


@settings(max_examples=60)
@given(
    rate=st.sampled_from([NTSC_FILM, Fraction(30000, 1001), Fraction(24), Fraction(30), Fraction(50, 3), Fraction(18)]),
    tick=st.sampled_from([MILLISECONDS, Fraction(1, 90_000), Fraction(1, 1_000_000_000)]),
    frames=st.integers(2, 400),
    start=st.fractions(-1, 10_000, max_denominator=1000),
)
def test_a_rounded_constant_rate_becomes_exact_within_half_a_tick(
    rate: Fraction, tick: Fraction, frames: int, start: Fraction
) -> None:
    film = rounded(rate, tick=tick, frames=frames, start=start)
    exact, stated = exact_times(film, stated=rate)
    assert stated == rate
    steps = np.diff(film.pts)
    if steps.min() == steps.max():
        assert exact is film
        return
    assert {int(step) * exact.time_base for step in np.diff(exact.pts)} == {1 / rate}
    assert exact.last_duration * exact.time_base == 1 / rate
    moved = [int(new) * exact.time_base - int(old) * tick for new, old in zip(exact.pts, film.pts, strict=True)]
    assert max(map(abs, moved)) <= tick / 2 + (exact.time_base if tick < MILLISECONDS else 0)
    assert exact.keys.tolist() == exact.pts[::10].tolist()


def test_a_common_rate_is_found_where_the_file_states_another() -> None:
    exact, rate = exact_times(rounded(NTSC_FILM, tick=MILLISECONDS, frames=200_000), stated=Fraction(2997, 125))
    assert rate == NTSC_FILM
    assert exact.time_base == Fraction(1, 24000)
    assert int(exact.pts[-1]) == 199_999 * 1001


def test_a_last_frame_that_stands_longer_still_does() -> None:
    film = timeline([0, 42, 83, 125], tick=MILLISECONDS, last_duration=3000)
    exact, _ = exact_times(film, stated=NTSC_FILM)
    assert exact.last_duration * exact.time_base == 3


@pytest.mark.parametrize(
    "pts",
    [
        [0],
        [0, 42, 83, 167, 209],
        [0, 41, 82, 123, 165, 207, 249],
        [0, 42, 83, 126, 167],
        # 24 frames a second in ticks of a 30th, or frames that were meant so.
        [0, 1, 2, 4, 5, 6, 8],
    ],
    ids=["one frame", "one is missing", "short ones first", "one is late", "coarse ticks"],
)
def test_other_times_stay_as_they_are(pts: list[int]) -> None:
    film = timeline(pts, tick=MILLISECONDS if pts[-1] != 8 else Fraction(1, 30))
    assert exact_times(film, stated=NTSC_FILM) == (film, NTSC_FILM)
