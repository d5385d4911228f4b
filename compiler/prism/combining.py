"""Builtins that look at the confidence of values: attaching, filtering and combining it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from compiler.prism.arguments import array_of, keep
from compiler.prism.methods import Args, caller, misuse, need_function
from compiler.prism.operators import bare, score
from compiler.prism.values import Confident, Native

if TYPE_CHECKING:
    from compiler.prism.runtime import Runtime


def confidence(runtime: Runtime, _depth: int, args: Args) -> Any:
    if len(args) != 1:
        raise misuse("confidence() requires exactly 1 argument: threshold")
    level = bare(args[0])
    if type(level) is not float:
        raise misuse("confidence() threshold must be a number")
    if not 0 <= level <= 1:
        raise misuse("confidence() threshold must be between 0 and 1")

    def wrap(_runtime: Runtime, _depth: int, functions: Args) -> Any:
        if len(functions) != 1:
            raise misuse("confidence() wrapper requires exactly 1 argument: function")
        need_function(functions[0], "confidence() wrapper requires a function")

        def wrapped(runtime: Runtime, depth: int, args: Args) -> Any:
            runtime.left -= 4
            return Confident(bare(runtime.call(depth + 1, functions[0], args)), level)

        return Native("confident", wrapped, runtime)

    return Native("confidence", wrap, runtime)


def threshold(runtime: Runtime, _depth: int, args: Args) -> Any:
    level = bare(args[0]) if len(args) == 1 else None
    if type(level) is not float:
        raise misuse("threshold() requires a number")

    def sure(runtime: Runtime, value: Any) -> bool:
        if type(value) is dict:
            runtime.work(2 * len(cast("dict[str, Any]", value)))
            return all(score(item) >= level for item in cast("dict[str, Any]", value).values())
        return score(value) >= level

    def run(runtime: Runtime, _depth: int, arrays: Args) -> Any:
        items = array_of(arrays[0] if len(arrays) == 1 else None, "threshold() expects an array")
        runtime.work(len(items) * 4)
        return keep(arrays[0], [item for item in items if sure(runtime, item)])

    return Native("threshold", run, runtime)


def _options(args: Args, name: str) -> dict[str, Any]:
    if len(args) < 2:
        return {}
    options = bare(args[1])
    if type(options) is not dict:
        raise misuse(f"{name}() options must be an object")
    return cast("dict[str, Any]", options)


def consensus(runtime: Runtime, _depth: int, args: Args) -> Any:
    if len(args) not in (1, 2):
        raise misuse("consensus() expects an array of values")
    items = array_of(args[0], "consensus() expects an array of values")
    if not items:
        raise misuse("consensus() requires at least one value")
    strategy = bare(_options(args, "consensus").get("strategy", "max"))
    if strategy not in ("max", "min"):
        raise misuse('consensus() strategy must be "min" or "max"')
    runtime.work(len(items) * 2)
    best = items[0]
    for item in items[1:]:
        if score(item) > score(best) if strategy == "max" else score(item) < score(best):
            best = item
    return best


_COMBINE: dict[str, Callable[[list[float]], float]] = {
    "average": lambda scores: math.fsum(scores) / len(scores),
    "min": min,
    "max": max,
    "product": math.prod,
}


def aggregate(runtime: Runtime, depth: int, args: Args) -> Any:
    if len(args) not in (1, 2):
        raise misuse("aggregate() expects an array of values")
    items = array_of(args[0], "aggregate() expects an array of values")
    options = _options(args, "aggregate")
    strategy = bare(options.get("strategy", "average"))
    if type(strategy) is not str or strategy not in _COMBINE:
        raise misuse('aggregate() strategy must be "average", "min", "max" or "product"')
    runtime.work(len(items) * 4)
    level = _COMBINE[strategy]([score(item) for item in items]) if items else 1.0
    result: Any = [bare(item) for item in items]
    combine = options.get("combine")
    if combine is not None:
        need_function(combine, "aggregate() combine must be a function")
        result = bare(caller(runtime, depth, combine)(result))
    return Confident(result, level)
