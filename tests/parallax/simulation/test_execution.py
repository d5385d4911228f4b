"""What happens in a simulated run: in parallel, for want of sessions, late, failed, unanswered, without an end."""

from __future__ import annotations

from typing import Any

import pytest

from parallax.simulation.setting import Limits
from schemas.commands import Budget
from schemas.events import QuestionAnswered, TaskCompleted, TaskRetrying, TaskStarted
from tests.parallax.simulation.charts import chart, compiled, played, prism, times, types

THREE = """\
- type: parallel
  id: all
  {extra}
  steps:
    - {{type: assign, id: one, role: {role}, task: do one}}
    - {{type: assign, id: two, role: {role}, task: do two}}
    - {{type: assign, id: three, role: {role}, task: do three}}
"""


def three(role: str = "writer", extra: str = "onError: fail") -> Any:
    return compiled(chart(THREE.format(role=role, extra=extra)))


@pytest.mark.parametrize(
    ("role", "extra", "seconds"),
    [
        ("writer", "onError: fail", 60),
        ("writer", "maxConcurrency: 2", 120),
        ("writer", "maxConcurrency: 1", 180),
        ("boss", "onError: fail", 180),
    ],
)
def test_parallel_tasks_take_as_long_as_their_limits_make_them(role: str, extra: str, seconds: int) -> None:
    """`maxConcurrency` and a role's instances queue tasks; a task has its session to itself."""
    outcome = played(three(role, extra))
    assert (outcome.status, outcome.seconds) == ("completed", seconds)


def test_sessions_are_given_in_the_order_in_which_they_were_asked_for() -> None:
    """The first free one of the role; whoever waits longest is next."""
    outcome = played(three("boss"))
    begun = [entry.event for entry in outcome.events if isinstance(entry.event, TaskStarted)]
    assert [(event.step, event.session) for event in begun] == [
        ("one", "boss-1"),
        ("two", "boss-1"),
        ("three", "boss-1"),
    ]
    assert [task.started_ms for task in outcome.tasks] == [0, 60_000, 120_000]
    assert {task.session for task in played(three()).tasks} == {"writer-1", "writer-2", "writer-3"}


def test_the_losers_of_a_race_are_withdrawn_and_what_they_used_is_counted() -> None:
    """The fastest wins; the others are stopped where they are and have cost their share."""
    text = 'parallel([() => assign(w, "a", {id: "a"}), () => assign(w, "b", {id: "b"})], {strategy: "race"})'
    outcome = played(prism(text), {"steps": {"a": {"seconds": 100}, "b": {"seconds": 25, "costUsd": 1}}})
    assert outcome.seconds == 25
    assert outcome.path == "{a: withdrawn, b}"
    loser, winner = outcome.tasks
    assert (loser.status, loser.cost_usd, loser.wasted_usd) == ("withdrawn", 0.025, 0.025)
    assert (winner.status, winner.cost_usd) == ("completed", 1.0)
    assert types(outcome).index("task.cancel_requested") < types(outcome).index("task.cancelled")
    assert (outcome.cost, outcome.wasted) == (1.025, 0.025)


def test_a_quorum_ends_when_enough_are_done() -> None:
    """Two of three, at the second one's time."""
    branches = ", ".join(f'() => assign(w, "do", {{id: "{name}"}})' for name in "abc")
    text = f'parallel([{branches}], {{strategy: "quorum", minResults: 2}})'
    steps = {"a": {"seconds": 10}, "b": {"seconds": 30}, "c": {"seconds": 20}}
    outcome = played(prism(text), {"steps": steps})
    assert (outcome.seconds, outcome.path) == (20, "{a, b: withdrawn, c}")


