"""One session's worktree: what an agent made of it as a tree, and the files of a commit put there."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from services.workspace import agent_git, files
from services.workspace.agent_git import AgentGit
from services.workspace.git_backend import NO_INTENT, NOTHING_FILLED, Filled, Intent, Oid, Snapshot
from services.workspace.git_program.attributes import ATTRIBUTES, is_attributes
from services.workspace.git_program.filling import AgentSubmodules, Commits, Filling
from services.workspace.git_program.filters import refused
from services.workspace.git_program.index import State
from services.workspace.git_program.runner import LOOK_AT_SUBMODULES, Git, split
from services.workspace.git_program.tracked import Move, Tracked
from services.workspace.names import show
from services.workspace.problems import WorkspaceProblem
from services.workspace.submodules import empty

MAX_FILE_BYTES = 200 * 1024 * 1024
"""A file over this size is not committed: most forges refuse it, and a mistake is likelier than a purpose."""

_DEEPEST = 200


@dataclass(slots=True)
class Found:
    """What a snapshot knows beyond its tree: an index that stands for what is there."""

    index: Path
    state: State
    ignored: list[bytes] = field(default_factory=list[bytes])
    unstored: set[bytes] = field(default_factory=set[bytes])


class GitWorktree:
    """The directory in which one session works."""

    def __init__(self, git: Git, path: Path, memory: Path, scratch: Path, commits: Commits) -> None:
        self.path = path
        self._git = git
        self._scratch = scratch
        self._tracked = Tracked(git, path, memory, scratch)
        about = memory.with_name(memory.name + ".submodules")
        self._submodules = AgentSubmodules(commits, git, path, about, scratch)

    def exists(self) -> bool:
        """Whether the directory is there."""
        return self._tracked.exists()

    # -- what is there ----------------------------------------------------------------------------------------------

    def snapshot(self, intent: Intent = NO_INTENT) -> Snapshot | None:
        """Stores what is in the worktree as a tree."""
        state = self._tracked.memory.load()
        if state is None or not self.exists():
            return None
        return self._looked(state, self._tracked.memory.index(state), intent)

    def adopt(self, tree: Oid) -> Snapshot | None:
        """Stores what is in a directory that somebody else made of `tree`. Nothing of it is remembered."""
        if not self.exists():
            return None
        index = self._tracked.memory.fresh()
        try:
            git = self._git.at(self._scratch, index)
            git.run("read-tree", tree)
            return self._looked(State(tree, index.name, attributes=True), index, NO_INTENT)
        finally:
            index.unlink(missing_ok=True)

    def _looked(self, state: State, index: Path, intent: Intent) -> Snapshot:
        if intent.untracked or intent.submodules:
            index = self._meant(index, intent, len(state.tree))
        status = self._tracked.status(index, untracked=True, submodules=state.submodules)
        absent = frozenset(intent.absent)
        changed = (status.changed | status.new | frozenset(intent.forced)) - absent
        gone = status.gone - absent
        extra = [*status.ignored, *status.repositories]
        problems = {b"": _too_deep(b"")} if status.too_deep else {}
        if not (changed or gone or intent.untracked or intent.submodules):
            found = Found(index, state, status.ignored)
            return Snapshot(state.tree, state.tree, list(problems.values()), extra, found)
        tree, index, unstored = self._stored(state, index, changed, gone)
        problems |= unstored
        extra += unstored
        attributes = state.attributes or any(is_attributes(path) for path in changed)
        lost = gone | frozenset(intent.untracked)
        submodules = sorted({*state.submodules, *intent.submodules} - lost)
        known = State(tree, index.name, attributes, submodules)
        found = Found(index, known, status.ignored, status.changed & unstored.keys())
        return Snapshot(state.tree, tree, list(problems.values()), extra, found)

    def _meant(self, index: Path, intent: Intent, width: int) -> Path:
        """An index in which what the agent took out is not tracked, and submodules stand where it put them.

        It keeps the time of `index`, for the sake of files that changed in the second in which that was written.
        """
        meant = self._tracked.memory.fresh(index)
        zero = b"0" * width
        lines = [b"0 %s\t%s\0" % (zero, path) for path in intent.untracked]
        lines += [b"160000 %s\t%s\0" % (oid.encode(), path) for path, oid in intent.submodules.items()]
        self._git.at(self._scratch, meant).run("update-index", "-z", "--index-info", stdin=b"".join(lines))
        shutil.copystat(index, meant)
        return meant

    def _stored(
        self, state: State, index: Path, changed: set[bytes], gone: set[bytes]
    ) -> tuple[Oid, Path, dict[bytes, WorkspaceProblem]]:
        """Stores changed files. Gives the tree, an index that stands for it, and what could not be stored."""
        problems = {path: _too_deep(path) for path in changed if path.count(b"/") > _DEEPEST}
        stage = self._scratch / f"stage-{secrets.token_hex(6)}"
        stage.mkdir(parents=True)
        try:
            taken, untaken = self._tracked.copied_out(changed - problems.keys(), stage, MAX_FILE_BYTES)
            problems |= untaken
            gone |= changed - set(taken) - problems.keys()
            attributes = self._ruled(stage, taken) or state.attributes
            if attributes:
                taken = self._touched(index, stage, taken)
            index = self._tracked.memory.fresh(index)
            git = self._git.inside(stage, index)
            if attributes:
                problems |= refused(git, stage, taken)
                taken = [path for path in taken if path not in problems]
            _update(git, sorted(gone), "--force-remove")
            problems |= _added(git, sorted(taken))
            return git.text("write-tree"), index, problems
        finally:
            files.remove_tree(stage)

    def _ruled(self, stage: Path, paths: Sequence[bytes]) -> bool:
        """Puts the attribute files that rule over `paths` beside them, and says whether there are any.

        To git those in the worktree count, also unchanged, ignored and untracked ones, before those of the index.
        """
        above = {b""}
        for path in paths:
            cut = path.rfind(b"/")
            while cut > 0 and path[: cut + 1] not in above:
                above.add(path[: cut + 1])
                cut = path.rfind(b"/", 0, cut)
        rules = {directory + ATTRIBUTES for directory in above}
        there, _ = self._tracked.copied_out(rules - set(paths), stage, MAX_FILE_BYTES)
        return bool(there) or any(is_attributes(path) for path in paths)

    def _touched(self, index: Path, stage: Path, paths: Sequence[bytes]) -> list[bytes]:
        """Those of `paths` that differ from what the platform wrote there.

        Where attributes ask for another content than the one that is committed, git takes a file for changed that
        nobody has touched, or not, as the times of files happen to be.
        """
        was = stage.with_name(f"{stage.name}.was")
        was.mkdir()
        try:
            names = b"".join(path + b"\0" for path in paths)
            words = ("checkout-index", "--force", "--quiet", "-z", "--stdin")
            self._git.inside(was, index).run(*words, stdin=names, codes=None)
            return [path for path in paths if not files.same(was / os.fsdecode(path), stage / os.fsdecode(path))]
        finally:
            files.remove_tree(was)

    def ignored(self, found: Snapshot) -> list[bytes]:
        """The topmost paths that ignore rules keep out of the work."""
        return list(_found(found).ignored)

    def settle(self, found: Snapshot) -> None:
        """Takes `found.tree` over."""
        known = _found(found)
        memory = self._tracked.memory
        if memory.state is None or memory.state.tree != found.tree or memory.state.index != known.index.name:
            memory.save(known.index, found.tree, attributes=known.state.attributes, submodules=known.state.submodules)

    # -- what is put there ------------------------------------------------------------------------------------------

    def bring_to(self, tree: Oid, *, found: Snapshot | None, clean: bool) -> None:
        """Makes the files those of `tree`."""
        if found is None:
            self._tracked.start_over(tree)
            return
        known = _found(found)
        if found.tree != tree or known.unstored:
            moves = moves_between(self._git, found.tree, tree)
            moves += put_back(self._git, tree, known.unstored - {move.path for move in moves})
            self._tracked.move(known.index, tree, moves, known.state)
        else:
            self.settle(found)
        if clean:
            state = self._tracked.memory.state
            assert state is not None
            self._tracked.sweep(self._tracked.memory.index(state), files.Held(()))

    def remove(self) -> None:
        """Removes the worktree and what is known of it."""
        self._tracked.remove()
        self._submodules.remove()

    # -- the agent's .git -------------------------------------------------------------------------------------------

    def is_clean(self, submodule: bytes, heads: Callable[[bytes], Oid]) -> bool:
        """Whether a submodule holds nothing but the files of the commit that is checked out in it."""
        return self._submodules.is_clean(submodule, heads)

    def is_intact(self, submodule: bytes, heads: Callable[[bytes], Oid]) -> bool:
        """Whether a clean submodule stands where the platform put it."""
        return self._submodules.is_intact(submodule, heads)

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
        """Makes the agent's `.git` anew, and fills its submodules where that is possible."""
        state = self._tracked.memory.state or self._tracked.memory.load()
        some = state is not None and bool(state.submodules)
        filling = self._submodules.make(commit, submodules.intact, name, submodules.url) if some else Filling()
        content = AgentGit(
            branch=branch,
            commit=commit,
            refs=refs,
            name=name,
            objects=self._git.directory / "objects",
            index=self._tracked.memory.index(state).read_bytes() if state else b"",
            exclude=(self._git.directory / "info/exclude").read_bytes(),
            submodules=filling.repositories,
        )
        agent_git.renew(self.path, self._scratch, content, aside=aside)
        empty(self.path, {path: to for path, to in submodules.places.items() if path not in filling.kept})
        self._submodules.take_over(filling)


