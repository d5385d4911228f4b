"""The host functions: what a program can call to have something done in the world.

Each reads its arguments, refuses what it cannot honour, and performs effects; a few are helpers of compiled programs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec

from compiler.input_check import validate_input
from compiler.orchestration import flat, flow, reviews
from compiler.orchestration.aggregates import aggregate
from compiler.orchestration.calling import Callees, call_name
from compiler.orchestration.evidence import Evidence, checks_in, critique_of, failing, gather
from compiler.orchestration.evidence import verify as run_oracles
from compiler.orchestration.gates import BOOKS_SINCE, refusal_words
from compiler.orchestration.http_requests import read_request
from compiler.orchestration.roles import Role, read_oracles
from compiler.orchestration.tasks import accomplish, record, weigh
from compiler.orchestration.team import Assignment, Options, Team, read_options, read_text
from compiler.orchestration.values import (
    Value,
    bare,
    listed,
    plain,
    prism_value,
    readable,
    replaced,
    whole,
    with_confidence,
    without,
)
from compiler.prism import EffectFailed
from schemas.effects import (
    Answered,
    Ask,
    HttpAnswer,
    Log,
    Now,
    Random,
    Select,
    Selection,
    Signalled,
    Sleep,
    TaskOutcome,
    Wait,
)
from schemas.events import Refusal

if TYPE_CHECKING:
    from compiler.prism import Machine
    from schemas.agents import Oracle

_R = TypeVar("_R")
_STEP = frozenset({"id", "timeoutMs", "onError"})
_GATE = frozenset({"gate", "onReject", "mayPassLater"})
_TASK = _STEP | _GATE | {"session", "input", "context", "attempts", "revises"}
_PARALLEL = _STEP | {"strategy", "max", "minResults"}
_REVIEW = _STEP | _GATE | {"maxIterations", "session", "input", "context", "attempts"}
_APPROVE = _STEP | _GATE | {"who", "deadlineMs", "session", "input", "context", "attempts"}
_ASK = frozenset({"id", "options", "default", "who", "deadlineMs", "timeoutMs"})


class HostLibrary:
    """The functions of one program's host, over the state they share."""

    def __init__(self, team: Team, callees: Callees | None = None) -> None:
        self._team = team
        self._callees = callees or Callees()

    def functions(self) -> dict[str, Callable[..., Any]]:
        """The functions by the names that a program calls them by."""
        return {name: getattr(self, method) for name, method in HOST_FUNCTIONS.items()}

    def assign(self, machine: Machine, role: Value, task: Value, options: Value = None) -> Value:
        """Sends a task to a session of a role and waits for that turn."""
        who, given = self._team.role(role, "assign"), self._team.options(options, "assign", _TASK)
        assignment = Assignment(role=who, text=read_text(task, "assign", self._step(given)), options=given)

        def run() -> Value:
            done = accomplish(self._team, machine, assignment)
            self._team.contribute(machine, [done.outcome], given.id)
            weigh(self._team, assignment, done)
            return record(done)

        return flow.guarded(given, run)

    def _step(self, given: Options) -> str:
        """The step of an effect, for messages: executions of before know none."""
        return given.id if given.id and self._team.semantics >= BOOKS_SINCE else ""

    def parallel(self, machine: Machine, branches: Value, options: Value = None) -> Value:
        """Runs functions at once."""
        given = self._team.options(options, "parallel", _PARALLEL)
        thunks = _thunks(branches, "parallel")
        for name, number in (("max", given.max), ("minResults", given.min_results)):
            if number is not None and number < 1:
                raise EffectFailed("invalid_argument", f"parallel: {name} is at least 1")
        if given.min_results is not None and given.min_results > len(thunks):
            raise EffectFailed("invalid_argument", "parallel: minResults is more than there are branches")
        return flow.parallel(self._team, machine, thunks, given)

    def sequential(self, machine: Machine, steps: Value, options: Value = None) -> Value:
        """Runs functions one after the other."""
        given = self._team.options(options, "sequential", _STEP)
        return flow.sequential(self._team, machine, _thunks(steps, "sequential"), given)

    def group(self, machine: Machine, body: Value, options: Value = None) -> Value:
        """Runs a function within a time, or so that it may fail; gives what it gives, or the record of its failure."""
        given = self._team.options(options, "group", _STEP | {"gate"})
        (thunk,) = _thunks([body], "group")

        def run() -> Value:
            value = flow.within(machine, given, thunk)
            if self._team.is_gate(given):
                self._passed_within(given.id)
            return value

        return flow.guarded(given, run)

    def _passed_within(self, name: str) -> None:
        """Fails where a "no" stands against work of the pattern that step `name` has called."""
        if standing := self._team.books.standing(f"{name}."):
            raise EffectFailed(standing[0].code, "; ".join(map(refusal_words, standing)))

    def review(self, machine: Machine, reviewer: Value, subject: Value, options: Value = None) -> Value:
        """Asks a role for a verdict; on `revise` the reviewed work is done again."""
        of, rest = without(options, "of")
        given = self._team.options(rest, "review", _REVIEW)
        role = self._team.role(reviewer, "review")
        works = listed(subject if of is None else of)

        def failed(error: EffectFailed) -> Value:
            record = reviews.failed_review(error, role.id)
            if self._team.is_gate(given):
                words = ("none", error.message)
                reviews.settle(self._team, "review", role.id, False, words, reviews.tasks_in(works), given)
            return {**record, "iterations": 0.0, "review_id": self._team.keep_revisions("", works)}

        return flow.guarded(given, lambda: reviews.review(self._team, machine, role, subject, works, given), failed)

    def approve(self, machine: Machine, approver: Value, subject: Value, options: Value = None) -> Value:
        """A gate that a role or a person (`"human"`) opens."""
        of, rest = without(options, "of")
        given = self._team.options(rest, "approve", _APPROVE)
        works = listed(subject if of is None else of)

        def failed(error: EffectFailed) -> Value:
            if self._team.is_gate(given):
                words = ("none", error.message)
                reviews.settle(self._team, "approve", "nobody", False, words, reviews.tasks_in(works), given)
            return reviews.failed_review(error, "")

        return flow.guarded(
            given, lambda: reviews.approve(self._team, machine, approver, subject, works, given), failed
        )

    def verify(self, machine: Machine, oracles: Value, options: Value = None) -> Value:
        """Gathers evidence about the work of the tasks in `of`; a gate unless the options say otherwise."""
        of, rest = without(options, "of")
        given = self._team.options(rest, "verify", _STEP | _GATE | {"combine"})
        try:
            wanted, combine = read_oracles({"oracles": plain(oracles), "combine": given.combine})
        except (ValueError, TypeError, msgspec.ValidationError) as error:
            raise EffectFailed("invalid_argument", f"verify: {error}") from error
        wanted, works = self._team.oracles(wanted), listed(of)
        if not wanted or (not works and bare(of) is not None):
            raise EffectFailed("invalid_argument", "verify: oracles, and `of` with the work of a task")
        tasks = reviews.tasks_in(works)

        def run() -> Value:
            return self._verify(machine, wanted, combine, tasks, given)

        def failed(error: EffectFailed) -> Value:
            if self._team.is_gate(given):
                evidence = Evidence(expected=True, critique=error.message)
                self._judge(given, tasks, wanted, [evidence], merged=False)
            return flow.failure_record(error)

        return flow.guarded(given, lambda: flow.within(machine, given, run), failed)

    def _verify(self, machine: Machine, oracles: Any, combine: Any, tasks: list[str], options: Options) -> Value:
        works = self._team.works(tasks)
        merged = self._team.is_in_the_result([work for _, work in works])
        asked = [(role, work, oracles) for role, work in works]
        if merged and len(works) > 1:
            # one result, so its commands are run once; what is judged by somebody is judged work by work
            run = [oracle for oracle in oracles if oracle.type in {"command", "checklist"}]
            judged = [oracle for oracle in oracles if oracle.type not in {"command", "checklist"}]
            asked = [(*works[-1], run)] if run else []
            asked += [(role, work, judged) for role, work in works if judged]
        found = [
            self._evidence(machine, role, wanted, combine, work, options.id, merged=merged)
            for role, work, wanted in asked
        ]
        scores = [one.score for one, _ in found]
        score = _least(scores)
        passed = bool(found) and all(one.passed for one, _ in found)
        critique = "\n\n".join(one.critique for one, _ in found if one.critique) if tasks else "There is no work."
        kept = [*tasks] if merged else [work.task_id for _, work, _ in asked]
        self._judge(options, kept, oracles, [one for one, _ in found], merged=merged)
        if options.gate is not False and not self._team.is_gate(options) and not passed:
            raise EffectFailed("verification_failed", f"step {options.id!r} did not pass: {critique}")
        fields = {
            "passed": passed,
            "score": score,
            "confidence": score,
            "confidence_source": "" if score is None else "verification",
            "critique": critique,
            "oracles": [msgspec.to_builtins(result) for _, results in found for result in results],
        }
        return with_confidence(prism_value(fields), score)

    def _judge(
        self, options: Options, tasks: list[str], oracles: Sequence[Oracle], found: list[Evidence], *, merged: bool
    ) -> None:
        """Enters what a verification found about tasks into the books. Fails where that is a "no" that stands."""
        books, gate = self._team.books, self._team.is_gate(options)
        score = _least([one.score for one in found])
        if found and tasks:
            books.proved(tasks, oracles, score, merged=merged)
        if not gate:
            return
        step = options.id or "verify"
        if found and all(one.passed for one in found):
            books.passed("verify", step, tasks, oracles, merged=merged)
            return
        checks = [check for one in found for check in one.checks]
        critique = "\n\n".join(one.critique for one in found if one.critique)
        refusal = Refusal(
            code="verification_failed",
            step=step,
            kind="verify",
            by=failing(checks) or "nobody",
            verdict="no evidence" if score is None else "failed",
            critique=critique if tasks else "There is no work.",
            score=score,
            tasks=tasks,
            checks=checks,
        )
        books.refused(refusal, oracles, continued=options.on_reject == "continue")
        reviews.stop(refusal, options)

    def _evidence(
        self, machine: Machine, role: Role, oracles: Any, combine: Any, outcome: TaskOutcome, step: str, *, merged: bool
    ) -> tuple[Evidence, list[Any]]:
        """The evidence about one task, and what each command found where commands are all that was asked for."""
        if any(oracle.type != "command" for oracle in oracles):
            return gather(self._team, machine, role, oracles, combine, outcome, step, merged=merged), []
        made = run_oracles(machine, oracles, combine, outcome, step, merged=merged)
        evidence = Evidence(
            expected=True,
            score=made.score,
            passed=made.passed,
            critique=critique_of(made),
            checks=checks_in(made.oracles),
        )
        return evidence, made.oracles

    def aggregate(self, machine: Machine, sources: Value, options: Value = None) -> Value:
        """One result out of several."""
        del machine
        given = self._team.options(options, "aggregate", _STEP | {"method", "weights"})
        left = listed([None] if bare(sources) is None else sources)  # a step that has not run left null
        return flow.guarded(given, lambda: aggregate(left, given.method, given.weights))

    def integrate(self, machine: Machine, options: Value = None) -> Value:
        """Integrates what the running branch has committed so far, so that its next step sees it."""
        self._team.flush(machine, self._team.options(options, "integrate", _STEP).id)

    def select(self, machine: Machine, role: Value, options: Value = None) -> Value:
        """Chooses a session of a role for later steps."""
        given = self._team.options(options, "select", _STEP | {"criteria", "topic"})
        who = self._team.role(role, "select")
        request = Select(
            role=who.id,
            criteria=given.criteria,
            max_instances=who.agent.max_instances,
            topic=given.topic,
            session=self._team.selected(who, given.criteria, given.topic),
        )

        def run() -> Value:
            chosen: Selection = machine.perform(request)
            return {"session": chosen.session, "role": chosen.role}

        return flow.guarded(given, run)

    # -- other patterns ---------------------------------------------------------------------------------------------

    def call(self, machine: Machine, pattern: Value, given: Value = None, options: Value = None) -> Value:
        """Runs another pattern as a part of this one; gives what it gives."""
        called = self._callees.find(pattern)
        own, asked = read_options(options, "call", _STEP).id, self._team.options(options, "call", _STEP)
        if asked.timeout_ms is None:
            asked = msgspec.structs.replace(asked, timeout_ms=called.timeout_ms)
        team = self._team.called(called.roles, call_name(own, called.name))

        def run() -> Value:
            host = HostLibrary(team, self._callees).functions()
            value = self._callees.run(machine, called, given, host)
            if team.semantics >= BOOKS_SINCE:
                self._passed_within(team.prefix)
            return value

        return flow.guarded(asked, lambda: flow.within(machine, asked, run))

    def ask(self, machine: Machine, question: Value, options: Value = None) -> Value:
        """Asks a person; gives `{value, by, reason}`."""
        given = self._team.options(options, "ask", _ASK)
        request = Ask(
            question=read_text(question, "ask"),
            options=given.options,
            who=given.who,
            default=given.default,
            deadline_ms=given.timeout_ms if given.deadline_ms is None else given.deadline_ms,
        )
        answer: Answered = machine.perform(request)
        return prism_value({"value": answer.value, "by": answer.by, "reason": answer.reason})

    def sleep(self, machine: Machine, ms: Value) -> Value:
        """Waits for so many milliseconds."""
        machine.perform(Sleep(ms=_millis(ms, "sleep")))

    def http(self, machine: Machine, request: Value) -> Value:
        """Asks a server; gives `{status, headers, body}`."""
        answer: HttpAnswer = machine.perform(read_request(request))
        return prism_value({"status": answer.status, "headers": answer.headers, "body": answer.body})

    def wait(self, machine: Machine, signal: Value, options: Value = None) -> Value:
        """Waits for a signal; gives `{received, data}`."""
        given = self._team.options(options, "wait", _STEP)
        name = read_text(signal, "wait")
        ended: Signalled = machine.perform(Wait(signal=name, timeout_ms=given.timeout_ms))
        if not ended.received and given.on_error == "fail" and given.timeout_ms is not None:
            raise EffectFailed("step_timeout", f"no signal {name!r} came within {given.timeout_ms} ms")
        return {"received": ended.received, "data": prism_value(ended.data)}

    def now(self, machine: Machine) -> Value:
        """The time in epoch milliseconds."""
        return float(machine.perform(Now()))

    def random(self, machine: Machine) -> Value:
        """A number in [0, 1)."""
        return float(machine.perform(Random()))

    def log(self, machine: Machine, message: Value) -> Value:
        """Leaves a line for whoever reads the events."""
        machine.perform(Log(message=readable(message)))

    def text(self, machine: Machine, value: Value) -> Value:
        """A value as it reads in a text."""
        del machine
        return readable(value)

    def revised(self, machine: Machine, review: Value, index: Value) -> Value:
        """What became of the reviewed work number `index`."""
        del machine
        fields = bare(review)
        review_id = cast("dict[str, Value]", fields).get("review_id") if isinstance(fields, dict) else None
        works = self._team.revisions(readable(review_id))
        number = bare(index)
        if not isinstance(number, float) or not number.is_integer() or not 0 <= number < len(works):
            raise EffectFailed("invalid_argument", f"revised: the review was of {len(works)} works, counted from 0")
        return works[int(number)]

    def element_of(self, machine: Machine, array: Value, index: Value) -> Value:
        """An element of an array; null where there is no such element, or no array because its step failed."""
        del machine
        items, number = bare(array), bare(index)
        if not isinstance(items, list) or not isinstance(number, float):
            return None
        elements = cast("list[Value]", items)
        return elements[int(number)] if 0 <= number < len(elements) else None

    def replace_at(self, machine: Machine, array: Value, path: Value, value: Value) -> Value:
        """The array with the element at a path of indexes replaced."""
        del machine
        return replaced(array, [int(step) for step in cast("list[Any]", plain(path))], value)

    def combine(self, machine: Machine, results: Value, rules: Value) -> Value:
        """One result out of those of equals, with the votes or the agreement behind it."""
        del machine
        return flat.combine(results, _rules(rules, flat.Rules, "combine"))

    def graded(self, machine: Machine, value: Value, record: Value) -> Value:
        """A value with the confidence that a step's record has; as it is where the record has none."""
        del machine
        return with_confidence(value, flat.confidence_in(record))

    def validated(self, machine: Machine, body: Value, rules: Value) -> Value:
        """Runs a function until its result is acceptable, at most `maxRetries` times more; else fails or falls back."""
        given = _rules(rules, flat.Acceptance, "validated")
        (thunk,) = _thunks([body], "validated")
        reason = ""
        for attempt in range(1 + (given.max_retries if given.on_failure == "retry" else 0)):
            if attempt and given.retry_delay:
                machine.perform(Sleep(ms=given.retry_delay))
            try:
                value = thunk()
            except EffectFailed as error:
                if error.code in flow.FATAL:
                    raise
                reason = error.message
                continue
            reason = flat.refusal(value, given, self._callees.semantics)
            if not reason:
                return value
        if given.on_failure == "fallback" or given.fallback is not None:
            return flat.fallen_back(given.fallback, reason)
        raise EffectFailed("validation_failed", f"step {given.id!r}: {reason}")

    def check_input(self, machine: Machine, value: Value, schema: Value) -> Value:
        """Checks the input of a called pattern against its schema. Fails with `invalid_input`."""
        del machine
        problems = validate_input(cast("dict[str, Any]", plain(schema)), plain(value), self._callees.semantics)
        if problems:
            raise EffectFailed("invalid_input", "; ".join(problem.what for problem in problems))
        return value


