"""The workspaces that are open in this process, one step at a time in each, several of them at once.

Git work is done in threads, so that the service keeps hearing; talking to an origin has threads of its own, so that a
slow one keeps nobody else waiting.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from schemas.base import EXECUTION_ID_PATTERN
from services.workspace.backends import Backends
from services.workspace.workspace import Workspace

T = TypeVar("T")

_KEEP_OPEN = 128
_ID = re.compile(EXECUTION_ID_PATTERN)


class Desk:
    """All workspaces under one directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._executions = root / "executions"
        self._backends = Backends(root / "clones")
        self._open: OrderedDict[str, Workspace] = OrderedDict()
        self._locks: dict[str, asyncio.Lock] = {}
        self._waiting: dict[str, int] = {}
        self._git = ThreadPoolExecutor(max_workers=max(4, (os.cpu_count() or 2) * 2), thread_name_prefix="git")
        self._network = ThreadPoolExecutor(max_workers=8, thread_name_prefix="origin")

    async def use(self, execution_id: str, step: Callable[[Workspace], T], *, network: bool = False) -> T:
        """Does one step on a workspace, in a thread, after all steps on it that were asked for before."""
        if not _ID.fullmatch(execution_id):
            raise ValueError(f"{execution_id!r} is no execution id")
        async with self._turn(execution_id):
            workspace = self._open.get(execution_id)
            if workspace is None:
                workspace = Workspace(self._executions / execution_id, execution_id, self._backends)
            self._open[execution_id] = workspace
            self._open.move_to_end(execution_id)
            loop = asyncio.get_running_loop()
            pool = self._network if network else self._git
            try:
                return await asyncio.shield(loop.run_in_executor(pool, step, workspace))
            finally:
                self._close_idle()

    def known(self) -> list[str]:
        """The ids of all executions that have a workspace here, the latest used first."""
        try:
            with os.scandir(self._executions) as entries:
                found = [(entry.stat().st_mtime_ns, entry.name) for entry in entries if entry.is_dir()]
        except FileNotFoundError:
            return []
        return [name for _, name in sorted(found, reverse=True) if _ID.fullmatch(name)]

    def close(self) -> None:
        """Waits for the steps in hand and lets go of everything."""
        self._git.shutdown()
        self._network.shutdown()
        for workspace in self._open.values():
            workspace.close()
        self._open.clear()

    @asynccontextmanager
    async def _turn(self, execution_id: str) -> AsyncGenerator[None]:
        lock = self._locks.setdefault(execution_id, asyncio.Lock())
        self._waiting[execution_id] = self._waiting.get(execution_id, 0) + 1
        try:
            async with lock:
                yield
        finally:
            self._waiting[execution_id] -= 1
            if not self._waiting[execution_id]:
                del self._waiting[execution_id], self._locks[execution_id]

    def _close_idle(self) -> None:
        if len(self._open) <= _KEEP_OPEN:
            return
        for execution_id in list(self._open):
            if execution_id not in self._waiting:
                self._open.pop(execution_id).close()
            if len(self._open) <= _KEEP_OPEN:
                return
