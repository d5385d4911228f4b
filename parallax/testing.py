"""Unit tests of patterns: the real program, answered by functions of the test's, on a clock of its own. No server.

    from parallax.testing import Result, Task, simulate

    def reviewer(task: Task) -> Result:
        return Result({"verdict": "revise", "critique": "no tests"}, confidence=0.9)

    def test_a_rejected_change_is_not_released() -> None:
        outcome = simulate("patterns/mine.yaml", agents={"reviewer": reviewer}, input={"task": "…"})
        assert outcome.error.code == "not_approved"

What a test does not speak of goes well: agents answer after a minute with good work, reviewers approve it, nothing
fails. With `world={}` everything is as in `parallax patterns simulate`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from parallax.agent_task import AgentError
from parallax.simulation.agents_file import agents_from
from parallax.simulation.execution import Execution
from parallax.simulation.loading import SimulationRefused, checked_agents, find_agents, find_input, find_pattern
from parallax.simulation.model import Agents, Cast
from parallax.simulation.records import LoggedEvent, Outcome, TaskRecord
from parallax.simulation.setting import Limits, Setting
from parallax.simulation.turns import Reply as Result
from parallax.simulation.turns import SimulatedTask as Task
from schemas.commands import Budget
from schemas.effects import Ask as Question
from schemas.patterns import CompiledPattern

__all__ = [
    "CALM",
    "AgentError",
    "Budget",
    "Limits",
    "LoggedEvent",
    "Outcome",
    "Question",
    "Result",
    "SimulationRefused",
    "Task",
    "TaskRecord",
    "assert_completed",
    "assert_failed",
    "simulate",
    "simulate_many",
]

CALM: Mapping[str, Any] = {
    "default": {
        "seconds": 60,
        "costUsd": 0.1,
        "inputTokens": 10_000,
        "outputTokens": 1_000,
        "quality": 0.9,
        "confidence": 0.9,
        "lying": 0,
        "disagreement": 0,
        "failure": {"error": 0, "crash": 0, "silent": 0, "timeout": 0, "empty": 0},
        "review": {"sensitivity": 1, "specificity": 1, "reject": 0},
        "verify": {"falsePass": 0, "falseFail": 0, "missing": 0, "seconds": 10},
    },
    "people": {"seconds": 60, "answers": 1, "approveGood": 1, "approveBad": 0},
    "workspace": {"conflict": 0, "seconds": 1},
}
"""The world of a test, in the form of an agents file: whatever a test does not speak of goes well, and always alike."""

Agent = Callable[[Task], Any] | Mapping[str, Any]
"""Who fills a role: a function, or what is different about it, as under `roles` in an agents file."""


def simulate(
    pattern: str | Path | CompiledPattern,
    *,
    seed: int = 1,
    run: int = 1,
    agents: Mapping[str, Agent] | None = None,
    input: Mapping[str, Any] | None = None,  # noqa: A002 - its name in requests
    people: Callable[[Question], Any] | Mapping[str, Any] | None = None,
    signals: Mapping[str, Mapping[str, Any] | None] | None = None,
    world: str | Path | Mapping[str, Any] | None = None,
    budget: Budget | None = None,
    timeout: float | None = None,
    directory: str | Path = "patterns",
    limits: Limits | None = None,
) -> Outcome:
    """Runs a pattern once and tells how it went, with its whole log. `run` is the number of the run under `seed`.

    `pattern` is a file, or a name in `directory`. `agents` are functions or descriptions by role, `default` for all
    others; `people` answers questions (None: nobody answers); `signals` are those that are sent. `world` is an agents
    file, or the same as data, instead of `CALM`. `timeout` is in seconds.

    Raises SimulationRefused for what cannot be run, with every reason. Runs that fail are outcomes, not exceptions;
    only a failed `assert` in a function of the test's comes through.
    """
    (outcome,) = simulate_many(
        pattern, seed=seed, runs=range(run, run + 1), agents=agents, input=input, people=people, signals=signals,
        world=world, budget=budget, timeout=timeout, directory=directory, limits=limits, keep_log=True,
    )  # fmt: skip
    return outcome


def simulate_many(
    pattern: str | Path | CompiledPattern,
    *,
    seed: int = 1,
    runs: int | range = 100,
    agents: Mapping[str, Agent] | None = None,
    input: Mapping[str, Any] | None = None,  # noqa: A002 - its name in requests
    people: Callable[[Question], Any] | Mapping[str, Any] | None = None,
    signals: Mapping[str, Mapping[str, Any] | None] | None = None,
    world: str | Path | Mapping[str, Any] | None = None,
    budget: Budget | None = None,
    timeout: float | None = None,
    directory: str | Path = "patterns",
    limits: Limits | None = None,
    keep_log: bool = False,
) -> Iterator[Outcome]:
    """As `simulate`, for many runs, one after another; without their logs unless `keep_log` is set.

    `runs` is how many, counted from 1, or the numbers themselves.
    """
    found = pattern if isinstance(pattern, CompiledPattern) else find_pattern(pattern, Path(directory))
    functions = {role: agent for role, agent in (agents or {}).items() if callable(agent)}
    if found.roles and (unknown := [role for role in agents or {} if role not in found.roles and role != "default"]):
        raise SimulationRefused(f"{found.name} has no role {unknown[0]!r}; it has {', '.join(found.roles)}")
    setting = Setting(
        pattern=found,
        input=find_input(found, input or {}),
        cast=Cast(_world(found, world, agents or {}, people, signals)),
        seed=seed,
        scripts=functions,
        person=people if callable(people) else None,
        budget=budget,
        timeout_ms=None if timeout is None else max(1, round(timeout * 1000)),
        limits=limits or Limits(),
        keep_log=keep_log,
    )
    return _played(setting, range(1, runs + 1) if isinstance(runs, int) else runs)


def _played(setting: Setting, runs: range) -> Iterator[Outcome]:
    for run in runs:
        yield Execution(setting, run).go()


def _world(
    pattern: CompiledPattern,
    world: str | Path | Mapping[str, Any] | None,
    agents: Mapping[str, Agent],
    people: Callable[[Question], Any] | Mapping[str, Any] | None,
    signals: Mapping[str, Mapping[str, Any] | None] | None,
) -> Agents:
    if isinstance(world, str | Path):
        base, _ = find_agents(Path(world), pattern)
    else:
        base, _ = checked_agents(agents_from(CALM if world is None else world, source="world"), "world", pattern)
    described = {role: agent for role, agent in agents.items() if not callable(agent)}
    more: dict[str, Any] = {"default": described.pop("default", None), "roles": described, "signals": signals}
    if isinstance(people, Mapping):
        more["people"] = people
    given, _ = checked_agents(agents_from(more, source="agents", base=base), "agents", pattern)
    return given


def assert_completed(outcome: Outcome) -> Outcome:
    """The outcome, if the run completed. Raises AssertionError with what happened instead."""
    if outcome.status != "completed":
        raise AssertionError(f"the run {_words(outcome)}\n  {outcome.path}")
    return outcome


def assert_failed(outcome: Outcome, code: str) -> Outcome:
    """The outcome, if the run failed with this code. Raises AssertionError with what happened instead."""
    if outcome.error is None or outcome.error.code != code:
        raise AssertionError(f"the run {_words(outcome)}\n  {outcome.path}")
    return outcome


def _words(outcome: Outcome) -> str:
    if outcome.error is not None:
        return f"failed with {outcome.error.code}: {outcome.error.message}"
    if outcome.status == "stalled":
        return f"stalled, waiting for {'; '.join(outcome.waits_for)}"
    return f"completed with {outcome.result!r}"
