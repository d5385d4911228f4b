"""The methods of arrays, and the array functions they share with the builtins of the same name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from compiler.prism.errors import Raised
from compiler.prism.operators import bare
from compiler.prism.values import NUMBER_TEXT, Fn, Native, Writer, is_callable, truth

if TYPE_CHECKING:
    from compiler.prism.runtime import Runtime

Args = Sequence[Any]
Run = Callable[["Runtime", int, Args], Any]
Method = Callable[["Runtime", int, list[Any], Args], Any]


def misuse(message: str, hint: str = "") -> Raised:
    """An argument of the wrong number or kind."""
    return Raised(message, code="wrong_arguments", hint=hint)


def need_function(value: Any, message: str) -> None:
    """Refuse what cannot be called."""
    if not is_callable(value):
        raise misuse(message)


CALLBACK = 6
"""Steps of calling back, beside those of the function called."""


def caller(runtime: Runtime, depth: int, function: Any) -> Callable[..., Any]:
    """How to call back once for each element; counts what that costs."""

    def run(*args: Any) -> Any:
        runtime.left -= CALLBACK
        if runtime.left < 0:
            runtime.tick()
        return runtime.call(depth + 1, function, args)

    return run


def map_items(runtime: Runtime, depth: int, items: list[Any], function: Any) -> list[Any]:
    """`map`."""
    runtime.charge(64 * len(items))
    back = caller(runtime, depth, function)
    made: list[Any] = []
    for item in items:
        made.append(back(item))  # noqa: PERF401 - a half-built list must be visible to the memory census
    return made


def filter_items(runtime: Runtime, depth: int, items: list[Any], function: Any) -> list[Any]:
    """`filter`."""
    runtime.charge(64 * len(items))
    back = caller(runtime, depth, function)
    return [item for item in items if truth(back(item))]


def reduce_items(runtime: Runtime, depth: int, items: list[Any], function: Any, start: Args) -> Any:
    """`reduce`; a reducer of three parameters is given the index too."""
    if not items and not start:
        raise misuse("reduce() of empty array with no initial value", "give it one: reduce(xs, f, 0)")
    runtime.left -= 4
    inner = bare(function)
    with_index = type(inner) is Fn and inner.required == 3 and inner.arity == 3
    back = caller(runtime, depth, function)
    first = 0 if start else 1
    result = start[0] if start else items[0]
    for i in range(first, len(items)):
        result = back(result, items[i], float(i)) if with_index else back(result, items[i])
    return result


def _map(runtime: Runtime, depth: int, items: list[Any], args: Args) -> Any:
    if len(args) != 1:
        raise misuse("Array.map() requires exactly 1 argument: function")
    need_function(args[0], "Argument to map() must be a function")
    return map_items(runtime, depth, items, args[0])


def _filter(runtime: Runtime, depth: int, items: list[Any], args: Args) -> Any:
    if len(args) != 1:
        raise misuse("Array.filter() requires exactly 1 argument: predicate function")
    need_function(args[0], "Argument to filter() must be a function")
    return filter_items(runtime, depth, items, args[0])


def _reduce(runtime: Runtime, depth: int, items: list[Any], args: Args) -> Any:
    if len(args) not in (1, 2):
        raise misuse("Array.reduce() requires 1 or 2 arguments: reducer function and optional initial value")
    need_function(args[0], "First argument to reduce() must be a function")
    return reduce_items(runtime, depth, items, args[0], args[1:])


def _push(runtime: Runtime, _depth: int, items: list[Any], args: Args) -> Any:
    if not args:
        raise misuse("Array.push() requires at least 1 argument")
    runtime.charge(64 * (len(items) + len(args)))
    return [*items, *args]


def _for_each(runtime: Runtime, depth: int, items: list[Any], args: Args) -> Any:
    if len(args) != 1:
        raise misuse("Array.forEach() requires exactly 1 argument: function")
    need_function(args[0], "Argument to forEach() must be a function")
    inner = bare(args[0])
    with_index = type(inner) is Fn and inner.required == 2 and inner.arity == 2
    back = caller(runtime, depth, args[0])
    for i, item in enumerate(items):
        if with_index:
            back(item, float(i))
        else:
            back(item)


def _join(runtime: Runtime, _depth: int, items: list[Any], args: Args) -> Any:
    if len(args) > 1:
        raise misuse("Array.join() takes at most 1 argument: separator")
    separator = bare(args[0]) if args else ","
    if type(separator) is not str:
        raise misuse("Array.join() separator must be a string")
    runtime.work(3 * len(items))
    runtime.charge(len(separator) * len(items) * (1 if separator.isascii() else 4))
    writer = Writer(runtime)
    for i, item in enumerate(items):
        if i and separator:
            writer.add(separator)
        if type(item) is str:
            writer.add(item)
        elif item is not None:
            runtime.left -= NUMBER_TEXT
            writer.value(item)
    text = writer.text()
    runtime.charge(len(text) if text.isascii() else 4 * len(text))
    return text


METHODS: dict[str, Method] = {
    "map": _map, "filter": _filter, "reduce": _reduce, "push": _push, "forEach": _for_each, "join": _join,
}  # fmt: skip


def method(items: list[Any], name: str) -> Native:
    """The method of an array as a value."""
    run = METHODS[name]
    return Native(name, lambda runtime, depth, args: run(runtime, depth, items, args))
