"""Commands: cancel, pause, resume, signal and answer, each carried out by the engine that owns the execution.

A command is a message of the request stream, so it is pulled by any engine and handed on to the owner. The message's
number is the number of the event that it becomes, which makes carrying it out twice the same as once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from compiler.orchestration.questions import ROLE_PREFIX
from schemas.base import MOST_LEVELS, Json, Problem, too_deep
from schemas.commands import Answer, Cancel, CommandReply, Pause, Resume, Signal, option_of
from schemas.engines import ForwardedCommand
from schemas.events import (
    ATTEMPT_ENDS,
    Event,
    ExecutionCancelled,
    ExecutionPaused,
    ExecutionResumed,
    QuestionAnswered,
    QuestionAsked,
    SignalReceived,
)
from schemas.json_text import read_json
from services.pattern_engine.decisions import WITHDRAWN
from services.pattern_engine.run import Run
from shared.bus import Bus, Retry

_BODIES: dict[str, type[Any]] = {
    "cancel": Cancel,
    "pause": Pause,
    "resume": Resume,
    "signal": Signal,
    "answer": Answer,
}

_NOBODY = frozenset({"deadline", WITHDRAWN})
"""Words of the engine for whoever answered; from a client they would be taken for the engine's own."""

MAX_COMMAND_BYTES = 256 * 1024


def rejected(execution_id: str, where: str, what: str, hint: str = "") -> CommandReply:
    """The answer to a command that cannot be carried out."""
    return CommandReply(
        execution_id=execution_id, status="rejected", errors=[Problem(where=where, what=what, hint=hint)]
    )


def body_of(command: ForwardedCommand) -> Any:
    """The typed body of a command. Returns a CommandReply that rejects it when the body is not what it should be."""
    raw = bytes(command.body)
    if len(raw) > MAX_COMMAND_BYTES:
        what = f"The command has {len(raw)} bytes; {MAX_COMMAND_BYTES} is the limit."
        return rejected(command.execution_id, "", what)
    try:
        body = read_json(raw or b"{}", _BODIES[command.verb])
        if too_deep(getattr(body, "data", None)) or too_deep(getattr(body, "value", None)):
            what = f"What {command.verb} brings is nested in more than {MOST_LEVELS} levels."
            return rejected(command.execution_id, "body", what)
        return body
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        hint = {"signal": 'Send {"name": …, "data": …}.', "answer": 'Send {"question_id": …, "value": …}.'}
        what = f"The body of {command.verb} cannot be read: {str(error) or type(error).__name__}."
        return rejected(command.execution_id, "body", what, hint.get(command.verb, 'Send {} or {"reason": …}.'))


async def carry_out(bus: Bus, run: Run, command: ForwardedCommand) -> CommandReply:
    """Carries out one command on a live run that this engine owns.

    Raises StaleFence when it no longer does, and Retry when the run ended before the command came to its turn.
    """
    body = body_of(command)
    if isinstance(body, CommandReply):
        return body
    if isinstance(body, Cancel):
        if await run.commit([ExecutionCancelled(execution_id=run.id, reason=body.reason, by=body.by)]):
            return CommandReply(execution_id=run.id, status="accepted")
        raise Retry(0.05)
    async with run.commanding:
        return await _carry_out(bus, run, command, body)


async def _carry_out(bus: Bus, run: Run, command: ForwardedCommand, body: Any) -> CommandReply:
    done = True
    match body:
        case Pause():
            paused = ExecutionPaused(execution_id=run.id, number=command.number, reason=body.reason, by=body.by)
            if not run.paused and paused.event_id not in run.handled:
                done = await run.pause(paused)
        case Resume():
            resumed = ExecutionResumed(execution_id=run.id, number=command.number, by=body.by)
            if run.paused and resumed.event_id not in run.handled:
                done = await run.resume(resumed)
        case Signal():
            signal = SignalReceived(
                execution_id=run.id, number=command.number, name=body.name, data=body.data, by=body.by
            )
            done = await _once(run, signal)
        case Answer():
            return await _answer(bus, run, body)
        case _:
            return rejected(run.id, "", f"There is no command {command.verb}.")
    if not done:
        raise Retry(0.05)
    return CommandReply(execution_id=run.id, status="accepted")


