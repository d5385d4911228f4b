"""Builtins that order and group."""

from __future__ import annotations

from functools import cmp_to_key
from typing import TYPE_CHECKING, Any, cast

from compiler.prism.arguments import array_of, count, keep
from compiler.prism.methods import Args, caller, misuse, need_function
from compiler.prism.operators import bare
from compiler.prism.values import Native, is_callable, text_of

if TYPE_CHECKING:
    from compiler.prism.runtime import Runtime


def _key_of(item: Any, key: str) -> Any:
    inner = bare(item)
    return bare(cast("dict[str, Any]", inner).get(key)) if type(inner) is dict else None


def _place(value: Any) -> int:
    return 0 if type(value) in (float, int) else 1 if isinstance(value, str) else 2 if isinstance(value, bool) else 3


def _rank(left: Any, right: Any) -> int:
    """Order of two keys: numbers, then strings by code point; null and everything else last, as they came."""
    first, second = _place(left), _place(right)
    if first != second:
        return first - second
    if first == 3 or left == right:
        return 0
    return -1 if left < right else 1


def sort_by(runtime: Runtime, _depth: int, args: Args) -> Any:
    key = bare(args[0]) if args else None
    if len(args) not in (1, 2) or type(key) is not str:
        raise misuse("sortBy() requires a string key")
    if len(args) == 2 and type(bare(args[1])) is not str:
        raise misuse('sortBy() direction must be "asc" or "desc"')
    descending = len(args) == 2 and bare(args[1]) != "asc"

    def run(runtime: Runtime, _depth: int, arrays: Args) -> Any:
        items = array_of(arrays[0] if len(arrays) == 1 else None, "sortBy() expects an array")
        runtime.work(len(items) * (4 + 3 * len(items).bit_length()))
        runtime.charge(128 * len(items))
        keyed = [(_key_of(item, key), item) for item in items]

        def compare(left: tuple[Any, Any], right: tuple[Any, Any]) -> int:
            return _rank(right[0], left[0]) if descending else _rank(left[0], right[0])

        return [item for _, item in sorted(keyed, key=cmp_to_key(compare))]

    return Native("sortBy", run, runtime)


def group_by(runtime: Runtime, _depth: int, args: Args) -> Any:
    key = bare(args[0]) if len(args) == 1 else None
    if not (type(key) is str or is_callable(key)):
        raise misuse("groupBy() requires a string key or function")

    def run(runtime: Runtime, depth: int, arrays: Args) -> Any:
        items = array_of(arrays[0] if len(arrays) == 1 else None, "groupBy() expects an array")
        runtime.charge(128 * len(items))
        back = caller(runtime, depth, key)
        groups: dict[str, list[Any]] = {}
        for item in items:
            name = _key_of(item, key) if type(key) is str else bare(back(item))
            text = text_of(name, runtime)
            runtime.work(len(text) >> 7)
            groups.setdefault(text, []).append(item)
        return groups

    return Native("groupBy", run, runtime)


def sort(runtime: Runtime, depth: int, args: Args) -> Any:
    count("sort", args)
    items = array_of(args[0], "First argument to sort() must be an array")
    runtime.work(len(items) * (4 + len(items).bit_length()))
    runtime.charge(64 * len(items))
    if len(args) == 2:
        need_function(args[1], "Second argument to sort() must be a function")
        back = caller(runtime, depth, args[1])

        def order(left: Any, right: Any) -> int:
            result = bare(back(left, right))
            if type(result) is not float and type(result) is not int:
                raise misuse("sort() needs a function that returns a number")
            return (result > 0) - (result < 0)

        return keep(args[0], sorted(items, key=cmp_to_key(order)))
    kinds: set[type[Any]] = {type(bare(item)) for item in items}
    if not (kinds <= {float, int} or kinds <= {str}):
        raise misuse(
            "sort() without a function requires all numbers or all strings", "sort(xs, (a, b) => a.key - b.key)"
        )
    return keep(args[0], sorted(items, key=bare))
