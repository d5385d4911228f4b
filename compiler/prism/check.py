"""The checker: everything that can be said about a program without running it, all at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from compiler.prism import tree as t
from compiler.prism.binding import binds
from compiler.prism.build import BuildError
from compiler.prism.builtin_names import BUILTIN_NAMES
from compiler.prism.check_calls import CallChecker
from compiler.prism.effect_signatures import EFFECTS, Signature
from compiler.prism.errors import Diagnostic, Kind, PrismError
from compiler.prism.findings import Findings
from compiler.prism.modules import Loader
from compiler.prism.nearest import did_you_mean
from compiler.prism.options import Options
from compiler.prism.parser import parse_source
from compiler.prism.program import Unit, compile_program, exported_names
from compiler.prism.reachability import find_unreachable
from compiler.prism.resolve import Resolver
from compiler.prism.scope import Ref, Var
from compiler.prism.source import Source

_WORDS = {"let": "variable", "function": "function", "import": "import", "match": "name"}
"""Kinds of variables that should be used, and what they are called."""


def check_program(
    source: str,
    *,
    name: str = "program.prism",
    modules: Loader | None = None,
    options: Options | None = None,
    globals: Iterable[str] = (),  # noqa: A002 - the word of the interface
    effects: Mapping[str, Signature] = EFFECTS,
) -> list[Diagnostic]:
    """Everything that is wrong with a program, in the order of its text; never raises for what the text says.

    `globals` are names the host provides beside the effects; `modules` are looked at only for what this file imports.
    """
    options = options or Options()
    text = Source(source, name)
    findings = Findings(text)
    try:
        tree = parse_source(text, options.limits)
    except PrismError as failure:
        findings.failure(failure)
        return findings.sorted()
    known = frozenset((*globals, *effects))
    resolver = _Checker(findings, known, legacy=options.legacy)
    try:
        names = resolver.program(tree)
    except BuildError as failure:
        findings.error(failure.code, failure.message, failure.pos, failure.hint)
        return findings.sorted()
    _undefined(resolver, findings, known)
    _unused(resolver, tree, findings)
    CallChecker(names, findings, effects).run(tree)
    find_unreachable(tree, findings, options.high, options.medium)
    if not findings.failed:
        _link(tree, findings, name, modules, options, known)
    return findings.sorted()


class _Checker(Resolver):
    """Goes on after what a run would refuse."""

    def __init__(self, findings: Findings, known: frozenset[str], *, legacy: bool) -> None:
        super().__init__(legacy=legacy)
        self.findings = findings
        self.known = known
        self.assigned_globals: list[tuple[str, int]] = []

    def refuse(self, message: str, pos: int, *, kind: Kind = "CheckError", code: str, hint: str = "") -> None:
        del kind
        self.findings.error(code, message, pos, hint)

    def declare(self, name: str, kind: str, node: Any, *, const: bool = False, soft: bool = False) -> Var:
        var = super().declare(name, kind, node, const=const, soft=soft)
        if id(node) in self.names.redeclared:
            line = self.findings.source.locate(var.pos)[0]
            message = f"Variable '{name}' already declared in this scope"
            self.findings.error(
                "redeclared", message, node.pos, f"the first is in line {line}; drop the let to assign it"
            )
        return var

    def visit_assign(self, node: t.Assign) -> None:
        super().visit_assign(node)
        self._assigned(self.names.refs[id(node)], node.name, node.pos, declares=id(node) in self.names.decls)

    def visit_destructure(self, node: t.Destructure) -> None:
        super().visit_destructure(node)
        for bind in binds(node.target):
            self._assigned(self.names.refs[id(bind)], bind.name, bind.pos, declares=False)

    def _assigned(self, ref: Ref, name: str, pos: int, *, declares: bool) -> None:
        if ref.var.kind == "global":
            if name in self.known or name in BUILTIN_NAMES:
                message = f"'{name}' is given to every program and cannot be assigned"
                self.findings.error("const_assignment", message, pos, "a let may shadow it")
            else:
                self.assigned_globals.append((name, pos))
        elif ref.var.const and not declares:
            message = f"Cannot assign to const variable '{name}'"
            self.findings.error("const_assignment", message, pos, "declare it with let")

    def visit_export(self, node: t.Export) -> None:
        super().visit_export(node)
        for spec in node.specs or [] if node.path is None else []:
            if self.names.refs[id(spec)].var.kind == "global" and spec.name not in BUILTIN_NAMES:
                self.host_uses.append((spec.name, spec.pos))


def _undefined(resolver: _Checker, findings: Findings, known: frozenset[str]) -> None:
    everything = {var.name for var in resolver.names.vars} | BUILTIN_NAMES | known
    for name, pos in resolver.host_uses:
        if name not in known:
            hint = did_you_mean(name, everything, f"nothing is called '{name}' here")
            findings.error("undefined_name", f"Undefined variable: {name}", pos, hint)
    for name, pos in resolver.assigned_globals:
        declared = {var.name for var in resolver.names.vars}
        hint = did_you_mean(name, declared, f"declare it first: let {name} = ...")
        findings.error("undefined_name", f"Undefined variable: {name}", pos, hint)


def _unused(resolver: _Checker, tree: t.Program, findings: Findings) -> None:
    """Names nobody reads. One that begins with an underscore is meant so."""
    exported = {id(var) for var in resolver.names.scopes[id(tree)].names.values() if var.kind == "agent"}
    for var in resolver.names.vars:
        word = _WORDS.get(var.kind)
        if word is None or var.used or var.name.startswith("_") or id(var) in exported:
            continue
        hint = f"remove it, or call it _{var.name}" if var.kind != "import" else "remove it"
        findings.warning("unused_binding", f"The {word} '{var.name}' is never used", var.pos, hint)


def _link(
    tree: t.Program, findings: Findings, name: str, modules: Loader | None, options: Options, known: frozenset[str]
) -> None:
    """What only the modules and the code generator can tell."""
    try:
        program = compile_program(
            findings.source.text, name=name, modules=modules, options=options, globals=sorted(known), tree=tree
        )
    except PrismError as failure:
        findings.failure(failure)
        return
    by_path = dict(zip(_paths(tree), program.unit.imports, strict=True))
    for node in tree.body:
        if isinstance(node, t.Import | t.Export) and node.path is not None:
            _imported(node, program.units[by_path[node.path]], findings)


def _paths(tree: t.Program) -> list[str]:
    found = [node.path for node in tree.body if isinstance(node, t.Import | t.Export) and node.path is not None]
    return list(dict.fromkeys(found))


def _imported(node: t.Import | t.Export, unit: Unit, findings: Findings) -> None:
    """Names that a module does not export."""
    if any(isinstance(one, t.Export) and one.path is not None and one.specs is None for one in unit.tree.body):
        return  # it hands on everything of another one
    exports = set(exported_names(unit))
    shown = unit.source.name
    for spec in node.specs or []:
        if spec.name not in exports:
            hint = did_you_mean(spec.name, exports)
            what = "no default export" if spec.name == "default" else f"no export named '{spec.name}'"
            findings.error("module", f"Module {shown} has {what}", spec.pos, hint)
    if isinstance(node, t.Import) and node.default is not None and "default" not in exports:
        findings.error("module", f"Module {shown} has no default export", node.pos, did_you_mean("default", exports))
