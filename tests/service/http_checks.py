"""A good upload, and what every error answer must be."""

import json

import httpx


def job_files(
    *, video: bytes = b"film", references: tuple[str, ...] = ("a.png",), options: object = None
) -> list[tuple[str, tuple[str | None, bytes, str]]]:
    """The parts of a good upload, for httpx."""
    parts: list[tuple[str, tuple[str | None, bytes, str]]] = [("video", ("film.mp4", video, "video/mp4"))]
    parts += [("references", (name, b"picture", "image/png")) for name in references]
    if options is not None:
        parts.append(("options", (None, json.dumps(options).encode(), "application/json")))
    return parts


def assert_problem(response: httpx.Response, status: int, code: str) -> dict[str, object]:
    """Check that `response` is a whole problem of that kind, and return it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert isinstance(problem, dict)
    assert problem["status"] == status
    assert problem["code"] == code, problem
    assert problem["type"] == f"/docs#{code}"
    assert problem["title"]
    assert problem["detail"].endswith(".")
    assert problem["request_id"] == response.headers["x-request-id"]
    assert "Traceback" not in response.text
    return problem


def pointers(problem: dict[str, object]) -> list[str]:
    errors = problem["errors"]
    assert isinstance(errors, list)
    return [error["pointer"] for error in errors]
