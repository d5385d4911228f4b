"""Evidence is taken on what is delivered: a clean checkout of the commit, through the whole product."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from dulwich import porcelain
from dulwich.repo import Repo

import parallax
from parallax.client import Client
from parallax.stack import Stack, embedded
from parallax.stack.binaries import find_program
from parallax.stack.errors import MissingProgramError
from schemas.events import VerificationCompleted
from shared.ids import new_id
from shared.testing import eventually
from tests.conftest import missing

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.stack]


class Lab:
    """A stack, and patterns and repositories made for one test each."""

    def __init__(self, stack: Stack, client: Client, patterns: Path, place: Path) -> None:
        self.stack = stack
        self.client = client
        self._patterns = patterns
        self._place = place

    def repository(self, files: Mapping[str, str]) -> str:
        """A repository with one commit of these files."""
        root = self._place / new_id()[:8]
        root.mkdir()
        for name, content in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(content)
        with Repo.init(str(root), default_branch=b"main") as repo:
            porcelain.add(repo, [str(root / name) for name in files])
            who = b"u <u@x.invalid>"
            porcelain.commit(repo, message=b"x", author=who, committer=who)
        return str(root)

    def add_submodule(self, repo: str, of: str, path: str) -> None:
        """Commits one repository as a submodule of another."""
        who = ("-c", "user.name=u", "-c", "user.email=u@x.invalid", "-c", "protocol.file.allow=always")
        for words in (("submodule", "add", "-q", of, path), ("commit", "-qm", path)):
            subprocess.run(["git", *who, *words], cwd=repo, check=True, capture_output=True)

    def pattern(self, roles: Mapping[str, Any], steps: Sequence[Any], **workspace: Any) -> str:
        """A pattern of `command` roles: what each runs, or that and its `verify`."""
        name = f"p-{new_id()[:8]}"
        made: dict[str, Any] = {}
        for role, given in roles.items():
            run, verify = given if isinstance(given, tuple) else (given, None)
            made[role] = {
                "agentType": "command",
                "capabilities": ["x"],
                "agentConfig": {"command": ["sh", "-c", run]},
                **({"verify": verify} if verify else {}),
            }
        chart = {
            "name": name,
            "workspace": workspace,
            "structure": {"name": "s", "roles": made},
            "workflow": {"name": "w", "steps": steps},
        }
        (self._patterns / f"{name}.yaml").write_text(json.dumps(chart))
        return name

    async def verified(self, pattern: str, repo: str) -> list[VerificationCompleted]:
        """Runs a pattern to its end; every verification of it, in order. Its replay makes the same decisions."""
        execution = await self.client.request(pattern, {}, id=f"e-{new_id()[:10]}", repo=repo)
        await self.ended(execution.id)
        assert (await execution.replay()).identical
        return await self.verifications(execution.id)

    async def ended(self, execution_id: str) -> None:
        """Waits for the end of an execution, whatever it is."""

        async def over() -> bool:
            history = await self.client.execution(execution_id).history()
            return any(event.type in {"execution.completed", "execution.failed"} for event in history)

        await eventually(over, timeout_s=90)

    async def verifications(self, execution_id: str) -> list[VerificationCompleted]:
        """The verifications of an execution so far."""
        history = await self.client.execution(execution_id).history(types=[VerificationCompleted.TYPE])
        return [msgspec.convert(dict(event.data), VerificationCompleted) for event in history]


def check(run: str, **more: Any) -> dict[str, Any]:
    """A command oracle."""
    return {"type": "command", "run": run, **more}


def assign(role: str, **more: Any) -> dict[str, Any]:
    """An assign step."""
    return {"type": "assign", "role": role, "task": more.pop("task", "do it"), **more}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Lab]:
    """The product with an empty library of patterns."""
    try:
        for name in ("nats-server", "postgres", "etcd"):
            find_program(name)
    except MissingProgramError as error:
        missing("stack", str(error))
    patterns = tmp_path_factory.mktemp("patterns")
    async with (
        embedded(env={"PARALLAX_PATTERNS_DIR": str(patterns)}) as running,
        parallax.connect(running.nats_url) as client,
    ):
        yield Lab(running, client, patterns, tmp_path_factory.mktemp("repositories"))


async def test_a_file_that_git_ignores_is_no_part_of_what_is_checked(lab: Lab) -> None:
    """The clone could not import it either: neither for a role's check, nor for a verify step of the one work."""
    repo = lab.repository({".gitignore": "lib/\n", "m.py": "import lib.u\n"})
    works = "mkdir -p lib; touch lib/u.py; echo '#' >>m.py"
    [of_role] = await lab.verified(lab.pattern({"a": (works, check("python m.py"))}, [assign("a")]), repo)
    assert (of_role.score, of_role.passed) == (0.0, False)
    assert "No module named 'lib'" in of_role.oracles[0].output
    steps = [assign("a", id="one"), {"type": "verify", "subject": "${one}", "oracles": [check("python m.py")]}]
    [of_step] = await lab.verified(lab.pattern({"a": works}, steps), repo)
    assert (of_step.score, of_step.passed) == (0.0, False)


