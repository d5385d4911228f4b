"""The OpenAPI document: what the framework knows of the routes, completed by what only this house knows.

The framework sees paths, parameters and what is returned. That errors are problem documents, which ones an operation
may answer, what its body holds, and that a stream is one, is added here, for every operation by the same rules.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.datastructures import State

from services.gateway.bodies import EXECUTION_STATUSES, QUESTION_STATUSES, components
from services.gateway.context import context_of
from services.gateway.problems import PROBLEM_JSON, TITLES

Document = dict[str, Any]

_MEDIA_TYPE = "application/vnd.oai.openapi+json"
_STREAMS = ("/events/stream", "/output")
_LONG = ("/replay", "/workspaces/{id}", "/diff")
_PURE = ("/validate", "/compile")
_RUNS = {"/api/executions", "/api/patterns/{name}/execute"}
_PATTERNS = {"wait": r"^\d{1,12}(\.\d{1,6})?(ms|s|m|h)?$", "session": r"^[A-Za-z0-9_-]{0,200}$"}
_ENUMS = {
    ("/api/executions", "status"): EXECUTION_STATUSES,
    ("/api/questions", "status"): QUESTION_STATUSES,
}
_ID_PARAMETERS = {"agent_id": "id", "question_id": "id", "name": "id"}


@get(["/schema", "/schema/openapi.json"], include_in_schema=False)
async def schema(request: Request[Any, Any, Any], state: State) -> Response[bytes]:
    """The OpenAPI document."""
    document = described(request.app.openapi_schema.to_schema(), keyed=bool(context_of(state).settings.api_key))
    return Response(msgspec.json.encode(document), media_type=_MEDIA_TYPE)


def described(document: Document, *, keyed: bool) -> Document:
    """The framework's document, completed. `keyed`: clients need a key. The one that is given stays as it is."""
    out = deepcopy(document)
    if not keyed:
        out["security"] = []
    out["components"]["schemas"] = components() | out["components"].get("schemas", {})
    paths: Document = {}
    for path, item in out["paths"].items():
        shown = _path(path)
        for method, operation in item.items():
            _operation(shown, method, operation, renamed=shown != path)
        paths[shown] = item
    out["paths"] = paths
    return out


def _path(path: str) -> str:
    """A path with `{id}` for whatever has an id. Patterns have names."""
    if path.startswith("/api/patterns"):
        return path
    for name, shown in _ID_PARAMETERS.items():
        path = path.replace(f"{{{name}}}", f"{{{shown}}}")
    return path


def _operation(path: str, method: str, operation: Document, *, renamed: bool) -> None:
    parameters: list[Document] = operation.get("parameters", [])
    for parameter in parameters:
        if parameter["name"] in _PATTERNS:
            parameter["schema"] = {"type": "string", "pattern": _PATTERNS[parameter["name"]]}
        if (path, parameter["name"]) in _ENUMS:
            parameter["schema"] = {"type": "string", "enum": list(_ENUMS[path, parameter["name"]])}
        if renamed and parameter["in"] == "path":
            parameter["name"] = _ID_PARAMETERS.get(parameter["name"], parameter["name"])
    if not path.startswith("/api/") or path.startswith("/api/health"):
        _servers_health(path, operation)
        return
    responses: Document = operation["responses"]
    responses.pop("400", None)
    for status in sorted(_errors(path, method, operation)):
        responses[str(status)] = _problem(status)
    if method == "post" and path in _RUNS:
        _runs(operation, parameters, responses)
    if path.endswith(_STREAMS):
        responses["200"]["content"] = {"text/event-stream": {"schema": {"type": "string"}}}
        operation["parameters"] = [*parameters, _header("Last-Event-ID", "The last id that the client had.")]


def _errors(path: str, method: str, operation: Document) -> set[int]:
    """The statuses of the errors that an operation may answer."""
    statuses = {401, 403, 503}
    if "requestBody" in operation:
        statuses |= {400, 413, 415, 422}
    if operation.get("parameters"):
        statuses.add(422)
    if "{" in path:
        statuses.add(404)
    if (method == "post" and not path.endswith(_PURE)) or path.endswith("/replay"):
        statuses.add(409)
    if path.endswith(_LONG):
        statuses.add(504)
    return statuses


def _servers_health(path: str, operation: Document) -> None:
    if path.endswith("/metrics"):
        operation["responses"] |= {str(status): _problem(status) for status in (401, 403)}
        operation["responses"]["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
        return
    operation["security"] = []
    if path.endswith("/ready"):
        operation["responses"]["503"] = {**operation["responses"]["200"], "description": "A server is away."}


def _runs(operation: Document, parameters: list[Document], responses: Document) -> None:
    """What both ways of asking for an execution have in common."""
    responses["202"]["content"] = _json("ExecutionCreated")
    responses["200"] = {"description": "It ended within `wait`.", "content": _json("ExecutionView")}
    key = _header("Idempotency-Key", "The id of the execution. The same key gives the same execution.")
    operation["parameters"] = [*parameters, key]


def _header(name: str, text: str) -> Document:
    return {"name": name, "in": "header", "required": False, "description": text, "schema": {"type": "string"}}


def _json(name: str) -> Document:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}


def _problem(status: int) -> Document:
    schema = {"$ref": "#/components/schemas/ProblemDocument"}
    return {"description": f"{TITLES[status]}.", "content": {PROBLEM_JSON: {"schema": schema}}}
