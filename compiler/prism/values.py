"""The values of a program as Python values, their texts, equality, and JSON.

number float, string str, boolean bool, null None, array list, object dict (both never changed once made), confident
`Confident`, function `Fn` or `Native`. A confident value is flat: it never holds another one.

A whole number that comes from outside and is larger than doubles count exactly (2**53) is an int: it is kept, compared,
written and handed on as it is. Arithmetic takes it where a double is the same number, and otherwise refuses it.
"""

# The values of programs are of any type: looking into a container of them gives values of any type again.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import TYPE_CHECKING, Any, cast

from compiler.prism.errors import LimitHit, PrismError, Raised

if TYPE_CHECKING:
    from compiler.prism.runtime import Runtime

LARGEST_TEXT = 64 * 1024 * 1024
"""Characters of a text that is written for nobody's account."""

EXACT_TO = 2**53
"""Up to here doubles tell whole numbers apart."""

SHORT_NUMBER, NUMBER_TEXT = 8, 16
"""Characters of a number that takes no longer to write than others, and steps that the text of a number takes."""

MAX_NESTING = 700
"""How deep values may nest where they are walked through (texts, comparisons, JSON)."""


class Unset:
    """The value of a variable before its declaration; never a value of the language."""


U = Unset()


class Confident:
    """A value and the confidence in it, from 0 to 1."""

    __slots__ = ("confidence", "value")

    def __init__(self, value: Any, confidence: float) -> None:
        if type(value) is Confident:
            value = value.value
        self.value = value
        self.confidence = confidence

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Confident):
            return NotImplemented
        return self.value == other.value and self.confidence == other.confidence

    def __hash__(self) -> int:
        return hash((str(self.value), self.confidence))

    def __repr__(self) -> str:
        return f"Confident({self.value!r}, {self.confidence!r})"


class Fn:
    """A function of the program. `arity` is -1 when it takes a rest, so that fast calls skip it."""

    __slots__ = ("arity", "code", "is_lambda", "name", "required", "runtime")

    def __init__(
        self, runtime: Runtime, code: Callable[..., Any], required: int, rest: bool, name: str, is_lambda: bool
    ) -> None:
        self.runtime = runtime
        self.code = code
        self.required = required
        self.arity = -1 if rest else required
        self.name = name
        self.is_lambda = is_lambda

    def __call__(self, *args: Any) -> Any:
        """Call it from a host function, with values of the language."""
        return self.runtime.call_back(self, args)


class Native:
    """A function of the language's own, or of the host: `run(runtime, depth, args)`."""

    __slots__ = ("name", "run", "runtime")

    def __init__(
        self, name: str, run: Callable[[Any, int, Sequence[Any]], Any], runtime: Runtime | None = None
    ) -> None:
        self.name = name
        self.run = run
        self.runtime = runtime

    def __call__(self, *args: Any) -> Any:
        """Call it from a host function, with values of the language."""
        if self.runtime is None:
            raise ValueError(f"{self.name} belongs to no running program")
        return self.runtime.call_back(self, args)


def is_callable(value: Any) -> bool:
    """Whether a value, or what it is confident of, is a function."""
    inner = value.value if type(value) is Confident else value
    return type(inner) is Fn or type(inner) is Native


def kind_of(value: Any) -> str:
    """`typeof`: sees through confidence."""
    if type(value) is Confident:
        value = value.value
    return _KINDS.get(type(value), "function")


_KINDS: dict[type, str] = {
    float: "number", int: "number", str: "string", bool: "boolean", type(None): "null", list: "array", dict: "object",
    Fn: "function", Native: "function",
}  # fmt: skip


def truth(value: Any) -> bool:
    """Everything is true but 0, "", false and null; a confident value is as true as what it holds."""
    if type(value) is Confident:
        value = value.value
    if value is None or value is False:
        return False
    kind = type(value)
    if kind is float or kind is str:
        return bool(value)
    return True


# -- texts -----------------------------------------------------------------------------------------------------


