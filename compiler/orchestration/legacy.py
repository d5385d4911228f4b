"""Names that the original Parallax gave to its scripts, for whoever reads one with `--legacy`.

Its host put what the agents had said into four globals. Here a program asks for that itself (`parallel`, `aggregate`),
so an old script gets them from its input: what is given under their names, else nothing at all.
"""

from __future__ import annotations

from typing import Any, cast

LEGACY_GLOBALS: tuple[str, ...] = ("agentResults", "agentList", "agentCount", "successfulResults")
"""What agents gave, who they were, how many, and the results of those that did not fail."""


def legacy_inputs(given: dict[str, Any]) -> dict[str, Any]:
    """The globals of an old script, out of an input that may hold some of them."""
    results = _listed(given.get("agentResults"))
    agents = _listed(given.get("agentList"))
    succeeded = given.get("successfulResults")
    return {
        "agentResults": results,
        "agentList": agents,
        "agentCount": given.get("agentCount", len(agents) or len(results)),
        "successfulResults": [one for one in results if _succeeded(one)] if succeeded is None else _listed(succeeded),
    }


def _listed(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _succeeded(result: Any) -> bool:
    if not isinstance(result, dict):
        return result is not None
    fields = cast("dict[str, Any]", result)
    return not fields.get("error") and fields.get("success", True) is not False and fields.get("status") != "failed"
