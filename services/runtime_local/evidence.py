"""Running checks on the place of evidence: a clean checkout of the commit that they vouch for.

The workspace service does what git does there, this service runs the set-up and the commands, one check of an execution
after another. Whatever dies in between, the whole verification is done again from a clean checkout, with the same
outcome.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import msgspec

from compiler.setups import proposed_setup
from schemas.agents import EvidenceOrder, EvidenceUsed, Oracle, OracleResult, VerifyOffer, VerifyReply
from schemas.workspaces import EvidenceAnswer, EvidenceCheckout, EvidenceQuery
from services.runtime_local.oracles import Running, run_oracle

Ask = Callable[[EvidenceQuery], Awaitable[EvidenceAnswer]]
"""Asks the workspace service. Raises `WorkspaceAway` where it does not answer for long."""

Environment = Callable[[VerifyOffer, str, Path, Path], dict[str, str]]
"""The environment of a check: of an offer, the directory that it runs in, its HOME and its TMPDIR."""

SETUP_TIMEOUT_MS = 900_000
"""A set-up that takes longer than a quarter of an hour is ended, and has failed."""

_MOST_NAMED = 20
_LONGEST_WORDS = 200


class WorkspaceAway(Exception):
    """The workspace service does not answer. The message is a sentence for people."""


class _NoEvidence(Exception):
    """There is no place to check anything on."""

    def __init__(self, code: str, message: str, *results: OracleResult) -> None:
        super().__init__(message)
        self.code = code
        self.results = list(results)


class EvidenceRun:
    """One verification on a clean checkout."""

    def __init__(
        self, ask: Ask, environment: Environment, offer: VerifyOffer, order: EvidenceOrder, running: Running
    ) -> None:
        self._ask = ask
        self._environment = environment
        self._offer = offer
        self._order = order
        self._running = running
        self._number = 0
        self._temporary = Path()
        self._setup: Literal["", "run", "reused"] = ""

    async def results(self, locks: Path, temporary: Path) -> VerifyReply:
        """The verdicts of the offer's oracles, in order; each finds a clean checkout and an empty TMPDIR."""
        offer, found = self._offer, list[OracleResult]()
        self._temporary = temporary
        used = EvidenceUsed(commit=self._order.commit)
        try:
            async with _alone(locks, offer.execution_id, self._running):
                for oracle in offer.oracles:
                    place = await self._clean()
                    used = EvidenceUsed(
                        commit=self._order.commit, setup=self._setup, copied=place.copied, kept=place.kept
                    )
                    found.append(await self._check(oracle, place))
        except _NoEvidence as none:
            reply = VerifyReply(verification_id=offer.verification_id, results=none.results, error=str(none))
            return msgspec.structs.replace(reply, code=none.code, evidence=used if none.results else None)
        except WorkspaceAway as away:
            return VerifyReply(verification_id=offer.verification_id, error=str(away), code="workspace_away")
        return VerifyReply(
            verification_id=offer.verification_id, results=found, error=self._running.stopped, evidence=used
        )

    async def _clean(self) -> EvidenceCheckout:
        """The place with the commit in it and its set-up made."""
        place = await self._step("check_out")
        if not self._order.setup or self._running.stopped:
            return place
        if place.set_up:
            self._setup = self._setup or "reused"
            return place
        self._setup = "run"
        made = Oracle(run=self._order.setup, timeout_ms=SETUP_TIMEOUT_MS)
        result = await run_oracle(made, workspace=Path(place.path), env=self._env(place), running=self._running)
        if self._running.stopped:
            return place
        if result.exit_code != 0:  # whatever it reports: a set-up may run no test
            words = result.output.strip().rpartition("\n")[2][-_LONGEST_WORDS:]
            said = f" and said: {words}" if words else ""
            why = result.note if result.exit_code is None else f"it ended with exit code {result.exit_code}{said}"
            told = msgspec.structs.replace(result, type="setup", score=None, passed=False)
            raise _NoEvidence("setup_failed", f"The set-up failed, so nothing was checked: {result.name}: {why}", told)
        settled = await self._step("settle")
        if settled.changed:
            raise _NoEvidence(
                "setup_changes_files",
                f"The set-up changes files of the repository, so nothing was checked: {_named(settled.changed)}. "
                f"Let it leave them as they are (`npm ci` instead of `npm install`), or commit what it writes.",
                msgspec.structs.replace(result, type="setup", score=None, passed=False, changed=settled.changed),
            )
        return msgspec.structs.replace(place, set_up=True)

    async def _check(self, oracle: Oracle, place: EvidenceCheckout) -> OracleResult:
        tree = Path(place.path)
        result = await run_oracle(oracle, workspace=tree, env=self._env(place), running=self._running)
        if self._running.stopped:
            return result
        looked = await self._step("look")
        changed = [path for path in looked.changed if not any(matches(path, glob) for glob in oracle.may_change)]
        if looked.moved or changed:
            said = [looked.moved] if looked.moved else []
            if changed:
                said.append(
                    f"The check changes files of the repository, so it says nothing about the commit: "
                    f"{_named(changed)}. Let it only look, or name them under mayChange."
                )
            named = changed or msgspec.UNSET
            return msgspec.structs.replace(result, score=None, passed=False, note=" ".join(said), changed=named)
        if result.passed:
            return result
        said = [result.note] if result.note else []
        if looked.unfilled:
            said.append(_unfilled_words(looked))
            result = msgspec.structs.replace(result, score=None)
        if not self._order.setup:
            proposal = proposed_setup(oracle.run, await asyncio.to_thread(os.listdir, tree))
            said += [proposal.sentence()] if proposal is not None else []
        return msgspec.structs.replace(result, note=" ".join(said))

    def _env(self, place: EvidenceCheckout) -> dict[str, str]:
        self._number += 1
        temporary = self._temporary / str(self._number)
        temporary.mkdir()
        return self._environment(self._offer, place.path, Path(place.home), temporary)

    async def _step(self, step: Literal["check_out", "settle", "look"]) -> EvidenceCheckout:
        query = EvidenceQuery(
            execution_id=self._offer.execution_id,
            step=step,
            number=time.time_ns(),
            order=self._order,
            session=self._offer.session,
        )
        answer = await self._ask(query)
        while answer.place is None and answer.number >= query.number:  # the clock of this machine was set back
            query = msgspec.structs.replace(query, number=answer.number + 1)
            answer = await self._ask(query)
        if answer.place is None:
            code = answer.error.code if answer.error is not None else "no_evidence_place"
            message = answer.error.message if answer.error is not None else "The workspace service gave no answer."
            raise _NoEvidence(code, f"There is no clean checkout to check: {message}")
        return answer.place


