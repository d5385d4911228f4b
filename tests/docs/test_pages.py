"""What the documentation shows is run as it stands: files are written, commands are typed, programs are run."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
from pathlib import Path

import pytest

from parallax.stack import embedded
from tests.docs.pages import ROOT, blocks

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)#\s]+)(?:#[^)]*)?\)")
_TIMEOUT_S = 600
"""A script that hangs is ended; a slow machine is no reason."""


def environ(home: Path) -> dict[str, str]:
    """An environment in which `parallax` and `python` are those under test."""
    tools = home / "bin"
    tools.mkdir(parents=True)
    for name, arguments in (("parallax", " -m parallax"), ("python", "")):
        tool = tools / name
        tool.write_text(f'#!/bin/sh\nexec "{sys.executable}"{arguments} "$@"\n', encoding="utf-8")
        tool.chmod(0o755)
    path = os.pathsep.join([str(tools), str(Path(sys.executable).parent), os.environ["PATH"]])
    return {"PATH": path, "HOME": str(home), "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT), "USER": "ada"}


def script_of(page: Path, *, without: tuple[str, ...] = ()) -> str:
    """The page as one shell script: named blocks become files, `sh` blocks are typed where they stand.

    Blocks that begin with one of `without` are tested elsewhere.
    """
    named = [block for block in blocks(page) if block.name]
    lines = ["set -eu"]
    patterns = [block for block in named if block.name.startswith("patterns/")]
    # patterns of a how-to have to be there before its first command; the tutorial changes into its directory first
    late = any("mkdir -p tour" in block.text for block in blocks(page))
    for block in [] if late else patterns:
        lines += _file(block.name, block.text)
    for block in blocks(page):
        if block.name and (late or block not in patterns):
            lines += _file(block.name, block.text)
        elif block.language == "sh" and not block.name and not block.text.startswith(without):
            lines += [f"echo '--- {page.name}:{block.line}'", block.text]
    return "\n".join(lines)


def _file(name: str, text: str) -> list[str]:
    return [f"mkdir -p \"$(dirname '{name}')\"", f"cat > '{name}' <<'END-OF-FILE'\n{text}END-OF-FILE"]


async def typed(script: str, directory: Path, settings: dict[str, str]) -> str:
    """Runs a script; everything it said. Fails with that when it did not end well, or not at all."""
    with tempfile.TemporaryFile() as out:
        process = await asyncio.create_subprocess_exec(
            *("bash", "-c", script),
            cwd=directory,
            env=settings,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            ended = await asyncio.wait_for(process.wait(), _TIMEOUT_S)
        except TimeoutError:
            process.kill()
            ended = "not within the time"
        out.seek(0)
        said = out.read().decode()
    assert ended == 0, f"{ended}: {said}"
    return said


@pytest.mark.stack
async def test_the_tour_of_the_readme_runs_as_it_is_written(tmp_path: Path) -> None:
    """The team tidies the repository, the tests are the evidence, and a killed engine changes nothing."""
    settings = environ(tmp_path / "home")
    try:
        said = await typed(script_of(ROOT / "README.md", without=("scripts/demo",)), tmp_path, settings)
    finally:
        await typed("parallax down", tmp_path, settings)
    assert "pytest passed (exit code 0, 5 passed)" in said
    assert "tour: identical" in said
    assert "killed: identical" in said
    assert said.count("execution.completed") == 1, "the one that was followed to its end"


@pytest.mark.stack
async def test_the_tutorial_runs_as_it_is_written(tmp_path: Path) -> None:
    """From `up` to `down`: the team mends the repository, the tests pass, the replay is identical."""
    settings = environ(tmp_path / "home")
    try:
        said = await typed(script_of(ROOT / "docs" / "tutorial.md"), tmp_path, settings)
    finally:
        await typed("parallax down", tmp_path, settings)
    assert "first: identical" in said
    assert "verification" in said
    assert said.count("execution.completed") >= 2


@pytest.mark.stack
async def test_the_how_to_pages_run_as_they_are_written(tmp_path: Path) -> None:
    """Each page's commands do what the page says, one after another on one stack."""
    settings = environ(tmp_path / "home")
    pages = ["any-nats-client.md", "http.md", "your-own-repository.md", "checks.md", "watch-interrupt-replay.md"]
    pages += ["agents.md"]
    patterns = tmp_path / "patterns"
    patterns.mkdir()
    async with embedded(data=tmp_path / "data", env={"PARALLAX_PATTERNS_DIR": str(patterns)}) as stack:
        settings["PARALLAX_DATA"] = str(stack.data)
        said = {}
        for page in pages:
            said[page] = await typed(script_of(ROOT / "docs" / "how-to" / page), tmp_path, settings)
    assert "result:" in said["any-nats-client.md"]
    assert "replay: True" in said["http.md"]
    assert "parallax/tidy-pushed/result" in said["your-own-repository.md"]
    assert "passed (exit code 0, 0, no tests counted) on a clean checkout of" in said["checks.md"]
    assert "set up for it" in said["checks.md"]
    for words in ("Salve, world", "thinking about it", "5 words", "counter-1 was asked to stop", "Hello, Ada 0.9"):
        assert words in said["agents.md"]
    assert "'name' is missing" in said["agents.md"]
    assert "no longer needed" in said["watch-interrupt-replay.md"]
    assert '"identical":true' in said["watch-interrupt-replay.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """Every relative link names a file that is there."""
    targets = [found["target"] for found in _LINK.finditer(page.read_text(encoding="utf-8"))]
    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_places_that_are_named_exist(page: Path) -> None:
    """A page that names a directory of tests, a script or a pattern names one that is there."""
    named = re.findall(
        r"`((?:tests|scripts|patterns|docs|services|shared)/[\w./-]+)`", page.read_text(encoding="utf-8")
    )
    assert [name for name in named if not (ROOT / name).exists() and name not in _MADE_BY_PAGES] == []


_MADE_BY_PAGES = {block.name for page in PAGES for block in blocks(page)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_that_are_shown_exist(page: Path) -> None:
    """Every `parallax NAME` in a block is a command of the program."""
    from parallax.cli.main import COMMANDS

    shown = {
        name
        for block in blocks(page)
        if block.language in {"sh", "console"} and not block.name
        for name in re.findall(r"(?:^|\$ |\$\()(?:\w+=\S+ )*parallax ([a-z-]+)", block.text, re.MULTILINE)
    }
    assert shown <= set(COMMANDS)