def number_text(value: float) -> str:
    """A number as JavaScript prints it: `1e+21`, `1e-7`, `10000000000000000`."""
    text = repr(value)
    if "e" not in text:
        return text.removesuffix(".0") if value else "0"
    mantissa, exponent = text.split("e")
    power = int(exponent)
    if -7 < power < 21:
        sign, digits = ("-", mantissa[1:]) if value < 0 else ("", mantissa)
        digits = digits.replace(".", "")
        if power < 0:
            return f"{sign}0.{'0' * (-power - 1)}{digits}"
        return sign + digits.ljust(power + 1, "0")
    return f"{mantissa}e{'+' if power > 0 else '-'}{abs(power)}"


_ENOUGH = Context(prec=60)


def fixed(value: float, digits: int) -> str:
    """`toFixed`: ties of the exact value go up."""
    exact = f"{value:.{digits + 1}f}"
    if exact[-1] != "5" or float(exact) != value:
        return f"{value:.{digits}f}"
    return str(Decimal(value).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP, context=_ENOUGH))


class Writer:
    """Builds a text with a bound on its size, so that shared structure cannot blow it up.

    With a `runtime` its pieces count as steps, and its size against the memory limit of the run.
    """

    __slots__ = ("left", "parts", "runtime", "work")

    def __init__(self, runtime: Runtime | None = None) -> None:
        self.parts: list[str] = []
        self.runtime = runtime
        self.left = LARGEST_TEXT if runtime is None else runtime.memory_limit
        self.work = 1_000_000

    def add(self, text: str) -> None:
        """One more piece."""
        self.left -= len(text) if text.isascii() else 4 * len(text)
        self.work -= 1
        if self.left < 0 or self.work < 0:
            raise LimitHit("memory_exceeded", "A text grows larger than the memory limit")
        self.parts.append(text)

    def text(self) -> str:
        """The pieces together."""
        return "".join(self.parts)

    def _count(self, steps: int) -> None:
        if self.runtime is not None:
            self.runtime.work(steps)

    def value(self, value: Any, depth: int = 0) -> None:
        """One value, as `+` and interpolation print it."""
        kind = type(value)
        if kind is str:
            self.add(value)
        elif kind is float or kind is int:
            text = number_text(value) if kind is float else str(value)
            if len(text) > SHORT_NUMBER and self.runtime is not None:
                self.runtime.left -= NUMBER_TEXT
            self.add(text)
        elif value is None:
            self.add("null")
        elif kind is bool:
            self.add("true" if value else "false")
        elif kind is Confident:
            self._count(8)
            self.value(value.value, depth)
            self.add(f" (~{fixed(value.confidence * 100, 1)}%)")
        elif depth > MAX_NESTING:
            raise Raised("A value is nested too deeply to be printed", code="nested_value")
        elif kind is list:
            self._array(value, depth)
        elif kind is dict:
            self._object(value, depth)
        else:
            self.add(f"[Function: {value.name}]")

    def _array(self, items: list[Any], depth: int) -> None:
        self._count(9 * len(items))
        self.add("[")
        for i, item in enumerate(items):
            if i:
                self.add(", ")
            self.value(item, depth + 1)
        self.add("]")

    def _object(self, entries: dict[str, Any], depth: int) -> None:
        if not entries:
            self.add("{}")
            return
        self._count(10 * len(entries))
        separator = "{ "
        for key, item in entries.items():
            self.add(f"{separator}{key}: ")
            self.value(item, depth + 1)
            separator = ", "
        self.add(" }")


def text_of(value: Any, runtime: Runtime | None = None) -> str:
    """The text of any value; what writing it costs is counted by `runtime`."""
    kind = type(value)
    if kind is str:
        return value
    if kind is float:
        text = number_text(value)
        if runtime is not None:
            runtime.left -= NUMBER_TEXT if len(text) <= SHORT_NUMBER else 2 * NUMBER_TEXT
        return text
    if runtime is not None:
        runtime.left -= NUMBER_TEXT
    writer = Writer(runtime)
    writer.value(value)
    return writer.text()


# -- equality --------------------------------------------------------------------------------------------------


