"""Ignore rules mean what git means by them, in time that no pattern can draw out."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from services.workspace.droppings import DROPPINGS
from services.workspace.dulwich_git.ignoring import ignored, parse
from tests.services.workspace.bench import GIT, git

RULES = (
    *("a", "*.py", "a*", "/a", "a/", "a/b", "a/*", "**/b", "a/**", "a/**/b", "**", "*", "?", "[ab]", "[!a]", "[a-c]*"),
    *("!a", "!*.py", "dir/", "/dir/*", "!dir/a", "*b", "a**b", "\\a", "[[:alpha:]]", "**/", "/**/a", "**/dir/**", "!"),
    *("[a/b]", "[a-]", "[-a]", "[b-a]", "[[:foo:]]", "[[:", "***", "a/***", "a\\/b", "//a", "a//", "a\r", " a", "a   "),
    *("a\\  ", "a\\\\ ", "[\\]a]", "[[:digit:]a-b]", "!/a/", "dir\\", "[a", "[]", "[!]", "*.[pt]*", "?*", "\\!a"),
    *("[]a]", "foo*.txt", "#x", "\\#x", "/", "a\\", "[a", "**/a/b", "*/a", "*a*b*", "a b", "a b ", "a\\ ", "foo.*"),
)
NAMES = ("a", "b", "ab", "a.py", "x.pyc", "foo", "foo.txt", "dir", "a-b", "A", "a b", "#x", "]")


@pytest.mark.parametrize(
    ("rules", "path", "verdict"),
    [
        ("*.log", "x.log", True),
        ("*.log", "a/b/x.log", True),
        ("/x", "a/x", False),
        ("a/b", "c/a/b", False),
        ("*.log\n!keep.log", "keep.log", False),
        ("b/", "a/b", False),
        ("", "a", False),
    ],
)
def test_rules(rules: str, path: str, verdict: bool) -> None:
    """The common forms."""
    assert ignored([(0, parse(rules.encode()))], tuple(os.fsencode(path).split(b"/")), is_directory=False) is verdict


def test_a_deeper_file_of_rules_wins() -> None:
    """What a directory's own file says counts more than what is said above it, and above what tools leave behind."""
    levels = [(0, parse(DROPPINGS)), (0, parse(b"*.txt\n!.coverage")), (1, parse(b"!a.txt"))]
    assert ignored(levels, (b"b", b"x.txt"), is_directory=False)
    assert not ignored(levels, (b"b", b"a.txt"), is_directory=False)
    assert not ignored(levels[:2], (b".coverage",), is_directory=False)
    assert ignored(levels[:2], (b"__pycache__",), is_directory=True)


def test_no_pattern_takes_for_ever() -> None:
    """Patterns that drive a backtracking matcher to years are answered in milliseconds."""
    rules = parse(b"*a*a*a*a*a*a*a*a*a*a*a*a*b\n" + b"/".join([b"**", b"a"] * 40) + b"/b\n")
    path = (*[b"a"] * 100, b"a" * 255)
    began = time.perf_counter()
    assert not ignored([(0, rules)], path, is_directory=False)
    assert time.perf_counter() - began < 0.5


@pytest.mark.skipif(GIT is None, reason="asks the real git")
def test_git_ignores_the_same_files(tmp_path: Path) -> None:
    """Random rules over random trees: git's list of untracked files and ours are the same."""
    dice = random.Random(11)
    for number in range(80):
        root = tmp_path / str(number)
        root.mkdir()
        git(root, "init", "-q")
        mark, end = dice.choice(["", "", "\ufeff"]), dice.choice(["\n", "\r\n"])
        rules = mark + end.join(dice.sample(RULES, dice.randint(1, 4))) + dice.choice([end, ""])
        (root / ".gitignore").write_bytes(rules.encode())
        paths: set[tuple[str, ...]] = set()
        for _ in range(40):
            parts = tuple(dice.choice(NAMES) for _ in range(dice.randint(1, 4)))
            above = root.joinpath(*parts[:-1])
            if any(place.is_file() for place in (above, *above.parents)) or root.joinpath(*parts).exists():
                continue
            above.mkdir(parents=True, exist_ok=True)
            root.joinpath(*parts).touch()
            paths.add(parts)
        listed = git(root, "-c", "core.excludesFile=/dev/null", "ls-files", "-oz", "--exclude-standard").split("\0")
        levels = [(0, parse(rules.encode()))]
        ours = {
            "/".join(parts)
            for parts in paths
            if not any(
                ignored(levels, tuple(os.fsencode(part) for part in parts[:depth]), is_directory=depth < len(parts))
                for depth in range(1, len(parts) + 1)
            )
        }
        assert ours == {name for name in listed if name and name != ".gitignore"}, rules
