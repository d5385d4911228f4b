"""Reading `verify`: the sources of evidence of a role or a step."""

from __future__ import annotations

import re
from typing import Any

from compiler.exit_status import hidden_status
from compiler.patterns.inputs import read_expression
from compiler.patterns.reader import Node
from compiler.patterns.report import Report, did_you_mean
from compiler.patterns.view import View
from schemas.base import Model

ORACLE_KEYS: dict[str, tuple[str, ...]] = {
    "command": (
        "type",
        "run",
        "cwd",
        "timeoutMs",
        "passConfidence",
        "failConfidence",
        "scorePattern",
        "mayChange",
        "weight",
    ),
    "agent": ("type", "role", "rubric", "timeoutMs", "passConfidence", "failConfidence", "weight"),
    "checklist": ("type", "criteria", "weighting", "weight"),
    "human": ("type", "prompt", "timeoutMs", "onTimeout", "passConfidence", "failConfidence", "weight"),
}
_TYPES = (*ORACLE_KEYS, "history")
_COMBINE = ("min", "weighted", "product")
TEMPLATED = frozenset({"cwd", "rubric", "prompt"})
"""Keys of oracles whose texts may refer to what an execution knows."""

_OWN_WORKTREE = re.compile(r"\$\{\s*workspace\.path\s*\}")
_REFERENCE = re.compile(r"\$\{\s*(?:[A-Za-z_][\w-]*\s*[.\[]|(?:input|workspace|context|step_[0-9]+\w*)\s*\})")


class Verification(Model, frozen=True, kw_only=True):
    """The oracles with their places, how their scores are combined, and the roles that judge, with their places."""

    oracles: list[dict[str, Any]]
    nodes: list[Node]
    combine: str = "min"
    judges: list[tuple[str, Node]] = []


def read_verify(node: Node, report: Report, what: str, combine: str = "") -> Verification:
    """What stands under `verify`, or under `oracles` of a step, which may say itself how they are combined."""
    outer, combine, weighs = combine, combine or "min", True
    entries = node.items if node.kind == "list" else [node]
    if node.kind == "map" and any(key.raw == "oracles" for key, _ in node.pairs):
        view = View(node, report, f"verify of {what}", ("oracles", "combine"))
        combine, entries = outer or view.choice("combine", _COMBINE, "min"), view.items("oracles")
        weighs = view.is_one_of("combine", _COMBINE)
        if not view.has("oracles"):
            view.missing("oracles", 'oracles: [{type: command, run: "python -m pytest"}]')
        elif (given := view.get("oracles")) is not None and given.kind == "list" and not entries:
            report.error("missing-oracle", given.line, given.column, f"verify of {what} names no oracle")
    elif node.kind == "list" and not entries:
        report.error("missing-oracle", node.line, node.column, f"verify of {what} names no oracle")
    oracles: list[dict[str, Any]] = []
    nodes: list[Node] = []
    judges: list[tuple[str, Node]] = []
    for entry in entries:
        made = _oracle(entry, report, what)
        if made is not None:
            oracles.append(made)
            nodes.append(entry)
            if weighs:
                _check_weight(entry, combine, report, what)
            judge = next((value for key, value in entry.pairs if key.raw == "role"), None)
            if judge is not None and made.get("role"):
                judges.append((made["role"], judge))
    return Verification(oracles=oracles, nodes=nodes, combine=combine, judges=judges)


def _check_weight(entry: Node, combine: str, report: Report, what: str) -> None:
    place = next((key for key, _ in entry.pairs if key.raw == "weight"), None)
    if place is not None and combine != "weighted":
        message = f"'weight' of an oracle of {what} has no effect: combine is {combine}"
        report.error("bad-value", place.line, place.column, message, "Write combine: weighted beside the oracles.")


def _oracle(node: Node, report: Report, what: str) -> dict[str, Any] | None:
    kind = "command"
    if node.kind == "map":
        named = next((value for key, value in node.pairs if key.raw == "type"), None)
        if named is None:
            report.error("missing-key", node.line, node.column, f"an oracle of {what} needs 'type'", "type: command")
            return None
        if named.kind == "text":
            kind = str(named.value)
        if kind == "history":
            message = f"a history oracle of {what} cannot be honoured: outcomes are not recorded yet"
            report.error("unsupported", named.line, named.column, message, "Use a command oracle.")
            return None
        if kind not in ORACLE_KEYS:
            hint = did_you_mean(kind, _TYPES, f"One of {', '.join(_TYPES)}.")
            report.error("unknown-oracle", named.line, named.column, f"there is no oracle of type {named.raw!r}", hint)
            return None
    view = View(node, report, f"the {kind} oracle of {what}", ORACLE_KEYS[kind])
    if not view.valid:
        return None
    made: dict[str, Any] = {"type": kind}
    _common(view, made)
    {"command": _command, "agent": _agent, "checklist": _checklist, "human": _human}[kind](view, made)
    return made


def _common(view: View, made: dict[str, Any]) -> None:
    for key in ("timeoutMs",):
        if (value := view.integer(key, least=1)) is not None:
            made[key] = value
    for key in ("passConfidence", "failConfidence"):
        if (score := view.number(key)) is not None:
            made[key] = score
    if (weight := view.number("weight", most=1_000_000.0)) is not None:
        made["weight"] = weight


