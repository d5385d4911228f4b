"""The patterns of a running stack: shipped ones always, yours beside them, and files that travel with a request."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from parallax.stack.control import start_detached, stop_stack
from shared.pattern_sources import shipped_patterns_dir

PATTERN = """
export const pattern = {{
  name: "{name}",
  version: "{version}",
  description: "Ours.",
  input: {{word: {{type: "string", required: true}}}},
  workspace: {{enabled: false}},
}}
"""
ROOT = Path(__file__).parents[2]


def pattern(name: str, program: str, version: str = "1.0.0") -> str:
    """A program that asks no agent."""
    return PATTERN.format(name=name, version=version) + program


@pytest.fixture(scope="module")
def home(server_dir: Path) -> Generator[Path]:
    """A directory of the user's with a stack that was started there, in `data`, and patterns of their own."""
    place = server_dir / "patterns-of-a-stack"
    (place / "patterns").mkdir(parents=True)
    (place / "patterns" / "mine.prism").write_text(pattern("mine", '"mine: ${input.word}"'))
    (place / "patterns" / "cascade.prism").write_text(pattern("cascade", '"not the shipped one"', "0.1.0"))
    started = parallax("up", "--detach", "--only", "pattern_engine", cwd=place, data=place / "data")
    assert started.returncode == 0, started.stderr
    yield place
    stop_stack(place / "data")


def parallax(*arguments: str, cwd: Path, data: Path) -> subprocess.CompletedProcess[str]:
    """Runs the command line in a directory."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PARALLAX_")}
    return subprocess.run(
        [sys.executable, "-P", "-m", "parallax", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=cwd,
        env=environ | {"PYTHONPATH": str(ROOT), "PARALLAX_DATA": str(data)},
    )


def run(home: Path, cwd: Path, name: str) -> dict[str, object]:
    """Runs a pattern; how it ended."""
    done = parallax("run", name, "--input", "word=hello", "--json", cwd=cwd, data=home / "data")
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def test_yours_win_and_the_shipped_ones_are_there(home: Path, tmp_path: Path) -> None:
    """From wherever it is asked: the stack reads the directory it was started in, and the shipped one."""
    assert run(home, tmp_path, "mine")["result"] == "mine: hello"
    assert run(home, tmp_path, "cascade")["result"] == "not the shipped one"
    listed = json.loads(parallax("patterns", "list", "--json", cwd=tmp_path, data=home / "data").stdout)
    origins = {one["name"]: one["origin"] for one in listed["patterns"]}
    assert (origins["mine"], origins["cascade"], origins["startup-team"]) == ("yours", "yours", "shipped")
    assert listed["directories"] == [str(home / "patterns"), str(shipped_patterns_dir())]
    assert listed["hidden"] == ["cascade"]
    shown = parallax("patterns", "list", cwd=tmp_path, data=home / "data")
    assert "(yours, instead of the shipped one)" in shown.stdout


def test_status_shows_the_directories(home: Path, tmp_path: Path) -> None:
    """Absolute ones, in words and as JSON."""
    status = parallax("status", "--json", cwd=tmp_path, data=home / "data")
    directories = json.loads(status.stdout)["directories"]
    assert directories["patterns"] == str(home / "patterns")
    assert directories["shipped_patterns"] == str(shipped_patterns_dir())
    assert directories["data"] == str(home / "data")
    assert str(home / "patterns") in parallax("status", cwd=tmp_path, data=home / "data").stdout


def test_a_file_is_run_with_what_it_uses_beside_it(home: Path, tmp_path: Path) -> None:
    """The engine never sees the file: it is gone before a retry."""
    place = tmp_path / "files"
    place.mkdir()
    (place / "helper.prism").write_text('export fn twice(word) { return "${word} ${word}" }\n')
    (place / "one.prism").write_text(
        'import {twice} from "./helper"\n' + pattern("one", "twice(input.word)").lstrip(),
    )
    ended = run(home, place, "./one.prism")
    assert (ended["status"], ended["result"]) == ("completed", "hello hello")
    (place / "one.prism").unlink()
    (place / "helper.prism").unlink()
    again = parallax("retry", str(ended["execution_id"]), "--json", cwd=place, data=home / "data")
    assert json.loads(again.stdout)["result"] == "hello hello"


def test_a_file_that_cannot_be_run_is_bad_input(home: Path, tmp_path: Path) -> None:
    """One that is not there, one with a mistake, and an input that does not fit are said before anything is asked."""
    (tmp_path / "bad.yaml").write_text("name: bad\nstructure: 7\n")
    for name, said in (("./missing.yaml", "cannot be read"), ("bad.yaml", "does not compile")):
        refused = parallax("run", name, cwd=tmp_path, data=home / "data")
        assert (refused.returncode, said in refused.stderr) == (2, True), refused.stderr
    (tmp_path / "fine.prism").write_text(pattern("fine", "input.word"))
    refused = parallax("run", "fine.prism", cwd=tmp_path, data=home / "data")
    assert (refused.returncode, "word" in refused.stderr) == (2, True)


def test_without_a_directory_of_ones_own_the_data_directory_has_one(server_dir: Path, tmp_path: Path) -> None:
    """Nothing depends on where `up` is typed but `./patterns`, and status says which directory it is."""
    data = server_dir / "no-patterns"
    try:
        record, _ = start_detached(data, options=["--only", "etcd"])
        # the tests run in the checkout, whose ./patterns are the shipped ones
        assert record.directories["patterns"] in {str(data / "patterns"), str(ROOT / "patterns")}
    finally:
        stop_stack(data)
    assert not (tmp_path / "patterns").exists()
