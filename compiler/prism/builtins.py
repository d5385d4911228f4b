"""The functions every program has. All are pure; those that take a function call back once for each element."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal
from functools import cmp_to_key
from typing import TYPE_CHECKING, Any

from compiler.prism.access import times
from compiler.prism.builtin_names import BUILTIN_ARITIES
from compiler.prism.methods import Args, Run, caller, filter_items, map_items, misuse, need_function, reduce_items
from compiler.prism.operators import bare, score
from compiler.prism.values import Confident, Native, fixed, is_callable, kind_of, same, text_of, truth

if TYPE_CHECKING:
    from compiler.prism.runtime import Runtime


def _array_of(value: Any, message: str) -> list[Any]:
    inner = bare(value)
    if type(inner) is not list:
        raise misuse(message)
    return inner


def _keep(value: Any, result: Any) -> Any:
    """A result with the confidence of what it was made from."""
    return Confident(result, value.confidence) if type(value) is Confident else result


def _own_or(value: Any, result: Any) -> Any:
    """A result with its own confidence, or that of what it was made from."""
    return result if type(result) is Confident else _keep(value, result)


def _map(runtime: Runtime, depth: int, args: Args) -> Any:
    if len(args) != 2:
        raise misuse("map() requires exactly 2 arguments: array and function")
    items = _array_of(args[0], "First argument to map() must be an array")
    need_function(args[1], "Second argument to map() must be a function")
    return _keep(args[0], map_items(runtime, depth, items, args[1]))


def _filter(runtime: Runtime, depth: int, args: Args) -> Any:
    if len(args) != 2:
        raise misuse("filter() requires exactly 2 arguments: array and predicate")
    items = _array_of(args[0], "First argument to filter() must be an array")
    need_function(args[1], "Second argument to filter() must be a function")
    return _keep(args[0], filter_items(runtime, depth, items, args[1]))


def _reduce(runtime: Runtime, depth: int, args: Args) -> Any:
    if len(args) not in (2, 3):
        raise misuse("reduce() requires 2 or 3 arguments: array, reducer and optional initial value")
    items = _array_of(args[0], "First argument to reduce() must be an array")
    need_function(args[1], "Second argument to reduce() must be a function")
    return _own_or(args[0], reduce_items(runtime, depth, items, args[1], args[2:]))


def _extreme(name: str, wins: Callable[[float, float], bool]) -> Run:
    def run(_runtime: Runtime, _depth: int, args: Args) -> Any:
        if not args:
            raise misuse(f"{name}() requires at least one argument")
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
        f"{text_of(value.value)} ~> {fixed(value.confidence, 2)}" if type(value) is Confident else text_of(value)
        for value in args
    ]
    runtime.print(" ".join(texts))


def _confidence(runtime: Runtime, _depth: int, args: Args) -> Any:
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
            return Confident(bare(runtime.call(depth - 1, functions[0], args)), level)

        return Native("confident", wrapped, runtime)

    return Native("confidence", wrap, runtime)


def _threshold(runtime: Runtime, _depth: int, args: Args) -> Any:
    level = bare(args[0]) if len(args) == 1 else None
    if type(level) is not float:
        raise misuse("threshold() requires a number")

    def sure(value: Any) -> bool:
        if type(value) is dict:
            return all(score(item) >= level for item in value.values())
        return score(value) >= level

    def run(_runtime: Runtime, _depth: int, arrays: Args) -> Any:
        items = _array_of(arrays[0] if len(arrays) == 1 else None, "threshold() expects an array")
        return _keep(arrays[0], [item for item in items if sure(item)])

    return Native("threshold", run, runtime)


def _options(args: Args, name: str) -> dict[str, Any]:
    if len(args) < 2:
        return {}
    options = bare(args[1])
    if type(options) is not dict:
        raise misuse(f"{name}() options must be an object")
    return options


def _consensus(_runtime: Runtime, _depth: int, args: Args) -> Any:
    if len(args) not in (1, 2):
        raise misuse("consensus() expects an array of values")
    items = _array_of(args[0], "consensus() expects an array of values")
    if not items:
        raise misuse("consensus() requires at least one value")
    strategy = bare(_options(args, "consensus").get("strategy", "max"))
    if strategy not in ("max", "min"):
        raise misuse('consensus() strategy must be "min" or "max"')
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


def _aggregate(runtime: Runtime, depth: int, args: Args) -> Any:
    if len(args) not in (1, 2):
        raise misuse("aggregate() expects an array of values")
    items = _array_of(args[0], "aggregate() expects an array of values")
    options = _options(args, "aggregate")
    strategy = bare(options.get("strategy", "average"))
    if type(strategy) is not str or strategy not in _COMBINE:
        raise misuse('aggregate() strategy must be "average", "min", "max" or "product"')
    level = _COMBINE[strategy]([score(item) for item in items]) if items else 1.0
    result: Any = [bare(item) for item in items]
    combine = options.get("combine")
    if combine is not None:
        need_function(combine, "aggregate() combine must be a function")
        result = bare(caller(runtime, depth, combine)(result))
    return Confident(result, level)


def _key_of(item: Any, key: str) -> Any:
    inner = bare(item)
    return bare(inner.get(key)) if type(inner) is dict else None


def _rank(left: Any, right: Any) -> int:
    """Order of two keys: numbers, then strings by code point; null and everything else last, as they came."""
    kinds = {float: 0, str: 1, bool: 2}
    first, second = kinds.get(type(left), 3), kinds.get(type(right), 3)
    if first != second:
        return first - second
    if first == 3 or left == right:
        return 0
    return -1 if left < right else 1


def _sort_by(runtime: Runtime, _depth: int, args: Args) -> Any:
    key = bare(args[0]) if args else None
    if len(args) not in (1, 2) or not (type(key) is str or is_callable(key)):
        raise misuse("sortBy() requires a string key")
    descending = len(args) == 2 and bare(args[1]) != "asc"

    def run(runtime: Runtime, depth: int, arrays: Args) -> Any:
        items = _array_of(arrays[0] if len(arrays) == 1 else None, "sortBy() expects an array")
        runtime.work(len(items) * 16)
        runtime.charge(128 * len(items))
        back = caller(runtime, depth, key)
        keyed = [(_key_of(item, key) if type(key) is str else bare(back(item)), item) for item in items]
        order = cmp_to_key(lambda a, b: _rank(b, a) if descending else _rank(a, b))
        return [item for _, item in sorted(keyed, key=lambda pair: order(pair[0]))]

    return Native("sortBy", run, runtime)


def _group_by(runtime: Runtime, _depth: int, args: Args) -> Any:
    key = bare(args[0]) if len(args) == 1 else None
    if not (type(key) is str or is_callable(key)):
        raise misuse("groupBy() requires a string key or function")

    def run(runtime: Runtime, depth: int, arrays: Args) -> Any:
        items = _array_of(arrays[0] if len(arrays) == 1 else None, "groupBy() expects an array")
        runtime.charge(128 * len(items))
        back = caller(runtime, depth, key)
        groups: dict[str, list[Any]] = {}
        for item in items:
            name = _key_of(item, key) if type(key) is str else bare(back(item))
            groups.setdefault(text_of(name), []).append(item)
        return groups

    return Native("groupBy", run, runtime)


# -- the pure builtins people expect ---------------------------------------------------------------------------


def _wrong(name: str, what: str, value: Any) -> Exception:
    return misuse(f"{name}() requires {what}, got {kind_of(value)}")


def _lift(name: str, kinds: tuple[type, ...], what: str, compute: Callable[..., Any]) -> Run:
    """A function of plain values: confidence of its arguments goes to the result, the least of them."""

    def run(runtime: Runtime, _depth: int, args: Args) -> Any:
        _count(name, args)
        inner = [bare(arg) for arg in args]
        if type(inner[0]) not in kinds:
            raise _wrong(name, what, inner[0])
        result = compute(runtime, *inner)
        level = min(score(arg) for arg in args)
        return Confident(result, level) if any(type(arg) is Confident for arg in args) else result

    return run


def _count(name: str, args: Args) -> None:
    least, most = BUILTIN_ARITIES[name]
    if len(args) < least or (most is not None and len(args) > most):
        wanted = str(least) if least == most else f"{least} to {most}" if most is not None else f"at least {least}"
        raise misuse(f"{name}() requires {wanted} argument{'' if wanted == '1' else 's'}, got {len(args)}")


def _whole(name: str, value: Any) -> int:
    if type(value) is not float or not value.is_integer():
        raise misuse(f"{name}() requires whole numbers")
    return int(value)


def _slice(runtime: Runtime, value: Any, start: Any, end: Any = None) -> Any:
    first = _whole("slice", start)
    last = len(value) if end is None else _whole("slice", end)
    made = value[first if first >= 0 else max(0, len(value) + first) : last if last >= 0 else max(0, len(value) + last)]
    runtime.charge(64 * len(made))
    return made


def _concat(runtime: Runtime, _depth: int, args: Args) -> Any:
    inner = [bare(arg) for arg in args]
    if inner and all(type(value) is str for value in inner):
        made: Any = "".join(inner)
        runtime.charge(4 * len(made))
    else:
        made = []
        for value in inner:
            if type(value) is not list:
                raise _wrong("concat", "arrays or strings", value)
            made.extend(value)
        runtime.charge(64 * len(made))
    sure = [arg.confidence for arg in args if type(arg) is Confident]
    return Confident(made, min(sure)) if sure else made


def _includes(runtime: Runtime, value: Any, wanted: Any) -> bool:
    if type(value) is str:
        if type(wanted) is not str:
            raise _wrong("includes", "a string to look for in a string", wanted)
        return wanted in value
    return any(same(bare(item), wanted, runtime.work) for item in value)


def _search(name: str, give: Callable[[list[Any], Callable[[Any], bool]], Any]) -> Run:
    def run(runtime: Runtime, depth: int, args: Args) -> Any:
        _count(name, args)
        items = _array_of(args[0], f"First argument to {name}() must be an array")
        need_function(args[1], f"Second argument to {name}() must be a function")
        back = caller(runtime, depth, args[1])
        result = give(items, lambda item: truth(back(item)))
        if type(args[0]) is not Confident:
            return result
        return times(result, args[0].confidence) if name == "find" else Confident(result, args[0].confidence)

    return run


def _sort(runtime: Runtime, depth: int, args: Args) -> Any:
    _count("sort", args)
    items = _array_of(args[0], "First argument to sort() must be an array")
    runtime.work(len(items) * 16)
    runtime.charge(64 * len(items))
    if len(args) == 2:
        need_function(args[1], "Second argument to sort() must be a function")
        back = caller(runtime, depth, args[1])

        def order(left: Any, right: Any) -> float:
            result = bare(back(left, right))
            if type(result) is not float:
                raise misuse("sort() needs a function that returns a number")
            return result

        return _keep(args[0], sorted(items, key=cmp_to_key(order)))
    kinds = {type(bare(item)) for item in items}
    if not (kinds <= {float} or kinds <= {str}):
        raise misuse("sort() without a function requires all numbers or all strings", "sort(xs, (a, b) => a.key - b.key)")
    return _keep(args[0], sorted(items, key=bare))


def _range(runtime: Runtime, start: Any, end: Any = None, step: Any = 1.0) -> list[float]:
    first, last = (0, _whole("range", start)) if end is None else (_whole("range", start), _whole("range", end))
    by = _whole("range", step)
    if by == 0:
        raise misuse("range() step must not be 0")
    numbers = range(first, last, by)
    size = max(0, (last - first + by - (1 if by > 0 else -1)) // by)
    runtime.charge(64 * size)
    runtime.work(size)
    return [float(number) for number in numbers]


def _round(_runtime: Runtime, value: float, digits: Any = 0.0) -> float:
    places = _whole("round", digits)
    if not 0 <= places <= 20:
        raise misuse("round() digits must be between 0 and 20")
    shifted = Decimal(value).scaleb(places) if abs(value) < 1e21 else None
    if shifted is None:
        return value
    half_up = (shifted + Decimal("0.5")).to_integral_value(ROUND_FLOOR) if places == 0 else None
    if half_up is not None:
        return float(half_up) + 0.0
    return float(Decimal(value).quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)) + 0.0


def _sqrt(_runtime: Runtime, value: float) -> float:
    if value < 0:
        raise misuse("sqrt() requires a number that is not negative")
    return math.sqrt(value)


def _split(runtime: Runtime, value: str, separator: Any) -> list[str]:
    if type(separator) is not str:
        raise _wrong("split", "a string separator", separator)
    pieces = value.split(separator) if separator else list(value)
    runtime.charge(64 * len(pieces) + len(value))
    return pieces


def _total(name: str) -> Run:
    def run(_runtime: Runtime, _depth: int, args: Args) -> Any:
        _count(name, args)
        items = _array_of(args[0], f"{name}() requires an array, got {kind_of(args[0])}")
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
    "map": _map, "filter": _filter, "reduce": _reduce, "print": _print, "confidence": _confidence,
    "max": _extreme("max", lambda a, b: a > b), "min": _extreme("min", lambda a, b: a < b), "threshold": _threshold,
    "consensus": _consensus, "aggregate": _aggregate, "sortBy": _sort_by, "groupBy": _group_by,
    "len": _lift("len", (list, str, dict), "an array, a string or an object", lambda _r, value: float(len(value))),
    "slice": _lift("slice", (list, str), "an array or a string", _slice), "concat": _concat,
    "includes": _lift("includes", (list, str), "an array or a string", _includes),
    "some": _search("some", lambda items, test: any(test(item) for item in items)),
    "every": _search("every", lambda items, test: all(test(item) for item in items)),
    "find": _search("find", lambda items, test: next((item for item in items if test(item)), None)),
    "sort": _sort, "range": _lift("range", (float,), "numbers", _range),
    "keys": _lift("keys", (dict,), "an object", lambda _r, value: list(value)),
    "values": _lift("values", (dict,), "an object", lambda _r, value: list(value.values())),
    "entries": _lift("entries", (dict,), "an object", lambda _r, value: [[key, item] for key, item in value.items()]),
    "round": _lift("round", (float,), "a number", _round),
    "abs": _lift("abs", (float,), "a number", lambda _r, value: abs(value)),
    "floor": _lift("floor", (float,), "a number", lambda _r, value: float(math.floor(value)) + 0.0),
    "sqrt": _lift("sqrt", (float,), "a number", _sqrt),
    "upper": _lift("upper", (str,), "a string", lambda _r, value: value.upper()),
    "lower": _lift("lower", (str,), "a string", lambda _r, value: value.lower()),
    "split": _lift("split", (str,), "a string", _split),
    "trim": _lift("trim", (str,), "a string", lambda _r, value: value.strip()),
    "average": _total("average"), "sum": _total("sum"),
}  # fmt: skip

BUILTINS: dict[str, Native] = {name: Native(name, run) for name, run in _RUNS.items()}
