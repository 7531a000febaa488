"""Waiting for a job, through everything that can come between."""

from typing import Any

import pytest
import retint
from fake_server import Answer, FakeServer, job_answer, problem
from retint.calls import JOBS
from retint.polling import Poll


def test_wait_tells_progress_and_returns_the_finished_job(client: Any, server: FakeServer) -> None:
    server.answers = [
        job_answer(),
        job_answer(status="processing", phase="tuning"),
        job_answer(status="succeeded"),
    ]
    phases: list[tuple[str, str | None]] = []
    job = client.wait("job_1", on_progress=lambda state: phases.append((state.status, state.phase)))
    assert job.status == "succeeded"
    assert phases == [("queued", None), ("processing", "tuning"), ("succeeded", None)]
    assert [request.path for request in server.received[:2]] == ["/v1/jobs/job_1", "/v1/jobs/job_1?wait=20"]


def test_wait_sits_out_an_outage_and_a_broken_connection(client: Any, server: FakeServer) -> None:
    server.answers = [
        problem(503, "redis_unavailable", Retry_After="0"),
        Answer(200, b'{"id"', cut_after=2),
        job_answer(status="succeeded"),
    ]
    assert client.wait("job_1").status == "succeeded"
    assert len(server.received) == 3


def test_wait_raises_what_became_of_the_job(client: Any, server: FakeServer) -> None:
    error = {"code": "reference_not_color", "title": "T", "detail": "The reference is gray."}
    server.answers = [job_answer(status="failed", error=error)]
    with pytest.raises(retint.JobFailed, match="Job job_1 failed: The reference is gray") as caught:
        client.wait("job_1")
    assert caught.value.job.error == retint.JobError("reference_not_color", "T", "The reference is gray.")
    server.answers = [job_answer(status="canceled")]
    with pytest.raises(retint.JobCanceled):
        client.wait("job_1")


def test_wait_gives_up_at_once_where_asking_again_cannot_help(client: Any, server: FakeServer) -> None:
    server.answers = [problem(404, "job_not_found")]
    with pytest.raises(retint.NotFound):
        client.wait("job_1")
    assert len(server.received) == 1


def test_wait_ends_at_its_timeout(client: Any, server: FakeServer) -> None:
    server.answers = [job_answer()]
    with pytest.raises(retint.WaitTimedOut, match=r"not finished after 0\.1 seconds"):
        client.wait("job_1", timeout=0.1)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_pause_never_outlasts_the_timeout() -> None:
    clock = Clock()
    poll = Poll(JOBS, "job_1", timeout=3.0, patience=300, clock=clock)
    clock.now += 2.8
    assert poll.failed(retint.ConnectionFailed("away")) == pytest.approx(0.2)
    clock.now += 0.3
    with pytest.raises(retint.WaitTimedOut):
        poll.failed(retint.ConnectionFailed("away"))
