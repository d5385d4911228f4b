"""Which task has which session. A session does one task at a time, whichever executors the tasks of its role are with.

A claim is a key that can be created once. It names its task, so that the executor to which a task is delivered after a
kill finds the claim its own; and a claim whose task is over, left by somebody who had no time to give it back, is taken
away by whoever waits for it.
"""

from __future__ import annotations

import asyncio
import random

import structlog

from shared.bus import Bus, Conflict, KeyValue

_log = structlog.get_logger(__name__)

BUCKET = "parallax-sessions"
_TTL_S = 14 * 86_400.0
_OVER = ("task.completed", "task.failed", "task.cancelled")
_LOOK_AFTER_S = 5.0


class Claims:
    """The sessions that tasks have claimed."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._bucket: KeyValue | None = None
        self._held: dict[tuple[str, str], str] = {}
        self._freed = asyncio.Event()

    async def start(self) -> None:
        """Makes the bucket."""
        self._bucket = await self._bus.key_value(BUCKET, ttl_s=_TTL_S)

    async def acquire(self, execution_id: str, task_id: str, *, role: str, most: int, wanted: str = "") -> str:
        """A session of the role for the task: the wanted one, or the first that is free. Waits until there is one."""
        sessions = [wanted] if wanted else [f"{role}-{number}" for number in range(1, most + 1)]
        waited, pause = 0.0, 0.05
        while True:
            freed = self._freed
            for session in sessions:
                if await self._claim(execution_id, session, task_id):
                    return session
            try:
                async with asyncio.timeout(pause):
                    await freed.wait()
            except TimeoutError:
                waited += pause
                pause = min(1.0, pause * 2) * random.uniform(0.8, 1.2)
            if waited >= _LOOK_AFTER_S:
                waited = 0.0
                await self._take_away(execution_id, sessions)

    async def release(self, execution_id: str, session: str, task_id: str) -> None:
        """Gives a session back. Does nothing when the task has not got it."""
        key = (execution_id, session)
        held = self._held.get(key)
        if held is None:
            held = await self._holder(execution_id, session)
        if held != task_id or self._bucket is None:
            return
        await self._bucket.delete(_key(execution_id, session))
        self._held.pop(key, None)
        self._freed.set()
        self._freed = asyncio.Event()

    async def _claim(self, execution_id: str, session: str, task_id: str) -> bool:
        assert self._bucket is not None, "claims were not started"
        key = (execution_id, session)
        held = self._held.get(key)
        if held is not None:
            return held == task_id
        self._held[key] = task_id
        try:
            await self._bucket.create(_key(execution_id, session), task_id.encode())
        except Conflict:
            if await self._holder(execution_id, session) == task_id:
                return True
            self._held.pop(key, None)
            return False
        except BaseException:
            self._held.pop(key, None)
            raise
        return True

    async def _holder(self, execution_id: str, session: str) -> str:
        value = await self._bucket.get(_key(execution_id, session)) if self._bucket else None
        return value.decode() if value else ""

    async def _take_away(self, execution_id: str, sessions: list[str]) -> None:
        """Deletes the claims of tasks that are over."""
        over = {getattr(record.data, "task_id", "") async for record in self._bus.read(execution_id, types=_OVER)}
        for session in sessions:
            holder = await self._holder(execution_id, session)
            if holder and holder in over and (execution_id, session) not in self._held and self._bucket is not None:
                _log.warning("claim_taken_away", execution_id=execution_id, session=session, task_id=holder)
                await self._bucket.delete(_key(execution_id, session))


def _key(execution_id: str, session: str) -> str:
    return f"{execution_id}.{session}"
