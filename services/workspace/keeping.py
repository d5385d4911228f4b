"""Nothing that an agent did is destroyed: what is in its repository and worktree and nowhere else gets a ref.

Before the platform makes an agent's `.git` anew, the commits in it (branches, the stash, what was reset away, what
nothing names any more), what is staged and the contents of its other worktrees are copied into the execution's
repository under `refs/parallax/kept/<execution>/<session>/<task>-<attempt>/`. A ref keeps them; no branch holds them,
and only a decision on the log can make them part of the work. What cannot be read is moved aside as it is, and named.

The journal knows the refs before the objects are there: after a crash in between the agent's `.git` is still there, and
is read again with the same outcome.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Collection, Generator
from collections.abc import Set as AbstractSet
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from schemas.events import WorkspaceKept, WorkspaceLeftOut
from services.workspace import files
from services.workspace.agent_repository.intent import exists, read_intent
from services.workspace.agent_repository.modules import module_repositories
from services.workspace.agent_repository.opening import Directory, Finding, Unreadable, shown
from services.workspace.agent_repository.quarantine import Quarantine
from services.workspace.agent_repository.refs import Named
from services.workspace.agent_repository.repository import AgentRepository, foreign_objects, gitlink_head
from services.workspace.agent_repository.staged import staged_commit
from services.workspace.agent_repository.submodules import has_own_repository, is_filled, is_pristine
from services.workspace.commit_text import PLATFORM, message
from services.workspace.git_backend import NO_INTENT, Intent, Oid, Snapshot
from services.workspace.journal import KEPT, Line, Session
from services.workspace.kept_submodules import SubmoduleCommits, nobody_has
from services.workspace.problems import WorkspaceProblem
from services.workspace.workspace import Workspace

MAX_KEPT = 1_000
"""So many commits of one turn get refs of their own."""

_MAX_NOTES = 20
_SHA1_DIGITS = 40
_EMPTY_TREES = {
    40: "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    64: "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}
"""By the length of ids. Every git knows it without having it, and a stored one would be a find of its `fsck`."""
_GIT = b"/.git"
_ABSENT = frozenset({"missing"})
_PLACES = {"branch": "heads", "tag": "tags", "worktree": "worktrees", "stash": "stash", "head": "head"}


@dataclass(slots=True)
class Kept:
    """What was found beside the work. `aside`: where the agent's `.git` goes, for what could not be read of it.

    `filled` are the submodules that hold anything, and where what is in them goes. None: it can be had again. Those
    that are `intact` are as the platform filled them.
    """

    refs: list[WorkspaceKept] = field(default_factory=list[WorkspaceKept])
    left_out: list[WorkspaceLeftOut] = field(default_factory=list[WorkspaceLeftOut])
    notes: list[str] = field(default_factory=list[str])
    aside: Path | None = None
    filled: dict[bytes, Path | None] = field(default_factory=dict[bytes, Path | None])
    intact: list[bytes] = field(default_factory=list[bytes])


class Keeper:
    """Looks after what one session's agent did beside its work, at one moment: the end of a turn, or before one.

    `moment` names it, the same however often the step is done again.
    """

    def __init__(self, workspace: Workspace, session: Session, moment: str, at: int) -> None:
        self._workspace = workspace
        self._session = session
        self._at = at
        self._moment = moment
        self._task = f"{session.task[0]}-{session.task[1]}" if session.task else "idle"
        self._findings: list[Finding] = []
        self._repository: AgentRepository | None = None
        self._open = ExitStack()
        self._root: Directory | None = None
        self._refs: dict[str, WorkspaceKept] = {}
        self._written: dict[str, WorkspaceKept] = {}
        self._left_out: list[WorkspaceLeftOut] = []
        self.intent: Intent = NO_INTENT

    @property
    def _prefix(self) -> str:
        moment = re.sub(r"[^A-Za-z0-9_-]", "_", self._moment)[:150]
        return f"refs/parallax/kept/{self._workspace.execution_id}/{self._session.session}/{moment}"

    # -- the agent's repository -------------------------------------------------------------------------------------

    def open(self, tracked: list[bytes]) -> None:
        """Opens the agent's repository and reads what it meant. `tracked` is what the platform put there."""
        worktree = self._workspace.worktree(self._session)
        if not worktree.exists():
            return
        descriptor = self._open.enter_context(files.opened(worktree.path))
        self._root = Directory(descriptor, "")
        if len(self._workspace.base) != _SHA1_DIGITS:
            self._open_unread(self._root)
            return
        self._repository, self._findings = AgentRepository.of(descriptor, _nothing)
        if self._repository is not None:
            self.intent, findings = read_intent(self._repository, descriptor, tracked)
            self._repository.findings += findings

    def _open_unread(self, root: Directory) -> None:
        """Reads of a repository in a format that is not read where its submodules stand, and whether it has objects."""
        recorded = self._workspace.git.submodules(self._session.head)
        heads = {path: self._head(path) for path in recorded}
        self.intent = Intent(submodules={path: head for path, head in heads.items() if head})
        try:
            git = root.directory(b".git")
            if git is not None:
                with git:
                    self._findings = foreign_objects(git)
            for _, module in module_repositories(root.descriptor, recorded):
                with module:
                    self._findings += foreign_objects(module)
        except Unreadable as error:
            self._findings.append(error.finding)

    def close(self) -> None:
        """Closes what is open."""
        if self._repository is not None:
            self._repository.close()
        self._open.close()

    def _lacking(self, names: AbstractSet[bytes]) -> frozenset[bytes]:
        """Those of some objects that the platform has not."""
        found = self._workspace.git.lacking([name.decode() for name in names]) if names else ()
        return frozenset(name.encode() for name in found)

    def finish(self, made: Oid | None, taken: Oid | None = None) -> Kept:
        """Keeps everything that is not in the tree `made`, and says what it is. None: nothing is committed.

        `taken` is a tree that is kept instead of being committed.
        """
        workspace = self._workspace
        workspace.git.flush()
        moved: list[str] = []
        if self._repository is not None:
            place = workspace.root / "scratch" / f"quarantine-{secrets.token_hex(6)}"
            fresh = self._lacking(self._repository.own())
            quarantine = Quarantine(place, self._repository.objects, fresh, self._lacking)
            try:
                self._take(self._repository, quarantine, fresh, staged=made is not None)
                self._write_down(quarantine)
            finally:
                quarantine.discard()
            self._keep_worktrees(self._repository)
            moved = self._keep_submodules(self._repository)
        elif self.intent.submodules:
            moved = self._moved(())
        self._write_down(None)
        known = workspace.state.found.get((self._session.session, self._moment), [])
        refs = [msgspec.structs.replace(one, in_result=self._is_in(one, made)) for one in known]
        notes, aside = self._said()
        filled, intact = self._filled(made, taken)
        notes += moved if made is not None else []
        notes += [
            f"{shown(path)}: what the submodule holds is not its commit alone, so it is not part of the result; it was "
            f"moved as it is to {place}"
            for path, place in filled.items()
            if place is not None
        ]
        return Kept(refs, self._left_out, notes, aside, filled, intact)

    def _keep_submodules(self, repository: AgentRepository) -> list[str]:
        """Keeps the commits that were made in submodules. Says which of them others need and cannot have."""
        if self._root is None:
            return []
        workspace, session, intent = self._workspace, self._session, self.intent
        paths = {*intent.submodules, *workspace.git.submodules(session.head)}
        heads = {path: self._head(path).encode() for path in paths}

        def name(module: bytes, one: Named, inside: AgentRepository) -> None:
            place = f"submodules/{shown(module)}/{one.sha[:12].decode()}"
            subject = shown(one.message) if not one.name else self._subject(one.sha, inside)
            self._add("submodule", place, one.sha.decode(), shown(module), subject=subject)

        found = SubmoduleCommits(
            self._root.descriptor, workspace.root / "scratch", self._lacking, name, self._write_down
        )
        found.take(heads, self._at)
        repository.findings += found.findings
        return self._moved(found.elsewhere)

    def _moved(self, elsewhere: Collection[bytes]) -> list[str]:
        """Says which submodules stand at commits that nobody else has."""
        git = self._workspace.git
        before = git.submodules(self._session.head)
        alone = nobody_has(self.intent.submodules, before, elsewhere, git.others_have)
        return [
            f"{shown(path)}: the submodule stands at {head}, which nobody else has: push it to where it comes from, or "
            "nobody can check the result out with it"
            for path, head in sorted(alone.items())
        ]

    def _head(self, path: bytes) -> Oid:
        """The commit at which the agent's git stands in a submodule; empty where that cannot be told."""
        if self._root is None:
            return ""
        try:
            return gitlink_head(self._root.descriptor, path).decode()
        except Unreadable:
            return ""

    def _filled(self, made: Oid | None, taken: Oid | None) -> tuple[dict[bytes, Path | None], list[bytes]]:
        """The submodules with anything in them, and where that goes; and those that are as the platform made them.

        One that the agent replaced by files of its own is none any more: they are in the tree that was made of them.
        """
        found: dict[bytes, Path | None] = {}
        intact: list[bytes] = []
        if self._root is None:
            return found, intact
        descriptor, place = self._root.descriptor, self._workspace.worktree(self._session)
        for path in sorted({*self.intent.submodules, *self._workspace.git.submodules(self._session.head)}):
            if not is_filled(descriptor, path):
                continue
            if self._is_replaced(self._root, path, made or taken):
                if made is None:
                    found[path] = None
                continue
            clean = not has_own_repository(descriptor, path) and place.is_clean(path, self._head)
            if clean and place.is_intact(path, self._head):
                intact.append(path)
            aside = self._workspace.root / "aside" / f"{self._session.session}-{secrets.token_hex(6)}"
            found[path] = None if clean or is_pristine(descriptor, path) else aside
        return found, intact

    def _is_replaced(self, root: Directory, path: bytes, tree: Oid | None) -> bool:
        """Whether a directory holds no submodule any more but files, which are in `tree`."""
        return tree is not None and path not in self._workspace.git.submodules(tree) and not exists(root, path + _GIT)

    def _take(
        self, repository: AgentRepository, quarantine: Quarantine, fresh: AbstractSet[bytes], *, staged: bool
    ) -> None:
        found = repository.commits(fresh)
        if len(found) > MAX_KEPT:
            message = f"it has {len(found)} commits that nothing goes on from; {MAX_KEPT} of them are kept by refs"
            repository.findings.append(Finding("too_many", ".git", message))
        broken = quarantine.take([(one.sha, b"commit") for one in found[:MAX_KEPT]])
        repository.findings += broken.values()
        for one in found[:MAX_KEPT]:
            if one.sha not in broken:
                self._name(one)
        if staged and repository.index is not None:
            parent = self._session.head.encode()
            try:
                commit = staged_commit(repository.index, quarantine, fresh, self._lacking, parent=parent, at=self._at)
            except Unreadable as error:
                repository.findings.append(error.finding)
                return
            if commit is not None:
                self._add("staged", f"staged/{commit[:12].decode()}", commit.decode(), "", subject="What was staged")

    def _write_down(self, quarantine: Quarantine | None) -> None:
        """The journal first, then the objects, then the refs."""
        if not self._refs:
            if quarantine is not None:
                quarantine.admit(self._workspace.git.path / "objects")
            return
        found, session = list(self._refs.values()), self._session
        line = Line(
            type=KEPT,
            role=session.role,
            session=session.session,
            branch=session.branch,
            head=session.head,
            kept={one.ref: one.commit for one in found},
            found=(self._moment, found),
        )
        self._workspace.note(line)
        if quarantine is not None:
            quarantine.admit(self._workspace.git.path / "objects")
        for one in found:
            self._workspace.git.point(one.ref, one.commit)
        self._written.update(self._refs)
        self._refs.clear()

    def _name(self, one: Named) -> None:
        name = shown(one.name)
        kind = "reset" if one.kind == "reflog" else one.kind
        if kind == "branch" and name == self._session.branch:
            kind = "head"
        place = _PLACES.get(kind, "commits")
        last = one.sha[:12].decode() if place in {"commits", "stash", "head"} else name
        self._add(kind, f"{place}/{last}", one.sha.decode(), name, subject=self._subject(one.sha))

    def _subject(self, sha: bytes, repository: AgentRepository | None = None) -> str:
        repository = repository or self._repository
        assert repository is not None
        try:
            found = repository.objects.read(sha)
        except Unreadable:
            return ""
        text = found[1].partition(b"\n\n")[2].split(b"\n")[0] if found else b""
        return shown(text)

    def _add(self, kind: str, place: str, commit: Oid, name: str, *, subject: str = "") -> None:
        """Notes a commit under a ref that no other one has. What an agent calls it is not always a name of a file."""
        ref = f"{self._prefix}/{place}"
        others = (*self._refs, *self._written)
        if not _is_ref(ref) or any(other.startswith(f"{ref}/") or ref.startswith(f"{other}/") for other in others):
            ref = f"{self._prefix}/{place.partition('/')[0]}/{commit[:12]}"
        kept = {"ref": ref, "commit": commit, "kind": kind, "name": name, "subject": subject}
        self._refs[ref] = msgspec.convert(kept, WorkspaceKept)

    # -- contents ---------------------------------------------------------------------------------------------------

    def keep_tree(self, tree: Oid, kind: str, place: str, name: str, subject: str, *, parent: Oid = "") -> None:
        """Keeps a tree that the platform has taken from a worktree, in a commit that is nobody's effect."""
        git, session = self._workspace.git, self._session
        about = {"Parallax-Kept": f"{self._workspace.execution_id} {session.session} {self._task}"}
        commit = git.commit(
            tree=tree,
            parents=[parent or session.head],
            author=PLATFORM,
            at=self._at,
            message=message(subject, about),
        )
        git.flush()
        self._add(kind, f"{place}-{commit[:12]}", commit, name, subject=subject)

    def keep_attempt(self, found: Snapshot | None, *known: Oid) -> None:
        """Keeps what is in the worktree, unless it is one of the trees that are `known`.

        Before a task it is no attempt's where the session is at no task: its name is `idle` then.
        """
        if found is not None and found.tree not in {self._workspace.git.tree_of(self._session.head), *known}:
            subject = f"Set aside: {self._session.session} {self._task}"
            self.keep_tree(found.tree, "attempt", "attempt", self._task, subject)

    def keep_hidden(self, found: Snapshot, whole: Snapshot) -> None:
        """Keeps changes of files at which the agent told its git not to look. `whole` is taken with them."""
        if self._root is None:
            return
        changed = self._workspace.git.changed_paths(found.tree, whole.tree)
        if any(path in self.intent.absent and exists(self._root, path) for path in changed):
            subject = f"Changes of {self._session.session} that its git was told not to look at"
            self.keep_tree(whole.tree, "hidden", "hidden/changes", "", subject)

    def keep_commit(self, commit: Oid, kind: str, name: str, subject: str) -> None:
        """Keeps a commit of the platform's own that no branch is going to hold."""
        self._add(kind, f"{kind}/{commit[:12]}", commit, name, subject=subject)

    def _keep_worktrees(self, repository: AgentRepository) -> None:
        """Keeps what is in the agent's other worktrees, where they lie beside its own or in it, and names the rest."""
        for one in repository.refs.worktrees:
            place = Path(os.fsdecode(one.place)).parent
            name = shown(one.name)
            if not self._within(place):
                reason = "is another worktree outside of the workspace; its files were not looked at"
                self._left_out.append(WorkspaceLeftOut(path=shown(one.place), kind="worktree", reason=reason))
                continue
            self._keep_worktree(place, name, one.head.decode())

    def _within(self, place: Path) -> bool:
        """Whether a directory may be read: in the directory of worktrees, not another session's, and no link."""
        home = self._workspace.root / "worktrees"
        try:
            parts = place.relative_to(home).parts
        except ValueError:
            return False
        own = self._session.session
        if not parts or ".." in parts or (parts[0] in self._workspace.state.sessions and parts[0] != own):
            return False
        current = home
        for part in parts:
            current /= part
            if current.is_symlink():
                return False
        return parts != (own,)

    def _keep_worktree(self, place: Path, name: str, head: Oid) -> None:
        workspace = self._workspace
        git = workspace.git
        start = head if head and git.has(head) else self._session.head
        memory = workspace.root / "scratch" / f"other-{secrets.token_hex(6)}"
        other = git.worktree(place, memory=memory, scratch=workspace.root / "scratch")
        try:
            found = other.adopt(git.tree_of(start))
        except (OSError, WorkspaceProblem) as error:
            self._findings.append(Finding("unreadable", f"worktree {name}", str(error)))
            return
        finally:
            for left in memory.parent.glob(f"{memory.name}*"):
                left.unlink(missing_ok=True)
        if found is not None and found.tree != git.tree_of(start):
            subject = f"What was in the worktree {name} of {self._session.session}"
            self.keep_tree(found.tree, "worktree", f"worktrees/{name}", name, subject, parent=start)

    def name_repositories(self, found: Snapshot | None) -> None:
        """Names the repositories that lie in the worktree: they are not part of the commit."""
        for path in found.extra if found is not None else []:
            if self._root is not None and _is_repository(self._root, path):
                reason = "is a repository of its own; its files are not part of the result"
                self._left_out.append(WorkspaceLeftOut(path=shown(path), kind="repository", reason=reason))

    # -- what is said of it -----------------------------------------------------------------------------------------

    def _said(self) -> tuple[list[str], Path | None]:
        found = self._repository.findings if self._repository is not None else self._findings
        serious = [finding for finding in found if finding.code not in _ABSENT]
        if not serious:
            return [], None
        aside = self._workspace.root / "aside" / f"{self._session.session}-{secrets.token_hex(6)}.git"
        notes = [f"{finding.where}: {finding.message}" for finding in serious[:_MAX_NOTES]]
        if len(serious) > _MAX_NOTES:
            notes.append(f"and {len(serious) - _MAX_NOTES} more")
        return [*notes, f"The .git could not be read whole; it was moved as it is to {aside}"], aside

    def _is_in(self, one: WorkspaceKept, made: Oid | None) -> bool:
        """Whether everything that a kept commit changed is in the tree `made` too."""
        if made is None or one.kind in {"attempt", "lost", "staged", "hidden", "submodule"}:
            return False
        git = self._workspace.git
        try:
            own = set(git.changed_paths(self._session.head, one.commit))
            return not own.intersection(git.changed_paths(one.commit, made))
        except WorkspaceProblem:
            return False


@contextmanager
def keeper_of(workspace: Workspace, session: Session, moment: str, at: int) -> Generator[Keeper]:
    """A keeper on a session's repository as it is now."""
    made = Keeper(workspace, session, moment, at)
    try:
        git, read = workspace.git, len(workspace.base) == _SHA1_DIGITS
        made.open(git.changed_paths(_EMPTY_TREES[len(session.head)], git.tree_of(session.head)) if read else [])
        yield made
    finally:
        made.close()


def _nothing(sha: bytes) -> None:
    """No delta of an agent's pack starts from an object that is only the platform's."""
    del sha


def _is_ref(ref: str) -> bool:
    parts = ref.split("/")
    fits = all(re.fullmatch(r"[A-Za-z0-9_+@=,#%-][A-Za-z0-9_.+@=,#%-]*", part) and ".." not in part for part in parts)
    return fits and len(ref) <= 400 and all(len(part) <= 200 and not part.endswith((".lock", ".")) for part in parts)


def _is_repository(root: Directory, path: bytes) -> bool:
    try:
        directory = root.directory(*path.split(b"/"))
    except Unreadable:
        return False
    if directory is None:
        return False
    with directory:
        return files.is_repository(directory.descriptor)
