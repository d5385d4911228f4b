"""Requests: from a message of the request stream to an open execution, a rejection, or the word that it is known."""

from __future__ import annotations

import re
from typing import Protocol

import structlog

from schemas.base import Problem
from schemas.commands import CommandReply
from schemas.events import ExecutionAccepted, ExecutionRejected
from services.pattern_engine.admission import Admitted, Lookup, Reader, Refused, admit, fresh_id, given_up, opening
from services.pattern_engine.conductor import Conductor, Sources
from services.pattern_engine.run import Home, Run
from shared.bus import Bus, Delivery, EventTooLarge, Fence, Retry, StaleFence

_log = structlog.get_logger(__name__)

_REPLY_SUBJECT = re.compile(r"^(?!\$|parallax\.)[A-Za-z0-9_\-]+(\.[A-Za-z0-9_\-]+)*$", re.ASCII)
"""Where answers may go: one plain subject that is neither the server's nor ours."""


class Desk(Home, Protocol):
    """What admitting a request needs of the engine."""

    engine_id: str
    sources: Sources
    runs: dict[str, Run]
    lookup: Lookup
    compile: Reader


async def reply(bus: Bus, delivery: Delivery, answer: CommandReply) -> None:
    """Answers a client that named an inbox it may be answered at."""
    if delivery.reply_to and _REPLY_SUBJECT.match(delivery.reply_to):
        await bus.publish(delivery.reply_to, answer)


async def take_request(desk: Desk, delivery: Delivery) -> None:
    """Handles one message of `parallax.executions.request` to its end. Safe to repeat."""
    verdict = admit(delivery.payload, delivery.number, desk.lookup, desk.compile)
    answer = await (
        _open(desk, verdict, delivery) if isinstance(verdict, Admitted) else _refuse(desk, verdict, delivery)
    )
    await reply(desk.bus, delivery, answer)


async def give_up_request(desk: Desk, delivery: Delivery, reason: str) -> None:
    """Rejects a request that could not be handled again and again: nobody is to wait for it for ever."""
    refused = given_up(delivery.payload, delivery.number, reason)
    await reply(desk.bus, delivery, await _refuse(desk, refused, delivery))


async def _open(desk: Desk, admitted: Admitted, delivery: Delivery) -> CommandReply:
    execution_id = admitted.execution_id
    if execution_id in desk.runs:
        return await _known(desk, admitted, delivery)
    run = Run(desk, execution_id)
    desk.runs[execution_id] = run
    try:
        accepted, started = opening(admitted, desk.engine_id)
        conductor = Conductor(accepted, started, desk.sources)
        decisions = conductor.begin()
        run.open(conductor, None, 0)
        await run.commit([accepted, started, *decisions], delivery)
    except StaleFence:
        _drop(desk, run)
        return await _known(desk, admitted, delivery)
    except EventTooLarge as error:
        _drop(desk, run)
        problem = Problem(
            where=error.where, what=str(error), hint="Make the input smaller; put large data into the repository."
        )
        return await _refuse(desk, _refused(admitted, [problem]), delivery)
    except BaseException:
        _drop(desk, run)
        raise
    if not run.closed:
        run.go()
    return CommandReply(execution_id=execution_id, status="accepted")


def _drop(desk: Desk, run: Run) -> None:
    run.close()
    if desk.runs.get(run.id) is run:
        del desk.runs[run.id]


def _refused(admitted: Admitted, errors: list[Problem]) -> Refused:
    return Refused(
        execution_id=admitted.execution_id,
        errors=errors,
        request_digest=admitted.request_digest,
        pattern=admitted.request.pattern,
    )


async def _refuse(desk: Desk, refused: Refused, delivery: Delivery) -> CommandReply:
    event = refused.event()
    try:
        await desk.bus.append_all([event], fence=Fence(refused.execution_id, 0), cause=delivery)
    except StaleFence:
        return await _known(desk, refused, delivery)
    _log.info("request_rejected", execution_id=refused.execution_id, errors=[error.what for error in refused.errors])
    return CommandReply(execution_id=refused.execution_id, status="rejected", errors=refused.errors)


async def _known(desk: Desk, verdict: Admitted | Refused, delivery: Delivery) -> CommandReply:
    """The id is taken: by the same request, which is then answered as it was, or by another one."""
    execution_id = verdict.execution_id
    async for record in desk.bus.read(execution_id, types=("execution.accepted", "execution.rejected")):
        match record.data:
            case ExecutionAccepted(request_digest=known) if known == verdict.request_digest:
                return CommandReply(execution_id=execution_id, status="accepted")
            case ExecutionRejected(request_digest=known, errors=errors) if known == verdict.request_digest:
                return CommandReply(execution_id=execution_id, status="rejected", errors=errors)
            case ExecutionAccepted() | ExecutionRejected():
                break
            case _:
                continue
    else:
        raise Retry(0.1)
    problem = Problem(
        where="execution_id",
        what=f"The execution id {execution_id} belongs to another request.",
        hint="Repeat a request word for word, or give a new one an id of its own.",
    )
    other = Refused(
        execution_id=fresh_id(delivery.payload, delivery.number), errors=[problem], requested_id=execution_id
    )
    try:
        await desk.bus.append_all([other.event()], fence=Fence(other.execution_id, 0), cause=delivery)
    except StaleFence:
        _log.info("request_rejected_before", execution_id=other.execution_id)
    return CommandReply(execution_id=other.execution_id, status="rejected", errors=[problem])
