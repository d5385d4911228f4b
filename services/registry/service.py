"""The registry of agents.

Hears: `parallax.agents.register`, `.deregister` and `.heartbeat` (requests that it answers); its own keys in etcd (a
watch).

Says: `parallax.fleet.<agent_id>.registered|deregistered|lost`; `agent.lost` in the log of the execution that an agent
worked for.

Owns: one key for each agent in etcd, under a lease that is renewed only because the agent spoke. Any number of
registries may run at once, and each goes on where another was killed: a second key without a lease says whose loss is
still to be told.
"""

from __future__ import annotations

import asyncio

import msgspec
import structlog

from schemas.agents import (
    AgentDeregistered,
    AgentGone,
    AgentHeartbeat,
    AgentRegistered,
    AgentRegistration,
    Deregistration,
    RegistrationReply,
)
from schemas.base import Model
from schemas.events import AgentLost
from shared import subjects
from shared.agent_keys import AGENTS, KNOWN, agent_key, agent_of, known_key
from shared.bus import Bus
from shared.config import Settings
from shared.etcd import Deleted, Etcd, EtcdRefused, EtcdUnavailable, KeyValue, Snapshot
from shared.ids import new_id
from shared.service import Service

_log = structlog.get_logger(__name__)

LEASE_S = 8
HEARTBEAT_S = 2.0
_SWEEP_EVERY_S = 5.0
_QUEUE = "registry"

MAX_REGISTRATION = 64 * 1024
"""A registration has at most so many bytes: every executor keeps all of them in memory."""


class Known(Model, frozen=True, kw_only=True):
    """The value of the key without a lease. `token` is of this one registration, so that its loss is told once.

    `announced` is false until the world was told of the registration, which a crash or etcd may delay.
    """

    agent: AgentRegistration
    token: str
    announced: bool = True


