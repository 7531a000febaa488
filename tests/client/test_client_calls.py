"""Each call of the client, and what it makes of the answers."""

import socket
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import retint
from fake_server import Answer, FakeServer, job_answer, json_answer, problem


def test_get_reads_the_job_and_ignores_fields_of_later_versions(client: Any, server: FakeServer) -> None:
    server.answers = [
        job_answer(
            status="processing",
            progress={"fraction": 0.5, "frames_done": 3, "frames_total": 6, "fps": 1.5, "eta_seconds": 2.0},
            shots=[
                {
                    "index": 0,
                    "first_frame": 0,
                    "last_frame": 5,
                    "tuning": {"iterations": 5, "gain_db": 0.5, "seconds": 1.0, "stopped_early": False, "curve": []},
                }
            ],
        )
    ]
    job = client.get("job_1")
    assert job.created_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert job.progress == retint.Progress(0.5, 3, 6, 1.5, 2.0)
    assert job.shots[0].tuning.gain_db == 0.5
    assert job.raw["news"] == "from a later version"
    assert not job.finished


STORED: dict[str, Any] = {
    "width": 720,
    "height": 576,
    "frames": 9,
    "duration_seconds": 0.36,
    "frame_rate": 25.0,
    "codec": "h264",
    "has_audio": False,
}


def test_what_a_server_tells_of_the_film_is_read(client: Any, server: FakeServer) -> None:
    server.answers = [job_answer(filename="film.mkv", video={**STORED, "display_width": 1024, "display_height": 576})]
    job = client.get("job_1")
    assert job.filename == "film.mkv"
    assert (job.video.width, job.video.display_width, job.video.display_height) == (720, 1024, 576)


def test_what_an_older_server_does_not_tell_of_the_film_is_none(client: Any, server: FakeServer) -> None:
    server.answers = [job_answer(video=STORED)]
    job = client.get("job_1")
    assert job.filename is None
    assert (job.video.display_width, job.video.display_height) == (None, None)


def test_every_call_carries_the_key(client: Any, server: FakeServer) -> None:
    server.answers = [job_answer()]
    client.get("job_1")
    assert server.received[0].headers["Authorization"] == "Bearer secret"


def test_an_id_never_reaches_another_address(client: Any, server: FakeServer) -> None:
    server.answers = [job_answer()]
    client.get("../keys?x=1")
    assert server.received[0].path == "/v1/jobs/..%2Fkeys%3Fx%3D1"


def test_list_asks_for_pages_until_the_last(client: Any, server: FakeServer) -> None:
    first = {"data": [{"id": "a", "status": "failed", "created_at": "2026-01-02T03:04:05Z"}], "has_more": True}
    last = {"data": [{"id": "b", "status": "failed", "created_at": "2026-01-02T03:04:05Z"}], "has_more": False}
    server.answers = [json_answer({**first, "next": "c1"}), json_answer({**last, "next": None})]
    assert [job.id for job in client.list(status="failed", page_size=1)] == ["a", "b"]
    assert [request.path for request in server.received] == [
        "/v1/jobs?limit=1&status=failed",
        "/v1/jobs?limit=1&status=failed&after=c1",
    ]


