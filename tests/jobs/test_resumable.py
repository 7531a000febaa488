"""What resumable uploads do alike in a folder and in a bucket."""

import hashlib
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from object_storage import ObjectStorage
from redis import Redis

from jobs.checksum import Checksum
from jobs.errors import ChecksumMismatch, PayloadTooLarge, UploadLocked, UploadNotFound, UploadUnfinished
from jobs.resumable import ResumableUpload, ResumableUploads, UploadInfo
from jobs.settings import Settings
from jobs.store import Store
from jobs.stores import open_store, open_uploads

WRONG = Checksum("sha256", hashlib.sha256(b"something else").digest())


@pytest.fixture(params=["folder", "s3"])
def settings(request: pytest.FixtureRequest, redis_url: str, tmp_path: Path) -> Settings:
    if request.param == "folder":
        return Settings(redis_url=redis_url, data_folder=tmp_path)
    storage: ObjectStorage = request.getfixturevalue("object_storage")
    return Settings(redis_url=redis_url, data_folder=tmp_path, **storage.settings())


@pytest.fixture
def store(settings: Settings) -> Store:
    return open_store(settings)


@pytest.fixture
def uploads(settings: Settings, store: Store, redis: Redis) -> ResumableUploads:
    return open_uploads(settings, store, redis)


@pytest.fixture
def other(settings: Settings, redis: Redis) -> ResumableUploads:
    """Of another process."""
    return open_uploads(settings, open_store(settings), redis)


@pytest.fixture
def files(settings: Settings, request: pytest.FixtureRequest) -> Callable[[], set[str]]:
    """What is in the store, past it; halves included."""

    def look() -> set[str]:
        if settings.store is None:
            folder = settings.store_folder
            return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        storage: ObjectStorage = request.getfixturevalue("object_storage")
        return storage.keys(settings.store) | storage.unfinished(settings.store)

    return look


def info(*, length: int = 10, owner: str = "") -> UploadInfo:
    return UploadInfo(
        owner=owner, length=length, filename="film.mkv", metadata="filename ZmlsbS5ta3Y=", created_at=datetime.now(UTC)
    )


@pytest.fixture
def upload(uploads: ResumableUploads) -> ResumableUpload:
    return uploads.create(info())


def add(uploads: ResumableUploads, upload_id: str, data: bytes) -> None:
    with closing(uploads.claim(upload_id, viewer=None)) as writer:
        writer.write(data)
        writer.finish()


def offset(uploads: ResumableUploads, upload: ResumableUpload) -> int:
    return uploads.look(upload.id, viewer=None).offset


def content(uploads: ResumableUploads, upload: ResumableUpload, store: Store) -> bytes:
    """What a job gets of a finished upload."""
    job_id = f"job_{upload.id}"
    store.create(job_id)
    uploads.give(upload.id, job_id, viewer=None)
    with store.fetch_input(job_id) as files:
        return files.video.read_bytes()


def test_bytes_add_up_over_several_claims(uploads: ResumableUploads, upload: ResumableUpload, store: Store) -> None:
    add(uploads, upload.id, b"0123")
    assert not uploads.look(upload.id, viewer=None).finished
    add(uploads, upload.id, b"456789")
    assert uploads.look(upload.id, viewer=None).finished
    assert content(uploads, upload, store) == b"0123456789"


def test_any_other_process_sees_what_one_has_written(
    uploads: ResumableUploads, upload: ResumableUpload, other: ResumableUploads
) -> None:
    add(uploads, upload.id, b"0123")
    assert other.look(upload.id, viewer=None).offset == 4
    assert other.look(upload.id, viewer=None).info == upload.info


@pytest.mark.parametrize("upload_id", ["upload_" + "0" * 24, "../jobs", "upload_XYZ", "", "upload_" + "0" * 24 + "\n"])
def test_an_upload_that_was_never_made_is_not_found(uploads: ResumableUploads, upload_id: str) -> None:
    with pytest.raises(UploadNotFound):
        uploads.look(upload_id, viewer=None)
    with pytest.raises(UploadNotFound):
        uploads.claim(upload_id, viewer=None)


