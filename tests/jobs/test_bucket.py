"""What the failures of object storage mean."""

import errno
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from failing_proxy import FailingProxy, failing_proxy
from fake_server import Answer, FakeServer
from object_storage import ObjectStorage

from jobs.bucket import Bucket
from jobs.errors import StoreAway
from jobs.s3_connection import PartsGone
from jobs.s3_store import S3Store
from jobs.settings import Settings
from jobs.store import Presentation


def bucket_of(storage: ObjectStorage, **changed: object) -> Bucket:
    return Bucket(Settings(**{**storage.settings(), **changed}), attempts=2)


@pytest.fixture
def settings(object_storage: ObjectStorage, tmp_path: Path) -> Settings:
    return Settings(data_folder=tmp_path, **object_storage.settings())


def test_a_wrong_key_is_told_and_not_tried_again(object_storage: ObjectStorage) -> None:
    port = int(object_storage.endpoint.rpartition(":")[2])
    with failing_proxy(port) as proxy:
        bucket = bucket_of(object_storage, s3_endpoint=proxy.address, s3_secret_access_key="wrong")
        with pytest.raises(StoreAway, match=r"refuses the service \(SignatureDoesNotMatch\). Check the credentials"):
            bucket.put("name", b"content")
        assert len(proxy.heads) == 1


def test_a_bucket_that_is_not_there_is_told(object_storage: ObjectStorage) -> None:
    with pytest.raises(StoreAway, match=r"There is no bucket nowhere at .* correct RETINT_STORE"):
        bucket_of(object_storage, store="s3://nowhere/here").put("name", b"content")


def test_an_object_that_is_not_there_is_no_failure_of_the_storage(
    object_storage: ObjectStorage, tmp_path: Path
) -> None:
    bucket = bucket_of(object_storage)
    for call in (bucket.get, bucket.size):
        with pytest.raises(FileNotFoundError):
            call("name")
    with pytest.raises(FileNotFoundError):
        bucket.download("name", tmp_path / "copy")
    with pytest.raises(FileNotFoundError):
        bucket.copy("name", "other")
    assert list(tmp_path.iterdir()) == []
    bucket.delete(["name"])
    bucket.delete([])
    with pytest.raises(PartsGone):
        bucket.put_part("name", "0" * 32, 1, b"part")
    bucket.abort_parts("name", "0" * 32)


@pytest.mark.parametrize(
    ("status", "code"), [(507, "XMinioStorageFull"), (403, "QuotaExceeded"), (507, "InsufficientStorage")]
)
def test_a_full_storage_is_a_full_disk(object_storage: ObjectStorage, status: int, code: str) -> None:
    server = FakeServer()
    try:
        body = f"<Error><Code>{code}</Code><Message>full</Message></Error>".encode()
        server.answers = [Answer(status, body, headers={"Content-Type": "application/xml"})]
        with pytest.raises(OSError, match=code) as full:
            bucket_of(object_storage, s3_endpoint=server.url).put("name", b"content")
        assert full.value.errno == errno.ENOSPC
    finally:
        server.close()


def test_what_does_not_fit_the_disk_is_not_fetched(
    object_storage: ObjectStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = bucket_of(object_storage)
    bucket.put("film", bytes(1000))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=999))
    with pytest.raises(OSError, match="1,000 bytes and the disk has room for 999") as full:
        bucket.download("film", tmp_path / "film")
    assert full.value.errno == errno.ENOSPC
    assert not (tmp_path / "film").exists()


def test_a_storage_that_fails_for_a_moment_is_asked_again(object_storage: ObjectStorage) -> None:
    port = int(object_storage.endpoint.rpartition(":")[2])
    with failing_proxy(port) as proxy:
        bucket = Bucket(Settings(**object_storage.settings(s3_endpoint=proxy.address)), attempts=6)
        proxy.be("errors")
        heal_after(proxy, refusals=2)
        bucket.put("name", b"content")
        assert bucket.get("name") == b"content"
        assert proxy.refused == 2


def heal_after(proxy: FailingProxy, *, refusals: int) -> None:
    class Counting(list[bytes]):
        def append(self, head: bytes) -> None:
            super().append(head)
            if len(self) > refusals:
                proxy.mood = "well"

    proxy.heads = Counting()


def test_parts_are_put_together_once_and_said_to_be_gone_where_they_are(object_storage: ObjectStorage) -> None:
    bucket = bucket_of(object_storage)
    parts = bucket.begin_parts("film")
    tags = [bucket.put_part("film", parts, 1, b"part")]
    for _ in range(2):
        bucket.complete_parts("film", parts, tags, size=4)
    assert bucket.get("film") == b"part"
    bucket.delete(["film"])
    parts = bucket.begin_parts("film")
    tags = [bucket.put_part("film", parts, 1, b"part")]
    bucket.abort_parts("film", parts)
    with pytest.raises(StoreAway, match="parts of film were removed"):
        bucket.complete_parts("film", parts, tags, size=4)


def test_addresses_are_those_that_users_reach(object_storage: ObjectStorage) -> None:
    bucket = bucket_of(object_storage, s3_public_endpoint="https://files.example.org", s3_link_seconds=120)
    address = bucket.address("jobs/job_1/results/a/video.mp4", Presentation("GET", "video/mp4", "inline"))
    assert address.startswith(f"https://files.example.org/{object_storage.bucket}/")
    assert "X-Amz-Expires=120" in address


def test_parts_that_nobody_will_complete_go_and_others_stay(
    settings: Settings, object_storage: ObjectStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = S3Store(settings, attempts=2)
    left, growing = "jobs/job_1/input/video", "jobs/job_2/input/video"
    for key in (left, growing):
        store.bucket.put_part(key, store.bucket.begin_parts(key), 1, b"part")
    store.sweep()
    assert object_storage.unfinished(settings.store or "") == {left, growing}
    last_part_at = store.bucket.last_part_at
    monkeypatch.setattr(
        store.bucket,
        "last_part_at",
        lambda parts: last_part_at(parts) - timedelta(hours=3) if parts.key == left else datetime.now(UTC),
    )
    store.sweep()
    assert object_storage.unfinished(settings.store or "") == {growing}
    assert store.last_touched("job_2") > 0
