"""Compiled org charts, run: references, conditions, revisions, and failures."""

from __future__ import annotations

import pytest

from compiler.orchestration import open_machine
from compiler.patterns import load_pattern
from compiler.prism import EffectFailed
from schemas.events import SEMANTICS
from schemas.patterns import CompiledPattern
from tests.compiler.drive import run, scripted
from tests.compiler.patterns.charts import HEAD, compiled, live


def test_results_reach_later_texts_as_a_person_would_write_them() -> None:
    """A step reads as its result, a list as lines, numbers without .0, what is missing as nothing."""
    life = live(
        """
- {type: assign, id: one, role: dev, task: "${input.task} ${input.rounds} [${input.note}]"}
- {type: assign, role: ops, task: "${one} | ${one.result.list} | ${one.result.count} | ${one.result.nothing.at.all}"}
""",
        dev=[({"list": ["a", "b"], "count": 3}, 0.5)],
    )
    assert life.tasks[0].text == "t 2 []"
    assert life.tasks[1].text == "list:\n  - a\n  - b\ncount: 3 | - a\n- b | 3 | "


def test_no_confidence_is_written_into_a_text() -> None:
    """Records of steps carry one, and their fields with them; a text is what a person would write."""
    life = live(
        """
- {type: assign, id: one, role: dev, task: do}
- {type: review, id: seen, reviewer: boss, subject: "${one}", maxIterations: 0}
- {type: assign, role: ops, task: "${seen.verdict}: ${seen.critique} ${upper(seen.critique)} ${seen.critique + '!'}"}
""",
        dev=[("x", 0.5)],
        boss=[{"verdict": "revise", "critique": "fix", "confidence": 0.8}],
    )
    assert life.tasks[-1].text == "revise: fix FIX fix!"


def test_an_input_that_is_one_reference_is_the_value_itself() -> None:
    """Not its text."""
    life = live(
        "- {type: assign, role: dev, task: x, "
        'input: {all: "${input.more}", n: "${input.rounds}", t: "is ${input.rounds}"}}',
        given={"more": {"a": [1, {"b": None}]}, "rounds": 5},
    )
    assert life.tasks[0].input == {"all": {"a": [1, {"b": None}]}, "n": 5, "t": "is 5"}


@pytest.mark.parametrize(
    ("check", "confidence", "holds"),
    [
        ("one.confidence > 0.5", 0.6, True),
        ("one.confidence > 0.5", 0.4, False),
        ("one.confidence > 0.5", None, False),
        ("one.confidence < 0.5", None, True),
        ("<~ one >= 0.6", 0.6, True),
        ("<~ one >= 0.6", None, False),
        ("${one.confidence} >= 0.6 && !one.escalated", 0.6, True),
        ("one.result == 'done' || false", 0.1, True),
        ("one.result.length > 3 && includes(one.files, 'a.py')", None, True),
        ("input.rounds * 2 - 1 == 3 ? true : false", None, True),
        ("step_0_result.role == 'dev' && step_0.session != 'x'", None, True),
        ("input.note ?? 'none' == 'none'", None, True),
    ],
)
def test_checks(check: str, confidence: float | None, holds: bool) -> None:
    """A confidence that is not there is never above a bound."""
    steps = f"""
- {{type: assign, id: one, role: dev, task: x}}
- type: condition
  check: "{check}"
  then: {{type: assign, role: ops, task: yes}}
  else: {{type: assign, role: boss, task: no}}
""".replace("task: yes", "task: ok").replace("task: no", "task: ko")
    life = live(steps, dev=[("done", confidence)])
    assert life.error is None
    assert life.tasks[1].role == ("ops" if holds else "boss")


def test_steps_that_did_not_run_are_nothing() -> None:
    """A reference into the branch that was not taken is empty, not an error."""
    life = live(
        """
- type: condition
  check: input.rounds > 5
  then: [{type: assign, id: far, role: dev, task: x}]
- {type: assign, role: ops, task: "[${far.result}] [${far}] [${step_0_result}]"}
"""
    )
    assert [task.text for task in life.tasks] == ["[] [] []"]


