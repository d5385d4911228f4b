"""The functions every program has. All are pure; those that take a function call back once for each element."""

# The values of programs are of any type: looking into a container of them gives values of any type again.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from compiler.prism.access import times
from compiler.prism.arguments import array_of, count, keep, lift, own_or, whole, wrong
from compiler.prism.combining import aggregate, confidence, consensus, threshold
from compiler.prism.methods import Args, Run, caller, filter_items, map_items, misuse, need_function, reduce_items
from compiler.prism.operators import bare
from compiler.prism.sorting import group_by, sort, sort_by
from compiler.prism.values import Confident, Native, fixed, kind_of, same, text_of, truth

if TYPE_CHECKING:
    from compiler.prism.runtime import Runtime


def _map(runtime: Runtime, depth: int, args: Args) -> Any:
    if len(args) != 2:
        raise misuse("map() requires exactly 2 arguments: array and function")
    items = array_of(args[0], "First argument to map() must be an array")
    need_function(args[1], "Second argument to map() must be a function")
    return keep(args[0], map_items(runtime, depth, items, args[1]))


def _filter(runtime: Runtime, depth: int, args: Args) -> Any:
    if len(args) != 2:
        raise misuse("filter() requires exactly 2 arguments: array and predicate")
    items = array_of(args[0], "First argument to filter() must be an array")
    need_function(args[1], "Second argument to filter() must be a function")
    return keep(args[0], filter_items(runtime, depth, items, args[1]))


def _reduce(runtime: Runtime, depth: int, args: Args) -> Any:
    if len(args) not in (2, 3):
        raise misuse("reduce() requires 2 or 3 arguments: array, reducer and optional initial value")
    items = array_of(args[0], "First argument to reduce() must be an array")
    need_function(args[1], "Second argument to reduce() must be a function")
    return own_or(args[0], reduce_items(runtime, depth, items, args[1], args[2:]))


def _extreme(name: str, wins: Callable[[float, float], bool]) -> Run:
    def run(runtime: Runtime, _depth: int, args: Args) -> Any:
        if not args:
            raise misuse(f"{name}() requires at least one argument")
        runtime.work(2 * len(args))
        best = args[0]
        for value in args:
            if type(bare(value)) is not float:
                raise misuse(f"{name}() requires all arguments to be numbers", "spread an array: " + name + "(...xs)")
            if wins(bare(value), bare(best)):
                best = value
        return best

    return run


def _print(runtime: Runtime, _depth: int, args: Args) -> Any:
    texts = [
        f"{text_of(value.value, runtime)} ~> {fixed(value.confidence, 2)}"
        if type(value) is Confident
        else text_of(value, runtime)
        for value in args
    ]
    text = " ".join(texts)
    runtime.work(len(text) >> 4)
    runtime.print(text)


# -- the pure builtins people expect ---------------------------------------------------------------------------


def _slice(runtime: Runtime, value: Any, start: Any, end: Any = None) -> Any:
    first = whole("slice", start)
    last = len(value) if end is None else whole("slice", end)
    made = value[first if first >= 0 else max(0, len(value) + first) : last if last >= 0 else max(0, len(value) + last)]
    runtime.charge(64 * len(made))
    return made


def _concat(runtime: Runtime, _depth: int, args: Args) -> Any:
    runtime.left -= 4 + 2 * len(args)
    inner = [bare(arg) for arg in args]
    if inner and all(type(value) is str for value in inner):
        runtime.charge(4 * sum(map(len, inner)))
        made: Any = "".join(inner)
    else:
        made = []
        for value in inner:
            if type(value) is not list:
                raise wrong("concat", "arrays or strings", value)
            runtime.charge(64 * len(value))
            made.extend(value)
    sure = [arg.confidence for arg in args if type(arg) is Confident]
    return Confident(made, min(sure)) if sure else made


def _includes(runtime: Runtime, value: Any, wanted: Any) -> bool:
    if type(value) is str:
        if type(wanted) is not str:
            raise wrong("includes", "a string to look for in a string", wanted)
        runtime.scan(3 * len(value))
        return wanted in value
    runtime.work(4 * len(value))
    return any(same(bare(item), wanted, runtime.work) for item in value)


def _search(name: str, give: Callable[[list[Any], Callable[[Any], bool]], Any]) -> Run:
    def run(runtime: Runtime, depth: int, args: Args) -> Any:
        count(name, args)
        runtime.left -= 5
        items = array_of(args[0], f"First argument to {name}() must be an array")
        need_function(args[1], f"Second argument to {name}() must be a function")
        back = caller(runtime, depth, args[1])
        result = give(items, lambda item: truth(back(item)))
        if type(args[0]) is not Confident:
            return result
        return times(result, args[0].confidence) if name == "find" else Confident(result, args[0].confidence)

    return run


