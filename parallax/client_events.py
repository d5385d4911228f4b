"""Events as a client sees them, and what they say about an execution as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec

from schemas.base import Failure
from schemas.events import ATTEMPT_ENDS, ENDINGS
from schemas.events import Event as Fact
from schemas.secrets import masked

if TYPE_CHECKING:
    from shared.bus import Recorded

Status = Literal["pending", "running", "waiting", "paused", "completed", "failed", "cancelled", "rejected"]


class Data(dict[str, Any]):
    """The payload of an event as it is on the wire; `data.task_id` reads `data["task_id"]`."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"this event has no {name!r}; it has {', '.join(self)}") from None


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One fact of one execution.

    `seq` is its place in the log, good for going on after it; `type` is for instance `task.completed`; `id` is the
    same however often the fact was published.
    """

    seq: int
    type: str
    execution_id: str
    time: datetime
    id: str
    source: str
    data: Data

    @property
    def ends(self) -> bool:
        """Whether nothing that matters comes after it."""
        return self.type in ENDINGS


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a completed execution left behind.

    `confidence` is in [0, 1], or None when nobody gave any; `confidence_source` tells where it came from;
    `branch` and `commit` name the result in the repository, and are empty when no workspace was used.
    `approved` is None where there was no gate, and False where the pattern goes on although one said no
    (`onReject: continue`): `evidence` says which one, and why. `unpublished` says why nothing was pushed although it
    was asked for.
    """

    execution_id: str
    value: Any
    confidence: float | None = None
    confidence_source: str = ""
    calibrated: bool = False
    branch: str = ""
    commit: str = ""
    pr_url: str = ""
    approved: bool | None = None
    evidence: list[dict[str, Any]] = msgspec.field(default_factory=list[dict[str, Any]])
    unpublished: str = ""


def standing_words(status: str, data: Mapping[str, Any]) -> str:
    """The status of an execution in words, with what its gates said. `data` is that of the event that ended it."""
    if status == "failed":
        error: Mapping[str, Any] = data.get("error") or {}
        return _GATES.get(str(error.get("code", "")), status)
    if status == "completed" and data.get("approved") is False:
        evidence: list[Mapping[str, Any]] = data.get("evidence") or []
        codes = [str(one.get("code", "")) for one in evidence]
        return f"completed, {_GATES.get(codes[0] if codes else '', 'not approved')}"
    return status


_GATES = {"not_approved": "not approved", "verification_failed": "verification failed"}


def event_of(record: Recorded) -> Event:
    """A client's view of a record of the log, of kinds that this version does not know too."""
    return Event(
        seq=record.seq,
        type=record.type,
        execution_id=record.execution_id,
        time=record.time,
        id=record.id,
        source=record.source,
        data=Data(_plain(record.data)),
    )


def _plain(fact: Any) -> dict[str, Any]:
    if isinstance(fact, Fact):
        return masked(msgspec.to_builtins(fact))
    try:
        found = msgspec.json.decode(fact.payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    return masked(cast("dict[str, Any]", found)) if isinstance(found, dict) else {}


def failure_of(data: dict[str, Any]) -> Failure:
    """The `error` of a failed thing."""
    error: dict[str, Any] = data.get("error") or {}
    return Failure(
        code=str(error.get("code", "failed")),
        message=str(error.get("message", "No reason was given.")),
        where=str(error.get("where", "")),
    )


def status_of(events: Iterable[Event]) -> Status:
    """The status of an execution after `events`: `waiting` while one of its questions is open."""
    status: Status = "pending"
    paused = False
    asked: dict[str, str] = {}
    for event in events:
        if event.type in _ENDED:
            return _ENDED[event.type]
        match event.type:
            case "execution.started":
                status = "running"
            case "execution.paused" | "execution.resumed":
                paused = event.type == "execution.paused"
            case "question.asked":
                asked[event.data["question_id"]] = event.data.get("task_id", "")
            case "question.answered":
                asked.pop(event.data["question_id"], None)
            case _:
                asked = still_asked(asked, event)
    if paused:
        return "paused"
    return "waiting" if asked and status == "running" else status


def still_asked(asked: dict[str, str], event: Event) -> dict[str, str]:
    """Of open questions, each with the task that asked it, those that are still asked after an event."""
    if event.type not in ATTEMPT_ENDS:
        return asked
    return {question: task for question, task in asked.items() if not task or task != event.data.get("task_id")}


_ENDED: dict[str, Status] = {
    "execution.completed": "completed",
    "execution.failed": "failed",
    "execution.cancelled": "cancelled",
    "execution.rejected": "rejected",
}
