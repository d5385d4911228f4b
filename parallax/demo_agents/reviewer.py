"""An agent that reads the diff of a worktree against where the work began, and says what is wrong with it.

It looks for what reviewers of automatic changes fear most: files that no longer parse, tests that were deleted,
skipped or emptied, public names that disappeared, conflict markers and leftovers of debugging.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from dulwich.diff_tree import tree_changes
from dulwich.errors import NotGitRepository
from dulwich.objects import Blob, Commit, ObjectID
from dulwich.refs import Ref
from dulwich.repo import Repo

from parallax.demo_agents.protocol import MOST_BYTES, fail, progress, run

_LEFTOVERS = re.compile(r"^\s*(breakpoint\(\)|import pdb\b|pdb\.set_trace\(\))", re.MULTILINE)
_CONFLICT = re.compile(r"^(<{7}|>{7}) ", re.MULTILINE)
_SKIP = re.compile(r"\bpytest\.(skip|mark\.(skip|skipif|xfail))\b|@unittest\.skip")


def work(task: dict[str, Any]) -> tuple[dict[str, Any], float]:
    """The verdict on everything that changed since the base."""
    context = task.get("context")
    workspace = cast("dict[str, Any]", context).get("workspace") if isinstance(context, dict) else None
    base = str(cast("dict[str, Any]", workspace).get("base") or "") if isinstance(workspace, dict) else ""
    try:
        changes = list(_changes(Repo.discover("."), base))
    except (NotGitRepository, KeyError) as error:
        fail(f"there is no diff to read here: {error}")
    remarks = [remark for path, old, new in changes for remark in remarks_on(path, old, new)]
    progress(f"{len(changes)} files changed, {len(remarks)} remarks")
    files = [path for path, _, _ in changes]
    if remarks:
        return {"verdict": "revise", "critique": "\n".join(f"- {one}" for one in remarks), "files": files}, 0.8
    if not changes:
        return {"verdict": "approve", "critique": "Nothing was changed.", "files": []}, 0.6
    return {"verdict": "approve", "critique": "", "files": files}, 0.9


def remarks_on(path: str, old: str | None, new: str | None) -> list[str]:
    """What is wrong with one change. None is a file that is not there, or not text."""
    is_test = Path(path).name.startswith("test_") or "tests" in Path(path).parts
    if new is None:
        return [f"{path}: a test file was deleted"] if is_test and old is not None else []
    found: list[str] = []
    if _CONFLICT.search(new):
        found.append(f"{path}: conflict markers are left in it")
    if not path.endswith(".py"):
        return found
    try:
        tree = ast.parse(new)
    except (SyntaxError, ValueError) as error:
        return [*found, f"{path}: it is no longer Python: {error}"]
    if _LEFTOVERS.search(new):
        found.append(f"{path}: a debugger call is left in it")
    try:
        before = ast.parse(old or "")
    except (SyntaxError, ValueError):
        return found
    gone = sorted(_names(before) - _names(tree))
    if gone:
        what = "tests disappeared" if is_test else "public names disappeared"
        found.append(f"{path}: {what}: {', '.join(gone)}")
    if is_test and len(_SKIP.findall(new)) > len(_SKIP.findall(old or "")):
        found.append(f"{path}: a test is skipped that was not skipped before")
    return found


def _names(tree: ast.Module) -> set[str]:
    return {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_")
    }


def _changes(repo: Repo, base: str) -> Iterator[tuple[str, str | None, str | None]]:
    head = cast("Commit", repo[repo.head()])
    begin = _base(repo, base, head)
    for change in tree_changes(repo.object_store, begin.tree if begin is not None else None, head.tree):
        entry = change.new or change.old
        if entry is None:
            continue
        old = _text(repo, change.old.sha if change.old is not None else None)
        new = _text(repo, change.new.sha if change.new is not None else None)
        yield entry.path.decode("utf-8", "replace"), old, new


def _base(repo: Repo, base: str, head: Commit) -> Commit | None:
    """The commit that the work began from: the base branch, else the first parent that is not the platform's."""
    for ref in (f"refs/heads/{base}", f"refs/remotes/origin/{base}", base):
        key = Ref(ref.encode("utf-8"))
        if base and key in repo.refs:
            return cast("Commit", repo[repo.refs[key]])
    walked = head
    while walked.parents and b"parallax" in (walked.author + walked.committer).lower():
        walked = cast("Commit", repo[walked.parents[0]])
    return walked


def _text(repo: Repo, sha: ObjectID | None) -> str | None:
    if sha is None:
        return None
    blob = repo[sha]
    if not isinstance(blob, Blob) or len(blob.data) > MOST_BYTES:
        return None
    try:
        return blob.data.decode("utf-8")
    except UnicodeDecodeError:
        return None


if __name__ == "__main__":
    run(work)
