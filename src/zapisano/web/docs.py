"""The API's description as a page: made here from openapi.json, with no script of anybody else."""

import json
from collections.abc import Generator, Iterable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

# What a schema says of allowed values, and how a person would; {} is the schema's word.
RANGES = (
    ("minimum", "maximum", "{} to {}"),
    ("minLength", "maxLength", "{} to {} characters"),
    ("exclusiveMinimum", "exclusiveMaximum", "above {}, below {}"),
)
LIMITS = {
    "minimum": "from {}",
    "maximum": "to {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "exclusiveMinimum": "above {}",
    "exclusiveMaximum": "below {}",
    "pattern": "like {}",
    "default": "default {}",
}

# How each security scheme of the document is written in a request.
CREDENTIALS = {
    "masterToken": "Authorization: Bearer $MASTER_API_TOKEN",
    "session": "Cookie: next-auth.session-token=YOUR_TOKEN",
    "serverKey": "Authorization: Bearer zk_…",
}

router = APIRouter(include_in_schema=False)


@router.get("/docs", response_class=HTMLResponse)
async def docs(request: Request) -> HTMLResponse:
    """Show every route with its arguments, examples and errors."""
    schema: Mapping[str, Any] = request.app.openapi()
    operations = [
        _operation(schema, str(request.base_url).rstrip("/"), path, method, details)
        for path, methods in schema["paths"].items()
        for method, details in methods.items()
    ]
    page = PAGES.get_template("docs.html").render(info=schema["info"], operations=operations)
    return HTMLResponse(page, headers={"Content-Security-Policy": POLICY})


def _operation(
    schema: Mapping[str, Any], base: str, path: str, method: str, details: Mapping[str, Any]
) -> dict[str, Any]:
    body = _body(schema, details)
    parameters = details.get("parameters", ())
    return {
        "id": details["operationId"],
        "method": method.upper(),
        "path": path,
        "summary": details.get("summary", ""),
        "text": details.get("description", "").replace("`", ""),
        "arguments": [_argument(schema, one) for one in parameters if one["in"] != "cookie"],
        "fields": body["fields"],
        "curl": _curl(
            base + _filled(path, parameters), method, _shown_by(details), body["example"]
        ),
        "answers": [_answer(code, one) for code, one in sorted(details["responses"].items())],
    }


def _argument(schema: Mapping[str, Any], parameter: Mapping[str, Any]) -> dict[str, Any]:
    shape = parameter.get("schema", {})
    header = parameter["in"] == "header"
    return {
        "name": parameter["name"].title() if header else parameter["name"],
        "where": parameter["in"],
        "required": parameter.get("required", False),
        "rule": _rule(schema, shape),
        "text": parameter.get("description", shape.get("description", "")),
    }


def _rule(schema: Mapping[str, Any], shape: Mapping[str, Any]) -> str:
    """Say in a few words which values are allowed."""
    choices = [one for one in shape.get("anyOf", ()) if one.get("type") != "null"]
    if choices:
        return _rule(schema, choices[0])
    if "$ref" in shape:
        return _rule(schema, schema["components"]["schemas"][shape["$ref"].rpartition("/")[2]])
    if "items" in shape:
        return f"any of {_rule(schema, shape['items'])}"
    values = shape.get("enum")
    kind = " | ".join(map(str, values)) if values else str(shape.get("type", "any"))
    return ", ".join([kind, *_limits(shape)])


def _limits(shape: Mapping[str, Any]) -> Generator[str]:
    said: set[str] = set()
    for low, high, words in RANGES:
        if low in shape and high in shape:
            yield words.format(_plain(shape[low]), _plain(shape[high]))
            said |= {low, high}
    for key, words in LIMITS.items():
        if key not in said and shape.get(key, "") != "":
            yield words.format(_plain(shape[key]))


def _plain(value: object) -> str:
    """Write a value of the schema; its limits of whole numbers are floats there."""
    return f"{value:.0f}" if isinstance(value, float) else str(value)


def _body(schema: Mapping[str, Any], details: Mapping[str, Any]) -> dict[str, Any]:
    content = details.get("requestBody", {}).get("content", {}).get("application/json")
    if not content:
        return {"fields": [], "example": None}
    model = content["schema"]
    if "$ref" in model:
        model = schema["components"]["schemas"][model["$ref"].rpartition("/")[2]]
    required = model.get("required", ())
    fields = [
        {
            "name": field,
            "required": field in required,
            "rule": _rule(schema, shape),
            "text": shape.get("description", ""),
        }
        for field, shape in model["properties"].items()
    ]
    example = content["example"] if "example" in content else content["schema"]["examples"][0]
    return {"fields": fields, "example": example}


def _filled(path: str, parameters: Iterable[Mapping[str, Any]]) -> str:
    """Put the parameters' examples into a path."""
    for one in parameters:
        if one["in"] == "path":
            path = path.replace(f"{{{one['name']}}}", str(one["schema"]["examples"][0]))
    return path


def _shown_by(details: Mapping[str, Any]) -> str | None:
    """Return the header by which the caller shows who it is, where there is one."""
    ways = (way for one in details.get("security", ()) for way in one)
    return next((CREDENTIALS[way] for way in ways), None)


def _curl(url: str, method: str, credential: str | None, body: object) -> str:
    parts = [f"curl {url}"]
    if method != "get":
        parts.append(f"  -X {method.upper()}")
    if credential is not None:
        parts.append(f'  -H "{credential}"')
    if body is not None:
        parts.append("  -H 'Content-Type: application/json'")
        parts.append(f"  -d '{json.dumps(body, ensure_ascii=False)}'")
    return " \\\n".join(parts)


def _answer(code: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    content: Mapping[str, Mapping[str, Any]] = answer.get("content", {})
    media, example = next(
        ((media, one["example"]) for media, one in content.items() if "example" in one), ("", None)
    )
    text = (
        example if isinstance(example, str) else json.dumps(example, ensure_ascii=False, indent=2)
    )
    return {
        "code": code,
        "phrase": HTTPStatus(int(code)).phrase,
        "text": answer.get("description", "").replace("`", ""),
        "media": media,
        "example": text if example is not None else "",
    }
