"""What the settings say of a store, and what is wrong with them."""

import sys
from pathlib import Path

import pytest

from jobs.errors import StartupError
from jobs.settings import Settings
from jobs.stores import open_store


def test_a_store_that_cannot_be_made_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StartupError, match="RETINT_STORE"):
        open_store(Settings(store=str(tmp_path / "file" / "store")))


@pytest.mark.parametrize("store", ["s3://", "s3:///prefix", "gs://bucket", "ftp://host/folder"])
def test_an_address_that_names_no_bucket_is_refused_with_a_sentence(tmp_path: Path, store: str) -> None:
    with pytest.raises(StartupError, match="expected a folder, or s3://bucket"):
        open_store(Settings(store=store, data_folder=tmp_path))


def test_half_of_the_credentials_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="Set both RETINT_S3_ACCESS_KEY_ID and RETINT_S3_SECRET_ACCESS_KEY"):
        open_store(Settings(store="s3://films", s3_access_key_id="key", data_folder=tmp_path))


def test_without_boto3_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(StartupError, match=r"pip install '\.\[s3\]'"):
        open_store(Settings(store="s3://films", data_folder=tmp_path))


def test_the_secret_is_not_shown(tmp_path: Path) -> None:
    settings = Settings(store="s3://films", s3_access_key_id="key", s3_secret_access_key="hush", data_folder=tmp_path)
    assert "hush" not in repr(settings)