async def _once(run: Run, event: Event) -> bool:
    if event.event_id in run.handled:
        return True
    if not await run.commit([event]):
        return False
    run.handled.add(event.event_id)
    return True


async def _answer(bus: Bus, run: Run, body: Answer) -> CommandReply:
    found = await _question(bus, run, body.question_id)
    asked, answered = found.asked, found.answered
    if asked is None:
        return rejected(
            run.id,
            "question_id",
            f"The execution asks no question {body.question_id}.",
            "`parallax inbox` lists the open ones.",
        )
    if body.by in _NOBODY or body.by.startswith(ROLE_PREFIX):
        return rejected(run.id, "by", f"{body.by!r} is what the log calls an answer that nobody gave.")
    if asked.who and body.by not in asked.who:
        hint = f"It is for {', '.join(asked.who)} to answer."
        return rejected(run.id, "by", f"{body.by or 'Somebody without a name'} may not answer this question.", hint)
    value = _meant(run.id, asked, body.value)
    if isinstance(value, CommandReply):
        return value
    event = QuestionAnswered(
        execution_id=run.id,
        question_id=asked.question_id,
        value=value,
        by=body.by or "client",
        reason=body.reason,
        effect=asked.effect,
        task_id=asked.task_id,
    )
    if answered is not None and (answered.value, answered.by) == (event.value, event.by):
        return CommandReply(execution_id=run.id, status="accepted")  # the same word, delivered again
    if answered is not None:
        over = "no longer asked" if answered.by == WITHDRAWN else "answered already"
        return rejected(run.id, "question_id", f"The question {body.question_id} is {over}.")
    if found.over:
        what = f"The question {body.question_id} is no longer asked: {found.over}."
        return rejected(run.id, "question_id", what, "`parallax inbox` lists the open ones.")
    if not await _once(run, event):
        raise Retry(0.05)
    return CommandReply(execution_id=run.id, status="accepted")


def _meant(execution_id: str, asked: QuestionAsked, value: Json) -> Json | CommandReply:
    """The answer as the log has it: one word for one answer. A CommandReply where it is no answer to this question."""
    if asked.kind == "approval" and isinstance(value, bool):
        word = "approve" if value else "deny"
        return word if word in asked.options else value
    if asked.kind == "approval" and not asked.options:
        return rejected(execution_id, "value", "An approval is answered with true or false.")
    if not asked.options:
        return value
    option = option_of(value, asked.options)
    if option is None:
        hint = f"Options: {', '.join(asked.options)}{'; or true or false' if asked.kind == 'approval' else ''}."
        said = msgspec.json.encode(value).decode()
        return rejected(execution_id, "value", f"{said} is none of the options.", hint)
    return option


@dataclass(slots=True)
class _Asked:
    """What the log knows of a question. `over`: why the attempt that asked waits for no answer, empty while it does."""

    asked: QuestionAsked | None = None
    answered: QuestionAnswered | None = None
    over: str = ""


async def _question(bus: Bus, run: Run, question_id: str) -> _Asked:
    """A question of the program, or one that an agent asked; and what became of it. The log knows."""
    found = _Asked()
    async for record in bus.read(run.id, types=("question.asked", "question.answered", *ATTEMPT_ENDS)):
        match record.data:
            case QuestionAsked(question_id=known) if known == question_id:
                found.asked = found.asked or record.data
            case QuestionAnswered(question_id=known) if known == question_id:
                found.answered = found.answered or record.data
            case event if record.type in ATTEMPT_ENDS and found.asked is not None and found.asked.task_id:
                if getattr(event, "task_id", "") == found.asked.task_id:
                    found.over = found.over or ATTEMPT_ENDS[record.type]
            case _:
                continue
    return found
