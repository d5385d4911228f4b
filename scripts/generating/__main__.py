"""Writes the generated documents, or with `--check` says which are not current (exit code 1)."""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

from scripts.generating import asyncapi, pattern_schema, vocabulary, wire
from scripts.generating.pages import bus, commands, data_model, events, http, patterns, settings

ROOT = Path(__file__).parents[2]
WIRE = "tests/schemas/wire.json"


def as_json(document: object) -> str:
    """A document as text that is the same on every machine."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def documents(root: Path = ROOT) -> dict[str, str]:
    """Every generated document but the wire snapshot, by its path below the checkout."""
    project: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {
        "schemas/json_schema.json": as_json(vocabulary.json_schema()),
        "schemas/asyncapi.json": as_json(asyncapi.document(project["version"])),
        "schemas/pattern.schema.json": as_json(pattern_schema.document()),
        "docs/reference/bus.md": bus.render(),
        "docs/reference/commands.md": commands.render(),
        "docs/reference/data-model.md": data_model.render(root),
        "docs/reference/events.md": events.render(),
        "docs/reference/http.md": http.render(),
        "docs/patterns.md": patterns.render(root),
        "docs/reference/settings.md": settings.render(root),
    }


def stale(found: dict[str, str], root: Path = ROOT) -> list[str]:
    """The documents whose files hold something else, or are not there."""
    return [
        path
        for path, text in found.items()
        if not (root / path).exists() or (root / path).read_text(encoding="utf-8") != text
    ]


def recorded(root: Path = ROOT) -> wire.Snapshot:
    """The wire as it was recorded last."""
    path = root / WIRE
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def main(arguments: list[str]) -> int:
    """Exit code 0: done, or all is current; 1: something is not current, or the wire would break."""
    parser = argparse.ArgumentParser("scripts/generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; say what is not current")
    parser.add_argument("--accept-wire-changes", action="store_true", help="record a wire that breaks readers")
    given = parser.parse_args(arguments)
    now = wire.snapshot()
    broken = wire.breaks(recorded(), now)
    if broken and not given.accept_wire_changes:
        print("The wire would break:", *broken, sep="\n  ", file=sys.stderr)
        return 1
    found = documents() | {WIRE: as_json(now)}
    old = stale(found)
    for path in old:
        print(f"{path} is not current" if given.check else f"{path} is written")
        if not given.check:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(found[path], encoding="utf-8")
    return 1 if given.check and old else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
