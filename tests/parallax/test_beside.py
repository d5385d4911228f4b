"""What agents did beside their work stands on the card, in the live lines and in the story of the events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from parallax.cli.beside import Beside, ignored_words, kept_words
from parallax.cli.card import card_rows
from parallax.cli.progress import Progress
from parallax.cli.prose import sentence
from parallax.client_events import Data, Event


def event(kind: str, seq: int = 1, **data: Any) -> Event:
    """An event as a client gets it."""
    return Event(
        execution_id="x1",
        type=kind,
        seq=seq,
        time=datetime(2026, 1, 1, tzinfo=UTC),
        data=Data(data),
        id=str(seq),
        source="test",
    )


COMMITTED = event(
    "workspace.committed",
    task_id="t1",
    attempt=1,
    role="dev",
    session="dev-1",
    commit="c" * 40,
    files=["a"],
    kept=[
        {"ref": "refs/parallax/kept/x1/dev-1/t1-1/heads/feat", "commit": "d" * 40, "kind": "branch", "name": "feat",
         "subject": "made n", "in_result": False},
        {"ref": "refs/parallax/kept/x1/dev-1/t1-1/head/e", "commit": "e" * 40, "kind": "head", "name": "x",
         "subject": "own", "in_result": True},
    ],
    left_out=[{"path": "sub", "kind": "repository", "reason": "is a repository of its own"}],
    ignored={"count": 3, "files": ["lib/u.py", "lib/v.py", "lib/w.py"], "rules": [".gitignore"]},
    notes=["HEAD: it is no commit"],
)  # fmt: skip


def test_the_card_names_what_is_not_part_of_the_result() -> None:
    """Kept work with its ref, repositories, ignored files by their rule; not what the result holds anyway."""
    progress = Progress()
    lines = progress.apply(COMMITTED)
    rows = card_rows(progress, event("execution.completed", 2, result=1))
    said = [(name, str(what)) for name, what in rows if name in {"kept", "left out", "ignored", "note"}]
    assert said == [
        (
            "ignored",
            "3 files are ignored by .gitignore and are not part of the result: lib/u.py, lib/v.py, lib/w.py",
        ),
        ("kept", "the branch feat of dev-1 (made n)\n→ refs/parallax/kept/x1/dev-1/t1-1/heads/feat"),
        ("left out", "sub is a repository of its own"),
        ("note", "dev-1: HEAD: it is no commit"),
    ]
    assert lines[0].what == "kept the branch feat of dev-1 (made n): not part of the result"
    assert "the branch feat of dev-1" in sentence(COMMITTED)


def test_a_refusal_by_nobody_names_nobody() -> None:
    """A check that could not be run has no name; a person who did not answer is a person all the same."""
    said = {
        ("assign", ""): "w: no evidence: why",
        ("verify", "nobody"): "w: no evidence: why",
        ("verify", "pytest"): "w by pytest: no evidence: why",
        ("approve", "nobody"): "w by a person: no evidence: why",
    }
    evidence = [
        {"step": "w", "kind": kind, "by": by, "verdict": "no evidence", "critique": "why", "checks": []}
        for kind, by in said
    ]
    rows = card_rows(Progress(), event("execution.failed", 2, code="x", message="y", evidence=evidence))
    assert [str(what) for name, what in rows if name == "refused"] == list(said.values())


@pytest.mark.parametrize(
    ("kind", "name", "moment", "said"),
    [
        ("attempt", "idle", "before-t2-1", "what lay in the worktree of dev-1 before the task"),
        ("attempt", "t1-1", "before-t1-2", "an attempt that was cut short of dev-1"),
        ("attempt", "t1-1", "t1-1", "an attempt that failed of dev-1"),
    ],
)
def test_what_lay_there_before_a_task_is_not_called_an_attempt_that_failed(
    kind: str, name: str, moment: str, said: str
) -> None:
    """It has the same kind on the wire; an attempt whose end nobody heard was cut short."""
    one = {"ref": f"refs/parallax/kept/x1/dev-1/{moment}/{kind}-1", "kind": kind, "name": name, "subject": "Set aside"}
    beside = Beside()
    assert beside.take({"session": "dev-1", "kept": [one]}) == [f"kept {said}: not part of the result"]
    assert beside.rows("x1") == [("kept", f"{said}\n→ {one['ref']}")]
    assert kept_words(one, "") == said.replace(" of dev-1", "")


def test_much_of_it_is_cut_with_a_count() -> None:
    """The card stays short and says where the rest is."""
    beside = Beside()
    beside.take({"kept": [{"ref": f"r{number}", "kind": "stash"} for number in range(20)]})
    rows = beside.rows("x1")
    assert len(rows) == 6
    assert rows[-1] == ("kept", "and 15 more; `parallax workspaces show x1` has them all")


def test_ignored_files_are_counted_over_all_turns() -> None:
    """The count is of all, the names are of the first."""
    beside = Beside()
    for number in range(3):
        beside.take({"ignored": {"count": 2, "files": [f"{number}.log"], "rules": [".gitignore"]}})
    assert (
        beside.rows("x1")[0][1]
        == "6 files are ignored by .gitignore and are not part of the result: 0.log, 1.log, 2.log …"
    )
    assert ignored_words(1, ["a"], []) == "1 file is ignored by ignore rules and is not part of the result: a"


def test_an_ordinary_turn_adds_nothing() -> None:
    """Absent fields are nothing to say."""
    progress = Progress()
    assert progress.apply(event("workspace.prepared", session="dev-1")) == []
    assert progress.beside.rows("x1") == []


def test_submodules_that_are_not_filled_are_said() -> None:
    """At the beginning and on the card: a check that needs their files is not the agent's failure."""
    progress = Progress()
    lines = progress.apply(event("workspace.ready", base_commit="b" * 40, submodules=[{"path": "s", "commit": "c"}]))
    assert [line.what for line in lines][1:] == [
        "submodules s: not filled, so a check that fails says nothing about the work; a set-up may fetch them"
    ]
    assert progress.beside.rows("x1")[0][0] == "submodules"
    progress = Progress()
    submodules = [{"path": "s", "commit": "c", "held": True}, {"path": "t", "commit": "c"}]
    lines = progress.apply(event("workspace.ready", base_commit="b" * 40, submodules=submodules))
    assert [line.what for line in lines][1:] == [
        "submodules t: not filled, so a check that fails says nothing about the work; a set-up may fetch them",
        "submodules s: filled",
    ]
