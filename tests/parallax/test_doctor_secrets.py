"""`parallax doctor` names the secrets that patterns refer to, and whether they are there; never their values."""

from __future__ import annotations

from pathlib import Path

from parallax.stack.doctor import secrets


def test_secrets_are_named_and_found_and_never_shown(tmp_path: Path) -> None:
    """In the order in which a runtime looks: its own variables, the file, plain variables but the platform's."""
    file = tmp_path / "secrets.toml"
    file.write_text('IN_FILE = "hunter2-file"\nEMPTY = ""\n', encoding="utf-8")
    environ = {"PARALLAX_SECRET_OWN": "hunter2-own", "PLAIN": "hunter2-plain", "PARALLAX_X": "hunter2-x"}
    wanted = {name: ["p"] for name in ("OWN", "IN_FILE", "PLAIN", "EMPTY", "GONE", "PARALLAX_X")}
    found = {one.name: one for one in secrets(wanted, environ, file)}
    states = {name.removeprefix("secret "): one.state for name, one in found.items()}
    good = {"OWN": "ok", "IN_FILE": "ok", "PLAIN": "ok"}
    assert states == good | {"EMPTY": "warning", "GONE": "warning", "PARALLAX_X": "warning"}
    assert found["secret OWN"].detail == "found: PARALLAX_SECRET_OWN; wanted by p"
    assert "PARALLAX_SECRET_GONE" in found["secret GONE"].hint
    assert "hunter2" not in repr(found)


def test_a_file_that_cannot_be_read_is_a_problem_without_its_text(tmp_path: Path) -> None:
    """An error of the parser may quote the line."""
    file = tmp_path / "secrets.toml"
    file.write_text("A = hunter2\n", encoding="utf-8")
    (one,) = secrets({"A": ["p"]}, {}, file)
    assert (one.state, "hunter2" in repr(one), str(file) in one.detail) == ("problem", False, True)
