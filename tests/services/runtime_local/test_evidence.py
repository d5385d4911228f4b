"""Checks on a clean checkout, as a runtime runs them; the workspace service is played by the test."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from compiler.setups import proposed_setup
from schemas.agents import EvidenceOrder, Oracle, VerifyOffer, VerifyReply
from schemas.base import Failure
from schemas.events import ExecutionCancelled, ExecutionPaused, ExecutionResumed
from schemas.workspaces import EvidenceAlone, EvidenceAnswer, EvidenceCheckout, EvidenceQuery
from services.runtime_local.environment import NotFound, find_program
from services.runtime_local.evidence import matches
from shared import subjects
from shared.ids import new_id
from shared.testing import eventually
from tests.services.runtime_local.stage import Stage, stage


class Site:
    """A place of evidence with one file, `a`, and what was asked about it."""

    def __init__(self, root: Path) -> None:
        self.tree, self.home = root / "tree", root / "home"
        self.asked: list[EvidenceQuery] = []
        self.set_up = False
        self.unfilled: list[str] = []
        self.moved = ""
        self.alone: list[EvidenceAlone] = []
        self.answer: Callable[[EvidenceQuery], EvidenceAnswer | None] = lambda _: None

    async def serve(self, query: EvidenceQuery) -> EvidenceAnswer:
        """Answers as the workspace service does."""
        self.asked.append(query)
        said = self.answer(query)
        if said is not None:
            return said
        changed: list[str] = []
        if query.step == "check_out":
            keep = {path.name for path in self.tree.glob("made*")} if self.set_up else set[str]()
            self.tree.mkdir(exist_ok=True)
            self.home.mkdir(exist_ok=True)
            for path in self.tree.iterdir():
                if path.name not in keep:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            (self.tree / "a").write_text("1\n")
        elif (self.tree / "a").read_text() != "1\n":
            changed = ["a"]
        self.set_up = self.set_up or (query.step == "settle" and not changed)
        place = EvidenceCheckout(
            path=str(self.tree), home=str(self.home), set_up=self.set_up, changed=changed, unfilled=self.unfilled
        )
        place = msgspec.structs.replace(place, moved=self.moved if query.step == "look" else "", alone=self.alone)
        return EvidenceAnswer(place=place)


async def place(scene: Stage, root: Path) -> Site:
    """A place that is asked for over the bus."""
    site = Site(root)
    await scene.bus.serve(subjects.QUERY_EVIDENCE, EvidenceQuery, site.serve)
    return site


def offer(*oracles: Oracle, **order: Any) -> VerifyOffer:
    """Oracles offered for a commit."""
    return VerifyOffer(
        verification_id=new_id(),
        execution_id=f"e{new_id()[:12]}",
        session="worker-1",
        role="worker",
        workspace="",
        oracles=list(oracles),
        evidence=EvidenceOrder(commit="c" * 40, **order),
    )


async def ask(scene: Stage, offered: VerifyOffer, timeout_s: float = 30) -> VerifyReply:
    """The runtime's verdicts."""
    return await scene.bus.request(subjects.runtime_verify("local"), offered, VerifyReply, timeout_s=timeout_s)


async def test_each_check_finds_a_clean_checkout_and_is_looked_after(nats_url: str, tmp_path: Path) -> None:
    """Check out, run, look; for each oracle, with numbers that grow."""
    async with stage(nats_url, tmp_path) as scene:
        site = await place(scene, tmp_path)
        check = Oracle(run="test ! -e left && test ! -e $TMPDIR/left && touch left $TMPDIR/left && pwd && echo $HOME")
        offered = offer(check, check)
        reply = await ask(scene, offered)
        assert [result.passed for result in reply.results] == [True, True], reply
        assert reply.results[0].output == f"{site.tree}\n{site.home}\n"
        assert [query.step for query in site.asked] == ["check_out", "look"] * 2
        numbers = [query.number for query in site.asked]
        assert numbers == sorted(set(numbers))
        assert reply.evidence
        assert (reply.evidence.commit, reply.evidence.setup) == ("c" * 40, "")
        assert await ask(scene, offered) == reply, "it is answered from memory"
        assert len(site.asked) == 4