def _command(view: View, made: dict[str, Any]) -> None:
    run = view.get("run")
    if run is not None and run.kind == "list":
        made["run"] = [word for word, _ in view.texts("run")]
    else:
        made["run"] = view.text("run", required=True, hint='run: "python -m pytest"')
    if run is not None and not made["run"]:
        view.report.error("missing-key", run.line, run.column, f"'run' of {view.what} is empty")
    _check_command(view, made)
    _check_status(view.report, view.what, run, made["run"], counted=view.has("scorePattern"))
    # a command runs in the session's own worktree, which is not the one that `workspace` names
    if cwd := re.sub(_OWN_WORKTREE.pattern + "/?", "", view.text("cwd"), count=1):
        made["cwd"] = cwd
        if cwd.startswith("/") or ".." in cwd.split("/"):
            place = view.get("cwd") or view.node
            view.report.error("bad-path", place.line, place.column, f"'cwd' of {view.what} leaves the worktree")
    if globs := [glob for glob, _ in view.texts("mayChange", single=True)]:
        made["mayChange"] = globs
    if pattern := view.text("scorePattern"):
        made["scorePattern"] = pattern
        _check_pattern(view, pattern)


def _check_command(view: View, made: dict[str, Any]) -> None:
    """A command is written out: nothing that comes from a request or an agent becomes a part of it."""
    node, run = view.get("run"), made["run"]
    if node is None or not run:
        return
    words = [_OWN_WORKTREE.sub(".", word) for word in ([run] if isinstance(run, str) else run)]
    made["run"] = words[0] if isinstance(run, str) else words
    for word, place in zip(words, [node] if isinstance(run, str) else node.items, strict=False):
        if (found := _REFERENCE.search(word)) is not None:
            message = f"'run' of {view.what} cannot be built from data: {word[found.start() :][:40]!r}"
            hint = "Write the command out; it runs in the worktree, where the work is."
            view.report.error("unsafe-command", place.line, place.column, message, hint)
        elif re.search(r"\$\{[^}]*\Z", word):
            message = f"a `${{` of 'run' of {view.what} is never closed"
            view.report.error("unclosed-reference", place.line, place.column, message, "Add a `}`.")


def _check_status(report: Report, what: str, node: Node | None, run: str | list[str], *, counted: bool) -> None:
    """A command whose exit status says nothing passes whatever it finds, unless what it writes is counted."""
    if node is not None and run:
        report.checks.append((run, node.line, node.column))
    if node is None or counted or (hidden := hidden_status(run)) is None:
        return
    line, column = _place_in(node, hidden.text)
    message = f"`{hidden.text}` in 'run' of {what} hides the exit status: it {hidden.why}"
    report.warning("hidden-exit-status", line, column, message, hidden.hint)


def _place_in(node: Node, text: str) -> tuple[int, int]:
    """Where a part of a scalar stands. One that is written over several lines is said with its beginning."""
    for word in node.items if node.kind == "list" else [node]:
        at = word.raw.find(text) if word.raw else -1
        if at >= 0 and "\n" not in word.raw:
            return word.line, word.column + at
    return node.line, node.column


def _check_pattern(view: View, pattern: str) -> None:
    place = view.get("scorePattern") or view.node
    expression = read_expression(view, "scorePattern", pattern)
    if expression is not None and expression.groups < 1:
        hint = "Put the number into parentheses: 'score: ([0-9.]+)', or two: '([0-9]+) passed, ([0-9]+) failed'."
        view.report.error("bad-pattern", place.line, place.column, "'scorePattern' captures nothing", hint)


def _agent(view: View, made: dict[str, Any]) -> None:
    for key in ("role", "rubric"):
        if text := view.text(key):
            made[key] = text


def _checklist(view: View, made: dict[str, Any]) -> None:
    weighting = view.choice("weighting", ("equal", "weighted"), "equal")
    criteria: list[dict[str, Any]] = []
    for node in view.items("criteria"):
        entry = View(node, view.report, "a criterion", ("text", "run", "weight"))
        made_entry: dict[str, Any] = {"text": entry.text("text"), "run": entry.text("run", required=True)}
        _check_status(view.report, entry.what, entry.get("run"), made_entry["run"], counted=False)
        weight = entry.number("weight", most=1_000_000.0)
        if weight is not None and weighting == "weighted":
            made_entry["weight"] = weight
        elif weight is not None and view.is_one_of("weighting", ("equal", "weighted")):
            place = entry.key("weight")
            hint = "Add 'weighting: weighted'."
            view.report.error(
                "bad-value", place.line, place.column, "'weight' has no effect: the weighting is equal", hint
            )
        criteria.append(made_entry)
    if not criteria:
        view.missing("criteria", "criteria: [{text: …, run: …}]")
    made["criteria"] = criteria


def _human(view: View, made: dict[str, Any]) -> None:
    made["prompt"] = view.text("prompt", required=True)
    on_timeout = view.text("onTimeout")
    if on_timeout and on_timeout != "fail":
        place = view.get("onTimeout") or view.node
        message = f"'onTimeout' of {view.what} cannot be honoured: no answer is never a pass"
        view.report.error("unsupported", place.line, place.column, message, "Remove the key, or write fail.")
