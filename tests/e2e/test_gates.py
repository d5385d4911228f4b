"""Gates on the real stack: what did not pass has failed, says so everywhere, and is pushed only by `always`."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from dulwich import porcelain
from dulwich.repo import Repo

import parallax
from parallax.demo import make_repository
from parallax.stack import Stack, embedded
from parallax.stack.binaries import find_program
from parallax.stack.errors import MissingProgramError
from tests.conftest import missing
from tests.histories import scenarios

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.stack]

WORK, REVIEW, GATE, VERIFY = scenarios.WORK, scenarios.REVIEW, scenarios.GATE, scenarios.VERIFY
LATER = {"type": "wait", "id": "pause", "timeoutMs": 1}
MEND = {"type": "assign", "id": "mend", "role": "mender", "task": "Mend it: ${checks.critique}"}
TOLD = {"type": "condition", "id": "told", "check": "reading.approved", "then": LATER, "else": {**LATER, "id": "other"}}


def _charts() -> dict[str, str]:
    good, bad, chart, judged = scenarios.GOOD, scenarios.BAD, scenarios.chart, scenarios._judged
    upwards = {"accept": 0.8, "escalateBelow": 0.5}
    worker = {**bad, "verify": scenarios.CHECK, "confidence": upwards, "reportsTo": "lead"}
    return {
        "checked": chart("checked", {"worker": {**bad, "verify": scenarios.CHECK}}, [WORK]),
        "rejected": judged("rejected", "reject", good, [WORK, REVIEW, LATER]),
        "endless": judged("endless", "revise", scenarios.DRAFTS, [WORK, {**REVIEW, "maxIterations": 2}]),
        "unread": judged("unread", "junk", good, [WORK, REVIEW]),
        "asked": chart("asked", {"worker": good}, [WORK, GATE]),
        "late": chart("late", {"worker": good}, [WORK, {**GATE, "timeoutMs": 200}]),
        "nothing": chart("nothing", {"worker": good}, [WORK, {**VERIFY, "oracles": [scenarios.NOTHING]}]),
        "tried": chart("tried", {"worker": worker, "lead": scenarios.role("write", "note.txt", "worse")}, [WORK]),
        "decided": judged("decided", "reject", good, [WORK, REVIEW, TOLD]),
        "mended": chart(
            "mended",
            {"worker": bad, "mender": good},
            [WORK, VERIFY, MEND, {**VERIFY, "id": "again", "subject": "${mend}"}],
        ),
        "goes-on": chart(
            "goes-on",
            {"worker": {**bad, "verify": scenarios.CHECK}, "sure": scenarios.role("say", "fine")},
            [{**WORK, "onReject": "continue"}, {"type": "assign", "id": "last", "role": "sure", "task": "Say it."}],
        ),
        "outer": chart("outer", {"worker": good}, [{"type": "pattern", "id": "part", "pattern": "rejected"}, WORK]),
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Stack]:
    """The product, with the charts of these tests and the shipped ones."""
    try:
        for name in ("nats-server", "postgres", "etcd"):
            find_program(name)
    except MissingProgramError as error:
        missing("stack", str(error))
    place = tmp_path_factory.mktemp("gates")
    patterns = place / "patterns"
    patterns.mkdir()
    actor = shutil.copy(Path(scenarios.__file__).with_name("actor.py"), place / "actor.py")
    for name, text in _charts().items():
        (patterns / f"{name}.yaml").write_text(text.replace(scenarios.ACTOR, str(actor)), encoding="utf-8")
    shutil.copy(Path(__file__).parents[2] / "patterns" / "demo-tidy.yaml", patterns)
    async with embedded(env={"PARALLAX_PATTERNS_DIR": str(patterns)}) as running:
        yield running


def origin(path: Path) -> Path:
    """A repository with one commit."""
    repo = porcelain.init(path)
    (path / "README").write_text("gates\n", encoding="utf-8")
    _commit(path, "README")
    repo.close()
    return path


def _commit(path: Path, *names: str) -> None:
    porcelain.add(str(path), [str(path / name) for name in names])
    who = b"Test <test@example.org>"
    porcelain.commit(str(path), message=b"Change", author=who, committer=who)


def branches(path: Path) -> set[str]:
    """The branches of a repository that are ours."""
    with Repo(str(path)) as repo:
        return {name.decode() for name in repo.refs.allkeys() if b"parallax/" in name}


async def typed(stack: Stack, *arguments: str) -> tuple[int, str]:
    """The exit code of a command and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "parallax", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=stack.command_environ(),
    )
    said, _ = await asyncio.wait_for(process.communicate(), 120)
    return process.returncode or 0, said.decode()


async def ended(client: parallax.Client, name: str, answer: str = "") -> dict[str, Any]:
    """The data of the event that ended an execution of a chart; its question is answered."""
    execution = await client.request(name, {}, id=f"e-{name}")
    async with asyncio.timeout(120):
        async for event in execution.events():
            if event.type == "question.asked" and answer:
                await execution.answer(event.data["question_id"], answer, reason="because")
            if event.ends:
                assert (await execution.replay()).identical
                return {"type": event.type, **event.data}
    raise AssertionError(name)


