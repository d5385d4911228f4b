"""The pattern engine.

Hears: `parallax.executions.request` and the commands of an execution (work, from the request stream); the facts that
move programs on and all of `execution.*` (following, from the log); `parallax.engines.heartbeat` of the other engines
and `parallax.engines.<id>.command`, which they hand on; `parallax.queries.replay`.

Says: `execution.*`, `effect.recorded`, `timer.*`, `signal.received`, `question.asked|answered`, and every request that
a program makes of the world: `task.requested`, `task.cancel_requested`, `verification.requested`, `http.requested`,
`workspace.requested|integration_requested|finalize_requested`. All of it fenced.

Owns: the executions it has accepted or claimed, for as long as it lives. Nothing that it holds is kept anywhere but in
the log; a snapshot of what is open, in a key-value bucket, only saves reading the log from its start.
"""

from __future__ import annotations

import asyncio
import random
import time

import msgspec
import structlog

from schemas.base import Problem
from schemas.commands import CommandReply, PatternFile, ReplayQuery, ReplayReport
from schemas.engines import CommandVerb, EngineHeartbeat, ForwardedCommand, OpenExecutions
from schemas.events import ENDINGS, ExecutionClaimed
from schemas.patterns import CompiledPattern
from services.pattern_engine.commands import body_of, carry_out, rejected
from services.pattern_engine.conductor import Sources
from services.pattern_engine.decisions import FACTS
from services.pattern_engine.open_executions import HEARTBEAT_S, OpenSet, Roster, heir
from services.pattern_engine.ownership import adopt
from services.pattern_engine.replay import replay
from services.pattern_engine.requests import give_up_request, reply, take_request
from services.pattern_engine.run import Run
from shared import subjects
from shared.bus import Bus, Delivery, NoResponder, Recorded, RequestFailed, Retry, StaleFence
from shared.config import Settings
from shared.pattern_sources import Patterns
from shared.service import Service
from shared.shortening import shortened

_log = structlog.get_logger(__name__)

_SNAPSHOT_EVERY_S = 5.0
_LOOK_AGAIN_AFTER_MS = 20_000
"""A run that heard nothing for so long has its log read once more: nothing stalls because a message was missed."""

_UNKNOWN_AFTER_ATTEMPTS = 12
_COMMAND_VERBS = ("cancel", "pause", "resume", "signal", "answer")


