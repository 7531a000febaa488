"""Files on this machine that cannot be read or written: an error of the client's own, which names the file."""

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import retint
from fake_server import FakeServer
from retint.local_files import writing
from served_film import CONTENT, FilmServer
from upload_server import UploadServer


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"v" * 1_200_000)
    return path


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """No file of this process grows beyond `size` bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("missing", ["video", "reference"])
def test_a_file_that_is_not_there_is_named_and_nothing_is_sent(
    client: Any, server: FakeServer, film: Path, missing: str
) -> None:
    none = film.parent / "none.png"
    with pytest.raises(retint.FileUnreadable) as caught:
        client.submit(none if missing == "video" else film, [none if missing == "reference" else film])
    assert str(caught.value) == f"There is no file {none}."
    assert (caught.value.path, caught.value.errno) == (none, errno.ENOENT)
    assert isinstance(caught.value, retint.RetintError)
    assert isinstance(caught.value, OSError), "what it was before it had a class of its own"
    assert server.received == []


def test_a_folder_is_no_reference(client: Any, film: Path) -> None:
    with pytest.raises(retint.FileUnreadable, match="is a folder; expected a file"):
        client.submit(film, [film.parent])


@pytest.mark.parametrize(
    ("size", "said"), [(1, "became shorter"), (2_000_000, "it had 1200000 bytes and has 2000000 now")]
)
def test_a_video_that_changes_while_it_is_sent_is_named_and_makes_no_job(
    client: Any, server: FakeServer, film: Path, size: int, said: str
) -> None:
    uploads = UploadServer()
    server.respond = uploads
    with pytest.raises(retint.FileUnreadable, match=rf"film\.mp4 .*{said}"):
        client.submit(film, [], on_upload=lambda done, total: os.truncate(film, size))
    assert uploads.forms == {}


def test_a_reference_that_shrinks_while_the_video_is_sent_is_named(client: Any, server: FakeServer, film: Path) -> None:
    reference = film.with_name("frame.png")
    reference.write_bytes(b"r" * 100)
    server.respond = UploadServer()
    with pytest.raises(retint.FileUnreadable, match=r"frame\.png became shorter while it was sent"):
        client.submit(film, [reference], on_upload=lambda done, total: reference.write_bytes(b"r"))


def test_a_reference_that_grows_while_the_video_is_sent_is_sent_as_it_was(
    client: Any, server: FakeServer, film: Path
) -> None:
    reference = film.with_name("frame.png")
    reference.write_bytes(b"rrrr")
    uploads = UploadServer()
    server.respond = uploads
    client.submit(film, [reference], on_upload=lambda done, total: reference.write_bytes(b"rrrrww"))
    (form,) = uploads.forms.values()
    assert b"\r\n\r\nrrrr\r\n--" in form


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("none/out.mp4", "There is no folder {folder}/none; make it first."),
        ("film.mp4/out.mp4", "There is no folder {folder}/film.mp4; make it first."),
        ("", "{folder} is a folder; give the name of a file."),
    ],
)
def test_a_download_to_where_no_file_can_be_names_the_place(
    client: Any, server: FakeServer, film: Path, target: str, said: str
) -> None:
    server.respond = FilmServer(CONTENT)
    with pytest.raises(retint.FileUnwritable) as caught:
        client.download("job_1", "video", film.parent / target)
    assert str(caught.value) == said.format(folder=film.parent)
    assert caught.value.path == film.parent / target
    assert list(film.parent.iterdir()) == [film]


def test_a_folder_that_is_there_and_takes_no_files_is_not_said_to_lack(tmp_path: Path) -> None:
    with pytest.raises(retint.FileUnwritable, match="No file can be made in"), writing(tmp_path / "film.mp4"):
        raise FileNotFoundError  # as /proc does


def test_a_download_that_a_full_disk_ends_is_said_and_goes_on_later(
    client: Any, server: FakeServer, tmp_path: Path
) -> None:
    files = FilmServer(CONTENT)
    server.respond = files
    target = tmp_path / "out.mp4"
    with files_end_at(100_000), pytest.raises(retint.FileUnwritable) as caught:
        client.download("job_1", "video", target)
    assert str(caught.value).startswith(f"{target} cannot be written: File too large. Make room")
    assert not target.exists()
    assert client.download("job_1", "video", target).read_bytes() == CONTENT
    assert files.asked == [None, "bytes=100000-"]
    assert list(tmp_path.iterdir()) == [target]
