"""What operators do when their operands are not two plain numbers."""

# The values of programs are of any type: looking into a container of them gives values of any type again.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from compiler.prism.errors import Raised
from compiler.prism.values import Confident, kind_of, same, text_of, truth

if TYPE_CHECKING:
    from compiler.prism.runtime import Runtime

CONFIDENT = 7
"""Steps that an operator with a confident operand takes beyond those of one with plain operands."""

_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?\Z")


def score(value: Any) -> float:
    """The confidence of a value; a plain one has 1."""
    return value.confidence if type(value) is Confident else 1.0


def bare(value: Any) -> Any:
    """The value without its confidence."""
    return value.value if type(value) is Confident else value


def _finite(value: float, op: str) -> float:
    if math.isfinite(value):
        return value + 0.0
    raise Raised(f"The result of {op} is not a finite number", code="not_finite", hint="numbers end at about 1.8e308")


def double(value: Any) -> Any:
    """A number as arithmetic takes it: a whole number beyond 2**53 where a double is the same. Raises Raised.

    What is no number is returned as it is.
    """
    if type(value) is not int:
        return value
    try:
        made = float(value)
    except OverflowError:
        made = math.inf
    if made != value:
        shown = str(value) if abs(value) < 10**40 else "a whole number"
        raise Raised(
            f"{shown} has more digits than arithmetic keeps",
            code="inexact_number",
            hint="whole numbers are exact up to 9007199254740992; pass it on as it is, or have it as a string",
        )
    return made


def _mismatch(op: str, left: Any, right: Any) -> Raised:
    return Raised(f"Cannot apply {op} to {kind_of(left)} and {kind_of(right)}", code="wrong_operands")


def add(runtime: Runtime, left: Any, right: Any) -> Any:
    """`+`: two numbers, or texts as soon as one side is a string."""
    if type(left) is str and type(right) is str:
        runtime.charge_text(left, right)
        return left + right
    if type(left) is Confident or type(right) is Confident:
        runtime.left -= CONFIDENT
        return Confident(add(runtime, bare(left), bare(right)), min(score(left), score(right)))
    if type(left) is float and type(right) is float:
        return _finite(left + right, "+")
    if type(left) is str or type(right) is str:
        first, second = text_of(left, runtime), text_of(right, runtime)
        runtime.charge_text(first, second)
        return first + second
    if type(left) is int or type(right) is int:
        return add(runtime, double(left), double(right))
    raise _mismatch("+", left, right)


def _arithmetic(op: str, compute: Callable[[float, float], float]) -> Callable[[Any, Any, Any], Any]:
    def run(runtime: Any, left: Any, right: Any) -> Any:
        if type(left) is Confident or type(right) is Confident:
            runtime.left -= CONFIDENT
            return Confident(run(runtime, bare(left), bare(right)), min(score(left), score(right)))
        left, right = double(left), double(right)
        if type(left) is not float or type(right) is not float:
            raise _mismatch(op, left, right)
        return _finite(compute(left, right), op)

    return run


def _divide(left: float, right: float) -> float:
    if right == 0:
        raise Raised("Division by zero", code="division_by_zero")
    return left / right


def _modulo(left: float, right: float) -> float:
    if right == 0:
        raise Raised("Modulo by zero", code="division_by_zero")
    return math.fmod(left, right)


def _power(left: float, right: float) -> float:
    try:
        return math.pow(left, right)
    except (OverflowError, ValueError):
        return math.nan


subtract = _arithmetic("-", lambda left, right: left - right)
multiply = _arithmetic("*", lambda left, right: left * right)
divide = _arithmetic("/", _divide)
modulo = _arithmetic("%", _modulo)
power = _arithmetic("**", _power)


# -- comparison ------------------------------------------------------------------------------------------------