async def test_a_failed_check_is_no_success_anywhere(stack: Stack, tmp_path: Path) -> None:
    """Exit code 1, nothing pushed and why, in `run`, `ps`, `show`, HTTP and the client."""
    place = origin(tmp_path / "origin")
    code, said = await typed(stack, "run", "checked", "--repo", str(place), "--push", "--id", "failing")
    assert code == 1
    assert "verification failed" in said
    assert "completed" not in said
    assert "exit code 1" in said
    assert "not pushed" in said
    assert branches(place) == set()
    assert "verification failed" in (await typed(stack, "ps"))[1]
    assert "verification failed" in (await typed(stack, "show", "failing"))[1]
    assert (await typed(stack, "events", "failing", "--follow"))[0] == 1
    async with aiohttp.ClientSession() as http, http.get(f"{stack.api_url}/api/executions/failing") as answer:
        view = await answer.json()
    assert (view["status"], view["approved"], view["error"]["code"]) == ("failed", False, "verification_failed")
    assert view["evidence"][0]["checks"][0]["exit_code"] == 1
    assert "pushed" in view["unpublished"]
    async with parallax.connect(stack.nats_url) as client:
        with pytest.raises(parallax.ExecutionFailed) as failure:
            await client.execution("failing").result(30)
    assert failure.value.code == "verification_failed"
    assert failure.value.evidence[0]["step"] == "work"


async def test_always_pushes_what_did_not_pass(stack: Stack, tmp_path: Path) -> None:
    """The branch is in the repository, and the execution has failed all the same."""
    place = origin(tmp_path / "origin")
    code, said = await typed(stack, "run", "checked", "--repo", str(place), "--push=always", "--id", "always")
    assert code == 1, said
    assert branches(place) == {"refs/heads/parallax/always/result"}


async def test_a_chart_that_goes_on_says_that_it_was_not_approved(stack: Stack, tmp_path: Path) -> None:
    """Completed, not approved, with the confidence of the evidence, exit code 1, and nothing pushed."""
    place = origin(tmp_path / "origin")
    code, said = await typed(stack, "run", "goes-on", "--repo", str(place), "--push", "--id", "goes-on")
    assert code == 1
    assert "completed, verification failed" in said
    assert branches(place) == set()
    found: Any = await stack.command("show", "goes-on", "--json")
    assert (found["status"], found["approved"], found["confidence"]) == ("completed", False, 0.0)
    listed: Any = await stack.command("ps", "--json")
    (row,) = [one for one in listed["executions"] if one["id"] == "goes-on"]
    assert (row["approved"], row["evidence"][0]["code"]) == (False, "verification_failed")


async def test_every_no_fails_and_says_who_said_it(stack: Stack) -> None:
    """Reviews, people, checks, retries, escalations and called patterns, each with its evidence and a true replay."""
    async with parallax.connect(stack.nats_url) as client:
        names: list[str] = ["rejected", "endless", "unread", "late", "nothing", "tried", "outer"]
        found = dict(zip(names, await asyncio.gather(*(ended(client, name) for name in names)), strict=True))
        found["asked"] = await ended(client, "asked", "deny")
        passed = await asyncio.gather(ended(client, "decided"), ended(client, "mended"))
    assert {name: (one["type"], one["error"]["code"]) for name, one in found.items()} == {
        "rejected": ("execution.failed", "not_approved"),
        "endless": ("execution.failed", "not_approved"),
        "unread": ("execution.failed", "not_approved"),
        "late": ("execution.failed", "not_approved"),
        "nothing": ("execution.failed", "verification_failed"),
        "tried": ("execution.failed", "verification_failed"),
        "outer": ("execution.failed", "not_approved"),
        "asked": ("execution.failed", "not_approved"),
    }
    said = {name: (one["evidence"][0]["by"], one["evidence"][0]["verdict"]) for name, one in found.items()}
    assert said["rejected"] == ("judge", "reject")
    assert said["endless"] == ("judge", "revise")
    assert said["unread"] == ("judge", "none")
    assert said["late"] == ("nobody", "none")
    assert said["asked"][1] == "reject"
    assert said["nothing"][1] == "no evidence"
    assert [one["type"] for one in passed] == ["execution.completed"] * 2
    assert passed[1]["approved"] is True


async def test_the_demo_with_one_more_failing_test_is_not_approved(stack: Stack, tmp_path: Path) -> None:
    """The reviewer's tests fail, whatever it says: exit code 1 and nothing pushed."""
    place = tmp_path / "parcels"
    make_repository(place)
    (place / "tests" / "test_more.py").write_text("def test_it():\n    assert 1 == 2\n", encoding="utf-8")
    _commit(place, "tests/test_more.py")
    code, said = await typed(stack, "run", "demo-tidy", "--repo", str(place), "--push", "--id", "parcels")
    assert code == 1
    assert "not approved" in said
    assert "1 failed" in said
    assert branches(place) == set()
