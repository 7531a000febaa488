"""What only the asyncio client does: leave the event loop to others while the disk works."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fake_server import FakeServer
from retint import AsyncClient
from served_film import CONTENT, FilmServer
from upload_server import UploadServer


class WatchedFile:
    """Notes in which thread each method is called."""

    def __init__(self, file: Any, threads: set[int]) -> None:
        self._file = file
        self._threads = threads

    def __getattr__(self, name: str) -> Any:
        self._threads.add(threading.get_ident())
        return getattr(self._file, name)


@contextmanager
def disk_threads() -> Iterator[set[int]]:
    """The threads that open, read, write or close files while inside."""
    threads: set[int] = set()
    open_file: Callable[..., Any] = Path.open

    def watched(path: Path, *arguments: Any, **options: Any) -> WatchedFile:
        threads.add(threading.get_ident())
        return WatchedFile(open_file(path, *arguments, **options), threads)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Path, "open", watched)
        yield threads


def test_an_upload_reads_beside_the_loop_and_tells_in_it(server: FakeServer, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"v" * 1_200_000)
    uploads = UploadServer()
    server.respond = uploads
    told_in: set[int] = set()

    async def submit() -> None:
        async with AsyncClient(server.url) as client:
            await client.submit(film, [film], on_upload=lambda done, total: told_in.add(threading.get_ident()))

    with disk_threads() as threads:
        asyncio.run(submit())
    assert [len(data) for data in uploads.uploads.values()] == [1_200_000]
    assert told_in == {threading.get_ident()}
    assert threads
    assert threading.get_ident() not in threads


def test_a_download_writes_beside_the_loop_and_tells_in_it(server: FakeServer, tmp_path: Path) -> None:
    server.respond = FilmServer(CONTENT)
    told_in: set[int] = set()

    async def download() -> None:
        async with AsyncClient(server.url) as client:
            await client.download(
                "job_1",
                "video",
                tmp_path / "out.mp4",
                on_download=lambda done, total: told_in.add(threading.get_ident()),
            )

    with disk_threads() as threads:
        asyncio.run(download())
    assert told_in == {threading.get_ident()}
    assert threads
    assert threading.get_ident() not in threads
    assert (tmp_path / "out.mp4").read_bytes() == CONTENT


def test_a_download_that_is_canceled_is_continued_by_the_next(server: FakeServer, tmp_path: Path) -> None:
    files = FilmServer(CONTENT)
    server.respond = files

    async def cancel_and_go_on() -> None:
        async with AsyncClient(server.url) as client:
            begun = asyncio.Event()
            first = asyncio.create_task(
                client.download("job_1", "video", tmp_path / "out.mp4", on_download=lambda done, total: begun.set())
            )
            await begun.wait()
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            (part,) = tmp_path.iterdir()
            assert part.name.endswith(".part")
            assert CONTENT.startswith(part.read_bytes())
            await client.download("job_1", "video", tmp_path / "out.mp4")

    asyncio.run(cancel_and_go_on())
    assert (tmp_path / "out.mp4").read_bytes() == CONTENT
    assert files.asked[0] is None
    assert files.asked[1] is not None
