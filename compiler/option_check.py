"""What a request may hold beside its input: no unknown key, because a misspelt limit would be no limit at all.

The structs of `schemas.commands` ignore what they do not know, so that an event of a later version can be read, and
they take any number, because recorded requests hold such. What is asked for anew is checked here, before it is decoded.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec

from compiler.nearest import did_you_mean
from schemas.base import Problem
from schemas.commands import Budget, Repository, RequestOptions

_INNER: dict[str, type[msgspec.Struct]] = {"options": RequestOptions, "budget": Budget, "repo": Repository}
_LIMITS = ("tokens", "cost_usd", "turns", "wall_ms")


def check_request(
    body: Any, kind: type[msgspec.Struct], options: type[msgspec.Struct] = RequestOptions
) -> list[Problem]:
    """Every key of a request's body that means nothing, and every limit below zero. `kind` is the body's struct,
    `options` that of its options."""
    problems: list[Problem] = []
    _look(body, kind, "", {**_INNER, "options": options}, problems)
    return problems


def check_options(given: Any, kind: type[msgspec.Struct] = RequestOptions) -> list[Problem]:
    """As `check_request`, of the options alone."""
    problems: list[Problem] = []
    _look(given, kind, "options", _INNER, problems)
    return problems


def _look(
    value: Any, kind: type[msgspec.Struct], where: str, inner: dict[str, type[msgspec.Struct]], problems: list[Problem]
) -> None:
    if not isinstance(value, dict):
        return
    fields = cast("dict[str, Any]", value)
    known = [field.encode_name for field in msgspec.structs.fields(kind)]
    for name, item in fields.items():
        place = f"{where}.{name[:100]}" if where else name[:100]
        if name not in known:
            owner = where or "a request"
            hint = did_you_mean(name[:100], known)
            problems.append(Problem(where=place, what=f"{owner} has no field {name[:100]!r}.", hint=hint))
        elif kind is Budget and _is_negative(item) and name in _LIMITS:
            hint = "Leave it out where there is no limit."
            problems.append(Problem(where=place, what=f"{place} is {item}; a limit is not below 0.", hint=hint))
        elif name in inner and name != where.rpartition(".")[2]:
            _look(item, inner[name], place, inner, problems)


def _is_negative(value: Any) -> bool:
    return isinstance(value, int | float) and value < 0
