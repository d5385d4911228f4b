"""Sessions of roles in a simulated run: one task at a time each, so many for a role, first come, first served."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

Got = Callable[[str], None]


class Sessions:
    """Who has which session, and who waits for one."""

    def __init__(self) -> None:
        self._held: dict[str, str] = {}
        self._waiting: dict[str, deque[tuple[str, list[str], Got]]] = {}

    def acquire(self, task_id: str, role: str, most: int, wanted: str, got: Got) -> None:
        """Calls `got` with a session as soon as there is one: the wanted one, or the first of the role that is free."""
        names = [wanted] if wanted else [f"{role}-{number}" for number in range(1, most + 1)]
        session = next((name for name in names if name not in self._held), None)
        if session is None:
            self._waiting.setdefault(role, deque()).append((task_id, names, got))
        else:
            self._held[session] = task_id
            got(session)

    def release(self, task_id: str, role: str, session: str) -> None:
        """Gives a session back, or stops waiting for one."""
        queue = self._waiting.get(role)
        if queue:
            self._waiting[role] = queue = deque(entry for entry in queue if entry[0] != task_id)
        if self._held.get(session) != task_id:
            return
        del self._held[session]
        for entry in queue or ():
            if session in entry[1]:
                assert queue is not None
                queue.remove(entry)
                self._held[session] = entry[0]
                entry[2](session)
                return
