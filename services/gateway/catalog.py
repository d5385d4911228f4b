"""Agents, workspaces and questions over HTTP."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Annotated, Any

import msgspec
from litestar import Request, get, post
from litestar.datastructures import State
from litestar.params import QueryParameter

from schemas.agents import AgentRegistration
from schemas.base import Problem
from schemas.commands import Answer
from schemas.events import QuestionAsked
from schemas.gateway import AnswerBody, CommandTaken
from schemas.workspaces import WorkspaceAnswer, WorkspaceQuery
from services.gateway.bodies import QUESTION_STATUSES, AgentId, Name, QuestionId, json_body, page_of, takes
from services.gateway.context import Context, context_of, execution_id
from services.gateway.executions import taken
from services.gateway.problems import Trouble, not_found
from services.gateway.reads import rows
from shared import subjects
from shared.agent_keys import AGENTS
from shared.bus.reader import last_message
from shared.etcd import EtcdRefused, EtcdUnavailable
from shared.postgres import REFUSED, DatabaseAway

Row = dict[str, Any]
_REGISTRY_S = 2.0

# -- agents ---------------------------------------------------------------------------------------------------------


async def _registered(context: Context) -> dict[str, AgentRegistration] | None:
    """The agents whose lease lives, by id. None: the registry's etcd does not answer."""
    try:
        async with asyncio.timeout(_REGISTRY_S):
            items = (await context.etcd.range(AGENTS)).items
    except (EtcdUnavailable, EtcdRefused, TimeoutError):
        return None
    found: dict[str, AgentRegistration] = {}
    for item in items:
        try:
            agent = msgspec.json.decode(item.value, type=AgentRegistration)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
        found[agent.agent_id] = agent
    return found


def _joined(row: Row | None, agent: AgentRegistration | None, known: bool) -> Row:
    """An agent as the log and the registry know it. `registered` null: the registry could not be asked."""
    out: Row = dict(row or {})
    if agent is not None:
        out |= {
            "id": agent.agent_id,
            "name": agent.name or agent.agent_id,
            "type": agent.kind,
            "capabilities": agent.capabilities,
            "endpoint": agent.inbox,
            "execution_id": agent.execution_id or out.get("execution_id"),
            "role": agent.role or out.get("role"),
            "session": agent.session or out.get("session"),
            "status": out.get("status") or "ready",
            "max_concurrency": agent.max_concurrency,
            "host": agent.host,
            "pid": agent.pid,
        }
    out["registered"] = agent is not None if known else None
    return out


@get("/agents", summary="List agents")
async def agents(
    state: State,
    status: Annotated[str | None, QueryParameter(description="Only those of this status.")] = None,
    registered: Annotated[bool | None, QueryParameter(description="Only those (not) registered now.")] = None,
    limit: Annotated[int, page_of(1000)] = 200,
) -> list[Row]:
    """Agents that are registered now, then those that worked on executions, the newest first."""
    context = context_of(state)
    living = await _registered(context)
    query = "SELECT * FROM agents ORDER BY updated_at DESC, id LIMIT $1"
    try:
        recorded = {row["id"]: row for row in await rows(context.database, query, limit + len(living or {}))}
    except (DatabaseAway, REFUSED):
        if living is None:
            raise
        recorded = {}
    found = [_joined(recorded.pop(name, None), agent, True) for name, agent in sorted((living or {}).items())]
    found += [_joined(row, None, living is not None) for row in recorded.values()]
    fitting = [
        one
        for one in found
        if (status is None or one.get("status") == status) and (registered is None or one["registered"] is registered)
    ]
    return fitting[:limit]


@get("/agents/{agent_id:str}", summary="One agent")
async def agent(state: State, agent_id: AgentId) -> Row:
    """An agent and what it took part in."""
    context = context_of(state)
    if not subjects.is_token(agent_id):
        raise not_found("agent", agent_id)
    living = await _registered(context)
    found = await rows(context.database, "SELECT * FROM agents WHERE id = $1", agent_id)
    query = "SELECT * FROM agent_participations WHERE agent_id = $1 ORDER BY first_at, id"
    parts = await rows(context.database, query, agent_id)
    registration = (living or {}).get(agent_id)
    if not found and not parts and registration is None:
        raise not_found("agent", agent_id)
    row = found[0] if found else {"id": agent_id}
    return {**_joined(row, registration, living is not None), "participations": parts}


async def is_known(context: Context, agent_id: str) -> bool:
    """Whether there is or was an agent of this id; also true while nobody can say."""
    living = await _registered(context)
    if living is None or agent_id in living:
        return True
    try:
        return bool(await rows(context.database, "SELECT id FROM agents WHERE id = $1", agent_id))
    except (DatabaseAway, REFUSED):
        return True


