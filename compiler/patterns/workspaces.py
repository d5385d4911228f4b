"""Reading `workspace`: whether there is one, what becomes of it, and on what checks run.

A check runs on a clean checkout, so what it needs beside the repository's own files is written here: `setup` makes it,
`copy` brings it from a local origin, `keep` takes it from the agent's worktree.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from compiler.exit_status import hidden_status
from compiler.patterns.reader import Node
from compiler.patterns.report import Report
from compiler.patterns.view import View
from schemas.patterns import WorkspaceSpec

EVIDENCE_KEYS = ("setup", "setupKey", "copy", "keep")
WORKSPACE_KEYS = ("enabled", "push", *EVIDENCE_KEYS)
"""The keys that patterns of every form have."""

_REFERENCE = re.compile(r"\$\{\s*(?:[A-Za-z_][\w-]*\s*[.\[]|(?:input|workspace|context|step_[0-9]+\w*)\s*\})")
_MOST_PATHS = 100


def read_workspace(node: Node, report: Report, keys: Iterable[str] = WORKSPACE_KEYS) -> tuple[WorkspaceSpec, View]:
    """The specification, and the view for what only some forms have."""
    view = View(node, report, "workspace", keys)
    spec = WorkspaceSpec(enabled=view.flag("enabled", True) is not False, push=bool(view.flag("push", False)))
    setup = _setup(view)
    paths = {key: _paths(view, key) for key in EVIDENCE_KEYS[1:] if view.has(key)}
    given = [key for key in EVIDENCE_KEYS if view.has(key)]
    if not spec.enabled:
        for key in given:
            _no_effect(view, key, "the workspace is not enabled", "Remove it, or write enabled: true.")
        return spec, view
    if "setupKey" in given and not view.has("setup") and not view.misspelt("setup"):
        _no_effect(view, "setupKey", "there is no setup", "Add setup, or remove the key.")
    return msgspec.structs.replace(
        spec,
        setup=setup or msgspec.UNSET,
        setup_key=paths.get("setupKey") or msgspec.UNSET,
        copy=paths.get("copy") or msgspec.UNSET,
        keep=paths.get("keep") or msgspec.UNSET,
    ), view


def _no_effect(view: View, key: str, why: str, hint: str) -> None:
    place = view.key(key)
    view.report.warning("unsupported", place.line, place.column, f"{key!r} has no effect: {why}", hint)


def _setup(view: View) -> str | list[str]:
    node = view.get("setup")
    if node is None:
        return ""
    if node.kind == "list":
        made: str | list[str] = [word for word, _ in view.texts("setup")]
    else:
        made = view.text("setup")
    if not made and node.kind in {"list", "text"}:
        view.report.error("missing-key", node.line, node.column, "'setup' of workspace is empty", "setup: [npm, ci]")
    for word, place in zip([made] if isinstance(made, str) else made, node.items or [node], strict=False):
        if (found := _REFERENCE.search(word)) is not None:
            message = f"'setup' of workspace cannot be built from data: {word[found.start() :][:40]!r}"
            view.report.error("unsafe-command", place.line, place.column, message, "Write the command out.")
    if made and (hidden := hidden_status(made)) is not None:
        message = f"`{hidden.text}` in 'setup' of workspace hides the exit status: it {hidden.why}"
        view.report.warning("hidden-exit-status", node.line, node.column, message, hidden.hint)
    return made


def _paths(view: View, key: str) -> list[str]:
    found: list[str] = []
    entries = view.texts(key, single=True)
    for path, place in entries:
        wrong = _wrong(path)
        if wrong:
            message = f"{path!r} of {key!r} {wrong}"
            hint = "Write a path inside the repository, for example package-lock.json."
            view.report.error("bad-path", place.line, place.column, message, hint)
        else:
            found.append("/".join(part for part in path.split("/") if part not in ("", ".")))
    if len(entries) > _MOST_PATHS:
        place = view.key(key)
        message = f"{key!r} of workspace has {len(entries)} paths; at most {_MOST_PATHS} are taken"
        view.report.error("too-large", place.line, place.column, message, "Name the directory that they are in.")
    return found


def _wrong(path: str) -> str:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith(("/", "~")):
        return "is not a path inside the repository"
    if ".." in parts:
        return "leaves the repository"
    if "\0" in path or "\n" in path or "\\" in path:
        return "is no path"
    if re.search(r"[*?\[\]]", path):
        return "is a pattern, and paths are taken as they are written"
    if not parts:
        return "is the whole repository"
    return "is git's own" if ".git" in (part.lower() for part in parts) else ""
