"""Reading `structure.routing` and `structure.escalation`: which role a question goes to, and what if none answers."""

from __future__ import annotations

from typing import Any

from compiler.patterns.reader import Node
from compiler.patterns.report import Report, did_you_mean
from compiler.patterns.view import View

_RULE_KEYS = ("from", "to", "topics", "messageTypes", "priority", "broadcast")
_OTHERS = {
    "task": "tasks are given by the steps of the workflow",
    "response": "results go to the steps that refer to them",
    "status": "whoever watches the execution sees it",
}
_MESSAGE_TYPES = ("task", "question", "response", "status")
_ESCALATION_KEYS = ("defaultBehavior", "timeoutMs", "maxDepth", "onMaxDepth", "topicRoutes")


def read_routing(view: View, names: list[str], known: list[str], report: Report) -> dict[str, list[dict[str, Any]]]:
    """The rules for the questions of each role, the highest priority first. `known` names are not reported."""
    made: dict[str, list[tuple[int, bool, dict[str, Any]]]] = {}
    for node in view.items("routing"):
        rule = View(node, report, "a routing rule", _RULE_KEYS)
        if not rule.valid:
            continue
        senders = [
            word
            for word, place in rule.texts("from", single=True, required=True, hint='A role, a list of roles, or "*".')
            if _known(word, place, known, report, every=True)
        ]
        targets = [
            word
            for word, place in rule.texts("to", single=True, required=True, hint="A role, or a list of roles.")
            if _known(word, place, known, report)
        ]
        topics = [word for word, _ in rule.texts("topics")]
        entry: dict[str, Any] = {"to": targets}
        if topics:
            entry["topics"] = topics
        if priority := rule.integer("priority", 0, least=-1_000_000):
            entry["priority"] = priority
        if rule.flag("broadcast"):
            entry["broadcast"] = True
        if not _is_for_questions(rule, report):
            continue
        general = not rule.has("messageTypes")  # of two with the same priority, the one that names its type is first
        for name in names if "*" in senders else senders:
            made.setdefault(name, []).append((-entry.get("priority", 0), general, entry))
    return {name: [entry for *_, entry in sorted(rules, key=_order)] for name, rules in made.items()}


def _order(rule: tuple[int, bool, dict[str, Any]]) -> tuple[int, bool]:
    return rule[:2]


def _is_for_questions(rule: View, report: Report) -> bool:
    """Whether the rule is for questions. Those are what agents say to each other: the other types of messages travel as
    the workflow says, so that a rule for them changes nothing, which is said.
    """
    words = rule.texts("messageTypes")
    for word, place in words:
        if word not in _MESSAGE_TYPES:
            hint = did_you_mean(word, _MESSAGE_TYPES)
            report.error("bad-value", place.line, place.column, f"{word!r} is no message type", hint)
    for word, place in words:
        if word in _OTHERS:
            message = f"this rule changes nothing for messages of type {word}: {_OTHERS[word]}"
            report.warning("unused-rule", place.line, place.column, message, "Routing is for questions.")
    return not words or any(word == "question" or word not in _MESSAGE_TYPES for word, _ in words)


def _known(word: str, place: Node, names: list[str], report: Report, *, every: bool = False) -> bool:
    if word in names or (every and word == "*"):
        return True
    message = f"the routing names {word!r}, which is no role"
    report.error("unknown-role", place.line, place.column, message, did_you_mean(word, names))
    return False


def read_escalation(view: View, names: list[str], report: Report) -> dict[str, Any]:
    """Who is asked when nobody is sure or nobody answers, how far up, for how long, and what then."""
    node = view.get("escalation")
    if node is None:
        return {}
    rules = View(node, report, "escalation", _ESCALATION_KEYS)
    made: dict[str, Any] = {}
    behaviors = ("route_to_reports_to", "broadcast", "surface_to_user")
    if rules.has("defaultBehavior"):
        made["defaultBehavior"] = rules.choice("defaultBehavior", behaviors, "route_to_reports_to")
    if (timeout := rules.integer("timeoutMs", least=1)) is not None:
        made["timeoutMs"] = timeout
    if (depth := rules.integer("maxDepth", least=0, most=100)) is not None:
        made["maxDepth"] = depth
    if rules.has("onMaxDepth"):
        made["onMaxDepth"] = rules.choice(
            "onMaxDepth", ("surface_to_user", "fail", "return_best_effort"), "return_best_effort"
        )
    if (routes := rules.get("topicRoutes")) is not None:
        topics = View(routes, report, "topicRoutes", [key.raw for key, _ in routes.pairs])
        found = {key.raw: topics.text(key.raw) for key, _ in routes.pairs} if topics.valid else {}
        made["topicRoutes"] = {
            topic: role
            for topic, role in found.items()
            if role and _known(role, topics.get(topic) or routes, names, report)
        }
    return made or {"defaultBehavior": "route_to_reports_to"}
