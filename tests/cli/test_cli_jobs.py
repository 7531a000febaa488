"""`retint jobs`, against a server that answers as told."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_server import Answer, FakeServer, Received, job_answer, json_answer, problem
from typer.testing import CliRunner, Result
from upload_server import UploadServer

from cli.errors import CommandError
from cli.main import app

CONTENT = b"a colorized film"
VARIANT = {
    "name": "video",
    "media_type": "video/mp4",
    "bytes": len(CONTENT),
    "sha256": hashlib.sha256(CONTENT).hexdigest(),
    "href": "/content",
}


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = FakeServer()
    yield fake
    fake.close()


def retint(server: FakeServer, *arguments: str) -> Result:
    return CliRunner().invoke(
        app, ["jobs", *arguments], env={"RETINT_SERVER": server.url, "RETINT_API_KEY": "k1"}, catch_exceptions=False
    )


def test_submit_uploads_and_prints_the_id(server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"film")
    (tmp_path / "frame.png").write_bytes(b"frame")
    uploads = UploadServer()
    server.respond = uploads
    choices = ("--tuning", "12", "--quality", "20", "--shots", "270")
    done = retint(server, "submit", f"{tmp_path}/film.mp4", "-r", f"{tmp_path}/frame.png@7", *choices)
    assert done.exit_code == 0
    assert done.stdout == "job_1\n"
    assert list(uploads.uploads.values()) == [b"film"]
    assert {request.headers["Authorization"] for request in server.received} == {"Bearer k1"}
    (form,) = uploads.forms.values()
    start = form.index(b'{"model"')
    options = json.loads(form[start : form.index(b"\r\n", start)])
    assert options["references"] == [{"name": "frame.png", "frame": 7}]
    assert options["tuning"] == {"iterations": 12}
    assert options["shots"] == [270]
    assert options["output"] == {"quality": 20}
    assert "metadata" not in options, "the upload says what the film is called"


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("command", ["submit", "resubmit"])
def test_with_an_output_warnings_are_told_as_colorize_tells_them(
    server: FakeServer, tmp_path: Path, command: str, as_json: bool
) -> None:
    for name in ("film.mp4", "frame.png"):
        (tmp_path / name).write_bytes(b"data")
    uploads = UploadServer()

    def respond(request: Received) -> Answer:
        if request.path == "/content":
            return Answer(200, CONTENT)
        if request.path.startswith("/v1/jobs/job_1"):
            return job_answer(status="succeeded", variants=[VARIANT], warnings=["Shot 2 is far from it."])
        return job_answer() if command == "resubmit" else uploads(request)

    server.respond = respond
    what = f"{tmp_path}/film.mp4" if command == "submit" else "job_1"
    out = f"{tmp_path}/color.mp4"
    done = retint(server, command, what, "-r", f"{tmp_path}/frame.png", "-o", out, *(["--json"] if as_json else []))
    assert ("Note: Shot 2 is far from it.\n" in done.stderr) != as_json
    assert "Note: " not in done.stdout
    assert as_json or done.stdout == f"{out}\n"


def test_submit_with_an_output_waits_and_downloads(server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"film")
    (tmp_path / "frame.png").write_bytes(b"frame")
    uploads = UploadServer()

    def respond(request: Received) -> Answer:
        if request.path == "/content":
            return Answer(200, CONTENT)
        if request.path.startswith("/v1/jobs/job_1"):
            return job_answer(status="succeeded", variants=[VARIANT])
        return uploads(request)

    server.respond = respond
    out = tmp_path / "color.mkv"
    done = retint(server, "submit", f"{tmp_path}/film.mp4", "-r", f"{tmp_path}/frame.png", "-o", str(out), "--json")
    assert out.read_bytes() == CONTENT
    assert json.loads(done.stdout)["status"] == "succeeded"
    (form,) = uploads.forms.values()
    assert b'"container": "mkv"' in form


def test_list_is_a_table_or_json(server: FakeServer) -> None:
    job: dict[str, Any] = {"id": "job_1", "status": "processing", "phase": "tuning"}
    job["created_at"] = "2026-01-02T03:04:05Z"
    job["options"] = {"metadata": {"title": "summer"}}
    server.answers = [json_answer({"data": [job], "has_more": False, "next": None})]
    assert retint(server, "list").stdout.splitlines() == [
        "JOB    STATUS      DONE  CREATED              FILM",
        "job_1  processing  0%    2026-01-02 03:04:05  summer  tuning",
    ]
    assert json.loads(retint(server, "list", "--json").stdout) == [job]


def test_show_names_the_film(server: FakeServer) -> None:
    server.answers = [job_answer(options={"metadata": {"title": "summer"}})]
    assert "  film: summer\n" in retint(server, "show", "job_1").stdout


def test_a_film_without_a_title_has_the_name_of_its_file(server: FakeServer) -> None:
    server.answers = [job_answer(filename="summer.mkv", options={"metadata": {}})]
    assert "  film: summer.mkv\n" in retint(server, "show", "job_1").stdout


def test_show_tells_the_size_in_which_an_anamorphic_film_is_shown(server: FakeServer) -> None:
    facts = {"width": 720, "height": 576, "frames": 9, "duration_seconds": 0.36, "frame_rate": 25.0, "codec": "h264"}
    for width, told in ((1024, "720x576, shown as 1024x576, 9 frames"), (720, "720x576, 9 frames")):
        shown = {"display_width": width, "display_height": 576, "has_audio": False}
        server.answers = [job_answer(video=facts | shown)]
        assert f"  video: {told}, silent\n" in retint(server, "show", "job_1").stdout


def test_a_download_is_not_written_under_the_name_of_another_format(server: FakeServer, tmp_path: Path) -> None:
    server.answers = [job_answer(status="succeeded", variants=[VARIANT])]
    with pytest.raises(CommandError, match=r"must end in \.mp4"):
        retint(server, "download", "job_1", "-o", str(tmp_path / "film.mkv"))
    assert len(server.received) == 1


def test_show_says_what_went_wrong(server: FakeServer) -> None:
    error = {"code": "reference_not_color", "title": "T", "detail": "The reference is gray."}
    server.answers = [job_answer(status="failed", error=error)]
    assert "reference_not_color: The reference is gray." in retint(server, "show", "job_1").stdout


def test_show_says_why_tuning_gained_nothing(server: FakeServer) -> None:
    tuning = {"iterations": 5, "gain_db": 0.0, "seconds": 1.0, "stopped_early": True}
    shot = {"index": 0, "first_frame": 0, "last_frame": 9, "reference": "a.png", "confidence": 0.5, "tuning": tuning}
    server.answers = [job_answer(status="succeeded", shots=[shot])]
    said = retint(server, "show", "job_1").stdout
    assert "  shot 1: frames 0 to 9, a.png" in said
    assert "tuning gained nothing that held, so the untuned weights were kept" in said


def test_watch_cancel_and_delete(server: FakeServer) -> None:
    tuning = job_answer(status="processing", phase="tuning")
    server.answers = [tuning, tuning, job_answer(status="succeeded")]
    watched = retint(server, "watch", "job_1")
    assert "tuning 0%" in watched.stderr
    assert watched.stdout.startswith("job_1 succeeded")
    server.answers = [job_answer(status="canceled")]
    assert retint(server, "cancel", "job_1").stdout == "job_1 canceled\n"
    server.answers = [job_answer(status="queued")]
    assert retint(server, "retry", "job_1").stdout == "job_1 queued\n"
    server.answers = [Answer(204)]
    assert json.loads(retint(server, "delete", "job_1", "--json").stdout) == {"id": "job_1", "deleted": True}


def test_watch_tells_at_once_that_no_server_is_there(server: FakeServer) -> None:
    from retint import ConnectionFailed

    server.close()
    with pytest.raises(ConnectionFailed, match="No server answers"):
        retint(server, "watch", "job_1")


def test_download_refuses_to_overwrite_unless_told(server: FakeServer, tmp_path: Path) -> None:
    from cli.errors import CommandError

    server.respond = lambda request: (
        Answer(200, CONTENT) if request.path == "/content" else job_answer(status="succeeded", variants=[VARIANT])
    )
    out = tmp_path / "out.mp4"
    out.write_bytes(b"mine")
    with pytest.raises(CommandError, match="exists"):
        retint(server, "download", "job_1", "-o", str(out))
    assert out.read_bytes() == b"mine"
    assert retint(server, "download", "job_1", "-o", str(out), "--force").stdout == f"{out}\n"
    assert out.read_bytes() == CONTENT


def test_a_problem_of_the_server_reaches_the_user(server: FakeServer) -> None:
    from retint import NotFound

    server.answers = [problem(404, "job_not_found")]
    with pytest.raises(NotFound, match="A detail"):
        retint(server, "show", "job_1")


def test_resubmit_sends_what_is_to_change_and_no_video(server: FakeServer, tmp_path: Path) -> None:
    for name in ("frame.png", "postcard.png", "moved.png", "kept.png"):
        (tmp_path / name).write_bytes(b"picture")

    def respond(request: Received) -> Answer:
        if request.method == "POST":
            return json_answer({"id": "job_2", "status": "queued", "created_at": "2026-01-02T03:04:05Z"}, status=202)
        return job_answer(options={"tuning": "fast", "shots": [90]})

    server.respond = respond
    pictures = ("frame.png@7-9", "postcard.png@none", "moved.png@any", "kept.png")
    given = [argument for picture in pictures for argument in ("-r", f"{tmp_path}/{picture}")]
    done = retint(server, "resubmit", "job_1", *given, "--omit", "old.png")
    assert done.stdout == "job_2\n"
    asked, sent = server.received
    assert asked.path == "/v1/jobs/job_1"
    start = sent.body.index(b"{")
    assert json.loads(sent.body[start : sent.body.index(b"\r\n", start)]) == {
        "tuning": "fast",
        "shots": [90],
        "references": [
            {"name": "frame.png", "within": [7, 9]},
            {"name": "postcard.png", "is_frame": False},
            # To be looked for, though the earlier job was told where it stands; of the last, that holds.
            {"name": "moved.png"},
        ],
        "reuse": "job_1",
        "omit_references": ["old.png"],
    }
    assert b'filename="frame.png"' in sent.body


@pytest.mark.parametrize(("text", "shots"), [("90,270", [90, 270]), ("auto", "auto")])
def test_resubmit_corrects_the_cuts_alone(server: FakeServer, text: str, shots: object) -> None:
    created = json_answer({"id": "job_2", "status": "queued", "created_at": "2026-01-02T03:04:05Z"}, status=202)
    server.answers = [job_answer(options={"shots": "single"}), created]
    assert retint(server, "resubmit", "job_1", "--shots", text).stdout == "job_2\n"
    sent = server.received[1].body
    start = sent.index(b"{")
    assert json.loads(sent[start : sent.index(b"\r\n", start)])["shots"] == shots


def test_resubmit_says_that_no_reference_is_left(server: FakeServer) -> None:
    detail, lacking = "The upload lacks a part; `errors` says which.", "Send at least one color image."
    refused = {"title": "T", "status": 422, "code": "invalid_request", "detail": detail, "request_id": "r1"}
    refused["errors"] = [{"pointer": "#/references", "detail": lacking}]

    def respond(request: Received) -> Answer:
        if request.method == "GET":
            return job_answer()
        return json_answer(refused, status=422)

    server.respond = respond
    done = CliRunner().invoke(
        app, ["jobs", "resubmit", "job_1", "--omit", "only.png"], env={"RETINT_SERVER": server.url}
    )
    assert str(done.exception) == "No reference is left; give one with -r."


def test_submit_sends_no_empty_video(server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "film.mp4").touch()
    (tmp_path / "frame.png").write_bytes(b"frame")
    done = CliRunner().invoke(
        app,
        ["jobs", "submit", f"{tmp_path}/film.mp4", "-r", f"{tmp_path}/frame.png"],
        env={"RETINT_SERVER": server.url},
    )
    assert "film.mp4 is empty; export or copy it again" in str(done.exception)
    assert server.received == []


def test_resubmit_asks_what_is_to_change(server: FakeServer) -> None:
    done = CliRunner().invoke(app, ["jobs", "resubmit", "job_1"], env={"RETINT_SERVER": server.url})
    assert done.exit_code != 0
    assert "--omit" in str(done.exception)
    assert server.received == []
