import pytest
from pydantic import SecretStr

from jobs.errors import StartupError
from jobs.settings import Settings
from service.auth import require_safe_address


def settings(host: str, key: str | None = None) -> Settings:
    return Settings(host=host, api_key=None if key is None else SecretStr(key))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
def test_loopback_needs_no_key(host: str) -> None:
    require_safe_address(settings(host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "example.org", ""])
def test_any_other_address_needs_one(host: str) -> None:
    with pytest.raises(StartupError, match="RETINT_API_KEY"):
        require_safe_address(settings(host))
    require_safe_address(settings(host, "secret"))


def test_an_empty_key_is_no_key() -> None:
    with pytest.raises(StartupError, match="empty"):
        require_safe_address(settings("127.0.0.1", ""))
