"""Who is in the registry and for how long: under a lease that lives only as long as the agent speaks."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from parallax.agent import Agent, Result, Task
from schemas.agents import AgentRegistration
from schemas.events import AgentLost
from services.registry.service import LEASE_S, MAX_REGISTRATION, unfit
from shared import subjects
from shared.agent_keys import agent_key, known_key
from shared.bus import RequestFailed
from shared.etcd import Etcd
from shared.ids import new_id
from shared.testing import eventually
from tests.services.executor.rooms import House, house
from tests.services.registry.hall import Fleet, own_etcd

AGENT = """
import sys, parallax
agent = parallax.Agent(sys.argv[1], capabilities=["x"], url=sys.argv[2])
@agent.task
def work(task): return 1
agent.run()
"""


def started(name: str, nats_url: str) -> subprocess.Popen[bytes]:
    """An agent as a process of its own."""
    here = str(Path(__file__).resolve().parents[3])
    return subprocess.Popen([sys.executable, "-c", AGENT, name, nats_url], env={**os.environ, "PYTHONPATH": here})


async def idle(rooms: House, name: str) -> Agent:
    """An agent in this process that does nothing, registered."""
    agent = Agent(name, ["idle"], url=rooms.settings.nats_url)

    @agent.task
    async def work(task: Task) -> Result:
        return Result(task.text)

    return await rooms.agent(agent)


async def test_a_registration_is_kept_under_a_lease(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """Of at most ten seconds; the answer says how often to speak, and the fleet is told once, not at each repeat."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        fleet = await Fleet(rooms.bus, etcd_url).listen()
        await rooms.open("registry")
        name = new_id()
        reply = await fleet.register(name, capabilities=["review"], host="h", pid=7)
        assert reply.accepted
        assert reply.heartbeat_ms * 3 <= reply.lease_ms <= 10_000
        etcd = Etcd([etcd_url])
        item = await etcd.get(agent_key(name))
        assert item is not None
        assert 0 < await etcd.keep_alive(item.lease) <= 10
        assert (await fleet.register(name, capabilities=["review"], host="h", pid=7)).accepted
        assert fleet.about(name) == ["registered"]
        assert (await fleet.register(name, capabilities=["other"], host="h", pid=7)).accepted
        await eventually(lambda: fleet.about(name) == ["registered", "registered"])
        assert (await fleet.deregister(name)).accepted
        assert name not in await fleet.living()
        await eventually(lambda: fleet.about(name)[2:] == ["deregistered"])
        assert (await fleet.deregister(name)).accepted
        assert not (await fleet.beat(name)).accepted
        await etcd.close()
        await fleet.close()


async def test_a_dead_agent_is_gone_when_its_lease_ends(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """kill -9: within ten seconds, though the registry lives, and both the fleet and the execution's log say so."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        fleet = await Fleet(rooms.bus, etcd_url).listen()
        await rooms.open("registry")
        name, mute, execution_id = new_id(), new_id(), f"e{new_id()[:12]}"
        process = started(name, nats_url)
        living = await idle(rooms, new_id())
        await eventually(lambda: fleet.about(name), timeout_s=15)
        assert (await fleet.register(mute, execution_id=execution_id, role="r", session="r-1")).accepted
        process.kill()
        process.wait()
        killed = time.monotonic()
        await eventually(lambda: gone(fleet, name, mute), timeout_s=LEASE_S + 4)
        assert time.monotonic() - killed <= 10.0
        await eventually(lambda: fleet.about(name) == ["registered", "lost"])
        await eventually(lambda: fleet.about(mute) == ["registered", "lost"])
        (lost,) = await eventually(lambda: rooms.events(execution_id))
        assert isinstance(lost.data, AgentLost)
        assert (lost.data.agent_id, lost.data.role, lost.data.session) == (mute, "r", "r-1")
        assert living.id in await fleet.living()
        await fleet.close()


async def gone(fleet: Fleet, *names: str) -> bool:
    """Whether none of these is registered."""
    return not set(names) & await fleet.living()


async def test_an_agent_that_is_asked_to_leave_deregisters(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """SIGTERM: exit code 0, and the fleet hears of a departure, not of a loss."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        fleet = await Fleet(rooms.bus, etcd_url).listen()
        await rooms.open("registry")
        name = new_id()
        process = started(name, nats_url)
        await eventually(lambda: fleet.about(name), timeout_s=15)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 10) == 0
        assert name not in await fleet.living()
        assert fleet.about(name) == ["registered", "deregistered"]
        await fleet.close()


