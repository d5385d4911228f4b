"""An etcd of a test's own that can be killed, and what is said of the fleet."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from parallax.stack.binaries import server_account
from parallax.stack.servers import Etcd as Server
from parallax.stack.servers import free_ports, spawn
from schemas.agents import AgentHeartbeat, AgentRegistration, Deregistration, RegistrationReply
from shared import subjects
from shared.agent_keys import AGENTS, agent_of
from shared.bus import Bus, Message
from shared.etcd import Etcd, EtcdUnavailable
from shared.testing import eventually


class OwnEtcd:
    """A member that is killed and started again on the same port, with its data or without."""

    def __init__(self, place: Path) -> None:
        port, peer = free_ports(2)
        self._account = server_account()
        self._place = place
        self._server = Server(place / "etcd", self._account, port=port, peer_port=peer)
        self._process: Any = None

    @property
    def url(self) -> str:
        """Its endpoint."""
        return self._server.url

    async def start(self) -> None:
        """Starts it, and returns when it answers."""
        self._server.prepare()
        self._process = spawn(self._server, self._account, log=self._place / "etcd.log", environ={"TZ": "UTC"})
        await eventually(lambda: asyncio.to_thread(self._server.is_ready), timeout_s=20)

    async def kill(self, *, forget: bool = False) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
            self._process = None
        if forget:
            shutil.rmtree(self._place / "etcd")


@asynccontextmanager
async def own_etcd() -> AsyncGenerator[OwnEtcd]:
    """An etcd that runs, killed at the end."""
    place = Path(tempfile.mkdtemp(prefix="parallax-etcd-"))
    place.chmod(0o711)
    etcd = OwnEtcd(place)
    try:
        await etcd.start()
        yield etcd
    finally:
        await etcd.kill()
        shutil.rmtree(place, ignore_errors=True)


class Fleet:
    """What was said of agents since this began to listen, and what the registry holds."""

    def __init__(self, bus: Bus, etcd_url: str) -> None:
        self.said: list[tuple[str, str]] = []
        self._bus = bus
        self._etcd = Etcd([etcd_url])

    async def listen(self) -> Fleet:
        """Begins to listen."""
        await self._bus.serve(subjects.FLEET_ALL, dict[str, Any], self._hear)
        return self

    async def close(self) -> None:
        """Lets go of etcd."""
        await self._etcd.close()

    def about(self, agent_id: str) -> list[str]:
        """What was said of one agent, in order."""
        return [verb for name, verb in self.said if name == agent_id]

    async def living(self) -> set[str]:
        """The agents that etcd has, none while it is away."""
        try:
            return {agent_of(item.key) for item in (await self._etcd.range(AGENTS)).items}
        except EtcdUnavailable:
            return set()

    async def register(self, agent_id: str, **fields: Any) -> RegistrationReply:
        """Registers an agent as a client would."""
        agent = AgentRegistration(agent_id=agent_id, **fields)
        return await self._bus.request(subjects.AGENT_REGISTER, agent, RegistrationReply, timeout_s=10)

    async def beat(self, agent_id: str) -> RegistrationReply:
        """A heartbeat."""
        return await self._bus.request(
            subjects.AGENT_HEARTBEAT, AgentHeartbeat(agent_id=agent_id), RegistrationReply, timeout_s=10
        )

    async def deregister(self, agent_id: str) -> RegistrationReply:
        """A word of leave."""
        return await self._bus.request(
            subjects.AGENT_DEREGISTER, Deregistration(agent_id=agent_id), RegistrationReply, timeout_s=10
        )

    async def _hear(self, _body: dict[str, Any], message: Message) -> None:
        _, _, agent_id, verb = message.subject.split(".")
        self.said.append((agent_id, verb))
