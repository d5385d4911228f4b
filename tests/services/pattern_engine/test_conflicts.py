"""A contribution that cannot be merged ends the step with a word, whoever it came from."""

from __future__ import annotations

from pathlib import Path

from schemas.events import (
    ExecutionFailed,
    TaskRequested,
    WorkspaceConflicted,
    WorkspaceIntegrationRequested,
    WorkspaceReady,
)
from shared.testing import eventually
from tests.services.pattern_engine.conftest import PATTERNS, House


async def test_a_conflict_fails_the_step_that_asked_for_the_merge(house: House, tmp_path: Path) -> None:
    """`workspace.conflicted` names the task it came from, and answers the merge request, which names none."""
    text = PATTERNS["team.yaml"].replace("name: team", "name: merged", 1).replace("workspace: {enabled: false}\n", "")
    (tmp_path / "merged.yaml").write_text(text, encoding="utf-8")
    await house.engine()
    house.puppet.commits = True
    name = house.id("conflict")
    assert (await house.request(name, "merged", input={"task": "t"})).status == "accepted"
    await house.bus.append(
        WorkspaceReady(
            execution_id=name, workspace_id=name, path="/nowhere", branch="b", base_branch="main", base_commit="0"
        )
    )

    async def merge() -> WorkspaceIntegrationRequested | None:
        found = [record.data for record in await house.events(name)]
        return next((data for data in found if isinstance(data, WorkspaceIntegrationRequested)), None)

    asked = await eventually(merge)
    assert asked is not None
    second = asked.commits[1]
    await house.bus.append(
        WorkspaceConflicted(
            execution_id=name,
            effect=asked.effect,
            paths=["a.py"],
            role=second.role,
            session=second.session,
            task_id=second.task_id,
            message="others changed a.py differently",
        )
    )
    ending = await house.ended(name)
    assert isinstance(ending, ExecutionFailed)
    assert ending.error.code == "workspace_conflict"
    assert "a.py" in ending.error.message
    steps = [record.data.step for record in await house.events(name) if isinstance(record.data, TaskRequested)]
    assert steps == ["first", "second"], "no later step may start on a result that was never made"
    assert (await house.replay(name)).identical
