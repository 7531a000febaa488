"""From a video and its references to one job, against a server that answers badly."""

import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import retint
from fake_server import JOB, Answer, FakeServer, job_answer, json_answer, problem
from retint.resumable import LEAST_BYTES, MOST_BYTES
from upload_server import UploadServer

MEBIBYTE = 1024 * 1024
LOST = Answer(lost=True)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(os.urandom(MOST_BYTES + 12_345))
    return path


@pytest.fixture
def frame(tmp_path: Path) -> Path:
    path = tmp_path / "frame.png"
    path.write_bytes(b"r" * 1000)
    return path


def test_a_video_goes_by_a_resumable_upload_and_becomes_a_job(
    client: Any, server: FakeServer, film: Path, frame: Path
) -> None:
    uploads = UploadServer()
    server.respond = uploads
    told: list[tuple[int, int]] = []
    job = client.submit(
        film, [frame], options={"tuning": "fast"}, on_upload=lambda done, total: told.append((done, total))
    )
    assert job.id == "job_1"
    assert list(uploads.uploads.values()) == [film.read_bytes()]
    (form,) = uploads.forms.values()
    assert b'{"tuning": "fast"}' in form
    assert b"upload_" + b"0" * 24 in form
    assert b'name="references"; filename="frame.png"\r\nContent-Type: image/png\r\n\r\n' + b"r" * 1000 in form
    whole = film.stat().st_size + 1000
    assert told[-1] == (whole, whole)
    assert told == sorted(set(told))
    assert uploads.calls["DELETE"] == 1, "nobody else knows of the upload"


def test_the_rest_is_checked_before_a_long_video_is_sent(
    client: Any, server: FakeServer, film: Path, frame: Path
) -> None:
    errors = [
        {"pointer": "#/options/tunning", "detail": "There is no such option."},
        {"pointer": "#/video", "detail": "Send the video."},
    ]
    uploads = UploadServer(JOB=[json_answer({"detail": "It does not fit.", "errors": errors}, status=422)])
    server.respond = uploads
    with pytest.raises(retint.InvalidRequest) as caught:
        client.submit(film, [frame], options={"tunning": "fast"})
    assert [error.pointer for error in caught.value.errors] == ["#/options/tunning"]
    assert uploads.uploads == {}
    client.submit(film, [frame])
    assert b"r" * 1000 in uploads.checked[0]


def test_a_short_video_is_sent_without_asking(client: Any, server: FakeServer, frame: Path) -> None:
    uploads = UploadServer()
    server.respond = uploads
    client.submit(frame, [frame])
    assert uploads.checked == []
    assert uploads.calls == {"POST": 2, "PATCH": 1, "DELETE": 1}


def test_a_damaged_part_is_sent_again(client: Any, server: FakeServer, film: Path) -> None:
    uploads = UploadServer(damages=2)
    server.respond = uploads
    upload = client.upload(film)
    assert upload.finished
    assert uploads.uploads == {upload.id: film.read_bytes()}
    assert uploads.calls["HEAD"] == 2


@pytest.mark.parametrize(
    ("refusal", "refused_question"),
    [
        (LOST, LOST),
        (problem(503, "redis_unavailable", Retry_After="0"), problem(503, "redis_unavailable", Retry_After="0")),
        (problem(423, "upload_locked"), problem(423, "upload_locked")),
        (problem(409, "upload_offset_mismatch"), Answer(500)),
        (problem(400, "upload_incomplete"), Answer(502)),
    ],
)
def test_an_upload_goes_on_where_it_stands(
    client: Any, server: FakeServer, film: Path, refusal: Answer, refused_question: Answer
) -> None:
    uploads = UploadServer(PATCH=[refusal], HEAD=[refused_question], POST=[Answer(502, b"<html>bad gateway</html>")])
    server.respond = uploads
    told: list[int] = []
    upload = client.upload(film, on_upload=lambda done, total: told.append(done))
    assert uploads.uploads == {upload.id: film.read_bytes()}
    assert told == sorted(set(told)), "what is sent twice counts once"


