"""Uploads that may be interrupted: what is kept, who may write, when it goes."""

import errno
import hashlib
import os
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobs.checksum import Checksum
from jobs.errors import (
    UploadExpired,
    UploadNotFound,
    UploadUnfinished,
)
from jobs.folder_store import FolderStore
from jobs.folder_uploads import HALF_MADE_AGE, FolderUploads
from jobs.resumable import TOLD_FOR, ResumableUpload, UploadInfo
from jobs.upload_marks import UploadMarks

DAY = timedelta(days=1)
WRONG = Checksum("sha256", hashlib.sha256(b"something else").digest())


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path)


@pytest.fixture
def uploads(store: FolderStore) -> FolderUploads:
    return FolderUploads(store, expiry_seconds=DAY.total_seconds())


def info(*, length: int = 10, owner: str = "") -> UploadInfo:
    return UploadInfo(
        owner=owner, length=length, filename="film.mkv", metadata="filename ZmlsbS5ta3Y=", created_at=datetime.now(UTC)
    )


@pytest.fixture
def upload(uploads: FolderUploads) -> ResumableUpload:
    return uploads.create(info())


@pytest.fixture
def folder(tmp_path: Path, upload: ResumableUpload) -> Path:
    return tmp_path / "uploads" / upload.id


def add(uploads: FolderUploads, upload_id: str, data: bytes) -> None:
    with closing(uploads.claim(upload_id, viewer=None)) as writer:
        writer.write(data)
        writer.finish()


def offset(uploads: FolderUploads, upload: ResumableUpload) -> int:
    return uploads.look(upload.id, viewer=None).offset


def age(path: Path, by: timedelta) -> None:
    then = time.time() - by.total_seconds()
    os.utime(path, (then, then))


def now() -> datetime:
    return datetime.now(UTC)


def test_bytes_that_go_at_this_moment_are_not_counted(
    uploads: FolderUploads, upload: ResumableUpload, monkeypatch: pytest.MonkeyPatch
) -> None:
    def close_first(marks: UploadMarks) -> int | None:
        writer.close()
        return unverified_from(marks)

    writer = uploads.claim(upload.id, viewer=None)
    writer.expect(WRONG)
    writer.write(b"0123456789")
    unverified_from = UploadMarks.unverified_from
    monkeypatch.setattr(UploadMarks, "unverified_from", close_first)
    assert not uploads.look(upload.id, viewer=None).finished


DIES = """
import os, sys
from pathlib import Path
from jobs.checksum import Checksum
from jobs.folder_store import FolderStore
from jobs.folder_uploads import FolderUploads
writer = FolderUploads(FolderStore(Path(sys.argv[1])), expiry_seconds=60).claim(sys.argv[2], viewer=None)
if sys.argv[3] == "checksum":
    writer.expect(Checksum("sha1", b""))
writer.write(b"456")
os._exit(1)
"""


@pytest.mark.parametrize(("promise", "kept"), [("none", b"0123456"), ("checksum", b"0123")])
def test_a_process_that_dies_leaves_what_it_wrote_unless_that_waited_for_its_checksum(
    uploads: FolderUploads, upload: ResumableUpload, folder: Path, tmp_path: Path, promise: str, kept: bytes
) -> None:
    add(uploads, upload.id, b"0123")
    died = subprocess.run([sys.executable, "-c", DIES, str(tmp_path), upload.id, promise], check=False)
    assert died.returncode == 1
    assert (folder / "data").read_bytes() == b"0123456"
    assert offset(uploads, upload) == len(kept)
    with closing(uploads.claim(upload.id, viewer=None)) as writer:
        assert writer.offset == len(kept)
    assert (folder / "data").read_bytes() == kept


FILLS_UP = """
import resource, sys
from pathlib import Path
from jobs.folder_store import FolderStore
from jobs.folder_uploads import FolderUploads
writer = FolderUploads(FolderStore(Path(sys.argv[1])), expiry_seconds=60).claim(sys.argv[2], viewer=None)
resource.setrlimit(resource.RLIMIT_FSIZE, (6, 6))
try:
    writer.write(b"456789")
except OSError as error:
    writer.close()
    print(writer.offset)
"""


