"""Imports and exports: finding modules through a loader that knows one tree of files, and the code for the statements.

Paths are relative to the importing file and never leave the root the loader stands for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from compiler.prism import emit as e
from compiler.prism import tree as t
from compiler.prism.binding import binds
from compiler.prism.scope import Ref

if TYPE_CHECKING:
    from compiler.prism.bodies import BodyGenerator, Want

Loader = Callable[[str], str | None] | Mapping[str, str]


class Library:
    """Where modules come from. A loader maps a path such as `lib/util.prism` to its text, or None."""

    def __init__(self, loader: Loader) -> None:
        if isinstance(loader, Mapping):
            given = cast("Mapping[str, str]", loader)
            texts = {clean(path): text for path, text in given.items()}
            self._load: Callable[[str], str | None] = texts.get
            self.rooted = any(path.startswith("/") for path in given)
        else:
            self._load = loader
            self.rooted = False

    def shown(self, path: str) -> str:
        """A path as people wrote it."""
        return f"/{path}" if self.rooted else path

    def find(self, wanted: str, importer: str) -> tuple[str, str] | None:
        """Path and text of a module, or None. Raises ValueError when the path leaves the tree."""
        base = resolve_path(wanted, importer)
        for path in candidates(base):
            text = self._load(path)
            if text is not None:
                return path, text
        return None


def clean(path: str) -> str:
    """A path without leading slashes and dots."""
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def resolve_path(wanted: str, importer: str) -> str:
    """The path a relative one means. Raises ValueError when it is absolute or leaves the root."""
    if not wanted.startswith(("./", "../")) or "\\" in wanted or "\0" in wanted:
        raise ValueError("module paths are relative and begin with ./ or ../")
    parts = clean(importer).split("/")[:-1]
    for part in wanted.split("/"):
        if part == "..":
            if not parts:
                raise ValueError("the path leads out of the directory of the program")
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def candidates(base: str) -> list[str]:
    """The files a module path may mean, in order."""
    if base.endswith(".prism"):
        return [base]
    return [f"{base}.prism", f"{base}/index.prism" if base else "index.prism"]


# -- code ------------------------------------------------------------------------------------------------------


def _load(gen: BodyGenerator, node: Any) -> e.Expr:
    path = gen.names.paths[node.path]
    return gen.spill_always(e.call("r_import", e.name("R"), e.name("d"), e.const(path), pos=node.pos))


def _pick(gen: BodyGenerator, module: e.Expr, name: str, node: Any) -> e.Expr:
    shown = gen.names.shown[node.path]
    return e.call("r_imported", module, e.const(name), e.const(shown), pos=node.pos)


def emit_import(gen: BodyGenerator, node: t.Import) -> None:
    """Run the module at its first import and bind what is asked for."""
    module = _load(gen, node)
    decls = gen.names.decls
    if node.default is not None:
        gen.write(decls[id(node)], _pick(gen, module, "default", node))
    if node.namespace is not None:
        gen.write(decls[id(node) + 1], e.call("r_namespace", module))
    for spec in node.specs:
        gen.write(decls[id(spec)], _pick(gen, module, spec.name, node))


def emit_export(gen: BodyGenerator, node: t.Export, want: Want) -> None:
    """Put values among the exports as they are now."""
    if node.statement is not None:
        gen.statement(node.statement, want)
        for name, value in _exported(gen, node.statement):
            gen.out.insert(_before_return(gen), _put(name, value))
        return
    if node.default is not None:
        value = gen.spill_always(gen.expr(node.default))
        gen.out.append(_put("default", value))
        gen.give(value, want) if want is not None else None
        return
    if node.path is None:
        for spec in node.specs or []:
            gen.out.append(_put(spec.alias, gen.read(gen.names.refs[id(spec)], spec.pos)))
    else:
        module = _load(gen, node)
        if node.specs is None:
            gen.out.append(e.do(e.call("r_export_all", e.name("E"), module)))
        for spec in node.specs or []:
            gen.out.append(_put(spec.alias, _pick(gen, module, spec.name, node)))
    gen.constant(0.0, want)


def _before_return(gen: BodyGenerator) -> int:
    """Exports of the last statement go in front of the return that ends the program."""
    ends = bool(gen.out) and isinstance(gen.out[-1], e.ast.Return)
    return len(gen.out) - 1 if ends else len(gen.out)


def _put(name: str, value: e.Expr) -> e.Stmt:
    return e.do(e.call("r_export", e.name("E"), e.const(name), value))


def _exported(gen: BodyGenerator, statement: Any) -> list[tuple[str, e.Expr]]:
    names = gen.names
    if isinstance(statement, t.Let):
        pairs = [(bind.name, names.decls[id(bind)]) for bind in binds(statement.target) if id(bind) in names.decls]
    elif isinstance(statement, t.Function):
        pairs = [(statement.name, names.decls[id(statement)])]
    else:
        var = names.decls.get(id(statement)) or names.refs[id(statement)].var
        pairs = [(statement.name, var)]
    return [(name, gen.read(Ref(var), statement.pos)) for name, var in pairs]
