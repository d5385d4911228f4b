"""Assignments: the turn, the evidence about it, and the confidence policy."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import UNSET

from compiler.orchestration.evidence import critique_of
from compiler.orchestration.policy import better, decide
from compiler.orchestration.roles import Policy
from compiler.prism import EffectFailed
from schemas.agents import OracleResult
from schemas.effects import Answered, Verification
from tests.compiler.drive import outcome, run, scripted, verified

TEAM = """
agents {
  boss: Agent { id: "boss", capabilities: ["plan"] },
  lead: Agent { id: "lead", capabilities: ["plan"], reportsTo: boss },
  dev: Agent { id: "dev", capabilities: ["code"], reportsTo: lead, agentType: ["command"],
    agentConfig: {command: ["agent"], env: {A: "1"}, model: "m"}, minInstances: 1, maxInstances: 2, %s },
}
"""
BOUNDS = "confidence: {accept: 0.8, retryBelow: 0.6, escalateBelow: 0.3}"
TESTS = 'verify: {type: "command", run: "pytest"}'
ASSIGN = 'assign(dev, "build it", {id: "build"})'


def program(extra: str, body: str = ASSIGN) -> str:
    return TEAM % extra + body


def test_an_assignment_is_one_task_and_one_integration() -> None:
    """A task goes out with everything an executor needs, and its commit is integrated before the program goes on."""
    life = run(program(""), scripted(dev=[("made", 0.9)]))
    (task,) = life.tasks
    assert (task.role, task.text, task.step, task.agent.command) == ("dev", "build it", "build", ["agent"])
    assert (task.agent.env, task.agent.config, task.agent.min_instances, task.agent.max_instances) == (
        {"A": "1"},
        {"model": "m"},
        1,
        2,
    )
    assert life.kinds() == ["dev", "integrate"]
    assert life.integrated() == [["c1"]]
    assert (life.value["result"], life.value["session"], life.value["task_id"], life.value["commit"]) == (
        "made",
        "dev-1",
        "t1",
        "c1",
    )
    assert (life.confidence, life.source) == (0.9, "self_report")


def test_without_a_workspace_nothing_is_integrated() -> None:
    """The hot path is one effect."""
    assert run(program(""), workspace=False).kinds() == ["dev"]


def test_no_self_report_is_no_confidence() -> None:
    """An agent that says nothing about its confidence has none, which is neither 0 nor 1."""
    life = run(program(""))
    assert (life.confidence, life.source, life.value["confidence"]) == (None, "", None)


@pytest.mark.parametrize(
    ("score", "expected", "wanted"),
    [
        (0.9, False, "accept"),
        (0.8, False, "accept"),
        (0.7, False, "accept_low"),
        (0.6, False, "accept_low"),
        (0.59, False, "retry"),
        (0.3, False, "retry"),
        (0.29, False, "escalate"),
        (0.0, True, "escalate"),
        (None, True, "escalate"),
        (None, False, "accept_low"),
    ],
)
def test_the_bounds_of_a_policy(score: float | None, expected: bool, wanted: str) -> None:
    """Each bound begins where the other ends; evidence that was asked for and is missing is worse than any score."""
    assert decide(Policy(accept=0.8, retry_below=0.6, escalate_below=0.3), score, expected=expected) == wanted


def test_a_bound_that_is_not_given_never_triggers() -> None:
    """Without retryBelow and escalateBelow everything is accepted, at worst with a warning."""
    assert decide(Policy(), 0.0, expected=True) == "accept_low"
    assert decide(Policy(), None, expected=True) == "accept_low"
    assert decide(Policy(retry_below=0.5), 0.1, expected=True) == "retry"


def test_any_evidence_is_better_than_none_and_a_tie_goes_to_the_first() -> None:
    """The order among attempts."""
    assert better(0.1, None)
    assert not better(None, None)
    assert not better(0.5, 0.5)


def test_a_low_self_report_is_retried_once_with_the_critique_in_the_same_session() -> None:
    """The second attempt knows what was wrong with the first; only the better one's commit is integrated."""
    life = run(program(BOUNDS), scripted(dev=[("first", 0.5), ("second", 0.7)]))
    assert life.kinds() == ["dev", "dev", "integrate"]
    again = life.tasks[1]
    assert again.session == "dev-1"
    assert again.context["attempt"] == 2
    assert again.context["previous"] == "first"
    assert "confidence 0.5" in again.context["critique"]
    assert (life.value["result"], life.confidence, life.integrated()) == ("second", 0.7, [["c2"]])
    assert life.value["warning"] == "accepted with confidence 0.7; 0.8 is wanted"


def test_a_worse_second_attempt_loses() -> None:
    """The first attempt's result, confidence and commit stand."""
    life = run(program(BOUNDS), scripted(dev=[("first", 0.5), ("second", 0.4)]))
    assert (life.value["result"], life.confidence, life.integrated()) == ("first", 0.5, [["c1"]])


