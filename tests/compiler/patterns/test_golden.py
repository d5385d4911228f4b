"""What org charts compile to: golden programs, byte for byte, whatever the process and its hash seed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from compiler.patterns import load_pattern
from compiler.patterns.diagrams import mermaid

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parent / "golden"
SOURCES = {path.stem: path for folder in (ROOT / "patterns", HERE) for path in sorted(folder.glob("*.yaml"))}


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_a_pattern_compiles_to_its_golden_program(name: str) -> None:
    """A change of the compiler is a visible change of these files (GOLDEN=write rewrites them)."""
    result = load_pattern(SOURCES[name].read_text("utf-8"), filename=f"{name}.yaml")
    assert result.diagnostics == []
    assert result.pattern is not None
    golden = HERE / f"{name}.prism"
    if os.environ.get("GOLDEN") == "write":
        golden.write_text(result.pattern.program, "utf-8")
    assert result.pattern.program == golden.read_text("utf-8")


@pytest.mark.parametrize("name", ["everything", "flat-steps", "flat-vote", "consensus"])
def test_compiling_does_not_depend_on_the_process(name: str) -> None:
    """Other hash seeds, other processes: the same program and the same digest."""
    code = (
        "import sys, pathlib; from compiler.patterns import load_pattern; "
        "r = load_pattern(pathlib.Path(sys.argv[1]).read_text('utf-8'), filename='x.yaml'); "
        "sys.stdout.write(r.pattern.program + r.pattern.digest)"
    )
    outputs: set[str] = set()
    for seed in ("0", "1", "4242"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", code, str(SOURCES[name])]
        outputs.add(subprocess.run(command, env=env, capture_output=True, text=True, check=True, cwd=ROOT).stdout)
    assert len(outputs) == 1


def test_the_digest_covers_the_source() -> None:
    """A comment changes the digest, and nothing else."""
    text = SOURCES["demo-tidy"].read_text("utf-8")
    first = load_pattern(text, filename="a.yaml").pattern
    second = load_pattern(text + "# a word\n", filename="a.yaml").pattern
    assert first is not None
    assert second is not None
    assert (first.program, first.digest != second.digest) == (second.program, True)
    assert len(first.digest) == len(hashlib.sha256(b"").hexdigest())


def test_every_step_names_its_line() -> None:
    """A reviewer finds the YAML of every call."""
    text = SOURCES["everything"].read_text("utf-8")
    pattern = load_pattern(text, filename="e.yaml").pattern
    assert pattern is not None
    lines = text.split("\n")
    for line in pattern.program.split("\n"):
        if line.lstrip().startswith("// line ") and ": " in line:
            number, kind = line.split("// line ")[1].split(": ")
            assert kind in lines[int(number) - 1] or kind == "output"


def test_a_picture_of_a_pattern() -> None:
    """Roles and flow as Mermaid, with nothing of the file able to break out of a label."""
    text = SOURCES["demo-tidy"].read_text("utf-8").replace("name: Reviewer", 'name: "R\\"] --> x"')
    pattern = load_pattern(text, filename="d.yaml").pattern
    assert pattern is not None
    picture = mermaid(pattern)
    assert picture.startswith("flowchart TB\n")
    assert '["R#quot;] --#gt; x"]' in picture
    assert "review by reviewer" in picture
