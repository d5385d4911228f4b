"""Keeps the fleet like the registry: a watch on etcd, and while etcd is away the picture that was there last."""

from __future__ import annotations

import msgspec
import structlog

from schemas.agents import AgentRegistration
from services.executor.fleet import Fleet
from shared.agent_keys import AGENTS, agent_of
from shared.config import Settings
from shared.etcd import Deleted, Etcd, KeyValue, Put, Snapshot

_log = structlog.get_logger(__name__)

_decoder = msgspec.json.Decoder(AgentRegistration)


async def watch_registry(settings: Settings, fleet: Fleet) -> None:
    """Never ends. What cannot be read is left out."""
    etcd = Etcd(settings.etcd_endpoints)

    def away(reason: str) -> None:
        fleet.away = reason

    try:
        async for change in etcd.watch(AGENTS, away):
            match change:
                case Snapshot(items=items):
                    fleet.replace(agent for item in items if (agent := _agent(item)) is not None)
                case Put(item=item):
                    agent = _agent(item)
                    if agent is not None:
                        fleet.put(agent)
                case Deleted(key=key):
                    fleet.remove(agent_of(key))
    finally:
        await etcd.close()


def _agent(item: KeyValue) -> AgentRegistration | None:
    try:
        return _decoder.decode(item.value)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        _log.warning("registration_unreadable", key=item.key, error=str(error))
        return None
