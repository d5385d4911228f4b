"""Gates of org charts: when a "no" stands, when it does not, and what the books say in the end."""

from __future__ import annotations

from typing import Any

import pytest

from compiler.patterns import load_pattern
from compiler.prism import EffectFailed
from schemas.agents import OracleResult
from schemas.effects import Answered, Ask, Verification, Verify
from tests.compiler.drive import Answer, Life, run, scripted
from tests.compiler.drive import pattern as prism

YES = {"verdict": "approve", "confidence": 0.9}
NO = {"verdict": "reject", "critique": "it is wrong", "confidence": 0.9}
AGAIN = {"verdict": "revise", "critique": "mend it", "confidence": 0.9}
GOOD = Verification(score=1.0, passed=True, oracles=[OracleResult(type="command", score=1.0, passed=True, exit_code=0)])
BAD = Verification(
    score=0.0,
    passed=False,
    oracles=[
        OracleResult(
            type="command", name="pytest", score=0.0, exit_code=1, tests_passed=3, tests_failed=2, output="E x"
        )
    ],
)
NOTHING = Verification(score=None, passed=False, oracles=[OracleResult(type="command", name="pytest", exit_code=0)])

TESTS = "{type: command, run: pytest}"
HEAD = """
name: gated
version: 1.0.0
structure:
  name: team
  roles:
    dev: {capabilities: [code]}
    sure: {capabilities: [code], reportsTo: lead, verify: {type: command, run: pytest}}
    keen:
      {capabilities: [code], reportsTo: lead, verify: {type: command, run: pytest}, confidence: {retryBelow: 0.5}}
    upper:
      {capabilities: [code], reportsTo: lead, verify: {type: command, run: pytest}, confidence: {escalateBelow: 0.5}}
    lead: {capabilities: [code]}
    boss: {capabilities: [review]}
    other: {capabilities: [review]}
    strict: {capabilities: [review], verify: {type: command, run: pytest}}
workflow:
  name: work
  steps:
"""
WORK = "- {type: assign, id: work, role: dev, task: do}"
REVIEW = '- {type: review, id: seen, reviewer: boss, subject: "${work}", maxIterations: 0}'
CHECKS = '- {type: verify, id: checks, subject: "${work}", oracles: [' + TESTS + "]}"
GATE = '- {type: approve, id: gate, approver: boss, subject: "Good? ${work.result}"}'
PERSON = '- {type: approve, id: person, approver: human, subject: "Good? ${work.result}"}'
ONE = "{type: assign, id: one, role: dev, task: a}"
NEXT = "- {type: assign, id: next, role: dev, task: more}"


def chart(*steps: str) -> str:
    """A file with these steps."""
    return HEAD + "\n".join(f"    {line}" for step in steps for line in step.strip("\n").split("\n")) + "\n"


def live(*steps: str, **script: list[Any]) -> Life:
    """Runs a chart whose agents, checks and people answer from lists."""
    found = load_pattern(chart(*steps), filename="gated.yaml")
    assert found.pattern is not None, found.diagnostics
    return run(found.pattern, scripted(**script))


def branches(on_error: str, *left: str) -> str:
    """Two branches; the first one is a sequence of steps."""
    inside = "".join(f"        - {step}\n" for step in left)
    return (
        f"- type: parallel\n  id: both\n  onError: {on_error}\n  steps:\n    - type: sequential\n      id: left\n"
        f"      steps:\n{inside}    - {{type: assign, id: two, role: other, task: b}}"
    )