async def test_a_set_up_is_run_once(nats_url: str, tmp_path: Path) -> None:
    """Its HOME is that of the checks; where the place has it already it is not run."""
    async with stage(nats_url, tmp_path) as scene:
        site = await place(scene, tmp_path)
        check, setup = (
            Oracle(run="test -f made -a -f $HOME/made"),
            ["sh", "-c", "touch made $HOME/made; echo 0 passed in 0.1s"],
        )
        reply = await ask(scene, offer(check, check, setup=setup))
        assert [query.order.setup for query in site.asked] == [setup] * 5
        assert [result.passed for result in reply.results] == [True, True], reply
        assert reply.evidence
        assert reply.evidence.setup == "run"
        assert [query.step for query in site.asked] == ["check_out", "settle", "look", "check_out", "look"]
        reply = await ask(scene, offer(check, setup="exit 1"))
        assert reply.results[0].passed
        assert reply.evidence
        assert reply.evidence.setup == "reused"


@pytest.mark.parametrize(
    ("setup", "code", "said"),
    [
        ("echo away >&2; exit 3", "setup_failed", "exit code 3"),
        (["no-such-tool"], "setup_failed", "was not found in PATH"),
        ("echo 2 >a", "setup_changes_files", "changes files of the repository, so nothing was checked: a."),
    ],
)
async def test_a_set_up_that_fails_is_told_as_such(
    nats_url: str, tmp_path: Path, setup: str | list[str], code: str, said: str
) -> None:
    """Nothing is checked, and what the set-up wrote is there to read."""
    async with stage(nats_url, tmp_path) as scene:
        await place(scene, tmp_path)
        reply = await ask(scene, offer(Oracle(run="true"), setup=setup))
        assert reply.code == code
        assert said in reply.error
        assert [result.type for result in reply.results] == ["setup"]
        assert not reply.results[0].passed


async def test_a_check_that_changes_the_repositorys_files_is_no_evidence(nats_url: str, tmp_path: Path) -> None:
    """Unless it may."""
    async with stage(nats_url, tmp_path) as scene:
        await place(scene, tmp_path)
        run = "echo 2 >a"
        reply = await ask(scene, offer(Oracle(run=run), Oracle(run=run, may_change=["*"]), Oracle(run="cat a")))
        changes, may, after = reply.results
        assert (changes.score, changes.passed, changes.changed) == (None, False, ["a"])
        assert "changes files of the repository" in changes.note
        assert (may.score, may.passed) == (1.0, True)
        assert after.output == "1\n"


async def test_a_check_of_another_commit_is_no_evidence(nats_url: str, tmp_path: Path) -> None:
    """Whatever it may change, and whatever it found."""
    async with stage(nats_url, tmp_path) as scene:
        site = await place(scene, tmp_path)
        site.moved = "The check moved HEAD to abc: it judged another commit."
        checks = Oracle(run="true"), Oracle(run="exit 1"), Oracle(run="echo 2 >a", may_change=["**"])
        reply = await ask(scene, offer(*checks, Oracle(run="echo 2 >a")))
        assert [(one.score, one.passed) for one in reply.results] == [(None, False)] * 4
        assert [one.note for one in reply.results[:3]] == [site.moved] * 3
        assert reply.results[3].note.startswith(f"{site.moved} The check changes files of the repository")
        assert reply.results[3].changed == ["a"]


async def test_without_a_place_there_is_no_evidence(nats_url: str, tmp_path: Path) -> None:
    """The workspace service's reason is the reason."""
    async with stage(nats_url, tmp_path) as scene:
        site = await place(scene, tmp_path)
        site.answer = lambda _: EvidenceAnswer(error=Failure(code="copy_missing", message="There is no .env."))
        reply = await ask(scene, offer(Oracle(run="true")))
        assert (reply.code, reply.results) == ("copy_missing", [])
        assert "There is no .env." in reply.error


