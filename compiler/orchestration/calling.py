"""Calling another pattern from a program: finding it, its input, and the names that its roles and steps get.

Everything that can be called was compiled with the caller, so an execution holds it as it was when it started.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from compiler.input_check import validate_input
from compiler.nearest import did_you_mean, first_did_you_mean
from compiler.orchestration.values import Value, bare, plain, prism_value
from compiler.prism import EffectFailed, Program

if TYPE_CHECKING:
    from compiler.prism import Machine
    from schemas.patterns import CalledPattern

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")


def call_name(step: str, pattern: str) -> str:
    """What the roles and steps of a called pattern are named after: the step that calls, else the pattern."""
    name = _NOT_IN_NAMES.sub("-", step or pattern)
    return name if name[:1].isalpha() else f"p-{name}"


def shown_name(called: CalledPattern) -> str:
    """What errors inside a called pattern name as their file."""
    return f"{called.name}@{called.version}"


@dataclass(frozen=True, slots=True)
class Callees:
    """What a program can call: the patterns by the references to them, and what each of them is given."""

    patterns: Mapping[str, CalledPattern] = field(default_factory=dict[str, "CalledPattern"])
    inputs: Mapping[str, Value] = field(default_factory=dict[str, Value])
    compile: Callable[[CalledPattern], Program] | None = None
    semantics: int = 1
    """That of the execution: what the keywords of an input schema mean."""

    def find(self, reference: Value) -> CalledPattern:
        """The pattern that is meant. Raises `EffectFailed` with code `invalid_argument` when there is none."""
        name = bare(reference)
        found = self.patterns.get(name) if isinstance(name, str) else None
        if found is None:
            propose = first_did_you_mean if self.semantics == 1 else did_you_mean
            hint = propose(str(name)[:100], self.patterns, "A pattern is called by a name that is written out.")
            raise EffectFailed("invalid_argument", f"call: this program calls no pattern {str(name)[:100]!r}. {hint}")
        return found

    def run(
        self,
        machine: Machine,
        called: CalledPattern,
        given: Value,
        host: Mapping[str, Callable[..., Any]],
    ) -> Value:
        """Runs a called pattern and gives its value. Raises `EffectFailed`, with code `invalid_input` for its input."""
        if self.compile is None or _holds_function(given):
            raise EffectFailed("invalid_argument", "call: the input of a pattern holds no functions")
        fields: Any = {} if bare(given) is None else plain(given)  # as in a request, there are no confidences in it
        if problems := validate_input(called.input, fields, self.semantics):
            said = "; ".join(problem.what for problem in problems)
            raise EffectFailed("invalid_input", f"the pattern {called.name} cannot take this input: {said}")
        inputs = {**self.inputs, "input": prism_value(fields)}
        if not called.workspace:
            inputs["workspace"] = None
        return machine.call_program(self.compile(called), inputs, host)


def _holds_function(value: Value) -> bool:
    stack: list[Any] = [value]
    while stack:
        one = bare(stack.pop())
        if isinstance(one, dict):
            stack.extend(cast("dict[str, Any]", one).values())
        elif isinstance(one, list):
            stack.extend(cast("list[Any]", one))
        elif callable(one):
            return True
    return False
