"""Every subject with what travels on it: who says it, what answers it, and which stream keeps it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from schemas import agents, commands, engines, projections, workspaces
from shared import subjects
from shared.bus import dead_letters
from shared.bus import headers as hdr
from shared.service import Pong

Struct = type[msgspec.Struct]


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One subject. `action` is as the platform sees it: it receives what clients and agents say, and sends the rest.

    `messages` empty: any bytes. `type` is set for events of the log. `reply_by` says where an answer goes.
    """

    name: str
    address: str
    action: Literal["send", "receive"]
    summary: str
    messages: tuple[Struct, ...] = ()
    type: str = ""
    stream: str = ""
    replies: tuple[Struct, ...] = ()
    reply_by: str = ""
    internal: bool = False
    headers: tuple[str, ...] = ()


PARAMETERS = {
    "execution_id": "The id of an execution, which is also the idempotency key of its request.",
    "entity": "What an event is about, such as `task`.",
    "digest": "The SHA-256 of a value's JSON, in hexadecimal.",
    "number": "The number of a chunk, from 0; all but the last have 524,288 bytes.",
    "verb": "What happened, in the past tense, such as `completed`.",
    "process": "One process of the id, as its registration has it.",
    "agent_id": "The id of an agent.",
    "engine_id": "The id of a pattern engine.",
    "kind": "A kind of runtime, such as `local`.",
    "service": "The name of a service, such as `executor`.",
    "worker": "The name of a durable consumer.",
}
"""What stands for a token in an address."""

_NATS_REPLY = "the reply subject of the request"
_HEADER_REPLY = "the subject that the header `Parallax-Reply-To` names; without it nobody is answered"

_COMMANDS: dict[str, Struct] = {
    "cancel": commands.Cancel,
    "pause": commands.Pause,
    "resume": commands.Resume,
    "signal": commands.Signal,
    "answer": commands.Answer,
}


def _from_clients() -> Iterator[Channel]:
    yield Channel(
        name="executions.request",
        address=subjects.REQUEST,
        action="receive",
        summary="Asks for an execution. The publish acknowledgement means that the request is durable.",
        messages=(commands.ExecutionRequest,),
        stream=subjects.STREAM_REQUESTS,
        replies=(commands.CommandReply,),
        reply_by=_HEADER_REPLY,
    )
    for verb in subjects.COMMAND_VERBS:
        yield Channel(
            name=f"executions.{verb}",
            address=subjects.command("{execution_id}", verb),
            action="receive",
            summary=f"Asks to {verb} an execution." if verb not in {"signal", "answer"} else f"Sends {_an(verb)}.",
            messages=(_COMMANDS[verb],),
            stream=subjects.STREAM_REQUESTS,
            replies=(commands.CommandReply,),
            reply_by=_HEADER_REPLY,
        )


def _an(verb: str) -> str:
    return {"signal": "a signal that a program waits for", "answer": "the answer to a question"}[verb]


def _log(kinds: dict[str, Struct]) -> Iterator[Channel]:
    for kind, struct in kinds.items():
        yield Channel(
            name=f"events.{kind}",
            address=subjects.event_of_type("{execution_id}", kind),
            action="send",
            summary=(struct.__doc__ or "").strip().partition("\n")[0],
            messages=(struct,),
            type=kind,
            stream=subjects.STREAM_EVENTS,
        )
    yield Channel(
        name="values",
        address=subjects.large_value("{digest}", "{number}"),
        action="send",
        summary=(
            "A chunk of a value that is too large for a message, by the SHA-256 of its JSON. Where the header "
            f"`{hdr.LARGE}` names a field of a message, that field is a reference to it."
        ),
        stream=subjects.STREAM_VALUES,
    )
    yield Channel(
        name="append",
        address=subjects.append("{execution_id}", "{entity}.{verb}"),
        action="receive",
        summary="Where services append to the log. The server stores it, and says it, as `parallax.events.…`.",
        messages=tuple(kinds.values()),
        stream=subjects.STREAM_EVENTS,
        internal=True,
    )


