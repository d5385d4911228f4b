"""What `parallax workspaces` says that a workspace is."""

from __future__ import annotations

from typing import Literal

import pytest

from parallax.cli.workspaces import status_of
from schemas.workspaces import WorkspaceView


@pytest.mark.parametrize(
    ("status", "ended", "pushed", "said"),
    [
        ("open", "", False, "open"),
        ("open", "failed", False, "failed"),
        ("open", "cancelled", False, "cancelled"),
        ("finalized", "completed", True, "pushed"),
        ("finalized", "completed", False, "finalized"),
        ("finalized", "failed", False, "finalized"),
        ("cleaned", "failed", False, "cleaned"),
    ],
)
def test_a_workspace_in_which_nobody_works_any_more_is_not_open(
    status: Literal["open", "finalized", "cleaned"], ended: str, pushed: bool, said: str
) -> None:
    """An execution that failed leaves its workspace as it was: that is said, not that it is open."""
    entry = WorkspaceView(
        workspace_id="x1",
        execution_id="x1",
        path="/w",
        branch="b",
        base_commit="c",
        commit="c",
        status=status,
        ended=ended,
        pushed=pushed,
    )
    assert status_of(entry) == said
