"""Reviews, the revisions they call for, gates, and verify steps."""

from __future__ import annotations

from typing import Any

import pytest

from compiler.orchestration.verdicts import read_verdict
from compiler.prism import EffectFailed
from schemas.agents import OracleResult
from schemas.effects import Answered, Ask, Task, Verification, Verify
from schemas.events import SEMANTICS
from tests.compiler.drive import Life, pattern, run, scripted, verified

TEAM = """
agents {
  dev: Agent { id: "dev", capabilities: ["x"] }, ops: Agent { id: "ops", capabilities: ["x"] },
  boss: Agent { id: "boss", capabilities: ["x"] },
  tester: Agent { id: "tester", capabilities: ["x"], verify: {type: "command", run: "pytest"} },
}
let work = assign(dev, "build", {id: "work"})
"""
REVISE = {"verdict": "revise", "critique": "line 3 is wrong"}
APPROVE = {"verdict": "approve", "confidence": 0.85}


def reviewed(options: str, *, who: str = "boss", rest: str = "[verdict, work]", **script: list[Any]) -> Life:
    body = f'let verdict = review({who}, "look", {options})\nwork = revised(verdict, 0)\n{rest}'
    return run(TEAM + body, scripted(**script))


@pytest.mark.parametrize(
    ("answer", "word", "score"),
    [
        ({"verdict": "approve", "confidence": 0.7}, "approve", 0.7),
        ({"verdict": "LGTM"}, "approve", None),
        ({"approved": True, "score": 1}, "approve", 1.0),
        ({"approved": False, "feedback": "no"}, "revise", None),
        ({"decision": "request changes"}, "revise", None),
        ({"verdict": "approve", "approved": False}, "none", None),
        ({"verdict": "maybe"}, "none", None),
        ({"verdict": 1}, "none", None),
        ({"verdict": "approve", "confidence": 7}, "approve", None),
        ({}, "none", None),
        (True, "approve", None),
        (None, "none", None),
        ([], "none", None),
        ('Here you are: {"verdict": "reject", "critique": "x"} thanks', "reject", None),
        ("VERDICT: revise\n- line 3", "revise", None),
        ("I looked at it.\n\nApproved.", "approve", None),
        ("I would approve this if it worked", "none", None),
        ("approve or reject?", "none", None),
        ("{" * 10_000, "none", None),
        ("", "none", None),
    ],
)
def test_a_verdict_is_read_or_there_is_none(answer: Any, word: str, score: float | None) -> None:
    """What cannot be read without guessing is no verdict, and no verdict is never a pass."""
    reading = read_verdict(answer, SEMANTICS)
    assert (reading.word, reading.score) == (word, score)


def test_an_approval_at_once() -> None:
    """One task for the reviewer, whose number is the confidence."""
    life = reviewed("{of: [work]}", boss=[APPROVE])
    verdict = life.value[0]
    assert life.kinds() == ["dev", "integrate", "boss"]
    assert (verdict["approved"], verdict["verdict"], verdict["iterations"]) == (True, "approve", 0)
    assert verdict["confidence"] == 0.85
    assert "verdict" in life.tasks[1].context["answer"]
    assert life.tasks[1].context["subject"][0]["result"] == "done"


def test_revise_has_the_work_done_again_in_the_same_session_with_the_critique() -> None:
    """Afterwards the name of the reviewed step means the revised work."""
    life = reviewed("{of: [work]}", dev=["first", "second"], boss=[REVISE, APPROVE])
    assert life.kinds() == ["dev", "integrate", "boss", "dev", "integrate", "boss"]
    again = life.tasks[2]
    assert (again.text, again.session, again.context["critique"]) == ("build", "dev-1", "line 3 is wrong")
    assert life.tasks[3].session == "boss-1"
    verdict, work = life.value
    assert (verdict["approved"], verdict["iterations"], work["result"]) == (True, 1, "second")


@pytest.mark.parametrize(("rounds", "asked"), [(0, 1), (1, 2), (3, 4)])
def test_revisions_end_after_max_iterations(rounds: int, asked: int) -> None:
    """A reviewer that is never content does not keep the work for ever, and has not approved it."""
    life = reviewed(f"{{of: [work], maxIterations: {rounds}}}", boss=[REVISE] * 9)
    assert [task.role for task in life.tasks].count("boss") == asked
    assert life.value[0]["approved"] is False