def test_revised_work_is_what_later_steps_see() -> None:
    """Through its own id, through its container, and in the aggregate."""
    life = live(
        """
- type: parallel
  id: both
  steps:
    - {type: assign, id: left, role: dev, task: l}
    - {type: assign, id: right, role: ops, task: r}
- {type: review, id: look, reviewer: boss, subject: "${left}"}
- {type: assign, role: boss, task: "${left.result} ${both[0].result} ${right.result}"}
- {type: aggregate, method: all, sources: [both]}
""",
        dev=["old", "new"],
        boss=[{"verdict": "revise", "critique": "c"}, {"verdict": "approve"}, "end"],
    )
    assert life.tasks[5].text == "new new done"
    assert life.value["result"] == ["new", "done"]


def test_a_text_is_about_the_work_it_names_last() -> None:
    """What a reviewer is told beside it is not done again."""
    life = live(
        """
- {type: assign, id: plan, role: boss, task: p}
- {type: assign, id: code, role: dev, task: c}
- {type: review, reviewer: ops, subject: "Is ${code.result} what ${plan.result} wanted?"}
""",
        ops=[{"verdict": "revise", "critique": "c"}, {"verdict": "approve"}],
    )
    assert [task.role for task in life.tasks] == ["boss", "dev", "ops", "dev", "ops"]


def test_a_review_inside_a_branch_leaves_the_other_branches_alone() -> None:
    """Work from outside that is revised in a branch has its revision there."""
    life = live(
        """
- {type: assign, id: base, role: boss, task: b}
- type: parallel
  id: p
  steps:
    - type: sequential
      steps:
        - {type: review, id: look, reviewer: ops, subject: "${base}"}
        - {type: assign, role: dev, task: "sees ${base.result}"}
    - {type: assign, role: dev, task: "still ${base.result}"}
""",
        boss=["one", "two"],
        ops=[{"verdict": "revise", "critique": "c"}, {"verdict": "approve"}],
    )
    assert life.error is None
    assert sorted(task.text for task in life.tasks if task.role == "dev") == ["sees two", "still one"]


def test_a_refused_gate_fails_unless_a_condition_reads_it() -> None:
    """Where a later check names the verdict, the pattern decides; otherwise the gate does."""
    gate = "- {type: approve, id: gate, approver: boss, subject: ok}\n"
    after = "- {type: condition, check: gate.approved, then: {type: assign, role: dev, task: go}}"
    no = {"verdict": "reject", "critique": "never"}
    refused = live(gate, boss=[no])
    assert refused.error is not None
    assert refused.error.code == "not_approved"
    decided = live(gate + after, boss=[no])
    assert (decided.error, decided.kinds()) == (None, ["boss"])


def test_a_sequence_that_may_fail_leaves_nothing_and_the_rest_goes_on() -> None:
    """Its steps are null afterwards where they did not happen."""
    life = live(
        """
- type: sequential
  id: both
  onError: continue
  steps: [{type: assign, id: one, role: dev, task: a}, {type: assign, id: two, role: ops, task: b}]
- {type: assign, role: boss, task: "[${one.result}] [${two.result}]"}
""",
        ops=[EffectFailed("task_failed", "no")],
    )
    assert life.tasks[-1].text == "[done] []"


def test_a_failed_branch_of_a_tolerant_parallel_step_can_be_referred_to() -> None:
    """References into a composite branch that failed are empty."""
    life = live(
        """
- type: parallel
  id: p
  onError: continue
  steps:
    - type: sequential
      id: s
      steps: [{type: assign, id: one, role: dev, task: a}, {type: assign, id: two, role: ops, task: b}]
    - {type: assign, id: three, role: boss, task: c}
- {type: assign, role: boss, task: "[${two.result}] [${three.result}]"}
""",
        ops=[EffectFailed("task_failed", "no")],
    )
    assert life.tasks[-1].text == "[] [done]"


