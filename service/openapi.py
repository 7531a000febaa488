"""The OpenAPI description: FastAPI's own, with the parts that it cannot see."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.auth import asks_for_keys
from service.coloring_form import COLORING_FORM_SCHEMA
from service.job_form import JOB_FORM_SCHEMA
from service.keyframes_description import KEYFRAMES_FORM_SCHEMA
from service.problems import Problem

REFERENCES = "#/components/schemas/{model}"


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
        if not asks_for_keys(app.state.services.settings):
            _open(document)
        app.openapi_schema = document
    return app.openapi_schema


def _open(document: dict[str, Any]) -> None:
    """Take out what is said of keys: this server asks for none."""
    document["components"].pop("securitySchemes", None)
    for path in document["paths"].values():
        for operation in path.values():
            operation.pop("security", None)


def _say_what_can_be_left_out(document: dict[str, Any]) -> None:
    """A parameter that may be absent is never null: neither a header nor a query can carry one."""
    for path in document["paths"].values():
        for operation in path.values():
            for parameter in operation.get("parameters", ()):
                schema = parameter["schema"]
                kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
                if len(kinds) == 1:
                    del schema["anyOf"]
                    schema |= kinds[0]
