"""What agents say that cannot be taken: where in the message it is wrong, and what is wrong there.

Whatever a stranger sends to the address of a turn belongs to that turn, readable or not. A message that cannot be taken
is the agent's failure and is named with the path of what is wrong, as `$.confidence`: an agent that is offered its turn
again for ever, because its answer is dropped each time, helps nobody.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, cast

import msgspec

from schemas.agents import TaskFault, TaskMessage, TaskOffer, TaskQuestion, TaskResult
from schemas.base import Model
from shared.ids import digest

MAX_QUESTION = 256 * 1024
"""So many characters a question may have, and its options together: somebody is to read them."""

MAX_QUESTIONS = 100
"""So many questions an attempt may ask: each is a fact of the log."""

_AT = re.compile(r"^(?P<what>.*?)\s+- at `(?P<where>[^`]*)`$", re.DOTALL)
_MISSING = re.compile(r"missing required field `(?P<name>[^`]+)`")
_LONGEST = 300


class Malformed(Model, frozen=True, kw_only=True):
    """What is wrong with a message: of which `type` it says that it is, at which path, and what."""

    type: str
    where: str
    what: str

    def sentence(self, agent_id: str) -> str:
        """For people, with what to do."""
        kind = f"a message of type {self.type!r}" if self.type else "a message"
        return (
            f"{agent_id} sent {kind} that cannot be taken: {self.where}: {self.what.rstrip('.')}. "
            f"Correct the agent; docs/reference/bus.md describes every message."
        )


def malformed(payload: bytes, reason: str) -> Malformed:
    """Finds out what is wrong with a message that could not be decoded, for `reason`. Never raises."""
    try:
        value: Any = msgspec.json.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _no_json(payload, reason)
    if not isinstance(value, dict):
        return Malformed(type="", where="$", what=f"expected an object, got {_kind(value)}")
    kind = _type_of(cast("dict[str, Any]", value))
    found = _AT.match(reason)
    what, where = (found["what"], found["where"]) if found else (reason, "$")
    missing = _MISSING.search(what)
    if missing:
        return Malformed(type=kind, where=f"{where}.{missing['name']}", what="the field is required")
    return Malformed(type=kind, where=where, what=what)


def _no_json(payload: bytes, reason: str) -> Malformed:
    """A message that is no JSON, or holds what JSON does not have: NaN, Infinity, 1e400, half a surrogate pair."""
    try:
        value: Any = json.loads(payload)
        found = _unwritable(value, "$")
    except (ValueError, RecursionError):
        return Malformed(type="", where="$", what=f"it is no JSON ({_within(reason)})")
    kind = _type_of(cast("dict[str, Any]", value)) if isinstance(value, dict) else ""
    where, what = found or ("$", _within(reason))
    return Malformed(type=kind, where=where, what=what)


def _within(text: str) -> str:
    """A text as far as somebody reads, and how much more of it there is."""
    left = len(text) - _LONGEST
    return text if left <= 0 else f"{text[:_LONGEST]}… ({left:,} characters more)"


def _unwritable(value: Any, path: str) -> tuple[str, str] | None:
    """The path of the first value that JSON does not have, and which it is."""
    if isinstance(value, float) and not math.isfinite(value):
        return path, f"{value} is no number of JSON, or is out of range"
    if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
        return path, "the text holds half of a surrogate pair"
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value).items()
        inner = ((f"{path}.{name}", item) for name, item in pairs)
    elif isinstance(value, list):
        inner = ((f"{path}[{number}]", item) for number, item in enumerate(cast("list[Any]", value)))
    else:
        return None
    return next((found for where, item in inner if (found := _unwritable(item, where))), None)


def _type_of(value: dict[str, Any]) -> str:
    kind = value.get("type")
    return kind[:40] if isinstance(kind, str) else ""


def _kind(value: Any) -> str:
    match value:
        case list():
            return "an array"
        case str():
            return "a text"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case _:
            return "null"


def misplaced(message: TaskMessage, offer: TaskOffer) -> Malformed | None:
    """What of a message that can be read contradicts the turn at whose address it came in; None when nothing does."""
    kind = str(message.__struct_config__.tag)
    for name, said, meant in (
        ("task_id", message.task_id, offer.task_id),
        ("attempt", message.attempt, offer.attempt),
        ("agent_id", message.agent_id or offer.agent_id, offer.agent_id),
    ):
        if said != meant:
            return Malformed(type=kind, where=f"$.{name}", what=f"it is {said!r}, but the offer's is {meant!r}")
    usage = message.usage if isinstance(message, TaskResult | TaskFault) else None
    if usage is not None:
        for name in usage.__struct_fields__:
            if getattr(usage, name) < 0:
                return Malformed(type=kind, where=f"$.usage.{name}", what="it is less than 0")
    return None


def question_id(offer: TaskOffer, asked: TaskQuestion) -> str:
    """The id of an agent's question in the log. It is unique by construction, whatever the agent calls the question.

    Agents name their questions as they like, and all of them `q1`. What the platform's own agents say, which is
    built of the task, the attempt and a number, stays as it is.
    """
    prefix = f"{offer.task_id}-{offer.attempt}-"
    number = asked.question_id.removeprefix(prefix)
    if number != asked.question_id and number.isascii() and number.isdigit():
        return asked.question_id
    return f"{prefix}{digest([asked.question_id, asked.question, asked.options])[:12]}"


def too_long(asked: TaskQuestion) -> str:
    """Why a question is too long to be asked, as a sentence; empty when it is not."""
    for name, size in (("question has", len(asked.question)), ("options have", sum(map(len, asked.options)))):
        if size > MAX_QUESTION:
            return f"The {name} {size} characters; {MAX_QUESTION} is the limit."
    return ""


def reply_subject(inbox: str, task_id: str, attempt: int, agent_id: str) -> str:
    """Where an agent says what it has to say about one turn: what comes in there is about that turn."""
    return f"{inbox}.{task_id}.{attempt}.{agent_id}"


def turn_of(subject: str) -> tuple[str, int, str]:
    """The task, the attempt and the agent of a `reply_subject`."""
    task_id, attempt, agent_id = subject.rsplit(".", 3)[1:]
    return task_id, int(attempt), agent_id
