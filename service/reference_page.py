"""`/docs`: the OpenAPI description as one plain page, with a section for every error code.

FastAPI's Swagger page loads its scripts from outside addresses; a service that runs without a network shall be
readable without one.
"""

import json
from html import escape
from typing import Any

from jobs.errors import JobFailure, RequestError
from service.page import page, table
from service.problems import kinds_below


def reference_page(openapi: dict[str, Any]) -> str:
    """HTML of the whole reference."""
    info = openapi["info"]
    calls = "".join(
        _call(verb=verb, path=path, operation=operation)
        for path, verbs in openapi["paths"].items()
        for verb, operation in verbs.items()
    )
    schemas = "".join(
        f'<h3 id="schema-{escape(name)}">{escape(name)}</h3>{_schema(schema)}'
        for name, schema in openapi["components"]["schemas"].items()
    )
    body = (
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info['description'])}</p>"
        '<p><a href="/">Start</a> · <a href="/openapi.json">openapi.json</a> · <a href="#calls">Calls</a> · '
        '<a href="#errors">Errors</a> · <a href="#schemas">Schemas</a></p>'
        f'<h2 id="calls">Calls</h2>{calls}<h2 id="errors">Errors</h2>{_errors()}<h2 id="schemas">Schemas</h2>{schemas}'
    )
    return page(f"{info['title']}: reference", body)


def _call(*, verb: str, path: str, operation: dict[str, Any]) -> str:
    parameters = [
        (
            f"<code>{escape(parameter['name'])}</code>",
            escape(parameter["in"]),
            _type(parameter["schema"]),
            escape(parameter.get("description", "")),
        )
        for parameter in operation.get("parameters", [])
    ]
    responses = [
        (f"<code>{escape(str(status))}</code>", escape(response["description"]), _content(response))
        for status, response in operation["responses"].items()
    ]
    parts = [
        f'<h3 id="{escape(operation["operationId"])}"><span class="verb">{verb.upper()}</span> '
        f"<code>{escape(path)}</code> · {escape(operation['summary'])}</h3>",
        "".join(f"<p>{escape(text)}</p>" for text in operation.get("description", "").split("\n\n") if text),
    ]
    if parameters:
        parts.append(table(("Parameter", "In", "Type", ""), parameters))
    if body := operation.get("requestBody"):
        parts.extend(
            f"<p>Body: <code>{escape(media_type)}</code> {_type(content['schema'])}</p>"
            for media_type, content in body["content"].items()
        )
    parts.append(table(("Status", "Meaning", "Body"), responses))
    return "".join(parts)


def _content(response: dict[str, Any]) -> str:
    return "<br>".join(
        f"<code>{escape(media_type)}</code> {_type(content.get('schema', {}))}"
        for media_type, content in response.get("content", {}).items()
    )


def _schema(schema: dict[str, Any]) -> str:
    described = f"<p>{escape(schema['description'])}</p>" if "description" in schema else ""
    if "properties" not in schema:
        return described + f"<pre>{escape(json.dumps(schema, indent=2))}</pre>"
    required = schema.get("required", [])
    rows = [
        (
            f"<code>{escape(name)}</code>{' (required)' if name in required else ''}",
            _type(field),
            f"<code>{escape(json.dumps(field['default']))}</code>" if "default" in field else "",
            escape(field.get("description", "")),
        )
        for name, field in schema["properties"].items()
    ]
    return described + table(("Field", "Type", "Default", ""), rows)


def _type(schema: dict[str, Any]) -> str:
    """One line of HTML for a type, with a link where it has a section."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rsplit("/", 1)[-1])
        return f'<a href="#schema-{name}">{name}</a>'
    if "enum" in schema:
        return " or ".join(f"<code>{escape(json.dumps(value))}</code>" for value in schema["enum"])
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return " or ".join(_type(kind) for kind in schema[choice])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return escape(" ".join(str(schema[key]) for key in ("type", "format") if key in schema))


def _errors() -> str:
    kinds = {kind.code: kind for kind in kinds_below(RequestError)}
    answers = [
        (f'<code id="{escape(kind.code)}">{escape(kind.code)}</code>', str(kind.status), escape(kind.title))
        for kind in sorted(kinds.values(), key=lambda kind: (kind.status, kind.code))
    ]
    failures = sorted({(kind.code, kind.title) for kind in kinds_below(JobFailure)})
    rows = [(f"<code>{escape(code)}</code>", escape(title)) for code, title in failures]
    return (
        "<p>Every error is <code>application/problem+json</code> (RFC 9457); <code>code</code> is one of:</p>"
        + table(("Code", "Status", ""), answers)
        + "<p>A job that ends as <code>failed</code> says why in <code>error.code</code>:</p>"
        + table(("Code", ""), rows)
    )
