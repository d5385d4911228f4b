"""Numbers of an agents file: a plain number, or a distribution by its name, within bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from compiler.patterns.reader import Node
from compiler.patterns.report import Report, did_you_mean
from compiler.patterns.view import View, describe
from parallax.simulation.distributions import Beta, Constant, Distribution, Exponential, LogNormal, Normal, Uniform
from schemas.base import Model


class Bounds(Model, frozen=True, kw_only=True):
    """What the numbers of a distribution may be."""

    least: float = 0.0
    most: float
    kinds: tuple[str, ...]


_KEYS: dict[str, tuple[str, ...]] = {
    "uniform": ("min", "max"),
    "exponential": ("mean",),
    "lognormal": ("median", "p95"),
    "normal": ("mean", "sd"),
    "beta": ("mean", "sd"),
}
SHARE = Bounds(most=1.0, kinds=("uniform", "normal", "beta"))
TIME = Bounds(most=31_536_000.0, kinds=("uniform", "exponential", "lognormal", "normal"))
MANY = Bounds(most=1e12, kinds=("uniform", "exponential", "lognormal", "normal"))
_EXAMPLES = {
    "uniform": "{uniform: {min: 0.2, max: 0.8}}",
    "exponential": "{exponential: {mean: 60}}",
    "lognormal": "{lognormal: {median: 60, p95: 240}}",
    "normal": "{normal: {mean: 0.7, sd: 0.1}}",
    "beta": "{beta: {mean: 0.7, sd: 0.1}}",
}


def read_distribution(
    node: Node, what: str, bounds: Bounds, report: Report, more: Sequence[str] = ()
) -> Distribution | None:
    """The distribution that stands there, or None after reporting why it is none. `more` are other words for it."""
    if node.kind == "number":
        if not bounds.least <= node.value <= bounds.most:
            message = f"{what} is between {bounds.least:g} and {bounds.most:g}"
            report.error("out-of-range", node.line, node.column, message)
            return None
        return Constant(value=float(node.value))
    example = _EXAMPLES[bounds.kinds[-1]]
    if node.kind != "map" or len(node.pairs) != 1:
        wrong_kind(report, node, what, "a number or one distribution", f"For example {example}.")
        return None
    key, value = node.pairs[0]
    known = (*bounds.kinds, *more)
    if key.raw not in bounds.kinds:
        message = f"{what} cannot be spread as {key.raw!r}"
        hint = did_you_mean(key.raw, known, f"One of {', '.join(known)}.")
        report.error("unknown-distribution", key.line, key.column, message, hint)
        return None
    return _made(key.raw, value, what, bounds, report)


def _made(kind: str, node: Node, what: str, bounds: Bounds, report: Report) -> Distribution | None:
    view = View(node, report, f"{kind} of {what}", _KEYS[kind])
    numbers: dict[str, float] = {}
    for key in _KEYS[kind]:
        if not view.has(key):
            view.missing(key, _EXAMPLES[kind])
        elif (number := view.number(key, least=bounds.least, most=bounds.most)) is not None:
            numbers[key] = number
    if len(numbers) < len(_KEYS[kind]):
        return None
    if problem := _impossible(kind, numbers):
        report.error("impossible-bounds", node.line, node.column, f"{kind} of {what}: {problem}")
        return None
    kinds = {"uniform": Uniform, "exponential": Exponential, "lognormal": LogNormal, "normal": Normal, "beta": Beta}
    return cast("Distribution", kinds[kind](**numbers))


def _impossible(kind: str, numbers: dict[str, float]) -> str:
    match kind:
        case "uniform" if numbers["min"] > numbers["max"]:
            return "min is more than max"
        case "lognormal" if numbers["median"] <= 0 or numbers["p95"] < numbers["median"]:
            return "the median is more than 0 and p95 is not less than it"
        case "beta" if not 0 < numbers["mean"] < 1 or not 0 < numbers["sd"] ** 2 < numbers["mean"] * (
            1 - numbers["mean"]
        ):
            return "mean is between 0 and 1, and sd more than 0 and less than √(mean·(1 - mean))"
        case _:
            return ""


def wrong_kind(report: Report, node: Node, what: str, wanted: str, hint: str) -> None:
    """Reports a value of the wrong type."""
    report.error("wrong-type", node.line, node.column, f"{what} is {wanted}, not {describe(node)}", hint)