@pytest.mark.parametrize("order", ["ab", "ba"])
async def test_behind_a_parallel_step_the_order_of_roles_changes_nothing(lab: Lab, order: str) -> None:
    """What is checked is the merged result, without what one of the two left in its worktree."""
    repo = lab.repository({".gitignore": "lib/\n", "m.py": "import n, m2, lib.u\n"})
    roles = {"a": "mkdir -p lib; touch lib/u.py n.py", "b": "touch m2.py"}
    parallel = {"type": "parallel", "id": "p", "steps": [assign(role) for role in order]}
    steps = [parallel, {"type": "verify", "subject": "${p}", "oracles": [check("python m.py")]}]
    [merged] = await lab.verified(lab.pattern(roles, steps), repo)
    assert (merged.score, merged.passed) == (0.0, False)
    assert "No module named 'lib'" in merged.oracles[0].output
    steps[1] = {"type": "verify", "oracles": [check("python -c 'import n, m2'")]}
    [whole] = await lab.verified(lab.pattern(roles, steps), repo)
    assert (whole.score, whole.passed) == (1.0, True)


async def test_a_check_that_changes_a_tracked_file_is_no_evidence(lab: Lab) -> None:
    """It says which, what the agent did stays as it is, and `mayChange` allows some."""
    repo = lab.repository({"f": "bad\n", "dir/lock": "1\n"})
    heal = "sed -i s/bad/good/ f && ! grep -q bad f"
    [healed] = await lab.verified(lab.pattern({"a": ("echo bad2 >>f", check(heal))}, [assign("a")]), repo)
    assert (healed.score, healed.passed) == (None, False)
    assert healed.oracles[0].changed == ["f"]
    assert "changes files of the repository" in healed.oracles[0].note
    moves = check("echo 2 >dir/lock && touch new && grep -q bad2 f", mayChange=["**/lock"])
    [allowed] = await lab.verified(lab.pattern({"a": ("echo bad2 >>f", moves)}, [assign("a")]), repo)
    assert (allowed.score, allowed.passed) == (1.0, True)


@pytest.mark.skipif(shutil.which("git") is None, reason="the check uses the git program")
async def test_a_check_of_another_commit_is_no_evidence(lab: Lab) -> None:
    """Also where it comes back, and where it may change whatever it likes."""
    repo = lab.repository({"a": "good\n"})
    run = "git checkout -q HEAD~1 && ! grep -q broken a"
    checks = [check(f"{run} && git checkout -q -"), check(run, mayChange=["**"]), check("grep -q good a")]
    pattern = lab.pattern({"a": ("echo broken >a", checks)}, [assign("a")])
    [found] = await lab.verified(pattern, repo)
    back, stays, honest = found.oracles
    for one in (back, stays):
        assert (one.score, one.passed) == (None, False)
        assert one.note.startswith("The check moved HEAD to ")
        assert one.note.endswith(": it judged another commit.")
    assert (honest.score, found.score, found.passed) == (0.0, None, False)


async def test_without_a_clean_checkout_the_failure_says_why(lab: Lab) -> None:
    """In its first line; what could not be done is no check's finding."""
    repo = lab.repository({".gitignore": "kept\n", "a": "1\n"})
    roles = {"a": ("mkdir kept && ln -s / kept/out", check("true"))}
    execution = await lab.client.request(
        lab.pattern(roles, [assign("a", id="w")], keep=["kept"]), {}, id=f"e-{new_id()[:10]}", repo=repo
    )
    await lab.ended(execution.id)
    history = await execution.history()
    [ending] = [event for event in history if event.type == "execution.failed"]
    first = str(ending.data["error"]["message"]).splitlines()[0]
    assert first.startswith("step 'w' did not pass: There is no clean checkout to check: `workspace.keep` names 'kept'")
    assert [one["by"] for one in ending.data["evidence"]] == [""]