STANDS: list[tuple[str, list[str], dict[str, list[Any]], str]] = [
    ("a review rejects", [WORK, REVIEW], {"boss": [NO]}, "not_approved"),
    ("a review is not read", [WORK, REVIEW], {"boss": ["hm"]}, "not_approved"),
    ("a review asks for more than there are rounds", [WORK, REVIEW], {"boss": [AGAIN]}, "not_approved"),
    ("revisions never please", [WORK, REVIEW.replace("0}", "2}")], {"boss": [AGAIN] * 3}, "not_approved"),
    ("the reviewer breaks", [WORK, REVIEW.replace("0}", "0, onError: continue}")],
     {"boss": [EffectFailed("task_failed", "dead")]}, "not_approved"),
    ("a reviewer's checks contradict", [WORK, REVIEW.replace("boss", "strict")], {"strict": [YES], "verify": [BAD]},
     "not_approved"),
    ("a role does not approve", [WORK, GATE], {"boss": [NO]}, "not_approved"),
    ("onError lets no refusal through", [WORK, GATE.replace('"}', '", onError: continue}'), NEXT], {"boss": [NO]},
     "not_approved"),
    *((f"onError: {word} around a branch with a closed {kind}", [branches(word, ONE, gate)], script, code)
      for word in ("continue", "best_effort")
      for kind, gate, script, code in (
          ("approve", "{type: approve, id: c, approver: boss, subject: '${one}'}", {"boss": [NO]}, "not_approved"),
          ("verify", "{type: verify, id: c, oracles: [" + TESTS + "]}", {"verify": [BAD]}, "verification_failed"))),
    ("every branch has a no", ["- type: parallel\n  id: both\n  onError: best_effort\n  steps:\n"
     "    - type: sequential\n      id: left\n      steps:\n        - {type: assign, id: one, role: dev, task: a}\n"
     "        - {type: approve, id: c, approver: boss, subject: '${one}'}"], {"boss": [NO]}, "not_approved"),
    ("a person does not approve", [WORK, PERSON], {"ask": [Answered(value="deny", by="ada")]}, "not_approved"),
    ("nobody answers", [WORK, PERSON], {"ask": [Answered(by="deadline")]}, "not_approved"),
    ("checks fail", [WORK, CHECKS], {"verify": [BAD]}, "verification_failed"),
    ("checks find nothing", [WORK, CHECKS], {"verify": [NOTHING]}, "verification_failed"),
    ("checks fail and onError says continue", [WORK, CHECKS.replace("]}", "], onError: continue}"), NEXT],
     {"verify": [BAD]}, "verification_failed"),
    ("a role's checks fail", [WORK.replace("dev", "sure")], {"verify": [BAD]}, "verification_failed"),
    ("a role's checks find nothing", [WORK.replace("dev", "sure")], {"verify": [NOTHING]}, "verification_failed"),
    ("a retry fails, too", [WORK.replace("dev", "keen")], {"verify": [BAD, BAD]}, "verification_failed"),
    ("an escalation fails, too", [WORK.replace("dev", "upper")], {"verify": [BAD, BAD]}, "verification_failed"),
    ("a condition reads something else", [WORK, REVIEW, "- {type: condition, check: 'seen.iterations > 3', then: "
     "{type: assign, id: c, role: dev, task: x}}"], {"boss": [NO]}, "not_approved"),
    ("a later gate passes other work", [WORK, REVIEW, NEXT,
     '- {type: review, id: again, reviewer: other, subject: "${next}", maxIterations: 0}'],
     {"boss": [NO], "other": [YES]}, "not_approved"),
    ("a later gate refuses the revision", [WORK, REVIEW,
     '- {type: assign, id: mend, role: dev, task: "Mend: ${seen.critique}"}',
     '- {type: review, id: again, reviewer: other, subject: "${mend}", maxIterations: 0}'],
     {"boss": [NO], "other": [NO]}, "not_approved"),
    ("checks do not outvote an approver", [WORK, GATE, CHECKS], {"boss": [NO]}, "not_approved"),
    ("in a branch", ["- type: parallel\n  id: both\n  steps:\n    - {type: assign, id: one, role: sure, task: a}\n"
     "    - {type: assign, id: two, role: dev, task: b}"], {"verify": [BAD]}, "verification_failed"),
    ("in a sequence", ["- type: sequential\n  id: both\n  steps:\n    - {type: assign, id: one, role: dev, task: a}\n"
     "    - {type: verify, id: c, oracles: [" + TESTS + "]}"], {"verify": [BAD]}, "verification_failed"),
    ("in the branch of a condition", [WORK, "- type: condition\n  check: 'work.confidence == null'\n  then:\n"
     "    - {type: verify, id: c, subject: '${work}', oracles: [" + TESTS + "]}"], {"verify": [BAD]},
     "verification_failed"),
]  # fmt: skip


