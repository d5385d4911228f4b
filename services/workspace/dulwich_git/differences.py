"""Differences as people read them: unified text, and how many lines came and went."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field

from dulwich.objects import ObjectID

from services.workspace.dulwich_git.store import Entry, Store
from services.workspace.dulwich_git.trees import changes_between
from services.workspace.dulwich_git.worktree import entry_at
from services.workspace.modes import SUBMODULE
from services.workspace.names import show

_MAX_TEXT = 2 * 1024 * 1024
_MAX_COMPARED = 20_000


@dataclass(slots=True)
class Difference:
    """What changed between two directories."""

    files: list[str] = field(default_factory=list[str])
    insertions: int = 0
    deletions: int = 0
    text: str = ""


def difference(store: Store, old: ObjectID, new: ObjectID, *, text: bool) -> Difference:
    """The difference between two trees, with its text or the numbers alone."""
    found = Difference()
    pieces: list[str] = []
    for path, after in sorted(changes_between(store, old, new).items()):
        before = entry_at(store, old, path)
        name = show(path)
        found.files.append(name)
        if text:
            pieces.extend(_header(name, before, after))
        if before is not None and after is not None and before[1] == after[1]:
            continue
        was, now = _lines(store, before), _lines(store, after)
        if was is None or now is None:
            if text:
                pieces.append(f"Binary files {_side('a', name, before)} and {_side('b', name, after)} differ\n")
            continue
        body = list(_hunks(was, now))
        found.deletions += sum(line.startswith("-") for line in body)
        found.insertions += sum(line.startswith("+") for line in body)
        if text and body:
            pieces += [f"--- {_side('a', name, before)}\n", f"+++ {_side('b', name, after)}\n", *body]
    found.text = "".join(pieces)
    return found


def _side(letter: str, name: str, entry: Entry | None) -> str:
    return f"{letter}/{name}" if entry is not None else "/dev/null"


def _header(name: str, before: Entry | None, after: Entry | None) -> Iterator[str]:
    yield f"diff --git a/{name} b/{name}\n"
    if before is None and after is not None:
        yield f"new file mode {after[0]:o}\n"
    elif after is None and before is not None:
        yield f"deleted file mode {before[0]:o}\n"
    elif before is not None and after is not None and before[0] != after[0]:
        yield f"old mode {before[0]:o}\nnew mode {after[0]:o}\n"
    ids = ((before[1] if before else b"0" * 40).decode()[:12], (after[1] if after else b"0" * 40).decode()[:12])
    if ids[0] != ids[1]:
        mode = f" {after[0]:o}" if before is not None and after is not None and before[0] == after[0] else ""
        yield f"index {ids[0]}..{ids[1]}{mode}\n"


def _lines(store: Store, entry: Entry | None) -> list[str] | None:
    """The lines of a text. None: it is none."""
    if entry is None:
        return []
    if entry[0] == SUBMODULE:
        return [f"Subproject commit {entry[1].decode()}\n"]
    content = store.blob(entry[1])
    if b"\0" in content[:8000] or len(content) > _MAX_TEXT:
        return None
    return (
        content.decode("utf-8", "replace").splitlines(keepends=True) if b"\r" not in content else _by_newline(content)
    )


def _by_newline(content: bytes) -> list[str]:
    return [line.decode("utf-8", "replace") for line in content.splitlines(keepends=True)]


def _hunks(was: list[str], now: list[str]) -> Iterator[str]:
    """The hunks of a unified diff. What is too long to compare line by line is shown as replaced."""
    start = 0
    shorter = min(len(was), len(now))
    while start < shorter and was[start] == now[start]:
        start += 1
    end = 0
    while end < shorter - start and was[-1 - end] == now[-1 - end]:
        end += 1
    first = max(start - 3, 0)
    last_was, last_now = len(was) - max(end - 3, 0), len(now) - max(end - 3, 0)
    old, new = was[first:last_was], now[first:last_now]
    if len(old) + len(new) > _MAX_COMPARED:
        yield f"@@ -{first + 1},{len(old)} +{first + 1},{len(new)} @@\n"
        yield from (_closed("-", line) for line in old)
        yield from (_closed("+", line) for line in new)
        return
    for group in difflib.SequenceMatcher(None, old, new, autojunk=len(old) + len(new) > 4000).get_grouped_opcodes(3):
        low, high = group[0], group[-1]
        yield f"@@ -{_span(low[1] + first, high[2] + first)} +{_span(low[3] + first, high[4] + first)} @@\n"
        for kind, old_from, old_to, new_from, new_to in group:
            if kind == "equal":
                yield from (_closed(" ", line) for line in old[old_from:old_to])
                continue
            yield from (_closed("-", line) for line in old[old_from:old_to])
            yield from (_closed("+", line) for line in new[new_from:new_to])


def _span(start: int, end: int) -> str:
    length = end - start
    begin = start + 1 if length else start
    return f"{begin}" if length == 1 else f"{begin},{length}"


def _closed(sign: str, line: str) -> str:
    return f"{sign}{line}" if line.endswith("\n") else f"{sign}{line}\n\\ No newline at end of file\n"