async def test_files_that_are_not_there_stop_an_execution_before_it_begins(lab: Lab) -> None:
    """No agent has worked when it is found."""
    repo = lab.repository({"a": "1\n"})
    pattern = lab.pattern({"a": ("true", check("true"))}, [assign("a")], copy=["nope"])
    execution = await lab.client.request(pattern, {}, id=f"e-{new_id()[:10]}", repo=repo)
    await lab.ended(execution.id)
    history = await execution.history()
    assert not [event for event in history if event.type.startswith("task.")]
    error = history[-1].data["error"]
    assert error["code"] == "copy_missing"
    assert "`workspace.copy` names 'nope', which is not in the directory of the origin." in error["message"]


async def test_a_report_of_nothing_or_of_failures_is_no_pass(lab: Lab) -> None:
    """Whatever the exit code is."""
    repo = lab.repository({"test_a.py": "def test_a():\n    assert 0\n\ndef test_b():\n    pass\n"})
    nothing = check('echo "test result: ok. 0 passed; 0 failed; 9 filtered out"')
    [zero] = await lab.verified(lab.pattern({"a": ("touch n", nothing)}, [assign("a")]), repo)
    assert (zero.score, zero.passed) == (None, False)
    piped = check("python -m pytest -q -p no:cacheprovider 2>&1 | tail -5")
    [failed] = await lab.verified(lab.pattern({"a": ("touch n", piped)}, [assign("a")]), repo)
    assert (failed.score, failed.passed) == (0.0, False)
    assert (failed.oracles[0].exit_code, failed.oracles[0].tests_failed) == (0, 1)


async def test_no_check_sees_what_another_one_left(lab: Lab) -> None:
    """Not in the checkout, nor in HOME or TMPDIR; git knows the commit."""
    repo = lab.repository({"a": "1\n"})
    leaves = check("touch left $HOME/left $TMPDIR/left && test -f n")
    looks = check('test ! -e left && test ! -e "$HOME/left" && test ! -e "$TMPDIR/left"')
    with_git = shutil.which("git") is not None
    asks = 'test -z "$(git status --porcelain)" && git show --stat HEAD' if with_git else "test -e .git"
    role = ("touch n", [leaves, looks, check(asks)])
    steps = [assign("a", id="one"), {"type": "verify", "subject": "${one}", "oracles": [looks]}]
    of_role, of_step = await lab.verified(lab.pattern({"a": role}, steps), repo)
    assert [one.passed for one in of_role.oracles] == [True, True, True], of_role
    assert of_step.passed, of_step
    assert of_role.evidence
    assert of_role.evidence.commit


async def test_a_set_up_is_made_once_and_again_when_its_key_changes(lab: Lab) -> None:
    """From role to role; the fact says whether it was made for this check."""
    repo = lab.repository({"lock": "1\n", ".gitignore": "env/\n"})
    checks = check("cmp lock env/lock && test -f $HOME/made && wc -l <env/count | grep -qx 1")
    roles = {"a": ("echo 1 >>n", checks), "b": ("echo 2 >lock", checks)}
    setup = "mkdir -p env && cp lock env/lock && echo x >>env/count && touch $HOME/made"
    pattern = lab.pattern(roles, [assign("a"), assign("a"), assign("b"), assign("a")], setup=setup, setupKey=["lock"])
    found = await lab.verified(pattern, repo)
    assert [one.passed for one in found] == [True] * 4, found
    assert [one.evidence.setup if one.evidence else None for one in found] == ["run", "reused", "run", "reused"]


async def test_a_set_up_that_fails_or_changes_files_is_not_the_agents_fault(lab: Lab) -> None:
    """There is no evidence, and the reason is the set-up, by its name."""
    repo = lab.repository({"lock": "1\n"})
    role = {"a": ("touch n", check("true"))}
    [failed] = await lab.verified(lab.pattern(role, [assign("a")], setup=["sh", "-c", "echo no net >&2; exit 7"]), repo)
    assert failed.error
    assert failed.error.code == "setup_failed"
    assert "exit code 7" in failed.error.message
    assert (failed.score, failed.passed, failed.oracles[0].type) == (None, False, "setup")
    assert "no net" in failed.oracles[0].output
    [changes] = await lab.verified(lab.pattern(role, [assign("a")], setup="echo 2 >lock"), repo)
    assert changes.error
    assert changes.error.code == "setup_changes_files"
    assert changes.oracles[0].changed == ["lock"]


