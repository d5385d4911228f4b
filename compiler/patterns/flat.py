"""Reading flat patterns: teams of equals, without roles that report to each other."""

from __future__ import annotations

import re
from typing import Any

from compiler.patterns.flat_model import FlatPattern, FlatStep
from compiler.patterns.flat_rules import check_votes, duration, read_aggregation, read_validation
from compiler.patterns.inputs import is_no_input, read_schema
from compiler.patterns.reader import Node
from compiler.patterns.report import Report, did_you_mean, nearest
from compiler.patterns.roles import KINDS
from compiler.patterns.view import View, to_json
from compiler.patterns.workspaces import read_workspace
from schemas.patterns import WorkspaceSpec

KEYS = (
    "name", "version", "description", "author", "tags", "input", "agents", "execution", "aggregation", "validation",
    "output", "steps", "workspace", "metadata",
)  # fmt: skip
STEP_KEYS = (
    "id", "type", "description", "agents", "task", "input", "execution", "aggregation", "validation", "output", "steps",
    "on", "value", "cases", "default", "sources", "inputs", "branches", "capability", "pattern",
)  # fmt: skip
STEP_TYPES = ("switch", "parallel", "merge", "pattern")
_OF_ALL = ("id", "type", "description", "output")
_OF_TYPE: dict[str, tuple[str, ...]] = {
    "parallel": ("steps", "branches"), "merge": ("sources", "inputs", "aggregation"),
    "switch": ("on", "value", "cases", "default"), "pattern": ("pattern", "input"),
}  # fmt: skip
"""What each type takes; `branches`, `inputs` and `value` are what older files call `steps`, `sources` and `on`."""
STRATEGIES = ("parallel", "sequential", "race")
_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,57}\Z")
_NOT_IDS = frozenset({"input", "human", "results", "validResults", "vote", "consensus", "merged", "first", "execution"})


def read_flat(view: View, chart: dict[str, Any], report: Report) -> FlatPattern:
    """The flat pattern whose top level `view` shows; `chart` has its name, version and description."""
    view.text("author")
    view.texts("tags")
    execution = view.get("execution")
    inner = None if execution is None else next((v for k, v in execution.pairs if k.raw == "steps"), None)
    steps_node = view.meant_value("steps") or inner
    if view.has("steps") and inner is not None:
        report.error("conflicting-keys", inner.line, inner.column, "'steps' stands at the top level already")
    shared = _Shared(view.get("agents"), execution, view.get("aggregation"), view.get("validation"))
    reader = _Reader(report, shared)
    made: dict[str, Any] = {key: chart[key] for key in ("name", "version", "description")}
    if (schema := view.get("input")) is not None:
        made["input"] = read_schema(schema, report)
        made["no_input"] = is_no_input(schema)
    if steps_node is not None:
        if steps_node.kind != "list":
            report.error("wrong-type", steps_node.line, steps_node.column, "'steps' is a list of steps")
        elif not steps_node.items:
            report.error("empty-workflow", steps_node.line, steps_node.column, "the pattern has no steps")
        made["steps"] = reader.read_all(steps_node.items)
        made["timeout_ms"] = reader.execution(execution, outer=True).get("timeout") if execution else None
        for key in ("aggregation", "validation"):
            if view.has(key):
                place = view.key(key)
                message = f"{key!r} at the top level has no effect: each step has its own"
                report.error("bad-value", place.line, place.column, message, "Put it into a step.")
    else:
        if not view.has("agents"):
            view.missing("agents", "agents: {capabilities: [code_review], min: 3}")
        made["steps"] = [reader.work(view, view.node, "result", top=True)]
    _surroundings(view, made, report)
    return FlatPattern(**made)


def _surroundings(view: View, made: dict[str, Any], report: Report) -> None:
    """What comes out, and where the work is done: equals need no worktrees unless the file says so."""
    made["output"] = view.get("output")
    if (metadata := view.get("metadata")) is not None and metadata.kind == "map":
        made["metadata"] = to_json(metadata)
    made["workspace"] = WorkspaceSpec(enabled=False)
    if (workspace := view.get("workspace")) is not None:
        made["workspace"], _ = read_workspace(workspace, report)


class _Shared:
    """What the top level says for steps that do not say it themselves."""

    def __init__(
        self, agents: Node | None, execution: Node | None, aggregation: Node | None, validation: Node | None
    ) -> None:
        self.agents = agents
        self.execution = execution
        self.aggregation = aggregation
        self.validation = validation


