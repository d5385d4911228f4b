"""The dulwich backend as the workspace service sees it: text for ids, and the modules of this package behind it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import dulwich
from dulwich.objects import ObjectID

from services.workspace import agent_git, files
from services.workspace.agent_git import AgentGit
from services.workspace.bare import borrow, make_bare, point
from services.workspace.dulwich_git.checking import check_tree
from services.workspace.dulwich_git.cloning import Clones
from services.workspace.dulwich_git.differences import difference
from services.workspace.dulwich_git.history import History, make_commit
from services.workspace.dulwich_git.merging import merge_commits
from services.workspace.dulwich_git.own_rules import read_rules, write_rules
from services.workspace.dulwich_git.pushing import publish
from services.workspace.dulwich_git.scan import Scan
from services.workspace.dulwich_git.store import Store
from services.workspace.dulwich_git.tolerating import tolerate
from services.workspace.dulwich_git.trees import changed, changes_between, listing
from services.workspace.dulwich_git.worktree import Files, entry_at
from services.workspace.git_backend import (
    NO_INTENT,
    NOTHING_FILLED,
    Base,
    Difference,
    Filled,
    Intent,
    Merged,
    Oid,
    Snapshot,
)
from services.workspace.modes import SUBMODULE
from services.workspace.names import show
from services.workspace.origins import Origin
from services.workspace.problems import WorkspaceProblem
from services.workspace.submodules import empty, unfilled


def _id(oid: Oid) -> ObjectID:
    return ObjectID(oid.encode())


class DulwichBackend:
    """Git without a git program."""

    name = "dulwich"

    def __init__(self, clones: Path) -> None:
        tolerate()
        self._clones = Clones(clones)

    @property
    def shown(self) -> str:
        """The name with its version."""
        return "dulwich " + ".".join(str(part) for part in dulwich.__version__[:3])

    def bring(self, origin: Origin, base: str) -> Base:
        """Makes the cached clone of an origin hold the commit that `base` stands for."""
        return self._clones.bring(origin, base)

    def make(self, path: Path, origin: Origin | None, branch: str) -> None:
        """Makes the bare repository of an execution."""
        make_bare(path, branch, borrowed=self._clones.objects(origin) if origin else None)
        write_rules(path, origin)
        if origin is not None:
            (path / "packed-refs").write_bytes(self._clones.visible(origin))

    def open(self, path: Path, origin: Origin | None) -> DulwichRepository:
        """A repository that `make` made."""
        if origin is not None:
            borrow(path, self._clones.objects(origin))
        return DulwichRepository(path, self._clones.checked)


class DulwichRepository:
    """The repository of one execution."""

    def __init__(self, path: Path, checked: set[ObjectID]) -> None:
        self.path = path
        self.store = Store(path / "objects")
        self._checked = checked
        self._histories: dict[Oid, History] = {}
        self._visible: dict[str, Oid] | None = None
        self.rules = read_rules(path)

    def close(self) -> None:
        """Lets go of open files."""
        self.store.close()

    def forget(self) -> None:
        """Drops what was stored and not flushed."""
        self.store.forget()

    def flush(self) -> None:
        """Makes everything stored so far durable."""
        self.store.flush()

    def point(self, ref: str, commit: Oid) -> None:
        """Makes a ref name a commit."""
        point(self.path, ref, commit)

    # -- commits ----------------------------------------------------------------------------------------------------

    def empty_tree(self) -> Oid:
        """The tree without a file, stored."""
        return self.store.put_tree({}).decode()

    def tree_of(self, commit: Oid) -> Oid:
        """The tree of a commit."""
        return self.store.tree_of(_id(commit)).decode()

    def has(self, oid: Oid) -> bool:
        """Whether an object is here or borrowed."""
        return _id(oid) in self.store

    def lacking(self, oids: Collection[Oid]) -> set[Oid]:
        """Those of some objects that are neither here nor borrowed."""
        return {oid for oid in oids if not self.has(oid)}

    def commit(self, *, tree: Oid, parents: Sequence[Oid], author: str, at: int, message: bytes) -> Oid:
        """Stores a commit by the platform."""
        return make_commit(
            self.store,
            tree=_id(tree),
            parents=[_id(parent) for parent in parents],
            author=author,
            at=at,
            message=message,
        ).decode()

    def check(self, commit: Oid) -> None:
        """Raises `unsafe_repository` where a commit holds a file that must not be written to a disk."""
        check_tree(self.store, self.store.tree_of(_id(commit)), self._checked)

    def ours(self, commit: Oid, since: Oid) -> bool:
        """Whether a commit is known here and descends from `since`."""
        return self._history(since).ours(_id(commit))

    def holds(self, commit: Oid, other: Oid, since: Oid) -> bool:
        """Whether `other` is part of the history of `commit`."""
        return self._history(since).holds(_id(commit), _id(other))

    def only_in(self, one: Oid, other: Oid, since: Oid) -> int:
        """How many commits of `one` are not part of `other`."""
        return self._history(since).only_in(_id(one), _id(other))

    def merge(self, ours: Oid, theirs: Oid, since: Oid) -> Merged:
        """Merges the commit `theirs` into `ours`."""
        merged = merge_commits(self.store, self._history(since), _id(ours), _id(theirs), self.rules.attributes)
        return Merged(merged.tree.decode(), merged.conflicts)

    def _history(self, since: Oid) -> History:
        known = self._histories.get(since)
        if known is None:
            known = self._histories[since] = History(self.store, _id(since))
        return known

    # -- looking ----------------------------------------------------------------------------------------------------

    def changed_paths(self, old: Oid, new: Oid) -> list[bytes]:
        """The paths in which two commits or trees differ, sorted."""
        return sorted(changes_between(self.store, self._tree(old), self._tree(new)))

    def difference(self, old: Oid, new: Oid, *, patch: bool) -> Difference:
        """The difference between two commits or trees."""
        return difference(self.store, self._tree(old), self._tree(new), self.rules.attributes, patch=patch)

    def _tree(self, oid: Oid) -> ObjectID:
        return self.store.tree_in(_id(oid))

    def submodules(self, commit: Oid) -> dict[bytes, Oid]:
        """The submodules in a commit or tree, by path, and the commits that they stand at."""
        entries = listing(self.store, self.store.tree_in(_id(commit)))
        return {path: sha.decode() for path, (mode, sha) in sorted(entries.items()) if mode == SUBMODULE}

    def fillable(self, commit: Oid) -> set[bytes]:
        """None: submodules need the git program."""
        del commit
        return set()

    def others_have(self, commit: Oid) -> bool:
        """Not told: submodules need the git program."""
        del commit
        return False

    def visible_refs(self) -> dict[str, Oid]:
        """What an agent sees of the origin."""
        if self._visible is None:
            packed = self.path / "packed-refs"
            lines = packed.read_text("utf-8", "surrogateescape").splitlines() if packed.exists() else []
            pairs = (line.split(" ", 1) for line in lines if not line.startswith("#"))
            self._visible = {ref: oid for oid, ref in pairs if ref.startswith(("refs/tags/", "refs/remotes/origin/"))}
        return self._visible

    # -- places -----------------------------------------------------------------------------------------------------

    def worktree(self, path: Path, *, memory: Path, scratch: Path) -> DulwichWorktree:
        """The worktree at `path`."""
        return DulwichWorktree(self, path, memory, scratch)

    def evidence(self, place: Path, *, memory: Path, scratch: Path) -> DulwichEvidence:
        """A place for evidence."""
        return DulwichEvidence(self, place, memory, scratch)

    def publish(self, origin: Origin, branch: str, commit: Oid) -> None:
        """Makes `branch` of the origin name `commit`."""
        publish(origin, self.path, branch, _id(commit))


class DulwichWorktree:
    """The directory in which one session works."""

    def __init__(self, repository: DulwichRepository, path: Path, memory: Path, scratch: Path) -> None:
        self.path = path
        self._repository = repository
        self._files = Files(repository.store, path, memory, repository.rules)
        self._scratch = scratch

    def exists(self) -> bool:
        """Whether the directory is there."""
        return self._files.exists()

    def snapshot(self, intent: Intent = NO_INTENT) -> Snapshot | None:
        """Stores what is in the worktree as a tree."""
        return self._taken(self._files.look(intent))

    def adopt(self, tree: Oid) -> Snapshot | None:
        """Stores what is in a directory that somebody else made of `tree`."""
        return self._taken(self._files.look_anew(_id(tree)))

    def _taken(self, found: Scan | None) -> Snapshot | None:
        if found is None:
            return None
        store = self._repository.store
        tree = changed(store, found.base, found.changes) if found.changes else found.base
        return Snapshot(found.base.decode(), tree.decode(), found.problems, found.extra, found)

    def settle(self, found: Snapshot) -> None:
        """Takes `found.tree` over."""
        self._files.settle(_id(found.tree), _scan(found))

    def bring_to(self, tree: Oid, *, found: Snapshot | None, clean: bool) -> None:
        """Makes the files those of `tree`."""
        self._files.bring_to(_id(tree), found=_scan(found) if found else None, clean=clean)

    def ignored(self, found: Snapshot) -> list[bytes]:
        """The topmost paths that ignore rules keep out of the work."""
        return list(_scan(found).ignored)

    def is_clean(self, submodule: bytes, heads: Callable[[bytes], Oid]) -> bool:
        """Not told: submodules need the git program."""
        del submodule, heads
        return False

    def is_intact(self, submodule: bytes, heads: Callable[[bytes], Oid]) -> bool:
        """Nothing is filled here."""
        del submodule, heads
        return False

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
        """Makes the agent's `.git` anew. Submodules are left empty."""
        self._repository.flush()
        content = AgentGit(
            branch=branch,
            commit=commit,
            refs=refs,
            name=name,
            objects=self._repository.store.path,
            index=self._files.index(),
            exclude=self._repository.rules.exclude,
        )
        agent_git.renew(self.path, self._scratch, content, aside=aside)
        empty(self.path, submodules.places)

    def remove(self) -> None:
        """Removes the worktree and what is known of it."""
        self._files.remove()


