"""The checkout's own source, as syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("parallax", "services", "shared", "compiler", "schemas")


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the product by its path below the checkout. What the demo's repository holds is data."""
    found: dict[str, ast.Module] = {}
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith(("parallax/demo/files/", "parallax/demo/repository/")):
                found[name] = ast.parse(path.read_text(encoding="utf-8"), name)
    return found


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every module that is imported anywhere in a tree, with its line; relative ones begin with a dot."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")
