"""Members, indexes, iteration, spreading and taking apart. All of them read through a confident container."""

# The values of programs are of any type: looking into a container of them gives values of any type again.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from compiler.prism.errors import Raised
from compiler.prism.methods import METHODS, method
from compiler.prism.operators import bare, score
from compiler.prism.runtime import ITEM, Runtime
from compiler.prism.values import Confident, U, kind_of, number_text, same


def times(value: Any, factor: float) -> Any:
    """A value read through a container of that confidence."""
    if type(value) is Confident:
        return Confident(value.value, value.confidence * factor)
    return Confident(value, factor)


def _plain_member(value: Any, name: str) -> Any:
    """The member, or U when there is none."""
    kind = type(value)
    if kind is dict:
        return value.get(name, U)
    if kind is list:
        if name == "length":
            return float(len(value))
        return method(value, name) if name in METHODS else U
    if kind is str and name == "length":
        return float(len(value))
    return U


def member(runtime: Runtime, value: Any, name: str) -> Any:
    """`value.name`."""
    if type(value) is Confident:
        runtime.left -= 2
        return times(member(runtime, value.value, name), value.confidence)
    if type(value) is dict:
        found = value.get(name, U)
    else:
        runtime.left -= 3
        found = _plain_member(value, name)
    if found is U:
        runtime.left -= 8
        kind = kind_of(value)
        if kind in ("object", "array", "string"):
            hint = "use ?. for a member that may be missing" if kind == "object" else ""
            raise Raised(f"Property '{name}' does not exist", code="missing_property", hint=hint)
        raise Raised(f"Cannot access property '{name}' on {kind}", code="missing_property")
    return found


def optional(runtime: Runtime, value: Any, name: str) -> Any:
    """`value?.name`: null where there is nothing."""
    runtime.left -= 3
    inner = bare(value)
    found = _plain_member(inner, name)
    if found is U:
        return None
    return times(found, value.confidence) if type(value) is Confident else found


def careful(runtime: Runtime, value: Any, name: str) -> Any:
    """`value~.name`: always confident; missing is null."""
    runtime.left -= 4
    inner = bare(value)
    if inner is None:
        return Confident(None, score(value))
    found = _plain_member(inner, name)
    if found is U:
        if kind_of(inner) not in ("object", "array", "string"):
            raise Raised(f"Cannot access property '{name}' on {kind_of(inner)}", code="missing_property")
        found = None
    return times(found, score(value))


def index(runtime: Runtime, value: Any, key: Any) -> Any:
    """`value[key]`."""
    if type(value) is Confident or type(key) is Confident:
        runtime.left -= 7
        return times(index(runtime, bare(value), bare(key)), score(value) * score(key))
    if type(value) is list:
        if type(key) is not float:
            raise Raised("Array index must be a number", code="wrong_index")
        if not key.is_integer():
            raise Raised(f"Array index must be an integer, not {number_text(key)}", code="wrong_index")
        if not 0 <= key < len(value):
            raise Raised(f"Array index {number_text(key)} out of bounds", code="wrong_index")
        return value[int(key)]
    if type(value) is dict:
        if type(key) is not str:
            raise Raised("Object index must be a string", code="wrong_index")
        runtime.left -= len(key) >> 10
        return value.get(key)
    raise Raised(f"Cannot index {kind_of(value)}", code="wrong_index")


def iterate(runtime: Runtime, value: Any) -> list[Any]:
    """What `for ... in` goes through."""
    inner = bare(value)
    if type(inner) is not list:
        raise Raised("for...in loop requires an array", hint="keys(), values() and entries() make arrays of objects")
    if type(value) is Confident:
        runtime.work(len(inner) * 4)
        runtime.charge(128 * len(inner))
        return [times(item, value.confidence) for item in inner]
    runtime.left -= 2
    return inner


def numbered(items: list[Any]) -> Iterator[tuple[float, Any]]:
    """Index and element."""
    for i, item in enumerate(items):
        yield float(i), item


