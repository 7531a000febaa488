"""Resumable uploads in a bucket: in parts, over crashes, in several processes that share no disk."""

import hashlib
import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from object_storage import ObjectStorage
from redis import Redis

from jobs.bucket import PART_BYTES, Bucket
from jobs.checksum import Checksum
from jobs.errors import ChecksumMismatch, StoreAway, UploadExpired, UploadLocked, UploadNotFound
from jobs.identifiers import new_upload_id
from jobs.resumable import ResumableUpload, UploadInfo
from jobs.s3_store import S3Store
from jobs.s3_uploads import S3Uploads
from jobs.settings import Settings
from jobs.stores import open_store, open_uploads
from jobs.upload_records import UploadRecords

LENGTH = 2 * PART_BYTES + 1000
CONTENT = os.urandom(LENGTH)
DAY = timedelta(days=1)


@pytest.fixture
def settings(object_storage: ObjectStorage, redis_url: str, tmp_path: Path) -> Settings:
    return Settings(redis_url=redis_url, data_folder=tmp_path, **object_storage.settings())


@pytest.fixture
def store(settings: Settings) -> S3Store:
    return cast("S3Store", open_store(settings))


@pytest.fixture
def uploads(settings: Settings, store: S3Store, redis: Redis) -> S3Uploads:
    return cast("S3Uploads", open_uploads(settings, store, redis))


@pytest.fixture
def upload(uploads: S3Uploads) -> ResumableUpload:
    return uploads.create(
        UploadInfo(owner="ann", length=LENGTH, filename="film.mkv", metadata="", created_at=datetime.now(UTC))
    )


def add(uploads: S3Uploads, upload: ResumableUpload, data: bytes) -> None:
    with closing(uploads.claim(upload.id, viewer=None)) as writer:
        for start in range(0, len(data), 700_000):
            writer.write(data[start : start + 700_000])
        writer.finish()


def offset(uploads: S3Uploads, upload: ResumableUpload) -> int:
    return uploads.look(upload.id, viewer=None).offset


def content(uploads: S3Uploads, upload: ResumableUpload, store: S3Store) -> bytes:
    uploads.give(upload.id, "job_1", viewer=None)
    with store.fetch_input("job_1") as files:
        return files.video.read_bytes()


@pytest.mark.parametrize("cuts", [(), (5, PART_BYTES - 1, PART_BYTES + 7), (PART_BYTES, 2 * PART_BYTES), (LENGTH - 1,)])
def test_wherever_calls_end_the_bytes_add_up(
    uploads: S3Uploads,
    upload: ResumableUpload,
    store: S3Store,
    object_storage: ObjectStorage,
    settings: Settings,
    cuts: tuple[int, ...],
) -> None:
    edges = (0, *cuts, LENGTH)
    for start, end in itertools.pairwise(edges):
        add(uploads, upload, CONTENT[start:end])
        assert offset(uploads, upload) == end
    assert content(uploads, upload, store) == CONTENT
    assert object_storage.keys(settings.store or "") == {f"uploads/{upload.id}/data", "jobs/job_1/input/video"}
    assert object_storage.unfinished(settings.store or "") == set()


def test_what_fills_its_parts_exactly_is_finished(uploads: S3Uploads, store: S3Store) -> None:
    upload = uploads.create(
        UploadInfo(owner="", length=PART_BYTES, filename=None, metadata="", created_at=datetime.now(UTC))
    )
    add(uploads, upload, CONTENT[:PART_BYTES])
    assert content(uploads, upload, store) == CONTENT[:PART_BYTES]


DIES = """
import os, sys
from redis import Redis
from jobs.settings import Settings
from jobs.stores import open_store, open_uploads
settings = Settings()
uploads = open_uploads(settings, open_store(settings), Redis.from_url(settings.redis_url))
writer = uploads.claim(sys.argv[1], viewer=None)
writer.write(sys.stdin.buffer.read())
os.kill(os.getpid(), 9)
"""