class DulwichEvidence:
    """A directory in which a commit is checked."""

    def __init__(self, repository: DulwichRepository, place: Path, memory: Path, scratch: Path) -> None:
        self._repository = repository
        self._place = place
        self._memory = memory
        self._scratch = scratch

    def check_out(self, commit: Oid, *, keep: Sequence[str] = ()) -> bool:
        """Makes the tracked files those of `commit` and removes what is untracked."""
        repository = self._repository
        worktree = DulwichWorktree(repository, self._place, self._memory, self._scratch)
        found = worktree.snapshot()
        if found is not None:
            held = files.Held(keep)
            scanned = _scan(found)
            files.clear(self._place, found.extra, held)
            for path in [path for path in scanned.changes if held.holds(path) and not self._tracked(found, path)]:
                del scanned.changes[path]
                scanned.stamps.pop(path, None)
        worktree.bring_to(repository.tree_of(commit), found=found, clean=False)
        tags = {ref: oid for ref, oid in repository.visible_refs().items() if ref.startswith("refs/tags/")}
        worktree.renew_git(branch="", commit=commit, refs=tags, name="evidence")
        return found is not None

    def changes(self, commit: Oid) -> list[str]:
        """The tracked files that are no longer as `commit` holds them."""
        found = DulwichWorktree(self._repository, self._place, self._memory, self._scratch).snapshot()
        if found is None or found.base != self._repository.tree_of(commit):
            raise WorkspaceProblem("evidence_place_lost", f"The place of evidence {self._place} holds no check-out.")
        return [show(path) for path in sorted(_scan(found).changes) if self._tracked(found, path)]

    def unfilled(self, commit: Oid) -> list[str]:
        """The submodules of `commit` of which no file is there."""
        return [show(path) for path in unfilled(self._place, self._repository.submodules(commit))]

    def _tracked(self, found: Snapshot, path: bytes) -> bool:
        return entry_at(self._repository.store, _id(found.base), path) is not None


def _scan(found: Snapshot) -> Scan:
    assert isinstance(found.found, Scan)
    return found.found
