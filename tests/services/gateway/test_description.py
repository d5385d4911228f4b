"""The OpenAPI document of the gateway."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx

from tests.services.gateway.house import House


async def document(house: House) -> dict[str, Any]:
    """The document as it is served."""
    async with httpx.AsyncClient(base_url=house.url) as client:
        return (await client.get("/schema")).json()


def references(value: Any) -> Iterator[str]:
    """Every `$ref` in a document."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "$ref":
                yield inner
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


async def test_the_interface_describes_itself(house: House) -> None:
    """OpenAPI 3.1 at /schema, with every path."""
    found = await document(house)
    assert found["openapi"].startswith("3.1")
    paths = {"/api/executions", "/api/executions/{id}/events/stream", "/api/executions/{id}/retry", "/health/ready"}
    assert paths <= set(found["paths"])


async def test_every_reference_leads_somewhere(house: House) -> None:
    """Bodies and answers name schemas that are in the document."""
    found = await document(house)
    names = {reference.removeprefix("#/components/schemas/") for reference in references(found)}
    assert {"ExecutionBody", "ProblemDocument", "ExecutionView"} <= names
    assert names <= set(found["components"]["schemas"])


async def test_every_path_parameter_is_in_its_path(house: House) -> None:
    """A parameter that was given another name has it in both places."""
    for path, item in (await document(house))["paths"].items():
        for operation in item.values():
            named = {one["name"] for one in operation.get("parameters", []) if one["in"] == "path"}
            assert named == {part[1:-1] for part in path.split("/") if part.startswith("{")}, path


async def test_errors_are_described_as_problem_documents(house: House) -> None:
    """Each error status of each operation has the one form."""
    for path, item in (await document(house))["paths"].items():
        for operation in item.values():
            for status, response in operation["responses"].items():
                if int(status) >= 400 and not path.endswith("/ready"):
                    assert list(response["content"]) == ["application/problem+json"], (path, status)


async def test_without_keys_none_is_asked_for(house: House) -> None:
    """The document does not ask clients for what the gateway does not."""
    assert (await document(house))["security"] == []
