"""Addresses of Redis that cannot be one."""

import pytest

from jobs.connection import connect
from jobs.errors import StartupError


@pytest.mark.parametrize(
    "address", ["nonsense", "", "http://localhost", "redis://:secret@host:port/0", "redis://[::1", "redis://host?db=x"]
)
def test_a_wrong_address_is_told_without_what_it_may_hold_of_a_password(address: str) -> None:
    with pytest.raises(StartupError, match="RETINT_REDIS_URL is not the address of a Redis server") as caught:
        connect(address)
    assert "secret" not in str(caught.value)
