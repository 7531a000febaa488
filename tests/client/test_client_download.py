"""Downloads: whole and checked, or not at all."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import retint
from fake_server import Answer, FakeServer, Received, job_answer, problem
from served_film import CONTENT, FilmServer, job_with


def test_a_download_arrives_whole_and_leaves_nothing_else(client: Any, server: FakeServer, tmp_path: Path) -> None:
    server.respond = FilmServer(CONTENT)
    told: list[int] = []
    path = client.download("job_1", "video", tmp_path / "out.mp4", on_download=lambda done, total: told.append(done))
    assert path.read_bytes() == CONTENT
    assert told[-1] == len(CONTENT)
    assert [file.name for file in tmp_path.iterdir()] == ["out.mp4"]


def test_a_download_that_breaks_off_goes_on_where_it_ended(client: Any, server: FakeServer, tmp_path: Path) -> None:
    files = FilmServer(CONTENT, cuts=[100_000, 50_000])
    server.respond = files
    assert client.download("job_1", "video", tmp_path / "out.mp4").read_bytes() == CONTENT
    assert files.asked == [None, "bytes=100000-", "bytes=150000-"]


def test_a_later_call_goes_on_with_the_part_of_an_earlier_one(
    connect: Callable[..., Any], client: Any, server: FakeServer, tmp_path: Path
) -> None:
    files = FilmServer(CONTENT, cuts=[100_000, 0])
    server.respond = files
    with pytest.raises(retint.ConnectionFailed):
        connect(server.url, patience=0).download("job_1", "video", tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()
    files.cuts, files.asked = [], []
    assert client.download("job_1", "video", tmp_path / "out.mp4").read_bytes() == CONTENT
    assert files.asked == ["bytes=100000-"]


def test_a_server_without_ranges_starts_over(client: Any, server: FakeServer, tmp_path: Path) -> None:
    server.respond = FilmServer(CONTENT, cuts=[100_000], ranges=False)
    assert client.download("job_1", "video", tmp_path / "out.mp4").read_bytes() == CONTENT


@pytest.fixture
def storage() -> Iterator[FakeServer]:
    """Another server than that of the API."""
    fake = FakeServer()
    yield fake
    fake.close()


def send_to(storage: FakeServer) -> Callable[[Received], Answer]:
    def respond(request: Received) -> Answer:
        if "/content" not in request.path:
            return job_with(CONTENT)
        return Answer(307, headers={"Location": f"{storage.url}/v1/jobs/job_1/content?X-Amz-Signature=hush"})

    return respond


def test_a_download_is_followed_to_the_storage_without_the_key_and_goes_on_there(
    client: Any, server: FakeServer, storage: FakeServer, tmp_path: Path
) -> None:
    files = FilmServer(CONTENT, cuts=[100_000, 50_000])
    server.respond, storage.respond = send_to(storage), files
    assert client.download("job_1", "video", tmp_path / "out.mp4").read_bytes() == CONTENT
    assert files.asked == [None, "bytes=100000-", "bytes=150000-"]
    assert {request.headers["Authorization"] for request in server.received} == {"Bearer secret"}
    assert storage.received
    assert not [request for request in storage.received if "secret" in str(request.headers)]


def test_other_bytes_from_the_storage_are_thrown_away(
    client: Any, server: FakeServer, storage: FakeServer, tmp_path: Path
) -> None:
    server.respond, storage.respond = send_to(storage), FilmServer(CONTENT[:-1] + b"?")
    with pytest.raises(retint.ChecksumMismatch, match="download it again"):
        client.download("job_1", "video", tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == []


def test_a_storage_that_refuses_is_named_without_what_opens_it(
    client: Any, server: FakeServer, storage: FakeServer, tmp_path: Path
) -> None:
    server.respond, storage.answers = send_to(storage), [Answer(403, b"<Error/>")]
    with pytest.raises(retint.APIError, match="answered 403 Forbidden") as refused:
        client.download("job_1", "video", tmp_path / "out.mp4")
    assert storage.url in str(refused.value)
    assert "hush" not in str(refused.value)


def test_a_storage_that_does_not_answer_is_named(
    connect: Callable[..., Any], server: FakeServer, tmp_path: Path
) -> None:
    storage = FakeServer()
    storage.close()
    server.respond = send_to(storage)
    with pytest.raises(retint.ConnectionFailed, match=f"sent the download to {storage.url.removeprefix('http://')}"):
        connect(server.url, patience=0).download("job_1", "video", tmp_path / "out.mp4")


def test_other_bytes_than_promised_are_thrown_away(client: Any, server: FakeServer, tmp_path: Path) -> None:
    server.respond = FilmServer(CONTENT[:-1] + b"?")
    (tmp_path / "out.mp4").write_bytes(b"the old one")
    with pytest.raises(retint.ChecksumMismatch, match="download it again"):
        client.download("job_1", "video", tmp_path / "out.mp4")
    assert (tmp_path / "out.mp4").read_bytes() == b"the old one"
    assert [file.name for file in tmp_path.iterdir()] == ["out.mp4"]


def test_a_variant_that_is_not_there_names_those_that_are(client: Any, server: FakeServer, tmp_path: Path) -> None:
    server.answers = [job_with(CONTENT)]
    with pytest.raises(retint.NotFound, match="has no variant report; it has: video"):
        client.download("job_1", "report", tmp_path / "out.html")


def test_a_failed_job_has_no_variants_and_says_why(client: Any, server: FakeServer, tmp_path: Path) -> None:
    error = {"code": "reference_not_color", "title": "T", "detail": "The reference is gray."}
    server.answers = [job_answer(status="failed", error=error)]
    with pytest.raises(retint.NotFound, match=r"\(failed\) has no variant video; it has: none\. The reference is gray"):
        client.download("job_1", "video", tmp_path / "out.mp4")


def test_expired_files_are_gone(client: Any, server: FakeServer, tmp_path: Path) -> None:
    server.answers = [job_with(CONTENT), problem(410, "job_expired")]
    with pytest.raises(retint.Gone):
        client.download("job_1", "video", tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == []
