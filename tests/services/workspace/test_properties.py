"""Whatever is in a repository and whatever agents do there, trees, merges and diffs are those of git."""

from __future__ import annotations

import pytest

from tests.services.workspace.bench import GIT
from tests.services.workspace.random_repositories import play

pytestmark = [pytest.mark.skipif(GIT is None, reason="compares with the git program")]


@pytest.mark.backend("git")
@pytest.mark.parametrize("first", range(0, 200, 25))
def test_git_by_hand_does_the_same(first: int) -> None:
    """Twenty-five random repositories with two agents each; more by `random_repositories --rounds 2000`."""
    ended = [play(seed) for seed in range(first, first + 25)]
    assert {"merged", "conflict"} <= set(ended)


@pytest.mark.backend("dulwich")
@pytest.mark.parametrize("first", range(0, 100, 25))
def test_without_git_the_same_or_a_refusal_that_names_it(first: int) -> None:
    """Repositories that begin without what only git does; agents may bring that in all the same."""
    ended = [play(seed, plain=True) for seed in range(first, first + 25)]
    assert "merged" in ended
    assert ended.count("needs git") + ended.count("refused") < len(ended) // 2
