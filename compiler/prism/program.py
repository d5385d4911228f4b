"""Text to something that runs: reading, linking of modules, code, and the cache by digest."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import CodeType, TracebackType
from typing import Any, cast

from compiler.prism import costs
from compiler.prism import emit as e
from compiler.prism import tree as t
from compiler.prism.binding import binds
from compiler.prism.build import BuildError
from compiler.prism.collector import held_off
from compiler.prism.errors import PrismError
from compiler.prism.helpers import HELPERS
from compiler.prism.modules import Library, Loader, candidates, clean, resolve_path
from compiler.prism.options import Options
from compiler.prism.parser import parse_source
from compiler.prism.resolve import Resolver
from compiler.prism.scope import Names
from compiler.prism.sizes import generated_size
from compiler.prism.source import Source
from compiler.prism.statements import StatementGenerator

COMPILE_RECURSION = 12_000
"""Python's recursion limit while a tree is turned into code; the tree's own depth is limited far below."""

SMALL_SOURCE = 8 * 1024
"""Characters of a file whose code is never large."""

COMPACT_CODE = 50_000
"""Nodes of the code of a file from which on it is made small rather than fast."""

CACHED_PROGRAMS = 256
CACHED_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class EffectUse:
    """A place where a program uses a name that the host provides."""

    name: str
    line: int
    column: int
    file: str = ""


@dataclass(slots=True)
class Unit:
    """One file of a program, ready to run."""

    path: str
    source: Source
    main: Callable[..., Any]
    imports: tuple[str, ...] = ()
    globals: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    tree: t.Program = field(default_factory=lambda: t.Program(0, []))


@dataclass(slots=True)
class Program:
    """A compiled program: immutable, shared by all its runs.

    `digest` names its texts and options; `effects` are the uses of names that neither it nor the language defines.
    """

    source: str
    name: str
    digest: str
    options: Options
    unit: Unit
    units: dict[str, Unit]
    effects: tuple[EffectUse, ...]
    exports: tuple[str, ...]
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])

    def place(self, traceback: TracebackType | None) -> tuple[Unit, int]:
        """The file and offset of the innermost expression that was running."""
        found, offset = self.unit, 0
        by_name = {f"prism:{path}": unit for path, unit in self.units.items()}
        while traceback is not None:
            unit = by_name.get(traceback.tb_frame.f_code.co_filename)
            line = cast("int | None", traceback.tb_lineno)  # an instruction may belong to no line
            if unit is not None and line is not None and (line > 1 or unit is not found):
                found, offset = unit, line - 1  # line 1 is code of no place of its own: its caller is nearer
            traceback = traceback.tb_next
        return found, offset


_cache: OrderedDict[str, Program] = OrderedDict()


def compile_program(
    source: str,
    *,
    name: str = "program.prism",
    modules: Loader | None = None,
    options: Options | None = None,
    globals: Iterable[str] = (),  # noqa: A002 - the word of the interface
    tree: t.Program | None = None,
) -> Program:
    """Compile a program and every module it imports.

    `modules` maps paths to texts, or is a function that does; without it imports and exports are refused. `globals`
    are the names the host will provide, `tree` what `source` was parsed to, where the caller has it. Raises PrismError.
    """
    options = options or Options()
    linker = _Linker(options, modules, frozenset(globals))
    key = ""
    if modules is None:
        key = _digest([(name, source)], options, linker.globals)
        known = _cache.get(key)
        if known is not None:
            _cache.move_to_end(key)
            return known
    program = linker.link(source, clean(name) or "program.prism", name, tree)
    if modules is None:
        _remember(key, program)
    return program


def _remember(key: str, program: Program) -> None:
    _cache[key] = program
    while len(_cache) > CACHED_PROGRAMS or sum(len(entry.source) for entry in _cache.values()) > CACHED_BYTES:
        _cache.popitem(last=False)


def _digest(texts: list[tuple[str, str]], options: Options, names: frozenset[str]) -> str:
    made = hashlib.sha256(repr((options, sorted(names))).encode())
    for path, text in texts:
        made.update(f"\0{path}\0{len(text)}\0".encode("utf-8", "surrogatepass"))
        made.update(text.encode("utf-8", "surrogatepass"))
    return made.hexdigest()


class _Linker:
    def __init__(self, options: Options, modules: Loader | None, names: frozenset[str]) -> None:
        self.options = options
        self.library = Library(modules) if modules is not None else None
        self.globals = names
        self.units: dict[str, Unit] = {}
        self.loading: set[str] = set()

    def link(self, source: str, path: str, shown: str, tree: t.Program | None = None) -> Program:
        """The program and its modules."""
        unit = self.load(source, path, shown, tree)
        texts = [(key, one.source.text) for key, one in self.units.items()]
        effects = tuple(
            EffectUse(word, *one.source.locate(pos), file=one.source.name)
            for one in self.units.values()
            for word, pos in one.globals
        )
        return Program(
            source, shown, _digest(texts, self.options, self.globals), self.options, unit, self.units, effects,
            tuple(exported_names(unit)),
        )  # fmt: skip

    def load(self, text: str, path: str, shown: str, tree: t.Program | None = None) -> Unit:
        """One file, and what it imports."""
        source = Source(text, shown)
        if tree is None:
            tree = parse_source(source, self.options.limits)
        unit = Unit(path, source, _not_ready)
        self.units[path] = unit
        unit.tree = tree
        paths: dict[str, str] = {}
        for node in tree.body:
            wanted = node.path if isinstance(node, t.Import | t.Export) else None
            if isinstance(node, t.Import | t.Export):
                self._need_library(node, source)
            if wanted is not None and wanted not in paths:
                paths[wanted] = self._import(wanted, unit, node.pos)
        unit.imports = tuple(paths.values())
        unit.main = self._generate(tree, unit, paths)
        return unit

    def _need_library(self, node: Any, source: Source) -> None:
        if self.library is None:
            word = "Import" if isinstance(node, t.Import) else "Export"
            hint = "give the compiler a loader for modules"
            raise source.error("ModuleError", f"{word} statements require a module system", node.pos, hint=hint)

    def _import(self, wanted: str, importer: Unit, pos: int) -> str:
        assert self.library is not None
        source = importer.source
        shown_importer = self.library.shown(importer.path)
        message = f"Cannot resolve module '{wanted}' from '{shown_importer}'"
        try:
            found = self.library.find(wanted, importer.path)
        except ValueError as problem:
            raise source.error("ModuleError", message, pos, hint=str(problem)) from None
        if found is None:
            tried = ", ".join(self.library.shown(one) for one in candidates(resolve_path(wanted, importer.path)))
            raise source.error("ModuleError", f"{message}. Tried: {tried}", pos, hint="is the name spelled right?")
        path, text = found
        if path not in self.units:
            try:
                self.load(text, path, self.library.shown(path))
            except PrismError as failure:
                raise _wrapped(failure, self.library.shown(path)) from None
        return path

    def _generate(self, tree: t.Program, unit: Unit, paths: dict[str, str]) -> Callable[..., Any]:
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(max(limit, COMPILE_RECURSION))
        try:
            with held_off():
                code = self._code(tree, unit, paths)
        except BuildError as failure:
            raise unit.source.error(
                failure.kind, failure.message, failure.pos, code=failure.code, hint=failure.hint
            ) from None
        except (RecursionError, MemoryError, SyntaxError):
            raise unit.source.error(
                "LimitError", "The program is nested too deeply", 0, code="nesting_too_deep", hint="use functions"
            ) from None
        finally:
            sys.setrecursionlimit(limit)
        made: dict[str, Any] = {}
        exec(code, HELPERS, made)  # noqa: S102 - the one place where generated code comes to life
        return cast("Callable[..., Any]", made["main"])

    def _code(self, tree: t.Program, unit: Unit, paths: dict[str, str]) -> CodeType:
        size = generated_size(tree) if len(unit.source.text) > SMALL_SOURCE else 0
        if size > self.options.limits.code:
            message = f"The program becomes more than {self.options.limits.code} nodes of code"
            raise BuildError(message, 0, kind="LimitError", code="tokens_exceeded", hint="split it into modules")
        resolver = Resolver(legacy=self.options.legacy)
        names = resolver.program(tree)
        names.paths = paths
        library = self.library
        names.shown = {wanted: library.shown(path) for wanted, path in paths.items()} if library is not None else {}
        unit.globals = resolver.host_uses
        module = ast.Module(body=[_main(names, self.options, tree, compact=size > COMPACT_CODE)], type_ignores=[])
        return compile(module, f"prism:{unit.path}", "exec", dont_inherit=True, optimize=2)


def _main(names: Names, options: Options, tree: t.Program, *, compact: bool) -> ast.stmt:
    gen = StatementGenerator(names, options, names.funcs[id(tree)], compact=compact)
    for var in names.globals.values():
        gen.out.append(e.set_name(var.py, e.call("r_global", e.name("R"), e.const(var.name))))
    for var in names.scopes[id(tree)].names.values():
        gen.create(var)
    for statement in tree.body:
        inner = statement.statement if isinstance(statement, t.Export) else statement
        if isinstance(inner, t.Function) and id(inner) not in names.redeclared:
            gen.hoist(inner)
    gen.body(tree.body, "return")
    counted = e.charge(costs.steps(gen.cost))
    return e.define("main", ["R", "d", "E"], [], gen.fitted([counted, *gen.out]), 0)


def _not_ready(*_: Any) -> Any:
    raise AssertionError("a module runs only after all are compiled")


def _wrapped(failure: PrismError, path: str) -> PrismError:
    prefix = "Failed to load module "
    message = failure.message if failure.message.startswith(prefix) else f"{prefix}{path}: {failure.message}"
    return PrismError(
        "ModuleError", message, line=failure.line, column=failure.column, code=failure.code, hint=failure.hint,
        file=failure.file, source_line=failure.source_line,
    )  # fmt: skip


def exported_names(unit: Unit) -> Iterable[str]:
    """Names a file exports, as far as its text tells."""
    for node in unit.tree.body:
        if not isinstance(node, t.Export):
            continue
        if node.default is not None:
            yield "default"
        elif isinstance(node.statement, t.Let):
            yield from (bind.name for bind in binds(node.statement.target))
        elif node.statement is not None:
            yield node.statement.name
        else:
            yield from (spec.alias for spec in node.specs or [])