def test_a_retry_that_fails_does_not_lose_the_first_attempt() -> None:
    """What was done stays, and the warning says what happened."""
    life = run(program(BOUNDS), scripted(dev=[("first", 0.5), EffectFailed("task_failed", "it broke")]))
    assert (life.value["result"], life.integrated()) == ("first", [["c1"]])
    assert "the retry failed: it broke" in life.value["warning"]


def test_evidence_beats_a_self_report() -> None:
    """An agent that is sure of work that fails its tests is not believed; the tests' output is the critique."""
    answer = scripted(dev=[("x", 0.99), ("y", 0.1)], verify=[verified(0.4, "2 failed"), verified(1.0)])
    life = run(program(f"{BOUNDS}, {TESTS}"), answer)
    assert life.kinds() == ["dev", "verify", "dev", "verify", "integrate"]
    assert "2 failed" in life.tasks[1].context["critique"]
    assert (life.value["result"], life.confidence, life.source) == ("y", 1.0, "verification")


def test_missing_evidence_is_never_a_pass() -> None:
    """An oracle that could not be run leaves no confidence, whatever the agent says of itself."""
    life = run(program(TESTS), scripted(dev=[("x", 0.99)], verify=[Verification()]))
    assert (life.confidence, life.source, life.value["verification"]["passed"]) == (None, "", False)
    assert life.value["warning"] == "accepted with no evidence; 0.8 is wanted"


def test_missing_evidence_escalates_where_a_bound_is_given() -> None:
    """No evidence lies below every bound."""
    answer = scripted(dev=[("x", 0.99)], lead=[("y", None)], verify=[Verification(), verified(1.0)])
    life = run(program(f"{BOUNDS}, {TESTS}"), answer)
    assert life.kinds() == ["dev", "verify", "lead", "verify", "integrate"]
    assert (life.value["result"], life.value["role"], life.value["escalated"]) == ("y", "lead", True)


def test_what_an_escalation_returns_is_verified_by_the_same_oracles_and_may_go_further_up() -> None:
    """The manager's word counts no more than anybody's: it goes on up while the evidence stays bad."""
    answer = scripted(
        dev=[("x", 0.1)], lead=[("y", 0.9)], boss=[("z", 0.9)], verify=[verified(0.1), verified(0.2), verified(1.0)]
    )
    life = run(program(f"{BOUNDS}, {TESTS}"), answer)
    assert life.kinds() == ["dev", "verify", "lead", "verify", "boss", "verify", "integrate"]
    assert (life.value["role"], life.confidence) == ("boss", 1.0)
    assert life.tasks[1].context["escalated_from"] == "dev"
    assert life.tasks[2].context["previous"] == "y"
    assert life.integrated() == [["c5"]]


def test_at_the_top_the_best_is_returned_with_its_own_low_confidence() -> None:
    """Nobody is left: the result says how little it is worth."""
    life = run(program(BOUNDS), scripted(dev=[("x", 0.2)], lead=[("y", 0.1)], boss=[("z", 0.15)]))
    assert (life.value["result"], life.confidence) == ("x", 0.2)
    assert "nobody left to escalate to" in life.value["warning"]


@pytest.mark.parametrize(
    ("rules", "kinds", "code"),
    [
        ('escalation: {onMaxDepth: "fail"}', ["dev", "lead", "boss"], "verification_failed"),
        ('escalation: {onMaxDepth: "fail", maxDepth: 1}', ["dev", "lead"], "verification_failed"),
        ('escalation: {onMaxDepth: "fail", maxDepth: 0}', ["dev"], "verification_failed"),
        ('escalation: {onMaxDepth: "surface_to_user", maxDepth: 1}', ["dev", "lead", "ask"], "not_approved"),
        ('escalation: {defaultBehavior: "surface_to_user"}', ["dev", "ask"], "not_approved"),
    ],
)
def test_escalation_follows_its_rules(rules: str, kinds: list[str], code: str) -> None:
    """Depth and end are the pattern's; a person who does not answer has not accepted anything."""
    answer = scripted(dev=[("x", 0.2)], lead=[("y", 0.1)], boss=[("z", 0.1)], ask=[Answered(by="deadline")])
    life = run(program(f"{BOUNDS}, {rules}"), answer)
    assert (life.kinds(), life.error and life.error.code) == (kinds, code)


def test_a_person_can_accept_what_nobody_is_sure_of() -> None:
    """The result keeps its low confidence."""
    rules = f'{BOUNDS}, escalation: {{defaultBehavior: "surface_to_user", timeoutMs: 500}}'
    life = run(program(rules), scripted(dev=[("x", 0.2)], ask=[Answered(value="approve", by="ada")]))
    assert (life.value["result"], life.confidence) == ("x", 0.2)
    assert "accepted by ada" in life.value["warning"]