def test_a_step_inside_a_condition_inside_a_branch_is_addressed_by_its_id() -> None:
    """With what a review made of it; it is null where the condition went the other way."""
    life = live(
        """
- type: parallel
  id: both
  steps:
    - type: condition
      check: input.task == "t"
      then:
        - {type: assign, id: built, role: dev, task: build}
        - {type: review, id: seen, reviewer: boss, subject: "${built}"}
      else: {type: assign, id: other, role: dev, task: other}
    - {type: assign, id: ran, role: ops, task: run}
- {type: assign, role: ops, task: "${built.result} ${seen.verdict} [${other.result}] ${both[0][0].result}"}
""",
        dev=["first", "second"],
        boss=[{"verdict": "revise", "critique": "more"}, {"verdict": "approve"}],
    )
    assert life.tasks[-1].text == "second approve [] second"


def test_a_verification_reads_as_what_came_of_it() -> None:
    """Not as a dump of everything that its oracles said."""
    life = live(
        """
- {type: assign, id: one, role: dev, task: do}
- {type: verify, id: seen, subject: "${one}", oracles: [{type: command, run: x}]}
- {type: verify, id: again, subject: "${one}", oracles: [{type: human, prompt: "Good?"}], onError: continue}
- {type: assign, role: ops, task: "${seen} and ${again}"}
"""
    )
    assert life.tasks[-1].text == "passed and passed"


def test_an_element_of_what_is_no_list_is_nothing() -> None:
    """A branch that failed left a record where its list would be, and agents may leave anything."""
    no = EffectFailed("task_failed", "no")
    life = live(
        """
- type: parallel
  id: both
  onError: continue
  steps:
    - {type: sequential, steps: [{type: assign, id: one, role: dev, task: a}, {type: assign, role: dev, task: b}]}
    - {type: assign, id: two, role: ops, task: c}
- {type: assign, role: boss, task: "[${both[0][1].result}] [${two.result.list[1]}]${two.result.no[0].x}"}
""",
        dev=[no],
        ops=[{"list": [1, 2]}],
    )
    assert life.tasks[-1].text == "[] [2]"


def test_what_has_not_run_is_neither_aggregated_nor_verified() -> None:
    """A step of a branch that was not taken left nothing; the steps that need it fail, where they may."""
    life = live(
        """
- type: condition
  check: input.task == "other"
  then: {type: assign, id: maybe, role: dev, task: do}
- {type: aggregate, id: all, method: merge, sources: [maybe], onError: continue}
- {type: verify, id: seen, oracles: [{type: command, run: x}], subject: "${maybe}"}
- type: condition
  check: seen.passed
  then: {type: assign, role: ops, task: good}
  else: {type: assign, role: ops, task: "[${all.error.code}] ${seen.critique}"}
"""
    )
    assert life.error is None
    assert [task.text for task in life.tasks] == ["[no_sources] There is no work."]


def test_steps_of_a_group_that_ended_early_are_null() -> None:
    """A review of one of them may follow, and an element of one that has no elements is nothing."""
    no = EffectFailed("task_failed", "no")
    life = live(
        """
- type: sequential
  id: group
  onError: continue
  steps:
    - type: sequential
      id: inner
      steps:
        - {type: assign, id: one, role: dev, task: a}
        - {type: assign, id: two, role: ops, task: b}
- {type: review, reviewer: boss, subject: "${one}"}
- type: parallel
  id: both
  steps:
    - type: sequential
      onError: continue
      steps: [{type: sequential, id: deep, steps: [{type: assign, id: three, role: ops, task: c}]}]
- {type: assign, role: boss, task: "${one.result} [${two.result}] [${three.result}] [${deep[0].result}]"}
""",
        dev=["first", "second"],
        ops=[no, no],
        boss=[{"verdict": "revise", "critique": "more"}, {"verdict": "approve"}, "end"],
    )
    assert life.error is None, life.error
    assert life.tasks[-1].text == "second [] [] []"