class _Reader:
    def __init__(self, report: Report, shared: _Shared) -> None:
        self._report = report
        self._shared = shared
        self._seen: dict[str, int] = {}
        self._below: dict[str, Node] = {}
        self._moved: set[int] = set()

    def read_all(self, nodes: list[Node]) -> list[FlatStep]:
        """The steps of a pattern."""
        ids = {id(node): next((v.raw for k, v in node.pairs if k.raw == "id"), "") for node in nodes}
        self._below = {ids[id(node)]: node for node in nodes if ids[id(node)]}
        made: list[FlatStep | None] = []
        for position, node in enumerate(nodes):
            self._below.pop(ids[id(node)], None)
            if id(node) not in self._moved:
                made.append(self._step(node, f"step_{position}"))
        return [step for step in made if step is not None]

    def _read(self, nodes: list[Node]) -> list[FlatStep]:
        made = [self._step(node, f"step_{position}") for position, node in enumerate(nodes)]
        return [step for step in made if step is not None]

    def _step(self, node: Node, default_id: str) -> FlatStep | None:
        report = self._report
        view = View(node, report, "a step", STEP_KEYS)
        if not view.valid:
            return None
        step_id = view.text("id") or default_id
        step_id = self._own_id(step_id, default_id, view.get("id") or node)
        if view.has("pattern") and not view.has("type"):
            return self._composite(view, node, "pattern", step_id)
        word = view.meant("type")
        if not view.has("type") and word not in STEP_TYPES:
            return self.work(view, node, step_id)
        if word not in STEP_TYPES:
            place = view.get("type") or node
            if word:
                hint = did_you_mean(word, STEP_TYPES, f"One of {', '.join(STEP_TYPES)}.")
                report.error("unknown-step-type", place.line, place.column, f"there is no step type {word!r}", hint)
            meant = nearest(word, STEP_TYPES) if word else None
            keys = {key.raw for key, _ in node.pairs} - set(_OF_ALL)
            if meant is None or not keys or not keys <= set(_OF_TYPE[meant]):
                return FlatStep(kind="call", id=step_id, line=node.line, column=node.column)  # others may refer to it
            word = meant
        return self._composite(view, node, word, step_id)

    def _composite(self, view: View, node: Node, word: str, step_id: str) -> FlatStep:
        self._only(view, word)
        base: dict[str, Any] = {"kind": word, "id": step_id, "line": node.line, "column": node.column}
        if word == "parallel":
            given = view.meant_value("steps") or view.get("branches")
            base["steps"] = self._read(view.items("steps") or (given.items if given is not None else []))
            if given is None:
                view.missing("steps", "The steps that run at once.")
            elif given.kind == "list" and not given.items:
                self._report.error("empty-steps", given.line, given.column, "the parallel step has no steps")
        elif word == "pattern":
            base |= {"kind": "call", "input": view.get("input"), "pattern": self._called(view)}
        elif word == "merge":
            base["sources"] = view.get("sources") or view.get("inputs")
            base["aggregation"] = read_aggregation(view.get("aggregation"), self._report) or {"strategy": "merge"}
            if base["sources"] is None:
                view.missing("sources", "sources: [$first, $second]")
        else:
            self._switch(view, base)
        return FlatStep(output=view.get("output"), **base)

    def _called(self, view: View) -> Node | None:
        node = view.get("pattern")
        if node is None or not view.text("pattern"):
            if node is None:
                view.missing("pattern", "pattern: name@1.x")
            return None
        return node

    def _own_id(self, step_id: str, default_id: str, place: Node) -> str:
        if not _ID.match(step_id) or step_id in _NOT_IDS:
            reason = "it is taken" if step_id in _NOT_IDS else "a letter, then letters, digits, - and _"
            self._report.error("bad-step-id", place.line, place.column, f"{step_id!r} cannot be a step id: {reason}")
            step_id = default_id
        if step_id in self._seen:
            message = f"two steps are called {step_id!r}; the first is in line {self._seen[step_id]}"
            self._report.error("duplicate-step", place.line, place.column, message, "Give one of them another id.")
        self._seen.setdefault(step_id, place.line)
        return step_id

    def _only(self, view: View, word: str) -> None:
        for key in STEP_KEYS:
            if view.has(key) and key not in {*_OF_ALL, *_OF_TYPE[word]}:
                place = view.key(key)
                message = f"{key!r} has no effect on a step of type {word}"
                self._report.error("bad-value", place.line, place.column, message, "Remove the key.")

    def _switch(self, view: View, base: dict[str, Any]) -> None:
        base["on"] = view.get("on") or view.get("value")
        if base["on"] is None:
            view.missing("on", "What is looked at, for example on: $input.kind.")
        cases = view.get("cases")
        if cases is not None and cases.kind != "map":
            view.wrong("cases", cases, "a map from values to steps", "cases: {bug: {task: …}}")
            return
        if cases is None or not cases.pairs:
            view.missing("cases", "A map from values to steps.")
            return
        made = {
            key.raw: self._case(value, f"{base['id']}_{position}") for position, (key, value) in enumerate(cases.pairs)
        }
        base["default"] = made.pop("default", None)
        base["cases"] = {value: step for value, step in made.items() if step is not None}
        if (default := view.get("default")) is not None:
            base["default"] = self._case(default, f"{base['id']}_default")

    def _case(self, node: Node, default_id: str) -> FlatStep | None:
        """A step that stands in a case; or one further below, which the case goes to, and which runs there only."""
        if node.kind != "map" or [key.raw for key, _ in node.pairs] != ["next"]:
            return self._step(node, default_id)
        view = View(node, self._report, "a case", ("next",))
        name = view.text("next")
        target = self._below.pop(name, None)
        if target is None and name:
            place = view.get("next") or node
            message = f"the case goes to {name!r}, which is no step below this one, or which another case goes to"
            hint = did_you_mean(name, self._below, "Write the step into the case.")
            self._report.error("unknown-reference", place.line, place.column, message, hint)
        if target is None:
            return None
        self._moved.add(id(target))
        return self._step(target, default_id)

    def work(self, view: View, node: Node, step_id: str, *, top: bool = False) -> FlatStep:
        """A step that agents do."""
        capability, given = "" if top else view.text("capability"), view.get("agents") or self._shared.agents
        agents, count, task_timeout = {"agentType": ["custom"], "maxInstances": 1}, 1, None
        if given is not None or not capability:
            agents, count, task_timeout = self._agents(given, view)
        if capability:
            agents["capabilities"] = [capability]
        execution = self.execution(view.get("execution") or self._shared.execution)
        wanted = execution.get("minResults")
        if wanted is not None and wanted > count:
            place = (view.get("execution") or self._shared.execution) or node
            message = f"minResults ({wanted}) is more than there are agents ({count})"
            self._report.error("out-of-range", place.line, place.column, message, "Raise agents.min.")
        aggregated = view.get("aggregation") or self._shared.aggregation
        aggregation = read_aggregation(aggregated, self._report)
        check_votes(aggregation, aggregated, count, self._report)
        for name in aggregation.get("weights", {}):
            names = [f"agent-{number + 1}" for number in range(count)]
            if name not in (*names, "default") and aggregated is not None:
                place = next(value for key, value in aggregated.pairs if key.raw == "weights")
                hint = did_you_mean(name, names)
                self._report.error("unknown-agent", place.line, place.column, f"no agent is called {name!r}", hint)
        for key in ("on", "cases", "default", "sources") if not top else ():
            if view.has(key):
                place = view.key(key)
                message = f"{key!r} has no effect on a step that agents do"
                self._report.error("bad-value", place.line, place.column, message, "Add a type.")
        return FlatStep(
            kind="work",
            id=step_id,
            line=node.line,
            column=node.column,
            agents=agents,
            count=count,
            task_timeout=task_timeout,
            task=None if top else view.get("task"),
            input=None if top else view.get("input"),
            execution=execution,
            aggregation=aggregation,
            validation=read_validation(view.get("validation") or self._shared.validation, self._report),
            output=None if top else view.get("output"),
        )

    def _agents(self, node: Node | None, view: View) -> tuple[dict[str, Any], int, int | None]:
        if node is None:
            view.missing("agents", "agents: {capabilities: [code_review], min: 3}")
            return {}, 1, None
        agents = View(node, self._report, "agents", ("capabilities", "min", "max", "prefer", "taskTimeout"))
        if not agents.valid:
            return {}, 1, None
        words = [word for word, _ in agents.texts("capabilities", required=True, hint="capabilities: [code_review]")]
        least, most = agents.integer("min", 1, least=1, most=1000) or 1, agents.integer("max", least=1, most=1000)
        if most is not None and least > most:
            place = agents.key("min")
            message = f"min ({least}) is more than max ({most})"
            self._report.error("impossible-instances", place.line, place.column, message, f"At most {most}.")
        kinds: list[str] = []
        for word, place in agents.texts("prefer", single=True):
            if word not in KINDS or word == "command":
                hint = did_you_mean(word, [kind for kind in KINDS if kind != "command"])
                message = f"{word!r} cannot be preferred: it is no agent type"
                self._report.error("unknown-agent-type", place.line, place.column, message, hint)
            else:
                kinds.append(word)
        role = {"agentType": kinds or ["custom"], "capabilities": words, "maxInstances": most or least}
        return role, least, duration(agents, "taskTimeout")

    def execution(self, node: Node | None, *, outer: bool = False) -> dict[str, Any]:
        """How the agents are asked."""
        if node is None:
            return {}
        keys = ("strategy", "timeout", "waitForAll", "minResults", "minConfidence", "stopOnError", "steps")
        view = View(node, self._report, "execution", keys)
        if not view.valid:
            return {}
        made: dict[str, Any] = {"strategy": view.choice("strategy", STRATEGIES, "parallel")}
        made["timeout"] = duration(view, "timeout")
        if outer:
            return made
        made["waitForAll"], made["stopOnError"] = view.flag("waitForAll"), view.flag("stopOnError")
        made["minResults"] = view.integer("minResults", least=1, most=1000)
        made["minConfidence"] = view.number("minConfidence")
        return {key: value for key, value in made.items() if value is not None}
