"""The patterns of a directory, compiled, by name and version; read again whenever a file changes.

A request finds what the directory holds at that moment. A bad edit does not take a working pattern away: the last
good one stays until the file is good again or gone, and what is wrong is kept as diagnostics. Modules that a `.prism`
pattern imports come from the same directory and from nowhere else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import structlog
from msgspec.structs import replace

from compiler.patterns import load_pattern
from compiler.patterns.nesting import Lookup, PatternSource, header_of
from compiler.patterns.prism_files import prism_header
from compiler.patterns.report import did_you_mean, nearest
from compiler.versions import is_range, newest, precedence
from schemas.base import Model, Problem
from schemas.patterns import CompiledPattern, PatternDiagnostic

SUFFIXES = (".yaml", ".yml", ".prism")
MAX_FILE_BYTES = 1024 * 1024
MAX_FILES = 1000

_CALL = re.compile(r"\bpattern[\"']?\s*:|\btype[\"']?\s*:\s*[\"']?pattern\b|\bcall\b")
_log = structlog.get_logger(__name__)

_Stamp = tuple[int, int, int]


class Loaded(Model, frozen=True, kw_only=True):
    """One file of the directory. `current` tells whether `pattern` is what the file says now."""

    file: str
    pattern: CompiledPattern | None
    diagnostics: list[PatternDiagnostic] = []
    current: bool = True


class PatternLibrary:
    """The patterns of a directory. Looking is cheap; compiling happens once for each state of a file."""

    def __init__(self, directory: str | Path, *, elsewhere: Lookup | None = None) -> None:
        self.directory = Path(directory)
        self._elsewhere = elsewhere
        """Where a name that no file here has is looked for, when a pattern calls it."""
        self._stamps: dict[str, _Stamp] = {}
        self._files: dict[str, Loaded] = {}
        self._by_name: dict[str, list[CompiledPattern]] = {}
        self._clashes: list[PatternDiagnostic] = []
        self._known_headers: dict[str, tuple[_Stamp, PatternSource | None]] = {}

    def find(self, reference: str) -> CompiledPattern | list[Problem]:
        """The newest pattern for `name` or `name@1.x`, or what is wrong with the reference or the pattern."""
        self.refresh()
        name, _, wanted = reference.partition("@")
        if "@" in reference and not _is_wanted(wanted):
            hint = "For example name@1.x, name@^1.2, name@1.2.0-rc.1."
            return [Problem(where="pattern", what=f"{wanted[:64]!r} is no version and no range.", hint=hint)]
        versions = self._by_name.get(name, [])
        found = newest(((pattern.version, pattern) for pattern in versions), wanted)
        if found is not None:
            return found
        if versions:
            have = ", ".join(sorted((pattern.version for pattern in versions), key=precedence))
            what = f"There is no version {wanted} of the pattern {name!r}."
            return [Problem(where="pattern", what=what, hint=f"There is {have}.")]
        return self._unknown(name)

    def source(self, reference: str) -> PatternSource | str:
        """The text of the newest pattern for `name` or `name@1.x`; a text says why there is none."""
        name, _, wanted = reference.partition("@")
        if "@" in reference and not _is_wanted(wanted):
            return f"{wanted[:64]!r} is no version and no range"
        versions = [one for one in self._headers() if one.name == name]
        found = newest(((one.version, one) for one in versions), wanted)
        if found is not None:
            return self._with_modules(found)
        if versions:
            have = ", ".join(sorted((one.version for one in versions), key=precedence))
            return f"there is no version {wanted} of the pattern {name!r}; there is {have}"
        if self._elsewhere is not None:
            return self._elsewhere(reference)
        near = nearest(name[:128], {one.name for one in self._headers()})
        return f"there is no pattern {name[:128]!r} in {self.directory}" + (f"; did you mean {near!r}?" if near else "")

    def knows(self, name: str) -> bool:
        """Whether a file here is the pattern `name`, or would be if it could be used."""
        self.refresh()
        return name in self._by_name or any(
            loaded.pattern is None and PurePosixPath(file).stem == name for file, loaded in self._files.items()
        )

    def names(self) -> list[str]:
        """The names of the usable patterns, sorted."""
        self.refresh()
        return sorted(self._by_name)

    def _with_modules(self, source: PatternSource) -> PatternSource:
        if not source.file.endswith(".prism"):
            return source
        own = PurePosixPath(source.file).name
        return replace(source, modules={path: text for path, text in self.modules().items() if path != own})

    def _headers(self) -> list[PatternSource]:
        found: list[PatternSource] = []
        for name, stamp in self._look():
            known = self._known_headers.get(name)
            if known is None or known[0] != stamp:
                known = (stamp, self._header(name))
                self._known_headers[name] = known
            if known[1] is not None:
                found.append(known[1])
        return found

    def _header(self, name: str) -> PatternSource | None:
        if "/" in name:
            return None
        try:
            text = self._text(name)
        except (OSError, UnicodeDecodeError, ValueError):
            return None
        if not name.endswith(".prism"):
            return header_of(text, str(self.directory / name))
        return prism_header(text, str(self.directory / name))

    def get(self, reference: str) -> CompiledPattern | None:
        """As `find`, or None."""
        found = self.find(reference)
        return found if isinstance(found, CompiledPattern) else None

    def all(self) -> list[CompiledPattern]:
        """Every usable pattern, by name and version."""
        self.refresh()
        return [
            pattern
            for name in sorted(self._by_name)
            for pattern in sorted(self._by_name[name], key=lambda one: precedence(one.version))
        ]

    def files(self) -> list[Loaded]:
        """Every file with what it came to, in the order of their names."""
        self.refresh()
        return [self._files[name] for name in sorted(self._files)]

    def diagnostics(self) -> list[PatternDiagnostic]:
        """Everything that is wrong with the directory's files as they are now."""
        self.refresh()
        return [found for loaded in self.files() for found in loaded.diagnostics] + self._clashes

    def modules(self) -> dict[str, str]:
        """The texts of all `.prism` files, by their paths below the directory."""
        return self._modules(dict(self._look()))

    def refresh(self) -> None:
        """Reads what has changed since the last look."""
        stamps = dict(self._look())
        if stamps == self._stamps:
            return
        changed = {name for name in stamps if stamps[name] != self._stamps.get(name)}
        modules_changed = any(name.endswith(".prism") for name in changed | (set(self._stamps) - set(stamps)) if name)
        self._stamps = stamps
        patterns = [name for name in sorted(stamps) if "/" not in name]
        modules = self._modules(stamps)
        files: dict[str, Loaded] = {}
        for name in patterns:
            before = self._files.get(name)
            stale = (modules_changed and name.endswith(".prism")) or _calls(before)
            if before is not None and name not in changed and not stale:
                files[name] = before
            else:
                files[name] = self._load(name, modules, before)
        self._files = files
        self._index()

    def _load(self, name: str, modules: dict[str, str], before: Loaded | None) -> Loaded:
        shown = str(self.directory / name)
        try:
            text = self._text(name)
        except (OSError, UnicodeDecodeError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            problem = PatternDiagnostic(
                file=shown, line=0, column=0, code="unreadable", severity="error", message=f"cannot be read: {reason}"
            )
            return Loaded(file=name, pattern=before.pattern if before else None, diagnostics=[problem], current=False)
        others = {path: module for path, module in modules.items() if path != name}
        result = load_pattern(
            text, filename=shown, modules=others if name.endswith(".prism") else None, lookup=self.source
        )
        if result.pattern is None:
            _log.warning("pattern_refused", file=shown, errors=len(result.diagnostics), kept=bool(before))
            kept = before.pattern if before is not None else None
            return Loaded(file=name, pattern=kept, diagnostics=result.diagnostics, current=False)
        return Loaded(file=name, pattern=result.pattern, diagnostics=result.diagnostics)

    def _index(self) -> None:
        self._by_name, self._clashes = {}, []
        for name in sorted(self._files):
            pattern = self._files[name].pattern
            if pattern is None:
                continue
            same = self._by_name.setdefault(pattern.name, [])
            if any(other.version == pattern.version for other in same):
                message = f"another file is {pattern.name} {pattern.version} already; this one is not used"
                self._clashes.append(
                    PatternDiagnostic(
                        file=str(self.directory / name),
                        line=0,
                        column=0,
                        code="duplicate-pattern",
                        severity="error",
                        message=message,
                        hint="Give it another name or version.",
                    )
                )
            else:
                same.append(pattern)

    def _unknown(self, name: str) -> list[Problem]:
        for loaded in self._files.values():
            stem = PurePosixPath(loaded.file).stem
            errors = [found for found in loaded.diagnostics if found.severity == "error"]
            if loaded.pattern is None and stem == name and errors:
                return [
                    Problem(where=f"{loaded.file}:{one.line}:{one.column}", what=one.message, hint=one.hint)
                    for one in errors[:20]
                ]
        hint = did_you_mean(name, sorted(self._by_name)) or f"There are no patterns in {self.directory}."
        unusable = [file for file in sorted(self._files) if self._files[file].pattern is None]
        if unusable:
            more = f" and {len(unusable) - 5} more" if len(unusable) > 5 else ""
            hint += f" Not usable: {', '.join(unusable[:5])}{more} (`parallax patterns lint` says why)."
        return [Problem(where="pattern", what=f"There is no pattern {name[:128]!r}.", hint=hint)]

    def _look(self) -> Iterator[tuple[str, _Stamp]]:
        """The files of the directory and, below it, the modules. Links that lead out of it are not followed."""
        count = 0
        for path, folders, names in os.walk(self.directory):
            folders[:] = sorted(folder for folder in folders if not folder.startswith((".", "__")))
            place = Path(path).relative_to(self.directory).as_posix()
            for name in sorted(names):
                relative = name if place == "." else f"{place}/{name}"
                if name.startswith(".") or not name.endswith(SUFFIXES if place == "." else (".prism",)):
                    continue
                try:
                    seen = (self.directory / relative).stat()
                except OSError:
                    continue
                count += 1
                if count <= MAX_FILES:
                    yield relative, (seen.st_mtime_ns, seen.st_size, seen.st_ino)

    def _modules(self, stamps: dict[str, _Stamp]) -> dict[str, str]:
        modules: dict[str, str] = {}
        for name in stamps:
            if name.endswith(".prism"):
                try:
                    modules[name] = self._text(name)
                except (OSError, UnicodeDecodeError, ValueError):
                    continue
        return modules

    def _text(self, name: str) -> str:
        path = self.directory / name
        if not path.resolve().is_relative_to(self.directory.resolve()):
            raise ValueError("it is a link to outside of the directory")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ValueError(f"it is larger than {MAX_FILE_BYTES // 1024} KiB")
        return path.read_text("utf-8")


def _is_wanted(wanted: str) -> bool:
    """Whether something that can be wanted stands behind an `@`."""
    return bool(wanted.strip()) and is_range(wanted)


def _calls(loaded: Loaded | None) -> bool:
    """Whether a file may call other patterns, so that a change of another file concerns it too."""
    if loaded is None or loaded.pattern is None:
        return True
    found = loaded.pattern
    return bool(found.called) or any(_CALL.search(text) for text in (found.source, *found.modules.values()))
