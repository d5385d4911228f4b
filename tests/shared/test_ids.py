"""Ids: the same for the same thing, different for different things, and never longer than a token or a file's name."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schemas.base import LONGEST_TOKEN
from shared.ids import agent_id, is_session, session_of, task_id
from shared.subjects import is_token

EXECUTIONS = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
ROLES = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,63}", fullmatch=True)
PATHS = st.lists(st.integers(1, 99_999), min_size=1, max_size=80).map(lambda steps: ".".join(map(str, steps)))


@given(EXECUTIONS, ROLES, st.integers(1, 99_999))
def test_the_longest_names_make_tokens(execution: str, role: str, number: int) -> None:
    """Whatever an execution and a role may be called, their agent's id is a token, and its session is found again."""
    session = f"{role}-{number}"
    name = agent_id(execution, session)
    assert is_session(session)
    assert is_token(name)
    assert session_of(execution, name) == session


@given(EXECUTIONS, PATHS, PATHS)
def test_tasks_are_told_apart_however_deep_they_are(execution: str, one: str, other: str) -> None:
    """A path that does not fit is cut, and its digest makes the difference."""
    deep = f"{one}.{'1.' * 80}{other}"
    assert is_token(task_id(execution, deep))
    assert (task_id(execution, one) == task_id(execution, other)) == (one == other)
    assert (task_id(execution, deep) == task_id(execution, f"{deep}.1")) is False


def test_agents_of_two_executions_never_share_an_id() -> None:
    """Hyphens may be in both names: `fix` with the role `login-coder` is not `fix-login` with `coder`."""
    assert agent_id("fix", "login-coder-1") != agent_id("fix-login", "coder-1")
    assert agent_id("fix-login", "coder-1") == "fix-login-coder-1"
    assert session_of("fix", agent_id("fix", "login-coder-1")) == "login-coder-1"
    assert session_of("fix", "greeter") == "greeter"


def test_the_longest_session_of_a_program_fits() -> None:
    """128 characters, and not one more; nothing that is no part of a path."""
    assert len(agent_id("e" * 64, "s" * 128)) == LONGEST_TOKEN
    assert not any(map(is_session, ("s" * 129, "", "1a", "a/b", "../a", "a b", "a.b")))
