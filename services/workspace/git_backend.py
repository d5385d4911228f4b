"""What the workspace service needs of git: one interface, two implementations.

`services.workspace.git_program` runs the git program; `services.workspace.dulwich_git` does without one and refuses
what it cannot do right. An execution keeps the backend that it was opened with (its journal says which), and nothing
outside of these two packages knows how git stores anything.

What every implementation promises:

* Ids are lower-case hexadecimal text: 40 digits, or 64 in a SHA-256 repository.
* The same input gives the same id, whenever and however often it is asked for. Commits carry only what they are given.
* Objects are on the disk when `Repository.flush` returns, and no ref moves but by `Repository.point`. So a step
  that was cut short by kill -9 is done again with the same outcome; what a killed git left behind (locks,
  temporary files) is cleared under the lock of the one who uses the directory, never waited for.
* An agent's `.git`, and every `.git` below its worktree, is hostile data: no git runs in it or on it, nothing is
  fetched from it, and no file of a worktree is reached through a link that somebody put there.
* The user's repository is not touched but by `Repository.publish`, which makes exactly one branch or fails.
* `WorkspaceProblem` is what trying again does not mend, in a sentence for people; `OriginUnavailable` is what it may
  mend; `OSError` is the disk. Everything blocks: call it from a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from services.workspace.origins import Origin
from services.workspace.problems import WorkspaceProblem

Oid = str
"""The id of a commit, a tree or a file."""


def object_id(text: str) -> Oid | None:
    """A commit id as it stands in an event. None: it is not one."""
    if len(text) in (40, 64) and all(letter in "0123456789abcdef" for letter in text):
        return text
    return None


@dataclass(frozen=True, slots=True)
class Base:
    """Where work starts. `commit` None: the repository is empty. `branch` empty: no branch was named."""

    commit: Oid | None
    branch: str


@dataclass(slots=True)
class Merged:
    """The outcome of a merge. `tree` only means something when there are no `conflicts` (paths as text)."""

    tree: Oid
    conflicts: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class Difference:
    """What changed between two commits or trees.

    `patch` is a unified diff that `git apply` takes byte for byte, in the encodings of the files; empty where it was
    not asked for. `files` are paths as text, `insertions` and `deletions` count lines.
    """

    files: list[str] = field(default_factory=list[str])
    insertions: int = 0
    deletions: int = 0
    patch: bytes = b""


@dataclass(frozen=True, slots=True)
class Intent:
    """What an agent said to its own git about its worktree, read by whoever may read an agent's `.git`.

    `forced` are ignored paths that it added all the same. `untracked` are tracked paths that it took out of its index:
    they count like new files, so ignore rules decide. `absent` are tracked paths at which its git was told not to look
    (sparse checkout, skip-worktree, assume-unchanged): they stay as they are in the tree, whatever is or is not there.
    `submodules` are gitlinks and the commits they now stand at. Paths are relative, with `/`.
    """

    forced: Collection[bytes] = ()
    untracked: Collection[bytes] = ()
    absent: Collection[bytes] = ()
    submodules: Mapping[bytes, Oid] = field(default_factory=dict[bytes, Oid])


NO_INTENT = Intent()


@dataclass(frozen=True, slots=True)
class Filled:
    """What is in the directories of a worktree's submodules, before they are made anew.

    `places` says for each that holds anything where that is moved; None: it can be had again. Those that are `intact`
    may stay. `url` is where the repository came from, beside which relative addresses are read.
    """

    places: Mapping[bytes, Path | None] = field(default_factory=dict[bytes, "Path | None"])
    intact: Collection[bytes] = ()
    url: bytes = b""


NOTHING_FILLED = Filled()


@dataclass(slots=True)
class Snapshot:
    """What is in a worktree.

    `base` is the tree that the platform put there, `tree` the one that a commit would hold now. `problems` are files
    that cannot be committed; `tree` is without them. `extra` are paths, topmost only, that no commit would hold:
    ignored files, nested repositories, sockets. `found` is the backend's own knowledge, to be handed back to it.
    """

    base: Oid
    tree: Oid
    problems: list[WorkspaceProblem] = field(default_factory=list[WorkspaceProblem])
    extra: list[bytes] = field(default_factory=list[bytes])
    found: Any = None


class Worktree(Protocol):
    """The directory in which one session works. Its `.git` is the agent's to break, and is never read here."""

    @property
    def path(self) -> Path:
        """Where it is."""
        ...

    def exists(self) -> bool:
        """Whether the directory is there (an agent may have removed it)."""
        ...

    def snapshot(self, intent: Intent = NO_INTENT) -> Snapshot | None:
        """Stores what is in the worktree as a tree. None: there is no worktree, or its making was cut short.

        Ignore rules and attributes mean what they mean to git. Nothing is written into the worktree. A file that
        changes meanwhile is taken in one of its versions or is a problem, never half by half unnoticed.
        """
        ...

    def settle(self, found: Snapshot) -> None:
        """Takes `found.tree` over as what the platform put into the worktree."""
        ...

    def bring_to(self, tree: Oid, *, found: Snapshot | None, clean: bool) -> None:
        """Makes the files those of `tree`.

        `found` is what is in the worktree now; without it nothing in there counts. What git would not list (`extra`)
        stays, unless `clean` is given. Cut short, the next `snapshot` is None.
        """
        ...

    def adopt(self, tree: Oid) -> Snapshot | None:
        """Stores what is in a directory that somebody else made of `tree`, as a tree. Nothing of it is remembered.

        None: there is no such directory.
        """
        ...

    def ignored(self, found: Snapshot) -> list[bytes]:
        """The topmost paths that ignore rules keep out of the work, among them what tools leave behind."""
        ...

    def is_clean(self, submodule: bytes, heads: Callable[[bytes], Oid]) -> bool:
        """Whether a submodule holds nothing but the files of the commit that is checked out in it, and what ignore
        rules keep out. False also where that cannot be told. `heads` says which commit that is, or nothing."""
        ...

    def is_intact(self, submodule: bytes, heads: Callable[[bytes], Oid]) -> bool:
        """Whether a clean submodule stands where `renew_git` put it."""
        ...

    def renew_git(
        self,
        *,
        branch: str,
        commit: Oid,
        refs: Mapping[str, Oid],
        name: str,
        aside: Path | None = None,
        submodules: Filled = NOTHING_FILLED,
    ) -> None:
        """Makes the agent's `.git` anew: on `branch` at `commit`, with `refs`, objects borrowed from the platform's.

        `name` is who the agent is as an author. The former `.git` is moved to `aside` as it is; without it, it is
        gone: keep what was in it before. Submodules are filled where their commits are held, with repositories of
        their own in `.git/modules`; the others are empty.
        """
        ...

    def remove(self) -> None:
        """Removes the worktree and what is known of it."""
        ...