async def has_printed(context: Context, agent_id: str) -> bool:
    """Whether output of an agent is kept."""
    async with asyncio.timeout(_REGISTRY_S):
        subject = subjects.agent_output(agent_id)
        return await last_message(context.bus.connection, subjects.STREAM_OUTPUT, subject) is not None


# -- workspaces -----------------------------------------------------------------------------------------------------


@get("/workspaces", summary="List workspaces")
async def workspaces(state: State, limit: Annotated[int, page_of(1000)] = 200) -> list[Row]:
    """Workspaces, the ones that changed last first."""
    query = "SELECT * FROM workspaces ORDER BY updated_at DESC, id LIMIT $1"
    return await rows(context_of(state).database, query, limit)


async def _ask_workspace(context: Context, query: WorkspaceQuery) -> WorkspaceAnswer:
    answer = await context.ask(subjects.QUERY_WORKSPACE, query, WorkspaceAnswer, timeout_s=20.0)
    if answer.errors:
        raise Trouble(404, answer.errors[0].what, answer.errors)
    return answer


@get("/workspaces/{name:str}", summary="One workspace")
async def workspace(state: State, name: Name) -> Any:
    """A workspace with its sessions and branches."""
    answer = await _ask_workspace(context_of(state), WorkspaceQuery(query="show", execution_id=execution_id(name)))
    return msgspec.to_builtins(answer.workspace)


@get("/workspaces/{name:str}/diff", summary="What an execution changed")
async def diff(
    state: State,
    name: Name,
    session: Annotated[str, QueryParameter(description="One session's branch; empty for the result.")] = "",
    offset: Annotated[int, QueryParameter(ge=0, le=2**53, description="Where the page begins.")] = 0,
) -> Any:
    """A unified diff from the base to the result, or to one session's branch, in pages."""
    if session and not subjects.is_token(session):
        problem = Problem(where="session", what=f"{session[:100]!r} cannot be a session.", hint="Such as developer-1.")
        raise Trouble(422, problem.what, [problem])
    query = WorkspaceQuery(query="diff", execution_id=execution_id(name), session=session, offset=offset)
    answer = await _ask_workspace(context_of(state), query)
    return msgspec.to_builtins(answer.diff)


# -- questions ------------------------------------------------------------------------------------------------------


_QUESTIONS = """
SELECT q.id, q.execution_id, q.task_id, q.kind, q.question, q.options, q.who, $1::text AS status, q.value,
  q.answered_by, q.reason, q.deadline_at, q.asked_at, q.answered_at
FROM questions q LEFT JOIN executions e ON e.id = q.execution_id LEFT JOIN tasks t ON t.id = q.task_id
WHERE q.status IN ('open', $1)
  AND CASE WHEN q.status = 'open' AND (e.ended_at IS NOT NULL OR t.ended_at IS NOT NULL) THEN 'withdrawn'
      ELSE q.status END = $1
ORDER BY asked_at, q.id LIMIT $2
"""
"""Nobody waits for what was asked by an execution that has ended since, or in a task that is over."""


@get("/questions", summary="List questions")
async def questions(
    state: State,
    status: Annotated[str, QueryParameter(description="open, answered or withdrawn.")] = "open",
    limit: Annotated[int, page_of(1000)] = 200,
) -> list[Row]:
    """Questions that wait for somebody, the oldest first; `?status=answered` lists the others."""
    if status not in QUESTION_STATUSES:
        problem = Problem(where="status", what=f"{status[:40]!r} is no status.", hint="open, answered or withdrawn")
        raise Trouble(422, problem.what, [problem])
    return await rows(context_of(state).database, _QUESTIONS, status, limit)


async def _asked_by(context: Context, question_id: str) -> str:
    """The execution that asks a question: from the tables, or from the log where they are behind or away."""
    if "\x00" in question_id:
        raise not_found("question", question_id)
    try:
        found = await rows(context.database, "SELECT execution_id FROM questions WHERE id = $1", question_id)
        if found:
            return found[0]["execution_id"]
    except (DatabaseAway, REFUSED):
        pass
    async with aclosing(context.bus.stored([subjects.event_of_type("*", QuestionAsked.TYPE)])) as asked:
        async for record in asked:
            if isinstance(record.data, QuestionAsked) and record.data.question_id == question_id:
                return record.execution_id
    raise not_found("question", question_id)


@post(
    "/questions/{question_id:str}/answer",
    status_code=202,
    summary="Answer a question",
    operation_class=takes(AnswerBody),
)
async def answer_question(request: Request[Any, Any, Any], state: State, question_id: QuestionId) -> CommandTaken:
    """Answers with `{value, by?, reason?}`. The first answer counts."""
    context = context_of(state)
    body = await json_body(request, AnswerBody)
    asked_by = await _asked_by(context, question_id)
    command = Answer(question_id=question_id, value=body.value, by=body.by, reason=body.reason)
    return taken(question_id, await context.submit(subjects.command(asked_by, "answer"), command))
