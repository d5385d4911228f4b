"""Two demos of one user at once: each has a place of its own."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from parallax.cli.common import BadInputError
from parallax.cli.demo import _place


def test_two_demos_at_once_have_places_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second does not use, and later end, the stack of the first; a place is free again with its demo."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with ExitStack() as held:
        first = held.enter_context(_place(None))
        with _place(None) as second, _place(None) as third:
            assert [place.name for place in (first, second, third)] == [
                "parallax-demo",
                "parallax-demo-2",
                "parallax-demo-3",
            ]
        with _place(None) as again:
            assert again == second
    with _place(None) as again:
        assert again == first


def test_a_place_that_is_named_is_not_shared(tmp_path: Path) -> None:
    """The message says what to do instead."""
    with (
        _place(tmp_path / "data"),
        pytest.raises(BadInputError, match="another demo is at work"),
        _place(tmp_path / "data"),
    ):
        pass
    with _place(tmp_path / "data") as place:
        assert place == tmp_path / "data"