def test_a_failed_task_fails_the_program_with_its_code() -> None:
    """There is one retry layer, the executor's; what failed there is not tried again here."""
    life = run(program(BOUNDS), scripted(dev=[EffectFailed("task_timeout", "silent")]))
    assert life.error is not None
    assert (life.kinds(), life.error.code) == (["dev"], "task_timeout")


def test_a_step_that_may_fail_leaves_a_record_of_its_failure() -> None:
    """`onError: continue` turns a failure into a result without a confidence."""
    body = 'assign(dev, "build it", {id: "build", onError: "continue"})'
    life = run(program("", body), scripted(dev=[EffectFailed("task_failed", "broken")]))
    assert (life.value["result"], life.value["error"], life.confidence) == (
        None,
        {"code": "task_failed", "message": "broken"},
        None,
    )


def test_a_conflict_fails_the_step_and_names_it() -> None:
    """What cannot be merged is never dropped silently."""
    life = run(program(""), scripted(integrate=[EffectFailed("workspace_conflict", "a.py differs")]))
    assert life.error is not None
    assert (life.error.code, life.error.message) == ("workspace_conflict", "step 'build': a.py differs")


@pytest.mark.parametrize(
    "call",
    [
        'assign("dev", "x")',
        'assign({id: "no good"}, "x")',
        'assign(dev, "")',
        "assign(dev, 7)",
        'assign(dev, "x", {timeout: 5})',
        'assign(dev, "x", {timeoutMs: "soon"})',
        'assign(dev, "x", {onError: "ignore"})',
        "parallel([])",
        "parallel([() => 1], {max: 0})",
        "parallel([() => 1], {minResults: 2})",
        'verify([{type: "command", run: "x"}], {of: []})',
        'aggregate([1], {method: "vote"})',
        "aggregate([])",
        "sleep(-1)",
        'sleep("long")',
        "revised({}, 0)",
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_asked(call: str) -> None:
    """Nothing that cannot be honoured is ignored."""
    life = run(program("", call))
    assert life.error is not None
    assert (life.error.code, life.asked) == ("invalid_argument", [])


def test_a_role_that_is_not_declared_is_found_through_the_pattern() -> None:
    """`reportsTo` may be an id of the pattern's roles."""
    text = program(BOUNDS).replace("reportsTo: lead", 'reportsTo: "chief"')
    life = run(text, lambda request, path: outcome(request, path, "x", 0.1))
    assert life.error is not None
    assert life.error.message == "there is no role 'chief'"


def test_a_retry_goes_on_from_the_first_attempt_and_the_next_task_from_the_result() -> None:
    """The worse attempt is in nobody's way: the task after it builds on nothing but the result."""
    both = f'{ASSIGN}\nassign(dev, "more", {{id: "more"}})'
    life = run(program(BOUNDS, both), scripted(dev=[("made", 0.5), ("worse", 0.4), ("more", 0.9)]))
    assert [task.builds_on for task in life.tasks] == [[], ["c1"], []]
    assert life.integrated()[0] == ["c1"]


def test_a_branch_goes_on_from_what_it_did_itself() -> None:
    """What a branch did and the result does not hold yet is what its later steps build on; other branches do not."""
    body = """
parallel([
  () => { assign(dev, "one", {id: "one"}); assign(dev, "two", {id: "two"}) },
  () => assign(lead, "three", {id: "three"}),
], {id: "both"})
assign(dev, "four", {id: "four"})
"""
    life = run(program("", body))
    asked = {task.step: task.builds_on for task in life.tasks}
    (first,) = [path for path, request in life.asked if getattr(request, "step", "") == "one"]
    assert asked == {"one": [], "two": [f"c{first}"], "three": [], "four": []}


def test_under_the_first_meaning_a_task_says_nothing_of_what_it_builds_on() -> None:
    """Recorded programs ask as they asked."""
    life = run(program(BOUNDS), scripted(dev=[("made", 0.5), ("worse", 0.4)]), semantics=1)
    assert [task.builds_on for task in life.tasks] == [UNSET, UNSET]
    assert all(b"builds_on" not in msgspec.json.encode(task) for task in life.tasks)


def test_without_a_workspace_a_task_builds_on_nothing() -> None:
    """There is nothing to build on."""
    assert [task.builds_on for task in run(program(""), workspace=False).tasks] == [UNSET]


def test_a_set_up_that_fails_is_no_check_that_failed() -> None:
    """Whoever reads the critique is told which of the two it was."""
    said = OracleResult(type="setup", name="npm ci", exit_code=1, output="no network\n")
    assert critique_of(Verification(oracles=[said])) == (
        "the set-up of the checks, npm ci, did not succeed (exit code 1):\nno network"
    )
    assert critique_of(Verification(oracles=[OracleResult(type="command", name="npm test", exit_code=1)])) == (
        "npm test did not pass (exit code 1)"
    )
