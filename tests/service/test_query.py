"""Query parameters that are misspelt or given twice are told, by every call."""

import re

import httpx
import pytest
from fastapi import FastAPI

from tests.service.http_checks import assert_problem, pointers

pytestmark = pytest.mark.anyio


async def test_every_call_refuses_a_parameter_that_it_does_not_know(app: FastAPI, client: httpx.AsyncClient) -> None:
    calls = [(verb, path) for path, verbs in app.openapi()["paths"].items() for verb in verbs]
    assert len(calls) > 8
    for verb, path in [*calls, ("get", "/"), ("get", "/docs")]:
        response = await client.request(verb, re.sub(r"{\w+}", "job_1", path), params={"surely_unknown": "x"})
        assert response.status_code == 422, f"{verb} {path}"
        if verb != "head":
            assert pointers(assert_problem(response, 422, "invalid_request")) == ["#/query/surely_unknown"]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("/v1/jobs?cursor=x&limit=2", "no query parameter `cursor`; it takes `status`, `limit`, `after`."),
        ("/v1/jobs/job_1/content?varient=comparison", "no query parameter `varient`; it takes `variant`."),
        ("/v1/models?limit=2", "no query parameter `limit`; it takes none."),
    ],
)
async def test_the_parameter_and_those_that_there_are_are_named(
    client: httpx.AsyncClient, address: str, said: str
) -> None:
    assert said in str(assert_problem(await client.get(address), 422, "invalid_request")["detail"])


async def test_every_call_takes_the_parameters_that_it_describes(app: FastAPI, client: httpx.AsyncClient) -> None:
    described = [
        (verb, path, parameter["name"])
        for path, verbs in app.openapi()["paths"].items()
        for verb, operation in verbs.items()
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "query"
    ]
    assert len(described) > 4
    for verb, path, name in described:
        response = await client.request(verb, re.sub(r"{\w+}", "job_1", path), params={name: "x"})
        assert "no query parameter" not in response.text, f"{verb} {path} {name}"


@pytest.mark.parametrize("address", ["/v1/jobs?limit=1&limit=2", "/v1/jobs?limit=2&status=queued&limit=2"])
async def test_a_parameter_given_twice_is_refused(client: httpx.AsyncClient, address: str) -> None:
    problem = assert_problem(await client.get(address), 422, "invalid_request")
    assert problem["detail"] == "The query parameter `limit` is given 2 times; give it once."
    assert pointers(problem) == ["#/query/limit"]


async def test_several_unknown_parameters_are_all_pointed_at(client: httpx.AsyncClient) -> None:
    problem = assert_problem(await client.get("/v1/jobs?a=1&b/c=&a=2&limit=2"), 422, "invalid_request")
    assert pointers(problem) == ["#/query/a", "#/query/b~1c"]


async def test_every_call_describes_the_refusal(app: FastAPI) -> None:
    for verbs in app.openapi()["paths"].values():
        for operation in verbs.values():
            assert "invalid_request" in operation["responses"]["422"]["description"]
