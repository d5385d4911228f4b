"""YAML into a tree that remembers where everything stood. Nothing in a file can make the reader run, recurse or grow.

Scalars are resolved by the core schema of YAML 1.2 (`true`, `null`, numbers). Words that other readers take for
booleans (`yes`, `no`, `on`, `off`) stay text here and are reported where they stand unquoted, because a file must mean
the same to everybody.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal, NoReturn

import msgspec

from compiler.patterns.report import Report
from compiler.patterns.yaml_events import YamlEvent, YamlSyntaxError, yaml_events
from compiler.patterns.yaml_scalars import change_of
from schemas.base import Model

MAX_BYTES = 256 * 1024
MAX_DEPTH = 40
MAX_NODES = 20_000

Kind = Literal["null", "boolean", "number", "text", "list", "map"]

_INTEGER = re.compile(r"[-+]?[0-9]+\Z")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TRAPS = frozenset(
    spelled for word in ("yes", "no", "on", "off") for spelled in (word, word.capitalize(), word.upper())
)


class Node(Model, frozen=True, kw_only=True):
    """A value and its place. `value` is a scalar, a list of nodes, or a list of (key node, value node)."""

    kind: Kind
    value: Any
    line: int
    column: int
    raw: str = ""
    trap: bool = False
    block: bool = False

    @property
    def items(self) -> list[Node]:
        """The elements of a list."""
        return self.value if self.kind == "list" else []

    @property
    def pairs(self) -> list[tuple[Node, Node]]:
        """The entries of a map, in order."""
        return self.value if self.kind == "map" else []


class _Refused(Exception):
    """The text cannot be read; the report says why."""


def read_yaml(text: str, report: Report) -> Node | None:
    """The one document in a text, or None after reporting why there is none."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        report.error("too-large", 0, 0, f"the file is larger than {MAX_BYTES // 1024} KiB", "Split the pattern.")
        return None
    try:
        return _Builder(report).build(text)
    except _Refused:
        return None
    except YamlSyntaxError as error:
        _syntax(error, text, report)
    except RecursionError:
        report.error("yaml-syntax", 0, 0, "this is not YAML: it is nested too deeply")
    return None


def _syntax(error: YamlSyntaxError, text: str, report: Report) -> None:
    lines = text.splitlines()
    shown = lines[error.line - 1] if 0 < error.line <= len(lines) else ""
    if "\t" in shown[: len(shown) - len(shown.lstrip())]:
        report.error("yaml-tab", error.line, shown.index("\t") + 1, "a tab indents this line", "Indent with spaces.")
        return
    if r"'\t'" in error.problem:
        hint = "Write spaces, or put the value into quotes."
        report.error("yaml-tab", error.line, error.column, "a tab stands where no tab may stand", hint)
        return
    context = f" {error.context}" if error.context else ""
    hint = _syntax_hint(error, shown) if error.line else ""
    report.error("yaml-syntax", error.line, error.column, f"this is not YAML: {error.problem}{context}", hint)


def _syntax_hint(error: YamlSyntaxError, shown: str) -> str:
    problem = error.problem
    if "mapping values are not allowed" in problem:
        if ": " in shown[: error.column - 1]:
            return 'A text with ": " in it needs quotes.'
        return "The line above may lack a colon."
    if "but got '{'" in problem and "${" in shown:
        return 'Inside { } and [ ] a text with "${…}" needs quotes.'
    if error.context in {"while scanning an alias", "while scanning an anchor"}:
        return "A text that begins with * or & needs quotes."
    if "cannot start any token" in problem:
        return "A text that begins with a special character needs quotes."
    return "Check the indentation, the quotes and the brackets above this place."


class _Builder:
    """Builds the tree from the parser's events."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._anchors: dict[str, Node] = {}
        self._sizes: dict[int, int] = {}
        self._nodes = 0

    def build(self, text: str) -> Node | None:
        """The tree of the only document. Raises `_Refused` after reporting what is not allowed."""
        events = yaml_events(text)
        root: Node | None = None
        documents = 0
        for event in events:
            if event.kind == "document":
                documents += 1
                if documents > 1:
                    self._refuse("many-documents", event, "a second document begins here", "One file, one pattern.")
            elif event.kind in {"scalar", "list", "map", "alias"}:
                root = self._node(event, events, 0)
        if root is None or (root.kind == "null" and not root.raw):
            self._report.error(
                "empty-file", 0, 0, "the file is empty", "A pattern has a name, a structure and a workflow."
            )
            return None
        return root

    def _node(self, event: YamlEvent, events: Iterator[YamlEvent], depth: int, *, key: bool = False) -> Node:
        self._count(event, 1)
        if depth > MAX_DEPTH:
            self._refuse("too-deep", event, f"this is nested more than {MAX_DEPTH} levels deep")
        if event.kind == "alias":
            return self._alias(event)
        self._check_tag(event)
        before = self._nodes
        if event.kind == "scalar":
            node = self._scalar(event)
            if not key and node.kind in {"number", "text"} and not (event.style.strip() or event.tag or node.trap):
                self._tell_change(event, node)
        elif event.kind == "list":
            node = self._list(event, events, depth)
        else:
            node = self._map(event, events, depth)
        if event.anchor:
            self._anchors[event.anchor] = node
            self._sizes[id(node)] = self._nodes - before + 1
        return node

    def _list(self, event: YamlEvent, events: Iterator[YamlEvent], depth: int) -> Node:
        items: list[Node] = []
        while (inner := next(events)).kind != "end":
            items.append(self._node(inner, events, depth + 1))
        return self._made("list", items, event)

    def _map(self, event: YamlEvent, events: Iterator[YamlEvent], depth: int) -> Node:
        pairs: list[tuple[Node, Node]] = []
        seen: dict[str, Node] = {}
        while (inner := next(events)).kind != "end":
            key = self._node(inner, events, depth + 1, key=True)
            value = self._node(next(events), events, depth + 1)
            if value.kind == "null" and not value.raw:  # the parser shows what is not there where the next thing begins
                value = msgspec.structs.replace(value, line=key.line, column=key.column)
            if key.kind in {"list", "map"}:
                self._report.error("bad-key", key.line, key.column, "a key is a word, not a list or a map")
                continue
            if key.raw == "<<":
                hint = "Write the keys out; merging is not part of YAML 1.2."
                self._report.error("bad-key", key.line, key.column, "merge keys are not supported", hint)
                continue
            if key.raw in seen:
                first = seen[key.raw].line
                message = f"the key {key.raw!r} stands here for the second time; the first is in line {first}"
                self._report.error("duplicate-key", key.line, key.column, message, "Remove one of them.")
                continue
            seen[key.raw] = key
            pairs.append((key, value))
        return self._made("map", pairs, event)

    def _scalar(self, event: YamlEvent) -> Node:
        raw, tag, style = event.value, event.tag, event.style
        if style in {"'", '"', "|", ">"} or tag:
            return self._made("text", raw, event, raw, block=style in {"|", ">"})
        if raw in _NULLS:
            return self._made("null", None, event, raw)
        if raw in _BOOLEANS:
            return self._made("boolean", _BOOLEANS[raw], event, raw)
        if _INTEGER.match(raw) and len(raw) < 40:
            if float(raw) != int(raw):
                message = f"{raw} has more digits than a number keeps here: it would become {int(float(raw))}"
                self._report.error("inexact-number", event.line, event.column, message, f'Write "{raw}", as a text.')
            return self._made("number", int(raw), event, raw)
        if _NUMBER.match(raw) and len(raw) < 40 and abs(float(raw)) != float("inf"):
            return self._made("number", float(raw), event, raw)
        return self._made("text", raw, event, raw, trap=raw in _TRAPS)

    def _tell_change(self, event: YamlEvent, node: Node) -> None:
        """Says of a plain scalar that it is not what it looks like, here or to another reader."""
        change = change_of(node.raw, node.value)
        if change is not None:
            self._report.warning(change.code, event.line, event.column, change.message, change.hint)

    def _check_tag(self, event: YamlEvent) -> None:
        tag = event.tag
        if tag and tag not in {"!", "!!str", "tag:yaml.org,2002:str"}:
            self._refuse("bad-tag", event, f"the tag {tag} is not supported", "Remove the tag.")

    def _alias(self, event: YamlEvent) -> Node:
        name = event.anchor
        node = self._anchors.get(name)
        if node is None:
            self._refuse("bad-alias", event, f"there is no complete anchor &{name} before this place")
        self._count(event, self._sizes.get(id(node), 1))
        return node

    def _count(self, event: YamlEvent, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            self._refuse("too-large", event, f"the file holds more than {MAX_NODES} values", "Aliases count each time.")

    def _refuse(self, code: str, event: YamlEvent, message: str, hint: str = "") -> NoReturn:
        self._report.error(code, event.line, event.column, message, hint)
        raise _Refused

    @staticmethod
    def _made(
        kind: Kind, value: Any, event: YamlEvent, raw: str = "", *, trap: bool = False, block: bool = False
    ) -> Node:
        return Node(kind=kind, value=value, line=event.line, column=event.column, raw=raw, trap=trap, block=block)