def same(left: Any, right: Any, charge: Callable[[int], None] | None = None, depth: int = 0) -> bool:
    """Structural, typed equality; inside containers confidence takes part. `charge` counts the work."""
    if left is right:
        return True
    kind = type(left)
    if kind is not type(right):
        return _NUMBERS.issuperset((kind, type(right))) and left == right
    if kind is float or kind is bool or kind is int:
        return left == right
    if kind is str:
        if charge is not None and len(left) > 4096:
            charge(len(left) >> 7)
        return left == right
    if kind is Confident:
        return left.confidence == right.confidence and same(left.value, right.value, charge, depth)
    return _same_inside(left, right, charge, depth)


_NUMBERS = frozenset({float, int})


def _same_inside(left: Any, right: Any, charge: Callable[[int], None] | None, depth: int) -> bool:
    """As `same`, of two containers of one kind; functions are equal to nothing but themselves."""
    kind = type(left)
    if kind is not list and kind is not dict:
        return False
    if depth > MAX_NESTING:
        raise Raised("Values are nested too deeply to be compared", code="nested_value")
    if len(left) != len(right):
        return False
    if charge is not None:
        charge(2 * len(left) + 12)
    if kind is list:
        return all(same(a, b, charge, depth + 1) for a, b in zip(left, right, strict=True))
    return all(key in right and same(item, right[key], charge, depth + 1) for key, item in left.items())


# -- JSON ------------------------------------------------------------------------------------------------------


def to_json(value: Any) -> Any:
    """A value as JSON: whole numbers as int, confidence as `{"$v", "$c"}`, a function as `{"$fn": name}`.

    Raises PrismError (LimitError) when shared structure would grow beyond a million nodes.
    """
    try:
        return _Encoder().encode(value, 0)
    except RecursionError:
        raise _too_large() from None


def _too_large() -> PrismError:
    message = "A value is too large or too deep to leave the program"
    return PrismError("LimitError", message, code="memory_exceeded")


class _Encoder:
    def __init__(self) -> None:
        self.left = 1_000_000

    def encode(self, value: Any, depth: int) -> Any:
        self.left -= 1
        if self.left < 0 or depth > MAX_NESTING:
            raise _too_large()
        kind = type(value)
        if kind is float:
            return int(value) if value.is_integer() and abs(value) < 2**53 else value
        if kind is list:
            return [self.encode(item, depth + 1) for item in value]
        if kind is dict:
            return {key: self.encode(item, depth + 1) for key, item in value.items()}
        if kind is Confident:
            return {"$v": self.encode(value.value, depth + 1), "$c": value.confidence}
        if kind is Fn or kind is Native:
            return {"$fn": value.name}
        return value


def from_json(data: Any, depth: int = 0) -> Any:
    """A JSON-like Python value as a value of the language: numbers become floats, `{"$v", "$c"}` a confident value.

    Values of the language pass through. Raises ValueError for anything that has no place in it.
    """
    kind = type(data)
    if kind is str or data is None or kind is bool or kind is Fn or kind is Native:
        return data
    if kind is float or kind is int:
        return data if kind is int and abs(data) > EXACT_TO else _number(data)
    if depth > MAX_NESTING:
        raise ValueError("the value is nested too deeply")
    if isinstance(data, Confident):
        return Confident(from_json(data.value, depth + 1), min(1.0, max(0.0, _number(data.confidence))))
    if isinstance(data, Mapping):
        entries = cast("Mapping[Any, Any]", data)
        if len(entries) == 2 and "$v" in entries and "$c" in entries:
            return Confident(from_json(entries["$v"], depth + 1), min(1.0, max(0.0, _number(entries["$c"]))))
        return {str(key): from_json(item, depth + 1) for key, item in entries.items()}
    if isinstance(data, list | tuple):
        return [from_json(item, depth + 1) for item in cast("Sequence[Any]", data)]
    if isinstance(data, str):
        return str(data)
    raise ValueError(f"a {kind.__name__} is no value of the language")


def _number(data: Any) -> float:
    try:
        value = float(data)
    except (OverflowError, TypeError, ValueError):
        raise ValueError("the number has no place in the language") from None
    if not math.isfinite(value):
        raise ValueError("numbers must be finite")
    return value + 0.0
