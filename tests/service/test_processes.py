"""Several API processes, several workers and the processes that these fork: what is told of them, told as one."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from otlp_receiver import Collector, collecting
from prometheus_samples import samples_of

from tests.service.http_checks import job_files
from tests.service.live_server import Server, eventually, running

ROOT = Path(__file__).resolve().parents[2]
WORKER = ROOT / "tests" / "worker" / "fake_pipeline_worker.py"
ENDED = {"succeeded", "failed", "canceled"}


@dataclass
class Site:
    servers: list[Server]
    folder: Path
    collector: Collector

    def submit(self, behavior: str, *, to: int = 0, headers: Mapping[str, str] | None = None) -> str:
        options = {"metadata": {"behavior": behavior, "note": str(self.folder / f"note-{behavior}")}}
        files = job_files(options=options)
        response = self.servers[to].client.post("/v1/jobs", files=files, headers=headers or {})
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    def has(self, job_id: str, *statuses: str) -> bool:
        return self.servers[0].client.get(f"/v1/jobs/{job_id}").json()["status"] in statuses

    def scrape(self, number: int) -> Mapping[str, float]:
        return samples_of(self.servers[number].client.get("/metrics").text)

    def log(self, name: str) -> list[dict[str, Any]]:
        """The lines of every process of that name; fails where one is no JSON object."""
        texts = [path.read_text() for path in sorted(self.folder.glob(f"{name}-*.log"))]
        return [json.loads(line) for text in texts for line in text.splitlines()]


@pytest.fixture(scope="module")
def site(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with ExitStack() as stack:
        collector = stack.enter_context(collecting())
        # Spans are sent soon, instead of every five seconds.
        stack.enter_context(pytest.MonkeyPatch.context()).setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        environment = {
            **os.environ,
            "RETINT_REDIS_URL": redis_url,
            "RETINT_DATA_FOLDER": str(folder),
            "RETINT_QUEUE_NAME": f"live-{folder.name}",
            "RETINT_LOG_FORMAT": "json",
            "RETINT_OTLP_ENDPOINT": collector.url,
            "RETINT_RETRIES": "1",
            "PYTHONPATH": str(ROOT),
        }
        workers: list[subprocess.Popen[bytes]] = []
        for number in range(2):
            log = stack.enter_context((folder / f"worker-{number}.log").open("wb"))
            workers.append(subprocess.Popen([sys.executable, str(WORKER)], env=environment, stdout=log, stderr=log))
        for end in (lambda worker: worker.wait(15), lambda worker: worker.terminate()):  # the last first
            for worker in workers:
                stack.callback(end, worker)
        servers = [
            stack.enter_context(
                running(
                    redis_url,
                    folder,
                    log=folder / f"api-{number}.log",
                    log_format="json",
                    otlp_endpoint=collector.url,
                    retries=1,
                )
            )
            for number in range(2)
        ]
        site = Site(servers, folder, collector)
        assert eventually(lambda: site.scrape(0)["retint_workers"] == 2, seconds=60)
        yield site


def lasting(samples: Mapping[str, float]) -> Mapping[str, float]:
    """What neither a scrape nor another program on the same disk changes between two scrapes."""
    return {
        name: value
        for name, value in samples.items()
        if not name.startswith(("retint_http", "retint_store_free_bytes"))
    }


def test_the_numbers_are_right_and_the_same_at_every_process(site: Site) -> None:
    ids = [site.submit(behavior, to=number % 2) for number, behavior in enumerate(["tunes", "tunes", "undecodable"])]
    ids += [site.submit(behavior) for behavior in ("bug", "die once", "die always")]
    assert eventually(lambda: all(site.has(job_id, *ENDED) for job_id in ids), seconds=60)
    canceled = site.submit("slow", to=1)
    assert eventually(lambda: site.has(canceled, "processing"))
    assert site.servers[0].client.post(f"/v1/jobs/{canceled}/cancel").is_success

    posts = 'retint_http_requests_total{method="POST",route="/v1/jobs",status="202"}'
    assert eventually(lambda: site.scrape(0).get(posts) == site.scrape(1).get(posts) == 7, seconds=20)
    first, second = (lasting(site.scrape(number)) for number in range(2))
    assert first == second
    ended = 'retint_jobs_ended_total{kind="jobs",status='
    assert [first[f'{ended}"{status}"}}'] for status in ("succeeded", "failed", "canceled")] == [3, 3, 1]
    failures = {name: value for name, value in first.items() if name.startswith("retint_job_failures_total") and value}
    assert failures == {
        'retint_job_failures_total{code="video_undecodable",kind="jobs"}': 1,
        'retint_job_failures_total{code="internal",kind="jobs"}': 1,
        'retint_job_failures_total{code="worker_lost",kind="jobs"}': 1,
    }
    # One by the job that died once; two by the one that always does, the second of them its end.
    assert first['retint_executions_lost_total{kind="jobs"}'] == 2
    assert first["retint_frames_colored_total"] == 200
    assert first["retint_tuning_gain_decibels_count"] == 4
    assert first["retint_tuning_gain_decibels_sum"] == 5
    assert first['retint_tuning_gain_decibels_bucket{le="1.5"}'] == 4
    assert first['retint_tuning_gain_decibels_bucket{le="1"}'] == 0
    assert first["retint_job_frames_per_second_count"] == 3, "one per job that succeeded"
    tuning = 'kind="jobs",phase="tuning"'
    assert first[f"retint_job_phase_seconds_count{{{tuning}}}"] == 2
    # In seconds: no less than the two slept, no more than the jobs took that it is a part of.
    lasted = first['retint_job_duration_seconds_sum{kind="jobs",status="succeeded"}']
    assert 0.4 <= first[f"retint_job_phase_seconds_sum{{{tuning}}}"] <= lasted
    assert first['retint_job_wait_seconds_count{kind="jobs"}'] == 7
    assert first['retint_job_duration_seconds_count{kind="jobs",status="succeeded"}'] == 3
    assert first["retint_api_processes"] == 2
    assert first['retint_open_jobs{status="processing"}'] == 0


def test_the_id_of_a_request_is_in_the_lines_of_every_process_about_its_job(site: Site) -> None:
    broken = site.submit("bug", to=1, headers={"X-Request-ID": "my-broken-request"})
    lost = site.submit("die always", headers={"X-Request-ID": "my-lost-request"})
    assert eventually(lambda: site.has(broken, *ENDED) and site.has(lost, *ENDED), seconds=60)

    def lines(name: str, request_id: str) -> list[dict[str, Any]]:
        return [line for line in site.log(name) if line.get("request_id") == request_id]

    assert eventually(lambda: len(lines("worker", "my-lost-request")) == 4)
    assert [line["event"] for line in lines("worker", "my-lost-request")] == ["job_started", "execution_died"] * 2
    worker_lines = lines("worker", "my-broken-request")
    assert [line["event"] for line in worker_lines] == ["job_started", "job_failed"]
    assert {line["job_id"] for line in worker_lines} == {broken}
    [trace] = worker_lines[1]["exception"]
    assert trace["exc_value"] == "a secret of the implementation"
    assert not any("locals" in frame for frame in trace["frames"])
    api_lines = lines("api", "my-broken-request")
    assert [line["event"] for line in api_lines] == ["job_created", "request"]
    assert {line["job_id"] for line in api_lines} == {broken}


def test_a_request_about_a_job_names_it_in_its_line(site: Site) -> None:
    site.servers[0].client.get("/v1/jobs/job_of_nobody", headers={"X-Request-ID": "my-look"})

    def found() -> list[tuple[Any, ...]]:
        lines = [line for line in site.log("api") if line.get("request_id") == "my-look"]
        return [(line["event"], line["job_id"], line["status"]) for line in lines]

    assert eventually(lambda: found() == [("request", "job_of_nobody", 404)])


def test_one_trace_leads_from_the_request_to_the_phases_in_the_worker(site: Site) -> None:
    caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    job_id = site.submit("tunes", headers={"traceparent": caller, "X-Request-ID": "traced"})

    def spans() -> dict[str, Any]:
        return {span.name: span for span in site.collector.spans if span.trace_id == caller[3:35]}

    names = {"POST /v1/jobs", "submit job", "process job", "probing", "tuning", "colorizing", "publishing"}
    assert eventually(lambda: spans().keys() == names, seconds=30), spans().keys()
    found = spans()
    server, producer, consumer = found["POST /v1/jobs"], found["submit job"], found["process job"]
    assert (server.service, server.kind, server.parent_id) == ("retint-api", 2, caller[36:52])
    assert server.attributes["http.route"] == "/v1/jobs"
    assert server.attributes["http.response.status_code"] == "202"
    assert server.attributes["request.id"] == "traced"
    assert (producer.kind, producer.parent_id) == (4, server.span_id)
    assert (consumer.service, consumer.kind, consumer.parent_id) == ("retint-worker", 5, producer.span_id)
    assert consumer.attributes["job.id"] == producer.attributes["job.id"] == job_id
    assert {found[name].parent_id for name in names & {"probing", "tuning", "colorizing", "publishing"}} == {
        consumer.span_id
    }
    lines = [line for line in site.log("worker") if line.get("trace_id") == caller[3:35]]
    assert [line["event"] for line in lines] == ["job_started", "job_succeeded"]


def test_a_failure_is_in_the_trace_by_its_code(site: Site) -> None:
    job_id = site.submit("undecodable")

    def errors() -> dict[str, str | None]:
        [trace_id] = [span.trace_id for span in site.collector.spans if span.attributes.get("job.id") == job_id][:1]
        return {span.name: span.error for span in site.collector.spans if span.trace_id == trace_id}

    assert eventually(lambda: len(site.collector.named("process job")) > 0, seconds=30)
    assert eventually(
        lambda: any(s.attributes.get("job.id") == job_id and s.kind == 5 for s in site.collector.spans), seconds=30
    )
    assert eventually(lambda: "POST /v1/jobs" in errors(), seconds=30)
    assert errors() == {
        "POST /v1/jobs": None,
        "submit job": None,
        "process job": "video_undecodable",
        "probing": "video_undecodable",
    }


def test_a_caller_that_is_not_traced_begins_a_trace_and_probes_begin_none(site: Site) -> None:
    before = len(site.collector.spans)
    client = site.servers[0].client
    for path in ("/healthz", "/metrics"):
        client.get(path)
    client.get("/version", headers={"traceparent": "00-nonsense"})
    assert eventually(lambda: len(site.collector.named("GET /version")) == 1, seconds=20)
    assert site.collector.named("GET /version")[0].parent_id == ""
    names = {span.name for span in site.collector.spans[before:]}
    assert not any("healthz" in name or "metrics" in name for name in names)


def test_an_address_that_leads_nowhere_is_no_raw_path_in_a_span(site: Site) -> None:
    with pytest.raises(httpx.HTTPStatusError):
        site.servers[0].client.get("/nowhere/at/all").raise_for_status()
    assert eventually(lambda: len(site.collector.named("GET none")) == 1, seconds=20)
