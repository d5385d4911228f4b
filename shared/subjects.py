"""Every subject and stream of the platform, spelled once. No other module writes a subject as text."""

from __future__ import annotations

import re

from schemas.base import LONGEST_TOKEN

# -- streams ----------------------------------------------------------------------------------------------------------

STREAM_REQUESTS = "PARALLAX_REQUESTS"
"""Requests and commands, kept for a while after they were taken."""

STREAM_EVENTS = "PARALLAX_EVENTS"
"""The execution event log."""

STREAM_DEAD_LETTERS = "PARALLAX_DEAD_LETTERS"
"""What could not be handled, with the reason, until somebody drops it or has it handled again."""

STREAM_FLEET = "PARALLAX_FLEET"
"""What happens to agents as such."""

STREAM_OUTPUT = "PARALLAX_OUTPUT"
"""Raw output of agents, bounded."""

STREAM_VALUES = "PARALLAX_VALUES"
"""Values that are too large for a message, by their digest, for as long as the log is kept."""

# -- large values -----------------------------------------------------------------------------------------------------

VALUES_ALL = "parallax.values.>"
"""Every chunk of every large value."""


def large_value(digest: str, number: str) -> str:
    """The subject of one chunk of a value, counted from 0; `*` for all of them."""
    return f"parallax.values.{digest}.{number}"


# -- requests and commands --------------------------------------------------------------------------------------------

REQUEST = "parallax.executions.request"
"""Where an execution is asked for: `schemas.commands.ExecutionRequest`."""

COMMAND_VERBS = ("cancel", "pause", "resume", "signal", "answer")
"""What may be asked of an execution that runs."""

REQUESTS_FILTERS = (REQUEST, *(f"parallax.executions.*.{verb}" for verb in COMMAND_VERBS))
"""What the request stream captures."""


def command(execution_id: str, verb: str) -> str:
    """The subject of a command; `*` as the id for a filter."""
    return f"parallax.executions.{execution_id}.{verb}"


def command_parts(subject: str) -> tuple[str, str]:
    """The execution id and the verb of a command's subject."""
    _, _, execution_id, verb = subject.split(".", 3)
    return execution_id, verb


# -- the log ----------------------------------------------------------------------------------------------------------

EVENTS_ALL = "parallax.events.>"
"""Everything that is stored in the log."""

APPEND_ALL = "parallax.append.>"
"""Where writers of the log publish; the server stores under `parallax.events.` and says so there."""

_EVENTS_PREFIX = "parallax.events."


def event(execution_id: str, entity: str, verb: str) -> str:
    """The subject of a stored event, or a filter with `*` in places."""
    return f"parallax.events.{execution_id}.{entity}.{verb}"


def event_of_type(execution_id: str, kind: str) -> str:
    """The subject of a stored event by its dotted type, such as `task.completed`; `*` as the id for a filter."""
    return f"parallax.events.{execution_id}.{kind}"


def append(execution_id: str, kind: str) -> str:
    """The subject that an event of this dotted type is appended on."""
    return f"parallax.append.{execution_id}.{kind}"


def events_of(execution_id: str) -> str:
    """The filter for all events of one execution."""
    return f"parallax.events.{execution_id}.>"


def fence_of(execution_id: str) -> str:
    """The filter that fences everything an engine appends for one execution."""
    return f"parallax.events.{execution_id}.execution.*"


def event_parts(subject: str) -> tuple[str, str]:
    """The execution id and the dotted type of a stored event's subject. Both empty for a foreign subject."""
    if not subject.startswith(_EVENTS_PREFIX):
        return "", ""
    execution_id, _, kind = subject[len(_EVENTS_PREFIX) :].partition(".")
    return execution_id, kind


# -- agents -----------------------------------------------------------------------------------------------------------

AGENT_REGISTER = "parallax.agents.register"
"""Request/reply: `AgentRegistration` → `RegistrationReply`."""

AGENT_DEREGISTER = "parallax.agents.deregister"
"""`Deregistration`, from an agent that leaves in order."""

AGENT_HEARTBEAT = "parallax.agents.heartbeat"
"""`AgentHeartbeat`, from every agent."""


def agent_task(agent_id: str) -> str:
    """Where an agent takes offers: `TaskOffer`. Answers go to the offer's `reply_to`."""
    return f"parallax.agents.{agent_id}.task"


def agent_inbox(agent_id: str, process: str) -> str:
    """Where the process takes offers that has registered an agent's id; others of the same id do not hear them."""
    return f"parallax.agents.{agent_id}.task.{process}"


def agent_control(agent_id: str) -> str:
    """Where an agent is told what is to happen with its tasks: `TaskControl`."""
    return f"parallax.agents.{agent_id}.control"


def agent_output(agent_id: str) -> str:
    """Where an agent's raw output goes: `OutputLine`; `*` as the id for a filter."""
    return f"parallax.agents.{agent_id}.output"


def fleet(agent_id: str, verb: str) -> str:
    """What happened to an agent: `registered`, `deregistered`, `lost`; `*` in places for a filter."""
    return f"parallax.fleet.{agent_id}.{verb}"


FLEET_ALL = "parallax.fleet.>"
"""Everything that happens to agents."""

# -- services among themselves ----------------------------------------------------------------------------------------


def runtime_verify(kind: str) -> str:
    """Where a kind of runtime runs command oracles: `VerifyOffer` → `VerifyReply`."""
    return f"parallax.runtimes.{kind}.verify"


ENGINE_HEARTBEAT = "parallax.engines.heartbeat"
"""`EngineHeartbeat`, from every engine."""


def engine_command(engine_id: str) -> str:
    """Where an engine takes commands for executions that it owns: `ForwardedCommand` → `CommandReply`."""
    return f"parallax.engines.{engine_id}.command"


QUERY_REPLAY = "parallax.queries.replay"
"""`ReplayQuery` → `ReplayReport`, answered by an engine."""

QUERY_EVIDENCE = "parallax.queries.evidence"
"""`EvidenceQuery` → `EvidenceAnswer`, answered by the workspace service: a clean checkout to run checks on."""

QUERY_WORKSPACE = "parallax.queries.workspace"
"""`WorkspaceQuery` → `WorkspaceAnswer`, answered by the workspace service."""


QUERY_PROJECTOR = "parallax.queries.projector"
"""`ProjectorQuery` → `ProjectorAnswer`, answered by the projector that leads."""


def service_ping(name: str) -> str:
    """Where every service answers with its name, pid and state."""
    return f"parallax.services.{name}.ping"


# -- dead letters -----------------------------------------------------------------------------------------------------

DEAD_LETTERS_ALL = "parallax.dead_letters.>"
"""Everything that could not be handled."""

REQUEUED_ALL = "parallax.requeued.>"
"""Dead letters on their way back to the worker that could not handle them."""


def dead_letters(service: str) -> str:
    """Where a service parks what it cannot handle."""
    return f"parallax.dead_letters.{service}"


def requeued(durable: str) -> str:
    """Where a parked message comes back to the worker of that name."""
    return f"parallax.requeued.{durable}"


# -- tokens -----------------------------------------------------------------------------------------------------------

_EXECUTION_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TOKEN = re.compile(rf"[A-Za-z0-9_-]{{1,{LONGEST_TOKEN}}}")


def is_execution_id(text: str) -> bool:
    """Whether a text can be an execution id: one subject token and one path part."""
    return _EXECUTION_ID.fullmatch(text) is not None


def is_token(text: str) -> bool:
    """Whether a text can be one token of a subject."""
    return _TOKEN.fullmatch(text) is not None