def test_cancel_delete_models_version_and_ready(client: Any, server: FakeServer) -> None:
    server.answers = [
        job_answer(status="canceled"),
        job_answer(status="queued"),
        Answer(204),
        json_answer({"data": [{"name": "retint", "weights_present": True}]}),
        json_answer({"service": "0.1.0"}),
        problem(503, "not_ready"),
        json_answer({"status": "ready"}),
    ]
    assert client.cancel("job_1").finished
    assert not client.retry("job_1").finished
    client.delete("job_1")
    assert client.models() == (retint.Model("retint", weights_present=True),)
    assert client.version() == {"service": "0.1.0"}
    assert not client.ready()
    assert client.ready()
    assert [(request.method, request.path) for request in server.received] == [
        ("POST", "/v1/jobs/job_1/cancel"),
        ("POST", "/v1/jobs/job_1/retry"),
        ("DELETE", "/v1/jobs/job_1"),
        ("GET", "/v1/models"),
        ("GET", "/version"),
        ("GET", "/readyz"),
        ("GET", "/readyz"),
    ]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, retint.Unauthorized),
        (404, retint.NotFound),
        (409, retint.Conflict),
        (410, retint.Gone),
        (423, retint.Conflict),
        (429, retint.RateLimited),
        (460, retint.InvalidRequest),
        (422, retint.InvalidRequest),
        (500, retint.ServerError),
        (503, retint.Unavailable),
    ],
)
def test_a_problem_is_raised_with_all_its_fields(
    client: Any, server: FakeServer, status: int, kind: type[retint.APIError]
) -> None:
    errors = [{"pointer": "#/options/tuning", "detail": "it is not a preset"}]
    data = {
        "title": "T",
        "status": status,
        "detail": "A detail.",
        "code": "a_code",
        "request_id": "r1",
        "errors": errors,
    }
    server.answers = [json_answer(data, status=status, Retry_After="7")]
    with pytest.raises(kind) as caught:
        client.get("job_1")
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.code, error.title, error.detail, error.request_id) == (
        status,
        "a_code",
        "T",
        "A detail.",
        "r1",
    )
    assert error.errors == (retint.FieldError("#/options/tuning", "it is not a preset"),)
    assert error.retry_after == 7
    assert str(error) == "A detail. #/options/tuning: it is not a preset."


def test_a_problem_that_its_place_says_again_is_said_once(client: Any, server: FakeServer) -> None:
    data = {"title": "T", "status": 422, "detail": "It is empty.", "code": "invalid_request", "request_id": "r1"}
    server.answers = [json_answer({**data, "errors": [{"pointer": "#/video", "detail": "It is empty."}]}, status=422)]
    with pytest.raises(retint.InvalidRequest, match=r"^It is empty\.$") as caught:
        client.get("job_1")
    assert caught.value.errors == (retint.FieldError("#/video", "It is empty."),)


def test_an_error_that_is_no_problem_still_says_what_came(client: Any, server: FakeServer) -> None:
    server.answers = [Answer(502, b"<html>bad gateway</html>")]
    with pytest.raises(retint.Unavailable, match=r"/v1/jobs/job_1 answered 502 Bad Gateway\.$"):
        client.get("job_1")
    server.answers = [Answer(404, b"<html>not found</html>")]
    with pytest.raises(retint.NotFound, match="answered 404 Not Found, but not as a retint service does"):
        client.get("job_1")


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"[]", b'{"id": "job_1"}', b'{"data": 1}'])
def test_an_answer_of_another_service_is_recognized(client: Any, server: FakeServer, body: bytes) -> None:
    server.answers = [Answer(200, body)]
    with pytest.raises(retint.ServerError, match="is the address right"):
        client.get("job_1")


def test_no_server_is_a_sentence_with_the_address(connect: Callable[..., Any]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets the port, and nobody answers
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(retint.ConnectionFailed, match=f"No server answers at {url}: [A-Z][a-z ]+. Start one"):
            connect(url).get("job_1")


@pytest.mark.parametrize("key", ["sécret", "secret\n"])
def test_a_key_that_no_header_can_carry_is_said_and_not_shown(connect: Callable[..., Any], key: str) -> None:
    with pytest.raises(retint.ConnectionFailed, match="The API key cannot be sent") as caught:
        connect("http://127.0.0.1:8000", api_key=key)
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["nonsense", "ftp://127.0.0.1", "http://127.0.0.1:port"])
def test_a_bad_address_is_a_sentence(connect: Callable[..., Any], url: str) -> None:
    with pytest.raises(retint.ConnectionFailed, match="no address of a server"):
        connect(url).get("job_1")