async def test_a_killed_registry_loses_nobody_and_forgets_nobody(nats_url: str, etcd_url: str, tmp_path: Path) -> None:
    """The living stay; who died while no registry ran is gone by its lease, and told once by the next registry."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        fleet = await Fleet(rooms.bus, etcd_url).listen()
        registry = await rooms.process("registry")
        living, dead = await idle(rooms, new_id()), new_id()
        assert (await fleet.register(dead)).accepted
        registry.kill()
        await registry.wait()
        await eventually(lambda: gone(fleet, dead), timeout_s=LEASE_S + 4)
        await rooms.process("registry")
        await rooms.process("registry")
        await eventually(lambda: fleet.about(dead) == ["registered", "lost"], timeout_s=15)
        assert await eventually(lambda: registered(fleet, living.id), timeout_s=15)
        first, second = await fleet.beat(living.id), await fleet.beat(living.id)
        assert first.accepted
        assert second.accepted
        assert fleet.about(dead) == ["registered", "lost"]
        await fleet.close()


async def registered(fleet: Fleet, name: str) -> bool:
    """Whether an agent is in the registry."""
    return name in await fleet.living()


async def test_agents_outlive_an_etcd_that_is_killed(nats_url: str, tmp_path: Path) -> None:
    """While it is away registrations are refused with a reason, heartbeats are not; then all are still there."""
    async with own_etcd() as etcd, house(nats_url, etcd.url, tmp_path) as rooms:
        fleet = await Fleet(rooms.bus, etcd.url).listen()
        await rooms.open("registry")
        agent = await idle(rooms, new_id())
        await etcd.kill()
        refused = await fleet.register(new_id())
        assert not refused.accepted
        assert "etcd cannot be reached" in refused.reason
        assert (await fleet.beat(agent.id)).accepted
        assert not (await fleet.deregister(agent.id)).accepted
        await etcd.start()
        await eventually(lambda: registered(fleet, agent.id), timeout_s=10)
        fresh = new_id()
        await eventually(lambda: accepted(fleet, fresh), timeout_s=10)
        await asyncio.sleep(LEASE_S + 1)  # a lease that nobody renews would end in this time
        assert agent.id in await fleet.living()
        assert fresh not in await fleet.living()
        assert fleet.about(agent.id) == ["registered"]
        await eventually(lambda: fleet.about(fresh) == ["registered", "lost"])
        await fleet.close()


async def accepted(fleet: Fleet, name: str) -> bool:
    """Whether an agent can register now."""
    return (await fleet.register(name)).accepted


async def test_agents_come_back_into_an_etcd_that_has_lost_everything(nats_url: str, tmp_path: Path) -> None:
    """Their next heartbeat is answered that they are unknown, so they register again."""
    async with own_etcd() as etcd, house(nats_url, etcd.url, tmp_path) as rooms:
        fleet = await Fleet(rooms.bus, etcd.url).listen()
        await rooms.open("registry")
        agent = await idle(rooms, new_id())
        await etcd.kill(forget=True)
        await etcd.start()
        await eventually(lambda: registered(fleet, agent.id), timeout_s=15)
        await fleet.close()


HOSTILE = [
    b"",
    b"{",
    b"[]",
    b'"agent"',
    b"\xff\xfe",
    b'{"agent_id": 7}',
    b'{"agent_id": ""}',
    b'{"agent_id": "a.b"}',
    b'{"agent_id": "*"}',
    b'{"agent_id": "a b"}',
    b'{"agent_id": "../../etc"}',
    b'{"agent_id": "' + b"x" * 201 + b'"}',
    b'{"agent_id": "x", "capabilities": "all"}',
    b'{"agent_id": "x", "capabilities": [1]}',
    b'{"agent_id": "x", "max_concurrency": 0}',
    b'{"agent_id": "x", "max_concurrency": 1e99}',
    b'{"agent_id": "x", "pid": "many"}',
]


async def test_hostile_registrations_are_answered_and_harm_nothing(
    nats_url: str, etcd_url: str, tmp_path: Path
) -> None:
    """Each with what is wrong; the registry serves the next one, and nothing of them is kept."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        fleet = await Fleet(rooms.bus, etcd_url).listen()
        await rooms.open("registry")
        for body in HOSTILE:
            for subject in (subjects.AGENT_REGISTER, subjects.AGENT_HEARTBEAT, subjects.AGENT_DEREGISTER):
                if subject != subjects.AGENT_REGISTER and b'"x"' in body:
                    continue
                with pytest.raises(RequestFailed, match="body cannot be read"):
                    await rooms.bus.request(subject, body, dict[str, str], timeout_s=5)
        big = await fleet.register(new_id(), capabilities=["c" * 1000] * 100)
        assert not big.accepted
        assert f"{MAX_REGISTRATION} is the limit" in big.reason
        assert (await fleet.register(name := new_id())).accepted
        assert "x" not in await fleet.living()
        assert name in await fleet.living()
        await fleet.close()


