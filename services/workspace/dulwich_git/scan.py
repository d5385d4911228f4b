"""What is in a worktree, compared with what the platform put there.

A file whose stamp (size, times, inode) is the one remembered is not read again. The change time among them is the
file system's own and cannot be set back, so a stamp is only distrusted where the file was touched in the very moments
in which the stamps were written down.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path

import msgspec
from dulwich.objects import ObjectID

from services.workspace import files
from services.workspace.dulwich_git.attributes import NAME as ATTRIBUTES
from services.workspace.dulwich_git.attributes import Attributes, TreeAttributes
from services.workspace.dulwich_git.attributes import parse as parse_attributes
from services.workspace.dulwich_git.ignoring import MAX_BYTES, Rules, ignored, parse
from services.workspace.dulwich_git.line_ends import AS_IT_IS, LineEnds, line_ends
from services.workspace.dulwich_git.needing import git_needed, refuse_attributes, refuse_length
from services.workspace.dulwich_git.own_rules import OwnRules
from services.workspace.dulwich_git.store import Entry, Store
from services.workspace.dulwich_git.trees import Changes, Listing
from services.workspace.git_backend import Intent
from services.workspace.modes import EXECUTABLE, FILE, SUBMODULE, SYMLINK
from services.workspace.names import is_git_directory, show
from services.workspace.problems import WorkspaceProblem

MAX_FILE_BYTES = 200 * 1024 * 1024
"""A file over this size is not committed: most forges refuse it, and a mistake is likelier than a purpose."""

_IN_MEMORY = 4 * 1024 * 1024
_DEEPEST = 200
_COARSEST_CLOCK_NS = 20_000_000
_WHOLE_SECOND_NS = 1_000_000_000


class Stamp(msgspec.Struct, frozen=True, array_like=True):
    """How a file looked when its content was known: with the same stamp it has the same content."""

    mode: int
    sha: bytes
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int


class _Stamps(msgspec.Struct, array_like=True):
    tree: bytes
    stamps: dict[bytes, Stamp]


def stamp(entry: Entry, status: os.stat_result) -> Stamp:
    """The stamp of a file with a known content."""
    return Stamp(
        entry[0], entry[1], status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev
    )


def _coarseness(time_ns: int) -> int:
    """How long after a time a file system may still say the same one: some know whole seconds only, or every other."""
    return 2 * _WHOLE_SECOND_NS if time_ns % _WHOLE_SECOND_NS == 0 else 0


class Memory:
    """What the platform knows of the files of a worktree, in a file outside of it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.tree: ObjectID | None = None
        self.stamps: dict[bytes, Stamp] = {}
        self._trusted_before_ns = 0

    @property
    def known(self) -> bool:
        """False after a crash in the middle of writing files: then nothing in the worktree is anybody's work yet."""
        return self.tree is not None

    def load(self) -> None:
        """Reads what was written down last. A damaged file is as good as none."""
        self.tree, self.stamps = None, {}
        try:
            data = self._path.read_bytes()
            self._trusted_before_ns = self._path.stat().st_mtime_ns - _COARSEST_CLOCK_NS
            kept = msgspec.msgpack.decode(data, type=_Stamps)
        except (OSError, msgspec.MsgspecError, ValueError):
            return
        self.tree, self.stamps = ObjectID(kept.tree), kept.stamps

    def save(self, tree: ObjectID, stamps: dict[bytes, Stamp]) -> None:
        """Writes down that the worktree holds `tree`."""
        files.replace(self._path, msgspec.msgpack.encode(_Stamps(tree, stamps)))
        self.tree, self.stamps = tree, stamps
        self._trusted_before_ns = self._path.stat().st_mtime_ns - _COARSEST_CLOCK_NS

    def assume(self, tree: ObjectID, tracked: Listing) -> None:
        """Takes files for known by their names alone: each is read."""
        self.tree = tree
        self.stamps = {path: Stamp(mode, sha, -1, 0, 0, 0, 0) for path, (mode, sha) in tracked.items()}
        self._trusted_before_ns = 0

    def forget(self) -> None:
        """Says, durably enough, that the files are about to be written."""
        self._path.unlink(missing_ok=True)
        self.tree, self.stamps = None, {}

    def same(self, path: bytes, status: os.stat_result) -> Stamp | None:
        """The stamp of an untouched file."""
        known = self.stamps.get(path)
        if (
            known is None
            or known.ctime_ns != status.st_ctime_ns
            or known.ctime_ns >= self._trusted_before_ns - _coarseness(known.ctime_ns)
            or known.size != status.st_size
            or known.mtime_ns != status.st_mtime_ns
            or known.inode != status.st_ino
            or known.device != status.st_dev
        ):
            return None
        return known


@dataclass(slots=True)
class Scan:
    """What was found, compared with the tree `base`.

    `extra` are paths, topmost only, that git would not list: ignored files, sockets, odd things; `ignored` those of
    them that ignore rules exclude.
    """

    base: ObjectID

    changes: Changes = field(default_factory=dict[bytes, "Entry | None"])
    extra: list[bytes] = field(default_factory=list[bytes])
    ignored: list[bytes] = field(default_factory=list[bytes])
    stamps: dict[bytes, Stamp] = field(default_factory=dict[bytes, Stamp])
    problems: list[WorkspaceProblem] = field(default_factory=list[WorkspaceProblem])


