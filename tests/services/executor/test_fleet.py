"""Who gets which task: matching by role, load, and fairness among those who wait."""

from __future__ import annotations

import asyncio

import pytest

from schemas.agents import AgentRegistration, AgentSpec, TaskOffer
from services.executor.fleet import Fleet, fits
from services.executor.sessions import spawned_kind


def agent(name: str, *capabilities: str, room: int = 1, kind: str = "custom", **fields: str) -> AgentRegistration:
    """A registration."""
    return AgentRegistration(
        agent_id=name,
        kind=kind,
        capabilities=list(capabilities),
        max_concurrency=room,
        **fields,  # pyright: ignore[reportArgumentType] - the fields left are texts
    )


def fleet(*agents: AgentRegistration) -> Fleet:
    """A fleet of these agents."""
    one = Fleet(lambda _agent, _reason: None, lambda _agent: None, lambda _agent: None)
    one.replace(agents)
    return one


@pytest.mark.parametrize(
    ("one", "kinds", "capabilities", "fit"),
    [
        (agent("a", "x", "y"), ["custom"], ["x"], True),
        (agent("a", "x", "y"), ["custom"], ["x", "y"], True),
        (agent("a", "x"), ["custom"], ["x", "y"], False),
        (agent("a"), ["custom"], [], True),
        (agent("a", "x"), ["claude"], ["x"], False),
        (agent("a", "x", kind="claude"), ["codex", "claude"], ["x"], True),
        (agent("a", "x", execution_id="e1"), ["custom"], ["x"], False),
    ],
)
def test_an_agent_fits_by_its_roles_capabilities_alone(
    one: AgentRegistration, kinds: list[str], capabilities: list[str], fit: bool
) -> None:
    """Every capability of the role, none of other roles; an agent of one execution fits nobody else."""
    assert fits(one, kinds, capabilities) is fit


async def test_the_least_loaded_agent_is_taken() -> None:
    """By its share of what it can take; none beyond it."""
    one = fleet(agent("small", "x"), agent("large", "x", room=4))
    spec = AgentSpec(capabilities=["x"])
    taken = [found.agent_id if (found := one.take(spec, 0.0)) else None for _ in range(6)]
    assert sorted(filter(None, taken)) == ["large"] * 4 + ["small"]
    assert taken[5] is None
    one.give_back("small")
    again = one.take(spec, 0.0)
    assert again is not None
    assert again.agent_id == "small"


async def test_who_waits_longest_is_served_first() -> None:
    """Also when somebody else would take what has just become free; who has gone away is passed over."""
    one = fleet(agent("a", "x"))
    spec = AgentSpec(capabilities=["x"])
    assert one.take(spec, 0.0) is not None
    first, second, third = one.wait(spec), one.wait(spec), one.wait(spec)
    first.cancel()
    one.give_back("a")
    assert second.done()
    assert not third.done()
    assert one.take(spec, 0.0) is None
    one.put(agent("b", "x"))
    assert third.result().agent_id == "b"


async def test_an_agent_that_refused_is_left_alone_for_a_while() -> None:
    """And is served to those who wait when the while is over."""
    one = fleet(agent("a", "x"))
    spec = AgentSpec(capabilities=["x"])
    now = 100.0
    one.shun("a", now + 1)
    assert one.take(spec, now) is None
    assert one.take(spec, now + 1.5) is not None


async def test_losses_and_restarts_are_told() -> None:
    """An agent that is no longer registered, also after a gap; one that has another pid now; not one that says more."""
    told: list[tuple[str, str]] = []
    came: list[str] = []
    replaced: list[str] = []
    one = Fleet(lambda name, reason: told.append((name, reason)), came.append, replaced.append)
    one.replace([agent("a", "x"), agent("b"), agent("c")])
    one.put(agent("a", "x", "y"))
    one.put(AgentRegistration(agent_id="b", pid=2))
    one.remove("c")
    one.remove("c")
    one.replace([agent("a", "x", "y")])
    assert told == [("c", "it is no longer registered"), ("b", "it is no longer registered")]
    assert came == ["a", "b", "c"]
    assert replaced == ["b"]


async def test_two_runtimes_that_register_the_same_session_replace_nobody() -> None:
    """While one takes over from another, the registration goes to and fro; the log says whose life it is."""
    replaced: list[str] = []
    one = Fleet(lambda _agent, _reason: None, lambda _agent: None, replaced.append)
    for pid in (1, 2, 1, 2):
        one.put(AgentRegistration(agent_id="a", execution_id="e", pid=pid))
    assert replaced == []


@pytest.mark.parametrize(
    ("kinds", "command", "kind"),
    [
        (["command"], ["x"], "command"),
        (["custom"], ["x"], "custom"),
        (["custom"], [], ""),
        (["command"], [], "command"),
        (["claude", "command"], ["x"], "command"),
        (["claude"], [], ""),
        (["claude"], ["x"], ""),
    ],
)
def test_a_runtime_starts_what_the_role_gives_a_command_for(kinds: list[str], command: list[str], kind: str) -> None:
    """A `custom` role without one is filled by who registered; a `command` role is told so by the runtime."""
    assert spawned_kind(AgentSpec(kinds=kinds, command=command)) == kind


@pytest.mark.parametrize(
    ("registered_for", "life", "inbox"),
    [("", 0, "own"), ("e", 1, "own"), ("", 1, ""), ("other", 1, ""), ("e", 0, "")],
)
def test_who_is_called_like_a_session_is_not_that_session(registered_for: str, life: int, inbox: str) -> None:
    """An offer to a session of an execution goes to nobody else's inbox, and the other way round."""
    one = Fleet(lambda _agent, _reason: None, lambda _agent: None, lambda _agent: None)
    offer = TaskOffer(
        task_id="e-1", attempt=1, execution_id="e", agent_id="e-r-1", role="r", session="r-1", task="do", life=life
    )
    assert one.inbox(offer) == ""

    async def put() -> str:
        one.put(AgentRegistration(agent_id="e-r-1", execution_id=registered_for, inbox="own"))
        return one.inbox(offer)

    assert asyncio.run(put()) == inbox