def test_a_selected_session_does_the_later_steps_of_its_role() -> None:
    """And nobody else's."""
    life = live(
        """
- {type: select, id: pick, role: dev, criteria: round_robin}
- {type: assign, role: dev, task: a}
- {type: assign, role: ops, task: "${pick.session}"}
"""
    )
    assert [(task.session, task.text) for task in life.tasks] == [("dev-7", "a"), ("", "dev-7")]


def test_optional_input_may_be_missing_and_defaults_apply() -> None:
    """Also when the execution is rebuilt from its log, which has the request's input as it was sent."""
    pattern = compiled('- {type: assign, role: dev, task: "${input.rounds}${input.note}${input.more.a.b}"}')
    assert run(pattern, input={"task": "t"}).tasks[0].text == "2"
    assert run(pattern, input={"task": "t", "rounds": 7, "more": {"a": {"b": "!"}}}).tasks[0].text == "7!"


def test_ids_and_fields_with_hyphens_can_be_referred_to() -> None:
    """Also beside a minus; a longer id wins over a difference."""
    tail = """  output: write-tests.result
"""
    head = HEAD.replace("    note: {type: string}", "    max-size: {type: integer, default: 5}")
    text = (
        head
        + """    - {type: assign, id: write-tests, role: dev, task: "${input.max-size-1} ${input.max-size - 1}"}
    - type: condition
      check: write-tests.confidence-0.2 > 0.5 && write-tests_result.confidence < 1
      then: {type: assign, role: ops, task: "${write-tests}"}
"""
        + tail
    )
    result = load_pattern(text, filename="life.yaml")
    assert result.pattern is not None, result.diagnostics
    life = run(result.pattern, scripted(dev=[("done", 0.9)]), input={"task": "t"})
    assert [task.text for task in life.tasks] == ["4 4", "done"]
    assert life.value == "done"


def test_a_machine_can_be_opened_from_the_log_alone() -> None:
    """What an engine rebuilds after a crash has no input schema and no source; the program has all it needs."""
    pattern = compiled('- {type: assign, role: dev, task: "${input.rounds}"}')
    bare = CompiledPattern(
        name=pattern.name,
        version="1.0.0",
        format="org-chart",
        digest="",
        program=pattern.program,
        source="",
        roles=pattern.roles,
    )
    step = open_machine(bare, input={"task": "t"}, workspace=None, context={}, semantics=SEMANTICS).start()
    assert step.new[0].request.text == "2"


def test_a_verify_step_takes_every_kind_of_evidence() -> None:
    """Commands, a role that judges the result, a person; all have to agree."""
    steps = """
- {type: assign, id: one, role: dev, task: x}
- type: verify
  id: checks
  subject: "${one}"
  oracles:
    - {type: command, run: make test}
    - {type: agent, role: boss, rubric: "Is it good?"}
    - {type: human, prompt: "Is it?"}
- {type: assign, role: ops, task: "${checks.passed} ${checks.score}"}
"""
    good = live(steps, dev=["made"], boss=[{"verdict": "approve", "confidence": 0.7}])
    assert good.error is None
    assert good.kinds() == ["dev", "integrate", "verify", "boss", "ask", "ops", "integrate"]
    assert good.tasks[1].context["subject"] == "made"
    assert good.tasks[-1].text == "true 0.7"
    bad = live(steps, dev=["made"], boss=[{"verdict": "revise", "critique": "thin"}])
    assert bad.error is not None
    assert (bad.error.code, "thin" in bad.error.message) == ("verification_failed", True)


def test_a_workflow_knows_its_execution() -> None:
    """`context` in a file is `execution` in programs, where `context` is a reserved word."""
    text = (
        "name: x\nstructure: {name: s, roles: {a: {capabilities: [b]}}}\nworkflow:\n  name: w\n"
        '  steps: [{type: assign, role: a, task: "in ${context.executionId} of ${context.pattern}"}]\n'
    )
    result = load_pattern(text, filename="x.yaml")
    assert result.pattern is not None, result.diagnostics
    assert [task.text for task in run(result.pattern).tasks] == ["in e1 of x"]
