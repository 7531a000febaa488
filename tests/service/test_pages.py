import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import httpx
import pytest
from fastapi import FastAPI
from jsonschema_rs import validator_for

import service
from jobs.errors import JobFailure, RequestError
from jobs.options import JobOptions, VariantName
from jobs.record import Job
from jobs.settings import Settings
from service.app import create_app
from service.reference_page import reference_page
from service.routers.pages import MEDIA_TYPES

pytestmark = pytest.mark.anyio

WEB = Path(service.__file__).parent / "web"
CALLS = {
    ("post", "/v1/jobs"): "create_job",
    ("get", "/v1/jobs"): "list_jobs",
    ("get", "/v1/jobs/{job_id}"): "get_job",
    ("delete", "/v1/jobs/{job_id}"): "delete_job",
    ("post", "/v1/jobs/{job_id}/cancel"): "cancel_job",
    ("post", "/v1/jobs/{job_id}/retry"): "retry_job",
    ("get", "/v1/jobs/{job_id}/events"): "watch_job",
    ("get", "/v1/jobs/{job_id}/content"): "get_job_content",
    ("head", "/v1/jobs/{job_id}/content"): "head_job_content",
    ("post", "/v1/keyframes"): "create_keyframes",
    ("get", "/v1/keyframes/{keyframes_id}"): "get_keyframes",
    ("delete", "/v1/keyframes/{keyframes_id}"): "delete_keyframes",
    ("post", "/v1/keyframes/{keyframes_id}/cancel"): "cancel_keyframes",
    ("get", "/v1/keyframes/{keyframes_id}/content"): "get_keyframes_content",
    ("head", "/v1/keyframes/{keyframes_id}/content"): "head_keyframes_content",
    ("get", "/v1/keyframes/{keyframes_id}/frames/{frame}"): "get_keyframe_picture",
    ("get", "/v1/jobs/{job_id}/stills/{frame}"): "get_job_still",
    ("get", "/v1/keyframes/{keyframes_id}/stills/{frame}"): "get_keyframes_still",
    ("post", "/v1/colorings"): "create_coloring",
    ("get", "/v1/colorings/{coloring_id}"): "get_coloring",
    ("delete", "/v1/colorings/{coloring_id}"): "delete_coloring",
    ("get", "/v1/colorings/{coloring_id}/content"): "get_coloring_content",
    ("head", "/v1/colorings/{coloring_id}/content"): "head_coloring_content",
    ("get", "/v1/models"): "list_models",
    ("options", "/v1/uploads"): "discover_uploads",
    ("post", "/v1/uploads"): "create_upload",
    ("head", "/v1/uploads/{upload_id}"): "get_upload_offset",
    ("get", "/v1/uploads/{upload_id}"): "get_upload",
    ("patch", "/v1/uploads/{upload_id}"): "append_to_upload",
    ("delete", "/v1/uploads/{upload_id}"): "delete_upload",
    ("get", "/healthz"): "get_health",
    ("get", "/readyz"): "get_readiness",
    ("get", "/version"): "get_version",
    ("get", "/metrics"): "get_metrics",
}


