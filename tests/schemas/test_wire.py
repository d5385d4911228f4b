"""What is on the wire may grow; nothing that a reader or a stored event relies on goes away."""

from __future__ import annotations

import copy
import sys
from typing import Any

import pytest

from scripts.generating.__main__ import recorded
from scripts.generating.vocabulary import structs
from scripts.generating.wire import Snapshot, additions, breaks, snapshot

SMALL: Snapshot = {
    "TaskStarted": {
        "type": "task.started",
        "version": 1,
        "id": ["task_id"],
        "required": ["task_id"],
        "fields": {"task_id": {"type": "string"}, "step": {"type": "string"}},
    }
}


def test_nothing_on_the_wire_breaks(capsys: pytest.CaptureFixture[str]) -> None:
    """No field of the recorded wire is gone, retyped or newly required. scripts/generate records what was added."""
    old, new = recorded(), snapshot()
    assert old, "tests/schemas/wire.json is missing: scripts/generate writes it"
    assert breaks(old, new) == [], "if no message of the old kind can exist: scripts/generate --accept-wire-changes"
    if added := additions(old, new):
        with capsys.disabled():
            sys.stdout.write(f"\nNew on the wire: {', '.join(added)}. Run scripts/generate to have them guarded too.\n")


def test_the_snapshot_holds_every_struct() -> None:
    """The whole vocabulary is guarded, not a part of it."""
    assert set(snapshot()) == set(structs())


def _changed(**changes: Any) -> Snapshot:
    made = copy.deepcopy(SMALL)
    made["TaskStarted"] |= changes
    return made


FIELDS = SMALL["TaskStarted"]["fields"]

BREAKING: list[tuple[str, Snapshot, str]] = [
    ("struct removed", {}, "TaskStarted is gone"),
    ("field removed", _changed(fields={"task_id": FIELDS["task_id"]}), "TaskStarted.step is gone"),
    ("field retyped", _changed(fields=FIELDS | {"step": {"type": "integer"}}), "TaskStarted.step was"),
    ("field renamed", _changed(fields={"task_id": FIELDS["task_id"], "stage": FIELDS["step"]}), "step is gone"),
    ("default removed", _changed(required=["task_id", "step"]), "TaskStarted.step is now required"),
    (
        "required field added",
        _changed(required=["task_id", "who"], fields=FIELDS | {"who": {"type": "string"}}),
        "TaskStarted.who is now required",
    ),
    ("type renamed", _changed(type="task.begun"), "its type was 'task.started'"),
    ("id changed", _changed(id=["task_id", "attempt"]), "its id was"),
]


@pytest.mark.parametrize(("new", "said"), [case[1:] for case in BREAKING], ids=[case[0] for case in BREAKING])
def test_a_breaking_change_is_named_with_what_to_do(new: Snapshot, said: str) -> None:
    """Each kind of change that a reader cannot live with is found, with the place in front."""
    [problem] = breaks(SMALL, new)
    assert said in problem


def test_an_optional_field_and_a_new_struct_are_no_break() -> None:
    """Growing is allowed, and it is said what is not guarded yet."""
    new = _changed(fields=FIELDS | {"agent_id": {"type": "string"}}) | {"TaskPaused": SMALL["TaskStarted"]}
    assert breaks(SMALL, new) == []
    assert additions(SMALL, new) == ["TaskPaused", "TaskStarted.agent_id"]


def test_a_real_field_that_goes_away_is_noticed() -> None:
    """Removing any single field of any event of today's vocabulary is found."""
    old = snapshot()
    for name, entry in old.items():
        for field in entry["fields"]:
            new = copy.copy(old)
            new[name] = entry | {"fields": {key: value for key, value in entry["fields"].items() if key != field}}
            assert [problem for problem in breaks(old, new) if problem.startswith(f"{name}.{field} is gone")]


def test_words_and_defaults_are_not_the_wire() -> None:
    """A better docstring is no change of the wire."""
    schemas = [schema for entry in snapshot().values() for schema in entry["fields"].values()]
    assert [schema for schema in schemas if schema.keys() & {"description", "title", "default"}] == []