def test_a_part_that_arrived_although_no_answer_did_is_not_sent_again(
    client: Any, server: FakeServer, film: Path
) -> None:
    uploads = UploadServer()
    seen: list[int] = []

    def lose_the_first_answer(request: Any) -> Answer:
        answer = uploads(request)
        if request.method == "PATCH":
            seen.append(int(request.headers["Upload-Offset"]))
            return answer if len(seen) > 1 else LOST
        return answer

    server.respond = lose_the_first_answer
    assert uploads.uploads == {} | {client.upload(film).id: film.read_bytes()}
    assert seen == sorted(set(seen))


def test_a_connection_that_often_breaks_gets_smaller_parts(client: Any, server: FakeServer, film: Path) -> None:
    uploads = UploadServer(PATCH=[LOST])
    server.respond = uploads
    client.upload(film)
    sizes = [len(request.body) for request in server.received if request.method == "PATCH"]
    assert sizes[:2] == [MOST_BYTES, MOST_BYTES // 2]
    assert min(sizes) >= LEAST_BYTES or sum(sizes[1:]) == film.stat().st_size


@pytest.mark.parametrize("status", [401, 404, 410, 413, 507])
def test_a_refusal_that_stays_is_raised_at_once(client: Any, server: FakeServer, film: Path, status: int) -> None:
    uploads = UploadServer(PATCH=[problem(status, "a_code")])
    server.respond = uploads
    with pytest.raises(retint.APIError) as caught:
        client.upload(film)
    assert caught.value.status == status
    assert uploads.calls["HEAD"] == 0


def test_the_form_is_sent_again_with_the_same_key_until_it_is_answered(
    client: Any, server: FakeServer, frame: Path
) -> None:
    uploads = UploadServer()
    lost = [LOST, problem(409, "idempotency_key_in_use", Retry_After="0"), Answer(504)]
    keys: list[str] = []

    def lose_answers(request: Any) -> Answer:
        answer = uploads(request)
        if request.path == "/v1/jobs":
            keys.append(request.headers["Idempotency-Key"])
            return lost.pop(0) if lost else answer
        return answer

    server.respond = lose_answers
    assert client.submit(frame, [frame]).id == "job_1"
    assert len(keys) == 4
    assert len(set(keys)) == 1
    client.submit(frame, [frame])
    assert len(set(keys)) == 2, "another submission has another key"


def test_a_server_without_room_is_waited_for_as_it_says(client: Any, server: FakeServer, frame: Path) -> None:
    uploads = UploadServer(
        JOB=[problem(429, "too_many_jobs", Retry_After="0"), problem(503, "queue_full", Retry_After="0")]
    )
    server.respond = uploads
    assert client.submit(frame, [frame]).id == "job_1"
    assert uploads.calls["PATCH"] == 1, "the video is sent once"


def test_who_has_no_patience_is_told_that_there_is_no_room(
    connect: Callable[..., Any], server: FakeServer, frame: Path
) -> None:
    server.respond = UploadServer(JOB=[problem(429, "too_many_jobs", Retry_After="30")])
    with pytest.raises(retint.RateLimited) as caught:
        connect(server.url, patience=20).submit(frame, [frame])
    assert caught.value.retry_after == 30


def test_an_upload_makes_several_jobs_and_stays(client: Any, server: FakeServer, film: Path, frame: Path) -> None:
    uploads = UploadServer()
    server.respond = uploads
    upload = client.upload(film)
    told: list[tuple[int, int]] = []
    for _ in range(2):
        client.submit(upload, [frame], on_upload=lambda done, total: told.append((done, total)))
    assert len(uploads.forms) == 2
    assert all(upload.id.encode() in form for form in uploads.forms.values())
    assert told[-1] == (1000, 1000)
    assert uploads.calls["DELETE"] == 0


def test_a_server_that_was_never_there_is_told_at_once(connect: Callable[..., Any], film: Path) -> None:
    fake = FakeServer()
    fake.close()
    with pytest.raises(retint.ConnectionFailed, match="No server answers"):
        connect(fake.url).submit(film, [film])


def test_names_that_a_form_cannot_hold_as_they_are_arrive(client: Any, server: FakeServer, tmp_path: Path) -> None:
    uploads = UploadServer()
    server.respond = uploads
    odd = tmp_path / 'a "frame" é.png'
    odd.write_bytes(b"r")
    client.submit(odd, [odd])
    (form,) = uploads.forms.values()
    assert 'filename="a %22frame%22 é.png"'.encode() in form
    assert "Upload-Metadata" in server.received[0].headers


def test_neither_the_video_nor_a_reference_is_ever_held(client: Any, server: FakeServer, tmp_path: Path) -> None:
    video = tmp_path / "film.mp4"
    with video.open("wb") as file:
        file.truncate(64 * MEBIBYTE)

    def refuse(request: Any) -> Answer:
        if request.path == "/v1/uploads":
            return json_answer({"id": "upload_1", "length": 64 * MEBIBYTE, "offset": 0}, status=201)
        return Answer(204, headers={"Upload-Offset": str(64 * MEBIBYTE)})

    server.respond = refuse
    server.read_bodies = False
    client.ready()  # what a first call imports is not what is measured
    tracemalloc.start()
    try:
        client.submit(client.upload(video), [])
    except retint.ServerError:
        pass  # the answer is no job
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 4 * MEBIBYTE


def test_a_job_is_made_of_the_video_of_an_earlier_one(client: Any, server: FakeServer, frame: Path) -> None:
    places = [{"name": "frame.png", "frame": 1}, {"name": "old.png", "frame": 2}]
    earlier = {"tuning": "fast", "output": {"container": "mkv"}, "references": places, "webhook": {"url": "https://x"}}
    sent: list[Any] = []

    def respond(request: Any) -> Answer:
        if request.method == "GET":
            return job_answer(options=earlier)
        sent.append(request)
        return LOST if len(sent) == 1 else json_answer({**JOB, "id": "job_2"}, status=202)

    server.respond = respond
    told: list[tuple[int, int]] = []
    job = client.resubmit(
        "job_1",
        [frame],
        omit=["old.png"],
        options={"metadata": {"take": "2"}, "references": [{"name": "frame.png", "frame": 9}]},
        on_upload=lambda done, total: told.append((done, total)),
    )
    assert job.id == "job_2"
    assert len({request.headers["Idempotency-Key"] for request in sent}) == 1, "sent again, it makes no second job"
    body = sent[-1].body
    assert b'name="video' not in body
    assert b'filename="frame.png"\r\nContent-Type: image/png\r\n\r\n' + b"r" * 1000 in body
    start = body.index(b"{")
    assert json.loads(body[start : body.index(b"\r\n", start)]) == {
        "tuning": "fast",
        "output": {"container": "mkv"},
        "references": [{"name": "frame.png", "frame": 9}],
        "metadata": {"take": "2"},
        "reuse": "job_1",
        "omit_references": ["old.png"],
    }
    assert told[-1] == (1000, 1000)


@pytest.mark.parametrize(
    ("given", "options"),
    [({}, {"shots": "auto", "metadata": {}}), ({"shots": (40,), "every_seconds": 3}, {"shots": [40], "metadata": {}})],
)
def test_a_search_asks_only_for_what_is_given(
    client: Any, server: FakeServer, frame: Path, given: dict[str, Any], options: dict[str, Any]
) -> None:
    """A server that does not know `every_seconds` yet would refuse it."""
    uploads = UploadServer()
    server.respond = uploads
    client.find_keyframes(frame, **given)
    (form,) = uploads.forms.values()
    seconds = {name: value for name, value in given.items() if name == "every_seconds"}
    assert json.dumps({**options, **seconds}).encode() in form


def test_an_earlier_job_that_is_not_there_is_told_at_once(client: Any, server: FakeServer, frame: Path) -> None:
    server.answers = [problem(404, "job_not_found")]
    with pytest.raises(retint.NotFound):
        client.resubmit("job_1", [frame])
    assert len(server.received) == 1
