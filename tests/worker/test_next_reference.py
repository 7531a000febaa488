"""The frame to color next is the one whose color would reach farthest where confidence is low."""

import numpy as np
import pytest

from worker.next_reference import FARTHEST, best_next_frame, confidence_by_distance


def sinking(frames: int, anchor: int, *, loss: float = 0.01) -> np.ndarray:  # type: ignore[type-arg]
    return np.clip(1 - loss * np.abs(np.arange(frames) - anchor), 0, 1).astype(np.float32)


def test_reach_is_measured_on_the_jobs_own_references() -> None:
    reach = confidence_by_distance([(sinking(60, 0), [0]), (sinking(40, 20), [20]), (sinking(30, 0) * 0, [])])
    assert reach[[0, 10, 39]] == pytest.approx([1.0, 0.9, 0.61], abs=1e-6)
    assert (np.diff(reach) <= 0).all()
    assert len(reach) == FARTHEST + 1


def test_a_shot_without_a_reference_is_best_colored_in_its_middle() -> None:
    reach = confidence_by_distance([(sinking(60, 0), [0])])
    found = best_next_frame(np.full(51, 0.2, np.float32), reach)
    assert found is not None
    assert found[0] == 25
    assert found[1] == pytest.approx(sum(1 - 0.01 * abs(n - 25) - 0.2 for n in range(51)), rel=0.01)


def test_a_shot_with_a_reference_at_its_start_is_best_colored_where_that_fades() -> None:
    confidences = sinking(100, 0)
    found = best_next_frame(confidences, confidence_by_distance([(confidences, [0])]))
    assert found is not None
    assert 60 <= found[0] <= 75


def test_where_nothing_is_to_be_won_nothing_is_proposed() -> None:
    reach = confidence_by_distance([(np.full(20, 0.95, np.float32), [0])])
    assert best_next_frame(np.full(20, 0.95, np.float32), reach) is None
    assert best_next_frame(np.array([np.nan], np.float32), reach) is None


def test_without_any_reference_in_the_film_the_usual_loss_is_taken() -> None:
    assert confidence_by_distance([])[[0, 100]] == pytest.approx([1.0, 0.7])
