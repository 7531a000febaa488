"""Speed and time left, from what was done and when."""

from worker.pace import Pace


def test_speed_and_time_left_follow_the_last_half_minute() -> None:
    pace = Pace()
    for second in range(11):
        told = pace.mark(float(second), fraction=second / 100, frames_done=2 * second, frames_total=200)
    assert told.fps == 2.0
    assert told.eta_seconds == 90.0


def test_a_first_small_step_says_nothing_about_the_rest() -> None:
    pace = Pace()
    pace.mark(0.0, fraction=0.0, frames_done=0, frames_total=100)
    assert pace.mark(2.0, fraction=0.01, frames_done=0, frames_total=100).eta_seconds is None
    assert pace.mark(8.0, fraction=0.01, frames_done=0, frames_total=100).eta_seconds is None


def test_slow_work_tells_its_time_left_once_it_was_watched_for_long() -> None:
    pace = Pace()
    for second in range(26):
        told = pace.mark(float(second), fraction=second / 10_000, frames_done=second, frames_total=10_000)
    assert told.eta_seconds == 9975.0


def test_a_long_step_that_says_nothing_leaves_the_time_left_in_bounds() -> None:
    pace = Pace()
    for second in range(40):
        pace.mark(float(second), fraction=second / 100, frames_done=0, frames_total=100)
    # A third of it is done and tuning is tried out, which is no step of its own; sums of shares are not exact.
    for second in range(40, 200):
        told = pace.mark(float(second), fraction=0.39 + 1e-16 * second, frames_done=0, frames_total=100)
    assert told.eta_seconds is not None
    assert 60 < told.eta_seconds < 3_600


def test_marks_do_not_pile_up() -> None:
    pace = Pace()
    for step in range(20_000):
        pace.mark(step * 0.3, fraction=step / 1_000_000, frames_done=step, frames_total=1_000_000)
    assert len(pace._marks) < 200
