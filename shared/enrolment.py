"""Keeping an agent in the registry: registered, heard of again and again, and registered anew whenever it is unknown.

The registry renews a lease only because the agent spoke, so whoever speaks here must be the one that does the work: the
SDK for its own process, a runtime for the sessions whose programs it runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable

import msgspec
import structlog

from schemas.agents import AgentHeartbeat, AgentRegistration, Deregistration, RegistrationReply
from shared import subjects
from shared.bus import Bus, BusError

_log = structlog.get_logger(__name__)

_TIMEOUT_S = 2.0
_PATIENCE_S = 2.0


class Enrolment:
    """One agent's place in the registry. `running` gives the ids of the tasks it is at."""

    def __init__(
        self, bus: Bus, registration: AgentRegistration, running: Callable[[], list[str]] | None = None
    ) -> None:
        self.registration = registration
        self.registered = asyncio.Event()
        self.refused = ""
        """Why the registry does not take it; empty while nothing is known against it."""
        self._unheard = ""
        self._bus = bus
        self._running = running or list[str]
        self._task: asyncio.Task[None] | None = None
        self._heartbeat_s = 2.0

    def start(self) -> None:
        """Begins to register, and stays registered until `leave`."""
        if self._task is None:
            self._task = asyncio.create_task(self._stay(), name=f"enrolment-{self.registration.agent_id}")

    def change(self, registration: AgentRegistration) -> None:
        """Registers with other words from now on."""
        self.registration = registration
        self.registered.clear()

    async def leave(self, reason: str = "") -> None:
        """Leaves in order. A registry that cannot be reached learns it from the silence."""
        if self._task is None:
            return
        await self.forget()
        if self.refused:
            return  # the id is somebody else's, who stays
        word = Deregistration(agent_id=self.registration.agent_id, reason=reason)
        with contextlib.suppress(BusError, TimeoutError):
            await self._bus.request(subjects.AGENT_DEREGISTER, word, RegistrationReply, timeout_s=_TIMEOUT_S)

    async def forget(self) -> None:
        """Ends without a word: somebody else is registered under this id by now, and stays."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _stay(self) -> None:
        pause = 0.05
        while True:
            try:
                if self.registered.is_set():
                    await asyncio.sleep(self._heartbeat_s)
                    await self._beat()
                elif await self._register():
                    pause = 0.05
                    continue
                else:
                    await asyncio.sleep(pause * (0.5 + random.random() / 2))
                    pause = min(_PATIENCE_S, pause * 2)
            except (BusError, TimeoutError) as error:
                self._say_unheard(error)
                await asyncio.sleep(pause * (0.5 + random.random() / 2))
                pause = min(_PATIENCE_S, pause * 2)

    async def _register(self) -> bool:
        registration = self.registration
        reply = await self._bus.request(subjects.AGENT_REGISTER, registration, RegistrationReply, timeout_s=_TIMEOUT_S)
        if not reply.accepted:
            if reply.reason != self.refused:  # once, however often it is tried
                _log.warning("registration_refused", agent_id=registration.agent_id, reason=reply.reason)
            self.refused = reply.reason or "no reason is given"
            return False
        self.refused = self._unheard = ""
        self._heartbeat_s = max(0.1, reply.heartbeat_ms / 1000)
        if registration is self.registration:
            self.registered.set()
        return True

    def _say_unheard(self, error: Exception) -> None:
        """Once, however often it is tried."""
        words = str(error) or type(error).__name__
        if words != self._unheard:
            _log.info("registry_silent", agent_id=self.registration.agent_id, error=words)
        self._unheard = words

    async def _beat(self) -> None:
        registration = self.registration
        inbox = registration.inbox or msgspec.UNSET
        beat = AgentHeartbeat(agent_id=registration.agent_id, running=self._running(), inbox=inbox)
        reply = await self._bus.request(subjects.AGENT_HEARTBEAT, beat, RegistrationReply, timeout_s=_TIMEOUT_S)
        if not reply.accepted:
            self.registered.clear()