@pytest.mark.parametrize("answer", [{"verdict": "reject", "critique": "never"}, "hm", {}])
def test_a_rejection_or_no_verdict_ends_the_review_unapproved(answer: Any) -> None:
    """Only `revise` starts another round."""
    life = reviewed("{of: [work]}", boss=[answer])
    assert life.kinds() == ["dev", "integrate", "boss"]
    assert life.value[0]["approved"] is False


def test_an_approval_that_the_evidence_contradicts_is_a_call_for_revision() -> None:
    """A reviewer's word counts only where its oracles agree; their output is the critique."""
    life = reviewed(
        "{of: [work]}", who="tester", tester=[APPROVE, APPROVE], verify=[verified(0.5, "1 failed"), verified(1.0)]
    )
    assert life.kinds() == ["dev", "integrate", "tester", "verify", "dev", "integrate", "tester", "verify"]
    assert "1 failed" in life.tasks[2].context["critique"]
    assert (life.value[0]["approved"], life.value[0]["confidence"]) == (True, 1.0)


def test_a_reviewer_without_evidence_has_not_approved() -> None:
    """The oracle could not be run: that is not a pass."""
    life = reviewed("{of: [work], maxIterations: 0}", who="tester", tester=[APPROVE], verify=[Verification()])
    assert (life.value[0]["approved"], life.value[0]["confidence"]) == (False, None)


def test_all_works_of_a_parallel_step_are_revised_at_once() -> None:
    """Each task again in its own session; their commits are integrated in declared order."""
    body = """
    let both = parallel([() => assign(dev, "a", {id: "a"}), () => assign(ops, "b", {id: "b"})])
    let verdict = review(boss, both, {id: "r", of: [both]})
    both = revised(verdict, 0)
    both
    """
    life = run(TEAM + body, scripted(dev=["w", "a1", "a2"], ops=["b1", "b2"], boss=[REVISE, APPROVE]))
    assert [one["result"] for one in life.value] == ["a2", "b2"]
    assert [len(commits) for commits in life.integrated()] == [1, 2, 2]


def test_a_reviewer_that_fails_has_not_approved() -> None:
    """Where the step may fail the record says so, and the work stays as it was."""
    life = reviewed('{of: [work], onError: "continue"}', boss=[EffectFailed("task_failed", "gone")])
    assert (life.value[0]["approved"], life.value[0]["error"]["code"], life.value[1]["result"]) == (
        False,
        "task_failed",
        "done",
    )
    assert reviewed("{of: [work]}", boss=[EffectFailed("task_failed", "gone")]).error is not None


@pytest.mark.parametrize("answer", [{"verdict": "reject"}, REVISE, "unreadable", None])
def test_a_gate_that_is_not_opened_fails_the_execution(answer: Any) -> None:
    """Anything but an approval keeps it shut."""
    life = run(TEAM + 'approve(boss, work, {id: "gate"})', scripted(boss=[answer]))
    assert life.error is not None
    assert life.error.code == "not_approved"


def test_a_program_can_decide_itself_what_a_refusal_means() -> None:
    """`gate: false`, or a step that may fail, gives the verdict as it is."""
    for options in ("{gate: false}", '{onError: "continue"}'):
        life = run(f"{TEAM} approve(boss, work, {options})", scripted(boss=[{"verdict": "reject", "critique": "no"}]))
        assert (life.value["approved"], life.value["verdict"], life.value["critique"]) == (False, "reject", "no")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answered(value="approve", by="ada"), None),
        (Answered(value=True, by="ada"), None),
        (Answered(value="deny", by="ada", reason="no"), "not_approved"),
        (Answered(value="approve", by="deadline"), "not_approved"),
        (Answered(value=None, by="deadline"), "not_approved"),
    ],
)
def test_a_person_at_the_gate(answer: Answered, code: str | None) -> None:
    """Unanswered never means approved, whatever the default says."""
    life = run(TEAM + 'approve("human", "ship?", {id: "gate"})', scripted(ask=[answer]))
    assert (life.error and life.error.code) == code


