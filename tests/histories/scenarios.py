"""What the recorded histories are of: patterns that between them ask the world for everything that can be asked.

Those of the first generation stand in `PATTERNS` as they were; the others are in `DECISIONS`, one for each way in which
somebody can say yes or no to work, and for each way in which work is done again, handed on or published.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

ACTOR = "/tmp/parallax-histories/actor.py"

PATTERNS: dict[str, str] = {
    "team.yaml": """
name: team
version: 1.0.0
workspace: {enabled: false}
structure:
  name: two at once
  roles:
    worker: {id: worker, name: Worker, agentType: custom, capabilities: [e2e]}
    reviewer: {id: reviewer, name: Reviewer, agentType: custom, capabilities: [e2e], reportsTo: worker}
workflow:
  name: both
  input:
    topic: {type: string, required: true, description: what it is about}
  steps:
    - type: parallel
      id: both
      steps:
        - {type: assign, id: one, role: worker, task: "${input.topic} one"}
        - {type: assign, id: two, role: worker, task: "${input.topic} two"}
    - {type: aggregate, id: all, method: all}
    - {type: assign, id: last, role: reviewer, task: "${input.topic} last"}
""",
    "naps.prism": """
export const pattern = {name: "naps", version: "1.0.0", workspace: {enabled: false}}
let before = now()
sleep(120)
let heard = wait("go", {timeoutMs: 60000})
let late = wait("never", {timeoutMs: 50})
{slept: now() - before >= 120, heard: heard, late: late, dice: random()}
""",
    "broken.prism": """
export const pattern = {name: "broken", version: "1.0.0", workspace: {enabled: false}}
let dice = random()
let nothing = null
nothing.field.of(dice)
""",
    "patient.prism": """
