"""Reading a map key by key: every key is either asked for, or reported as unknown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from compiler.patterns.reader import Node
from compiler.patterns.report import Report, did_you_mean, nearest

_KINDS = {
    "null": "nothing",
    "boolean": "true or false",
    "number": "a number",
    "text": "a text",
    "list": "a list",
    "map": "a map",
}


_TRUE = frozenset({"yes", "on"})


def describe(node: Node) -> str:
    """What stands there, in words."""
    if node.kind == "text" and 0 < len(node.raw) <= 40 and "\n" not in node.raw:
        return f"the text {node.raw!r}"
    return f"{node.raw!r}" if node.kind in {"boolean", "number"} else _KINDS[node.kind]


class View:
    """One map of the file. `what` names it in messages. `refused` are keys that are known and cannot be honoured."""

    def __init__(
        self, node: Node, report: Report, what: str, keys: Iterable[str], refused: Mapping[str, str] | None = None
    ) -> None:
        self.node = node
        self.report = report
        self.what = what
        self._entries: dict[str, tuple[Node, Node]] = {}
        self._misspelt: dict[str, Node] = {}
        self.valid = node.kind == "map"
        known, refusals = list(keys), refused or {}
        if not self.valid:
            hint = f"Write its keys, for example {known[0]}." if known else "Write names and values, for example a: b."
            report.error("wrong-type", node.line, node.column, f"{what} is a map, not {describe(node)}", hint)
            return
        for key, value in node.pairs:
            if key.raw in refusals:
                message = f"{key.raw!r} of {what} cannot be honoured: {refusals[key.raw]}"
                report.error("unsupported", key.line, key.column, message, "Remove the key.")
            elif key.raw not in known:
                message = f"{what} has no key {key.raw!r}"
                report.error("unknown-key", key.line, key.column, message, did_you_mean(key.raw, known))
                if (meant := nearest(key.raw, known)) is not None:
                    self._misspelt[meant] = value
            else:
                self._entries[key.raw] = (key, value)

    def has(self, key: str) -> bool:
        """Whether the key is there with a value."""
        return key in self._entries and self._entries[key][1].kind != "null"

    def misspelt(self, key: str) -> bool:
        """Whether an unknown key was probably meant to be this one."""
        return key in self._misspelt

    def meant(self, key: str) -> str:
        """The text of a key, misspelt or not, so that what follows from a reported mistake is not reported too."""
        node = self._misspelt.get(key)
        return self.text(key) or (str(node.value) if node is not None and node.kind == "text" else "")

    def meant_value(self, key: str) -> Node | None:
        """The value's node of a key, misspelt or not; as `meant`."""
        return self.get(key) or self._misspelt.get(key)

    def is_one_of(self, key: str, choices: Iterable[str]) -> bool:
        """Whether a choice is one that there is, or not made: what depends on a wrong one is not reported."""
        node = self.meant_value(key)
        return node is None or (key in self._entries and node.raw in choices)

    def get(self, key: str) -> Node | None:
        """The value's node; None where the key is missing or empty."""
        return self._entries[key][1] if self.has(key) else None

    def key(self, key: str) -> Node:
        """Where the key stands, else the map itself."""
        return self._entries[key][0] if key in self._entries else self.node

    def missing(self, key: str, hint: str = "") -> None:
        """Reports that a key is needed, unless it is there and misspelt: that is reported already."""
        if not self.valid or key in self._misspelt:
            return
        if key in self._entries:
            place = self._entries[key][0]
            self.report.error("missing-key", place.line, place.column, f"{key!r} of {self.what} is empty", hint)
        else:
            place = self.node
            self.report.error("missing-key", place.line, place.column, f"{self.what} needs {key!r}", hint)

    def wrong(self, key: str, node: Node, wanted: str, hint: str = "") -> None:
        """Reports a value of the wrong type."""
        message = f"{key!r} of {self.what} is {wanted}, not {describe(node)}"
        self.report.error("wrong-type", node.line, node.column, message, hint)

    def text(self, key: str, default: str = "", *, required: bool = False, hint: str = "") -> str:
        """A text."""
        node = self.get(key)
        if node is None:
            if required:
                self.missing(key, hint)
            return default
        return self._text(key, node, default)

    def _text(self, key: str, node: Node, default: str = "") -> str:
        if node.trap:
            message = f"{node.raw!r} reads as true or false elsewhere; {key!r} is a text"
            self.report.error("yaml-boolean", node.line, node.column, message, f'Write "{node.raw}".')
            return default
        if node.kind != "text":
            hint = f'Write "{node.raw}".' if node.kind in {"boolean", "number"} else "Write one text."
            self.wrong(key, node, "a text", hint)
            return default
        return str(node.value)

    def choice(self, key: str, choices: Iterable[str], default: str, code: str = "bad-value") -> str:
        """One of some words."""
        node, known = self.get(key), list(choices)
        if node is None:
            return default
        word = self._text(key, node, default)
        if word in known:
            return word
        message = f"{word!r} is no {key!r} of {self.what}"
        self.report.error(
            code, node.line, node.column, message, did_you_mean(word, known, f"One of {', '.join(known)}.")
        )
        return default

    def flag(self, key: str, default: bool | None = None) -> bool | None:
        """True or false."""
        node = self.get(key)
        if node is None:
            return default
        if node.trap:
            meant = "true" if node.raw.lower() in _TRUE else "false"
            message = f"{node.raw!r} is a text here and a boolean elsewhere; {key!r} is true or false"
            self.report.error("yaml-boolean", node.line, node.column, message, f"Write {meant}.")
            return default
        if node.kind != "boolean":
            self.wrong(key, node, "true or false", "Write true or false, without quotes.")
            return default
        return bool(node.value)

    def integer(self, key: str, default: int | None = None, *, least: int = 0, most: int = 2**53) -> int | None:
        """A whole number within bounds."""
        node = self.get(key)
        if node is None:
            return default
        if node.kind != "number" or node.value != int(node.value):
            self.wrong(key, node, "a whole number", _number_hint(node, key))
            return default
        value = int(node.value)
        if not least <= value <= most:
            bound = f"at least {least}" if value < least else f"at most {most}"
            self.report.error("out-of-range", node.line, node.column, f"{key!r} of {self.what} is {bound}, not {value}")
            return default
        return value

    def number(self, key: str, default: float | None = None, *, least: float = 0.0, most: float = 1.0) -> float | None:
        """A number within bounds."""
        node = self.get(key)
        if node is None:
            return default
        if node.kind != "number":
            self.wrong(key, node, "a number", _number_hint(node, key))
            return default
        if not least <= node.value <= most:
            message = f"{key!r} of {self.what} is between {least:g} and {most:g}, not {node.raw}"
            hint = f"Write {node.value / 100:g}." if most == 1 and 1 < node.value <= 100 else ""
            self.report.error("out-of-range", node.line, node.column, message, hint)
            return default
        return float(node.value)

    def texts(
        self, key: str, *, single: bool = False, required: bool = False, hint: str = ""
    ) -> list[tuple[str, Node]]:
        """A list of texts with their places; where `single` is set, one text counts as a list of one."""
        node = self.get(key)
        if node is None:
            if required:
                self.missing(key, hint)
            return []
        if single and node.kind in {"text", "boolean", "number"}:
            word = self._text(key, node)
            return [(word, node)] if word else []
        if node.kind != "list":
            words = ", ".join(node.raw.split()) if key == "command" else node.raw
            hint = f"Write [{words}]." if node.kind == "text" and node.raw and "\n" not in node.raw else ""
            self.wrong(key, node, "a list of texts", hint)
            return []
        return [(word, item) for item in node.items if (word := self._text(key, item))]

    def items(self, key: str) -> list[Node]:
        """A list of anything."""
        node = self.get(key)
        if node is None:
            return []
        if node.kind != "list":
            self.wrong(key, node, "a list", "Begin each entry with '- '.")
            return []
        return node.items

    def json(self, key: str) -> Any:
        """Any value, as JSON."""
        node = self.get(key)
        if node is None:
            return None
        report_traps(node, self.report)
        return to_json(node)