@asynccontextmanager
async def _alone(locks: Path, execution_id: str, running: Running) -> AsyncGenerator[None]:
    """Holds the place of evidence for one verification on this machine; the end of this process lets go of it."""
    locks.mkdir(parents=True, exist_ok=True)
    file, descriptor = locks / execution_id, None
    try:
        while descriptor is None and not running.stopped:
            descriptor = _locked(file)
            if descriptor is None:
                await asyncio.sleep(0.05)
        yield
    finally:
        if descriptor is not None:
            file.unlink(missing_ok=True)
            os.close(descriptor)


def _locked(file: Path) -> int | None:
    """The descriptor of a locked file. None: somebody else has it, or has removed it just now."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), file.stat()):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None


def matches(path: str, glob: str) -> bool:
    """Whether a path is meant by a glob: `*` stays within a directory, `**` does not."""
    pattern = ""
    for part in re.split(r"(\*\*/|\*\*|\*|\?)", glob.removeprefix("./")):
        match part:
            case "**/":
                pattern += "(?:.*/)?"
            case "**":
                pattern += ".*"
            case "*":
                pattern += "[^/]*"
            case "?":
                pattern += "[^/]"
            case _:
                pattern += re.escape(part)
    return re.fullmatch(pattern.rstrip("/") + "(?:/.*)?" if pattern.endswith("/") else pattern, path) is not None


def _unfilled_words(looked: EvidenceCheckout) -> str:
    """Why a check that failed says nothing about the work: it may have needed files that the platform did not have."""
    alone = {one.path for one in looked.alone}
    others = [path for path in looked.unfilled if path not in alone]
    said = [
        f"The submodule {one.path} is not filled on the clean checkout, so this check says nothing about the work: "
        f"commit {one.commit} of {one.path} is nowhere but in this workspace (kept as {one.ref}): push it to where the "
        f"submodule comes from."
        for one in looked.alone
    ]
    return " ".join([*said, _to_be_filled(others)] if others else said)


def _to_be_filled(submodules: list[str]) -> str:
    what = f"The submodule {submodules[0]} is" if len(submodules) == 1 else f"The submodules {_named(submodules)} are"
    them = "it" if len(submodules) == 1 else "them"
    return (
        f"{what} not filled on the clean checkout, so this check says nothing about the work. "
        f"Let `workspace.setup` fill {them}, or initialise {them} in a local origin (`git submodule update --init`)."
    )


def _named(paths: list[str]) -> str:
    shown = ", ".join(paths[:_MOST_NAMED])
    return f"{shown} and {len(paths) - _MOST_NAMED} more" if len(paths) > _MOST_NAMED else shown
