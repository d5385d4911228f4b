"""Reading `workflow.steps`: every type of step, with its own keys and nothing else."""

from __future__ import annotations

import re
from typing import Any

from compiler.patterns.model import STEP_TYPES, Step
from compiler.patterns.oracles import read_verify
from compiler.patterns.reader import Node
from compiler.patterns.report import Report, did_you_mean, nearest
from compiler.patterns.view import View, describe

METHODS = ("consensus", "majority", "merge", "best", "all", "weighted", "custom")
RESERVED_IDS = frozenset({"input", "workspace", "context"})

COMMON_KEYS = ("type", "id", "timeoutMs", "onError")
STEP_KEYS: dict[str, tuple[str, ...]] = {
    "assign": ("role", "task", "input", "timeout", "onReject"),
    "parallel": ("steps", "maxConcurrency", "strategy", "minResults"),
    "sequential": ("steps",),
    "select": ("role", "criteria"),
    "review": ("reviewer", "subject", "maxIterations", "onReject"),
    "approve": ("approver", "subject", "onReject"),
    "aggregate": ("method", "sources", "weights"),
    "condition": ("check", "then", "else"),
    "wait": ("condition", "signal", "timeout"),
    "verify": ("oracles", "subject", "combine", "onReject"),
    "pattern": ("pattern", "input"),
}
_STRATEGIES = ("all", "race", "all_settled", "quorum")
_EXAMPLES = {"task": 'task: "What is to be done."', "check": "check: step_0_result.confidence > 0.8"}
_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}\Z")


