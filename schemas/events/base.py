"""The base of all events, and where a confidence can come from."""

from __future__ import annotations

from typing import ClassVar, Literal

from schemas.base import ExecutionId, Model

ConfidenceSource = Literal["", "self_report", "verification", "review", "aggregate", "program"]
"""Where a confidence came from. Empty: there is none."""


class Event(Model, frozen=True, kw_only=True):
    """One fact of one execution. Every payload carries its execution's id."""

    TYPE: ClassVar[str] = ""
    VERSION: ClassVar[int] = 1
    KEY: ClassVar[tuple[str, ...]] = ()
    WRITER: ClassVar[str] = ""

    execution_id: ExecutionId

    @property
    def event_id(self) -> str:
        """The deterministic id of this event: execution, kind, and the fields that `KEY` names."""
        return ":".join((self.execution_id, self.TYPE, *(str(getattr(self, name)) for name in self.KEY)))