def test_a_failed_attempt_is_repeated_with_a_back_off_until_attempts_run_out() -> None:
    """Three attempts by default; the second wait is up to twice the first; then the task and the run fail."""
    outcome = played(compiled(chart("- {type: assign, id: one, role: writer, task: do}\n")), ALWAYS_FAILS)
    waits = [entry.event.delay_ms for entry in outcome.events if isinstance(entry.event, TaskRetrying)]
    assert len(waits) == 2
    assert 0 <= waits[0] <= 200
    assert 0 <= waits[1] <= 400
    assert outcome.error is not None
    assert (outcome.status, outcome.error.code, outcome.repeats) == ("failed", "task_failed", 2)
    assert outcome.path == "one: task_failed"
    assert outcome.cost == outcome.wasted > 0


ALWAYS_FAILS = {"default": {"failure": {"error": 1}}}


def test_a_crash_is_repeated_without_counting_as_an_attempt() -> None:
    """An agent that is lost is no failure of the task's: twenty times, and only then it fails."""
    world = {"default": {"failure": {"crash": 1}}}
    outcome = played(compiled(chart("- {type: assign, id: one, role: writer, task: do}\n")), world)
    assert outcome.repeats == 20
    assert outcome.error is not None
    assert outcome.error.code == "agent_lost"


def test_a_silent_agent_is_given_up_after_its_silence() -> None:
    """Thirty seconds without a word, six to stop; the platform's settings are the world's."""
    pattern = compiled(chart("- {type: assign, id: one, role: writer, task: do}\n"))
    world = {"default": {"failure": {"silent": 1}, "seconds": 0}, "platform": {"retries": 0, "silenceMs": 5000}}
    outcome = played(pattern, world)
    assert outcome.seconds == 11
    assert outcome.error is not None
    assert outcome.error.code == "agent_silent"


def test_a_task_that_takes_longer_than_its_limit_fails_at_the_limit() -> None:
    """`timeoutMs` counts from the first attempt; nothing is tried again after it."""
    step = "- {type: assign, id: one, role: writer, task: do, timeoutMs: 45000, onError: continue}\n"
    outcome = played(compiled(chart(step)))
    assert (outcome.status, outcome.seconds, outcome.path) == ("completed", 45, "one: task_timeout")
    assert outcome.wasted == pytest.approx(0.075)


def test_a_step_of_steps_ends_at_its_limit() -> None:
    """The tasks inside are withdrawn."""
    outcome = played(three("boss", "timeoutMs: 90000"))
    assert outcome.error is not None
    assert (outcome.error.code, outcome.seconds) == ("step_timeout", 90)
    assert [task.status for task in outcome.tasks] == ["completed", "withdrawn", "withdrawn"]


def test_an_execution_ends_at_its_time_limit() -> None:
    """Whatever runs then is stopped and has cost its share."""
    outcome = played(three("boss"), timeout_ms=150_000)
    assert outcome.error is not None
    assert (outcome.error.code, outcome.seconds) == ("execution_timeout", 150)
    assert outcome.cost == pytest.approx(0.25)


def test_a_budget_stops_the_next_task() -> None:
    """What is spent is what completed tasks reported, as in the engine."""
    steps = "".join(f"- {{type: assign, id: s{number}, role: writer, task: do}}\n" for number in range(5))
    outcome = played(compiled(chart(steps)), budget=Budget(cost_usd=0.25))
    assert outcome.error is not None
    assert (outcome.error.code, len(outcome.tasks)) == ("budget_exceeded", 3)


def test_low_confidence_is_retried_and_escalated_as_the_policy_says() -> None:
    """Work below `retryBelow` is done again and better; below `escalateBelow` the manager does it."""
    roles = """\
writer:
  name: Writer
  agentType: custom
  capabilities: [a]
  reportsTo: boss
  confidence: {retryBelow: 0.7, escalateBelow: 0.3}
boss: {name: Boss, agentType: custom, capabilities: [a]}
"""
    pattern = compiled(chart("- {type: assign, id: one, role: writer, task: do}\n", roles=roles))
    again = played(pattern, {"roles": {"writer": {"confidence": 0.5, "quality": 0.5, "improvement": 0.5}}})
    assert (again.path, again.retries, again.escalations) == ("one > one (retry)", 1, 0)
    assert [task.quality for task in again.tasks] == [0.5, 0.75]
    handed = played(pattern, {"roles": {"writer": {"confidence": 0.1, "quality": 0.2}}})
    assert (handed.path, handed.escalations) == ("one > one (escalated to boss)", 1)
    assert [task.quality for task in handed.tasks] == [0.2, 0.9]
    poorer = played(pattern, {"roles": {"writer": {"confidence": 0.1, "quality": 0.8}, "boss": {"quality": 0.4}}})
    assert [task.quality for task in poorer.tasks] == [0.8, 0.8], "the boss has the writer's work at hand"