def references(node: object) -> Iterator[str]:
    """Every `$ref` below `node`."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_every_call_has_its_operation_id(app: FastAPI) -> None:
    described = {
        (verb, path): operation["operationId"]
        for path, verbs in app.openapi()["paths"].items()
        for verb, operation in verbs.items()
    }
    assert described == CALLS


def test_every_reference_in_the_description_leads_somewhere(app: FastAPI) -> None:
    document = app.openapi()
    found = set(references(document))
    assert "#/components/schemas/Problem" in found
    assert {ref.rsplit("/", 1)[1] for ref in found} <= document["components"]["schemas"].keys()


def test_every_error_is_described_as_a_problem(app: FastAPI) -> None:
    for path, verbs in app.openapi()["paths"].items():
        for operation in verbs.values():
            errors = {status: answer for status, answer in operation["responses"].items() if int(status) >= 400}
            assert path in ("/healthz", "/version") or errors
            for answer in errors.values():
                schema = answer["content"]["application/problem+json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Problem"}


def test_every_shape_and_every_number_in_it_is_explained(app: FastAPI) -> None:
    for name, schema in app.openapi()["components"]["schemas"].items():
        assert schema.get("description"), name
        for field, shape in schema.get("properties", {}).items():
            kinds = {kind.get("type") for kind in [shape, *shape.get("anyOf", [])]}
            assert "description" in shape or not kinds & {"integer", "number"}, f"{name}.{field}"


def test_the_form_is_described_with_its_parts(app: FastAPI) -> None:
    form = app.openapi()["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert form["encoding"]["options"]["contentType"] == "application/json"
    assert form["schema"] == {"$ref": "#/components/schemas/JobForm"}
    schemas = app.openapi()["components"]["schemas"]
    assert "required" not in schemas["JobForm"], "with `reuse` it all may be left out"
    assert schemas["JobForm"]["properties"]["options"]["$ref"] == "#/components/schemas/JobOptions"
    assert "required" not in schemas["JobOptions"]


@pytest.mark.parametrize("name", ["JobForm", "KeyframesForm"])
def test_a_form_has_one_video_in_one_of_three_ways(app: FastAPI, name: str) -> None:
    form = {**app.openapi()["components"]["schemas"][name], "properties": {}, "additionalProperties": True}
    fits = validator_for({"$schema": "https://json-schema.org/draft/2020-12/schema", **form}).is_valid
    rest = {"references": ["..."]}
    assert fits({"video": "...", **rest})
    assert fits({"video_upload": "...", **rest})
    assert fits({"video_of": "...", **rest})
    assert not fits({"video": "...", "video_of": "...", **rest})
    assert not fits({"video": "...", "video_upload": "...", **rest})
    assert not fits(rest)


def test_with_reuse_a_form_of_a_job_may_leave_out_what_the_earlier_job_has(app: FastAPI) -> None:
    document = {"$ref": "#/components/schemas/JobForm", "components": app.openapi()["components"]}
    fits = validator_for({"$schema": "https://json-schema.org/draft/2020-12/schema", **document}).is_valid
    # As `Client.resubmit` sends them.
    earlier = JobOptions().model_dump(mode="json")
    again = {"options": earlier | {"reuse": "job_" + "0" * 24, "omit_references": ["b.png"]}}
    video, other = {"video_of": "job_" + "0" * 24}, {"video_upload": "upload_" + "0" * 24}
    references = {"references": ["..."]}
    assert fits(again)
    assert fits(again | references)
    assert fits(again | video)
    assert not fits(again | video | other)
    assert not fits({"options": earlier} | references)
    assert not fits({"options": earlier} | video)
    assert fits({"options": earlier} | references | video)
    assert not fits({})


def test_generators_of_clients_know_what_the_description_uses(app: FastAPI) -> None:
    """Tried with openapi-python-client, which leaves out what it does not know, and with it the call."""
    for operations in app.openapi()["paths"].values():
        for operation in operations.values():
            for body in operation.get("requestBody", {}).get("content", {}).values():
                assert "$ref" in body["schema"] or body["schema"]["type"] == "string"
            for parameter in operation.get("parameters", []):
                assert "const" not in parameter["schema"]
            for status, answer in operation["responses"].items():
                if status.startswith("2") and "content" in answer:
                    known = {"application/json", "application/octet-stream", "text/event-stream", "text/plain"}
                    assert known & {kind.split(";")[0] for kind in answer["content"]}


def schemas_below(node: object) -> Iterator[object]:
    """Every schema of a description, wherever keywords place one."""
    if isinstance(node, dict):
        for keyword, value in node.items():
            if keyword in ("schema", "items", "not", "if", "then", "else"):
                yield value
            elif keyword in ("schemas", "properties"):
                yield from value.values()
            elif keyword in ("allOf", "anyOf", "oneOf"):
                yield from value
            yield from schemas_below(value)
    elif isinstance(node, list):
        for value in node:
            yield from schemas_below(value)


def test_no_schema_is_a_bare_boolean(app: FastAPI) -> None:
    """JSON Schema has `false`, but openapi-python-client refuses a whole description for it. (In the place of
    `additionalProperties` it reads one.)"""
    found = list(schemas_below(app.openapi()))
    assert {"type": "null"} in found
    assert [schema for schema in found if isinstance(schema, bool)] == []


def test_every_answer_in_json_is_shown_by_example(app: FastAPI) -> None:
    for path, operations in app.openapi()["paths"].items():
        for verb, operation in operations.items():
            for status, answer in operation["responses"].items():
                for kind, content in answer.get("content", {}).items():
                    problem = kind == "application/problem+json"
                    assert problem or "json" not in kind or content["example"], f"{verb} {path} {status}"


def test_a_job_is_shown_by_example(app: FastAPI) -> None:
    answers = app.openapi()["paths"]["/v1/jobs/{job_id}"]["get"]["responses"]
    shown = answers["200"]["content"]["application/json"]
    assert shown["schema"] == {"$ref": "#/components/schemas/Job"}
    assert Job.model_validate(shown["example"]).progress.frames_total == 240


def test_programs_learn_which_variants_and_failures_there_are(app: FastAPI) -> None:
    document = app.openapi()
    parameters = document["paths"]["/v1/jobs/{job_id}/content"]["get"]["parameters"]
    variant = next(parameter for parameter in parameters if parameter["name"] == "variant")
    assert variant["schema"]["enum"] == list(get_args(VariantName))
    code = document["components"]["schemas"]["JobError"]["properties"]["code"]
    assert "enum" not in code, "there may be more one day"
    assert all(f"`{kind.code}`" in code["description"] for kind in JobFailure.__subclasses__())


@pytest.mark.parametrize("kind", ["jobs/{job_id}", "keyframes/{keyframes_id}", "colorings/{coloring_id}"])
def test_programs_learn_when_to_look_again(app: FastAPI, kind: str) -> None:
    responses = app.openapi()["paths"][f"/v1/{kind}"]["get"]["responses"]
    assert {"ETag", "Retry-After"} <= responses["200"]["headers"].keys()
    assert "Retry-After" in responses["304"]["headers"]


def test_a_foreign_host_is_described_where_it_is_refused(app: FastAPI, locked_settings: tuple[Settings, str]) -> None:
    def describe_it(app: FastAPI) -> set[bool]:
        return {
            "421" in operation["responses"] for path in app.openapi()["paths"].values() for operation in path.values()
        }

    assert describe_it(app) == {True}
    assert describe_it(create_app(locked_settings[0])) == {False}


async def test_the_reference_loads_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    response = await client.get("/docs")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "<script" not in response.text
    links = re.findall(r'(?:src|href)="([^"]*)"', response.text)
    assert links
    assert all(link.startswith(("#", "data:,")) or re.match(r"/(?!/)", link) for link in links)


async def test_the_reference_names_every_call_and_every_code(client: httpx.AsyncClient) -> None:
    text = (await client.get("/docs")).text
    for operation_id in CALLS.values():
        assert f'id="{operation_id}"' in text

    def leaves(kind: type[RequestError]) -> Iterator[type[RequestError]]:
        for below in kind.__subclasses__():
            yield below
            yield from leaves(below)

    for kind in leaves(RequestError):
        assert text.count(f'id="{kind.code}"') == 1, "the problem's `type` is the address of this section"


async def test_the_reference_explains_fields(client: httpx.AsyncClient) -> None:
    assert "Seconds that are left at the present speed" in (await client.get("/docs")).text


async def test_links_within_the_reference_lead_somewhere(client: httpx.AsyncClient) -> None:
    text = (await client.get("/docs")).text
    targets = set(re.findall(r' id="([^"]*)"', text))
    assert set(re.findall(r'href="#([^"]*)"', text)) <= targets


async def test_the_page_is_this_servers_own_files_alone(client: httpx.AsyncClient) -> None:
    response = await client.get("/")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.split(" ", 1) for part in response.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert "unsafe" not in response.headers["content-security-policy"]
    links = re.findall(r'(?:src|href)="([^"]*)"', response.text)
    assert "/page/app.js" in links
    for link in links:
        assert link.startswith("#") or re.match(r"/(?!/)", link)
        assert link.startswith("#") or (await client.get(link)).status_code == 200
    assert not re.search(r"<script(?![^>]*src=)|<style|style=| on[a-z]+=", response.text)


async def test_every_file_of_the_page_comes_with_its_kind_and_once(client: httpx.AsyncClient) -> None:
    names = sorted(path.name for path in WEB.iterdir())
    assert {"app.js", "style.css"} <= set(names)
    for name in names:
        response = await client.get(f"/page/{name}")
        assert response.headers["content-type"].startswith(MEDIA_TYPES[name[name.rindex(".") :]])
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.content == (WEB / name).read_bytes()
        again = await client.get(f"/page/{name}", headers={"If-None-Match": response.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


async def test_scripts_stay_small_and_import_nothing_from_elsewhere() -> None:
    scripts = list(WEB.glob("*.js"))
    assert sum(path.stat().st_size for path in scripts) < 150_000
    for path in scripts:
        text = path.read_text()
        assert all(re.match(r"/page/\w+\.js$", name) for name in re.findall(r'from "([^"]*)"', text))
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|\beval\(|new Function|document\.write", text)


@pytest.mark.parametrize("name", ["nothing.js", "__init__.py", "..%2Fauth.py", "app"])
async def test_nothing_else_is_served_beside_the_page(client: httpx.AsyncClient, name: str) -> None:
    assert (await client.get(f"/page/{name}")).status_code == 404


def test_the_page_shows_names_as_text() -> None:
    document = {
        "info": {"title": "<i>", "version": "1", "description": "<i>"},
        "paths": {},
        "components": {"schemas": {"A": {"properties": {"<i>": {"type": "string"}}}}},
    }
    assert "<i>" not in reference_page(document)