class StepReader:
    """Reads steps; `count` gives the ids of those that have none of their own."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def read_all(self, nodes: list[Node], prefix: str) -> list[Step]:
        """The steps of a list; a step without an id is called `<prefix>_<position>`."""
        return [self._read(node, f"{prefix}_{position}") for position, node in enumerate(nodes)]

    def _read(self, node: Node, default_id: str) -> Step:
        if node.kind != "map":
            hint = '{type: assign, role: …, task: "…"}'
            self._report.error("wrong-type", node.line, node.column, f"a step is a map, not {describe(node)}", hint)
        kind = self._type(node) if node.kind == "map" else None
        if kind is None:
            return _unreadable(node, default_id)
        view = View(node, self._report, f"the {kind} step", (*COMMON_KEYS, *STEP_KEYS[kind]))
        step_id = view.meant("id") or default_id
        if not _ID.match(step_id) or step_id in RESERVED_IDS:
            place = view.get("id") or node
            reason = "it is taken" if step_id in RESERVED_IDS else "a letter, then letters, digits, - and _"
            self._report.error("bad-step-id", place.line, place.column, f"{step_id!r} cannot be a step id: {reason}")
            step_id = default_id
        fields: dict[str, Any] = {
            "type": kind,
            "id": step_id,
            "line": node.line,
            "column": node.column,
            "explicit": step_id != default_id,
            "timeout_ms": self._timeout(view),
            "on_error": view.choice("onError", ("fail", "continue", "best_effort"), "fail"),
        }
        if "onReject" in STEP_KEYS[kind] and view.has("onReject"):
            fields["on_reject"] = view.choice("onReject", ("fail", "continue"), "fail")
            fields["on_reject_node"] = view.key("onReject")
        getattr(self, f"_{kind}")(view, fields)
        return Step(**fields)

    def _type(self, node: Node) -> str | None:
        """The type of a step; where it is misspelt, the one that is probably meant, so that the rest is read too."""
        key = next((key for key, _ in node.pairs if key.raw == "type"), None) or self._misspelt_type(node)
        value = next((value for one, value in node.pairs if one is key), None)
        if key is None or value is None or value.kind == "null":
            message = "a step needs 'type'" if key is None else "'type' of a step is empty"
            hint = f"type: one of {', '.join(STEP_TYPES)}"
            place = key or node
            self._report.error("missing-key", place.line, place.column, message, hint)
            return None
        view = View(Node(kind="map", value=[(key, value)], line=node.line, column=node.column), self._report, "a step",
                    (key.raw,))  # fmt: skip
        kind = view.text(key.raw)
        if kind and kind not in STEP_TYPES:
            hint = did_you_mean(kind, STEP_TYPES, f"One of {', '.join(STEP_TYPES)}.")
            self._report.error("unknown-step-type", value.line, value.column, f"there is no step type {kind!r}", hint)
            meant = nearest(kind, STEP_TYPES)
            said = {one.raw for one, _ in node.pairs} - {*COMMON_KEYS}
            return meant if meant is not None and said and said <= {*STEP_KEYS[meant]} else None
        return kind or None

    @staticmethod
    def _misspelt_type(node: Node) -> Node | None:
        """The key that stands for `type`; that it is none is said by whoever reads the step."""
        known = {*COMMON_KEYS, *(key for keys in STEP_KEYS.values() for key in keys)}
        typed = [key for key, value in node.pairs if key.raw not in known and value.raw in STEP_TYPES]
        return next((key for key in typed if nearest(key.raw, ("type",))), None)

    def _timeout(self, view: View) -> int | None:
        if view.has("timeout") and view.has("timeoutMs"):
            place = view.key("timeout")
            message = "'timeout' and 'timeoutMs' say the same; one of them is enough"
            self._report.error("conflicting-keys", place.line, place.column, message, "Remove 'timeout'.")
        return view.integer("timeoutMs" if view.has("timeoutMs") else "timeout", least=1, most=2_592_000_000)

    # -- one method for each type -------------------------------------------------------------------------------------

    def _assign(self, view: View, fields: dict[str, Any]) -> None:
        self._role(view, fields, "role")
        fields["text"] = self._text(view, "task")
        fields["input"] = view.get("input")

    def _parallel(self, view: View, fields: dict[str, Any]) -> None:
        self._inner(view, fields)
        fields["max_concurrency"] = view.integer("maxConcurrency", least=1, most=1000)
        fields["strategy"] = view.choice("strategy", _STRATEGIES, "all")
        fields["min_results"] = view.integer("minResults", least=1)
        place = view.key("minResults")
        if not view.is_one_of("strategy", _STRATEGIES):
            return
        if fields["min_results"] is not None and fields["strategy"] != "quorum":
            message = f"'minResults' has no effect: the strategy is {fields['strategy']}"
            self._report.error("bad-value", place.line, place.column, message, "Write strategy: quorum.")
        elif fields["min_results"] is not None and fields["min_results"] > len(fields["steps"]) > 0:
            message = f"minResults ({fields['min_results']}) is more than there are steps ({len(fields['steps'])})"
            self._report.error("out-of-range", place.line, place.column, message)

    def _sequential(self, view: View, fields: dict[str, Any]) -> None:
        self._inner(view, fields)

    def _select(self, view: View, fields: dict[str, Any]) -> None:
        self._role(view, fields, "role")
        fields["criteria"] = view.choice(
            "criteria", ("availability", "expertise", "round_robin", "best"), "availability"
        )

    def _review(self, view: View, fields: dict[str, Any]) -> None:
        self._role(view, fields, "reviewer")
        fields["input"] = self._anything(view, "subject")
        fields["max_iterations"] = view.integer("maxIterations", least=0, most=100)

    def _approve(self, view: View, fields: dict[str, Any]) -> None:
        self._role(view, fields, "approver")
        fields["input"] = self._anything(view, "subject")

    def _aggregate(self, view: View, fields: dict[str, Any]) -> None:
        node = view.get("method")
        if node is None:
            view.missing("method", f"One of {', '.join(METHODS[:-1])}.")
        method = view.choice("method", METHODS, "merge", "unknown-method")
        if method == "custom" and node is not None:
            message = "method 'custom' cannot be honoured: a file has no place for the method"
            self._report.error("unsupported", node.line, node.column, message, "Write the pattern in Prism.")
        fields["method"] = method
        fields["sources"] = view.get("sources")
        weights = view.get("weights")
        if weights is not None and method != "weighted" and not view.is_one_of("method", METHODS):
            return
        if weights is not None and method != "weighted":
            place = view.key("weights")
            message = f"'weights' has no effect: the method is {method}"
            self._report.error("bad-value", place.line, place.column, message, "Write method: weighted.")
        elif weights is not None:
            names = [key.raw for key, _ in weights.pairs]
            numbers = View(weights, self._report, "weights", names)
            found = {name: numbers.number(name, most=1_000_000.0) for name in names if numbers.valid}
            fields["weights"] = {name: value for name, value in found.items() if value is not None}
            fields["weighed"] = [key for key, _ in weights.pairs]

    def _condition(self, view: View, fields: dict[str, Any]) -> None:
        check = view.get("check")
        if check is not None and check.kind == "boolean":
            fields["check"] = Node(kind="text", value=check.raw.lower(), raw=check.raw.lower(), line=check.line,
                                   column=check.column)  # fmt: skip
        else:
            fields["check"] = self._text(view, "check")
        for key in ("then", "else"):
            node = view.meant_value(key)
            if node is None:
                if key == "then":
                    view.missing("then", "The step that runs when the check holds.")
                continue
            many = node.kind == "list"
            prefix = f"{fields['id']}_{key}"
            fields[f"{key}_steps"] = self.read_all(node.items if many else [node], prefix)
            fields[f"{key}_is_list"] = many
            if many and not node.items:
                place = view.key(key)
                self._report.error("empty-steps", place.line, place.column, f"{key!r} of {view.what} has no step")

    def _wait(self, view: View, fields: dict[str, Any]) -> None:
        key = "signal" if view.has("signal") else "condition"
        if view.has("signal") and view.has("condition"):
            place = view.key("condition")
            message = "'condition' and 'signal' say the same; one of them is enough"
            self._report.error("conflicting-keys", place.line, place.column, message, "Remove 'condition'.")
        fields["signal"] = view.text(key)
        if "${" in fields["signal"] and (node := view.get(key)) is not None:
            message = f"{key!r} of {view.what} names a signal; it is not computed"
            hint = "Write the signal's name, for example approved, or use a condition step."
            self._report.error("bad-value", node.line, node.column, message, hint)
        if not fields["signal"] and fields["timeout_ms"] is None:
            view.missing("timeoutMs", "How long to wait, or the signal to wait for.")

    def _verify(self, view: View, fields: dict[str, Any]) -> None:
        node = view.get("oracles")
        fields["input"] = view.get("subject")
        fields["combine"] = view.choice("combine", ("min", "weighted", "product"), "min")
        if node is None:
            view.missing("oracles", 'oracles: [{type: command, run: "python -m pytest"}]')
            return
        found = read_verify(node, self._report, view.what, fields["combine"] if view.has("combine") else "")
        fields["oracles"], fields["oracle_nodes"], fields["judges"] = found.oracles, found.nodes, found.judges
        if not view.has("combine"):
            fields["combine"] = found.combine

    def _pattern(self, view: View, fields: dict[str, Any]) -> None:
        if view.text("pattern", required=True, hint="pattern: name, or name@1.x"):
            fields["pattern"] = view.get("pattern")
        fields["input"] = view.get("input")
        if fields["input"] is not None and fields["input"].kind != "map":
            view.wrong("input", fields["input"], "a map from the pattern's input fields to values")
            fields["input"] = None

    # -- parts --------------------------------------------------------------------------------------------------------

    def _role(self, view: View, fields: dict[str, Any], key: str) -> None:
        fields["role"] = view.text(key, required=True, hint="The id of a role.")
        fields["role_node"] = view.get(key)

    def _inner(self, view: View, fields: dict[str, Any]) -> None:
        meant = view.meant_value("steps")
        nodes = view.items("steps") or (meant.items if meant is not None else [])
        fields["steps"] = self.read_all(nodes, fields["id"])
        given = view.get("steps")
        if not nodes and (given is None or given.kind == "list") and not view.misspelt("steps"):
            place = view.key("steps")
            self._report.error("empty-steps", place.line, place.column, f"{view.what} has no steps")

    def _text(self, view: View, key: str) -> Node | None:
        text = view.text(key, required=True, hint=_EXAMPLES[key])
        node = view.get(key)
        if node is not None and node.kind == "text" and not text.strip() and not node.trap:
            message = f"{key!r} of {view.what} is empty"
            self._report.error("missing-key", node.line, node.column, message, _EXAMPLES[key])
            return None
        return node if node is not None and node.kind == "text" and not node.trap else None

    def _anything(self, view: View, key: str) -> Node | None:
        node = view.get(key)
        if node is None:
            view.missing(key, "What is to be judged, for example ${implement}.")
        return node


def _unreadable(node: Node, default_id: str) -> Step:
    """In the place of a step that cannot be read, which is reported: other steps may refer to it, and are numbered."""
    named = next((value for key, value in node.pairs if key.raw == "id" and value.kind == "text"), None)
    name = str(named.value) if named is not None and _ID.match(str(named.value)) else ""
    return Step(type="pattern", id=name or default_id, line=node.line, column=node.column, explicit=bool(name))
