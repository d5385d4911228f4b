"""Standard streams that are closed, full, without a reader, or of a locale that cannot spell what is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHOW = f"{sys.executable} -m parallax patterns show demo-tidy"
LIST = f"{sys.executable} -m parallax patterns list"


def shell(line: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
    """A command line as a shell runs it; the exit code is that of the first command of a pipe."""
    base = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": str(ROOT)}
    base["PARALLAX_PATTERNS_DIR"] = str(ROOT / "patterns")
    return subprocess.run(
        ["bash", "-c", f"{line}; exit ${{PIPESTATUS[0]}}"],
        env=base | environ,
        capture_output=True,
        timeout=60,
        check=False,
    )


def complaints(done: subprocess.CompletedProcess[bytes], encoding: str = "utf-8") -> list[str]:
    """What was said on standard error, but for where the patterns come from."""
    return [line for line in done.stderr.decode(encoding).splitlines() if not line.startswith("From ")]


@pytest.mark.parametrize("command", [SHOW, LIST, f"{LIST} --json", f"{sys.executable} -m parallax --help"])
def test_a_reader_that_has_seen_enough_is_no_failure(command: str) -> None:
    """`| head -1` and `| true` end every command alike: quietly, with 0."""
    for reader in ("head -1", "true"):
        done = shell(f"{command} | {reader}")
        assert (done.returncode, complaints(done)) == (0, [])


@pytest.mark.parametrize("command", [SHOW, f"{LIST} --json"])
def test_a_full_disk_is_named(command: str) -> None:
    """What could not be written is not passed over in silence."""
    done = shell(f"{command} >/dev/full")
    assert done.returncode == 1
    assert done.stderr.decode().splitlines() == [
        "Error: standard output could not be written: No space left on device."
    ]


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_a_closed_stream_is_nobodys_business(closed: str) -> None:
    """Who closes a stream wants to hear nothing on it."""
    done = shell(f"{SHOW} {closed}")
    assert (done.returncode, done.stderr) == (0, b"")
    assert bool(done.stdout) == (">&-" not in closed.split())


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1", "cp1252", "utf-16"])
def test_an_encoding_without_our_characters_gets_plain_ones(encoding: str, tmp_path: Path) -> None:
    """A text is written in what the encoding has, and JSON is always UTF-8."""
    (tmp_path / "p.prism").write_text(
        'export const pattern = {name: "p", version: "1.0.0", description: "naïve … ✔ 日"}\n1\n', encoding="utf-8"
    )
    where = {"PYTHONIOENCODING": encoding, "PARALLAX_PATTERNS_DIR": str(tmp_path)}
    done = shell(f"{sys.executable} -m parallax patterns list", **where)
    assert (done.returncode, complaints(done, encoding)) == (0, [])
    assert {"ascii": "na?ve ... + ?", "iso-8859-1": "naïve ... + ?", "cp1252": "naïve … + ?"}.get(
        encoding, "naïve … ✔ 日"
    ) in done.stdout.decode(encoding)
    document = shell(f"{sys.executable} -m parallax patterns list --json", **where)
    described = [entry["description"] for entry in json.loads(document.stdout)["patterns"] if entry["name"] == "p"]
    assert described == ["naïve … ✔ 日"]
