"""The local runtime.

Hears: `agent.spawn_requested` (work, from the log); the endings, pauses and resumptions of executions (following, from
the log); `parallax.agents.<id>.task` and `.control` of its sessions; `parallax.runtimes.local.verify`.

Says: `agent.spawned`, `agent.spawn_failed`, `agent.stopped`, `task.finished`; `parallax.queries.evidence`, to the
workspace service; answers to offers, to the inbox that an offer names; `parallax.agents.<id>.output`;
`parallax.agents.register|deregister|heartbeat` for its `command` sessions.

Owns: the processes of its agents, and a directory that says which they are, so that the next runtime can end what a
killed one left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import OrderedDict
from functools import partial
from pathlib import Path
from weakref import WeakValueDictionary

import structlog

from schemas.agents import Deregistration, RegistrationReply, TaskControl, TaskOffer, VerifyOffer, VerifyReply
from schemas.base import Failure
from schemas.events import ENDINGS, AgentSpawned, AgentSpawnFailed, AgentSpawnRequested, AgentStopped
from schemas.workspaces import EvidenceAnswer, EvidenceQuery
from services.runtime_local.environment import NotFound, environment
from services.runtime_local.evidence import WorkspaceAway
from services.runtime_local.places import Places, candidates
from services.runtime_local.program import end_recorded
from services.runtime_local.records import NotWrittenError, Records, SessionRecord
from services.runtime_local.secrets import SecretMissing, Secrets
from services.runtime_local.sessions import Host, Session, fault, finished
from services.runtime_local.verifying import Verifications
from shared import subjects
from shared.bus import Bus, BusError, Delivery, NoResponder, Recorded, Reject, RequestFailed, Retry, Served
from shared.config import Settings
from shared.enrolment import Enrolment
from shared.service import Service

_log = structlog.get_logger(__name__)

KIND = "local"
RESTARTED = "the runtime was restarted"
_ALIVE_EVERY_S = 2.0
_EVIDENCE_STEP_S = 60.0
"""A step at the place of evidence that takes longer is asked for again, and joined."""

_WORKSPACE_AWAY_S = 300.0
_REMEMBERED = 10_000
_SPAWN_ATTEMPTS = 5
_STATES = ("execution.paused", "execution.resumed", *sorted(ENDINGS - {"execution.rejected"}))


class LocalRuntime(Service):
    """Hosts agents as processes of this machine."""

    name = "runtime_local"

    def __init__(self, settings: Settings, bus: Bus) -> None:
        super().__init__(settings, bus)
        root = Path(settings.data or settings.workspaces_dir).expanduser().absolute() / "agents"
        self.sessions: dict[str, Session] = {}
        self._frozen: set[str] = set()
        self._records = Records(root / "records")
        environ = dict(os.environ)  # noqa: TID251 - an allow-listed part of it is handed on to programs
        self._places = Places(environ, root / "homes")
        self._host = Host(
            bus=bus,
            records=self._records,
            root=root,
            places=self._places,
            secrets=Secrets(environ, settings.secrets_file),
            environ=environ,
            nats_url=settings.nats_url,
            silence_s=settings.agent_timeout_ms / 1000,
            frozen=self._frozen.__contains__,
            leaving=lambda: self.state == "stopping",
        )
        self._enrolments: dict[Session, Enrolment] = {}
        self._subscriptions: dict[Session, list[Served]] = {}
        self._opening: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._verifications = Verifications(
            self._frozen.__contains__,
            self._verification_environment,
            self._at_the_evidence,
            root / "evidence",
            next(iter(candidates(environ)), None),
        )
        self._following = False
        self._over: OrderedDict[str, None] = OrderedDict()

    # -- life -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Ends what a former runtime left behind, says so, and takes work."""
        self._records.prepare()
        await self._clean_up()
        await asyncio.to_thread(self._places.prepare)
        await self.bus.serve(subjects.runtime_verify(KIND), VerifyOffer, self._verify, queue="runtime-local")
        self.spawn(self._stay_alive(), name="signs of life")
        self._work = await self.bus.work(
            durable="runtime-local-spawns",
            stream="events",
            filters=[subjects.event("*", "agent", "spawn_requested")],
            handler=self._spawn_requested,
            concurrency=32,
        )

    async def stop(self) -> None:
        """Ends every program. Their turns are begun again by another runtime, or by the next one."""
        await self._work.stop()
        await self._verifications.stop("the runtime is stopping")
        async with asyncio.TaskGroup() as group:
            for session in list(self.sessions.values()):
                group.create_task(self._let_go(session, "the runtime was stopped", interrupted=True))
        if self._short:  # sessions whose executions ended just now
            await asyncio.wait(set(self._short))
        await asyncio.to_thread(self._places.close)

    async def _clean_up(self) -> None:
        for program in list(self._records.programs()):
            ended = await asyncio.to_thread(end_recorded, program.pid, program.identity, program.mark)
            _log.info("orphan_ended", mark=program.mark, processes=ended)
            if program.offer is not None:
                await self._interrupted(program.offer, RESTARTED)
            self._records.drop_program(program.mark)
        for session in list(self._records.sessions()):
            await self._stopped(session.agent_id, session.execution_id, session.life, RESTARTED)
            self._records.drop_session(session.agent_id)

    async def _interrupted(self, offer: TaskOffer, reason: str) -> None:
        error = Failure(code="interrupted", message=f"The turn was interrupted: {reason}.", where=offer.role)
        ended = fault(offer, error, "runtime_lost")
        if offer.workspace:
            await self.bus.append(finished(offer, ended))
        if offer.reply_to:
            await self.bus.publish(offer.reply_to, ended)

    async def _stopped(
        self, agent_id: str, execution_id: str, life: int, reason: str, exit_code: int | None = None
    ) -> None:
        await self.bus.append(
            AgentStopped(execution_id=execution_id, agent_id=agent_id, reason=reason, life=life, exit_code=exit_code)
        )
        word = Deregistration(agent_id=agent_id, reason=reason)
        with contextlib.suppress(BusError, TimeoutError):
            await self.bus.request(subjects.AGENT_DEREGISTER, word, RegistrationReply, timeout_s=0.5)

    # -- sessions ---------------------------------------------------------------------------------------------------

    async def _spawn_requested(self, delivery: Delivery) -> None:
        request = delivery.data
        if not isinstance(request, AgentSpawnRequested) or request.runtime != KIND:
            return
        if not all(map(subjects.is_token, (request.agent_id, request.role, request.session))):
            raise Reject(f"{request.agent_id!r} cannot be an agent's id: it would name files and subjects.")
        lock = self._opening.setdefault(request.agent_id, asyncio.Lock())
        async with lock:
            await self._open(request, last=delivery.attempt >= _SPAWN_ATTEMPTS)

    async def _open(self, request: AgentSpawnRequested, *, last: bool) -> None:
        """Opens a session, unless its execution is over, it has been stopped since, or it is there already."""
        await self._follow_executions()
        ended, paused, stopped = await self._standing(request)
        if ended or stopped >= request.life:
            return
        if paused:
            self._frozen.add(request.execution_id)
        session = await self._session_for(request, last=last)
        if session is None:
            return
        if session.program is not None and paused:
            session.freeze()
        await self.bus.append(
            AgentSpawned(
                execution_id=request.execution_id,
                agent_id=request.agent_id,
                role=request.role,
                session=request.session,
                kind=request.kind,
                runtime=KIND,
                pid=session.program.pid if session.program else 0,
                life=request.life,
            )
        )
        if request.execution_id in self._over:
            await self._end(session, "the execution is over")

    async def _session_for(self, request: AgentSpawnRequested, *, last: bool) -> Session | None:
        """The session that is asked for, opened if it is not there. None: it cannot be opened, which has been said."""
        session = self.sessions.get(request.agent_id)
        there = session is not None and not session.closed and not session.replaced
        if session is None or not there:
            session = Session(self._host, request)
            session.left, session.given_up = self._left, self._given_up
        try:
            # also of a session that is there: what the next runtime says of it must be of its last life
            self._records.keep_session(
                SessionRecord(agent_id=request.agent_id, execution_id=request.execution_id, life=request.life)
            )
            if there:
                if request.life > session.request.life:
                    await session.abandon("another life of its agent was asked for")
                session.request = request
                return session
            await session.open()
        except (NotFound, SecretMissing) as error:
            code = "secret_missing" if isinstance(error, SecretMissing) else "program_not_found"
            await self._not_opened(session, Failure(code=code, message=str(error)))
            return None
        except OSError as error:
            _log.warning("spawn_failed", agent_id=request.agent_id, error=str(error))
            if there or not last:
                if not there:
                    await session.close(str(error))
                raise Retry(1.0) from error
            said = str(error) if isinstance(error, NotWrittenError) else f"It cannot be started: {error}."
            await self._not_opened(session, Failure(code="spawn_failed", message=said))
            return None
        self.sessions[request.agent_id] = session
        await self._listen(session)
        return session

    async def _not_opened(self, session: Session, error: Failure) -> None:
        request = session.request
        await session.close(error.message)
        self._records.drop_session(request.agent_id)
        await self.bus.append(
            AgentSpawnFailed(
                execution_id=request.execution_id,
                agent_id=request.agent_id,
                role=request.role,
                session=request.session,
                error=error,
                life=request.life,
            )
        )

    async def _standing(self, request: AgentSpawnRequested) -> tuple[bool, bool, int]:
        """What the log says: whether the execution is over, whether it is paused, and the last life that was ended."""
        paused, stopped = False, 0
        async for record in self.bus.read(request.execution_id, types=(*_STATES, AgentStopped.TYPE)):
            if record.type in ENDINGS:
                return True, False, stopped
            if isinstance(record.data, AgentStopped):
                if record.data.agent_id == request.agent_id:
                    stopped = max(stopped, record.data.life)
            else:
                paused = record.type == "execution.paused"
        return False, paused, stopped

    async def _listen(self, session: Session) -> None:
        if session.request.kind != "command":
            return
        inbox = subjects.agent_task(session.id)
        self._subscriptions[session] = [
            await self.bus.serve(inbox, TaskOffer, session.offered),
            await self.bus.serve(subjects.agent_control(session.id), TaskControl, partial(self._control, session)),
        ]
        enrolment = Enrolment(self.bus, session.registration(inbox, self.bus.id), session.running)
        self._enrolments[session] = enrolment
        enrolment.start()

    async def _control(self, session: Session, word: TaskControl) -> None:
        if word.action == "stop":
            await self._let_go(session, word.reason or "it was told to stop", interrupted=True)
        else:
            await session.control(word)

    def _left(self, session: Session, reason: str, exit_code: int) -> None:
        """A `custom` program ended by itself."""
        session.closed = reason
        self.spawn_short(self._let_go(session, reason, exit_code=exit_code), name=f"left-{session.id}")

    async def _let_go(
        self, session: Session, reason: str, *, interrupted: bool = False, exit_code: int | None = None
    ) -> None:
        """Ends a session, while no other of its name is opened."""
        async with self._opening.setdefault(session.id, asyncio.Lock()):
            await self._end(session, reason, interrupted=interrupted, exit_code=exit_code)

    async def _end(
        self, session: Session, reason: str, *, interrupted: bool = False, exit_code: int | None = None
    ) -> None:
        """Ends a session: its processes, its place in the registry, its files."""
        if self.sessions.get(session.id) is session:
            del self.sessions[session.id]
        offer = session.turn.offer if session.turn else None
        await session.close(reason)
        if interrupted and offer is not None:
            await self._interrupted(offer, reason)
        for subscription in self._subscriptions.pop(session, []):
            await subscription.stop()
        enrolment = self._enrolments.pop(session, None)
        if enrolment is not None:
            await enrolment.leave(reason)
        await self._stopped(session.id, session.request.execution_id, session.request.life, reason, exit_code)
        self._records.drop_session(session.id)

    def _given_up(self, session: Session) -> None:
        self.spawn_short(self._give_up(session), name=f"give-up-{session.id}")

    async def _give_up(self, session: Session) -> None:
        """Ends what this runtime has of a session that another one fills, which happens when it stood still for long.

        Nothing is said of it: the agent of that name is alive, there.
        """
        _log.warning("session_taken_over", agent_id=session.id, life=session.request.life)
        async with self._opening.setdefault(session.id, asyncio.Lock()):
            for subscription in self._subscriptions.pop(session, []):
                await subscription.stop()
            enrolment = self._enrolments.pop(session, None)
            if enrolment is not None:
                await enrolment.forget()
            await session.close("another runtime has taken the session over")
            if self.sessions.get(session.id) is session:
                del self.sessions[session.id]
                self._records.drop_session(session.id)

    async def _stay_alive(self) -> None:
        while True:
            await asyncio.sleep(_ALIVE_EVERY_S)
            for session in list(self.sessions.values()):
                await session.alive()

    # -- executions -------------------------------------------------------------------------------------------------

    async def _follow_executions(self) -> None:
        """Begins to follow the states of executions: with the first session, because without one none matters."""
        if not self._following:
            self._following = True
            position = await self.bus.last_seq()
            self.spawn(self._follow(position), name="follow")

    async def _follow(self, position: int) -> None:
        filters = [subjects.event("*", *kind.split(".")) for kind in (*_STATES, AgentSpawned.TYPE)]
        async for record in self.bus.follow(filters, after=position):
            try:
                self._heard(record)
            except OSError as error:
                _log.warning("state_not_followed", execution_id=record.execution_id, error=str(error))

    def _heard(self, record: Recorded) -> None:
        execution_id = record.execution_id
        if isinstance(record.data, AgentSpawned):
            session = self.sessions.get(record.data.agent_id)
            if session is not None and record.data.life > session.request.life:
                session.give_up()
        elif record.type in ENDINGS:
            self._over[execution_id] = None
            while len(self._over) > _REMEMBERED:
                self._over.popitem(last=False)
            self._frozen.discard(execution_id)
            for session in self._sessions_of(execution_id):
                self.spawn_short(self._let_go(session, "the execution is over"), name=f"end-{session.id}")
            self._verifications.end(execution_id)
        elif record.type == "execution.paused":
            self._frozen.add(execution_id)
            self._verifications.freeze(execution_id)
            for session in self._sessions_of(execution_id):
                session.freeze()
        else:
            self._frozen.discard(execution_id)
            self._verifications.thaw(execution_id)
            for session in self._sessions_of(execution_id):
                session.thaw()

    def _sessions_of(self, execution_id: str) -> list[Session]:
        return [session for session in self.sessions.values() if session.request.execution_id == execution_id]

    # -- verification -----------------------------------------------------------------------------------------------

    async def _verify(self, offer: VerifyOffer) -> VerifyReply:
        await self._follow_executions()
        return await self._verifications.verify(offer)

    def _verification_environment(self, offer: VerifyOffer, workspace: str, home: Path, tmp: Path) -> dict[str, str]:
        own = {
            "PARALLAX_EXECUTION_ID": offer.execution_id,
            "PARALLAX_ROLE": offer.role,
            "PARALLAX_SESSION": offer.session,
            "PARALLAX_WORKSPACE": workspace,
        }
        return environment(self._host.environ, home=home, tmp=tmp, own=own, given=offer.env)

    async def _at_the_evidence(self, query: EvidenceQuery) -> EvidenceAnswer:
        """Has the workspace service do a step. A step may be done twice, so it is asked again while none answers."""
        until = time.monotonic() + _WORKSPACE_AWAY_S
        while query.execution_id not in self._over:
            try:
                return await self.bus.request(
                    subjects.QUERY_EVIDENCE, query, EvidenceAnswer, timeout_s=_EVIDENCE_STEP_S
                )
            except RequestFailed as failure:
                return EvidenceAnswer(error=Failure(code="evidence_failed", message=str(failure)))
            except (NoResponder, TimeoutError):
                if time.monotonic() > until:
                    message = f"The workspace service did not answer for {_WORKSPACE_AWAY_S:g} s."
                    raise WorkspaceAway(message) from None
                await asyncio.sleep(0.2)
        raise WorkspaceAway("The execution is over.")