async def test_the_id_of_another_executions_agent_is_not_to_be_had(
    nats_url: str, etcd_url: str, tmp_path: Path
) -> None:
    """While it lives. The same agent may be started anew under its id at once."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        fleet = await Fleet(rooms.bus, etcd_url).listen()
        await rooms.open("registry")
        name = new_id()
        assert (await fleet.register(name, execution_id="e1", pid=1)).accepted
        for other in ("", "e2"):
            reply = await fleet.register(name, execution_id=other, pid=2)
            assert not reply.accepted
            assert "belongs to a living agent of e1" in reply.reason
        assert (await fleet.register(name, execution_id="e1", pid=3)).accepted
        await fleet.deregister(name)
        assert (await fleet.register(name, execution_id="e2")).accepted
        await fleet.close()


async def test_a_registration_that_was_not_announced_is_announced_at_the_next(
    nats_url: str, etcd_url: str, tmp_path: Path
) -> None:
    """A registry that was killed between etcd and the fleet leaves nobody unheard of."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        fleet = await Fleet(rooms.bus, etcd_url).listen()
        await rooms.open("registry")
        name, etcd = new_id(), Etcd([etcd_url])
        assert (await fleet.register(name)).accepted
        item = await etcd.get(known_key(name))
        assert item is not None
        assert b'"announced":true' in item.value
        await etcd.put(known_key(name), item.value.replace(b'"announced":true', b'"announced":false'))
        assert (await fleet.register(name)).accepted
        await eventually(lambda: fleet.about(name) == ["registered", "registered"])
        await etcd.close()
        await fleet.close()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, ""),
        ({"inbox": "parallax.agents.a.task"}, ""),
        ({"inbox": "parallax.agents.a.task.p-1"}, ""),
        ({"inbox": "parallax.agents.a.task."}, "not the agent's own"),
        ({"inbox": "parallax.agents.a.task.*"}, "not the agent's own"),
        ({"inbox": "parallax.agents.a.task.>"}, "not the agent's own"),
        ({"inbox": "parallax.agents.a.task.p.q"}, "not the agent's own"),
        ({"inbox": "parallax.executions.request"}, "not the agent's own"),
        ({"inbox": "parallax.agents.b.task"}, "not the agent's own"),
        ({"inbox": ">"}, "not the agent's own"),
        ({"execution_id": "e.1"}, "cannot be an execution's id"),
        ({"execution_id": "*"}, "cannot be an execution's id"),
        ({"role": "a/b"}, "The role 'a/b' cannot be one"),
        ({"session": "a b"}, "The session 'a b' cannot be one"),
    ],
)
def test_what_a_registration_may_say(fields: dict[str, str], reason: str) -> None:
    """Offers go to the inbox, so it is the agent's own; ids are ids."""
    found = unfit(AgentRegistration(agent_id="a", **fields), 100)  # pyright: ignore[reportArgumentType] - the fields above are texts
    assert (reason in found) if reason else found == ""
