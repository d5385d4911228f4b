"""Verifications: asked for as often as anybody likes, run once, answered from memory afterwards."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from schemas.agents import VerifyOffer, VerifyReply
from services.runtime_local.evidence import Ask, EvidenceRun
from services.runtime_local.oracles import Running, run_oracle

_REMEMBERED = 512

Environment = Callable[[VerifyOffer, str, Path, Path], dict[str, str]]
"""The environment of a check: of an offer, the directory that it runs in, its HOME and its TMPDIR."""


class Verifications:
    """The verifications of one runtime. One that was stopped is not remembered: it is run again when asked for."""

    def __init__(
        self, frozen: Callable[[str], bool], environment: Environment, ask: Ask, locks: Path, short: Path | None
    ) -> None:
        """`short` is a directory whose path leaves room for the addresses of sockets; None: whichever there is."""
        self._frozen = frozen
        self._short = short
        self._ask = ask
        self._locks = locks
        self._environment = environment
        self._running: dict[str, tuple[Running, asyncio.Task[VerifyReply]]] = {}
        self._done: OrderedDict[str, VerifyReply] = OrderedDict()

    async def verify(self, offer: VerifyOffer) -> VerifyReply:
        """The verdicts of an offer's oracles, in order."""
        known = self._done.get(offer.verification_id)
        if known is not None:
            return known
        begun = self._running.get(offer.verification_id)
        if begun is None:
            running = Running(offer.execution_id, self._frozen)
            task = asyncio.create_task(self._run(offer, running), name=f"verify-{offer.verification_id}")
            begun = self._running[offer.verification_id] = (running, task)
        return await asyncio.shield(begun[1])

    def freeze(self, execution_id: str) -> None:
        """Stops the running oracles of an execution."""
        for running in self._of(execution_id):
            if running.program is not None:
                running.program.freeze()

    def thaw(self, execution_id: str) -> None:
        """Lets the running oracles of an execution go on."""
        for running in self._of(execution_id):
            if running.program is not None:
                running.program.thaw()

    def end(self, execution_id: str) -> None:
        """Ends the oracles of an execution that is over."""
        for running in self._of(execution_id):
            running.stopped = "the execution is over"
            if running.program is not None:
                running.program.end_soon()

    async def stop(self, reason: str) -> None:
        """Ends all oracles."""
        for running, task in list(self._running.values()):
            await running.stop(reason)
            await asyncio.wait({task})

    def _of(self, execution_id: str) -> list[Running]:
        return [running for running, _ in self._running.values() if running.execution_id == execution_id]

    async def _run(self, offer: VerifyOffer, running: Running) -> VerifyReply:
        place = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="parallax-verify-", dir=self._short))
        try:
            reply = await self._reply(offer, running, place)
            if not running.stopped and reply.code != "workspace_away":
                self._done[offer.verification_id] = reply
                while len(self._done) > _REMEMBERED:
                    self._done.popitem(last=False)
            return reply
        finally:
            self._running.pop(offer.verification_id, None)
            await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)

    async def _reply(self, offer: VerifyOffer, running: Running, place: Path) -> VerifyReply:
        if offer.evidence is not None:
            run = EvidenceRun(self._ask, self._environment, offer, offer.evidence, running)
            return await run.results(self._locks, place)
        workspace = Path(offer.workspace)
        if not offer.workspace or not workspace.is_dir():
            note = f"The worktree {offer.workspace or '(none)'} is not on this machine."
            return VerifyReply(verification_id=offer.verification_id, error=note)
        env = self._environment(offer, offer.workspace, place, place)
        results = [await run_oracle(oracle, workspace=workspace, env=env, running=running) for oracle in offer.oracles]
        return VerifyReply(verification_id=offer.verification_id, results=results, error=running.stopped)
