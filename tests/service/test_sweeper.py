import threading

import pytest
import redis.exceptions

from service.sweeper import sweeping


@pytest.mark.parametrize("error", [redis.exceptions.ConnectionError("away"), OSError("disk"), None])
def test_sweeping_goes_on_whatever_happens(error: Exception | None) -> None:
    calls = threading.Semaphore(0)

    def sweep() -> None:
        calls.release()
        if error is not None:
            raise error

    with sweeping(sweep, interval=0.01):
        for _ in range(3):
            assert calls.acquire(timeout=5)


def test_sweeping_ends_with_its_block() -> None:
    with sweeping(lambda: None, interval=60):
        assert any(thread.name == "sweeper" for thread in threading.enumerate())
    assert not any(thread.name == "sweeper" for thread in threading.enumerate())