class EvidencePlace(Protocol):
    """A directory in which a commit is checked: nothing in it comes from an agent's worktree."""

    def check_out(self, commit: Oid, *, keep: Sequence[str] = ()) -> bool:
        """Makes the tracked files those of `commit` and removes what is untracked, ignored or not.

        `keep` are relative paths (with all below them) that stay: what a set-up made there. The place gets a `.git` of
        its own that holds HEAD (detached) and tags, anew each time. False: it is the first time, or the last one was
        cut short, so the place was made anew and nothing of `keep` is in it.
        """
        ...

    def changes(self, commit: Oid) -> list[str]:
        """The tracked files that are no longer as `commit` holds them. New files are none."""
        ...

    def unfilled(self, commit: Oid) -> list[str]:
        """The submodules of `commit` of which no file is there."""
        ...


class Repository(Protocol):
    """The repository of one execution. Used under the execution's lock, by one thread at a time."""

    @property
    def path(self) -> Path:
        """The bare repository."""
        ...

    def close(self) -> None:
        """Lets go of open files and processes."""
        ...

    def forget(self) -> None:
        """Drops what was stored and not flushed, after a step that failed."""
        ...

    def flush(self) -> None:
        """Makes everything stored so far durable."""
        ...

    def point(self, ref: str, commit: Oid) -> None:
        """Makes a ref name a commit."""
        ...

    # -- commits ----------------------------------------------------------------------------------------------------

    def empty_tree(self) -> Oid:
        """The tree without a file, stored."""
        ...

    def tree_of(self, commit: Oid) -> Oid:
        """The tree of a commit."""
        ...

    def has(self, oid: Oid) -> bool:
        """Whether an object is here or borrowed, and with it all that it names."""
        ...

    def lacking(self, oids: Collection[Oid]) -> set[Oid]:
        """Those of some objects that are neither here nor borrowed."""
        ...

    def commit(self, *, tree: Oid, parents: Sequence[Oid], author: str, at: int, message: bytes) -> Oid:
        """Stores a commit by the platform. `at` is the time of the event it answers, in epoch seconds."""
        ...

    def check(self, commit: Oid) -> None:
        """Raises `unsafe_repository` where a commit holds a file that must not be written to a disk."""
        ...

    def ours(self, commit: Oid, since: Oid) -> bool:
        """Whether a commit is known here and descends from `since`, the base of the execution."""
        ...

    def holds(self, commit: Oid, other: Oid, since: Oid) -> bool:
        """Whether `other` is part of the history of `commit`; both descend from `since`."""
        ...

    def only_in(self, one: Oid, other: Oid, since: Oid) -> int:
        """How many commits of `one` are not part of `other`; both descend from `since`."""
        ...

    def merge(self, ours: Oid, theirs: Oid, since: Oid) -> Merged:
        """Merges the commit `theirs` into `ours`, both of which descend from `since`, as git does."""
        ...

    # -- looking ----------------------------------------------------------------------------------------------------

    def changed_paths(self, old: Oid, new: Oid) -> list[bytes]:
        """The paths in which two commits or trees differ, sorted; a renamed file is two of them."""
        ...

    def difference(self, old: Oid, new: Oid, *, patch: bool) -> Difference:
        """The difference between two commits or trees, with its text or the numbers alone."""
        ...

    def submodules(self, commit: Oid) -> dict[bytes, Oid]:
        """The submodules in a commit or tree, by path, and the commits that they stand at."""
        ...

    def fillable(self, commit: Oid) -> set[bytes]:
        """The submodules in a commit of which worktrees have the files."""
        ...

    def others_have(self, commit: Oid) -> bool:
        """Whether the origin has a commit, its own submodules included: then others can have it."""
        ...

    def visible_refs(self) -> dict[str, Oid]:
        """What an agent sees of the origin, as it was when the workspace was opened: `refs/tags/…` and
        `refs/remotes/origin/…`."""
        ...

    # -- places -----------------------------------------------------------------------------------------------------

    def worktree(self, path: Path, *, memory: Path, scratch: Path) -> Worktree:
        """The worktree at `path`. `memory` is a file (or the beginning of its name) for what is known of it, `scratch`
        a directory on the same file system."""
        ...

    def evidence(self, place: Path, *, memory: Path, scratch: Path) -> EvidencePlace:
        """A place for evidence; the directory is made where it is not there."""
        ...

    def publish(self, origin: Origin, branch: str, commit: Oid) -> None:
        """Makes `branch` of the origin name `commit`; done when it does already. Never overwrites other work.

        Raises:
            WorkspaceProblem: the origin refuses, with its own words; or it has other work there.
            OriginUnavailable: it does not answer.
        """
        ...


class GitBackend(Protocol):
    """A way of doing git."""

    @property
    def name(self) -> str:
        """The name that a journal keeps: `git` or `dulwich`."""
        ...

    @property
    def shown(self) -> str:
        """The name with its version, for `workspace.ready`."""
        ...

    def bring(self, origin: Origin, base: str) -> Base:
        """Makes the cached clone of an origin hold the commit that `base` stands for (empty: the default branch).

        Raises:
            WorkspaceProblem: there is no such repository or no such base, or it is of a kind that is not supported.
            OriginUnavailable: the origin does not answer.
        """
        ...

    def make(self, path: Path, origin: Origin | None, branch: str) -> None:
        """Makes the bare repository of an execution; it borrows the objects of the origin's cached clone."""
        ...

    def open(self, path: Path, origin: Origin | None) -> Repository:
        """A repository that `make` made. Where the cached clone has moved, it is found again."""
        ...
