"""Whatever the agents are like, every run of every shipped pattern keeps what a run has to keep."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parallax.simulation.agents_file import agents_from
from parallax.simulation.execution import Execution
from parallax.simulation.loading import find_input
from parallax.simulation.model import Cast
from parallax.simulation.records import Outcome
from parallax.simulation.setting import Setting
from schemas.commands import Budget
from schemas.events import ENDINGS, TaskCancelled, TaskCompleted, TaskFailed, TaskRequested, TaskStarted
from schemas.patterns import CompiledPattern
from tests.parallax.simulation.charts import SHIPPED, shipped
from tests.parallax.simulation.engine import difference

PATTERNS = [shipped(path) for path in SHIPPED]

share = st.floats(0, 1).map(lambda value: round(value, 2))
part = st.floats(0, 0.2).map(lambda value: round(value, 2))
seconds = st.sampled_from([0, 1, 90, {"lognormal": {"median": 60, "p95": 900}}, {"uniform": {"min": 0, "max": 5000}}])
worlds = st.fixed_dictionaries(
    {
        "good": share,
        "default": st.fixed_dictionaries(
            {
                "seconds": seconds,
                "quality": share | st.just({"beta": {"mean": 0.5, "sd": 0.3}}),
                "confidence": share | st.sampled_from(["none", {"quality": None}]),
                "lying": share,
                "disagreement": share,
                "changes": share,
                "asks": share,
                "failure": st.fixed_dictionaries(dict.fromkeys(("error", "crash", "silent", "timeout", "empty"), part)),
                "results": st.lists(
                    st.none()
                    | st.integers(-3, 3)
                    | st.text(max_size=3)
                    | st.dictionaries(st.text(max_size=2), st.none()),
                    min_size=1,
                    max_size=4,
                ),
                "review": st.fixed_dictionaries({"sensitivity": share, "specificity": share, "reject": share}),
                "verify": st.fixed_dictionaries({"falsePass": share, "falseFail": share, "missing": share}),
            }
        ),
        "people": st.fixed_dictionaries({"seconds": seconds, "answers": share, "approveGood": share}),
        "workspace": st.fixed_dictionaries({"conflict": part}),
        "platform": st.fixed_dictionaries({"retries": st.integers(0, 3), "instances": st.integers(1, 4)}),
    }
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    pattern=st.sampled_from(PATTERNS),
    world=worlds,
    seed=st.integers(0, 2**64),
    cost=st.none() | st.floats(0.01, 2),
    limit=st.none() | st.integers(1, 2_000_000),
)
def test_every_run_is_sound(
    pattern: CompiledPattern, world: dict[str, Any], seed: int, cost: float | None, limit: int | None
) -> None:
    """It ends or stalls with a reason, its log is in order, nobody is at two tasks at once, the engine agrees."""
    agents = agents_from(world).agents
    assert agents is not None
    setting = Setting(
        pattern=pattern,
        input=find_input(pattern, {}),
        cast=Cast(agents),
        seed=seed,
        budget=None if cost is None else Budget(cost_usd=cost),
        timeout_ms=limit,
        keep_log=True,
    )
    outcome = Execution(setting, 1).go()
    ends_once(outcome)
    keeps_time(outcome)
    counts(outcome)
    shares_sessions(outcome, agents.platform.instances)
    assert asyncio.run(difference(outcome)) is None
    again = Execution(setting, 1).go()
    assert (again.path, again.events) == (outcome.path, outcome.events)


def ends_once(outcome: Outcome) -> None:
    """One ending, or none and something that is waited for."""
    endings = [entry.type for entry in outcome.events if entry.type in ENDINGS]
    if outcome.status == "stalled":
        assert endings == []
        assert outcome.waits_for
    else:
        assert endings == [f"execution.{outcome.status}"]
        assert (outcome.error is None) == (outcome.status == "completed")
        assert all(task.status != "open" for task in outcome.tasks)


def keeps_time(outcome: Outcome) -> None:
    """Times never go back, and ids are given once."""
    moments = [entry.at_ms for entry in outcome.events]
    assert moments == sorted(moments)
    ids = [entry.event.event_id for entry in outcome.events]
    assert len(ids) == len(set(ids))
    for task in outcome.tasks:
        if task.started_ms is not None:
            assert task.requested_ms <= task.started_ms <= (task.ended_ms or task.started_ms)


def counts(outcome: Outcome) -> None:
    """The numbers are those of the log, and nothing costs less than what was wasted."""
    asked = sum(isinstance(entry.event, TaskRequested) for entry in outcome.events)
    done = sum(isinstance(entry.event, TaskCompleted) for entry in outcome.events)
    assert asked == len(outcome.tasks)
    assert done == sum(task.status == "completed" for task in outcome.tasks)
    assert all(0 <= task.wasted_usd <= task.cost_usd for task in outcome.tasks)
    for task in outcome.tasks:
        for number in (task.confidence, task.quality):
            assert number is None or 0 <= number <= 1


def shares_sessions(outcome: Outcome, instances: int) -> None:
    """A session has one task at a time, and a role no more sessions than it may."""
    most: dict[str, int] = {}
    holder: dict[str, str] = {}
    sessions: dict[str, set[str]] = defaultdict(set)
    for entry in outcome.events:
        match entry.event:
            case TaskRequested() as event:
                most[event.role] = max(1, event.agent.max_instances or instances)
            case TaskStarted() as event:
                assert holder.get(event.session, event.task_id) == event.task_id
                holder[event.session] = event.task_id
                sessions[event.role].add(event.session)
            case TaskCompleted() | TaskFailed() | TaskCancelled() as event:
                for session in [name for name, task in holder.items() if task == event.task_id]:
                    del holder[session]
            case _:
                pass
    assert all(len(found) <= most[role] for role, found in sessions.items())
