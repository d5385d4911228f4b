"""A simulated run is what the platform would have done: its log replays in the engine and in the executor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallax.simulation import requests, tasks
from parallax.simulation.agents_file import agents_from
from parallax.simulation.execution import Execution
from parallax.simulation.inputs import sample_input
from parallax.simulation.model import Agents, Cast
from parallax.simulation.records import LoggedEvent, Outcome
from parallax.simulation.setting import Setting
from parallax.simulation.surroundings import combined
from schemas.agents import Oracle, OracleResult
from schemas.commands import Budget
from schemas.effects import Verify
from schemas.events import ExecutionFailed, TaskRequested, VerificationRequested
from schemas.patterns import CompiledPattern
from services.executor import machine, turns, verifying
from services.executor.machine import TaskState
from services.pattern_engine import decisions
from services.pattern_engine.history import OUTSIDE
from tests.parallax.simulation.charts import SHIPPED, chart, compiled, prism, shipped
from tests.parallax.simulation.engine import difference

RUNS = 25


def runs_of(pattern: CompiledPattern, **more: Any) -> list[Outcome]:
    """Some runs with the default agents."""
    values: dict[str, Any] = {"seed": 5, "cast": Cast(Agents()), "input": sample_input(pattern.input, {})} | more
    made = Setting(pattern=pattern, keep_log=True, **values)
    return [Execution(made, run).go() for run in range(1, RUNS + 1)]


TROUBLED = {
    "failure": {"error": 0.3, "crash": 0.3, "silent": 0.1, "timeout": 0.1, "empty": 0.1},
    "quality": 0.5,
    "asks": 0.4,
}


@pytest.mark.parametrize("world", [{}, TROUBLED], ids=["usual", "troubled"])
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
async def test_the_engine_decides_the_same_over_a_simulated_log(path: Path, world: dict[str, Any]) -> None:
    """Every request, withdrawal and ending of the program is the one that the engine makes from the same facts."""
    agents = agents_from({"default": world}).agents
    assert agents is not None
    for outcome in runs_of(shipped(path), cast=Cast(agents)):
        assert await difference(outcome) is None, outcome.path


ASKING = """\
dev:
  name: Dev
  agentType: custom
  capabilities: [a]
  reportsTo: lead
lead: {name: Lead, agentType: custom, capabilities: [a], reportsTo: boss}
boss: {name: Boss, agentType: custom, capabilities: [a], singleton: true}
guard: {name: Guard, agentType: custom, capabilities: [a]}
"""


@pytest.mark.parametrize("rest", ["surface_to_user", "fail", "return_best_effort"])
async def test_the_engine_sends_the_questions_of_agents_the_same_way(rest: str) -> None:
    """Each hop, each answer, each giving up; also while branches race and are withdrawn."""
    steps = """\
- type: parallel
  id: race
  strategy: race
  steps:
    - {type: assign, id: one, role: dev, task: do}
    - {type: assign, id: two, role: dev, task: do}