def scan(store: Store, root: int, memory: Memory, intent: Intent, rules: OwnRules) -> Scan:
    """Compares the worktree `root` (a descriptor) with what is remembered. Changed contents are put into the store."""
    assert memory.tree is not None
    tracked: Listing = {path: (known.mode, ObjectID(known.sha)) for path, known in memory.stamps.items()}
    return _Walk(store, memory, tracked, Scan(memory.tree), intent, rules).run(root)


def _entries(directory: int) -> list[tuple[bytes, os.stat_result]]:
    found: list[tuple[bytes, os.stat_result]] = []
    with os.scandir(directory) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                found.append((os.fsencode(entry.name), entry.stat(follow_symlinks=False)))
    found.sort(key=itemgetter(0))
    return found


@dataclass(frozen=True, slots=True)
class _Rules:
    """The rules that count in a directory. `former` has attribute files that are gone from the worktree as well."""

    ignores: list[tuple[int, Rules]]
    attributes: Attributes
    former: Attributes

    def ignoring(self, depth: int, text: bytes) -> _Rules:
        """The same with one more ignore file."""
        return _Rules([*self.ignores, (depth, parse(text))], self.attributes, self.former)


class _Walk:
    def __init__(
        self, store: Store, memory: Memory, tracked: Listing, found: Scan, intent: Intent, rules: OwnRules
    ) -> None:
        self._store = store
        self._memory = memory
        self._tracked = tracked
        self._intent = intent
        self._wanted = (tracked.keys() - frozenset(intent.untracked)) | frozenset(intent.forced)
        self._absent = frozenset(intent.absent)
        self._above: set[bytes] = set()
        for path in self._wanted:
            cut = path.rfind(b"/")
            while cut > 0 and path[:cut] not in self._above:
                self._above.add(path[:cut])
                cut = path.rfind(b"/", 0, cut)
        self._found = found
        self._rules = rules
        self._checked_out = TreeAttributes(store, found.base, rules.attributes)
        self._seen: set[bytes] = set()

    def run(self, root: int) -> Scan:
        own = Attributes((), parse_attributes(self._rules.attributes, macros=True))
        self._directory(root, (), _Rules([(0, parse(self._rules.exclude))], own, own), excluded=False)
        for path in self._tracked.keys() - self._seen - self._absent:
            self._found.changes[path] = None
        for path in self._absent & self._tracked.keys():
            self._found.changes.pop(path, None)
        return self._found

    def _directory(self, here: int, parts: tuple[bytes, ...], levels: _Rules, *, excluded: bool) -> bool:
        """Looks at a directory and says whether anything in it counts."""
        inside = _entries(here)
        if any(name == b".gitignore" and stat.S_ISREG(status.st_mode) for name, status in inside):
            text = self._rules_file(here, parts, b".gitignore", refuse_length)
            levels = levels.ignoring(len(parts), text)
        levels = self._attributes(here, parts, levels, dict(inside).get(ATTRIBUTES))
        counts = False
        for name, status in inside:
            if is_git_directory(name):
                if parts:
                    self._found.extra.append(b"/".join((*parts, name)))
                continue
            if self._entry(here, (*parts, name), status, levels, excluded=excluded):
                counts = True
        return counts

    def _entry(
        self,
        here: int,
        parts: tuple[bytes, ...],
        status: os.stat_result,
        levels: _Rules,
        *,
        excluded: bool,
    ) -> bool:
        path = b"/".join(parts)
        is_directory = stat.S_ISDIR(status.st_mode)
        tracked = self._tracked.get(path)
        if tracked is not None and tracked[0] == SUBMODULE and is_directory:
            return self._submodule(path, tracked, status)
        if is_directory:
            return self._below(here, parts, path, levels, excluded=excluded)
        if path not in self._wanted and (excluded or ignored(levels.ignores, parts, is_directory=False)):
            self._found.extra.append(path)
            self._found.ignored.append(path)
            return False
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISLNK(status.st_mode):
            self._found.extra.append(path)
            return False
        return self._file(here, parts, status, tracked, levels)

    def _submodule(self, path: bytes, tracked: Entry, status: os.stat_result) -> bool:
        at = self._intent.submodules.get(path)
        entry = tracked if at is None else (SUBMODULE, ObjectID(at.encode()))
        self._seen.add(path)
        self._found.stamps[path] = stamp(entry, status)
        if entry != tracked:
            self._found.changes[path] = entry
        return True

    def _below(self, here: int, parts: tuple[bytes, ...], path: bytes, levels: _Rules, *, excluded: bool) -> bool:
        excluded = excluded or ignored(levels.ignores, parts, is_directory=True)
        if excluded and path not in self._above:
            self._found.extra.append(path)
            self._found.ignored.append(path)
            return False
        if len(parts) > _DEEPEST:
            self._problem("too_deep", f"Directories are nested over {_DEEPEST} deep", path)
            return False
        descriptor = files.open_directory(here, parts[-1])
        if descriptor is None:
            return False
        before = len(self._found.extra)
        if path not in self._above and files.is_repository(descriptor):
            os.close(descriptor)
            self._found.extra.append(path)
            return False
        try:
            counts = self._directory(descriptor, parts, levels, excluded=excluded)
        finally:
            os.close(descriptor)
        if not counts and path not in self._above:
            del self._found.extra[before:]
            self._found.extra.append(path)
        return counts

    def _rules_file(
        self, here: int, parts: tuple[bytes, ...], name: bytes, refuse: Callable[[str, bytes], None]
    ) -> bytes:
        """The content of a file of rules, which is a problem where git would be needed to follow it."""
        text = files.read_small(here, name, MAX_BYTES + 1)
        try:
            refuse(show(b"/".join((*parts, name))), text)
        except WorkspaceProblem as problem:
            self._found.problems.append(problem)
        return text

    def _attributes(self, here: int, parts: tuple[bytes, ...], rules: _Rules, status: os.stat_result | None) -> _Rules:
        path = b"/".join((*parts, ATTRIBUTES))
        entry = self._tracked.get(path)
        if status is not None and stat.S_ISREG(status.st_mode):
            text = self._rules_file(here, parts, ATTRIBUTES, refuse_attributes)
            attributes = rules.attributes.below(len(parts), text)
            former = attributes if rules.former is rules.attributes else rules.former.below(len(parts), text)
        elif entry is not None and entry[0] in (FILE, EXECUTABLE):
            text = self._store.blob(entry[1])
            former = rules.former.below(len(parts), text)
            attributes = rules.attributes.below(len(parts), text) if path in self._absent else rules.attributes
        else:
            return rules
        return _Rules(rules.ignores, attributes, former)

    def _file(
        self, here: int, parts: tuple[bytes, ...], status: os.stat_result, tracked: Entry | None, rules: _Rules
    ) -> bool:
        path = b"/".join(parts)
        known = self._memory.same(path, status)
        if known is not None and tracked == (known.mode, known.sha):
            self._found.stamps[path] = known
            self._seen.add(path)
            return True
        try:
            found = self._read(here, parts, status, tracked, rules)
        except WorkspaceProblem as problem:
            self._problem(problem.code, problem.message.rstrip("."), path)
            return False
        if found is None:
            return False
        entry, read = found
        self._seen.add(path)
        self._found.stamps[path] = stamp(entry, read)
        if entry != tracked:
            self._found.changes[path] = entry
        return True

    def _read(
        self, here: int, parts: tuple[bytes, ...], status: os.stat_result, tracked: Entry | None, rules: _Rules
    ) -> tuple[Entry, os.stat_result] | None:
        if stat.S_ISLNK(status.st_mode):
            try:
                target = os.readlink(parts[-1], dir_fd=here)
            except OSError:
                return None
            return (SYMLINK, self._store.put(b"blob", target)), status
        descriptor = files.open_file(here, parts[-1])
        if descriptor is None:
            return None
        try:
            read = os.fstat(descriptor)
            if read.st_size > MAX_FILE_BYTES:
                limit = MAX_FILE_BYTES // (1024 * 1024)
                raise WorkspaceProblem(
                    "file_too_large", f"A file is larger than {limit} MiB; put it into .gitignore or make it smaller"
                )
            mode = EXECUTABLE if read.st_mode & 0o100 else FILE
            ends = line_ends(rules.attributes.of(parts))
            former = line_ends(rules.former.of(parts)) if rules.former is not rules.attributes else ends
            if read.st_size > _IN_MEMORY and not ends.text and not former.text:
                return (mode, self._store.put_stream(descriptor, read.st_size)), read
            content = b"".join(iter(lambda: os.read(descriptor, _IN_MEMORY), b""))
            return (mode, self._stored(content, parts, tracked, (ends, former))), read
        finally:
            os.close(descriptor)

    def _stored(
        self, content: bytes, parts: tuple[bytes, ...], tracked: Entry | None, ends: tuple[LineEnds, LineEnds]
    ) -> ObjectID:
        """The object of a file, with the line ends of a commit. What the platform wrote there is what it was."""
        was = self._store.blob(tracked[1]) if tracked is not None and tracked[0] in (FILE, EXECUTABLE) else None
        path = b"/".join(parts)
        if tracked is not None and was is not None and self._written(path, was) == content:
            return tracked[1]
        if ends == (AS_IT_IS, AS_IT_IS):
            return self._store.put(b"blob", content)
        data = ends[0].stored(content, was)
        if ends[1].stored(content, was) != data:
            raise git_needed("An attribute file is gone that had a say in the line ends of a file", where="worktree")
        return self._store.put(b"blob", data)

    def _written(self, path: bytes, content: bytes) -> bytes:
        return line_ends(self._checked_out.of(path)).written(content)

    def _problem(self, code: str, message: str, path: bytes) -> None:
        self._found.problems.append(WorkspaceProblem(code, f"{message}: {show(path)}.", paths=[show(path)]))
        self._found.extra.append(path)