HOST_FUNCTIONS: Mapping[str, str] = {
    "assign": "assign",
    "parallel": "parallel",
    "sequential": "sequential",
    "group": "group",
    "review": "review",
    "approve": "approve",
    "verify": "verify",
    "aggregate": "aggregate",
    "integrate": "integrate",
    "select": "select",
    "call": "call",
    "ask": "ask",
    "http": "http",
    "sleep": "sleep",
    "wait": "wait",
    "now": "now",
    "random": "random",
    "log": "log",
    "text": "text",
    "revised": "revised",
    "elementOf": "element_of",
    "replaceAt": "replace_at",
    "checkInput": "check_input",
    "combine": "combine",
    "graded": "graded",
    "validated": "validated",
}
"""Names of the host functions in a program, and the methods behind them."""


def _least(scores: Sequence[float | None]) -> float | None:
    """The lowest of several scores; none where one of them is missing, or all are."""
    known = [score for score in scores if score is not None]
    return min(known) if known and len(known) == len(scores) else None


def _thunks(value: Value, function: str) -> list[Callable[[], Any]]:
    entries = bare(value)
    if not isinstance(entries, list):
        raise EffectFailed("invalid_argument", f"{function}: an array of functions is expected")
    thunks = cast("list[Any]", entries)
    if not thunks or not all(callable(entry) for entry in thunks):
        raise EffectFailed(
            "invalid_argument", f"{function}: an array of functions without parameters is expected", None
        )
    return thunks


def _rules(value: Value, kind: type[_R], function: str) -> _R:
    try:
        return msgspec.convert(plain(value), kind)
    except msgspec.ValidationError as error:
        raise EffectFailed("invalid_argument", f"{function}: {error}") from error


def _millis(value: Value, function: str) -> int:
    number = bare(value)
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number <= 2**53:
        raise EffectFailed("invalid_argument", f"{function}: a number of milliseconds is expected")
    return int(whole(float(int(number))))