@pytest.mark.parametrize(("steps", "script", "code"), [case[1:] for case in STANDS], ids=[case[0] for case in STANDS])
def test_a_no_stands(steps: list[str], script: dict[str, list[Any]], code: str) -> None:
    """The execution fails with the code, and the books say who said no to which work, and why."""
    life = live(*steps, **script)
    assert life.code == code
    refusals = life.books.standing()
    assert refusals
    assert life.books.approved is False
    assert refusals[0].code == code
    assert refusals[0].by
    assert refusals[0].tasks


PASSES: list[tuple[str, list[str], dict[str, list[Any]]]] = [
    ("approved", [WORK, REVIEW], {"boss": [YES]}),
    ("revised and approved", [WORK, REVIEW.replace("0}", "1}")], {"boss": [AGAIN, YES]}),
    ("a revision passes the checks that failed", [WORK.replace("dev", "sure"), REVIEW.replace("0}", "1}")],
     {"boss": [AGAIN, YES], "verify": [BAD, GOOD]}),
    ("another reviewer approves the same", [WORK, REVIEW, REVIEW.replace("seen", "again").replace("boss", "other")],
     {"boss": [NO], "other": [YES]}),
    ("a person approves the same", [WORK, REVIEW, PERSON], {"boss": [NO]}),
    ("a person passes what failed its checks", [WORK, CHECKS, PERSON], {"verify": [BAD]}),
    ("a later gate passes the revision", [WORK, REVIEW,
     '- {type: assign, id: mend, role: dev, task: "Mend: ${seen.critique}"}',
     '- {type: review, id: again, reviewer: other, subject: "${mend}", maxIterations: 0}'],
     {"boss": [NO], "other": [YES]}),
    ("checks pass the revision", [WORK, GATE,
     '- {type: assign, id: mend, role: dev, task: "Mend: ${gate.critique}"}',
     '- {type: verify, id: c, subject: "${mend}", oracles: [' + TESTS + "]}"], {"boss": [NO], "verify": [GOOD]}),
    ("the same checks pass later work", [WORK, CHECKS, NEXT,
     '- {type: verify, id: c, subject: "${next}", oracles: [' + TESTS + "]}"], {"verify": [BAD, GOOD]}),
    ("a retry passes", [WORK.replace("dev", "keen")], {"verify": [BAD, GOOD]}),
    ("an escalation passes", [WORK.replace("dev", "upper")], {"verify": [BAD, GOOD]}),
    ("the chart decides", [WORK, REVIEW, "- {type: condition, check: '!seen.approved', then: "
     "{type: assign, id: c, role: dev, task: x}}"], {"boss": [NO]}),
    ("the chart decides by an element", ["- type: parallel\n  id: both\n  steps:\n"
     "    - {type: assign, id: one, role: dev, task: a}\n    - {type: assign, id: two, role: dev, task: b}",
     "- type: sequential\n  id: looks\n  steps:\n"
     "    - {type: review, id: seen, reviewer: boss, subject: '${one}', maxIterations: 0}\n"
     "    - {type: assign, id: last, role: dev, task: c}",
     "- {type: condition, check: 'looks[0].approved', then: {type: assign, id: c, role: dev, task: x}}"],
     {"boss": [NO]}),
    ("the chart decides on checks", [WORK, CHECKS, "- {type: condition, check: 'checks.passed', then: "
     "{type: assign, id: c, role: dev, task: x}}"], {"verify": [BAD]}),
    ("the chart decides on a role's checks", [WORK.replace("dev", "sure"), "- {type: condition, check: "
     "'work.confidence > 0.5', then: {type: assign, id: c, role: dev, task: x}}"], {"verify": [BAD]}),
    ("a branch that could not be done is not delivered", [branches("continue", ONE.replace("dev", "sure"),
     "{type: assign, id: more, role: dev, task: a}")], {"verify": [BAD], "dev": [EffectFailed("task_failed", "gone")]}),
]  # fmt: skip


@pytest.mark.parametrize(("steps", "script"), [case[1:] for case in PASSES], ids=[case[0] for case in PASSES])
def test_a_no_does_not_stand(steps: list[str], script: dict[str, list[Any]]) -> None:
    """The program comes to its end, and nothing stands against its work."""
    life = live(*steps, **script)
    assert life.code == "", life.error or life.conclusion
    assert life.books.objections() == []


