"""What every error answer must be."""

import httpx


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