async def test_a_missing_set_up_is_proposed(lab: Lab) -> None:
    """Where a lock file says what the failing check lacks."""
    repo = lab.repository({"package-lock.json": "{}\n"})
    [found] = await lab.verified(lab.pattern({"a": ("touch n", check("npm --nonsense"))}, [assign("a")]), repo)
    assert not found.passed
    assert "node_modules is missing on the clean checkout" in found.oracles[0].note
    assert "setup: [npm, ci], setupKey: [package-lock.json]" in found.oracles[0].note


async def test_named_files_of_the_origin_and_of_the_agent_are_there_and_said(lab: Lab) -> None:
    """`copy` and `keep`; nothing else of either."""
    repo = lab.repository({".gitignore": ".env\nnm/\nother/\n"})
    (Path(repo) / ".env").write_text("k")
    works = "mkdir -p nm other; echo x >nm/x; touch other/y n; echo agent >.env"
    checks = check("grep -q k .env && test -f nm/x && test ! -e other")
    pattern = lab.pattern({"a": (works, checks)}, [assign("a")], copy=[".env"], keep="nm")
    [found] = await lab.verified(pattern, repo)
    assert found.passed, found
    assert found.evidence
    assert (found.evidence.copied, found.evidence.kept) == ([".env"], ["nm"])


@pytest.mark.skipif(shutil.which("git") is None, reason="submodules need the git program")
@pytest.mark.parametrize("held", [True, False])
async def test_a_check_has_the_files_of_submodules_or_is_no_evidence(lab: Lab, tmp_path: Path, held: bool) -> None:
    """Where the origin holds the submodule's commit they are there; otherwise a failure says nothing of the agent."""
    made, repo = lab.repository({"lib.py": "1\n"}), lab.repository({"a": "a\n"})
    lab.add_submodule(repo, made, "s")
    if not held:
        Path(repo, ".git/modules").rename(tmp_path / "modules")
    pattern = lab.pattern({"a": ("touch n", check("test -f s/lib.py"))}, [assign("a")])
    (verified,) = await lab.verified(pattern, repo)
    assert (verified.score, verified.passed) == ((1.0, True) if held else (None, False))
    assert ("The submodule s is not filled" in verified.oracles[0].note) is not held


async def test_a_verdict_survives_the_death_of_whoever_takes_it(lab: Lab) -> None:
    """The executor, the runtime and the workspace service are killed during the check, which is made again."""
    for victim in ("executor", "runtime_local", "workspace"):
        repo = lab.repository({"a": "1\n"})
        checks = check("test ! -e left && touch left && sleep 1 && test -f n && test ! -e lost")
        pattern = lab.pattern({"a": ("touch n", checks)}, [assign("a")])
        execution = await lab.client.request(pattern, {}, id=f"e-{new_id()[:10]}", repo=repo)

        async def begun(execution: Any = execution) -> bool:
            return any(event.type == "verification.requested" for event in await execution.history())

        await eventually(begun, timeout_s=60)
        await asyncio.sleep(0.3)  # the check itself runs by now, or its checkout
        await lab.stack.kill(victim)
        await lab.ended(execution.id)
        [found] = await lab.verifications(execution.id)
        assert (found.score, found.passed) == (1.0, True), (victim, found)
        await eventually(lab.stack.healthy, timeout_s=60)


async def test_twenty_at_once_have_a_place_each(lab: Lab) -> None:
    """Every execution checks its own commit."""
    repo = lab.repository({"a": "1\n"})
    checks = [check('test "$(cat id)" = "$PARALLAX_EXECUTION_ID" && touch left'), check("test ! -e left")]
    pattern = lab.pattern({"a": ('echo "$PARALLAX_EXECUTION_ID" >id', checks)}, [assign("a")])
    executions = [await lab.client.request(pattern, {}, id=f"e-{new_id()[:10]}", repo=repo) for _ in range(20)]
    for execution in executions:
        await lab.ended(execution.id)
        [found] = await lab.verifications(execution.id)
        assert found.passed, found
