"""Webhooks that would never be sent are refused with the job."""

from ipaddress import ip_network

import httpx
import pytest

from jobs.settings import Settings
from service.app import create_app
from tests.service.http_checks import assert_problem, job_files, pointers

pytestmark = pytest.mark.anyio
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def job_telling(url: str) -> list[tuple[str, tuple[str | None, bytes, str]]]:
    return job_files(options={"webhook": {"url": url, "secret": SECRET}})


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/hook",
        "http://localhost:8000/hook",
        "http://10.0.0.1",
        "https://169.254.169.254/latest/meta-data",
        "http://[::1]/",
        "http://[fd00::1]/",
        "http://[::ffff:10.0.0.1]/",
        "https://ann:secret@example.org/hook",
        "https://ann@example.org/hook",
        "https://example.org:99999/hook",
    ],
)
async def test_an_address_that_is_never_called_is_refused_at_once(client: httpx.AsyncClient, url: str) -> None:
    problem = assert_problem(await client.post("/v1/jobs", files=job_telling(url)), 422, "invalid_request")
    assert pointers(problem) == ["#/options/webhook/url"]
    assert SECRET not in str(problem)


@pytest.mark.parametrize("url", ["https://example.org/hook", "http://hooks.example:8080/", "https://1.1.1.1/"])
async def test_any_other_address_is_taken_and_shown_without_the_secret(client: httpx.AsyncClient, url: str) -> None:
    response = await client.post("/v1/jobs", files=job_telling(url))
    assert response.status_code == 202, response.text
    assert response.json()["options"]["webhook"]["url"] == url
    assert "secret" not in response.json()["options"]["webhook"]
    assert response.json()["deliveries"] == []


async def test_an_operator_may_allow_addresses_inside(settings: Settings) -> None:
    allowing = settings.model_copy(update={"webhook_allowed_networks": (ip_network("127.0.0.0/8"),)})
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(allowing)), base_url="http://localhost"
    ) as client:
        assert (await client.post("/v1/jobs", files=job_telling("http://127.0.0.1:9/"))).status_code == 202
        assert_problem(await client.post("/v1/jobs", files=job_telling("http://10.0.0.1/")), 422, "invalid_request")