export const pattern = {name: "patient", version: "1.0.0", workspace: {enabled: false}}
{heard: wait("go", {timeoutMs: 600000})}
""",
}


@dataclass(frozen=True)
class Scenario:
    """One execution that is recorded. `answers` are given to its questions in turn: a value, and why."""

    repo: bool = False
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    answers: tuple[tuple[Any, str], ...] = ()


def role(*arguments: str, **fields: Any) -> dict[str, Any]:
    """A role that the actor plays."""
    config = {"command": ["env", "python3", ACTOR, *arguments]}
    return {"agentType": "command", "capabilities": ["work"], "agentConfig": config, **fields}


def chart(name: str, roles: dict[str, Any], steps: list[Any], structure: str = "", more: str = "") -> str:
    """An org chart as text."""
    lines = [f"name: {name}", "version: 1.0.0", *more.splitlines(), "structure:", f"  name: {name}", "  roles:"]
    lines += [f"    {key}: {json.dumps({'id': key, 'name': key.title(), **fields})}" for key, fields in roles.items()]
    lines += [f"  {line}" for line in structure.splitlines()]
    lines += ["workflow:", f"  name: {name}", "  steps:"]
    lines += [f"    - {json.dumps(step)}" for step in steps]
    return "\n".join(lines) + "\n"


NO_WORKSPACE = "workspace: {enabled: false}"
DRAFTS = role("write", "note.txt", "first", "second")
BAD, GOOD = role("write", "note.txt", "bad"), role("write", "note.txt", "good")
CHECK = {"type": "command", "run": "grep -q good note.txt"}
NOTHING = {"type": "command", "run": "cat note.txt", "scorePattern": "score: ([0-9.]+)"}
WORK = {"type": "assign", "id": "work", "role": "worker", "task": "Write the note."}
REVIEW = {"type": "review", "id": "reading", "reviewer": "judge", "subject": "${work}"}
ROLE_GATE = {"type": "approve", "id": "gate", "approver": "judge", "subject": "May it pass? ${work.result}"}
GATE = {"type": "approve", "id": "gate", "approver": "human", "subject": "May it pass? ${work.result}"}
VERIFY = {"type": "verify", "id": "checks", "subject": "${work}", "oracles": [CHECK]}
LAST = {"type": "assign", "id": "last", "role": "worker", "task": "Go on."}


def _decided(name: str) -> dict[str, Any]:
    return {"type": "condition", "id": "decided", "check": f"{name}", "then": LAST, "else": {**LAST, "id": "other"}}


def _judged(name: str, verdict: str, worker: dict[str, Any], steps: list[Any], **judge: Any) -> str:
    return chart(name, {"worker": worker, "judge": role("judge", verdict, **judge)}, steps)


def _verified(name: str, worker: dict[str, Any], verify: Any = CHECK, **fields: Any) -> str:
    return chart(name, {"worker": {**worker, "verify": verify, **fields}}, [WORK])


def _escalated(name: str, manager: dict[str, Any], escalation: str) -> str:
    low = {"accept": 0.8, "escalateBelow": 0.5}
    roles = {"worker": {**BAD, "verify": CHECK, "confidence": low, "reportsTo": "lead"}, "lead": manager}
    return chart(name, roles, [WORK], f"escalation: {escalation}")


_ALONE = {"worker": BAD}
_PAIR = {"left": role("write", "note.txt", "left"), "right": role("write", "note.txt", "right")}
_APART = {"left": role("write", "left.txt", "good"), "right": role("write", "right.txt", "good")}
_BOTH = {
    "type": "parallel",
    "id": "both",
    "steps": [
        {"type": "assign", "id": "one", "role": "left", "task": "one"},
        {"type": "assign", "id": "two", "role": "right", "task": "two"},
    ],
}
_RETRY = {"accept": 0.8, "retryBelow": 0.5}

DECISIONS: dict[str, tuple[Scenario, str]] = {
    # -- review -------------------------------------------------------------------------------------------------------
    "review-approve": (Scenario(repo=True), _judged("review-approve", "approve", GOOD, [WORK, REVIEW])),
    "review-revise": (Scenario(repo=True), _judged("review-revise", "drafts", DRAFTS, [WORK, REVIEW])),
    "review-endless": (
        Scenario(repo=True),
        _judged("review-endless", "revise", DRAFTS, [WORK, {**REVIEW, "maxIterations": 2}, LAST]),
    ),
    "review-reject": (Scenario(repo=True), _judged("review-reject", "reject", GOOD, [WORK, REVIEW])),
    "review-reject-decided": (
        Scenario(repo=True),
        _judged("review-reject-decided", "reject", GOOD, [WORK, REVIEW, _decided("reading.approved")]),
    ),
    "review-unread": (Scenario(repo=True), _judged("review-unread", "junk", GOOD, [WORK, REVIEW])),
    "review-evidence": (
        Scenario(repo=True),
        _judged("review-evidence", "approve", BAD, [WORK, REVIEW], verify=CHECK),
    ),
    "review-parallel": (
        Scenario(repo=True),
        chart("review-parallel", {**_APART, "judge": role("judge", "revise")},
              [_BOTH, {"type": "review", "id": "reading", "reviewer": "judge", "subject": "${both}"}]),
    ),
    "review-broken": (
        Scenario(repo=True),
        chart("review-broken", {"worker": GOOD, "judge": role("break")}, [WORK, {**REVIEW, "onError": "continue"}]),
    ),
    # -- approve ------------------------------------------------------------------------------------------------------
    "approve-role": (Scenario(repo=True), _judged("approve-role", "approve", GOOD, [WORK, ROLE_GATE])),
    "deny-role": (Scenario(repo=True), _judged("deny-role", "reject", GOOD, [WORK, ROLE_GATE])),
    "deny-role-continue": (
        Scenario(repo=True),
        _judged("deny-role-continue", "reject", GOOD, [WORK, {**ROLE_GATE, "onError": "continue"}, LAST]),
    ),
    "deny-role-decided": (
        Scenario(repo=True),
        _judged("deny-role-decided", "reject", GOOD, [WORK, ROLE_GATE, _decided("gate.approved")]),
    ),
    "approve-person": (
        Scenario(repo=True, answers=(("approve", "looks good"),)),
        chart("approve-person", {"worker": GOOD}, [WORK, GATE]),
    ),
    "deny-person": (
        Scenario(repo=True, answers=(("deny", "not now"),)),
        chart("deny-person", {"worker": GOOD}, [WORK, GATE]),
    ),
    "late-person": (
        Scenario(repo=True), chart("late-person", {"worker": GOOD}, [WORK, {**GATE, "timeoutMs": 200}])
    ),
    "deny-person-decided": (
        Scenario(repo=True, answers=(("deny", ""),)),
        chart("deny-person-decided", {"worker": GOOD}, [WORK, GATE, _decided("gate.approved")]),
    ),
    # -- verify in a role ---------------------------------------------------------------------------------------------
    "verified-pass": (Scenario(repo=True), _verified("verified-pass", GOOD)),
    "verified-fail": (Scenario(repo=True), _verified("verified-fail", BAD)),
    "verified-nothing": (Scenario(repo=True), _verified("verified-nothing", GOOD, NOTHING)),
    "verified-list": (
        Scenario(repo=True, answers=(("approve", ""),)),
        chart(
            "verified-list",
            {
                "worker": {
                    **GOOD,
                    "reportsTo": "lead",
                    "verify": {
                        "oracles": [
                            {**CHECK, "weight": 2},
                            {"type": "checklist", "criteria": [{"text": "there", "run": "test -e note.txt"},
                                                               {"text": "more", "run": "test -e more.txt"}]},
                            {"type": "agent", "rubric": "Is it good?"},
                            {"type": "human", "prompt": "Is it good?"},
                        ],
                        "combine": "weighted",
                    },
                },
                "lead": role("judge", "approve"),
            },
            [WORK],
        ),
    ),
    # -- verify as a step ---------------------------------------------------------------------------------------------
    "checks-pass": (Scenario(repo=True), chart("checks-pass", {"worker": GOOD}, [WORK, VERIFY])),
    "checks-fail": (Scenario(repo=True), chart("checks-fail", _ALONE, [WORK, VERIFY])),
    "checks-nothing": (
        Scenario(repo=True),
        chart("checks-nothing", {"worker": GOOD}, [WORK, {**VERIFY, "oracles": [NOTHING]}]),
    ),
    "checks-fail-continue": (
        Scenario(repo=True),
        chart("checks-fail-continue", _ALONE, [WORK, {**VERIFY, "onError": "continue"}, LAST]),
    ),
    "checks-fail-decided": (
        Scenario(repo=True),
        chart("checks-fail-decided", _ALONE, [WORK, VERIFY, _decided("checks.passed")]),
    ),
    "checks-merged": (
        Scenario(repo=True),
        chart(
            "checks-merged",
            _APART,
            [_BOTH, {"type": "verify", "id": "checks", "oracles": [{"type": "command", "run": "test -e left.txt"},
                                                                   {"type": "command", "run": "test -e right.txt"}]}],
        ),
    ),
    # -- done again, handed on ----------------------------------------------------------------------------------------
    "retry-better": (
        Scenario(repo=True),
        _verified("retry-better", role("write", "note.txt", "bad", "good"), confidence=_RETRY),
    ),
    "retry-no-better": (Scenario(repo=True), _verified("retry-no-better", BAD, confidence=_RETRY)),
    "retry-nothing": (
        Scenario(repo=True), _verified("retry-nothing", GOOD, NOTHING, confidence=_RETRY)
    ),
    "escalated": (Scenario(repo=True), _escalated("escalated", GOOD, "{maxDepth: 2}")),
    "escalated-best": (
        Scenario(repo=True),
        _escalated("escalated-best", role("write", "note.txt", "worse"), "{onMaxDepth: return_best_effort}"),
    ),
    "escalated-fail": (
        Scenario(repo=True),
        _escalated("escalated-fail", role("write", "note.txt", "worse"), "{onMaxDepth: fail}"),
    ),
    "escalated-person": (
        Scenario(repo=True, answers=(("approve", "good enough"),)),
        _escalated("escalated-person", role("write", "note.txt", "worse"), "{onMaxDepth: surface_to_user}"),
    ),
    "attempts": (
        Scenario(),
        chart("attempts", {"worker": role("break")}, [{**WORK, "onError": "continue"}], more=NO_WORKSPACE),
    ),
    # -- questions ----------------------------------------------------------------------------------------------------
    "question-person": (
        Scenario(answers=(("red", ""),)),
        chart("question-person", {"worker": role("ask", "Which colour?")}, [WORK], more=NO_WORKSPACE),
    ),
    "question-role": (
        Scenario(),
        chart(
            "question-role",
            {"worker": role("ask", "Which colour?", reportsTo="lead"), "lead": role("say", "blue")},
            [WORK],
            "escalation: {timeoutMs: 20000}",
            more=NO_WORKSPACE,
        ),
    ),
    # -- the rest of what a program can ask for -----------------------------------------------------------------------
    "selected": (
        Scenario(),
        chart(
            "selected",
            {"worker": role("say", "done", maxInstances=2)},
            [WORK, {"type": "select", "id": "chosen", "role": "worker", "criteria": "expertise"}, LAST],
            more=NO_WORKSPACE,
        ),
    ),
    "calls": (
        Scenario(repo=True),
        chart(
            "calls",
            {"worker": role("say", "done")},
            [
                WORK,
                {"type": "pattern", "id": "inner", "pattern": "review-revise"},
                {"type": "pattern", "id": "program", "pattern": "gates"},
            ],
        ),
    ),
    "gates": (
        Scenario(repo=True),
        f"""