- {type: assign, id: three, role: dev, task: do, onError: continue}
"""
    rules = (
        f"  escalation: {{defaultBehavior: route_to_reports_to, topicRoutes: {{secret: guard}}, onMaxDepth: {rest}}}\n"
    )
    rules += "  routing:\n    - {from: dev, to: [lead, guard], topics: [port], broadcast: true}\n"
    text = chart(steps, roles=ASKING).replace("workflow:\n", rules + "workflow:\n", 1)
    world = {
        "default": {
            "seconds": {"uniform": {"min": 0, "max": 50}},
            "asks": 0.7,
            "questions": ["Which port?", "Which secret?", "What?"],
            "failure": {"empty": 0.3},
        },
        "people": {"seconds": {"uniform": {"min": 0, "max": 60}}},
    }
    agents = agents_from(world).agents
    assert agents is not None
    outcomes = runs_of(compiled(text), cast=Cast(agents))
    for outcome in outcomes:
        assert await difference(outcome) is None, outcome.path
    paths = " ".join(outcome.path for outcome in outcomes)
    for who in ("lead", "boss", "guard", "a person"):
        assert f"asks: {who}" in paths


EVERYTHING = """\
let seen = [now(), random()]
log("begins")
const chosen = select(w, {criteria: "round_robin"})
const first = parallel([
  () => assign(w, "a", {id: "a"}), () => assign(w, "b", {id: "b"}), () => ask("Go?", {options: ["yes", "no"]}),
], {strategy: "race"})
const three = [() => assign(w, "c"), () => assign(w, "d"), () => assign(w, "e")]
const two = parallel(three, {strategy: "quorum", minResults: 2})
sleep(1500)
const word = wait("go", {timeoutMs: 5000, onError: "continue"})
const late = assign(w, "slow", {id: "slow", timeoutMs: 20000, onError: "continue"})
group(() => assign(w, "long", {id: "long"}), {timeoutMs: 30000, onError: "continue"})
[seen, chosen.session, word.received, late.result]
"""


async def test_the_engine_decides_the_same_about_every_kind_of_effect() -> None:
    """Times, numbers, selections, races, quorums, questions, sleeps, signals, time limits."""
    statuses = set[str]()
    for outcome in runs_of(prism(EVERYTHING)):
        assert await difference(outcome) is None, outcome.path
        statuses.add(outcome.status)
    assert "completed" in statuses


async def test_the_engine_ends_a_run_over_its_budget_or_its_time_alike() -> None:
    """The budget is counted over the same tasks; a time limit comes from outside of the program in both."""
    pattern = compiled(chart("".join(f"- {{type: assign, id: s{n}, role: writer, task: do}}\n" for n in range(6))))
    over = runs_of(pattern, budget=Budget(cost_usd=0.4))
    assert {"budget_exceeded"} <= {outcome.error.code for outcome in over if outcome.error}
    for outcome in [*over, *runs_of(pattern, timeout_ms=200_000)]:
        assert await difference(outcome) is None
        last = outcome.events[-1].event
        if isinstance(last, ExecutionFailed) and last.error.code == "execution_timeout":
            assert last.error.code in OUTSIDE


def lives(outcome: Outcome) -> dict[str, list[LoggedEvent]]:
    """The events of each task."""
    found: dict[str, list[LoggedEvent]] = {}
    for entry in outcome.events:
        task_id = getattr(entry.event, "task_id", "")
        if task_id and entry.type.startswith("task."):
            found.setdefault(task_id, []).append(entry)
    return found


def test_the_executor_ends_and_repeats_attempts_alike() -> None:
    """Fed with a simulated task's events, the executor's machine says the same retry, the same delay, the same end."""
    agents = agents_from({"default": TROUBLED}).agents
    assert agents is not None
    step = "- {type: assign, id: one, role: writer, task: do, timeoutMs: 400000, onError: continue}\n"
    pattern = compiled(chart(step))
    kinds = set[str]()
    for outcome in runs_of(pattern, cast=Cast(agents)):
        for entries in lives(outcome).values():
            kinds |= walk(entries)
    assert {"task.retrying", "task.completed", "task.failed", "interrupted", "task_timeout", "agent_silent"} <= kinds


def walk(entries: list[LoggedEvent]) -> set[str]:
    """Holds one task against the executor's machine; what was met."""
    request = entries[0].event
    assert isinstance(request, TaskRequested)
    state: TaskState = machine.opened(request, 2)
    kinds = set[str]()
    for entry in entries[1:]:
        event: Any = entry.event
        kinds.add(entry.type)
        if entry.type in ("task.retrying", "task.failed"):
            interrupted = getattr(event, "interrupted", False)
            loss = event.loss if interrupted else None
            most = machine.backoff_ms(state, interrupted=interrupted, jitter=1.0)
            jitter = event.delay_ms / most if entry.type == "task.retrying" else 0.0
            assert machine.failed(state, event.error, loss=loss, jitter=jitter) == event
            assert jitter <= 1.0
            kinds |= {event.error.code, *(["interrupted"] if interrupted else [])}
        if entry.type == "task.completed":
            said = machine.Answered(
                result=event.result, confidence=event.confidence, usage=event.usage, note=event.note
            )
            made = machine.completed(state, said, at_ms=entry.at_ms)
            assert made == event
        state = machine.evolve(state, event, entry.at_ms)
    assert state.phase in ("ended", "running"), "running: its agent never ends"
    return kinds


def test_what_the_platform_says_of_itself_is_what_the_simulation_says() -> None:
    """Constants and the list of immediate effects are the services' own."""
    from shared.config import Settings

    platform = Agents().platform
    assert platform.retries == Settings().agent_retries
    assert platform.instances == Settings().max_concurrency
    assert platform.silence_ms == Settings().agent_timeout_ms
    assert tasks.MAX_INTERRUPTIONS == machine.MAX_INTERRUPTIONS
    assert turns.STOPPING_S * 1000 == tasks.STOPPING_MS
    assert requests.IMMEDIATE == decisions.IMMEDIATE


@given(
    st.lists(st.tuples(st.floats(0, 1) | st.none(), st.floats(0, 3))),
    st.sampled_from(["min", "weighted", "product"]),
)
def test_scores_of_checks_are_combined_as_the_executor_does_it(
    pairs: list[tuple[float | None, float]], combine: Any
) -> None:
    """The lowest, the product, the weighted mean; what is missing leaves no score."""
    oracles = [Oracle(run="x", weight=weight) for _, weight in pairs]
    results = [OracleResult(type="command", score=score) for score, _ in pairs]
    request = Verify(oracles=oracles, combine=combine)
    asked = requests.requested("e", "1", request, workspace=True, now_ms=0, signature="")
    assert isinstance(asked, VerificationRequested)
    assert combined(request, oracles, results) == verifying.combine(asked, results)
