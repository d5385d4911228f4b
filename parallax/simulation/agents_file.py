"""Reading an agents file: every mistake at once, each with its line and a hint. Nothing in it is ignored silently."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

from msgspec.structs import replace

from compiler.patterns.reader import Node, read_yaml
from compiler.patterns.report import Report
from compiler.patterns.view import View, to_json
from parallax.simulation.distributions import Distribution
from parallax.simulation.model import (
    Agents,
    FollowsQuality,
    SignalModel,
    changed,
    merged,
)
from parallax.simulation.number_nodes import MANY, SHARE, TIME, Bounds, read_distribution, wrong_kind
from schemas.base import Model
from schemas.patterns import PatternDiagnostic

_FILE = ("good", "default", "roles", "steps", "people", "signals", "workspace", "platform")
_NUMBERS: dict[str, tuple[str, Bounds]] = {
    "seconds": ("seconds", TIME),
    "costUsd": ("cost_usd", MANY),
    "inputTokens": ("input_tokens", MANY),
    "outputTokens": ("output_tokens", MANY),
    "quality": ("quality", SHARE),
    "improvement": ("improvement", SHARE),
    "lie": ("lie", SHARE),
}
_SHARES = ("lying", "disagreement", "changes", "asks")
_FAILURES = ("error", "crash", "silent", "timeout", "empty")
_REVIEW = ("sensitivity", "specificity", "reject")
_AGENT = (*_NUMBERS, "confidence", *_SHARES, "failure", "results", "questions", "review", "verify")
_ROLE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}\Z")


class AgentsResult(Model, frozen=True, kw_only=True):
    """The agents of a file, unless an error was found, and everything that was found."""

    agents: Agents | None
    diagnostics: list[PatternDiagnostic] = []


def read_agents(text: str, *, filename: str) -> AgentsResult:
    """Reads the text of an agents file. Never raises for what is in it."""
    report = Report(filename, text)
    if not text.strip() or all(line.lstrip().startswith("#") or not line.strip() for line in text.splitlines()):
        return AgentsResult(agents=Agents())
    root = read_yaml(text, report)
    agents = None if root is None else _agents(root, report, Agents())
    return AgentsResult(agents=None if report.failed else agents, diagnostics=report.sorted())


def agents_from(values: Mapping[str, Any], *, source: str = "agents", base: Agents | None = None) -> AgentsResult:
    """As `read_agents`, for the same structure as Python or JSON data, which may say what differs from `base`."""
    report = Report(source, "")
    agents = _agents(node_of(values), report, base or Agents())
    return AgentsResult(agents=None if report.failed else agents, diagnostics=report.sorted())


def node_of(value: Any) -> Node:
    """Plain data as a tree without places."""
    if isinstance(value, Mapping):
        entries = cast("Mapping[Any, Any]", value).items()
        pairs = [(Node(kind="text", value=str(k), raw=str(k), line=0, column=0), node_of(v)) for k, v in entries]
        return Node(kind="map", value=pairs, line=0, column=0)
    if isinstance(value, list | tuple):
        items = [node_of(item) for item in cast("list[Any]", value)]
        return Node(kind="list", value=items, line=0, column=0)
    if isinstance(value, bool):
        return Node(kind="boolean", value=value, raw=str(value).lower(), line=0, column=0)
    if isinstance(value, int | float):
        return Node(kind="number", value=value, raw=f"{value:g}", line=0, column=0)
    if value is None:
        return Node(kind="null", value=None, line=0, column=0)
    return Node(kind="text", value=str(value), raw=str(value), line=0, column=0)


def _agents(root: Node, report: Report, base: Agents) -> Agents:
    view = View(root, report, "the agents file", _FILE)
    good = view.number("good")
    return Agents(
        good=base.good if good is None else good,
        default=changed(base.default, _agent(view.get("default"), "default", report)),
        roles=_sections(view, "roles", base.roles),
        steps=_sections(view, "steps", base.steps),
        people=replace(base.people, **_people(view.get("people"), report)),
        signals=base.signals
        | {name.raw: _signal(name.raw, value, report) for name, value in _entries(view, "signals")},
        workspace=replace(base.workspace, **_workspace(view.get("workspace"), report)),
        platform=replace(base.platform, **_platform(view.get("platform"), report)),
    )


def _sections(view: View, key: str, base: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    made = dict(base)
    for name, node in _entries(view, key, named=key == "roles"):
        made[name.raw] = merged(made.get(name.raw, {}), _agent(node, f"{key[:-1]} {name.raw!r}", view.report))
    return made


def _entries(view: View, key: str, *, named: bool = False) -> Iterable[tuple[Node, Node]]:
    node = view.get(key)
    if node is None:
        return
    if node.kind != "map":
        view.wrong(key, node, "a map from names to what is different there")
        return
    for name, value in node.pairs:
        if named and not _ROLE.match(name.raw):
            hint = "A letter, then letters, digits, - or _."
            view.report.error("bad-name", name.line, name.column, f"{name.raw!r} cannot be a role", hint)
        else:
            yield name, value


def _agent(node: Node | None, what: str, report: Report) -> dict[str, Any]:
    """The fields of `AgentModel` that a section changes."""
    if node is None or node.kind == "null":
        return {}
    view = View(node, report, what, _AGENT)
    made: dict[str, Any] = {}
    for key, (field, bounds) in _NUMBERS.items():
        if (found := _distribution(view, key, bounds)) is not None:
            made[field] = found
    for key in _SHARES:
        if (share := view.number(key)) is not None:
            made[key] = share
    if (confidence := view.get("confidence")) is not None:
        made["confidence"] = _confidence(confidence, view, report)
    if (failure := view.get("failure")) is not None:
        made["failure"] = _failure(failure, what, report)
    if (results := view.get("results")) is not None:
        made["results"] = _results(results, view, report)
    if asked := view.texts("questions", single=True):
        made["questions"] = [text for text, _ in asked]
    return made | _judging(view, what, report)


def _results(node: Node, view: View, report: Report) -> list[Any]:
    if node.kind == "list" and not node.items:
        hint = "The first is what good work gives, the others what bad work gives."
        report.error("wrong-type", node.line, node.column, "'results' has no value in it", hint)
    return [to_json(item) for item in view.items("results")]


def _judging(view: View, what: str, report: Report) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if (review := view.get("review")) is not None:
        inner = View(review, report, f"the review of {what}", _REVIEW)
        made["review"] = _shares(inner, {key: key for key in _REVIEW})
    if (verify := view.get("verify")) is not None:
        inner = View(verify, report, f"the verify of {what}", ("falsePass", "falseFail", "missing", "seconds"))
        keys = {"falsePass": "false_pass", "falseFail": "false_fail", "missing": "missing"}
        made["verify"] = _shares(inner, keys) | _timed(inner)
    return made


def _confidence(node: Node, view: View, report: Report) -> Distribution | FollowsQuality | None:
    if node.kind == "text" and node.value == "none":
        return None
    if node.kind == "map" and len(node.pairs) == 1 and node.pairs[0][0].raw == "quality":
        value = node.pairs[0][1]
        if value.kind == "null":
            return FollowsQuality()
        inner = View(value, report, "a confidence that follows the quality", ("bias", "noise"))
        bias, noise = inner.number("bias", 0.1, least=-1.0), inner.number("noise", 0.1)
        return FollowsQuality(bias=0.1 if bias is None else bias, noise=0.1 if noise is None else noise)
    return read_distribution(node, "'confidence'", SHARE, report, more=("quality", "none")) if view.valid else None


def _failure(node: Node, what: str, report: Report) -> dict[str, Any]:
    if node.kind == "number":
        hint = "For example failure: {error: 0.1, crash: 0.02}."
        wrong_kind(report, node, "'failure'", "a map from kinds of failures to their shares", hint)
        return {}
    inner = View(node, report, f"the failure of {what}", _FAILURES)
    made = _shares(inner, {key: key for key in _FAILURES})
    if sum(made.values()) > 1:
        report.error("out-of-range", node.line, node.column, f"the failures of {what} add up to more than 1")
    return made


def _shares(view: View, keys: Mapping[str, str]) -> dict[str, Any]:
    return {field: share for key, field in keys.items() if (share := view.number(key)) is not None}


def _timed(view: View) -> dict[str, Any]:
    found = _distribution(view, "seconds", TIME)
    return {} if found is None else {"seconds": found}


def _distribution(view: View, key: str, bounds: Bounds) -> Distribution | None:
    node = view.get(key)
    return None if node is None else read_distribution(node, f"{key!r} of {view.what}", bounds, view.report)


def _people(node: Node | None, report: Report) -> dict[str, Any]:
    if node is None:
        return {}
    view = View(node, report, "people", ("seconds", "answers", "approveGood", "approveBad", "choices"))
    keys = {"answers": "answers", "approveGood": "approve_good", "approveBad": "approve_bad"}
    made = _shares(view, keys) | _timed(view)
    if (choices := view.get("choices")) is not None:
        if choices.kind != "map":
            view.wrong("choices", choices, "a map from answers to how often they are given")
        else:
            weights = View(choices, report, "the choices", [key.raw for key, _ in choices.pairs])
            made["choices"] = {key.raw: weights.number(key.raw, 0.0, most=1e9) for key, _ in choices.pairs}
    return made


def _signal(name: str, node: Node, report: Report) -> SignalModel:
    if node.kind == "null":
        return SignalModel()
    view = View(node, report, f"signal {name!r}", ("probability", "seconds", "data"))
    made = _shares(view, {"probability": "probability"}) | _timed(view)
    return SignalModel(**made, data=view.json("data"))


def _workspace(node: Node | None, report: Report) -> dict[str, Any]:
    if node is None:
        return {}
    view = View(node, report, "workspace", ("conflict", "seconds"))
    return _shares(view, {"conflict": "conflict"}) | _timed(view)


def _platform(node: Node | None, report: Report) -> dict[str, Any]:
    if node is None:
        return {}
    view = View(node, report, "platform", ("retries", "instances", "silenceMs"))
    wanted = {
        "retries": view.integer("retries", most=100),
        "instances": view.integer("instances", least=1, most=10_000),
        "silence_ms": view.integer("silenceMs", least=1),
    }
    return {name: value for name, value in wanted.items() if value is not None}
