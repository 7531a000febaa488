"""Finds the constant rate behind frame times that a container rounded, and the exact times that they stand for."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np

from worker.media.timeline import Timeline

_COMMON_RATES = (
    *(Fraction(rate, 1001) for rate in (24000, 30000, 60000)),
    *(Fraction(rate) for rate in (24, 25, 30, 16, 18, 12, 15, 48, 50, 60)),
)
_FEWEST_TICKS = 4
"""Of a frame. Coarser ticks explain frames that were meant to come irregularly as well."""
_FEWEST_TICKS_A_SECOND = 10_000
"""FFmpeg's muxer of MOV and MP4 multiplies slower clocks; here that also places the first frame finely."""
_MOST_TICKS_A_SECOND = 10_000_000
_LARGEST_PRODUCT = 2**62
"""Of what is counted in 64 bits."""


def exact_times(timeline: Timeline, *, stated: Fraction) -> tuple[Timeline, Fraction]:
    """The times to write for a film, and its frame rate; `stated` is what is known of that, in frames per second.

    A container with coarse ticks (milliseconds in Matroska and FLV) rounds the times of a constant rate, and another
    container would take the rounding for the film's own. Where the stated rate or a common one explains every time to
    within half a tick, its own times are given; all others stay as they are.
    """
    steps = np.diff(timeline.pts)
    # Rounding makes two lengths of frames that are a tick apart.
    if not len(steps) or steps.min() < _FEWEST_TICKS or steps.max() - steps.min() != 1:
        return timeline, stated
    for rate in (stated, *_COMMON_RATES):
        if (exact := _at_rate(timeline, rate)) is not None:
            return exact, rate
    return timeline, stated


def _at_rate(timeline: Timeline, rate: Fraction) -> Timeline | None:
    """The timeline at exactly `rate`; None where that moves a frame by more than half a tick, and one of the new
    clock's."""
    factor = 1 if rate.numerator >= _FEWEST_TICKS_A_SECOND else 1000
    time_base, step = Fraction(1, rate.numerator * factor), rate.denominator * factor
    if time_base.denominator > _MOST_TICKS_A_SECOND:
        return None
    count, tick = len(timeline), Fraction(timeline.time_base)
    elapsed = timeline.pts - timeline.pts[0]
    # A tick of the old clock and one of the new, as whole numbers of the same fraction of a second.
    old, new = tick.numerator * time_base.denominator, tick.denominator
    if max((int(elapsed[-1]) + 1) * old, count * step * new) > _LARGEST_PRODUCT:
        return None
    late = elapsed * old - np.arange(count, dtype=np.int64) * (step * new)
    # In ticks of the new clock: where the first frame stands in the file, and how far from there it may begin.
    first = int(timeline.pts[0]) * tick / time_base
    earliest, latest = Fraction(2 * int(late.max()) - old, 2 * new), Fraction(2 * int(late.min()) + old, 2 * new)
    start = _whole_within(first + earliest, first + latest, near=first)
    if start is None:
        return None
    last = timeline.last_duration * tick / time_base
    pts = start + np.arange(count, dtype=np.int64) * step
    return replace(
        timeline,
        time_base=time_base,
        pts=pts,
        keys=pts[np.isin(timeline.pts, timeline.keys)],
        last_duration=step if abs(last - step) <= tick / time_base else round(last),
        exact=False,
    )


def _whole_within(lowest: Fraction, highest: Fraction, *, near: Fraction) -> int | None:
    """The whole number nearest to `near` from `lowest` to `highest`, or one less than 1 below where there is none
    between; None where nothing is."""
    return None if lowest > highest else min(max(round(near), math.ceil(lowest)), math.floor(highest))
