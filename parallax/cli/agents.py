"""`parallax agents`: who is registered, and asking one to leave."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click
import msgspec

from parallax.cli.clients import talk
from parallax.cli.columns import Column, print_list
from parallax.cli.common import (
    BadInputError,
    UnreachableError,
    data_option,
    emit_json,
    json_option,
    run_async,
    settings_for,
)
from parallax.cli.progress import visible
from parallax.cli.render import console
from schemas.agents import AgentRegistration, TaskControl
from shared import subjects


async def registered(data: Path | None) -> list[AgentRegistration]:
    """All agents in the registry, by id. Raises UnreachableError when etcd does not answer."""
    from shared.agent_keys import AGENTS
    from shared.etcd import Etcd, EtcdRefused, EtcdUnavailable

    etcd = Etcd(settings_for(data).etcd_endpoints)
    try:
        items = (await etcd.range(AGENTS)).items
    except (EtcdUnavailable, EtcdRefused) as error:
        raise UnreachableError(f"the registry's etcd does not answer: {error}") from None
    finally:
        await etcd.close()
    agents = [msgspec.json.decode(item.value, type=AgentRegistration) for item in items]
    return sorted(agents, key=lambda agent: agent.agent_id)


async def _one(data: Path | None, agent_id: str) -> AgentRegistration:
    for agent in await registered(data):
        if agent.agent_id == agent_id:
            return agent
    raise BadInputError(f"there is no registered agent {agent_id}; `parallax agents list` shows who is there")


@click.group()
def agents() -> None:
    """Registered agents."""


@agents.command("list")
@data_option
@json_option
def list_agents(data: Path | None, as_json: bool) -> None:
    """List the agents that are registered now."""
    found = run_async(registered(data))
    if as_json:
        emit_json(found)
        return
    if not found:
        click.echo("No agent is registered.")
        return
    print_list(console(), _LISTED, [_listed(agent) for agent in found])


_LISTED = (
    Column("AGENT"),
    Column("KIND"),
    Column("ROLE", leave_out=5),
    Column("EXECUTION", leave_out=4),
    Column("CAPABILITIES", least=16),
    Column("AT ONCE", leave_out=1),
    Column("HOST", leave_out=2),
    Column("PID", leave_out=3),
)


def _listed(agent: AgentRegistration) -> list[str]:
    return [
        agent.agent_id,
        agent.kind,
        visible(agent.role or "-"),
        agent.execution_id or "-",
        visible(", ".join(agent.capabilities) or "-"),
        str(agent.max_concurrency),
        visible(agent.host),
        str(agent.pid or "-"),
    ]


@agents.command()
@click.argument("agent_id", metavar="ID")
@data_option
@json_option
def show(agent_id: str, data: Path | None, as_json: bool) -> None:
    """Show one agent."""
    agent = run_async(_one(data, agent_id))
    if as_json:
        emit_json(agent)
        return
    for name, value in msgspec.to_builtins(agent).items():
        text = ", ".join(cast("list[str]", value)) if isinstance(value, list) else str(value)
        click.echo(f"{name.replace('_', ' '):<16} {text or '-'}")


@agents.command()
@click.argument("agent_id", metavar="ID")
@data_option
@json_option
def stop(agent_id: str, data: Path | None, as_json: bool) -> None:
    """Ask an agent to finish what it has and leave. What it is at is done again by another one if need be."""
    run_async(_one(data, agent_id))
    word = TaskControl(action="stop", reason="stopped from the command line")
    talk(data, lambda client: client.bus.publish(subjects.agent_control(agent_id), word))
    if as_json:
        emit_json({"agent_id": agent_id, "asked": "stop"})
    else:
        click.echo(f"{agent_id} was asked to stop.")
