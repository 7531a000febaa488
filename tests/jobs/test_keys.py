"""API keys: made once, known by their hash, taken back for ever."""

import pytest
from redis import Redis

from jobs.errors import InvalidKeyName, KeyNameTaken, UnknownKey
from jobs.keys import KeyRing


@pytest.fixture
def keys(redis: Redis) -> KeyRing:
    return KeyRing(redis, "retint")


def test_a_key_is_known_by_its_token_alone(keys: KeyRing) -> None:
    ann, token = keys.create("ann")
    bob, other = keys.create("bob")
    assert keys.identify(token) == ann.id
    assert keys.identify(other) == bob.id
    assert keys.identify(token.replace(ann.id, bob.id)) is None
    assert keys.identify("") is None
    assert [key.name for key in keys.list()] == ["ann", "bob"]


def test_redis_does_not_hold_the_token(keys: KeyRing, redis: Redis) -> None:
    _, token = keys.create("ann")
    secret = token.split("_", 2)[2]
    stored = b"".join(part for name in redis.scan_iter() for pair in redis.hgetall(name).items() for part in pair)
    assert stored
    assert secret.encode() not in stored


def test_a_revoked_key_is_none_and_its_name_is_free(keys: KeyRing) -> None:
    first, token = keys.create("ann")
    assert keys.has(first.id)
    assert keys.revoke("ann") == first
    assert not keys.has(first.id)
    assert keys.identify(token) is None
    assert not keys.exists()
    second, _ = keys.create("ann")
    assert second.id != first.id
    assert keys.revoke(second.id) == second
    with pytest.raises(UnknownKey):
        keys.revoke("ann")


def test_two_keys_have_two_names(keys: KeyRing) -> None:
    keys.create("ann")
    with pytest.raises(KeyNameTaken):
        keys.create("ann")


def test_a_use_is_noted_but_not_on_every_call(keys: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    _, token = keys.create("ann")
    keys.identify(token + "x")
    assert [key.last_used_at for key in keys.list()] == [None]
    keys.identify(token)
    [first] = [key.last_used_at for key in keys.list()]
    assert first is not None
    keys.identify(token)
    assert [key.last_used_at for key in keys.list()] == [first]
    monkeypatch.setattr("jobs.keys.NOTE_SECONDS", 0)
    keys.identify(token)
    assert [key.last_used_at for key in keys.list()] > [first]


@pytest.mark.parametrize("name", ["", " ann", "ann\n", "a" * 65, "\x1b[31m"])
def test_a_name_is_short_and_printable(keys: KeyRing, name: str) -> None:
    with pytest.raises(InvalidKeyName):
        keys.create(name)
