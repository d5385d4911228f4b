"""Patterns that call patterns: where they come from, and the names that the roles of a called one get.

An org chart that a workflow calls becomes a function inside the program of its caller; what else is called is kept
beside the program (`callees`). Either way an execution holds everything it runs, as it was when it started.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from compiler.patterns.reader import read_yaml
from compiler.patterns.report import Report
from schemas.base import Model

MAX_NESTING = 8
"""How deep patterns may call patterns."""


class PatternSource(Model, frozen=True, kw_only=True):
    """The text of a pattern file, with what it says its name and version are, and the modules it may import."""

    name: str
    version: str
    file: str
    text: str
    modules: dict[str, str] = {}


Lookup = Callable[[str], PatternSource | str]
"""Finds `name` or `name@1.x`; a text says in words why there is none."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls the pattern that is being written: nothing for one that runs by itself.

    `file` is the pattern's own file, where its program becomes a part of another one's.
    """

    prefix: str = ""
    callers: tuple[str, ...] = ()
    in_branch: bool = False
    integrates: bool = True
    file: str = ""


def renamed(fields: dict[str, Any], prefix: str) -> dict[str, Any]:
    """A role's fields; in a called pattern its roles have ids of their own, apart from those of the caller."""
    if not prefix:
        return fields
    made: dict[str, Any] = {**fields, "id": f"{prefix}-{fields['id']}"}
    if "reportsTo" in made:
        made["reportsTo"] = f"{prefix}-{made['reportsTo']}"
    if "routing" in made:
        made["routing"] = [{**rule, "to": [f"{prefix}-{to}" for to in rule["to"]]} for rule in fields["routing"]]
    if fields.get("escalation", {}).get("topicRoutes"):
        routes: dict[str, str] = fields["escalation"]["topicRoutes"]
        made["escalation"] = {**fields["escalation"], "topicRoutes": {k: f"{prefix}-{v}" for k, v in routes.items()}}
    if "verify" in made:
        verify: dict[str, Any] = fields["verify"]
        made["verify"] = {**verify, "oracles": renamed_oracles(verify["oracles"], prefix)}
    return made


def renamed_oracles(oracles: list[dict[str, Any]], prefix: str) -> list[dict[str, Any]]:
    """Oracles of a called pattern: they ask the roles of that pattern."""
    return [{**one, "role": f"{prefix}-{one['role']}"} if "role" in one else one for one in oracles]


def header_of(text: str, file: str) -> PatternSource | None:
    """What a YAML file says its pattern is called; None where that cannot be read."""
    root = read_yaml(text, Report(file, text))
    if root is None or root.kind != "map":
        return None
    said = {key.raw: value.raw for key, value in root.pairs if value.kind in {"text", "number"}}
    if not said.get("name"):
        return None
    return PatternSource(name=said["name"], version=said.get("version") or "1.0.0", file=file, text=text)