async def test_a_clock_that_was_set_back_is_no_trouble(nats_url: str, tmp_path: Path) -> None:
    """The step is asked for again, with a younger number."""
    async with stage(nats_url, tmp_path) as scene:
        site = await place(scene, tmp_path)
        future = 2**62

        def late(query: EvidenceQuery) -> EvidenceAnswer | None:
            if query.number > future:
                return None
            return EvidenceAnswer(error=Failure(code="evidence_late", message="late"), number=future)

        site.answer = late
        reply = await ask(scene, offer(Oracle(run="true")))
        assert reply.results[0].passed, reply


async def test_checks_of_one_execution_follow_one_another(nats_url: str, tmp_path: Path) -> None:
    """Those of another one do not wait."""
    async with stage(nats_url, tmp_path) as scene:
        await place(scene, tmp_path)
        check = Oracle(run="test ! -e busy && touch busy && sleep .5 && rm busy")
        one = offer(check)
        two = VerifyOffer(
            verification_id=new_id(),
            execution_id=one.execution_id,
            session="other-1",
            role="other",
            workspace="",
            oracles=[check],
            evidence=one.evidence,
        )
        async with asyncio.TaskGroup() as group:
            replies = [group.create_task(ask(scene, offered)) for offered in (one, two)]
        assert [reply.result().results[0].passed for reply in replies] == [True, True]


async def test_the_end_of_the_execution_ends_its_check_and_its_set_up(nats_url: str, tmp_path: Path) -> None:
    """Whoever asked is told, and nothing is taken for a verdict."""
    async with stage(nats_url, tmp_path) as scene:
        site = await place(scene, tmp_path)
        for offered in (
            offer(Oracle(run="touch begun && sleep 300")),
            offer(Oracle(run="true"), setup="touch begun && sleep 300"),
        ):
            asking = asyncio.create_task(ask(scene, offered))
            await eventually((site.tree / "begun").exists, timeout_s=20)
            await scene.bus.append(ExecutionCancelled(execution_id=offered.execution_id))
            reply = await asking
            assert reply.error == "the execution is over"
            assert [result.score for result in reply.results] in ([], [None])
            (site.tree / "begun").unlink()


async def test_a_pause_freezes_a_check(nats_url: str, tmp_path: Path) -> None:
    """Its time limit stands still too."""
    async with stage(nats_url, tmp_path) as scene:
        site = await place(scene, tmp_path)
        offered = offer(Oracle(run="touch begun; sleep 1; touch late", timeout_ms=3_000))
        asking = asyncio.create_task(ask(scene, offered, timeout_s=60))
        await eventually((site.tree / "begun").exists, timeout_s=20)
        await scene.bus.append(ExecutionPaused(execution_id=offered.execution_id, number=1))
        await asyncio.sleep(4)  # longer than the check and its limit
        assert not (site.tree / "late").exists()
        await scene.bus.append(ExecutionResumed(execution_id=offered.execution_id, number=1))
        reply = await asking
        assert reply.results[0].passed, reply


@pytest.mark.parametrize(
    ("path", "glob", "fits"),
    [
        ("a.lock", "*.lock", True),
        ("dir/a.lock", "*.lock", False),
        ("dir/a.lock", "**/*.lock", True),
        ("a.lock", "**/*.lock", True),
        ("docs/a/b.md", "docs/**", True),
        ("docs/a/b.md", "docs/", True),
        ("docs", "docs/**", False),
        ("a.b", "a?b", True),
        ("axb", "a.b", False),
        ("a", "./a", True),
    ],
)
def test_globs_mean_what_they_mean_elsewhere(path: str, glob: str, fits: bool) -> None:
    """A star stays within a directory, two do not."""
    assert matches(path, glob) is fits