def _range(runtime: Runtime, start: Any, end: Any = None, step: Any = 1.0) -> list[float]:
    first, last = (0, whole("range", start)) if end is None else (whole("range", start), whole("range", end))
    by = whole("range", step)
    if by == 0:
        raise misuse("range() step must not be 0")
    numbers = range(first, last, by)
    size = max(0, (last - first + by - (1 if by > 0 else -1)) // by)
    runtime.charge(64 * size)
    runtime.work(size)
    return [float(number) for number in numbers]


def _round(runtime: Runtime, value: float, digits: Any = 0.0) -> float:
    places = whole("round", digits)
    if not 0 <= places <= 20:
        raise misuse("round() digits must be between 0 and 20")
    if abs(value) >= 1e21:
        return value
    if places == 0:
        below = math.floor(value)
        return float(below + (value - below >= 0.5)) + 0.0
    runtime.left -= 40
    return float(fixed(value, places)) + 0.0


def _copied(runtime: Runtime, items: list[Any]) -> list[Any]:
    runtime.work(len(items) >> 1)
    runtime.charge(64 * len(items))
    return items


def _entries(runtime: Runtime, value: dict[str, Any]) -> list[Any]:
    runtime.work(2 * len(value))
    runtime.charge(256 * len(value))
    return [[key, item] for key, item in value.items()]


def _text_work(change: Callable[[str], str]) -> Callable[[Runtime, str], str]:
    """A change of a whole text, paid for by its length."""

    def run(runtime: Runtime, value: str) -> str:
        if value.isascii():
            runtime.scan(2 * len(value))
            runtime.charge(len(value))
        else:
            runtime.work(len(value) >> 2)
            runtime.charge(8 * len(value))
        return change(value)

    return run


def _sqrt(_runtime: Runtime, value: float) -> float:
    if value < 0:
        raise misuse("sqrt() requires a number that is not negative")
    return math.sqrt(value)


def _split(runtime: Runtime, value: str, separator: Any) -> list[str]:
    if type(separator) is not str:
        raise wrong("split", "a string separator", separator)
    runtime.scan(len(value) * 4)
    runtime.charge((64 if value.isascii() else 128) * (value.count(separator) + 1) + len(value))
    return value.split(separator) if separator else list(value)


def _total(name: str) -> Run:
    def run(runtime: Runtime, _depth: int, args: Args) -> Any:
        count(name, args)
        items = array_of(args[0], f"{name}() requires an array, got {kind_of(args[0])}")
        runtime.work(len(items) * 2)
        if any(type(bare(item)) is not float for item in items):
            raise misuse(f"{name}() requires an array of numbers")
        if not items and name == "average":
            raise misuse("average() requires at least one value")
        result = 0.0
        for item in items:
            result += bare(item)
        if not math.isfinite(result):
            raise misuse(f"The result of {name}() is not a finite number")
        sure = [value.confidence for value in (args[0], *items) if type(value) is Confident]
        result = result / len(items) if name == "average" else result
        return Confident(result, min(sure)) if sure else result

    return run


_RUNS: dict[str, Run] = {
    "map": _map, "filter": _filter, "reduce": _reduce, "print": _print, "confidence": confidence,
    "max": _extreme("max", lambda a, b: a > b), "min": _extreme("min", lambda a, b: a < b), "threshold": threshold,
    "consensus": consensus, "aggregate": aggregate, "sortBy": sort_by, "groupBy": group_by,
    "len": lift("len", (list, str, dict), "an array, a string or an object", lambda _r, value: float(len(value))),
    "slice": lift("slice", (list, str), "an array or a string", _slice), "concat": _concat,
    "includes": lift("includes", (list, str), "an array or a string", _includes),
    "some": _search("some", lambda items, test: any(test(item) for item in items)),
    "every": _search("every", lambda items, test: all(test(item) for item in items)),
    "find": _search("find", lambda items, test: next((item for item in items if test(item)), None)),
    "sort": sort, "range": lift("range", (float,), "numbers", _range),
    "keys": lift("keys", (dict,), "an object", lambda runtime, value: _copied(runtime, list(value))),
    "values": lift("values", (dict,), "an object", lambda runtime, value: _copied(runtime, list(value.values()))),
    "entries": lift("entries", (dict,), "an object", _entries),
    "round": lift("round", (float,), "a number", _round),
    "abs": lift("abs", (float,), "a number", lambda _r, value: abs(value)),
    "floor": lift("floor", (float,), "a number", lambda _r, value: float(math.floor(value)) + 0.0),
    "sqrt": lift("sqrt", (float,), "a number", _sqrt),
    "upper": lift("upper", (str,), "a string", _text_work(str.upper)),
    "lower": lift("lower", (str,), "a string", _text_work(str.lower)),
    "split": lift("split", (str,), "a string", _split),
    "trim": lift("trim", (str,), "a string", _text_work(str.strip)),
    "average": _total("average"), "sum": _total("sum"),
}  # fmt: skip

BUILTINS: dict[str, Native] = {name: Native(name, run) for name, run in _RUNS.items()}
