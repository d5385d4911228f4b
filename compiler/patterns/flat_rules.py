"""Reading how the results of equals become one, and what that has to be."""

from __future__ import annotations

import re
from typing import Any

from compiler.patterns.inputs import read_value_schema
from compiler.patterns.reader import Node
from compiler.patterns.report import Report
from compiler.patterns.view import View, to_json

AGGREGATIONS = ("voting", "consensus", "merge", "first", "best", "weighted")
METHODS: dict[str, tuple[str, ...]] = {
    "voting": ("majority", "unanimous", "weighted", "plurality"),
    "merge": ("deep", "shallow", "concat", "union"),
}
ALL_METHODS = tuple(word for words in METHODS.values() for word in words)
_FAILURES = ("fail", "retry", "fallback")
CONFLICTS = ("first", "last", "highest_confidence", "highest-confidence", "weighted", "omit", "fail")
_TIME = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)\Z")
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
_LONGEST = 2_592_000_000


def duration(view: View, key: str, *, least: int = 1) -> int | None:
    """A time: milliseconds, or a text such as `30s`."""
    node = view.get(key)
    if node is None or node.kind == "number":
        return view.integer(key, least=least, most=_LONGEST)
    match = _TIME.match(node.raw) if node.kind == "text" else None
    if match is None:
        view.wrong(key, node, "a time", "Milliseconds, or a number with ms, s, m or h, for example 30s.")
        return None
    return min(_LONGEST, max(least, int(float(match[1]) * _UNITS[match[2]])))


def read_aggregation(node: Node | None, report: Report) -> dict[str, Any]:
    """How results become one."""
    if node is None:
        return {}
    keys = (
        "strategy", "method", "minVotes", "weights", "threshold", "fields", "conflictResolution", "deduplication",
    )  # fmt: skip
    view = View(node, report, "aggregation", keys)
    if not view.valid:
        return {}
    if not view.has("strategy"):
        view.missing("strategy", f"One of {', '.join(AGGREGATIONS)}.")
    made: dict[str, Any] = {"strategy": view.choice("strategy", AGGREGATIONS, "", "unknown-method")}
    method = view.choice("method", ALL_METHODS, "", "unknown-method")
    allowed = METHODS.get(made["strategy"], ())
    if method and method not in allowed and made["strategy"]:
        place = view.get("method") or node
        hint = f"One of {', '.join(allowed)}." if allowed else "Remove the key."
        message = f"'method: {method}' has no effect on {made['strategy']}"
        report.error("bad-value", place.line, place.column, message, hint)
    elif method:
        made["method"] = method
    found: dict[str, Any] = {
        "minVotes": view.integer("minVotes", least=1, most=1000),
        "threshold": view.number("threshold"),
        **_fields(view),
        "conflictResolution": view.choice("conflictResolution", CONFLICTS, "").replace("-", "_") or None,
        "deduplication": view.flag("deduplication"),
    }
    if (weights := view.get("weights")) is not None:
        names = [key.raw for key, _ in weights.pairs]
        numbers = View(weights, report, "weights", names)
        if numbers.valid:
            found["weights"] = {name: numbers.number(name, most=1_000_000.0) for name in names}
    _effective(view, made)
    return {**made, **{key: value for key, value in found.items() if value is not None}}


def _fields(view: View) -> dict[str, Any]:
    """The fields that count, each of which may have a threshold of its own in a consensus."""
    node = view.get("fields")
    if node is None or node.kind != "list" or all(item.kind != "map" for item in node.items):
        return {"fields": [word for word, _ in view.texts("fields")] or None}
    names, thresholds = list[str](), dict[str, float]()
    for item in node.items:
        field = View(item, view.report, "a field", ("name", "threshold")) if item.kind == "map" else None
        name = item.raw if field is None else field.text("name", required=True, hint="name: verdict")
        names += [name] if name else []
        if field is not None and (bound := field.number("threshold")) is not None:
            thresholds[name] = bound
    return {"fields": names or None, "thresholds": thresholds or None}


def check_votes(aggregation: dict[str, Any], node: Node | None, count: int, report: Report) -> None:
    """Reports more votes than there can be."""
    wanted = aggregation.get("minVotes")
    if wanted is not None and wanted > count and node is not None:
        place = next(value for key, value in node.pairs if key.raw == "minVotes")
        message = f"minVotes ({wanted}) is more than there are agents ({count})"
        report.error("out-of-range", place.line, place.column, message, "Raise agents.min.")


def _effective(view: View, made: dict[str, Any]) -> None:
    voting = {"voting", "weighted"}
    for_strategies = {
        "minVotes": voting | {"consensus"},
        "weights": {"weighted"} if made.get("method") != "weighted" else voting,
        "threshold": voting | {"consensus"},
        "fields": voting | {"consensus", "merge"},
        "conflictResolution": {"consensus", "merge"},
        "deduplication": {"merge"},
    }
    for key, strategies in for_strategies.items():
        if view.has(key) and made["strategy"] and made["strategy"] not in strategies:
            place = view.key(key)
            message = f"{key!r} has no effect on {made['strategy']}"
            view.report.error("bad-value", place.line, place.column, message, "Remove the key.")


def read_validation(node: Node | None, report: Report) -> dict[str, Any]:
    """What a result has to be, and what happens when it is not."""
    if node is None:
        return {}
    keys = ("minConfidence", "onFailure", "maxRetries", "retryDelay", "fallback", "schema")
    view = View(node, report, "validation", keys)
    if not view.valid:
        return {}
    made: dict[str, Any] = {
        "minConfidence": view.number("minConfidence"),
        "onFailure": view.choice("onFailure", _FAILURES, "fail"),
        "maxRetries": view.integer("maxRetries", least=1, most=100),
        "retryDelay": duration(view, "retryDelay", least=0),
    }
    known = view.is_one_of("onFailure", _FAILURES)
    for key in ("maxRetries", "retryDelay") if known else ():
        if view.has(key) and made["onFailure"] != "retry":
            place = view.key(key)
            message = f"{key!r} has no effect: onFailure is {made['onFailure']}"
            report.error("bad-value", place.line, place.column, message, "Write onFailure: retry.")
    if view.has("fallback"):
        made["fallback"] = _fallback(view)
        if view.has("onFailure") and made["onFailure"] == "fail" and known:
            place = view.key("fallback")
            message = "'fallback' has no effect: onFailure is fail"
            report.error("bad-value", place.line, place.column, message, "Write onFailure: fallback.")
    elif made["onFailure"] == "fallback":
        view.missing("fallback", "What the result is when the step fails.")
    if (schema := view.get("schema")) is not None:
        made["schema"] = read_value_schema(schema, report, "the result")
    return {key: value for key, value in made.items() if value is not None}


def _fallback(view: View) -> Any:
    """What stands in for a result; older files write it as the `value` of a fallback of type `default`."""
    node = view.get("fallback")
    keys = {key.raw: value for key, value in node.pairs} if node is not None else {}
    kind = keys.get("type")
    if kind is None or kind.raw not in {"default", "escalate"} or not set(keys) <= {"type", "value", "to"}:
        return view.json("fallback")
    if kind.raw == "escalate":
        message = "a fallback cannot be honoured that escalates: a team of equals has nobody above it"
        hint = "Write the value that stands in for the result, or an org chart."
        view.report.error("unsupported", kind.line, kind.column, message, hint)
        return None
    return to_json(keys["value"]) if "value" in keys else None