def test_what_fits_is_kept_where_not_all_does(
    uploads: FolderUploads, upload: ResumableUpload, folder: Path, tmp_path: Path
) -> None:
    add(uploads, upload.id, b"0123")
    command = [sys.executable, "-c", FILLS_UP, str(tmp_path), upload.id]
    assert subprocess.run(command, check=True, capture_output=True).stdout == b"6\n"
    assert (folder / "data").read_bytes() == b"012345"


def test_a_finished_upload_is_given_as_often_as_wanted(
    uploads: FolderUploads, upload: ResumableUpload, store: FolderStore
) -> None:
    with pytest.raises(UploadUnfinished, match="0 of its 10"):
        uploads.give(upload.id, "a", viewer=None)
    add(uploads, upload.id, b"0123456789")
    for name in ("a", "b"):
        store.create(name)
        assert uploads.give(upload.id, name, viewer=None).info.filename == "film.mkv"
    uploads.delete(upload.id)
    assert store.input_video("a").read_bytes() == b"0123456789"
    assert store.input_video("a").samefile(store.input_video("b"))


def test_a_finished_upload_is_copied_where_it_cannot_be_linked(
    uploads: FolderUploads, upload: ResumableUpload, store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "another device")

    add(uploads, upload.id, b"0123456789")
    monkeypatch.setattr(os, "link", refuse)
    store.create("a")
    uploads.give(upload.id, "a", viewer=None)
    assert store.input_video("a").read_bytes() == b"0123456789"
    assert not list(store.input_video("a").parent.glob(".*"))


def test_an_upload_expires_some_time_after_its_last_byte(
    uploads: FolderUploads, upload: ResumableUpload, folder: Path
) -> None:
    age(folder / "data", DAY - timedelta(minutes=1))
    before = uploads.look(upload.id, viewer=None).expires_at
    assert timedelta() < before - now() <= timedelta(minutes=1)
    add(uploads, upload.id, b"0123")
    assert uploads.look(upload.id, viewer=None).expires_at > before
    uploads.sweep(now())
    assert offset(uploads, upload) == 4


@pytest.mark.parametrize("written", [b"0123", b"0123456789"])
def test_an_expired_upload_says_so_for_a_while_and_is_gone_then(
    uploads: FolderUploads, upload: ResumableUpload, folder: Path, tmp_path: Path, written: bytes
) -> None:
    add(uploads, upload.id, written)
    age(folder / "data", DAY)
    with pytest.raises(UploadExpired):
        uploads.claim(upload.id, viewer=None)
    uploads.sweep(now())
    assert not (folder / "data").exists()
    for call in (uploads.look, uploads.claim):
        with pytest.raises(UploadExpired):
            call(upload.id, viewer=None)
    with pytest.raises(UploadExpired):
        uploads.give(upload.id, "a", viewer=None)
    uploads.sweep(now())
    assert folder.exists()
    age(folder, TOLD_FOR + timedelta(seconds=1))
    uploads.sweep(now())
    with pytest.raises(UploadNotFound):
        uploads.look(upload.id, viewer=None)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_an_upload_that_is_being_written_does_not_go(
    uploads: FolderUploads, upload: ResumableUpload, folder: Path
) -> None:
    with closing(uploads.claim(upload.id, viewer=None)) as writer:
        age(folder / "data", DAY)
        uploads.sweep(now())
        writer.write(b"0123")
    assert offset(uploads, upload) == 4


def test_a_half_made_upload_does_not_exist_and_goes(uploads: FolderUploads, folder: Path) -> None:
    (folder / "info.json").rename(folder / "info.json.part")
    with pytest.raises(UploadNotFound):
        uploads.look(folder.name, viewer=None)
    uploads.sweep(now())
    assert folder.exists()
    age(folder, HALF_MADE_AGE + timedelta(seconds=1))
    uploads.sweep(now())
    assert not folder.exists()


def test_somebody_elses_files_are_left_alone(uploads: FolderUploads, tmp_path: Path) -> None:
    theirs = tmp_path / "uploads" / "notes"
    theirs.mkdir()
    age(theirs, 10 * DAY)
    uploads.sweep(now())
    assert theirs.exists()