REVIEWED = """\
- {type: assign, id: one, role: writer, task: do}
- {type: review, id: look, reviewer: boss, subject: "${one}", maxIterations: 2}
"""


def test_a_reviewer_objects_to_bad_work_until_it_is_good() -> None:
    """A perfect reviewer sends bad work back; each revision is better than what it revises."""
    outcome = played(compiled(chart(REVIEWED)), {"roles": {"writer": {"quality": 0.2, "improvement": 0.6}}})
    assert outcome.path == "one > look: revise > one (revised) > look: approve"
    assert [task.quality for task in outcome.tasks if task.kind == "work"] == [0.2, 0.68]
    assert outcome.revisions == 1


@pytest.mark.parametrize(
    ("quality", "review", "said"),
    [
        (0.2, {"sensitivity": 1, "reject": 1}, "reject"),
        (0.2, {"sensitivity": 0}, "approve"),
        (0.9, {"specificity": 0}, "revise"),
        (0.9, {"specificity": 1}, "approve"),
    ],
)
def test_verdicts_follow_the_truth_as_well_as_the_reviewer_does(quality: float, review: Any, said: str) -> None:
    """Sensitivity is about bad work, specificity about good work."""
    world = {"roles": {"writer": {"quality": quality}, "boss": {"review": review}}}
    outcome = played(compiled(chart(REVIEWED)), world)
    assert outcome.tasks[1].verdict == said


def test_an_empty_answer_is_no_verdict_and_no_approval() -> None:
    """What cannot be read never passes."""
    world = {"roles": {"boss": {"failure": {"empty": 1}}}}
    outcome = played(compiled(chart(REVIEWED + "- {type: approve, id: gate, approver: boss, subject: go?}\n")), world)
    assert outcome.path == "one > look: no verdict > gate: no verdict"
    assert outcome.error is not None
    assert outcome.error.code == "not_approved"


CHECKED = """\
writer:
  name: Writer
  agentType: command
  agentConfig: {command: [x]}
  capabilities: [a]
  verify: {type: command, run: make test}
  confidence: {retryBelow: 0.5}
"""


@pytest.mark.parametrize(
    ("quality", "verify", "path"),
    [
        (0.9, {}, "one"),
        (0.2, {}, "one > checks: fail > one (retry) > checks: fail"),
        (0.2, {"falsePass": 1}, "one"),
        (0.9, {"falseFail": 1}, "one > checks: fail > one (retry) > checks: fail"),
        (0.9, {"missing": 1}, "one > checks: no evidence > one (retry) > checks: no evidence"),
    ],
)
def test_checks_follow_the_truth_but_for_their_mistakes(quality: float, verify: Any, path: str) -> None:
    """Command oracles pass good work; a false pass, a false fail and no evidence are shares of their own."""
    pattern = compiled(chart("- {type: assign, id: one, role: writer, task: do}\n", roles=CHECKED, more=""))
    outcome = played(pattern, {"roles": {"writer": {"quality": quality, "improvement": 0, "verify": verify}}})
    assert outcome.path == path


def test_without_a_workspace_there_is_nothing_to_check() -> None:
    """As in the platform: no worktree, no evidence."""
    pattern = compiled(chart("- {type: assign, id: one, role: writer, task: do}\n", roles=CHECKED))
    assert played(pattern).checks_failed == 2


