"""Downloads: whole and checked, or not at all."""

import hashlib
import random
from pathlib import Path
from typing import Any

import pytest
import retint
from fake_server import Answer, FakeServer, Received, job_answer, problem

CONTENT = random.Random(1).randbytes(300_000)


def job_with(content: bytes) -> Answer:
    variant = {
        "name": "video",
        "media_type": "video/mp4",
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "href": "/v1/jobs/job_1/content?variant=video",
    }
    return job_answer(status="succeeded", variants=[variant])


class FileServer:
    """Serves `content`, cut off after `cuts[n]` bytes the nth time."""

    def __init__(self, content: bytes, *, cuts: list[int] | None = None, ranges: bool = True) -> None:
        self.content = content
        self.cuts = cuts or []
        self.ranges = ranges
        self.asked: list[str | None] = []

    def __call__(self, request: Received) -> Answer:
        if not request.path.startswith("/v1/jobs/job_1/content"):
            return job_with(CONTENT)
        wanted = request.headers.get("Range")
        self.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.ranges else 0
        cut = self.cuts.pop(0) if self.cuts else None
        return Answer(206 if start else 200, self.content[start:], cut_after=cut)


def test_a_download_arrives_whole_and_leaves_nothing_else(client: Any, server: FakeServer, tmp_path: Path) -> None:
    server.respond = FileServer(CONTENT)
    told: list[int] = []
    path = client.download("job_1", "video", tmp_path / "out.mp4", on_download=lambda done, total: told.append(done))
    assert path.read_bytes() == CONTENT
    assert told[-1] == len(CONTENT)
    assert [file.name for file in tmp_path.iterdir()] == ["out.mp4"]


def test_a_download_that_breaks_off_goes_on_where_it_ended(client: Any, server: FakeServer, tmp_path: Path) -> None:
    files = FileServer(CONTENT, cuts=[100_000, 50_000])
    server.respond = files
    assert client.download("job_1", "video", tmp_path / "out.mp4").read_bytes() == CONTENT
    assert files.asked == [None, "bytes=100000-", "bytes=150000-"]


def test_a_later_call_goes_on_with_the_part_of_an_earlier_one(client: Any, server: FakeServer, tmp_path: Path) -> None:
    files = FileServer(CONTENT, cuts=[100_000, 0, 0, 0, 0, 0])
    server.respond = files
    with pytest.raises(retint.ConnectionFailed):
        client.download("job_1", "video", tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()
    files.cuts, files.asked = [], []
    assert client.download("job_1", "video", tmp_path / "out.mp4").read_bytes() == CONTENT
    assert files.asked == ["bytes=100000-"]


def test_a_server_without_ranges_starts_over(client: Any, server: FakeServer, tmp_path: Path) -> None:
    server.respond = FileServer(CONTENT, cuts=[100_000], ranges=False)
    assert client.download("job_1", "video", tmp_path / "out.mp4").read_bytes() == CONTENT


def test_other_bytes_than_promised_are_thrown_away(client: Any, server: FakeServer, tmp_path: Path) -> None:
    server.respond = FileServer(CONTENT[:-1] + b"?")
    (tmp_path / "out.mp4").write_bytes(b"the old one")
    with pytest.raises(retint.ChecksumMismatch, match="download it again"):
        client.download("job_1", "video", tmp_path / "out.mp4")
    assert (tmp_path / "out.mp4").read_bytes() == b"the old one"
    assert [file.name for file in tmp_path.iterdir()] == ["out.mp4"]


def test_a_variant_that_is_not_there_names_those_that_are(client: Any, server: FakeServer, tmp_path: Path) -> None:
    server.answers = [job_with(CONTENT)]
    with pytest.raises(retint.NotFound, match="has no variant report; it has: video"):
        client.download("job_1", "report", tmp_path / "out.html")


def test_expired_files_are_gone(client: Any, server: FakeServer, tmp_path: Path) -> None:
    server.answers = [job_with(CONTENT), problem(410, "job_expired")]
    with pytest.raises(retint.Gone):
        client.download("job_1", "video", tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()
