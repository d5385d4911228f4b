"""The cases that ship with the tests."""

from __future__ import annotations

from pathlib import Path

import msgspec

from compiler.prism.conformance import Case, read_case

DATA = Path(__file__).parent / "data"


def cases(name: str) -> list[Case]:
    """The cases of a file."""
    lines = (DATA / name).read_text("utf-8").split("\n")
    return [read_case(msgspec.json.decode(line)) for line in lines if line.strip()]