def test_commits_of_one_step_may_be_in_conflict() -> None:
    """Only those with changes, and only of several sessions."""
    steps = THREE.format(role="writer", extra="onError: fail")
    pattern = compiled(chart(steps, more=""))
    outcome = played(pattern, {"workspace": {"conflict": 1}})
    assert outcome.error is not None
    assert (outcome.error.code, outcome.conflicts) == ("workspace_conflict", 1)
    assert outcome.path.endswith(" > merge: conflict")
    readers = {"workspace": {"conflict": 1}, "steps": {"one": {"changes": 0}, "two": {"changes": 0}}}
    assert played(pattern, readers).status == "completed"


ASKING = "- {type: approve, id: gate, approver: human, subject: May it go out?, timeoutMs: 100000}\n"


@pytest.mark.parametrize(
    ("people", "path", "seconds"),
    [
        ({}, "person: approve", 60),
        ({"approveGood": 0}, "person: deny", 60),
        ({"answers": 0}, "person: no answer", 100),
        ({"seconds": 200}, "person: no answer", 100),
    ],
)
def test_people_answer_in_time_or_the_deadline_does(people: Any, path: str, seconds: float) -> None:
    """Nobody's silence approves anything."""
    outcome = played(compiled(chart(ASKING)), {"people": people})
    assert (outcome.path, outcome.seconds) == (path, seconds)
    assert (outcome.status == "completed") == (path == "person: approve")
    assert outcome.unanswered == (path == "person: no answer")


def test_a_question_is_answered_with_one_of_its_options() -> None:
    """As often as `choices` says, with the answers in the log."""
    pattern = prism('ask("Which?", {options: ["red", "green"]}).value')
    outcomes = [played(pattern, {"people": {"choices": {"green": 1}}}, run) for run in range(5)]
    assert {outcome.result for outcome in outcomes} == {"green"}
    assert {played(pattern, run=run).result for run in range(20)} == {"red", "green"}
    (answer,) = [entry.event for entry in outcomes[0].events if isinstance(entry.event, QuestionAnswered)]
    assert answer.by == "person"


def test_a_question_that_is_not_answered_in_time_has_its_default() -> None:
    """And whoever asked can tell."""
    pattern = prism('const said = ask("Which?", {default: "red", deadlineMs: 5000})\n[said.value, said.by]')
    outcome = played(pattern, {"people": {"answers": 0}})
    assert (outcome.result, outcome.seconds) == (["red", "deadline"], 5)


def test_a_signal_that_is_sent_is_received_and_one_that_comes_early_waits() -> None:
    """It is held until the program asks for it."""
    pattern = compiled(
        chart("- {type: assign, id: one, role: writer, task: do}\n- {type: wait, id: go, signal: ready}\n"),
    )
    late = played(pattern, {"signals": {"ready": {"seconds": 90, "data": {"to": "all"}}}})
    assert (late.path, late.seconds) == ("one > signal ready", 90)
    early = played(pattern, {"signals": {"ready": {"seconds": 5}}})
    assert (early.path, early.seconds) == ("one > signal ready", 60)
    assert times(early, "signal.received") == [5000]


@pytest.mark.parametrize(
    ("steps", "world", "waits_for"),
    [
        ("- {type: wait, id: go, signal: ready}\n", {}, "the signal 'ready', which nobody sends"),
        (
            "- {type: approve, id: gate, approver: human, subject: May it?}\n",
            {"people": {"answers": 0}},
            "a person, who does not answer, with no deadline: May it?",
        ),
        (
            "- {type: assign, id: one, role: writer, task: do}\n",
            {"default": {"failure": {"timeout": 1}}},
            "the task 'one', whose agent never ends and which has no timeoutMs",
        ),
    ],
)
def test_a_run_that_waits_for_ever_is_stalled_and_says_for_what(steps: str, world: Any, waits_for: str) -> None:
    """Never a hang, never a success."""
    outcome = played(compiled(chart(steps)), world)
    assert (outcome.status, outcome.waits_for) == ("stalled", [waits_for])
    assert "execution." not in types(outcome)[-1]


