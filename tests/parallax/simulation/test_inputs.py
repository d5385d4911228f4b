"""Inputs that are made up fit the schema they are made for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compiler.patterns import validate_input
from parallax.simulation.inputs import sample_input
from parallax.simulation.loading import SimulationRefused, find_input
from tests.parallax.simulation.charts import SHIPPED, chart, compiled, shipped

FORMATS = ("date", "date-time", "time", "email", "uri", "uuid", "ipv4")


def bounded(low: str, high: str, numbers: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Two bounds that do not contradict each other, or one, or none."""
    both = st.tuples(numbers, numbers).map(lambda pair: {low: min(pair), high: max(pair)})
    return st.just({}) | both | numbers.map(lambda one: {low: one}) | numbers.map(lambda one: {high: one})


few = st.integers(0, 6)
leaf = st.one_of(
    bounded("minLength", "maxLength", st.integers(0, 60)).map(lambda more: {"type": "string", **more}),
    st.sampled_from(FORMATS).map(lambda word: {"type": "string", "format": word}),
    st.lists(st.text(), min_size=1, max_size=3).map(lambda words: {"type": "string", "enum": words}),
    bounded("minimum", "maximum", st.integers(-50, 50)).map(lambda more: {"type": "integer", **more}),
    bounded("minimum", "maximum", st.floats(-50, 50)).map(lambda more: {"type": "number", **more}),
    st.integers(1, 9).map(lambda step: {"type": "integer", "minimum": 3, "multipleOf": step}),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"type": "any"}, {"type": "array"}, {"type": "object"}]),
)
fields = st.recursive(
    leaf,
    lambda inner: st.one_of(
        st.tuples(inner, st.integers(0, 4)).map(lambda pair: {"type": "array", "items": pair[0], "minItems": pair[1]}),
        st.dictionaries(st.sampled_from("abc"), inner.map(lambda rules: {**rules, "required": True})).map(
            lambda inside: {"type": "object", "properties": inside}
        ),
    ),
    max_leaves=5,
)


@settings(suppress_health_check=[HealthCheck.too_slow])  # the first draw imports what the check of inputs needs
@given(
    st.dictionaries(st.sampled_from(["task", "files", "count"]), fields.map(lambda rules: {**rules, "required": True}))
)
def test_a_made_up_input_fits_its_schema(schema: dict[str, Any]) -> None:
    """Types, bounds, choices, formats, nested fields."""
    assert validate_input(schema, sample_input(schema, {})) == []


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_pattern_can_be_given_an_input(path: Any) -> None:
    """None of them needs words that cannot be made up."""
    pattern = shipped(path)
    assert validate_input(pattern.input, find_input(pattern, {})) == []


def test_unique_items_are_different() -> None:
    """Texts and numbers."""
    for item in ("string", "integer"):
        schema = {"x": {"type": "array", "items": {"type": item}, "minItems": 3, "uniqueItems": True, "required": True}}
        made = sample_input(schema, {})["x"]
        assert len(set(made)) == len(made) == 3


def test_what_is_given_stays_and_what_is_optional_is_left_out() -> None:
    """Defaults are the pattern's own business."""
    schema = {
        "a": {"type": "string", "required": True},
        "b": {"type": "string"},
        "c": {"type": "string", "default": "x"},
    }
    assert sample_input(schema, {"a": "given"}) == {"a": "given"}


def test_an_input_that_cannot_be_made_up_is_asked_for() -> None:
    """A text with a form of its own."""
    step = "- {type: assign, id: one, role: writer, task: do}\n"
    pattern = compiled(chart(step, inputs='code: {type: string, required: true, pattern: "^[0-9]+$"}\n'))
    with pytest.raises(SimulationRefused, match=r"input\.code does not have the form"):
        find_input(pattern, {})
    assert find_input(pattern, {"code": "12"}) == {"code": "12"}