export const pattern = {{name: "gates", version: "1.0.0"}}
agents {{
  worker: Agent {{id: "worker", agentType: "command", capabilities: ["work"],
    agentConfig: {{command: ["env", "python3", "{ACTOR}", "write", "other.txt", "bad"]}}}},
  judge: Agent {{id: "judge", agentType: "command", capabilities: ["work"],
    agentConfig: {{command: ["env", "python3", "{ACTOR}", "judge", "reject"]}}}},
}}
let work = assign(worker, "Write it.", {{id: "work"}})
let reading = review(judge, "Is it good?", {{id: "reading", of: [work]}})
let gate = approve(judge, work, {{id: "gate", gate: false}})
let checks = verify([{{type: "command", run: "grep -q good other.txt"}}], {{id: "checks", of: [work], gate: false}})
{{work: revised(reading, 0).result, reading: reading.approved, gate: gate.approved, checks: checks.passed}}
""",
    ),
    "asks-http": (
        Scenario(),
        """
export const pattern = {name: "asks-http", version: "1.0.0", workspace: {enabled: false}}
let answer = http({url: "http://127.0.0.1:18999/greeting", method: "GET"})
{status: answer.status, said: answer.body}
""",
    ),
    "conflict": (Scenario(repo=True), chart("conflict", _PAIR, [_BOTH])),
    "conflict-continue": (
        Scenario(repo=True),
        chart("conflict-continue", _PAIR, [{**_BOTH, "onError": "continue"}, {**LAST, "role": "left"}]),
    ),
    "pushed": (
        Scenario(repo=True, options={"push": True}), chart("pushed", {"worker": GOOD}, [WORK])
    ),
    "votes": (
        Scenario(),
        """
name: votes
version: 1.0.0
input: {question: {type: string, default: "Which?"}}
agents: {capabilities: [e2e], min: 3, max: 3, prefer: [custom]}
execution: {strategy: parallel}
aggregation: {strategy: voting, method: majority}
validation: {minConfidence: 0.99, onFailure: fallback, fallback: {answer: none}}
""",
    ),
}  # fmt: skip
"""By the name of the history: what is asked for, and the text of its pattern."""