def test_another_owners_upload_is_not_found(uploads: ResumableUploads) -> None:
    upload = uploads.create(info(owner="key_1", length=0))
    assert uploads.look(upload.id, viewer="key_1").finished
    for call in (uploads.look, uploads.claim):
        with pytest.raises(UploadNotFound):
            call(upload.id, viewer="key_2")
    with pytest.raises(UploadNotFound):
        uploads.give(upload.id, "job_1", viewer="key_2")


def test_bytes_beyond_the_length_are_refused(uploads: ResumableUploads, upload: ResumableUpload) -> None:
    add(uploads, upload.id, b"01234567")
    with pytest.raises(PayloadTooLarge):
        add(uploads, upload.id, b"890")
    assert offset(uploads, upload) == 8


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256"])
def test_bytes_with_their_checksum_are_kept(uploads: ResumableUploads, upload: ResumableUpload, algorithm: str) -> None:
    checksum = Checksum(algorithm, hashlib.new(algorithm, b"0123").digest())  # type: ignore[arg-type]
    with closing(uploads.claim(upload.id, viewer=None)) as writer:
        writer.expect(checksum)
        writer.write(b"01")
        assert offset(uploads, upload) == 0
        writer.write(b"23")
        writer.finish()
    assert offset(uploads, upload) == 4


def test_bytes_with_another_checksum_go_and_those_before_stay(
    uploads: ResumableUploads, upload: ResumableUpload, store: Store
) -> None:
    add(uploads, upload.id, b"0123")
    with closing(uploads.claim(upload.id, viewer=None)) as writer:
        writer.expect(WRONG)
        writer.write(b"456")
        with pytest.raises(ChecksumMismatch, match="offset 4"):
            writer.finish()
    assert offset(uploads, upload) == 4
    add(uploads, upload.id, b"456789")
    assert content(uploads, upload, store) == b"0123456789"


def test_bytes_whose_checksum_was_never_compared_go(
    uploads: ResumableUploads, upload: ResumableUpload, store: Store
) -> None:
    add(uploads, upload.id, b"0123")
    with closing(uploads.claim(upload.id, viewer=None)) as writer:
        writer.expect(WRONG)
        writer.write(b"456789")
    assert offset(uploads, upload) == 4
    add(uploads, upload.id, b"456789")
    assert content(uploads, upload, store) == b"0123456789"


def test_one_alone_may_write(uploads: ResumableUploads, upload: ResumableUpload, other: ResumableUploads) -> None:
    with closing(uploads.claim(upload.id, viewer=None)) as writer:
        with pytest.raises(UploadLocked) as refused:
            other.claim(upload.id, viewer=None)
        assert refused.value.retry_after
        assert not writer.is_wanted()
        other.ask_for(upload.id)
        assert writer.is_wanted()
    with closing(other.claim(upload.id, viewer=None)) as writer:
        assert not writer.is_wanted()


def test_a_writer_that_is_closed_writes_nothing_more(uploads: ResumableUploads, upload: ResumableUpload) -> None:
    writer = uploads.claim(upload.id, viewer=None)
    writer.close()
    writer.close()
    writer.write(b"0123")
    assert offset(uploads, upload) == 0


def test_a_deleted_upload_leaves_nothing_and_is_not_found(
    uploads: ResumableUploads, upload: ResumableUpload, files: Callable[[], set[str]]
) -> None:
    add(uploads, upload.id, b"0123")
    with closing(uploads.claim(upload.id, viewer=None)):
        uploads.delete(upload.id)
    assert files() == set()
    with pytest.raises(UploadNotFound):
        uploads.claim(upload.id, viewer=None)


def test_a_finished_upload_is_given_as_often_as_wanted_and_outlives_in_jobs(
    uploads: ResumableUploads, upload: ResumableUpload, store: Store
) -> None:
    with pytest.raises(UploadUnfinished, match="0 of its 10"):
        uploads.give(upload.id, "a", viewer=None)
    add(uploads, upload.id, b"0123456789")
    for name in ("a", "b"):
        store.create(name)
        assert uploads.give(upload.id, name, viewer=None).info.filename == "film.mkv"
    uploads.delete(upload.id)
    for name in ("a", "b"):
        with store.fetch_input(name) as found:
            assert found.video.read_bytes() == b"0123456789"


def test_an_empty_upload_is_finished_at_once(uploads: ResumableUploads, store: Store) -> None:
    upload = uploads.create(info(length=0))
    assert upload.finished
    assert content(uploads, upload, store) == b""
