"""Three-way merges by git's own rules: renames, attributes, built-in drivers, submodules that go on from each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from services.workspace.git_backend import Merged, Oid
from services.workspace.git_program.attributes import with_attributes
from services.workspace.git_program.runner import Git, split
from services.workspace.modes import SUBMODULE
from services.workspace.names import show


@dataclass(frozen=True, slots=True)
class _Stage:
    """One version of a path in conflict: 1 what both were once, 2 ours, 3 theirs."""

    mode: int
    oid: Oid
    number: int
    path: bytes


def merge(git: Git, scratch: Path, ours: Oid, theirs: Oid) -> Merged:
    """Merges the commit `theirs` into `ours`."""
    with with_attributes(git, scratch, ours) as inside:
        tree, stages = _merged(inside, ours, theirs)
        bumped = _forwarded(git, stages)
        if bumped:
            tree, stages = _merged(inside, *(_with(git, inside.index, side, bumped) for side in (ours, theirs)))
        names = [stage.path.removesuffix(b"~" + side.encode()) for stage in stages for side in (ours, theirs)]
        shown = [name for name in names if b"~" + ours.encode() not in name and b"~" + theirs.encode() not in name]
        return Merged(tree, list(dict.fromkeys(show(name) for name in shown)))


def _merged(git: Git, ours: Oid, theirs: Oid) -> tuple[Oid, list[_Stage]]:
    done = git.run("merge-tree", "--write-tree", "-z", "--no-messages", "--end-of-options", ours, theirs, codes=(0, 1))
    tree, *rest = split(done.out)
    stages: list[_Stage] = []
    for line in rest:
        head, tab, path = line.partition(b"\t")
        if tab:
            mode, oid, number = head.split(b" ")
            stages.append(_Stage(int(mode, 8), oid.decode(), int(number), path))
    if done.code and not stages:
        stages = [_Stage(0, "", 0, path) for path in _told(git, ours, theirs)]
    return tree.decode(), stages


def _told(git: Git, ours: Oid, theirs: Oid) -> list[bytes]:
    """The paths of a conflict that leaves no version of a file in the index, such as a file in the way of another that
    a renamed directory would take along. Git tells of them in its messages alone."""
    words = ("merge-tree", "--write-tree", "-z", "--messages", "--end-of-options", ours, theirs)
    _, *rest = git.run(*words, codes=(0, 1)).out.split(b"\0")
    told: list[bytes] = []
    left = iter(rest[1:])
    for count in left:
        if not count.isdigit():
            break
        paths = [next(left, b"") for _ in range(int(count))]
        if next(left, b"").startswith(b"CONFLICT"):
            told += paths
        next(left, b"")
    return told or [b"?"]


def _forwarded(git: Git, stages: list[_Stage]) -> dict[bytes, Oid]:
    """The submodules of which one side contains the other, where their objects are held here."""
    sides: dict[bytes, dict[int, _Stage]] = {}
    for stage in stages:
        sides.setdefault(stage.path, {})[stage.number] = stage
    found: dict[bytes, Oid] = {}
    for path, versions in sides.items():
        if versions.keys() != {1, 2, 3} or any(stage.mode != SUBMODULE for stage in versions.values()):
            continue
        base, ours, theirs = versions[1].oid, versions[2].oid, versions[3].oid
        if not (_contains(git, ours, base) and _contains(git, theirs, base)):
            continue
        if _contains(git, ours, theirs):
            found[path] = ours
        elif _contains(git, theirs, ours):
            found[path] = theirs
    return found


def _contains(git: Git, commit: Oid, other: Oid) -> bool:
    return git.run("merge-base", "--is-ancestor", other, commit, codes=None).code == 0


def _with(git: Git, index: Path | None, commit: Oid, submodules: dict[bytes, Oid]) -> Oid:
    """A commit beside another one, in which the submodules stand elsewhere."""
    assert index is not None
    index.unlink(missing_ok=True)
    inside = git.at(git.directory, index)
    inside.run("read-tree", commit)
    lines = b"".join(b"160000 %s\t%s\0" % (oid.encode(), path) for path, oid in submodules.items())
    inside.run("update-index", "-z", "--index-info", stdin=lines)
    tree = inside.text("write-tree")
    parents = inside.text("rev-parse", "--end-of-options", f"{commit}^@").split()
    body = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
    body += ["author parallax <> 0 +0000", "committer parallax <> 0 +0000", "", "submodules"]
    return inside.text("hash-object", "-t", "commit", "-w", "--stdin", stdin="\n".join(body).encode())