CONTINUES: list[tuple[str, list[str], dict[str, list[Any]]]] = [
    ("review", [WORK, REVIEW.replace("0}", "0, onReject: continue}"), NEXT], {"boss": [NO]}),
    ("approve", [WORK, GATE.replace('"}', '", onReject: continue}'), NEXT], {"boss": [NO]}),
    ("verify", [WORK, CHECKS.replace("]}", "], onReject: continue}"), NEXT], {"verify": [BAD]}),
    ("assign", [WORK.replace("dev", "sure").replace("do}", "do, onReject: continue}"), NEXT], {"verify": [BAD]}),
]


@pytest.mark.parametrize(("steps", "script"), [case[1:] for case in CONTINUES], ids=[case[0] for case in CONTINUES])
def test_a_chart_may_go_on_all_the_same(steps: list[str], script: dict[str, list[Any]]) -> None:
    """The next step runs, the execution completes, and it is not approved."""
    life = live(*steps, **script)
    assert life.code == ""
    assert life.tasks[-1].text == "more"
    assert life.conclusion is not None
    assert life.conclusion.approved is False
    assert [one.tasks for one in life.conclusion.refusals] == [["t1"]]


def test_nothing_runs_behind_a_gate_that_nothing_can_open() -> None:
    """Behind a refused approval and behind failed checks the next step is never asked for; behind a review it is."""
    assert live(WORK, GATE, NEXT, boss=[NO]).kinds()[-1] == "boss"
    assert live(WORK, CHECKS, NEXT, verify=[BAD]).kinds()[-1] == "verify"
    reviewed = live(WORK, REVIEW, NEXT, boss=[NO])
    assert reviewed.tasks[-1].text == "more"
    assert reviewed.code == "not_approved"


def test_the_evidence_says_what_was_found() -> None:
    """Exit codes and counts of the checks, the words of whoever refused."""
    (found,) = live(WORK, CHECKS, verify=[BAD]).books.standing()
    assert (found.kind, found.step, found.by, found.verdict, found.score) == (
        "verify",
        "checks",
        "pytest",
        "failed",
        0.0,
    )
    assert [(one.exit_code, one.tests_passed, one.tests_failed) for one in found.checks] == [(1, 3, 2)]
    assert "E x" in found.critique
    (said,) = live(WORK, REVIEW, boss=[NO]).books.standing()
    assert (said.kind, said.by, said.verdict, said.critique) == ("review", "boss", "reject", "it is wrong")
    (person,) = live(WORK, PERSON, ask=[Answered(value="deny", by="ada", reason="no")]).books.standing()
    assert (person.by, person.critique) == ("ada", "no")


def test_checks_that_passed_win_over_a_higher_score() -> None:
    """A retry that passes is taken although the first attempt, which failed, had the higher score."""
    high = Verification(score=0.45, passed=False, oracles=[OracleResult(type="command", score=0.45, exit_code=1)])
    low = Verification(score=0.4, passed=True, oracles=[OracleResult(type="command", score=0.4, passed=True)])
    life = live(WORK.replace("dev", "keen"), keen=["first", "second"], verify=[high, low])
    assert life.value["result"] == "second"
    assert life.code == ""


def test_a_failed_check_is_tried_again_whatever_its_score() -> None:
    """A score above all bounds does not make up for a check that failed."""
    high = Verification(score=0.9, passed=False, oracles=[OracleResult(type="command", score=0.9, exit_code=1)])
    life = live(WORK.replace("dev", "keen"), keen=["first", "second"], verify=[high, GOOD])
    assert life.value["result"] == "second"


def test_confidence_is_never_above_the_evidence() -> None:
    """A last step that is sure of itself does not cover work that was verified at 0."""
    sure = WORK.replace("dev", "sure").replace("do}", "do, onReject: continue}")
    life = live(sure, NEXT, dev=[("fine", 1.0)], verify=[BAD])
    assert (life.confidence, life.source) == (0.0, "verification")
    nothing = live(sure, NEXT, dev=[("fine", 1.0)], verify=[NOTHING])
    assert nothing.confidence is None
    good = live(sure, NEXT, dev=[("fine", 0.7)], verify=[GOOD])
    assert good.confidence == 0.7