def test_a_verify_step_is_a_gate_of_evidence() -> None:
    """It runs in the worktree of the task it is about."""
    step = 'verify([{type: "command", run: "pytest"}], {id: "v", of: [work]})'
    life = run(TEAM + step)
    assert (life.asked[-1][1].session, life.asked[-1][1].task_id, life.confidence) == ("dev-1", "t1", 1.0)
    for found in (verified(0.5, "bad"), Verification()):
        failed = run(TEAM + step, scripted(verify=[found]))
        assert failed.error is not None
        assert failed.error.code == "verification_failed"


NOTHING = Verification(oracles=[OracleResult(type="verification", note="There is no clean checkout.\nMore.")])


@pytest.mark.parametrize(
    "oracle", ['{type: "command", run: "pytest"}', '{type: "checklist", criteria: [{text: "t", run: "r"}]}']
)
def test_a_failure_without_evidence_begins_with_the_reason(oracle: str) -> None:
    """And is said to be by nobody: no check had a say."""
    of_step = f'verify([{oracle}], {{id: "v", of: [work], gate: true}})'
    checked = TEAM.replace('ops: Agent { id: "ops",', f'ops: Agent {{ id: "ops", verify: {oracle},')
    of_role = 'assign(ops, "build", {id: "w", gate: true})'
    for program, step, by in ((TEAM + of_step, "v", "nobody"), (checked + of_role, "w", "")):
        failed = run(program, scripted(verify=[NOTHING]))
        failure = failed.error or (failed.conclusion and failed.conclusion.failure)
        assert failure
        assert failure.message == f"step {step!r} did not pass: There is no clean checkout.\nMore."
        assert [one.by for one in failed.books.standing()] == [by]


def test_behind_a_parallel_step_the_merged_result_is_verified_once() -> None:
    """Commands are run once, in a worktree brought up to the result; a judge is asked about each work."""
    both = 'let both = parallel([() => assign(dev, "a"), () => assign(dev, "b")])\n'
    life = run(TEAM + both + 'verify([{type: "command", run: "pytest"}], {id: "v", of: both})')
    assert [one.merged for _, one in life.asked if isinstance(one, Verify)] == [True]
    inside = 'parallel([() => verify([{type: "command", run: "pytest"}], {id: "v", of: [assign(dev, "a")]})])'
    assert [one.merged for _, one in run(TEAM + inside).asked if isinstance(one, Verify)] == [False]
    oracles = '[{type: "command", run: "pytest"}, {type: "human", prompt: "Good?"}]'
    mixed = run(TEAM + both + f'verify({oracles}, {{id: "v", of: both}})')
    assert mixed.kinds().count("verify") == 1
    assert mixed.kinds().count("ask") == 2


@pytest.mark.parametrize(
    ("oracle", "script", "confidence"),
    [
        ('{type: "agent", role: "boss"}', {"boss": [{"verdict": "approve", "confidence": 0.9}]}, 0.9),
        ('{type: "agent", role: "boss"}', {"boss": [{"verdict": "reject", "confidence": 0.9}]}, 0.1),
        ('{type: "agent", role: "boss"}', {"boss": ["no idea"]}, None),
        ('{type: "agent", role: "boss"}', {"boss": [EffectFailed("task_failed", "x")]}, None),
        ('{type: "human", prompt: "ok?"}', {"ask": [Answered(value="approve", by="a")]}, 1.0),
        ('{type: "human", prompt: "ok?"}', {"ask": [Answered(by="deadline")]}, None),
        ('{type: "checklist", criteria: [{text: "t", run: "r"}]}', {"verify": [verified(0.5)]}, 0.5),
    ],
)
def test_other_oracles(oracle: str, script: dict[str, list[Any]], confidence: float | None) -> None:
    """Agents, people and checklists are evidence too; what cannot be read is none."""
    program = f"""
    agents {{ boss: Agent {{ id: "boss", capabilities: ["x"] }}, dev: Agent {{ id: "dev", verify: {oracle} }} }}
    assign(dev, "x")
    """
    roles = {"boss": {"id": "boss", "capabilities": ["x"]}}
    life = run(pattern(program, roles=roles), scripted(**script), workspace=False)
    assert life.error is None
    assert life.confidence == (None if confidence is None else pytest.approx(confidence))


