"""Where an agent's question goes: by topic, by rule, then up `reportsTo` or to all, and what if nobody answers.

Pure: facts in, decisions out. A hop is a task of its own for the role that is asked, so that every hop is in the log.
A role without `routing` and `escalation` has its questions answered by people alone; people may always answer first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from compiler.orchestration.roles import Role, read_role
from compiler.prism import EffectFailed
from schemas.effects import Task
from schemas.events import Event, QuestionAnswered, QuestionAsked, TaskCancelRequested, TaskRequested
from schemas.patterns import CompiledPattern

ROLE_PREFIX = "role:"
"""How answers of roles name who gave them; `role:` alone is the rule for the case that nobody did."""

_HOP_MS = 30_000
_LONGEST_ID = 128

Fate = Literal["waits", "fails"]


@dataclass(slots=True)
class _Open:
    """A question on its way: the hops that are left, and the tasks that were given for the present one."""

    asked: QuestionAsked
    left: list[list[str]]
    rules: Mapping[str, Any]
    hop: int = 0
    tasks: dict[str, str] = field(default_factory=dict[str, str])


class Questions:
    """The questions of one execution's agents.

    `fail` ends the effect of a task whose question must be answered; `digest` names requests as the log does.
    """

    def __init__(
        self,
        execution_id: str,
        pattern: CompiledPattern,
        recorded: Mapping[str, Event],
        fail: Callable[[str, EffectFailed], None],
        digest: Callable[[object], str],
    ) -> None:
        self._id = execution_id
        self._roles: Mapping[str, Any] = pattern.roles
        self._recorded = recorded
        self._fail = fail
        self._digest = digest
        self._workspace = pattern.workspace.enabled
        self._open: dict[str, _Open] = {}
        self._hops: dict[str, str] = {}
        """The tasks that were given, and their ids before they were cut."""

    def asked(self, fact: QuestionAsked) -> list[Event]:
        """An agent asks. Questions of the program itself go to people and are none of ours."""
        role = self._roles.get(fact.role)
        if fact.digest or not fact.task_id or not isinstance(role, dict) or fact.question_id in self._open:
            return []
        fields = cast("dict[str, Any]", role)
        if "routing" not in fields and "escalation" not in fields:
            return []
        rules: Mapping[str, Any] = fields.get("escalation") or {}
        one = _Open(asked=fact, left=_hops(fact, fields, self._roles), rules=rules)
        self._open[fact.question_id] = one
        return self._next(one)

    def owns(self, task_id: str) -> bool:
        """Whether a task is a hop of a question."""
        return any(task_id in one.tasks for one in self._open.values())

    def heard(self, task_id: str, result: Any, *, failed: bool) -> list[Event]:
        """A hop ended: with an answer, or so that the next role is asked."""
        one = next(one for one in self._open.values() if task_id in one.tasks)
        role = one.tasks.pop(task_id)
        answer = None if failed else _fitting(result, one.asked.options)
        if answer is not None:
            return self._answer(one, answer, f"{ROLE_PREFIX}{role}", "")
        return [] if one.tasks else self._next(one)

    def answered(self, question_id: str) -> list[Event]:
        """Somebody else answered: whoever was asked need not go on."""
        one = self._open.pop(question_id, None)
        return [] if one is None else self._withdrawn(one)

    def ended(self, task_id: str) -> list[Event]:
        """The task that asked is over; its questions are, too."""
        mine = [one.asked.question_id for one in self._open.values() if one.asked.task_id == task_id]
        return [event for question_id in mine for event in self.answered(question_id)]

    def close(self) -> list[Event]:
        """Nothing is asked any more."""
        return [event for question_id in list(self._open) for event in self.answered(question_id)]

    def _withdrawn(self, one: _Open) -> list[Event]:
        return [
            TaskCancelRequested(execution_id=self._id, task_id=task_id, effect="", reason="the question is answered")
            for task_id in one.tasks
        ]

    def _next(self, one: _Open) -> list[Event]:
        while one.left:
            one.hop += 1
            targets = [role for name in one.left.pop(0) if (role := self._role(name)) is not None]
            if targets:
                return [self._task(one, role) for role in targets]
        return self._nobody(one)

    def _role(self, name: str) -> Role | None:
        try:
            return read_role(self._roles.get(name), "routing")
        except EffectFailed:
            return None

    def _task_id(self, full: str) -> str:
        """An id of at most 128 characters. Cut, it is told apart from one that is there by a hash of the whole."""
        task_id = full[:_LONGEST_ID]
        if self._hops.setdefault(task_id, full) != full:
            task_id = f"{full[: _LONGEST_ID - 17]}-{self._digest(full)[:16]}"
            self._hops[task_id] = full
        return task_id

    def _task(self, one: _Open, role: Role) -> TaskRequested:
        asked = one.asked
        task_id = self._task_id(f"{asked.question_id}-h{one.hop}-{role.id}")
        one.tasks[task_id] = role.id
        words = f"\n\nAnswer with one of: {', '.join(asked.options)}." if asked.options else ""
        request = Task(
            role=role.id,
            text=f"{asked.role} asks: {asked.question}{words}",
            agent=role.agent,
            context={"question": asked.question, "options": asked.options, "asked_by": asked.role, "hop": one.hop},
            timeout_ms=one.rules.get("timeoutMs", _HOP_MS),
            attempts=1,
        )
        return TaskRequested(
            execution_id=self._id,
            task_id=task_id,
            effect="",
            digest=self._digest([request.text, request.role]),
            role=role.id,
            text=request.text,
            agent=request.agent,
            context=request.context,
            timeout_ms=request.timeout_ms,
            attempts=1,
            workspace=self._workspace,
        )

    def _nobody(self, one: _Open) -> list[Event]:
        match one.rules.get("onMaxDepth", "surface_to_user"):
            case "return_best_effort":
                return self._answer(one, None, ROLE_PREFIX, "Nobody answered: go on as you think best.")
            case "fail":
                del self._open[one.asked.question_id]
                message = f"nobody answered the question of {one.asked.role}: {one.asked.question[:500]}"
                self._fail(one.asked.task_id, EffectFailed("question_unanswered", message))
                return []
            case _:
                return []

    def _answer(self, one: _Open, value: Any, by: str, reason: str) -> list[Event]:
        self._open.pop(one.asked.question_id, None)
        event = QuestionAnswered(
            execution_id=self._id,
            question_id=one.asked.question_id,
            value=value,
            by=by,
            reason=reason,
            effect=one.asked.effect,
            task_id=one.asked.task_id,
        )
        known = self._recorded.get(event.event_id)
        others = self._withdrawn(one)
        return others if isinstance(known, QuestionAnswered) and known.by != by else [event, *others]


def _hops(asked: QuestionAsked, role: Mapping[str, Any], roles: Mapping[str, Any]) -> list[list[str]]:
    """Who is asked, one hop after the other: by topic, by rule, then everybody above, or all others at once.

    A topic is one of `topicRoutes`, of a rule, or the `expertise` of a role, in this order.
    """
    rules: Mapping[str, Any] = role.get("escalation") or {}
    routing = cast("list[dict[str, Any]]", role.get("routing") or [])
    by_topic = [rule for rule in routing if "topics" in rule and any(_mentions(asked, word) for word in rule["topics"])]
    plain = [rule for rule in routing if "topics" not in rule]
    routes = cast("dict[str, str]", rules.get("topicRoutes") or {})
    hops: list[list[str]] = [[name] for topic, name in routes.items() if _mentions(asked, topic)]
    hops += [hop for rule in by_topic for hop in _targets(rule)]
    hops += [[name] for name, fields in roles.items() if any(_mentions(asked, word) for word in _expertise(fields))]
    hops += [hop for rule in plain for hop in _targets(rule)]
    behavior = rules.get("defaultBehavior", "route_to_reports_to")
    if behavior == "broadcast":
        hops.append(list(roles))
    elif behavior == "route_to_reports_to":
        above, seen = role.get("reportsTo"), {asked.role}
        while isinstance(above, str) and above and above not in seen:
            seen.add(above)
            hops.append([above])
            above = cast("Mapping[str, Any]", roles.get(above) or {}).get("reportsTo")
    found: list[list[str]] = []
    known = {asked.role}
    for hop in hops:
        fresh = [name for name in hop if name not in known]
        known.update(fresh)
        if fresh:
            found.append(fresh)
    depth = rules.get("maxDepth")
    return found if depth is None else found[:depth]


def _targets(rule: Mapping[str, Any]) -> list[list[str]]:
    return [list(rule["to"])] if rule.get("broadcast") else [[name] for name in rule["to"]]


def _expertise(role: Any) -> list[str]:
    return list(cast("Mapping[str, Any]", role).get("expertise") or []) if isinstance(role, Mapping) else []


def _mentions(asked: QuestionAsked, topic: str) -> bool:
    """Whether a question names a topic, with whatever stands between the words of `code_review`."""
    words = [re.escape(word) for word in re.split(r"[\s_-]+", topic) if word]
    if not words:
        return False
    named = r"[\s_-]+".join(words)
    return re.search(rf"(?<!\w){named}(?!\w)", asked.question, re.IGNORECASE) is not None


def _fitting(result: Any, options: list[str]) -> Any:
    """The answer in a hop's result; None where it is none of the options."""
    if isinstance(result, dict):
        fields = cast("dict[str, Any]", result)
        result = fields.get("answer", fields.get("value", fields))
    if not options:
        return result
    word = str(result).strip().lower()
    return next((option for option in options if option.lower() == word), None)
