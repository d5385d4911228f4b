"""Digests that stay what they are while the vocabulary grows."""

from __future__ import annotations

import msgspec
import pytest

from schemas.agents import AgentSpec
from schemas.effects import Sleep, Task, Verify
from shared.ids import digest_of_given


class Before(msgspec.Struct, frozen=True, tag="thing"):
    """A request as it is today."""

    name: str
    many: list[int] = []


class After(msgspec.Struct, frozen=True, tag="thing"):
    """The same one a version later."""

    name: str
    many: list[int] = []
    more: str = ""
    parts: dict[str, int] = {}


def test_a_new_field_at_its_default_changes_no_digest() -> None:
    """An execution that was recorded before the field was there still replays."""
    assert digest_of_given(Before(name="a", many=[1])) == digest_of_given(After(name="a", many=[1]))
    assert digest_of_given(Before(name="a")) == digest_of_given(After(name="a", parts={}))


@pytest.mark.parametrize(
    "other",
    [After(name="b"), After(name="a", many=[1]), After(name="a", more="x"), After(name="a", parts={"x": 0})],
)
def test_whatever_is_given_is_part_of_the_digest(other: After) -> None:
    """Two requests that ask for something else are told apart."""
    assert digest_of_given(After(name="a")) != digest_of_given(other)


def test_requests_of_different_kinds_are_told_apart() -> None:
    """The kind of an effect is part of its digest, and so is what is nested in it."""
    spec = AgentSpec(kinds=["custom"], capabilities=["a"])
    task = Task(role="a", text="t", agent=spec)
    assert digest_of_given(task) == digest_of_given(Task(role="a", text="t", agent=spec))
    other = msgspec.structs.replace(spec, capabilities=["b"])
    assert digest_of_given(task) != digest_of_given(Task(role="a", text="t", agent=other))
    assert len({digest_of_given(one) for one in (task, Sleep(ms=0), Verify(oracles=[]))}) == 3