def spread(runtime: Runtime, value: Any) -> list[Any]:
    """`...value` in an array or a call; the container's confidence is dropped. Counts what taking it up costs."""
    inner = bare(value)
    if type(inner) is not list:
        raise Raised(f"Cannot spread non-array value: {kind_of(inner)}")
    runtime.left -= 3
    runtime.charge(ITEM * len(inner))
    return inner


def entries(runtime: Runtime, value: Any) -> dict[str, Any]:
    """`...value` in an object. Counts what taking it up costs."""
    inner = bare(value)
    if type(inner) is not dict:
        raise Raised(f"Cannot spread non-object value: {kind_of(inner)}")
    runtime.left -= 1 + (len(inner) >> 1)
    runtime.charge(2 * ITEM * len(inner))
    return inner


# -- taking apart ----------------------------------------------------------------------------------------------


def parts(runtime: Runtime, value: Any, count: float) -> list[Any]:
    """The elements of an array, at least `count` of them."""
    taken = bare(value)
    if type(taken) is not list:
        raise Raised("Cannot destructure non-array value", code="cannot_destructure")
    if type(value) is Confident:
        runtime.work(len(taken) * 4)
        runtime.charge(2 * ITEM * len(taken))
        taken = [times(item, value.confidence) for item in taken]
    missing = int(count) - len(taken)
    return taken + [None] * missing if missing > 0 else taken


def fields(runtime: Runtime, value: Any) -> dict[str, Any]:
    """The entries of an object."""
    inner = bare(value)
    if type(inner) is not dict:
        raise Raised("Cannot destructure non-object value", code="cannot_destructure")
    if type(value) is Confident:
        runtime.work(len(inner) * 4)
        runtime.charge(3 * ITEM * len(inner))
        return {key: times(item, value.confidence) for key, item in inner.items()}
    return inner


def field(taken: dict[str, Any], key: str) -> Any:
    """One entry, or null."""
    return taken.get(key)


def has(taken: dict[str, Any], key: str) -> bool:
    """Whether the key is there."""
    return key in taken


def level(value: Any) -> float:
    """A threshold."""
    inner = bare(value)
    if type(inner) is not float:
        raise Raised("Confidence threshold must be a number", code="wrong_operands")
    return inner


def above(value: Any, threshold: Any) -> Any:
    """The value, or null when it is less sure than the threshold."""
    return value if score(value) >= level(threshold) else None


def enough(value: Any, threshold: Any) -> bool:
    """Whether a value is sure enough."""
    return score(value) >= level(threshold)


def rest(runtime: Runtime, taken: list[Any], count: float, threshold: float | None) -> list[Any]:
    """The elements after the first `count` that are sure enough."""
    left = taken[int(count) :]
    runtime.work(len(left) >> 3 if threshold is None else len(left))
    runtime.charge(8 * len(left))
    return left if threshold is None else [item for item in left if score(item) >= threshold]


def others(runtime: Runtime, taken: dict[str, Any], keys: tuple[str, ...], threshold: float | None) -> dict[str, Any]:
    """The entries not named that are sure enough."""
    runtime.work(len(taken) * (3 + (len(keys) >> 2)))
    runtime.charge(128 * len(taken))
    return {
        key: item for key, item in taken.items() if key not in keys and (threshold is None or score(item) >= threshold)
    }


def match_array(runtime: Runtime, value: Any, count: float, has_rest: bool) -> list[Any] | None:
    """The elements when the array has the right length."""
    inner = bare(value)
    if type(inner) is not list or (len(inner) < count if has_rest else len(inner) != count):
        return None
    return parts(runtime, value, 0)


def match_object(runtime: Runtime, value: Any, keys: tuple[str, ...]) -> dict[str, Any] | None:
    """The entries when all keys are there."""
    inner = bare(value)
    if type(inner) is not dict:
        return None
    for key in keys:
        if key not in inner:
            return None
    return fields(runtime, value)


def matches(value: Any, literal: Any) -> bool:
    """Whether a literal of a match fits."""
    return same(bare(value), literal)