@pytest.mark.parametrize(
    ("run", "files", "lock"),
    [
        ("npm test", {"package-lock.json"}, "package-lock.json"),
        (["npx", "vitest", "run"], {"pnpm-lock.yaml", "package.json"}, "pnpm-lock.yaml"),
        ("cd web && npm test", {"package-lock.json", "node_modules"}, ""),
        ("pytest -q", {"uv.lock"}, "uv.lock"),
        ("pytest -q", {"requirements.txt"}, ""),
        ("pytest -q", {"package-lock.json"}, ""),
        ("cargo test", {"Cargo.lock"}, ""),
        ("vendor/bin/phpunit", {"composer.lock"}, "composer.lock"),
        ("test -f npm.txt", {"package-lock.json"}, ""),
    ],
)
def test_a_set_up_is_proposed_where_a_lock_file_says_so(run: str | list[str], files: set[str], lock: str) -> None:
    """And where the check uses the tools that it is for."""
    proposal = proposed_setup(run, files)
    assert (proposal.lock if proposal else "") == lock
    if proposal:
        assert proposal.makes in proposal.sentence()


def test_a_program_of_a_virtual_environment_is_run_by_its_own_name(tmp_path: Path) -> None:
    """It is a link to a program elsewhere, and knows its environment by how it is called. A directory that leads out
    is refused as ever."""
    (tmp_path / "tree" / ".venv" / "bin").mkdir(parents=True)
    link = tmp_path / "tree" / ".venv" / "bin" / "python"
    link.symlink_to(sys.executable)
    (tmp_path / "tree" / "out").symlink_to(Path(sys.executable).parent)
    assert find_program("./.venv/bin/python", path="", workspace=tmp_path / "tree") == str(link)
    with pytest.raises(NotFound, match="outside the worktree"):
        find_program(f"./out/{Path(sys.executable).name}", path="", workspace=tmp_path / "tree")


async def test_a_check_may_make_sockets_wherever_the_platform_runs(
    nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its TMPDIR is short, also where that of the platform is not."""
    long = tmp_path / ("x" * 60) / ("y" * 60)
    long.mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(long))
    async with stage(nats_url, tmp_path) as scene:
        await place(scene, tmp_path)
        run = [sys.executable, "-c", "import multiprocessing as m; m.Manager().list([1])"]
        reply = await ask(scene, offer(Oracle(run=run)))
        assert reply.results[0].passed, reply


@pytest.mark.parametrize(
    ("run", "score", "said"),
    [
        ("true", 1.0, ""),
        ("test -f s/lib.py", None, "The submodule s is not filled on the clean checkout"),
        ("echo 3 passed, 1 failed in 0.1s; exit 1", None, "this check says nothing about the work"),
        ("echo 3 passed, 1 failed in 0.1s", None, "1 test failed, although the exit code is 0. The submodule s"),
    ],
)
async def test_a_failure_without_a_submodules_files_is_no_evidence(
    nats_url: str, tmp_path: Path, run: str, score: float | None, said: str
) -> None:
    """Nobody knows whose fault it is, so it is no pass either; a check that passes did without."""
    async with stage(nats_url, tmp_path) as scene:
        site = await place(scene, tmp_path)
        site.unfilled = ["s"]
        (result,) = (await ask(scene, offer(Oracle(run=run)))).results
        assert (result.score, result.passed) == (score, score is not None)
        assert said in result.note
        assert bool(said) == bool(result.note)
        site.unfilled = []
        (result,) = (await ask(scene, offer(Oracle(run=run)))).results
        assert result.score == (1.0 if run == "true" else 0.0)
        assert "submodule" not in result.note


async def test_a_submodule_that_only_an_agent_has_is_to_be_pushed(nats_url: str, tmp_path: Path) -> None:
    """No set-up could fill it; what is said of others stays."""
    async with stage(nats_url, tmp_path) as scene:
        site = await place(scene, tmp_path)
        site.unfilled, site.alone = ["s"], [EvidenceAlone(path="s", commit="d" * 40, ref="refs/parallax/kept/r")]
        (result,) = (await ask(scene, offer(Oracle(run="false")))).results
        said = f"commit {'d' * 40} of s is nowhere but in this workspace (kept as refs/parallax/kept/r): push it"
        assert said in result.note
        assert "workspace.setup" not in result.note
        assert result.score is None
        site.unfilled = ["other", "s"]
        (result,) = (await ask(scene, offer(Oracle(run="false")))).results
        assert said in result.note
        assert "The submodule other is not filled on the clean checkout" in result.note
