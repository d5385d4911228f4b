"""docs/reference/http.md: the routes of the gateway, from its own OpenAPI document."""

from __future__ import annotations

from typing import Any, cast

from scripts.generating.pages import page, table
from scripts.generating.pages.types import fields, words
from scripts.generating.vocabulary import Schema
from services.gateway.access import Access
from services.gateway.context import Context
from services.gateway.service import application

_METHODS = ("get", "post", "put", "delete")


def openapi() -> Schema:
    """The OpenAPI document of the gateway. No route is called, so nothing stands behind them."""
    app = application(cast("Context", None), Access(""))
    return app.openapi_schema.to_schema()


def render() -> str:
    """The page."""
    document = openapi()
    routes = [
        (method, path, operation)
        for path, operations in sorted(document["paths"].items())
        for method, operation in sorted(operations.items())
        if method in _METHODS
    ]
    lines = [
        "# The HTTP gateway",
        "",
        f"OpenAPI {document['openapi']} is at `/schema`. Clients show a key as `Authorization: Bearer …` where"
        " `PARALLAX_API_KEY` is set. Errors are problem documents (RFC 9457, `application/problem+json`). Events stream"
        " as server-sent events, which resume by `Last-Event-ID`, and over a WebSocket at"
        " `/api/executions/{name}/stream`.",
        "",
        *table(
            ("method", "path", "what it does"),
            ((method.upper(), f"`{path}`", operation.get("summary", "")) for method, path, operation in routes),
        ),
    ]
    for method, path, operation in routes:
        lines += ["", f"## {method.upper()} {path}", "", operation.get("summary", "")]
        if text := operation.get("description", ""):
            lines += ["", text]
        lines += _parameters(operation) + _body(operation)
        lines += ["", f"Answers: {_answers(operation)}."]
    lines += ["", "# Bodies"]
    for name, schema in sorted(document["components"]["schemas"].items()):
        if schema.get("properties"):
            lines += ["", f"## {name}", "", schema.get("description", ""), ""]
            lines += table(("field", "type", "default"), fields(schema))
    return page(lines)


def _parameters(operation: dict[str, Any]) -> list[str]:
    rows = [
        (f"`{each['name']}`", each["in"], words(each.get("schema", {})), each.get("description", ""))
        for each in sorted(operation.get("parameters", []), key=lambda each: (each["in"] != "path", each["name"]))
    ]
    return ["", *table(("parameter", "in", "type", "meaning"), rows)] if rows else []


def _body(operation: dict[str, Any]) -> list[str]:
    kinds = operation.get("requestBody", {}).get("content", {})
    return [line for kind, media in kinds.items() for line in ("", f"Body: {words(media['schema'])} (`{kind}`).")]


def _answers(operation: dict[str, Any]) -> str:
    return "; ".join(
        f"`{code}` {answer.get('description', '')}".strip()
        for code, answer in sorted(operation.get("responses", {}).items())
    )
