"""Packaging, locks and decision records are what they claim to be."""

from __future__ import annotations

import fnmatch
import importlib
import importlib.metadata
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

import parallax
from tests.architecture.source import ROOMS, ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EMBEDDED: list[str] = PROJECT["project"]["optional-dependencies"]["embedded"]
DEMO: list[str] = PROJECT["project"]["optional-dependencies"]["demo"]
RUNTIME: list[str] = PROJECT["project"]["dependencies"]
WANTED: dict[str, list[str]] = {
    "services.txt": RUNTIME,
    "run.txt": [*RUNTIME, *EMBEDDED, *DEMO],
    "dev.txt": [*RUNTIME, *EMBEDDED, *DEMO, *PROJECT["dependency-groups"]["dev"]],
}


def test_no_dependency_ships_one_of_our_names() -> None:
    """The flat packages are importable because no installed distribution has a top-level module of the same name."""
    thieves: list[str] = []
    for distribution in importlib.metadata.distributions():
        tops = {file.parts[0] for file in distribution.files or [] if len(file.parts) > 1 and file.suffix == ".py"}
        ours = distribution.metadata["Name"] == PROJECT["project"]["name"]
        thieves += [] if ours else [f"{distribution.metadata['Name']}: {name}" for name in tops & set(ROOMS)]
    assert thieves == []


def _pins(lock: Path) -> dict[str, str]:
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^ \\;]+)", lock.read_text(encoding="utf-8"), re.MULTILINE)
    return {name.lower().replace("_", "-"): version for name, version in found}


@pytest.mark.parametrize("lock", WANTED)
def test_the_lock_is_current(lock: str) -> None:
    """Every dependency that the project names is pinned, to a version that the project allows."""
    pins = _pins(ROOT / "requirements" / lock)
    wrong: list[str] = []
    for line in WANTED[lock]:
        requirement = Requirement(line)
        pinned = pins.get(requirement.name.lower().replace("_", "-"))
        if pinned is None or not requirement.specifier.contains(pinned, prereleases=True):
            wrong.append(f"{line}: {pinned}")
    assert wrong == []


@pytest.mark.parametrize("lock", WANTED)
def test_the_lock_holds_hashes_and_no_addresses(lock: str) -> None:
    """Every pin has its hashes; where packages come from is for the machine to say."""
    text = (ROOT / "requirements" / lock).read_text(encoding="utf-8")
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text
    entries = re.split(r"(?m)^(?=[A-Za-z0-9])", text)[1:]
    assert len(entries) == len(_pins(ROOT / "requirements" / lock))
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_the_locks_agree() -> None:
    """What is developed with, what the demo uses and what a container gets are the same versions."""
    locks = {name: _pins(ROOT / "requirements" / name) for name in WANTED}
    assert locks["services.txt"].items() <= locks["run.txt"].items() <= locks["dev.txt"].items()


def test_the_index_of_decisions_is_current() -> None:
    """docs/adr/README.md lists every decision record by number, title and status, in order."""
    home = ROOT / "docs" / "adr"
    lines: list[str] = []
    for record in sorted(home.glob("[0-9]*.md")):
        text = record.read_text(encoding="utf-8")
        title = re.search(r"^# (\d{4}): (.+)$", text, re.MULTILINE)
        status = re.search(r"^\*\*Status:\*\* (\w+)", text, re.MULTILINE)
        assert title is not None, record
        assert status is not None, record
        assert record.name.startswith(title[1]), record
        for part in ("## Context", "## Decision", "## Consequences"):
            assert part in text, (record.name, part)
        lines.append(f"| [{title[1]}]({record.name}) | {title[2]} | {status[1]} |")
    assert len(lines) >= 9
    assert "\n".join(lines) in (home / "README.md").read_text(encoding="utf-8")


def test_the_python_package_is_typed() -> None:
    """Users' type checkers see our annotations."""
    assert [room for room in ROOMS if not (ROOT / room / "py.typed").exists()] == []


def test_the_wheel_holds_every_room_and_the_patterns() -> None:
    """What is installed is what is in the checkout: all packages, the shipped patterns, the command."""
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(wheel["packages"]) == set(ROOMS)
    assert wheel["force-include"] == {"patterns": "parallax/data/patterns"}
    assert sorted(path.suffix for path in (ROOT / "patterns").iterdir() if path.suffix not in {".yaml", ".prism"}) == []
    module, _, function = PROJECT["project"]["scripts"]["parallax"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_no_data_of_the_product_is_hidden_from_the_wheel() -> None:
    """The builder leaves out what .gitignore names, so no file that the product reads may be named there."""
    ignored = [line.strip() for line in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines() if line.strip()]
    data = [
        path.relative_to(ROOT)
        for room in ROOMS
        for path in (ROOT / room).rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"}
    ]
    assert {"services/projector/migrations/001_projections.sql", "parallax/py.typed"} <= {str(path) for path in data}
    hidden = [
        str(path)
        for path in data
        for rule in ignored
        if any(fnmatch.fnmatch(part, rule.rstrip("/")) for part in path.parts[:-1])
        or (not rule.endswith("/") and fnmatch.fnmatch(path.name, rule))
    ]
    assert hidden == []


def test_there_is_one_version() -> None:
    """What the program says of itself is what the package is called by."""
    assert PROJECT["project"]["version"] == parallax.__version__
