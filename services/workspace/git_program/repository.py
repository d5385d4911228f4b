"""The repository of one execution, with git at work on it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from services.workspace.bare import point
from services.workspace.commit_text import PLATFORM
from services.workspace.git_backend import Difference, Merged, Oid
from services.workspace.git_program.attributes import with_attributes
from services.workspace.git_program.checking import check_listing
from services.workspace.git_program.evidence import GitEvidence
from services.workspace.git_program.filling import Commits, fillable
from services.workspace.git_program.merging import merge
from services.workspace.git_program.publishing import publish
from services.workspace.git_program.runner import LOOK_AT_SUBMODULES, Git, split
from services.workspace.git_program.submodules import origin_has
from services.workspace.git_program.worktree import GitWorktree
from services.workspace.names import show
from services.workspace.origins import Origin
from services.workspace.problems import WorkspaceProblem

_COMMIT = "%H %T %P"
_MOST_REMEMBERED = 1_000


class GitRepository:
    """The bare repository `git.directory`. Commits never change, so what is known of one is remembered."""

    def __init__(self, git: Git, checked: set[Oid]) -> None:
        self.path = git.directory
        self._git = git
        self._scratch = git.directory.parent / "scratch"
        self._checked = checked
        self._commits: dict[Oid, tuple[Oid, tuple[Oid, ...]]] = {}
        self._loaded: set[tuple[Oid, Oid]] = set()
        self._visible: dict[str, Oid] | None = None
        self._submodules: dict[Oid, dict[bytes, Oid]] = {}

    def close(self) -> None:
        """Nothing is open between two runs of git."""

    def forget(self) -> None:
        """What git stored stays: nothing names it."""

    def flush(self) -> None:
        """What git stored is durable when git has ended."""

    def point(self, ref: str, commit: Oid) -> None:
        """Makes a ref name a commit."""
        point(self.path, ref, commit)

    # -- commits ----------------------------------------------------------------------------------------------------

    def has(self, oid: Oid) -> bool:
        """Whether an object is here or borrowed."""
        return self._git.run("cat-file", "-e", oid, codes=None).code == 0

    def lacking(self, oids: Collection[Oid]) -> set[Oid]:
        """Those of some objects that are neither here nor borrowed."""
        if not oids:
            return set()
        names = "".join(f"{oid}\n" for oid in oids).encode()
        lines = self._git.run("cat-file", "--batch-check=%(objectname)", stdin=names).out.decode().splitlines()
        return {line.removesuffix(" missing") for line in lines if line.endswith(" missing")}

    def empty_tree(self) -> Oid:
        """The tree without a file, stored."""
        return self._git.text("hash-object", "-t", "tree", "-w", "--stdin")

    def tree_of(self, commit: Oid) -> Oid:
        """The tree of a commit."""
        known = self._commits.get(commit)
        if known is None:
            self._load(commit, walk=False)
            known = self._commits.get(commit)
        if known is None:
            raise WorkspaceProblem("corrupt_repository", f"The commit {commit} cannot be read.")
        return known[0]

    def commit(self, *, tree: Oid, parents: Sequence[Oid], author: str, at: int, message: bytes) -> Oid:
        """Stores a commit by the platform."""
        when = f"{max(at, 0)} +0000"
        lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
        lines += [f"author {author} {when}", f"committer {PLATFORM} {when}", "", ""]
        made = self._git.text("hash-object", "-t", "commit", "-w", "--stdin", stdin="\n".join(lines).encode() + message)
        self._commits[made] = (tree, tuple(parents))
        return made

    def _load(self, *commits: str, walk: bool = True) -> bool:
        """Reads commits. False: one of those that are named is not here."""
        words = ["rev-list", "--no-commit-header", f"--format={_COMMIT}", *([] if walk else ["--no-walk"])]
        done = self._git.run(*words, "--end-of-options", *commits, codes=(0, 128))
        for line in done.out.decode().splitlines():
            commit, tree, *parents = line.split()
            self._commits[commit] = (tree, tuple(parents))
        return done.code == 0

    def check(self, commit: Oid) -> None:
        """Raises `unsafe_repository` where a commit holds a file that must not be written to a disk."""
        if commit not in self._checked:
            check_listing(self._git, commit)
            self._checked.add(commit)

    # -- who descends from whom -------------------------------------------------------------------------------------

    def ours(self, commit: Oid, since: Oid) -> bool:
        """Whether a commit is known here and descends from `since`."""
        return commit == since or (self._reach(commit, since) and since in self._ancestors(commit, since))

    def holds(self, commit: Oid, other: Oid, since: Oid) -> bool:
        """Whether `other` is part of the history of `commit`."""
        return other in {commit, since} or other in self._ancestors(commit, since)

    def only_in(self, one: Oid, other: Oid, since: Oid) -> int:
        """How many commits of `one` are not part of `other`."""
        return len(self._ancestors(one, since) - self._ancestors(other, since))

    def _reach(self, commit: Oid, since: Oid) -> bool:
        """Makes the commits between `since` and another known. False: there is no such commit."""
        if commit in self._commits or (commit, since) in self._loaded:
            return True
        found = self._load(commit, f"^{since}")
        if found:
            self._loaded.add((commit, since))
        return found

    def _ancestors(self, commit: Oid, since: Oid) -> set[Oid]:
        """The commit and all before it that `since` does not hold, and `since` if it is among their parents."""
        found: set[Oid] = set()
        waiting = [commit]
        while waiting:
            current = waiting.pop()
            if current in found:
                continue
            found.add(current)
            if current == since:
                continue
            if current not in self._commits:
                self._reach(current, since)
            waiting.extend(self._commits[current][1] if current in self._commits else ())
        return found

    def merge(self, ours: Oid, theirs: Oid, since: Oid) -> Merged:
        """Merges the commit `theirs` into `ours`."""
        del since  # git finds what both were once
        return merge(self._git, self._scratch, ours, theirs)

    # -- looking ----------------------------------------------------------------------------------------------------

    def changed_paths(self, old: Oid, new: Oid) -> list[bytes]:
        """The paths in which two commits or trees differ, sorted."""
        if old == new:
            return []
        words = ("diff-tree", "-r", "-z", "--name-only", "--no-renames", LOOK_AT_SUBMODULES)
        return sorted(split(self._git.run(*words, "--end-of-options", old, new).out))

    def difference(self, old: Oid, new: Oid, *, patch: bool) -> Difference:
        """The difference between two commits or trees."""
        found = Difference([show(path) for path in self.changed_paths(old, new)])
        if not found.files:
            return found
        with with_attributes(self._git, self._scratch, new) as git:
            self._compare(git, old, new, found, patch=patch)
        return found

    def _compare(self, git: Git, old: Oid, new: Oid, found: Difference, *, patch: bool) -> None:
        words = ("diff-tree", "-r", "-M", "--no-ext-diff", "--no-textconv", "--no-color", LOOK_AT_SUBMODULES)
        words = (*words, "--end-of-options", old, new)
        pieces = iter(split(git.run(words[0], "--numstat", "-z", *words[1:]).out))
        for line in pieces:
            come, gone, path = line.split(b"\t", 2)
            if not path:  # a renamed file: its names follow
                _ = next(pieces), next(pieces)
            if come.isdigit() and gone.isdigit():
                found.insertions += int(come)
                found.deletions += int(gone)
        if patch:
            more = ("-p", "--binary", "--full-index", "--submodule=short", "--src-prefix=a/", "--dst-prefix=b/")
            found.patch = git.run(words[0], *more, *words[1:]).out

    def submodules(self, commit: Oid) -> dict[bytes, Oid]:
        """The submodules in a commit or tree, by path, and the commits that they stand at."""
        known = self._submodules.get(commit)
        if known is not None:
            return dict(known)
        found: dict[bytes, Oid] = {}
        for line in split(self._git.run("ls-tree", "-r", "-z", commit).out):
            if line.startswith(b"160000 "):
                head, path = line.split(b"\t", 1)
                found[path] = head.split()[2].decode()
        if len(self._submodules) >= _MOST_REMEMBERED:
            self._submodules.clear()
        self._submodules[commit] = found
        return dict(found)

    def fillable(self, commit: Oid) -> set[bytes]:
        """The submodules in a commit of which worktrees have the files."""
        return fillable(self._git, commit, self.submodules(commit))

    def others_have(self, commit: Oid) -> bool:
        """Whether the origin has a commit, or did when the workspace was opened."""
        return origin_has(self._git, commit)

    def visible_refs(self) -> dict[str, Oid]:
        """What an agent sees of the origin."""
        if self._visible is None:
            self._visible = {}
            packed = self.path / "packed-refs"
            lines = packed.read_text("utf-8", "surrogateescape").splitlines() if packed.exists() else []
            for line in lines:
                oid, _, ref = line.partition(" ")
                if ref.startswith(("refs/tags/", "refs/remotes/origin/")):
                    self._visible[ref] = oid
        return self._visible

    # -- places -----------------------------------------------------------------------------------------------------

    def worktree(self, path: Path, *, memory: Path, scratch: Path) -> GitWorktree:
        """The worktree at `path`."""
        commits = Commits(self.submodules, self.check)
        return GitWorktree(self._git, path, memory, scratch, commits)

    def evidence(self, place: Path, *, memory: Path, scratch: Path) -> GitEvidence:
        """A place for evidence."""
        return GitEvidence(self, self._git, place, memory, scratch)

    def publish(self, origin: Origin, branch: str, commit: Oid) -> None:
        """Makes `branch` of the origin name `commit`."""
        publish(self._git, origin, branch, commit)