def test_a_process_that_dies_costs_less_than_a_part(
    uploads: S3Uploads, upload: ResumableUpload, store: S3Store, settings: Settings, redis: Redis
) -> None:
    add(uploads, upload, CONTENT[:1000])
    environment = {
        **os.environ,
        "RETINT_REDIS_URL": settings.redis_url or "",
        "RETINT_DATA_FOLDER": str(settings.data_folder),
        "RETINT_STORE": settings.store or "",
        "RETINT_S3_ENDPOINT": settings.s3_endpoint or "",
        "RETINT_S3_ACCESS_KEY_ID": settings.s3_access_key_id or "",
        "RETINT_S3_SECRET_ACCESS_KEY": settings.s3_secret_access_key.get_secret_value()
        if settings.s3_secret_access_key
        else "",
    }
    died = subprocess.run(
        [sys.executable, "-c", DIES, upload.id], input=CONTENT[1000 : PART_BYTES + 5000], env=environment, check=False
    )
    assert died.returncode == -9
    assert offset(uploads, upload) == PART_BYTES
    with pytest.raises(UploadLocked):
        uploads.claim(upload.id, viewer=None)
    redis.delete(f"{settings.queue_name}:upload:{upload.id}:lock")  # as when the dead one's lease has run out
    add(uploads, upload, CONTENT[PART_BYTES:])
    assert content(uploads, upload, store) == CONTENT