class Registry(Service):
    """Keeps the register of agents."""

    name = "registry"

    def __init__(self, settings: Settings, bus: Bus) -> None:
        super().__init__(settings, bus)
        self._etcd = Etcd(settings.etcd_endpoints)
        self._leases: dict[str, int] = {}
        self._inboxes: dict[str, str] = {}
        """Which process holds an id, as far as this registry has registered it."""
        self._telling: set[str] = set()

    async def start(self) -> None:
        """Begins to listen to agents."""
        await self.bus.serve(subjects.AGENT_REGISTER, AgentRegistration, self._register, queue=_QUEUE)
        await self.bus.serve(subjects.AGENT_DEREGISTER, Deregistration, self._deregister, queue=_QUEUE)
        await self.bus.serve(subjects.AGENT_HEARTBEAT, AgentHeartbeat, self._heartbeat, queue=_QUEUE)
        self.spawn(self._watch(), name="watch")
        self.spawn(self._sweep(), name="sweep")

    async def stop(self) -> None:
        """Lets go of etcd. Leases run on; another registry hears the next heartbeat."""
        await self._etcd.close()

    # -- what agents say --------------------------------------------------------------------------------------------

    async def _register(self, agent: AgentRegistration) -> RegistrationReply:
        """Puts an agent under a lease of its own, in place of what it had before."""
        value = msgspec.json.encode(agent)
        reason = unfit(agent, len(value))
        if reason:
            return RegistrationReply(accepted=False, reason=reason)
        try:
            before = await self._etcd.get(agent_key(agent.agent_id))
            if before is not None and (taken := _taken(agent, before)):
                return RegistrationReply(accepted=False, reason=taken)
            earlier = await self._known(agent.agent_id) if before is not None and before.value == value else None
            told = earlier is not None and earlier.announced
            known = Known(agent=agent, token=new_id(), announced=told)
            lease = await self._etcd.grant(LEASE_S)
            await self._etcd.put_all([_known_item(known), KeyValue(agent_key(agent.agent_id), value, lease=lease)])
            former = self._leases.get(agent.agent_id, before.lease if before else 0)
            self._leases[agent.agent_id] = lease
            self._inboxes[agent.agent_id] = agent.inbox
            if not told:
                await self._say(agent.agent_id, "registered", AgentRegistered(agent=agent), known.token)
                await self._etcd.put_all([_known_item(msgspec.structs.replace(known, announced=True))])
        except (EtcdUnavailable, EtcdRefused) as error:
            return RegistrationReply(accepted=False, reason=f"etcd cannot be reached: {error}")
        if former and former != lease:
            await self._forget_lease(former)
        _log.info("agent_registered", agent_id=agent.agent_id, kind=agent.kind, capabilities=agent.capabilities)
        return RegistrationReply(accepted=True, lease_ms=LEASE_S * 1000, heartbeat_ms=int(HEARTBEAT_S * 1000))

    async def _forget_lease(self, lease: int) -> None:
        try:
            await self._etcd.revoke(lease)
        except (EtcdUnavailable, EtcdRefused) as error:
            _log.debug("lease_not_revoked", error=str(error))  # it ends by itself, and holds nothing any more

    async def _deregister(self, word: Deregistration) -> RegistrationReply:
        """An agent leaves in order: that is said first, so that a crash in between cannot make it a loss."""
        try:
            known = await self._known(word.agent_id)
            if known is None:
                return RegistrationReply(accepted=True, reason="it was not registered")
            event = AgentDeregistered(agent_id=word.agent_id, reason=word.reason)
            await self._say(word.agent_id, "deregistered", event, known.token)
            await self._etcd.delete(known_key(word.agent_id), agent_key(word.agent_id))
            lease = self._leases.pop(word.agent_id, 0)
            if lease:
                await self._forget_lease(lease)
        except (EtcdUnavailable, EtcdRefused) as error:
            return RegistrationReply(accepted=False, reason=f"etcd cannot be reached: {error}")
        return RegistrationReply(accepted=True)

    async def _heartbeat(self, beat: AgentHeartbeat) -> RegistrationReply:
        """Renews the lease of an agent because it spoke. One that has none is told that it is unknown."""
        if isinstance(beat.inbox, str) and self._inboxes.get(beat.agent_id, beat.inbox) != beat.inbox:
            return RegistrationReply(accepted=False, reason="another process has this id by now: register again")
        try:
            lease = self._leases.get(beat.agent_id) or await self._lease_of(beat.agent_id)
            if lease and await self._etcd.keep_alive(lease) > 0:
                return RegistrationReply(accepted=True)
            self._leases.pop(beat.agent_id, None)
            lease = await self._lease_of(beat.agent_id)
            if lease and await self._etcd.keep_alive(lease) > 0:
                return RegistrationReply(accepted=True)
        except (EtcdUnavailable, EtcdRefused) as error:
            return RegistrationReply(accepted=True, reason=f"etcd cannot be reached: {error}")
        self._leases.pop(beat.agent_id, None)
        return RegistrationReply(accepted=False, reason="unknown: register again")

    async def _lease_of(self, agent_id: str) -> int:
        """The lease that another registry, or this one before a restart, has given an agent."""
        item = await self._etcd.get(agent_key(agent_id))
        if item is None or not item.lease:
            return 0
        self._leases[agent_id] = item.lease
        return item.lease

    async def _known(self, agent_id: str) -> Known | None:
        item = await self._etcd.get(known_key(agent_id))
        return None if item is None else _decoded(item)

    # -- what becomes of leases -------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        async for change in self._etcd.watch(AGENTS):
            match change:
                case Snapshot():
                    await self._look()
                case Deleted(key=key):
                    self.spawn_short(self._ended(agent_of(key)), name=f"ended-{agent_of(key)}")
                case _:
                    pass

    async def _sweep(self) -> None:
        """Tells the losses that nobody saw: of a time when no registry ran, or when etcd was away."""
        while True:
            await asyncio.sleep(_SWEEP_EVERY_S)
            await self._look()

    async def _look(self) -> None:
        try:
            known = await self._etcd.range(KNOWN)
            living = {agent_of(item.key) for item in (await self._etcd.range(AGENTS)).items}
        except (EtcdUnavailable, EtcdRefused) as error:
            _log.info("etcd_cannot_be_reached", error=str(error))
            return
        for item in known.items:
            if agent_of(item.key) not in living:
                self.spawn_short(self._ended(agent_of(item.key)), name=f"ended-{agent_of(item.key)}")

    async def _ended(self, agent_id: str) -> None:
        """A lease has ended. Unless the agent left in order, or is back, it is lost, which is told once."""
        if agent_id in self._telling:
            return
        self._telling.add(agent_id)
        try:
            item = await self._etcd.get(known_key(agent_id))
            if item is None or await self._etcd.get(agent_key(agent_id)) is not None:
                return
            known = _decoded(item)
            if known is not None:
                await self._tell_loss(known)
            self._leases.pop(agent_id, None)
            self._inboxes.pop(agent_id, None)
            await self._etcd.delete_if(item.key, item.value)
        except (EtcdUnavailable, EtcdRefused) as error:
            _log.info("loss_not_told_yet", agent_id=agent_id, error=str(error))
        finally:
            self._telling.discard(agent_id)

    async def _tell_loss(self, known: Known) -> None:
        agent = known.agent
        _log.warning("agent_lost", agent_id=agent.agent_id, execution_id=agent.execution_id)
        gone = AgentGone(agent_id=agent.agent_id, reason="its lease ended", execution_id=agent.execution_id)
        await self._say(agent.agent_id, "lost", gone, known.token)
        if agent.execution_id and subjects.is_execution_id(agent.execution_id):
            await self.bus.append(
                AgentLost(
                    execution_id=agent.execution_id,
                    agent_id=agent.agent_id,
                    lease=known.token,
                    role=agent.role,
                    session=agent.session,
                )
            )

    async def _say(self, agent_id: str, verb: str, event: Model, token: str) -> None:
        await self.bus.submit(subjects.fleet(agent_id, verb), event, msg_id=f"{agent_id}:{token}:{verb}")


