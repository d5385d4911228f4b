"""One turn of a `command` agent: a program is started, spoken with, and judged by how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from schemas.agents import TaskFault, TaskOffer, TaskProgress, TaskQuestion, TaskResult
from schemas.base import MOST_LEVELS, Failure, Json, LossKind, too_deep
from services.runtime_local.deaths import FROM_OUTSIDE, MemoryKills, memory_kills, sentence, signal_of
from services.runtime_local.output import Output
from services.runtime_local.program import Program, start_program
from services.runtime_local.recorded_input import wants_end_of_input
from services.runtime_local.records import ProgramRecord, Records
from services.runtime_local.speech import Lines, Said, Transcript, clean, understand
from shared.shortening import shortened

Ended = TaskResult | TaskFault
Say = Callable[[TaskProgress | TaskQuestion], Awaitable[None]]

_LEAVING_S = 0.5
"""A program that was told to end from outside may have been told so together with this runtime, which soon knows."""

_LOOK_EVERY_S = 0.1
_SOON_STEP_S = 0.02

MAX_PROGRESS = 500
"""Characters of a line of progress that the executor is told; whoever watches gets more of it."""

MAX_QUESTIONS = 100
"""So many questions a turn may ask: each is a fact of the log, and a program that loops must not fill it."""


class Turn:
    """A turn that runs, or is about to."""

    def __init__(
        self,
        offer: TaskOffer,
        *,
        cwd: Path,
        env: Callable[[], dict[str, str]],
        silence_s: float = math.inf,
        interactive: bool | None = False,
        redact: Callable[[bytes], bytes] = bytes,
    ) -> None:
        self.offer = offer
        self.program: Program | None = None
        self.question: TaskQuestion | None = None
        self.cancelled = ""
        self.argv: list[str] = []
        self._cwd = cwd
        self._env = env
        self._interactive = interactive
        self._redact = redact
        self._lines = Lines()
        self._said = Transcript()
        self._asked = 0
        self._unsaid: deque[TaskQuestion] = deque()
        self._silence_s = silence_s
        self._heard_at = 0.0
        self._silent = ""
        self._refused: tuple[str, str] = ("", "")

    @property
    def key(self) -> tuple[str, int]:
        """What tells this turn from others."""
        return self.offer.task_id, self.offer.attempt

    async def run(
        self,
        *,
        output: Output,
        records: Records,
        say: Say,
        frozen: Callable[[], bool],
        leaving: Callable[[], bool] = lambda: False,
    ) -> Ended:
        """Starts the program and returns how the turn ended, when nothing of the program is left.

        `frozen` says whether its execution is paused, `leaving` whether this runtime is being stopped.
        """
        offer, before = self.offer, memory_kills()
        env = self._env()
        record = ProgramRecord(mark=f"{offer.task_id}.{offer.attempt}", offer=offer)
        records.keep_program(record)
        try:
            program = await start_program(self.argv, cwd=self._cwd, env=env, mark=record.mark)
        except OSError as error:
            records.drop_program(record.mark)
            return self._fault("task_failed", f"{self.argv[0]} cannot be started: {error.strerror or error}.")
        self.program = program
        watching: list[asyncio.Task[None]] = []
        try:
            records.keep_program(msgspec.structs.replace(record, pid=program.pid, identity=program.identity))
            program.read(
                lambda piece, ends: self._printed(piece, ends, output, say),
                lambda piece, _ends: self._complained(clean(self._redact(piece)), output),
            )
            watching = [asyncio.create_task(self._watch_silence(program, frozen))]
            if self._interactive is None:
                watching.append(asyncio.create_task(self._watch_input(program)))
            if self.cancelled:
                await program.end()
            await program.write(msgspec.json.encode(_first_line(offer)) + b"\n", last=self._interactive is False)
            if frozen():
                program.freeze()
            code = await program.wait()
        except BaseException:
            program.end_soon()  # whatever went wrong here, nothing of the program may stay
            raise
        finally:
            for task in watching:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        await output.settle(offer.task_id)
        records.drop_program(record.mark)
        if signal_of(code) in FROM_OUTSIDE and not self._ended_by_us and await soon(leaving, _LEAVING_S):
            return self._fault("interrupted", "The turn was interrupted: the runtime was stopped.", loss="runtime_lost")
        return self._judge(code, before)

    @property
    def _ended_by_us(self) -> str:
        """Why this runtime ended the program; empty when it did not."""
        return self.cancelled or self._silent or self._refused[0]

    async def answer(self, value: Json, question_id: str, say: Say) -> None:
        """Hands the answer to the program's open question to it, as one line, and asks the next one it has."""
        if self.question is None or question_id not in ("", self.question.question_id) or self.program is None:
            return
        self._heard_at = time.monotonic()
        self.question = self._unsaid.popleft() if self._unsaid else None
        if self.question is not None:
            await say(self.question)
        plain = isinstance(value, str) and "\n" not in value
        await self.program.write((value.encode() if plain else msgspec.json.encode(value)) + b"\n")

    async def cancel(self, reason: str) -> None:
        """Ends the program. The turn then ends as a fault with the code `cancelled`."""
        self.cancelled = self.cancelled or reason or "cancelled"
        if self.program is not None:
            await self.program.end()

    async def _printed(self, piece: bytes, ends: bool, output: Output, say: Say) -> None:
        line = self._lines.add(piece, ends)
        if line is not None:
            text = self._redact(line.text)
            line = line._replace(text=text, size=line.size - len(line.text) + len(text), end=self._redact(line.end))
            await self._heard(understand(line), output, say)

    async def _heard(self, said: Said, output: Output, say: Say) -> None:
        offer = self.offer
        self._said.add(said)
        match said.type:
            case "question":
                await self._ask(said, say)
            case "progress" | "message":
                published = await output.say(said.type, said.text, offer.task_id)
                if said.type == "progress" and published:
                    text = shortened(said.text, MAX_PROGRESS)
                    await say(
                        TaskProgress(task_id=offer.task_id, attempt=offer.attempt, agent_id=offer.agent_id, text=text)
                    )
            case "output":
                await output.say("stdout", said.text, offer.task_id, bytes_in_all=said.bytes)
            case "refused":
                await output.say("message", said.text, offer.task_id)
                if said.code == "question_too_large":
                    self._refuse(said.code, said.text)
            case _:
                if said.note:
                    await output.say("message", said.note, offer.task_id)

    async def _ask(self, said: Said, say: Say) -> None:
        """One question at a time: the next one is said when this one is answered."""
        offer = self.offer
        self._asked += 1
        if self._interactive is False:
            self._refuse(
                "not_interactive",
                f"{self.argv[0]} asked {shortened(said.question, 200)!r}, but nothing answers it: the input of a "
                f"command agent ends after the task line. Write `agentConfig: {{interactive: true}}` in the role "
                f"{offer.role} to let it ask.",
            )
            return
        if self._asked > MAX_QUESTIONS:
            said_so = f"{self.argv[0]} asked more than {MAX_QUESTIONS} questions in one turn."
            self._refuse("too_many_questions", said_so)
            return
        question = TaskQuestion(
            task_id=offer.task_id,
            attempt=offer.attempt,
            agent_id=offer.agent_id,
            question_id=f"{offer.task_id}-{offer.attempt}-{self._asked}",
            question=said.question,
            options=said.options,
        )
        if self.question is not None:
            self._unsaid.append(question)
            return
        self.question = question
        await say(question)

    def _refuse(self, code: str, message: str) -> None:
        """Ends the program: it waits for what will not come, and its turn fails with this code."""
        if not self._refused[0]:
            self._refused = (code, message)
            if self.program is not None:
                self.program.end_soon()

    async def _complained(self, text: str, output: Output) -> None:
        self._said.add_error(text)
        await output.say("stderr", text, self.offer.task_id)

    async def _watch_input(self, program: Program) -> None:
        """For a task that was recorded before roles said `interactive`: ends the input when it is waited for."""
        seen = 0
        while program.input_open:
            await asyncio.sleep(_LOOK_EVERY_S)
            waiting = self.question is None and await asyncio.to_thread(wants_end_of_input, program.descendants())
            seen = seen + 1 if waiting else 0
            if seen >= 2:
                program.close_input()

    async def _watch_silence(self, program: Program, frozen: Callable[[], bool]) -> None:
        """Ends a program that writes nothing for too long. Waiting for an answer, or being frozen, is not silence.

        Whatever it writes is a sign of life: a line, a dot without an end of line, a word on standard error.
        """
        self._heard_at = time.monotonic()
        step = min(0.5, self._silence_s / 4)
        while True:
            await asyncio.sleep(step)
            if self.question is not None or frozen():
                self._heard_at = time.monotonic()
            elif time.monotonic() - max(self._heard_at, program.wrote_at) >= self._silence_s:
                self._silent = (
                    f"{self.argv[0]} wrote nothing for {self._silence_s:g} s and was ended. "
                    f"Have it print its progress, or raise PARALLAX_AGENT_TIMEOUT (milliseconds)."
                )
                await program.end()
                return

    def _judge(self, code: int, before: MemoryKills) -> Ended:
        if self.cancelled:
            return self._fault("cancelled", self.cancelled)
        if self._silent:
            return self._fault("agent_silent", self._silent)
        if self._refused[0]:
            return self._fault(*self._refused)
        if code < 0:
            message = f"The process that watches over {self.argv[0]} was killed, and the program with it."
            return self._fault("agent_killed", message, loss="keeper_killed")
        if code:
            message = sentence(self.argv[0], code, before, memory_kills(), self._said.reason())
            return self._fault("agent_killed" if signal_of(code) else "task_failed", message)
        return self._result()

    def _result(self) -> Ended:
        offer, outcome = self.offer, self._said.outcome()
        if outcome.type == "refused":
            return self._fault(outcome.code, outcome.text)
        if too_deep(outcome.result):
            return self._fault("result_too_large", f"The result is nested in more than {MOST_LEVELS} levels.")
        return TaskResult(
            task_id=offer.task_id,
            attempt=offer.attempt,
            agent_id=offer.agent_id,
            result=outcome.result,
            confidence=outcome.confidence,
            note=outcome.note or msgspec.UNSET,
        )

    def _fault(self, code: str, message: str, *, loss: LossKind | None = None) -> TaskFault:
        offer = self.offer
        return TaskFault(
            task_id=offer.task_id,
            attempt=offer.attempt,
            agent_id=offer.agent_id,
            error=Failure(code=code, message=message, where=offer.role),
            interrupted=loss is not None,
            loss=loss or msgspec.UNSET,
        )


def _first_line(offer: TaskOffer) -> dict[str, Json]:
    return {
        "task": offer.task,
        "input": offer.input,
        "context": offer.context,
        "role": offer.role,
        "execution_id": offer.execution_id,
        "task_id": offer.task_id,
        "workspace": offer.workspace or None,
    }


async def soon(happened: Callable[[], bool], within_s: float) -> bool:
    """Whether something happens within a short time."""
    for _ in range(round(within_s / _SOON_STEP_S)):
        if happened():
            break
        await asyncio.sleep(_SOON_STEP_S)
    return happened()