def test_who_dies_before_the_parts_are_put_together_is_made_up_for(
    uploads: S3Uploads, upload: ResumableUpload, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise StoreAway("The storage is away.")

    with monkeypatch.context() as patched:
        patched.setattr(Bucket, "complete_parts", away)
        with pytest.raises(StoreAway):
            add(uploads, upload, CONTENT)
    assert uploads.look(upload.id, viewer=None).finished
    assert content(uploads, upload, store) == CONTENT


def test_who_dies_after_the_parts_are_put_together_is_made_up_for(
    uploads: S3Uploads, upload: ResumableUpload, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete = Bucket.complete_parts

    def complete_and_die(*arguments: Any, **options: Any) -> None:
        complete(*arguments, **options)
        raise StoreAway("The answer is lost.")

    with monkeypatch.context() as patched:
        patched.setattr(Bucket, "complete_parts", complete_and_die)
        with pytest.raises(StoreAway):
            add(uploads, upload, CONTENT)
    assert content(uploads, upload, store) == CONTENT


@pytest.mark.parametrize("failing", [1, 2, 3])
@pytest.mark.parametrize("trouble", ["the storage", "Redis"])
def test_a_part_that_cannot_be_sent_or_counted_is_sent_again_in_its_place(
    uploads: S3Uploads,
    upload: ResumableUpload,
    store: S3Store,
    monkeypatch: pytest.MonkeyPatch,
    failing: int,
    trouble: str,
) -> None:
    calls: list[int] = []

    def failing_once(call: Callable[..., Any]) -> Callable[..., Any]:
        def made(*arguments: Any, **options: Any) -> Any:
            calls.append(1)
            if len(calls) == failing:
                raise StoreAway("No answer.") if trouble == "the storage" else ConnectionError("No answer.")
            return call(*arguments, **options)

        return made

    with monkeypatch.context() as patched:
        if trouble == "the storage":
            patched.setattr(Bucket, "put_part", failing_once(Bucket.put_part))
        else:
            patched.setattr(UploadRecords, "change", failing_once(UploadRecords.change))
        with pytest.raises((StoreAway, ConnectionError)):
            add(uploads, upload, CONTENT)
    kept = offset(uploads, upload)
    add(uploads, upload, CONTENT[kept:])
    assert content(uploads, upload, store) == CONTENT


def test_large_bytes_with_another_checksum_go_and_are_sent_anew(
    uploads: S3Uploads, upload: ResumableUpload, store: S3Store
) -> None:
    add(uploads, upload, CONTENT[:1000])
    with closing(uploads.claim(upload.id, viewer=None)) as writer:
        writer.expect(Checksum("sha256", hashlib.sha256(b"").digest()))
        writer.write(bytes(LENGTH - 1000))
        with pytest.raises(ChecksumMismatch, match="offset 1000"):
            writer.finish()
    assert offset(uploads, upload) == 1000
    with closing(uploads.claim(upload.id, viewer=None)) as writer:
        writer.expect(Checksum("sha256", hashlib.sha256(CONTENT[1000:]).digest()))
        writer.write(CONTENT[1000:])
        assert offset(uploads, upload) == 1000
        writer.finish()
    assert content(uploads, upload, store) == CONTENT


def test_a_call_that_was_overtaken_changes_nothing_any_more(
    uploads: S3Uploads, upload: ResumableUpload, store: S3Store, settings: Settings, redis: Redis
) -> None:
    frozen = uploads.claim(upload.id, viewer=None)
    frozen.write(b"stale")
    redis.delete(f"{settings.queue_name}:upload:{upload.id}:lock")  # as when it was stopped beyond its lease
    add(uploads, upload, CONTENT[:1000])
    with pytest.raises(UploadLocked):
        frozen.write(bytes(PART_BYTES))
    with pytest.raises(UploadLocked):
        frozen.close()
    assert offset(uploads, upload) == 1000
    add(uploads, upload, CONTENT[1000:])
    assert content(uploads, upload, store) == CONTENT


@pytest.mark.parametrize("written", [1000, PART_BYTES + 1000, LENGTH])
def test_an_expired_upload_goes_and_says_so_for_a_while(
    uploads: S3Uploads,
    upload: ResumableUpload,
    object_storage: ObjectStorage,
    settings: Settings,
    redis: Redis,
    written: int,
) -> None:
    add(uploads, upload, CONTENT[:written])
    uploads.sweep(datetime.now(UTC))
    assert offset(uploads, upload) == written
    redis.zadd(f"{settings.queue_name}:uploads", {upload.id: 1.0})
    with pytest.raises(UploadExpired):
        uploads.claim(upload.id, viewer=None)
    uploads.sweep(datetime.now(UTC))
    assert object_storage.keys(settings.store or "") == object_storage.unfinished(settings.store or "") == set()
    for viewer in (None, "ann"):
        with pytest.raises(UploadExpired):
            uploads.look(upload.id, viewer=viewer)
    with pytest.raises(UploadNotFound):
        uploads.look(upload.id, viewer="bob")
    with pytest.raises(UploadExpired):
        uploads.give(upload.id, "job_1", viewer=None)


def test_an_upload_that_is_being_written_does_not_go(
    uploads: S3Uploads, upload: ResumableUpload, settings: Settings, redis: Redis
) -> None:
    with closing(uploads.claim(upload.id, viewer=None)) as writer:
        redis.zadd(f"{settings.queue_name}:uploads", {upload.id: 1.0})
        uploads.sweep(datetime.now(UTC))
        writer.write(CONTENT[:1000])
    assert offset(uploads, upload) == 1000


def test_objects_without_a_record_go_when_they_are_old(
    uploads: S3Uploads, store: S3Store, object_storage: ObjectStorage, settings: Settings
) -> None:
    orphan = new_upload_id()
    store.bucket.put(f"uploads/{orphan}/tail-1", b"tail")
    store.bucket.put("uploads/notes/mine", b"somebody else's")
    parts = store.bucket.begin_parts(f"uploads/{orphan}/data")
    store.bucket.put_part(f"uploads/{orphan}/data", parts, 1, b"part")
    uploads.sweep(datetime.now(UTC))
    assert len(object_storage.keys(settings.store or "")) == 2
    assert len(object_storage.unfinished(settings.store or "")) == 1
    uploads.sweep(datetime.now(UTC) + DAY)
    assert object_storage.keys(settings.store or "") == {"uploads/notes/mine"}
    assert object_storage.unfinished(settings.store or "") == set()