def _agents() -> Iterator[Channel]:
    for name, address, struct, summary in (
        ("register", subjects.AGENT_REGISTER, agents.AgentRegistration, "An agent is ready for work."),
        ("deregister", subjects.AGENT_DEREGISTER, agents.Deregistration, "An agent leaves in order."),
        ("heartbeat", subjects.AGENT_HEARTBEAT, agents.AgentHeartbeat, "An agent is alive; its lease is renewed."),
    ):
        yield Channel(
            name=f"agents.{name}",
            address=address,
            action="receive",
            summary=summary,
            messages=(struct,),
            replies=(agents.RegistrationReply,),
            reply_by=_NATS_REPLY,
        )
    yield Channel(
        name="agents.task",
        address=subjects.agent_task("{agent_id}"),
        action="send",
        summary="A turn is offered to an agent, which answers with one message or many.",
        messages=(agents.TaskOffer,),
        replies=(
            agents.TaskAccepted,
            agents.TaskRefused,
            agents.TaskProgress,
            agents.TaskQuestion,
            agents.TaskResult,
            agents.TaskFault,
        ),
        reply_by="the subject that the offer's `reply_to` names",
    )
    yield Channel(
        name="agents.task.process",
        address=subjects.agent_inbox("{agent_id}", "{process}"),
        action="send",
        summary="The same, for one process of the agent's id: where its registration names this subject as its inbox.",
        messages=(agents.TaskOffer,),
        replies=(
            agents.TaskAccepted,
            agents.TaskRefused,
            agents.TaskProgress,
            agents.TaskQuestion,
            agents.TaskResult,
            agents.TaskFault,
        ),
        reply_by="the subject that the offer's `reply_to` names",
    )
    yield Channel(
        name="agents.control",
        address=subjects.agent_control("{agent_id}"),
        action="send",
        summary="What is to happen with a running task, or with the agent.",
        messages=(agents.TaskControl,),
    )
    yield Channel(
        name="agents.output",
        address=subjects.agent_output("{agent_id}"),
        action="receive",
        summary="Raw output of an agent, bounded.",
        messages=(agents.OutputLine,),
        stream=subjects.STREAM_OUTPUT,
    )
    fleet = {"registered": agents.AgentRegistered, "deregistered": agents.AgentDeregistered, "lost": agents.AgentGone}
    for verb, struct in fleet.items():
        yield Channel(
            name=f"fleet.{verb}",
            address=subjects.fleet("{agent_id}", verb),
            action="send",
            summary=(struct.__doc__ or "").strip().partition(": ")[2].capitalize(),
            messages=(struct,),
            stream=subjects.STREAM_FLEET,
        )


@dataclass(frozen=True)
class _Query:
    name: str
    address: str
    summary: str
    asked: Struct | None
    answered: Struct | None = None
    internal: bool = field(default=True)


_QUERIES = (
    _Query("queries.replay", subjects.QUERY_REPLAY, "Runs an execution again against its log.",
           commands.ReplayQuery, commands.ReplayReport, internal=False),
    _Query("queries.workspace", subjects.QUERY_WORKSPACE, "Asks about workspaces, or cleans one up.",
           workspaces.WorkspaceQuery, workspaces.WorkspaceAnswer, internal=False),
    _Query("queries.evidence", subjects.QUERY_EVIDENCE, "Prepares the clean checkout on which checks are run.",
           workspaces.EvidenceQuery, workspaces.EvidenceAnswer),
    _Query("queries.projector", subjects.QUERY_PROJECTOR, "Asks where the projections stand, or rebuilds them.",
           projections.ProjectorQuery, projections.ProjectorAnswer, internal=False),
    _Query("services.ping", subjects.service_ping("{service}"), "Asks a service how it is.",
           None, Pong, internal=False),
    _Query("runtimes.verify", subjects.runtime_verify("{kind}"), "Has a runtime run command oracles.",
           agents.VerifyOffer, agents.VerifyReply),
    _Query("engines.command", subjects.engine_command("{engine_id}"), "Hands a command to the owner of an execution.",
           engines.ForwardedCommand, commands.CommandReply),
    _Query("engines.heartbeat", subjects.ENGINE_HEARTBEAT, "An engine is alive.", engines.EngineHeartbeat),
)  # fmt: skip


def _questions() -> Iterator[Channel]:
    for query in _QUERIES:
        yield Channel(
            name=query.name,
            address=query.address,
            action="receive",
            summary=query.summary,
            messages=(query.asked,) if query.asked else (),
            replies=(query.answered,) if query.answered else (),
            reply_by=_NATS_REPLY if query.answered else "",
            internal=query.internal,
        )


def _letters() -> Iterator[Channel]:
    about = (
        dead_letters.REASON,
        dead_letters.STREAM,
        dead_letters.SUBJECT,
        dead_letters.SEQUENCE,
        dead_letters.DURABLE,
        dead_letters.SERVICE,
        dead_letters.ATTEMPTS,
    )
    yield Channel(
        name="dead_letters",
        address=subjects.dead_letters("{service}"),
        action="send",
        summary="What a service could not handle: the body as it came, and in the headers why and from where.",
        stream=subjects.STREAM_DEAD_LETTERS,
        headers=about,
    )
    yield Channel(
        name="requeued",
        address=subjects.requeued("{worker}"),
        action="send",
        summary="A dead letter on its way back to the worker that could not handle it.",
        stream=subjects.STREAM_DEAD_LETTERS,
        headers=about,
        internal=True,
    )


def channels(kinds: dict[str, Struct]) -> list[Channel]:
    """Every channel, given the events by their types."""
    return [*_from_clients(), *_log(kinds), *_agents(), *_questions(), *_letters()]