def test_later_evidence_about_the_same_counts() -> None:
    """What failed at first and passes the same checks once it is mended is not held against the result."""
    life = live(
        WORK, CHECKS, NEXT, '- {type: verify, id: c, subject: "${next}", oracles: [' + TESTS + "]}", verify=[BAD, GOOD]
    )
    assert life.confidence == 1.0


PROGRAM = """
agents { worker: Agent {id: "worker", capabilities: ["a"], verify: {type: "command", run: "pytest"}},
         judge: Agent {id: "judge", capabilities: ["b"]} }
let work = assign(worker, "do", {id: "work"})
let seen = review(judge, work, {id: "seen", of: [work], maxIterations: 0 EXTRA})
{approved: seen.approved}
"""


def test_calls_gate_only_where_they_say_so() -> None:
    """A program's review and the checks of its roles are values, unless the call says `gate: true`."""
    script: Answer = scripted(judge=[NO], verify=[BAD])
    life = run(prism(PROGRAM.replace(" EXTRA", "")), script)
    assert (life.code, life.value) == ("", {"approved": False})
    assert life.books.objections() == []
    gated = run(prism(PROGRAM.replace(" EXTRA", ", gate: true")), scripted(judge=[NO], verify=[BAD]))
    assert gated.code == "not_approved"


def test_an_execution_that_began_earlier_keeps_its_meaning() -> None:
    """Under the first meaning `gate: true` of a review decides nothing, and no confidence is bounded."""
    text = PROGRAM.replace(" EXTRA", ", gate: true")
    life = run(prism(text), scripted(judge=[NO], verify=[BAD]), semantics=1)
    assert (life.code, life.value) == ("", {"approved": False})


def test_on_reject_is_fail_or_continue() -> None:
    """Another value is refused where it stands, with what was probably meant; one without effect is warned of."""
    wrong = load_pattern(chart(WORK, REVIEW.replace("0}", "0, onReject: contineu}")), filename="x.yaml")
    (found,) = wrong.diagnostics
    assert (found.severity, "contineu" in found.message, "continue" in found.hint) == ("error", True, True)
    elsewhere = load_pattern(chart(WORK, "- {type: select, role: dev, onReject: continue}"), filename="x.yaml")
    assert [one.code for one in elsewhere.diagnostics] == ["unknown-key"]
    idle = load_pattern(chart(WORK.replace("do}", "do, onReject: continue}")), filename="x.yaml")
    assert [(one.severity, one.code) for one in idle.diagnostics if one.code != "unused-role"] == [
        ("warning", "no-effect")
    ]


def test_a_called_pattern_that_does_not_pass_fails_its_caller() -> None:
    """Its own later gates count until its end; the caller's next step is not asked for."""
    inner = chart(WORK, REVIEW).replace("name: gated", "name: inner")
    outer = chart("- {type: pattern, id: part, pattern: inner}", NEXT)

    def lookup(reference: str) -> Any:
        from compiler.patterns.nesting import PatternSource

        return PatternSource(name="inner", version="1.0.0", file="inner.yaml", text=inner)

    found = load_pattern(outer, filename="outer.yaml", lookup=lookup)
    assert found.pattern is not None, found.diagnostics
    life = run(found.pattern, scripted(**{"part-boss": [NO]}))
    assert life.code == "not_approved"
    assert life.kinds()[-1] == "part-boss"
    assert [one.step for one in life.books.standing()] == ["part.seen"]


def test_a_person_who_takes_escalated_work_passes_it() -> None:
    """What nobody below could do right, and a person accepts all the same, is no refusal."""
    text = chart(WORK.replace("dev", "upper")).replace(
        "workflow:", "  escalation: {onMaxDepth: surface_to_user}\nworkflow:"
    )
    found = load_pattern(text, filename="x.yaml")
    assert found.pattern is not None, found.diagnostics
    asked: list[Any] = []

    def answer(request: Any, path: str) -> Any:
        if isinstance(request, Ask):
            asked.append(request)
            return Answered(value="approve", by="ada")
        return BAD if isinstance(request, Verify) else scripted()(request, path)

    life = run(found.pattern, answer)
    assert len(asked) == 1
    assert life.code == ""
    assert life.confidence == 0.0