def _number_hint(node: Node, key: str) -> str:
    """What to write for a number that is written as something else."""
    if node.kind == "text" and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", node.raw):
        return f"Write {node.raw}, without quotes."
    if node.kind == "number":
        return "Write a whole number."
    if node.kind == "text" and re.fullmatch(r"-?[0-9]+(_[0-9]+)+(\.[0-9]+)?", node.raw):
        return f"Write {node.raw.replace('_', '')}."
    if re.fullmatch(r"[0-9]+(\.[0-9]+)? *%", node.raw):
        return f"Write {float(node.raw.rstrip('% ')) / 100:g}."
    if key.lower().endswith(("timeout", "timeoutms")):
        return "Milliseconds, for example 30000."
    return "Write a number, without quotes."


def report_trap(node: Node, report: Report) -> None:
    """Says of an unquoted `no` where any value may stand that it is a text: elsewhere it would be a boolean."""
    if node.trap:
        meant = "true" if node.raw.lower() in _TRUE else "false"
        message = f"{node.raw!r} is the text {node.raw!r} here and a boolean elsewhere"
        report.warning("yaml-boolean", node.line, node.column, message, f'Write "{node.raw}", or {meant}.')


def report_traps(node: Node, report: Report) -> None:
    """As `report_trap`, of everything inside a value too."""
    report_trap(node, report)
    for inner in [*node.items, *(value for _, value in node.pairs)]:
        report_traps(inner, report)


def to_json(node: Node) -> Any:
    """A tree as plain JSON."""
    if node.kind == "list":
        return [to_json(item) for item in node.items]
    if node.kind == "map":
        return {key.raw: to_json(value) for key, value in node.pairs}
    return node.value