def test_a_task_that_waits_for_a_session_that_is_never_free_is_named() -> None:
    """The holder never ends, so the others of a singleton never begin."""
    outcome = played(three("boss"), {"steps": {"one": {"failure": {"timeout": 1}}}})
    assert outcome.status == "stalled"
    assert outcome.waits_for == [
        "the task 'one', whose agent never ends and which has no timeoutMs",
        "the task 'two', for which no session of 'boss' becomes free",
        "the task 'three', for which no session of 'boss' becomes free",
    ]


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("while (true) { sleep(86400000) }", "simulated time"),
        ('while (true) { log("again") }', "asks for more than"),
        ('while (true) { assign(w, "again") }', "asks for more than"),
        ("let n = 0\nwhile (true) { n = n + 1 }", "computes on"),
    ],
)
def test_a_pattern_without_an_end_is_followed_only_so_far(program: str, words: str) -> None:
    """In simulated days, in effects, in steps of the program."""
    outcome = played(prism(program), limits=Limits(effects=300, slices=5))
    assert outcome.status == "stalled"
    assert words in outcome.waits_for[0]


def test_a_limit_of_the_language_is_a_failure_of_the_run() -> None:
    """Endless recursion ends as it does in the engine."""
    outcome = played(prism("fn f(n) { return f(n + 1) + 1 }\nf(0)"))
    assert outcome.error is not None
    assert (outcome.status, outcome.error.code) == ("failed", "limit_exceeded")


def test_clocks_and_numbers_are_of_the_run() -> None:
    """`now` is the virtual clock, `random` the same in every process and another one in every run."""
    pattern = prism("const before = now()\nsleep(2500)\n[now() - before, random()]")
    first, second, again = played(pattern), played(pattern, run=2), played(pattern)
    assert first.result[0] == 2500
    assert first.result == again.result != second.result


def test_lies_are_told_of_bad_work_alone() -> None:
    """Somebody who lies says the confidence of good work; the truth is kept beside."""
    pattern = compiled(chart("- {type: assign, id: one, role: writer, task: do}\n"))
    bad = played(pattern, {"default": {"quality": 0.1, "confidence": 0.2, "lying": 1, "lie": 0.95}}).tasks[0]
    assert (bad.lied, bad.confidence, bad.quality) == (True, 0.95, 0.1)
    good = played(pattern, {"default": {"quality": 0.9, "confidence": 0.8, "lying": 1}}).tasks[0]
    assert (good.lied, good.confidence) == (False, 0.8)


def test_results_disagree_as_the_world_says() -> None:
    """Good work gives the first result, bad work another; disagreement makes good work differ too."""
    pattern = compiled(chart("- {type: assign, id: one, role: writer, task: do}\n"))

    def result(**world: Any) -> Any:
        event = next(e.event for e in played(pattern, {"default": world}).events if isinstance(e.event, TaskCompleted))
        return event.result

    assert result(results=["x", {"y": 1}]) == "x"
    assert result(results=["x", {"y": 1}], quality=0.1) == {"y": 1}
    assert result(results=["x", {"y": 1}], disagreement=1) == {"y": 1}
    assert result(results=["x"], quality=0.1) == "x"


def test_the_quality_of_the_result_is_that_of_the_worst_work_in_it() -> None:
    """Records of tasks in the result, at any depth; None where there are none."""
    world = {"steps": {"one": {"quality": 0.8}, "two": {"quality": 0.7}, "three": {"quality": 0.95}}}
    assert played(three(), world).quality == 0.7
    assert played(prism('"a text"')).quality is None


def test_an_agent_without_a_self_report_reports_none() -> None:
    """`confidence: none`."""
    pattern = compiled(chart("- {type: assign, id: one, role: writer, task: do}\n"))
    outcome = played(pattern, {"default": {"confidence": "none"}})
    assert outcome.tasks[0].confidence is None
    assert outcome.confidence is None