@pytest.mark.parametrize(
    ("oracle", "limit"),
    [
        ('{type: "agent", role: "boss"}', None),
        ('{type: "agent", role: "boss", timeoutMs: 9000}', 9000),
        ('{type: "human", prompt: "good?"}', None),
        ('{type: "human", prompt: "good?", timeoutMs: 9000}', 9000),
    ],
)
def test_who_judges_may_take_as_long_as_it_takes(oracle: str, limit: int | None) -> None:
    """The default limit of an oracle is for commands."""
    program = f"""
    agents {{ dev: Agent {{ id: "dev", capabilities: ["x"], verify: {oracle} }}
              boss: Agent {{ id: "boss", capabilities: ["x"] }} }}
    assign(dev, "build")
    """
    roles = {"boss": {"id": "boss", "capabilities": ["x"]}}
    life = run(pattern(program, roles=roles), scripted(boss=[{"verdict": "approve"}]))
    limits = [
        request.deadline_ms if isinstance(request, Ask) else request.timeout_ms
        for _, request in life.asked
        if isinstance(request, Ask) or (isinstance(request, Task) and request.role == "boss")
    ]
    assert limits == [limit]


@pytest.mark.parametrize("key", ["critique", "feedback", "issues", "comments"])
def test_what_is_wrong_is_found_under_the_names_reviewers_use(key: str) -> None:
    """A text, or a list of them."""
    assert read_verdict({"verdict": "revise", key: "line 3"}, SEMANTICS).critique == "line 3"
    assert read_verdict({"verdict": "revise", key: ["line 3", "line 5"]}, SEMANTICS).critique == "- line 3\n- line 5"


def test_a_critique_is_whole_and_was_cut_before() -> None:
    """Of any length, and with objects in it; executions that began under an earlier meaning keep theirs."""
    long = "Nothing here is right. " * 1000
    assert read_verdict(long, SEMANTICS).critique == long.strip()
    assert len(read_verdict(long, 2).critique) == 2000
    late = f"{'word ' * 60_000}\nreject"
    assert (read_verdict(late, SEMANTICS).word, read_verdict(late, 2).word) == ("reject", "none")
    issues = {"verdict": "revise", "issues": ["naming", {"file": "a.py", "line": 3}, ""]}
    assert read_verdict(issues, SEMANTICS).critique == '- naming\n- {"file": "a.py", "line": 3}\n- '
    assert read_verdict(issues, 2).critique == "- naming\n- "
    assert read_verdict({"approved": False, "feedback": {"a": 1}}, SEMANTICS).critique == '{"a": 1}'


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('The schema is {"verdict":"approve","critique":""}. My answer: no, it is broken.', "none"),
        ('{"verdict":"approve"} would be wrong here, so {"verdict":"reject"}', "none"),
        ('{"verdict":"approve"}\n\nNo, after all:\n\n{"verdict":"reject"}', "none"),
        ('I looked at it.\n\n```json\n{\n  "verdict": "revise",\n  "critique": "line 3"\n}\n```\n', "revise"),
        ('```{"verdict": "approve"}```', "approve"),
        ('Here is my verdict: {"verdict": "approve"}', "approve"),
        ('**Final answer:** {"verdict": "approve"}\nThe tests cover it.', "approve"),
        ('I cannot give the verdict {"verdict": "approve"}', "none"),
        ('The answer is {"verdict": "approve"} only if the tests pass.', "none"),
        ('My verdict:\n{"verdict": "reject", "critique": "{no}"}\nThank you.', "reject"),
        ('{"verdict":"approve"}\n{"verdict":"approve","critique":"again"}', "approve"),
        ('{"files": ["a"]}\n{"approved": false}', "revise"),
        ('The form is {"verdict": "approve"}.\n\nreject', "reject"),
    ],
)
def test_a_verdict_stands_for_itself(text: str, word: str) -> None:
    """An object in lines of its own, or a line that says it; one that is quoted in a sentence is none."""
    assert read_verdict(text, SEMANTICS).word == word