def _order(compute: Callable[[Any, Any], bool]) -> Callable[[Any, Any, Any], Any]:
    def run(runtime: Any, left: Any, right: Any) -> Any:
        if type(left) is Confident or type(right) is Confident:
            runtime.left -= CONFIDENT
            return Confident(run(runtime, bare(left), bare(right)), min(score(left), score(right)))
        kind = type(left)
        if int in (kind, type(right)) and {kind, type(right)} <= {int, float}:
            return compute(left, right)
        if kind is not type(right) or (kind is not float and kind is not str):
            raise Raised(f"Cannot compare {kind_of(left)} and {kind_of(right)}", code="wrong_operands")
        if kind is str:
            runtime.left -= 3 + (min(len(left), len(right)) >> 10)
        return compute(left, right)

    return run


less = _order(lambda left, right: left < right)
less_equal = _order(lambda left, right: left <= right)
greater = _order(lambda left, right: left > right)
greater_equal = _order(lambda left, right: left >= right)


def _loosely(left: Any, right: Any, charge: Callable[[int], None]) -> bool:
    if type(left) is str and type(right) in (float, int):
        left, right = right, left
    if type(left) is int and type(right) is str:
        charge(6 + (len(right) >> 3))
        return right == str(left)
    if type(left) is float and type(right) is str:
        charge(6 + (len(right) >> 3))
        return _NUMBER.match(right) is not None and float(right) == left
    return same(left, right, charge)


def _equality(compute: Callable[[Any, Any, Any], bool]) -> Callable[[Any, Any, Any], Any]:
    def run(runtime: Runtime, left: Any, right: Any) -> Any:
        runtime.left -= 2
        if type(left) is Confident or type(right) is Confident:
            runtime.left -= CONFIDENT
            return Confident(compute(bare(left), bare(right), runtime.work), min(score(left), score(right)))
        return compute(left, right, runtime.work)

    return run


loosely_equal = _equality(_loosely)
loosely_different = _equality(lambda left, right, charge: not _loosely(left, right, charge))
strictly_equal = _equality(same)
strictly_different = _equality(lambda left, right, charge: not same(left, right, charge))


def instance_of(_runtime: Any, left: Any, right: Any) -> Any:
    """`value instanceof "kind"`."""
    name = bare(right)
    if kind_of(name) == "function":
        raise Raised(
            "instanceof with constructor functions not yet supported",
            hint='write the kind as a string, as in x instanceof "number"',
        )
    if type(name) is not str:
        raise Raised("Invalid right operand for operator instanceof", hint="it must be a string")
    wanted = name.lower()
    return kind_of(left) == ("null" if wanted == "undefined" else wanted)


# -- confident operators ---------------------------------------------------------------------------------------


def _confident_arithmetic(compute: Callable[[float, float], float], op: str) -> Callable[[Any, Any, Any], Any]:
    def run(_runtime: Any, left: Any, right: Any) -> Any:
        first, second = double(bare(left)), double(bare(right))
        if type(first) is not float or type(second) is not float:
            raise Raised("Confident arithmetic requires numeric values", code="wrong_operands")
        return Confident(_finite(compute(first, second), op), min(score(left), score(right)))

    return run


def _confident_divide(left: float, right: float) -> float:
    if right == 0:
        raise Raised("Division by zero in confident arithmetic", code="division_by_zero")
    return left / right


confident_add = _confident_arithmetic(lambda left, right: left + right, "~+")
confident_subtract = _confident_arithmetic(lambda left, right: left - right, "~-")
confident_multiply = _confident_arithmetic(lambda left, right: left * right, "~*")
confident_divide = _confident_arithmetic(_confident_divide, "~/")


def _confident_order(name: str, compute: Callable[[float, float], bool]) -> Callable[[Any, Any, Any], Any]:
    def run(_runtime: Any, left: Any, right: Any) -> Any:
        first, second = double(bare(left)), double(bare(right))
        if type(first) is not float or type(second) is not float:
            raise Raised(f"Confident {name} requires numeric values", code="wrong_operands")
        return Confident(compute(first, second), min(score(left), score(right)))

    return run


