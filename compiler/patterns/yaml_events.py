"""The one door to the YAML parser: its untyped events come out as typed ones, its errors as one exception."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, cast

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from schemas.base import Model

Kind = Literal["document", "scalar", "alias", "list", "map", "end", "other"]

_KINDS: dict[str, Kind] = {
    "DocumentStartEvent": "document",
    "ScalarEvent": "scalar",
    "AliasEvent": "alias",
    "SequenceStartEvent": "list",
    "MappingStartEvent": "map",
    "SequenceEndEvent": "end",
    "MappingEndEvent": "end",
}


class YamlEvent(Model, frozen=True, kw_only=True):
    """One event of the parser. Lines and columns count from 1; `end` ends a list or a map."""

    kind: Kind
    line: int
    column: int
    value: str = ""
    style: str = ""
    tag: str = ""
    anchor: str = ""


class YamlSyntaxError(Exception):
    """The text is not YAML. Line and column count from 1; 0 where the parser does not say."""

    def __init__(self, problem: str, context: str = "", line: int = 0, column: int = 0) -> None:
        super().__init__(problem)
        self.problem = problem
        self.context = context
        self.line = line
        self.column = column


def yaml_events(text: str) -> Iterator[YamlEvent]:
    """The events of a text, as the parser comes to them. Raises `YamlSyntaxError`."""
    try:
        for event in cast("Iterator[Any]", cast("Any", YAML(typ="safe", pure=True)).parse(text)):
            mark = event.start_mark
            yield YamlEvent(
                kind=_KINDS.get(type(event).__name__, "other"),
                line=int(mark.line) + 1,
                column=int(mark.column) + 1,
                value=_text(event, "value"),
                style=_text(event, "style"),
                tag=_text(event, "tag"),
                anchor=_text(event, "anchor"),
            )
    except MarkedYAMLError as error:
        raise _marked(cast("Any", error)) from error
    except (YAMLError, RecursionError, ValueError) as error:
        first = str(error).splitlines()[0] if str(error) else "it is nested too deeply"
        at: Any = getattr(error, "position", None)
        if not isinstance(at, int):
            raise YamlSyntaxError(first) from error
        line, begins = text.count("\n", 0, at) + 1, text.rfind("\n", 0, at) + 1
        raise YamlSyntaxError(first, "", line, at - begins + 1) from error


def _marked(error: Any) -> YamlSyntaxError:
    mark = error.problem_mark or error.context_mark
    line, column = (int(mark.line) + 1, int(mark.column) + 1) if mark is not None else (0, 0)
    problem = " ".join(str(error.problem or "it cannot be read").split())
    return YamlSyntaxError(problem, " ".join(str(error.context or "").split()), line, column)


def _text(event: Any, name: str) -> str:
    value = getattr(event, name, None)
    return "" if value is None else str(value)
