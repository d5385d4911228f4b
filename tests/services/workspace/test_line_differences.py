"""Which lines changed, and what merges of texts make of it. Of several ways to read a change git may choose another."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from services.workspace.dulwich_git.line_differences import TooMuchToCompare, changes, lines_of
from services.workspace.dulwich_git.text_merging import merge_text
from tests.services.workspace.bench import GIT, git

pytestmark = [pytest.mark.backend("dulwich"), pytest.mark.skipif(GIT is None, reason="compares with the git program")]


def edited(dice: random.Random, lines: list[bytes], words: int, most: int) -> bytes:
    """A version of a text in which some lines came, went and were copied."""
    made = list(lines)
    for _ in range(dice.randrange(1, most)):
        place = dice.randrange(len(made) + 1)
        match dice.randrange(4):
            case 0:
                made[place:place] = [b"%d\n" % dice.randrange(words) for _ in range(dice.randrange(1, 6))]
            case 1:
                del made[place : place + dice.randrange(1, 5)]
            case 2:
                first = dice.randrange(len(made) + 1)
                made[place:place] = made[first : first + dice.randrange(1, 9)]
            case _:
                made[place:place] = [b"new%d\n" % dice.randrange(9)]
    if made and dice.random() < 0.3:
        made[-1] = made[-1].rstrip(b"\n")
    return b"".join(made)


@pytest.mark.parametrize("seed", range(60))
def test_git_applies_what_was_found_to_have_changed(tmp_path: Path, seed: int) -> None:
    """Few words or many, short texts or long ones: the changes make the other text of the first one."""
    dice = random.Random(seed)
    words, size = dice.choice([2, 3, 5, 20, 200]), dice.choice([3, 10, 40, 300, 1500])
    before = [b"%d\n" % dice.randrange(words) for _ in range(size)]
    after = edited(dice, before, words, 2 + size // dice.choice([2, 5, 20]))
    found, lines = changes(before, lines_of(after)), lines_of(after)
    hunks = [
        b"@@ -%d,%d +%d,%d @@\n" % (one.i1 + (one.chg1 > 0), one.chg1, one.i2 + (one.chg2 > 0), one.chg2)
        + b"".join(_side(b"-", before[one.i1 : one.i1 + one.chg1]) + _side(b"+", lines[one.i2 : one.i2 + one.chg2]))
        for one in found
    ]
    (tmp_path / "f").write_bytes(b"".join(before))
    patch = b"--- a/f\n+++ b/f\n" + b"".join(hunks)
    if found:
        command = [str(GIT), "apply", "--unidiff-zero", "--whitespace=nowarn", "-"]
        subprocess.run(command, cwd=tmp_path, input=patch, check=True, capture_output=True)
    assert (tmp_path / "f").read_bytes() == after


def _side(sign: bytes, lines: list[bytes]) -> list[bytes]:
    return [sign + (line if line.endswith(b"\n") else line + b"\n\\ No newline at end of file\n") for line in lines]


@pytest.mark.parametrize("seed", range(40))
def test_git_merges_to_the_same_text(tmp_path: Path, seed: int) -> None:
    """Clean where git's is clean, and then the same text, of lines that are told apart; `union` too."""
    dice = random.Random(seed)
    words, size = 200, dice.choice([3, 10, 40, 100])
    before = [b"line %d\n" % number for number in range(size)]
    union = seed % 3 == 0
    versions = [b"".join(before), *(edited(dice, before, words, 4) for _ in range(2))]
    git(tmp_path, "init", "-q", ".")
    commits: list[str] = []
    for text in versions:
        git(tmp_path, "checkout", "-q", *(["--orphan", "base"] if not commits else ["--detach", commits[0]]))
        (tmp_path / "f").write_bytes(text)
        (tmp_path / ".gitattributes").write_text("f merge=union\n" if union else "")
        git(tmp_path, "add", "-A")
        git(tmp_path, "-c", "user.name=u", "-c", "user.email=u", "commit", "-q", "--allow-empty", "-m", "x")
        commits.append(git(tmp_path, "rev-parse", "HEAD").strip())
    done = subprocess.run(
        [str(GIT), "merge-tree", "--write-tree", commits[1], commits[2]], cwd=tmp_path, capture_output=True, check=False
    )
    text, clean = merge_text(*versions, union=union)
    assert clean is (done.returncode == 0)
    if clean:
        tree = done.stdout.decode().split()[0]
        merged = subprocess.run(
            [str(GIT), "cat-file", "-p", f"{tree}:f"], cwd=tmp_path, capture_output=True, check=True
        ).stdout
        if union:  # where lines were copied, the same ones may stand in another order
            assert sorted(lines_of(text)) == sorted(lines_of(merged))
        else:
            assert text == merged


def test_what_would_take_minutes_is_given_up_in_seconds() -> None:
    """The bound is one of steps, so that it is the same on every machine."""
    lines = [b"line %d\n" % (number * 7 % 100) for number in range(40_000)]
    with pytest.raises(TooMuchToCompare):
        changes(lines, sorted(lines))
