"""The place of evidence of an execution: a clean checkout of the commit that a check vouches for.

    <workspaces>/executions/<id>/evidence/tree/       the commit, and beside its files only what was asked for
                                          home/       HOME of the set-up and of the checks
                                          state.json  what the set-up made, so that it can be told from leftovers

There is one for each execution, always at the same path, so that what a set-up made there (a virtual environment,
installed packages) stays valid from check to check. It may be thrown away at any time; the next step makes it anew.
Nothing in it comes from an agent's worktree but what the pattern names under `keep`.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import msgspec
import structlog

from schemas.agents import EvidenceOrder
from schemas.base import Failure
from schemas.workspaces import EvidenceAlone, EvidenceAnswer, EvidenceCheckout, EvidenceQuery
from services.workspace.bringing import Stamp, Tracked, bring, remove_tree, walk
from services.workspace.evidence_head import Mark, begin_log, mark, moved_since
from services.workspace.git_backend import EvidencePlace, Oid, object_id
from services.workspace.names import show
from services.workspace.origins import parse_origin
from services.workspace.problems import WorkspaceProblem
from services.workspace.submodules import unfilled
from services.workspace.workspace import Workspace, bounded

_log = structlog.get_logger(__name__)

_BOOKKEEPING = re.compile(
    r"home/(?:.+/)?(?:\.global-cache|\.package-cache(?:-mutate)?|trim\.txt|file-access\.bin|gc\.properties"
    r"|_update-notifier-last-checked)|home/\.config/go/telemetry/.+|tree/.+/\.git/index"
)
"""Files in which package managers, and git in a submodule, note that they were used. They may change without making
what is cached invalid."""


class _State(msgspec.Struct, omit_defaults=True):
    """What is known of the place. `key` names the set-up that `made` and `stamps` are of; empty: there is none.

    `head` is where HEAD stood before the check.
    """

    number: int = 0
    key: str = ""
    made: list[str] = []
    stamps: dict[str, Stamp] = {}
    copied: list[str] = []
    kept: list[str] = []
    head: Mark = Mark()


class Evidence:
    """The place of evidence of one execution. Used under the execution's lock."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._root = workspace.root / "evidence"
        self._tree = self._root / "tree"
        self._home = self._root / "home"
        self._file = self._root / "state.json"
        self._state = _State()

    def step(self, query: EvidenceQuery) -> EvidenceAnswer:
        """Does one step, unless a younger one has been done.

        Raises:
            WorkspaceProblem: the commit is unknown, or something of `copy` or `keep` is not there.
        """
        self._load()
        if query.number < self._state.number:
            late = Failure(code="evidence_late", message="A younger step has been done at the place of evidence.")
            return EvidenceAnswer(error=late, number=self._state.number)
        return EvidenceAnswer(place=self._step(query))

    def _step(self, query: EvidenceQuery) -> EvidenceCheckout:
        commit = self._commit(query.order.commit)
        place = self._place()
        match query.step:
            case "check_out":
                self._check_out(place, commit, query)
            case "settle":
                if changed := place.changes(commit):
                    return self._answer(changed)
                self._settle(commit, query)
            case "look":
                moved = moved_since(self._tree, self._state.head)
                return self._answer(place.changes(commit), place.unfilled(commit), moved, self._alone(commit))
        return self._answer([])

    def remove(self) -> None:
        """Removes the place and all that is in it."""
        remove_tree(self._root)

    def _place(self) -> EvidencePlace:
        scratch = self._root / "scratch"
        scratch.mkdir(parents=True, exist_ok=True)
        return self._workspace.git.evidence(self._tree, memory=self._root / "memory", scratch=scratch)

    def _commit(self, commit: str) -> Oid:
        known = object_id(commit)
        if known is None or not self._workspace.git.ours(known, self._workspace.base):
            raise WorkspaceProblem("unknown_commit", f"The commit {commit[:80]!r} is none of this execution.")
        return known

    def _alone(self, commit: Oid) -> list[EvidenceAlone]:
        """The submodules that are not filled because only an agent has the commits that they stand at."""
        git, known = self._workspace.git, self._workspace.state.found.values()
        kept = [one for found in known for one in found if one.kind == "submodule"]
        submodules = git.submodules(commit) if kept else {}
        alone: list[EvidenceAlone] = []
        for path in unfilled(self._tree, submodules):
            at = submodules[path]
            ref = next((one.ref for one in kept if at == one.commit or git.ours(one.commit, at)), "")
            if ref and not git.others_have(at):
                alone.append(EvidenceAlone(path=show(path), commit=at, ref=ref))
        return alone

    def _answer(
        self, changed: list[str], unfilled: Sequence[str] = (), moved: str = "", alone: Sequence[EvidenceAlone] = ()
    ) -> EvidenceCheckout:
        state = self._state
        return EvidenceCheckout(
            path=str(self._tree),
            home=str(self._home),
            set_up=bool(state.key),
            copied=state.copied,
            kept=state.kept,
            changed=bounded(changed),
            unfilled=bounded(list(unfilled)),
            moved=moved,
            alone=list(alone),
        )

    # -- a clean checkout -------------------------------------------------------------------------------------------

    def _check_out(self, place: EvidencePlace, commit: Oid, query: EvidenceQuery) -> None:
        state, order = self._state, query.order
        state.number = query.number
        self._save()
        valid = bool(state.key) and self._is_as_made()
        valid = place.check_out(commit, keep=state.made if valid else []) and valid
        if valid and state.key != self._key(commit, order):
            valid = False
            place.check_out(commit)
        if not valid:
            state.key, state.made, state.stamps = "", [], {}
            remove_tree(self._home)
        state.copied, state.kept = [], []
        state.head = begin_log(self._tree, commit, int(time.time()))
        self._home.mkdir(exist_ok=True)
        tracked = self._tracked(commit) if order.copy or order.keep else Tracked(())
        if order.copy:
            source = self._origin()
            for path in order.copy:
                bring(source, path, self._tree, tracked, what="copy", whose="the origin")
                state.copied.append(path)
        if order.keep:
            source = self._worktree(query.session)
            for path in order.keep:
                if os.path.lexists(source / path):
                    bring(source, path, self._tree, tracked, what="keep", whose="the agent's worktree")
                    state.kept.append(path)
        self._save()

    def _tracked(self, commit: Oid) -> Tracked:
        git = self._workspace.git
        return Tracked(git.changed_paths(git.empty_tree(), commit))

    def _origin(self) -> Path:
        location = self._workspace.state.location
        origin = parse_origin(location) if location else None
        if origin is None or origin.kind != "path":
            raise WorkspaceProblem(
                "copy_needs_local_origin",
                "`workspace.copy` takes files from the directory of a local repository, and this one is not local. "
                "Let `workspace.setup` fetch them.",
            )
        return Path(origin.location)

    def _worktree(self, session: str) -> Path:
        known = self._workspace.state.sessions.get(session)
        if known is None:
            raise WorkspaceProblem(
                "keep_needs_worktree",
                "`workspace.keep` takes files from an agent's worktree, and no agent did this work.",
            )
        return self._workspace.worktree(known).path

    # -- a set-up ---------------------------------------------------------------------------------------------------

    def _key(self, commit: Oid, order: EvidenceOrder) -> str:
        """What a set-up depends on: its command, and the files of `setup_key` as they are checked out."""
        digest = hashlib.sha256(msgspec.json.encode([order.setup, order.setup_key, order.copy, order.keep]))
        for submodule, at in self._workspace.git.submodules(commit).items():
            digest.update(b"\0%s\0%s" % (submodule, at.encode()))
        if not order.setup_key:
            digest.update(self._workspace.git.tree_of(commit).encode())
        for path in order.setup_key:
            for name, one in walk(self._tree / path, path):
                kind = stat.S_IFMT(one[0]) | one[0] & 0o100  # what git knows of a mode
                digest.update(f"\0{name}\0{kind}\0{_content(self._tree / name)}".encode())
        return digest.hexdigest()

    def _settle(self, commit: Oid, query: EvidenceQuery) -> None:
        """Takes what is in the place beside the commit's files as made by the set-up; submodules as it left them."""
        state = self._state
        tracked = self._tracked(commit)
        submodules = self._workspace.git.submodules(commit)
        filled = submodules.keys() - unfilled(self._tree, submodules)
        state.made = _beside(self._tree, tracked, frozenset((*state.copied, *state.kept)))
        state.made += sorted(map(os.fsdecode, filled))
        state.stamps = dict(self._stamps(state.made))
        state.key, state.number = self._key(commit, query.order), query.number
        state.head = mark(self._tree)
        self._save()

    def _stamps(self, made: Sequence[str]) -> Iterator[tuple[str, Stamp]]:
        yield from walk(self._home, "home")
        for path in made:
            yield from walk(self._tree / path, f"tree/{path}")

    def _is_as_made(self) -> bool:
        """Removes what checks have left among what the set-up made. False: something of that has changed or is gone."""
        left = dict(self._state.stamps)
        extra: list[str] = []
        for path, stamp in self._stamps(self._state.made):
            known = left.pop(path, None)
            if known is None:
                extra.append(path)
            elif known != stamp and _BOOKKEEPING.fullmatch(path) is None:
                return self._touched(path)
        if left:
            return self._touched(next(iter(left)))
        for path in extra:
            remove_tree(self._root / path)
        return True

    def _touched(self, path: str) -> bool:
        _log.info("set_up_touched", execution_id=self._workspace.execution_id, path=path)
        return False

    # -- what is known ----------------------------------------------------------------------------------------------

    def _load(self) -> None:
        try:
            self._state = msgspec.json.decode(self._file.read_bytes(), type=_State)
        except (FileNotFoundError, msgspec.MsgspecError):
            self._state = _State()

    def _save(self) -> None:
        temporary = self._file.with_suffix(".new")
        temporary.write_bytes(msgspec.json.encode(self._state))
        temporary.replace(self._file)


def _beside(tree: Path, tracked: Tracked, brought: Collection[str], below: str = "") -> list[str]:
    """The topmost paths that are neither the commit's nor brought from elsewhere."""
    found: list[str] = []
    with os.scandir(tree / below if below else tree) as entries:
        for entry in sorted(entries, key=lambda one: one.name):
            path = f"{below}/{entry.name}" if below else entry.name
            if path == ".git" or path in brought:
                continue
            leads_on = tracked.is_directory(path) or any(one.startswith(f"{path}/") for one in brought)
            if leads_on and entry.is_dir(follow_symlinks=False):
                found += _beside(tree, tracked, brought, path)
            elif not tracked.holds(path):
                found.append(path)
    return found


def _content(path: Path) -> str:
    """The digest of a file, or where a link leads. Empty for a directory."""
    if path.is_symlink():
        return str(path.readlink())
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