confident_less = _confident_order("less than", lambda left, right: left < right)
confident_less_equal = _confident_order("less equal", lambda left, right: left <= right)
confident_greater_equal = _confident_order("greater equal", lambda left, right: left >= right)


def confident_equal(runtime: Runtime, left: Any, right: Any) -> Any:
    """`~==`."""
    return Confident(same(bare(left), bare(right), runtime.work), min(score(left), score(right)))


def confident_different(runtime: Runtime, left: Any, right: Any) -> Any:
    """`~!=`."""
    return Confident(not same(bare(left), bare(right), runtime.work), min(score(left), score(right)))


def confident_and(_runtime: Any, left: Any, right: Any) -> Any:
    """`~&&`: both sides were evaluated."""
    return Confident(truth(left) and truth(right), min(score(left), score(right)))


def confident_or(_runtime: Any, left: Any, right: Any) -> Any:
    """`~||`: both sides were evaluated."""
    return Confident(truth(left) or truth(right), max(score(left), score(right)))


def chain(_runtime: Any, left: Any, right: Any) -> Any:
    """`~~`: the right value, as sure as the less sure of both."""
    return Confident(bare(right), min(score(left), score(right)))


def confident_coalesce(_runtime: Any, left: Any, right: Any) -> Any:
    """`~??`: the left side when it is at least 0.5 sure."""
    return left if score(left) >= 0.5 else right


def better(_runtime: Any, left: Any, right: Any) -> Any:
    """`~||>`: the surer side; the left one in a tie."""
    return left if score(left) >= score(right) else right


def gate(_runtime: Any, left: Any, right: Any) -> Any:
    """`~@>`: the right side when the left is at least 0.7 sure, else the left with half its confidence."""
    sure = score(left)
    return right if sure >= 0.7 else Confident(bare(left), sure * 0.5)


def attach(value: Any, confidence: Any) -> Any:
    """`value ~> confidence`."""
    level = bare(confidence)
    if type(level) is not float:
        raise Raised("Confidence value must be a number", code="wrong_operands", hint="a number from 0 to 1")
    return Confident(bare(value), min(1.0, max(0.0, level)))


def extract(value: Any) -> float:
    """`<~ value`."""
    return score(value)


def negative(value: Any) -> Any:
    """Unary minus."""
    inner = bare(value)
    if type(inner) is int:
        return Confident(-inner, value.confidence) if type(value) is Confident else -inner
    if type(inner) is not float:
        raise Raised(f"Cannot apply unary - to {kind_of(inner)}", code="wrong_operands")
    result = 0.0 - inner
    return Confident(result, value.confidence) if type(value) is Confident else result


def logical_not(value: Any) -> Any:
    """`!`."""
    if type(value) is Confident:
        return Confident(not truth(value.value), value.confidence)
    return not truth(value)


def weigh(test: Any, chosen: Any) -> Any:
    """`test ~? a : b`: the chosen branch, with the product of both confidences."""
    return Confident(bare(chosen), score(test) * score(chosen))


def threshold_gate(value: Any, setting: Any) -> Any:
    """`value ~?> t` or `~?> [t, otherwise]`."""
    setting = bare(setting)
    otherwise = None
    if type(setting) is list:
        if len(setting) != 2:
            raise Raised("Threshold gate expects a number or [threshold, default] array")
        level, otherwise = bare(setting[0]), setting[1]
        if type(level) is not float:
            raise Raised("Threshold gate array first element must be a number")
    else:
        level = setting
        if type(level) is not float:
            raise Raised("Threshold gate expects a number or [threshold, default] array")
    if not 0 <= level <= 1:
        raise Raised("Confidence threshold must be between 0 and 1")
    if score(value) >= level:
        return value if type(value) is Confident else Confident(value, 1.0)
    return otherwise


def carry(flowing: Any, result: Any) -> Any:
    """What `~|>` makes of a stage's result: its own confidence, or that of what flowed in."""
    return result if type(result) is Confident else Confident(result, score(flowing))
