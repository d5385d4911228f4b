"""The page about simulation: its commands run, what it shows is what they print, its defaults are the defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from parallax.simulation.agents_file import read_agents
from parallax.simulation.model import Agents
from tests.docs.pages import ROOT, blocks
from tests.docs.test_pages import environ, script_of, typed

PAGE = ROOT / "docs" / "how-to" / "simulate.md"
BLOCKS = blocks(PAGE)


def files(directory: Path) -> None:
    for block in BLOCKS:
        if block.name:
            (directory / block.name).write_text(block.text, encoding="utf-8")


async def test_the_page_runs_as_it_is_written(tmp_path: Path) -> None:
    """Every command, from the first simulation to the unit test of the pattern."""
    said = await typed(script_of(PAGE), tmp_path, environ(tmp_path / "home"))
    assert "release 1.0.0: 5000 runs, seed 7" in said
    assert "3 passed" in said


SHOWN = [index for index, block in enumerate(BLOCKS) if block.language == "console"]


@pytest.mark.parametrize("index", SHOWN)
async def test_what_the_page_shows_is_what_the_command_before_it_prints(tmp_path: Path, index: int) -> None:
    """Line by line; `…` stands for lines that are left out."""
    files(tmp_path)
    printed = await typed(BLOCKS[index - 1].text, tmp_path, environ(tmp_path / "home"))
    position = 0
    for part in BLOCKS[index].text.split("…\n"):
        assert part in printed[position:]
        position = printed.index(part, position) + len(part)


def test_the_defaults_on_the_page_are_the_defaults() -> None:
    """The file with all keys changes nothing."""
    (block,) = [block for block in BLOCKS if block.name == "defaults.yaml"]
    result = read_agents(block.text, filename=block.name)
    assert result.diagnostics == []
    assert result.agents == Agents()


def test_the_page_names_every_key() -> None:
    """Of every section that a file may have."""
    from parallax.simulation import agents_file

    (block,) = [block for block in BLOCKS if block.name == "defaults.yaml"]
    for key in (*agents_file._FILE, *agents_file._AGENT, *agents_file._FAILURES, *agents_file._REVIEW):
        assert f"{key}:" in block.text, key
