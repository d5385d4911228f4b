"""Whatever is in a repository and whatever agents do there, trees, merges and diffs are those of git."""

from __future__ import annotations

import pytest

from tests.services.workspace.bench import GIT
from tests.services.workspace.random_repositories import play

pytestmark = [pytest.mark.backend("git"), pytest.mark.skipif(GIT is None, reason="compares with the git program")]


@pytest.mark.parametrize("first", range(0, 200, 25))
def test_git_by_hand_does_the_same(first: int) -> None:
    """Twenty-five random repositories with two agents each; more by `random_repositories --rounds 2000`."""
    ended = [play(seed) for seed in range(first, first + 25)]
    assert {"merged", "conflict"} <= set(ended)