def unfit(agent: AgentRegistration, size: int) -> str:
    """Why a registration cannot be taken, as a sentence; empty when it can.

    Offers are published to an agent's inbox, so nobody may name a subject there that is not the agent's own.
    """
    if size > MAX_REGISTRATION:
        return f"The registration has {size} bytes; {MAX_REGISTRATION} is the limit."
    own = subjects.agent_task(agent.agent_id)
    process = agent.inbox.removeprefix(f"{own}.")
    if agent.inbox not in ("", own) and (process == agent.inbox or not subjects.is_token(process)):
        return f"The inbox {agent.inbox[:200]!r} is not the agent's own: leave it out, or use {own}."
    if agent.execution_id and not subjects.is_execution_id(agent.execution_id):
        return f"The execution {agent.execution_id[:200]!r} cannot be an execution's id."
    for name in ("role", "session"):
        text = getattr(agent, name)
        if text and not subjects.is_token(text):
            return f"The {name} {text[:200]!r} cannot be one: use letters, digits, - and _."
    return ""


def _taken(agent: AgentRegistration, living: KeyValue) -> str:
    """Why an id is not to be had: what lives under it works for another execution or for none, or is another process.

    An agent that was started for an execution may be taken over from one runtime by another. One that came by itself
    may not: two processes of one id would share its tasks without a word.
    """
    try:
        other = msgspec.json.decode(living.value, type=AgentRegistration)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""
    if other.execution_id != agent.execution_id:
        return f"The id {agent.agent_id} belongs to a living agent of {other.execution_id or 'no execution'}."
    if agent.execution_id or _process(other) == _process(agent):
        return ""
    where = f"process {other.pid}{f' on {other.host}' if other.host else ''}" if other.pid else "another process"
    return (
        f"The id {agent.agent_id} is taken: {where} is registered under it. Give this agent another name, or end that "
        f"one; as soon as it is gone this one takes its place, which may take {LEASE_S} s."
    )


def _process(agent: AgentRegistration) -> tuple[str, int, str]:
    return agent.host, agent.pid, agent.inbox


def _known_item(known: Known) -> KeyValue:
    return KeyValue(known_key(known.agent.agent_id), msgspec.json.encode(known))


def _decoded(item: KeyValue) -> Known | None:
    try:
        return msgspec.json.decode(item.value, type=Known)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        _log.warning("known_agent_unreadable", key=item.key)
        return None
