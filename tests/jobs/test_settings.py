"""What settings may be: checked at the start, so that no job or upload stumbles over them later."""

import pytest
from pydantic import ValidationError

from jobs.settings import Settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "-1"),
        ("port", "99999"),
        ("threads", "0"),
        ("max_upload_bytes", "0"),
        ("max_reference_bytes", "-1"),
        ("max_references", "0"),
        ("max_pixels", "0"),
        ("max_duration_seconds", "0"),
        ("max_duration_seconds", "nan"),
        ("max_frames", "0"),
        ("min_free_bytes", "-1"),
        ("retention_seconds", "-1"),
        ("retention_seconds", "inf"),
        ("retries", "-1"),
    ],
)
def test_a_number_out_of_its_range_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"RETINT_{name.upper()}", value)
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert [error["loc"] for error in caught.value.errors()] == [(name,)]


@pytest.mark.parametrize(
    ("name", "value"), [("retries", "0"), ("min_free_bytes", "0"), ("retention_seconds", "0"), ("port", "0")]
)
def test_none_at_all_is_a_setting_too(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"RETINT_{name.upper()}", value)
    assert getattr(Settings(), name) == 0
