"""Lives of executions for tests that need no server: events as the log would hold them, made from their structs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from parallax.client_events import Data, Event
from schemas.agents import AgentSpec, Oracle, OracleResult
from schemas.base import Failure, Problem
from schemas.events import (
    Event as Fact,
)
from schemas.events import (
    ExecutionAccepted,
    ExecutionCancelled,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionRejected,
    ExecutionStarted,
    TaskCompleted,
    TaskFailed,
    TaskRequested,
    TaskRetrying,
    TaskStarted,
    VerificationCompleted,
    VerificationRequested,
    WorkspaceIntegrated,
    WorkspaceIntegrationRequested,
    WorkspaceReady,
    WorkspaceRequested,
)

BEGIN = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ID = "tidy-1"


def as_events(facts: list[Fact], step_s: float = 0.1) -> list[Event]:
    """The facts as a client sees them, `step_s` seconds apart."""
    return [
        Event(
            seq=number,
            type=fact.TYPE,
            execution_id=fact.execution_id,
            time=BEGIN + timedelta(seconds=step_s * (number - 1)),
            id=fact.event_id,
            source="parallax/test",
            data=Data(msgspec.to_builtins(fact)),
        )
        for number, fact in enumerate(facts, start=1)
    ]


def opening() -> list[Fact]:
    """Accepted and started."""
    return [
        ExecutionAccepted(execution_id=ID, pattern="demo-tidy", request_digest="d"),
        ExecutionStarted(
            execution_id=ID,
            engine="engine-1",
            epoch=1,
            pattern_name="demo-tidy",
            pattern_version="1.0.0",
            pattern_format="org-chart",
            pattern_digest="p",
            program="1",
            program_digest="q",
        ),
    ]


def task(number: int, role: str, *, step: str = "") -> list[Fact]:
    """Requested and started."""
    task_id = f"{ID}-{number}"
    session = f"{role}-1"
    return [
        TaskRequested(
            execution_id=ID,
            task_id=task_id,
            effect=str(number),
            digest="d",
            role=role,
            text="Tidy up.\nAll of it.",
            agent=AgentSpec(),
            step=step,
        ),
        TaskStarted(
            execution_id=ID,
            task_id=task_id,
            attempt=1,
            effect=str(number),
            role=role,
            session=session,
            agent_id=f"{ID}-{session}",
        ),
    ]


def done(number: int, role: str, *, confidence: float | None = 0.9) -> Fact:
    """A task completed."""
    return TaskCompleted(
        execution_id=ID,
        task_id=f"{ID}-{number}",
        effect=str(number),
        role=role,
        session=f"{role}-1",
        agent_id=f"{ID}-{role}-1",
        attempt=1,
        result={"summary": f"{role} is done"},
        confidence=confidence,
        confidence_source="self_report",
        files=["a.py"],
    )


def completed_life() -> list[Event]:
    """A team of two with a workspace, evidence, and an end."""
    oracle = Oracle(type="command", run="python -m pytest -q")
    found = OracleResult(type="command", score=1.0, passed=True, tests_passed=5)
    return as_events(
        [
            *opening(),
            WorkspaceRequested(execution_id=ID),
            WorkspaceReady(
                execution_id=ID,
                workspace_id="w",
                path="/w",
                branch=f"parallax/{ID}/result",
                base_branch="main",
                base_commit="0123456789abcdef",
            ),
            *task(1, "linter", step="lint"),
            *task(2, "moderniser"),
            done(1, "linter"),
            TaskRetrying(
                execution_id=ID,
                task_id=f"{ID}-2",
                attempt=1,
                error=Failure(code="exit", message="the program ended with 3"),
                delay_ms=10,
            ),
            TaskStarted(
                execution_id=ID,
                task_id=f"{ID}-2",
                attempt=2,
                effect="2",
                role="moderniser",
                session="moderniser-1",
                agent_id=f"{ID}-moderniser-1",
            ),
            done(2, "moderniser", confidence=None),
            WorkspaceIntegrationRequested(execution_id=ID, effect="3", digest="d", commits=[]),
            WorkspaceIntegrated(execution_id=ID, effect="3", commit="fedcba9876543210", files=["b.py", "a.py"]),
            VerificationRequested(execution_id=ID, verification_id="v", effect="4", digest="d", oracles=[oracle]),
            VerificationCompleted(
                execution_id=ID, verification_id="v", effect="4", score=1.0, passed=True, oracles=[found]
            ),
            ExecutionCompleted(
                execution_id=ID,
                result={"summary": "tidy now"},
                confidence=1.0,
                confidence_source="verification",
                branch=f"parallax/{ID}/result",
                commit="fedcba9876543210",
                effects=4,
            ),
        ]
    )


def failed_life() -> list[Event]:
    """One task that could not be done."""
    failure = Failure(code="task_failed", message="linter gave up", where="step lint")
    return as_events(
        [
            *opening(),
            *task(1, "linter"),
            TaskFailed(execution_id=ID, task_id=f"{ID}-1", effect="1", role="linter", error=failure, attempts=3),
            ExecutionFailed(execution_id=ID, error=failure),
        ]
    )


def cancelled_life() -> list[Event]:
    """Stopped by somebody in the middle of a task."""
    return as_events(
        [
            *opening(),
            *task(1, "linter"),
            ExecutionCancelled(execution_id=ID, reason="no longer wanted", by="ada"),
        ]
    )


def rejected_life() -> list[Event]:
    """A request that could not be run."""
    problem = Problem(where="pattern", what="There is no pattern demo-tydi.", hint="Did you mean demo-tidy?")
    return as_events([ExecutionRejected(execution_id=ID, errors=[problem], pattern="demo-tydi")])