class PatternEngine(Service):
    """Runs executions. Any number of engines may run at once; each execution has one owner."""

    name = "pattern_engine"

    def __init__(self, settings: Settings, bus: Bus) -> None:
        super().__init__(settings, bus)
        self.engine_id = bus.id
        self.runs: dict[str, Run] = {}
        self.sources = Sources(now_ms=self.now_ms, random=random.random)
        self._library = Patterns(settings.patterns_dir)
        self._open = OpenSet()
        self.lives = bus.lives("engine-recoveries")
        self._roster = Roster(self.engine_id, time.monotonic())
        self._adopting: set[str] = set()
        self._just_ended: set[str] = set()
        self._stopping = False

    # -- life -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begins to follow the log, then to take work."""
        self._snapshots = await self.bus.key_value("parallax-engines")
        self._open = OpenSet(await self._load_snapshot())
        await self.bus.serve(subjects.ENGINE_HEARTBEAT, EngineHeartbeat, self._heard_engine)
        await self.bus.serve(subjects.engine_command(self.engine_id), ForwardedCommand, self._forwarded)
        await self.bus.serve(subjects.QUERY_REPLAY, ReplayQuery, self._replay, queue="engines")
        self.spawn(self._follow(), name="follow")
        self.spawn(self._beat(), name="heartbeat")
        self.spawn(self._look_after(), name="ownership")
        self.spawn(self._keep_snapshots(), name="snapshots")
        self._requests = await self.bus.work(
            durable="engine-requests",
            stream="requests",
            filters=[subjects.REQUEST],
            handler=self._request,
            concurrency=128,
            parked=self.parked,
        )
        self._commands = await self.bus.work(
            durable="engine-commands",
            stream="requests",
            filters=[subjects.command("*", verb) for verb in _COMMAND_VERBS],
            handler=self._command,
            concurrency=64,
            parked=self.parked,
        )

    async def stop(self) -> None:
        """Takes no more work and tells the other engines, which take over at once."""
        self._stopping = True
        await self._requests.stop()
        await self._commands.stop()
        await self.bus.publish(
            subjects.ENGINE_HEARTBEAT, EngineHeartbeat(engine=self.engine_id, running=0, leaving=True)
        )
        for run in list(self.runs.values()):
            run.close()

    def now_ms(self) -> int:
        """The time in epoch milliseconds."""
        return self.clock.now_ms()

    def lookup(self, name: str) -> CompiledPattern | list[Problem]:
        """A pattern by name or `name@range`, or what is wrong with the name or the pattern."""
        return self._library.find(name)

    def compile(self, given: PatternFile) -> CompiledPattern | list[Problem]:
        """The pattern in a file that a request brought, or what is wrong with it."""
        return self._library.compile(given)

    @property
    def unfollowed_ends(self) -> int:
        """How many executions this engine has ended whose end it has not yet read in the log."""
        return len(self._just_ended)

    def released(self, run: Run, reason: str) -> None:
        """A run is over for this engine."""
        if self.runs.get(run.id) is run:
            del self.runs[run.id]
        if reason == "ended":
            if run.fence > self._open.position:  # until its end is followed; after that nothing would take it out again
                self._just_ended.add(run.id)
        else:
            _log.warning("execution_released", execution_id=run.id, reason=reason)

    def ended(self, execution_id: str) -> None:
        """The log says that an execution is over."""
        self._open.forget(execution_id)

    # -- work -------------------------------------------------------------------------------------------------------

    async def _request(self, delivery: Delivery) -> None:
        await take_request(self, delivery)

    async def parked(self, delivery: Delivery, reason: str) -> None:
        """What could not be handled again and again is answered all the same, a request in the log too."""
        if delivery.subject == subjects.REQUEST:
            await give_up_request(self, delivery, reason)
            return
        what = f"The engine cannot handle it: {shortened(reason, 500)}"
        hint = "`parallax dead-letters list` shows it. Mend the cause, then have it handled again."
        await reply(self.bus, delivery, rejected("", "", what, hint))

    async def _command(self, delivery: Delivery) -> None:
        execution_id, verb = subjects.command_parts(delivery.subject)
        if not subjects.is_execution_id(execution_id):
            what = f"{execution_id[:100]!r} cannot be the id of an execution."
            await reply(self.bus, delivery, rejected(execution_id[:100], "execution_id", what))
            return
        command = ForwardedCommand(
            execution_id=execution_id,
            verb=msgspec.convert(verb, CommandVerb),
            number=delivery.number,
            body=msgspec.Raw(delivery.payload or b"{}"),
        )
        body = body_of(command)
        answer = body if isinstance(body, CommandReply) else await self._route(command, delivery)
        await reply(self.bus, delivery, answer)

    async def _route(self, command: ForwardedCommand, delivery: Delivery) -> CommandReply:
        """Carries a command out, hands it to the owner, or says why neither is possible."""
        execution_id = command.execution_id
        if execution_id in self.runs:
            return await self._carry_out(command)
        entry = self._open.get(execution_id)
        if entry is not None and entry.engine != self.engine_id:
            try:
                return await self.bus.request(
                    subjects.engine_command(entry.engine), command, CommandReply, timeout_s=2.0
                )
            except (NoResponder, RequestFailed, TimeoutError) as error:
                raise Retry(0.3) from error
        if entry is None:
            answer = await self._not_open(execution_id, command.verb)
            if answer is not None:
                return answer
            if delivery.attempt >= _UNKNOWN_AFTER_ATTEMPTS:
                return rejected(execution_id, "execution_id", f"There is no execution {execution_id}.")
        raise Retry(0.3)

    async def _not_open(self, execution_id: str, verb: str) -> CommandReply | None:
        """The answer to a command for an execution that is over. None: the log does not know it (yet)."""
        ending = ""
        known = False
        async for record in self.bus.read(execution_id):
            known = True
            if record.type in ENDINGS:
                ending = record.type.partition(".")[2]
        if not known:
            return None
        if not ending:
            raise Retry(0.2)
        if verb == "cancel" and ending == "cancelled":
            return CommandReply(execution_id=execution_id, status="accepted")
        return rejected(execution_id, "execution_id", f"The execution {execution_id} has ended: it is {ending}.")

    async def _forwarded(self, command: ForwardedCommand) -> CommandReply:
        if command.execution_id not in self.runs:
            raise Retry(0.3)
        return await self._carry_out(command)

    async def _carry_out(self, command: ForwardedCommand) -> CommandReply:
        run = self.runs[command.execution_id]
        if not run.ready:
            raise Retry(0.1)
        try:
            return await carry_out(self.bus, run, command)
        except StaleFence:
            run.lose("another engine owns the execution")
            raise Retry(0.2) from None

    async def _replay(self, query: ReplayQuery) -> ReplayReport:
        return await replay(self.bus, self.sources, query)

    # -- following --------------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        filters = [subjects.event("*", "execution", "*"), *(subjects.event("*", *kind.split(".")) for kind in FACTS)]
        facts = frozenset(FACTS)
        async for record in self.bus.follow(filters, after=self._open.position):
            self._open.apply(record.execution_id, record.type, record.seq, record.data)
            if record.type in ENDINGS:
                self._just_ended.discard(record.execution_id)
            run = self.runs.get(record.execution_id)
            if run is None:
                continue
            if record.type in facts:
                run.hear(record)
            elif isinstance(record.data, ExecutionClaimed) and record.data.engine != self.engine_id:
                run.lose(f"claimed by {record.data.engine}")

    # -- ownership --------------------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        while True:
            await self.bus.publish(
                subjects.ENGINE_HEARTBEAT, EngineHeartbeat(engine=self.engine_id, running=len(self.runs))
            )
            await asyncio.sleep(HEARTBEAT_S)

    async def _heard_engine(self, beat: EngineHeartbeat) -> None:
        self._roster.heard(beat.engine, time.monotonic(), leaving=beat.leaving)

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            now = time.monotonic()
            if self._stopping or not self._roster.sure(now):
                continue
            alive = self._roster.alive(now)
            for execution_id, entry in self._open:
                if execution_id in self.runs or execution_id in self._adopting or execution_id in self._just_ended:
                    continue
                mine = entry.engine == self.engine_id
                if mine or (entry.engine not in alive and heir(execution_id, alive) == self.engine_id):
                    self._adopting.add(execution_id)
                    self.spawn_short(
                        self._adopt(execution_id, "the former owner is gone"), name=f"adopt-{execution_id}"
                    )
            await self._look_again()

    async def _adopt(self, execution_id: str, reason: str) -> None:
        try:
            entry = self._open.get(execution_id)
            if entry is not None:
                await adopt(self, execution_id, entry, reason)
        except Exception as error:  # noqa: BLE001 - it is tried again; the other executions go on
            _log.exception("adoption_failed", execution_id=execution_id, exc_info=error)
            await asyncio.sleep(1.0)
        finally:
            self._adopting.discard(execution_id)

    async def _look_again(self) -> None:
        """Reads the logs of runs that heard nothing for long."""
        now = self.now_ms()
        for run in list(self.runs.values()):
            if not run.waiting or run.paused or now - run.last_active_ms < _LOOK_AGAIN_AFTER_MS:
                continue
            run.last_active_ms = now
            missed: list[Recorded] = [record async for record in self.bus.read(run.id, types=FACTS, after=run.seen)]
            for record in missed:
                run.hear(record)

    # -- snapshots --------------------------------------------------------------------------------------------------

    async def _load_snapshot(self) -> OpenExecutions | None:
        value = await self._snapshots.get("open")
        if value is None:
            return None
        try:
            snapshot = msgspec.json.decode(value, type=OpenExecutions)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            _log.warning("snapshot_unreadable")
            return None
        return snapshot if snapshot.position <= await self.bus.last_seq() else None

    async def _keep_snapshots(self) -> None:
        kept = -1
        while True:
            await asyncio.sleep(_SNAPSHOT_EVERY_S)
            if self._open.position != kept:
                snapshot = self._open.snapshot()
                await self._snapshots.put("open", msgspec.json.encode(snapshot))
                kept = snapshot.position
