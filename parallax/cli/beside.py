"""What agents did beside their work, in words: kept by refs, left out, ignored. Nothing of it is part of the result.

Pure: it reads the fields that `workspace.prepared` and `workspace.committed` carry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

_KINDS = {
    "branch": "the branch {name}",
    "head": "what it committed",
    "stash": "a stash",
    "tag": "the tag {name}",
    "reset": "a commit that was reset away",
    "worktree": "the worktree {name}",
    "unnamed": "a commit without a name",
    "staged": "what was staged",
    "hidden": "changes of files that its git was told to skip",
    "submodule": "a commit of the submodule {name}",
    "attempt": "an attempt that failed",
    "cut short": "an attempt that was cut short",
    "leftover": "what lay in the worktree{whose} before the task",
    "lost": "work that was not taken over",
    "other": "the reference {name}",
}
_BY_THE_PLATFORM = frozenset({"attempt", "cut short", "leftover", "lost", "staged", "hidden", "worktree"})
"""Kinds of which the subject is the platform's own, and says no more than the kind."""

_MOST_FILES = 3
_MOST = 6


@dataclass
class Beside:
    """What was found beside the work of an execution, in the order of the log."""

    kept: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """What it was, and the ref that keeps it."""
    left_out: list[str] = field(default_factory=list[str])
    ignored_files: list[str] = field(default_factory=list[str])
    ignored: int = 0
    rules: list[str] = field(default_factory=list[str])
    notes: list[str] = field(default_factory=list[str])
    submodules: list[str] = field(default_factory=list[str])
    """Those that are not filled; those that are `held` are."""
    held: list[str] = field(default_factory=list[str])

    def take(self, data: Mapping[str, Any]) -> list[str]:
        """Takes in one event. Gives a line for each thing that it adds, for whoever follows."""
        session = str(data.get("session", ""))
        lines: list[str] = []
        for one in cast("list[dict[str, Any]]", data.get("submodules") or []):
            (self.held if one.get("held") else self.submodules).append(str(one.get("path", "")))
        if data.get("submodules"):
            lines += self._unfilled()
        for one in cast("list[dict[str, Any]]", data.get("kept") or []):
            if one.get("in_result"):
                continue
            what = kept_words(one, session)
            self.kept.append((what, str(one.get("ref", ""))))
            lines.append(f"kept {what}: not part of the result")
        for one in cast("list[dict[str, Any]]", data.get("left_out") or []):
            said = f"{one.get('path', '')} {one.get('reason', '')}".strip()
            self.left_out.append(said)
            lines.append(said)
        ignored = cast("dict[str, Any]", data.get("ignored") or {})
        if ignored:
            files = [str(name) for name in ignored.get("files", [])]
            count, rules = int(ignored.get("count", 0)), [str(name) for name in ignored.get("rules", [])]
            self.ignored += count
            self.ignored_files += files
            self.rules += [rule for rule in rules if rule not in self.rules]
            lines.append(ignored_words(count, files, rules))
        for note in cast("list[str]", data.get("notes") or []):
            self.notes.append(f"{session}: {note}" if session else note)
            lines.append(note)
        return lines

    def _unfilled(self) -> list[str]:
        said = {
            "not filled, so a check that fails says nothing about the work; a set-up may fetch them": self.submodules,
            "filled": self.held,
        }
        return [
            f"{', '.join(paths[:_MOST_FILES])}{' …' if len(paths) > _MOST_FILES else ''}: {what}"
            for what, paths in said.items()
            if paths
        ]

    def rows(self, execution_id: str) -> list[tuple[str, str]]:
        """What a card says of it, as name and text."""
        found: list[tuple[str, str]] = []
        found += [("submodules", line) for line in self._unfilled()]
        if self.ignored:
            found.append(("ignored", ignored_words(self.ignored, self.ignored_files, self.rules)))
        more = f"`parallax workspaces show {execution_id}` has them all"
        found += [("kept", line) for line in _cut([f"{what}\n→ {ref}" for what, ref in self.kept], more)]
        more = f"`parallax events {execution_id}` has them all"
        found += [("left out", line) for line in _cut(self.left_out, more)]
        found += [("note", line) for line in _cut(self.notes, more)]
        return found


def kept_words(one: Mapping[str, Any], session: str) -> str:
    """What a kept commit is, and whose."""
    kind, name = _kind(one), str(one.get("name", ""))
    whose = f" of {session}" if session else ""
    pattern = _KINDS.get(kind, kind or "something")
    what = pattern.format(name=name, whose=whose) + ("" if "{whose}" in pattern else whose)
    subject = str(one.get("subject", ""))
    return f"{what} ({subject})" if subject and kind not in _BY_THE_PLATFORM else what


def _kind(one: Mapping[str, Any]) -> str:
    """What a kept commit was. What is found before a task has the kind of an attempt, whosever it is."""
    kind = str(one.get("kind", ""))
    if kind != "attempt" or "/before-" not in str(one.get("ref", "")):
        return kind
    return "leftover" if one.get("name") == "idle" else "cut short"


def ignored_words(count: int, files: list[str], rules: list[str]) -> str:
    """How many files are ignored, by what, and which the first ones are."""
    by = ", ".join(rules[:3]) or "ignore rules"
    shown = ", ".join(files[:_MOST_FILES]) + (" …" if count > min(len(files), _MOST_FILES) else "")
    if count == 1:
        return f"1 file is ignored by {by} and is not part of the result: {shown}"
    return f"{count} files are ignored by {by} and are not part of the result: {shown}"


def _cut(lines: list[str], more: str) -> list[str]:
    if len(lines) <= _MOST:
        return lines
    return [*lines[: _MOST - 1], f"and {len(lines) - _MOST + 1} more; {more}"]
