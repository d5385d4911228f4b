"""An agent that rewrites outdated Python idioms: a codemod over the syntax tree that leaves all other text alone.

It knows abstract classes that moved to `collections.abc`, classes that inherit from `object`, and `super` with
arguments. Every rewritten file is parsed again before it is written.
"""

from __future__ import annotations

import argparse
import ast
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parallax.demo_agents.protocol import progress, python_files, run

MOVED = frozenset({
    "Awaitable", "Coroutine", "AsyncIterable", "AsyncIterator", "AsyncGenerator", "Hashable", "Iterable",
    "Iterator", "Generator", "Reversible", "Sized", "Container", "Callable", "Collection", "Set", "MutableSet",
    "Mapping", "MutableMapping", "MappingView", "KeysView", "ItemsView", "ValuesView", "Sequence",
    "MutableSequence", "ByteString",
})  # fmt: skip
"""Names that left `collections` for `collections.abc`."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A piece of a line to be replaced: line from 1, columns in bytes as the syntax tree counts them."""

    line: int
    start: int
    end: int
    text: str
    why: str


def work(task: dict[str, Any]) -> tuple[dict[str, Any], float]:
    """Rewrites every file below the current directory. Less sure where files could not be parsed."""
    del task
    changes: list[str] = []
    unreadable: list[str] = []
    files = list(python_files(Path.cwd()))
    for path in files:
        name = str(path.relative_to(Path.cwd()))
        try:
            text = path.read_text("utf-8")
            made, edits = modernized(text)
        except (SyntaxError, ValueError, UnicodeDecodeError, RecursionError):
            unreadable.append(name)
            continue
        if edits:
            path.write_text(made, "utf-8")
            changes += [f"{name}:{edit.line}: {edit.why}" for edit in edits]
            progress(f"{name}: {len(edits)} idioms rewritten")
    summary = {
        "summary": f"{len(changes)} outdated idioms rewritten, {len(files)} files read",
        "changes": changes,
        "unreadable": unreadable,
    }
    return summary, 0.6 if unreadable else 0.9


def modernized(text: str) -> tuple[str, list[Edit]]:
    """The text with today's idioms, and what was done. Raises SyntaxError for what is not Python."""
    tree = ast.parse(text)
    edits = sorted(_edits(tree, text), key=lambda edit: (edit.line, edit.start))
    if not edits:
        return text, []
    lines = [line.encode("utf-8") for line in text.splitlines(keepends=True)]
    for edit in reversed(edits):
        line = lines[edit.line - 1]
        lines[edit.line - 1] = line[: edit.start] + edit.text.encode("utf-8") + line[edit.end :]
    made = b"".join(lines).decode("utf-8")
    ast.parse(made)
    return made, edits


def _edits(tree: ast.Module, text: str) -> list[Edit]:
    edits: list[Edit] = []
    moved = False
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            edits += _class(node, text)
        elif isinstance(node, ast.ImportFrom) and node.module == "collections" and node.level == 0:
            edits += _import(node, text)
        elif isinstance(node, ast.Attribute) and node.attr in MOVED and _is_collections(node.value):
            end = node.end_col_offset or 0
            why = f"collections.{node.attr} moved to collections.abc"
            if node.lineno == node.end_lineno:
                edits.append(Edit(node.lineno, node.col_offset, end, f"collections.abc.{node.attr}", why))
                moved = True
    if moved and not _imports_abc(tree):
        edits += [edit for node in tree.body if (edit := _plain_import(node)) is not None][:1]
    return edits


def _is_collections(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "collections"


def _imports_abc(tree: ast.Module) -> bool:
    return any(
        isinstance(node, ast.Import) and any(alias.name == "collections.abc" for alias in node.names)
        for node in ast.walk(tree)
    )


def _plain_import(node: ast.stmt) -> Edit | None:
    if not isinstance(node, ast.Import) or [alias.name for alias in node.names] != ["collections"]:
        return None
    if node.names[0].asname or node.lineno != node.end_lineno:
        return None
    return Edit(
        node.lineno, node.col_offset, node.end_col_offset or 0, "import collections.abc", "imports the new home"
    )


def _class(node: ast.ClassDef, text: str) -> list[Edit]:
    edits: list[Edit] = []
    line = text.splitlines()[node.lineno - 1].encode("utf-8")
    old = f"class {node.name}(object)".encode()
    at = line.find(old, node.col_offset)
    if at >= 0 and len(node.bases) == 1 and not node.keywords:
        edits.append(Edit(node.lineno, at, at + len(old), f"class {node.name}", "every class is an object"))
    for method in node.body:
        if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) and method.args.args:
            edits += _supers(node.name, method)
    return edits


def _supers(name: str, method: ast.FunctionDef | ast.AsyncFunctionDef) -> list[Edit]:
    first = method.args.args[0].arg
    return [
        Edit(call.lineno, call.col_offset, call.end_col_offset or 0, "super()", "super needs no arguments")
        for call in _own_calls(method)
        if isinstance(call.func, ast.Name)
        and call.func.id == "super"
        and len(call.args) == 2
        and not call.keywords
        and isinstance(call.args[0], ast.Name)
        and call.args[0].id == name
        and isinstance(call.args[1], ast.Name)
        and call.args[1].id == first
        and call.lineno == call.end_lineno
    ]


def _own_calls(method: ast.AST) -> list[ast.Call]:
    """Calls in a method's own body: in a nested function or class a bare `super()` would mean something else."""
    found: list[ast.Call] = []
    for child in ast.iter_child_nodes(method):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            continue
        if isinstance(child, ast.Call):
            found.append(child)
        found += _own_calls(child)
    return found


def _import(node: ast.ImportFrom, text: str) -> list[Edit]:
    names = [alias.name for alias in node.names]
    if not set(names) <= MOVED or node.lineno != node.end_lineno:
        return []
    line = text.splitlines()[node.lineno - 1].encode("utf-8")
    at = line.find(b"collections", node.col_offset)
    why = f"{', '.join(names)} moved to collections.abc"
    return [Edit(node.lineno, at, at + len(b"collections"), "collections.abc", why)]


def remaining() -> int:
    """How many idioms are left below the current directory; what `--check` prints and judges."""
    left = 0
    for path in python_files(Path.cwd()):
        try:
            left += len(modernized(path.read_text("utf-8"))[1])
        except (SyntaxError, ValueError, UnicodeDecodeError, RecursionError):
            left += 1
    return left


def main() -> int:
    """Works on a task, or with `--check` only says what is left. The exit code."""
    parser = argparse.ArgumentParser(description="Rewrite outdated Python idioms.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when something is left to rewrite")
    if parser.parse_args().check:
        left = remaining()
        sys.stdout.write(f"{left} outdated idioms left\n")
        return 1 if left else 0
    run(work)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
