"""The OpenAPI description: FastAPI's own, with the parts that it cannot see."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from jobs.errors import JobFailure, MisdirectedRequest
from service.auth import answers_to_own_names_alone, asks_for_keys
from service.coloring_form import COLORING_FORM_SCHEMA
from service.job_form import JOB_FORM_SCHEMA
from service.keyframes_description import KEYFRAMES_FORM_SCHEMA
from service.problems import Problem, describe_problems, kinds_below

REFERENCES = "#/components/schemas/{model}"
MISDIRECTED = {"421": describe_problems(MisdirectedRequest)[421]}
"""What `service.own_host` answers, whatever the call."""


def describe(app: FastAPI) -> dict[str, Any]:
    """The description of `app`, made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            separate_input_output_schemas=False,  # `JobOptions` is read more than it is written: show what is required
        )
        problem = Problem.model_json_schema(ref_template=REFERENCES)
        schemas = document["components"]["schemas"]
        schemas |= problem.pop("$defs")
        schemas |= {
            "Problem": problem,
            "JobForm": JOB_FORM_SCHEMA,
            "KeyframesForm": KEYFRAMES_FORM_SCHEMA,
            "ColoringForm": COLORING_FORM_SCHEMA,
        }
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        _say_what_can_be_left_out(document)
        _say_why_jobs_fail(schemas["JobError"])
        settings = app.state.services.settings
        if not asks_for_keys(settings):
            _open(document)
        if answers_to_own_names_alone(settings):
            for operation in _operations(document):
                operation["responses"] |= MISDIRECTED
        app.openapi_schema = document
    return app.openapi_schema


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        yield from path.values()


def _say_why_jobs_fail(schema: dict[str, Any]) -> None:
    """No enum: a client that was generated from one would choke on a code of a later version."""
    codes = ", ".join(f"`{code}`" for code in sorted({kind.code for kind in kinds_below(JobFailure)}))
    schema["properties"]["code"]["description"] += f" Now one of {codes}; later versions may have more."


def _open(document: dict[str, Any]) -> None:
    """Take out what is said of keys: this server asks for none."""
    document["components"].pop("securitySchemes", None)
    for operation in _operations(document):
        operation.pop("security", None)


def _say_what_can_be_left_out(document: dict[str, Any]) -> None:
    """A parameter that may be absent is never null: neither a header nor a query can carry one."""
    for operation in _operations(document):
        for parameter in operation.get("parameters", ()):
            schema = parameter["schema"]
            kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
            if len(kinds) == 1:
                del schema["anyOf"]
                schema |= kinds[0]
