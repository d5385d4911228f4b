"""A session: the agent of one role of one execution, on this machine, for as long as the execution lasts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from schemas.agents import (
    AgentRegistration,
    TaskAccepted,
    TaskControl,
    TaskFault,
    TaskOffer,
    TaskRefused,
    TaskResult,
)
from schemas.base import Failure, LossKind, Model
from schemas.events import AgentSpawnRequested, TaskFinished
from services.runtime_local.deaths import FROM_OUTSIDE, memory_kills, sentence, signal_of
from services.runtime_local.environment import NotFound, environment, find_program, search_path
from services.runtime_local.output import Output
from services.runtime_local.places import Places
from services.runtime_local.program import Program, start_program
from services.runtime_local.records import NotWrittenError, ProgramRecord, Records
from services.runtime_local.secrets import Redaction, SecretMissing, Secrets
from services.runtime_local.speech import clean
from services.runtime_local.turn import Ended, Turn, soon
from shared.bus import Bus, BusError, EventTooLarge
from shared.shortening import ending

_log = structlog.get_logger(__name__)

_REMEMBERED = 256
_KEPT_STDERR = 64 * 1024


class Host(Model, frozen=True, kw_only=True):
    """What sessions need of the runtime."""

    bus: Bus
    records: Records
    root: Path
    places: Places
    secrets: Secrets
    environ: dict[str, str]
    nats_url: str
    silence_s: float
    frozen: Callable[[str], bool]
    leaving: Callable[[], bool]


class Session:
    """A session and its agent: a program for each task (`command`), or one that stays (`custom`)."""

    def __init__(self, host: Host, request: AgentSpawnRequested) -> None:
        self.request = request
        self.closed = ""
        self.program: Program | None = None
        self.turn: Turn | None = None
        self.replaced = False
        """Another runtime fills the session by now."""
        self.left: Callable[[Session, str, int], None] | None = None
        self.given_up: Callable[[Session], None] | None = None
        self._host = host
        self._work = host.root / "work" / request.agent_id
        self._place: Path | None = None
        self._output = Output(host.bus, request.agent_id, request.execution_id)
        self._memory: OrderedDict[str, Ended] = OrderedDict()
        self._running: asyncio.Task[None] | None = None
        self._stderr = ""
        self._redact = Redaction({})

    @property
    def id(self) -> str:
        """The agent's id."""
        return self.request.agent_id

    def running(self) -> list[str]:
        """The ids of the tasks that the session is at."""
        return [self.turn.offer.task_id] if self.turn else []

    def registration(self, inbox: str, runtime: str) -> AgentRegistration:
        """What the registry is told about a `command` session."""
        request = self.request
        return AgentRegistration(
            agent_id=request.agent_id,
            name=request.session,
            kind=request.kind,
            capabilities=request.agent.capabilities,
            inbox=inbox,
            runtime=runtime,
            execution_id=request.execution_id,
            role=request.role,
            session=request.session,
            host=os.uname().nodename,
            pid=os.getpid(),
        )

    async def open(self) -> None:
        """Makes the session's places and starts a `custom` program. Raises NotFound or SecretMissing, or OSError."""
        self._work.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._place is None:
            self._place = self._host.places.make()
        command = self.request.agent.command
        if not command:
            raise NotFound(f"The role {self.request.role} says no command: give it one under agentConfig.command.")
        if self.request.kind == "command":
            if not command[0].startswith("./"):
                find_program(command[0], path=search_path(self._host.environ), workspace=None)
            return
        own = {"PARALLAX_NATS_URL": self._host.nats_url}
        argv, env = self._argv(None), self._environment(own)
        mark = f"{self.id}.{self.request.life}"
        record = ProgramRecord(mark=mark)
        self._host.records.keep_program(record)
        self.program = await start_program(argv, cwd=self._work, env=env, mark=mark)
        self._host.records.keep_program(
            msgspec.structs.replace(record, pid=self.program.pid, identity=self.program.identity)
        )
        self.program.close_input()
        self.program.read(self._wrote, self._complained)
        self._running = asyncio.create_task(self._see_it_end(self.program), name=f"program-{self.id}")

    def give_up(self) -> None:
        """Another runtime fills the session: no turn of it is taken here any more."""
        if not self.replaced:
            self.replaced = True
            if self.given_up is not None:
                self.given_up(self)

    async def close(self, reason: str) -> None:
        """Ends everything of the session and removes its places."""
        self.closed = self.closed or reason or "stopped"
        if self.turn is not None:
            await self.turn.cancel(reason)
        if self.program is not None:
            await self.program.end()
        if self._running is not None and self._running is not asyncio.current_task():
            with contextlib.suppress(asyncio.CancelledError):
                await self._running
        for place in (self._work, self._place):
            if place is not None:
                await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)

    async def abandon(self, reason: str) -> None:
        """Ends the turn that is running, if there is one, with every process of it. The session goes on."""
        if self.turn is not None:
            await self.turn.cancel(reason)
            await self._settled()

    def freeze(self) -> None:
        """Stops every process of the session."""
        for program in self._programs():
            program.freeze()

    def thaw(self) -> None:
        """Lets every process of the session go on."""
        for program in self._programs():
            program.thaw()

    def _programs(self) -> list[Program]:
        turn = self.turn.program if self.turn else None
        return [program for program in (self.program, turn) if program is not None]

    # -- turns of a `command` agent -----------------------------------------------------------------------------------

    async def offered(self, offer: TaskOffer) -> None:
        """Takes a turn, says again how far it is, or refuses it. The same offer may come any number of times."""
        if self.replaced or offer.life > self.request.life:
            self.give_up()
            return
        known = self._memory.get(offer.task_id)
        if known is not None and known.attempt >= offer.attempt:
            if known.attempt == offer.attempt:
                await self._host.bus.publish(offer.reply_to, known)
            return
        if self.turn is not None and self.turn.key == (offer.task_id, offer.attempt):
            self.turn.offer = offer
            await self.alive()
            if self.turn.question is not None:
                await self._host.bus.publish(offer.reply_to, self.turn.question)
            return
        if (
            self.turn is not None
            and self.turn.offer.task_id == offer.task_id
            and self.turn.offer.attempt < offer.attempt
        ):
            await self.turn.cancel("another attempt was begun")
            await self._settled()
            await self.offered(offer)  # looks again: the same offer may have come twice meanwhile
            return
        if self.turn is not None or self.closed:
            await self._host.bus.publish(
                offer.reply_to,
                TaskRefused(
                    task_id=offer.task_id,
                    attempt=offer.attempt,
                    agent_id=self.id,
                    reason=self.closed or f"busy with {self.turn.offer.task_id if self.turn else ''}",
                ),
            )
            return
        self._begin(offer)
        await self.alive()

    def _begin(self, offer: TaskOffer) -> None:
        workspace = Path(offer.workspace) if offer.workspace else None
        own = {"PARALLAX_TASK_ID": offer.task_id, "PARALLAX_ATTEMPT": str(offer.attempt)}
        if workspace is not None:
            own["PARALLAX_WORKSPACE"] = str(workspace)
        turn = Turn(
            offer,
            cwd=workspace or self._work,
            env=lambda: self._environment(own),
            silence_s=self._host.silence_s,
            interactive=self.request.agent.interactive,
            redact=self._redacted,
        )
        self.turn = turn
        self._running = asyncio.create_task(self._take(turn, workspace), name=f"turn-{offer.task_id}")

    async def _take(self, turn: Turn, workspace: Path | None) -> None:
        host, offer = self._host, turn.offer
        try:
            turn.argv = self._argv(workspace)
            if workspace is not None and not workspace.is_dir():
                raise NotFound(f"The worktree {workspace} is not on this machine.")
            ended = await turn.run(
                output=self._output,
                records=host.records,
                say=lambda message: host.bus.publish(turn.offer.reply_to, message),
                frozen=lambda: host.frozen(offer.execution_id),
                leaving=host.leaving,
            )
        except SecretMissing as error:
            ended = fault(offer, Failure(code="secret_missing", message=str(error), where=offer.role))
        except NotFound as error:
            ended = fault(offer, Failure(code="program_not_found", message=str(error), where=offer.role))
        except NotWrittenError as error:
            ended = fault(offer, Failure(code="task_failed", message=str(error), where=offer.role))
        except BusError as error:
            loss = None if isinstance(error, EventTooLarge) else "runtime_failed"
            ended = fault(offer, Failure(code="task_failed", message=f"The runtime failed: {error}"), loss)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the turn has to end as something
            _log.exception("turn_failed", agent_id=self.id, task_id=offer.task_id, exc_info=error)
            ended = fault(offer, Failure(code="task_failed", message=f"The runtime failed: {error!r}"))
        try:
            await self._conclude(turn, ended)
        except EventTooLarge as error:
            await self._conclude(
                turn, fault(offer, Failure(code="result_too_large", message=str(error), where=error.where))
            )

    async def _conclude(self, turn: Turn, ended: Ended) -> None:
        """Says how a turn ended, to the log where it has a worktree, and to the executor. Raises EventTooLarge."""
        host, offer = self._host, turn.offer
        if offer.workspace and not turn.cancelled:
            await host.bus.append(finished(offer, ended))
        self._memory[offer.task_id] = ended
        while len(self._memory) > _REMEMBERED:
            self._memory.popitem(last=False)
        self.turn = None
        await host.bus.publish(turn.offer.reply_to, ended)

    async def alive(self) -> None:
        """A sign of life of the turn, if there is one."""
        if self.turn is not None:
            offer = self.turn.offer
            await self._host.bus.publish(
                offer.reply_to, TaskAccepted(task_id=offer.task_id, attempt=offer.attempt, agent_id=self.id)
            )

    async def control(self, word: TaskControl) -> None:
        """Carries out what the executor says about the running turn."""
        turn = self.turn
        if turn is None or (word.task_id and word.task_id != turn.offer.task_id):
            return
        match word.action:
            case "cancel":
                await turn.cancel(word.reason)
            case "answer":
                await turn.answer(
                    word.value, word.question_id, lambda said: self._host.bus.publish(turn.offer.reply_to, said)
                )
            case "pause":
                self.freeze()
            case "resume":
                self.thaw()
            case "stop":
                await self.close(word.reason)

    async def _settled(self) -> None:
        if self._running is not None:
            await asyncio.shield(self._running)

    # -- programs -----------------------------------------------------------------------------------------------------

    def _argv(self, workspace: Path | None) -> list[str]:
        program, *arguments = self.request.agent.command
        path = search_path(self._host.environ)
        return [find_program(program, path=path, workspace=workspace), *arguments]

    def _environment(self, own: dict[str, str]) -> dict[str, str]:
        request = self.request
        word = {
            "PARALLAX_EXECUTION_ID": request.execution_id,
            "PARALLAX_AGENT_ID": request.agent_id,
            "PARALLAX_ROLE": request.role,
            "PARALLAX_SESSION": request.session,
        }
        if self._place is None:
            raise RuntimeError("the session is not open")
        secrets = self._host.secrets.values(request.agent.secrets, request.role)
        self._redact = Redaction(secrets)
        return environment(
            self._host.environ,
            home=self._place / "h",
            tmp=self._place / "t",
            own=word | own,
            given={**request.agent.env, **secrets},
        )

    def _redacted(self, line: bytes) -> bytes:
        return self._redact(line)

    async def _wrote(self, line: bytes, _ends: bool) -> None:
        await self._output.say("stdout", clean(self._redact(line)))

    async def _complained(self, line: bytes, _ends: bool) -> None:
        text = clean(self._redact(line))
        self._stderr = (self._stderr + text + "\n")[-_KEPT_STDERR:]
        await self._output.say("stderr", text)

    async def _see_it_end(self, program: Program) -> None:
        before = memory_kills()
        code = await program.wait()
        self._host.records.drop_program(program.mark)
        if signal_of(code) in FROM_OUTSIDE and await soon(lambda: bool(self.closed) or self._host.leaving(), 0.5):
            return  # this runtime is being stopped too, and says so
        if not self.closed and self.left is not None:
            text = sentence("its program", code, before, memory_kills(), ending(self._stderr.strip(), 2000))
            self.left(self, text.removesuffix("."), code)


def fault(offer: TaskOffer, error: Failure, loss: LossKind | None = None) -> TaskFault:
    """The bad end of an offered turn, which was lost where there is a `loss`."""
    return TaskFault(
        task_id=offer.task_id,
        attempt=offer.attempt,
        agent_id=offer.agent_id,
        error=error,
        interrupted=loss is not None,
        loss=loss or msgspec.UNSET,
    )


def finished(offer: TaskOffer, ended: Ended) -> TaskFinished:
    """The fact that a turn in a worktree is over."""
    good = isinstance(ended, TaskResult)
    return TaskFinished(
        execution_id=offer.execution_id,
        task_id=offer.task_id,
        attempt=offer.attempt,
        role=offer.role,
        session=offer.session,
        agent_id=offer.agent_id,
        outcome="ok" if good else "interrupted" if ended.interrupted else "failed",
        result=ended.result if good else None,
        confidence=ended.confidence if good else None,
        usage=ended.usage,
        error=None if good else ended.error,
        loss=msgspec.UNSET if good else ended.loss,
    )