def moves_between(git: Git, old: Oid, new: Oid) -> list[Move]:
    """What makes `new` of `old`."""
    words = ("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", LOOK_AT_SUBMODULES)
    pieces = split(git.run(*words, old, new).out)
    return [
        Move(path, 0 if head.endswith(b" D") else int(head.split(b" ")[1], 8))
        for head, path in zip(pieces[::2], pieces[1::2], strict=True)
    ]


def _update(git: Git, paths: Sequence[bytes], *how: str) -> None:
    if paths:
        git.run("update-index", *how, "-z", "--stdin", stdin=b"".join(path + b"\0" for path in paths))


def _added(git: Git, paths: Sequence[bytes]) -> dict[bytes, WorkspaceProblem]:
    """Takes files into an index. Gives those that git refuses, such as one that is not in its declared encoding."""
    try:
        _update(git, paths, "--add", "--replace")
    except WorkspaceProblem as problem:
        if problem.code != "git_failed":
            raise
        if len(paths) == 1:
            words = problem.message.rpartition("fatal: ")[2] or problem.message
            message = f"git cannot take {show(paths[0])} into a commit: {words}"
            return {paths[0]: WorkspaceProblem("file_refused", message, paths=[show(paths[0])])}
        half = len(paths) // 2
        return _added(git, paths[:half]) | _added(git, paths[half:])
    return {}


def put_back(git: Git, tree: Oid, paths: Collection[bytes]) -> list[Move]:
    """What makes files that are not what the index says those of `tree`."""
    if not paths:
        return []
    modes: dict[bytes, int] = {}
    for line in split(git.run("ls-tree", "-r", "-z", "--full-tree", tree).out):
        head, _, path = line.partition(b"\t")
        modes[path] = int(head[:6], 8)
    return [Move(path, modes.get(path, 0)) for path in paths]


def _too_deep(path: bytes) -> WorkspaceProblem:
    shown = show(path) or "the system takes no longer path"
    return WorkspaceProblem("too_deep", f"Directories are nested over {_DEEPEST} deep: {shown}.", paths=[shown])


def _found(found: Snapshot) -> Found:
    assert isinstance(found.found, Found)
    return found.found
