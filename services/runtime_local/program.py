"""One program of this machine, from its start to the end of the last process that it left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from services.runtime_local.environment import MARK
from services.runtime_local.keeper import descendants
from shared.processes import kill_recorded, process_identity

KEEPER = str(Path(__file__).with_name("keeper.py"))

GRACE_S = 2.0
"""So long a program has between being asked to end and being ended."""

MAX_PIECE = 1024 * 1024
"""Longer lines are handed over in pieces of this many bytes."""

_CHUNK = 64 * 1024

_LOOK_EVERY_S = 0.25
_PIPES_S = 3.0

LineHandler = Callable[[bytes, bool], Awaitable[None] | None]
"""Takes one line without its end, or a piece of a longer one, and whether the line ends with it."""


class Program:
    """A running program under its keeper. Make one with `start_program`."""

    def __init__(self, process: asyncio.subprocess.Process, lifeline: int, mark: str) -> None:
        self.mark = mark
        self.pid = process.pid
        self.identity = process_identity(process.pid)
        self.ending = False
        self.wrote_at = time.monotonic()
        """When it last wrote anything, on either output, be it a line or a piece of one."""
        self._process = process
        self._lifeline = lifeline
        self._frozen = False
        self._readers: list[asyncio.Task[None]] = []

    def read(self, out: LineHandler, err: LineHandler) -> None:
        """Begins to hand over what the program writes, line by line."""
        for stream, handler in ((self._process.stdout, out), (self._process.stderr, err)):
            if stream is not None:
                self._readers.append(asyncio.create_task(_lines(stream, handler, self._wrote)))

    def _wrote(self) -> None:
        self.wrote_at = time.monotonic()

    async def write(self, data: bytes, *, last: bool = False) -> None:
        """Writes to the program's standard input; a program that does not read it is no error."""
        stdin = self._process.stdin
        if stdin is None or stdin.is_closing():
            return
        with contextlib.suppress(ConnectionError, BrokenPipeError, RuntimeError):
            stdin.write(data)
            await stdin.drain()
        if last:
            self.close_input()

    def close_input(self) -> None:
        """Ends the program's standard input."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    @property
    def input_open(self) -> bool:
        """Whether the program may still be written to."""
        return self._process.stdin is not None and not self._process.stdin.is_closing()

    async def wait(self) -> int:
        """The exit code, once nothing of the program is left and all that it wrote was handed over."""
        code = await self._exited()
        if self._readers:
            _, stuck = await asyncio.wait(self._readers, timeout=None if code >= 0 else _PIPES_S)
            for reader in stuck:
                reader.cancel()
            for reader in self._readers:
                with contextlib.suppress(asyncio.CancelledError):
                    await reader
        self.close_input()
        self._close_lifeline()
        return code

    async def _exited(self) -> int:
        """The exit code of the keeper, which ends after all that it keeps.

        A keeper that was killed left processes that run on and hold the pipes, for which asyncio's own `wait` waits:
        they are found by their mark. One that has thrown away its mark as well is given up after some seconds.
        """
        waiting = asyncio.create_task(self._process.wait())
        orphaned = 0
        while orphaned * _LOOK_EVERY_S < _PIPES_S:
            done, _ = await asyncio.wait({waiting}, timeout=_LOOK_EVERY_S)
            if done:
                break
            if (self._process.returncode or 0) < 0:
                orphaned += 1
                await asyncio.to_thread(sweep_marked, {self.mark})
        code = self._process.returncode
        if not waiting.done():
            waiting.cancel()
        if code is not None and code < 0:
            await asyncio.to_thread(sweep_marked, {self.mark})
        return code if code is not None else await waiting

    async def end(self, *, grace_s: float = GRACE_S) -> None:
        """Ends the program and everything it started: politely first, then not. Returns when nothing is left."""
        self.end_soon()
        if self._process.returncode is None:
            try:
                await asyncio.wait_for(self._exited(), grace_s + GRACE_S)
            except TimeoutError:
                self._close_lifeline()
                await self._exited()

    def end_soon(self) -> None:
        """Asks the keeper to end the program and everything it started, and does not wait for it."""
        self.ending = True
        if self._frozen:
            self.thaw()
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)

    def freeze(self) -> None:
        """Stops every process below the keeper, repeating until no new one appears in between."""
        self._frozen = True
        stopped: set[int] = set()
        for _ in range(20):
            found = set(descendants(self.pid)) - stopped
            if not found:
                return
            for pid in found:
                _send(pid, signal.SIGSTOP)
            stopped |= found

    def thaw(self) -> None:
        """Lets every process below the keeper go on."""
        self._frozen = False
        for pid in descendants(self.pid):
            _send(pid, signal.SIGCONT)

    def descendants(self) -> list[int]:
        """The processes that run for this program now."""
        return descendants(self.pid)

    def _close_lifeline(self) -> None:
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1


async def start_program(
    argv: list[str], *, cwd: Path, env: Mapping[str, str], mark: str = "", grace_s: float = GRACE_S
) -> Program:
    """Starts a program in a session of its own. Raises OSError when the machine refuses another process."""
    mark = mark or secrets.token_hex(12)
    reading, lifeline = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", KEEPER, str(reading), str(int(grace_s * 1000)), *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=cwd,
            env={**env, MARK: mark},
            pass_fds=(reading,),
            start_new_session=True,
            limit=_CHUNK,
        )  # fmt: skip
    except BaseException:
        os.close(lifeline)
        raise
    finally:
        os.close(reading)
    return Program(process, lifeline, mark)


async def _lines(stream: asyncio.StreamReader, handler: LineHandler, wrote: Callable[[], None]) -> None:
    rest = b""
    while chunk := await stream.read(_CHUNK):
        wrote()
        *lines, rest = (rest + chunk).split(b"\n") if b"\n" in chunk else [rest + chunk]
        for line in lines:
            await _hand(handler, line.removesuffix(b"\r"), ends=True)
        while len(rest) > MAX_PIECE:
            await _hand(handler, rest[:MAX_PIECE], ends=False)
            rest = rest[MAX_PIECE:]
    if rest:
        await _hand(handler, rest.removesuffix(b"\r"), ends=True)


async def _hand(handler: LineHandler, piece: bytes, *, ends: bool) -> None:
    done = handler(piece, ends)
    if done is not None:
        await done


def end_recorded(pid: int, identity: str, mark: str) -> int:
    """Ends what a runtime that is gone has left of one program. Returns how many processes there were."""
    ended = 0
    if identity and process_identity(pid) == identity:
        for below in descendants(pid):
            _send(below, signal.SIGKILL)
            ended += 1
        ended += kill_recorded(pid, identity)
    return ended + sweep_marked({mark})


def sweep_marked(marks: set[str]) -> int:
    """Kills every process that carries one of the marks in its environment. Returns how many there were."""
    if not marks:
        return 0
    wanted = [f"{MARK}={mark}".encode() for mark in marks if mark]
    ended = 0
    for entry in Path("/proc").iterdir() if Path("/proc/self").exists() else ():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environ = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(text in environ for text in wanted):
            _send(int(entry.name), signal.SIGKILL)
            ended += 1
    return ended


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
