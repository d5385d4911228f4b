"""From a compiled pattern to a machine that runs it, and from the machine's last step to a result."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, cast

from compiler.orchestration.calling import Callees, shown_name
from compiler.orchestration.gates import BOOKS_SINCE, Books
from compiler.orchestration.host import HOST_FUNCTIONS, HostLibrary
from compiler.orchestration.reviews import tasks_in
from compiler.orchestration.team import Team, Works
from compiler.orchestration.values import Value, bare, confidence_of, plain, prism_value
from compiler.prism import Machine, Program, Step, compile_program
from schemas.base import Failure, Model
from schemas.events import ConfidenceSource, Refusal
from schemas.patterns import CalledPattern, CompiledPattern

PROGRAM_GLOBALS: tuple[str, ...] = ("input", "workspace", "execution")
"""What every program is given: the request's input, the workspace or null, and who is running."""

HOST_FUNCTION_NAMES: tuple[str, ...] = tuple(HOST_FUNCTIONS)
"""What every program can call."""

_SOURCES = frozenset({"self_report", "verification", "review", "aggregate", "program"})
_ENOUGH_PROGRAMS = 256


def program_inputs(
    *,
    input: dict[str, Any],  # noqa: A002 -- what it is called in programs
    workspace: dict[str, Any] | None,
    context: dict[str, Any],
) -> dict[str, Value]:
    """The globals of a program as values of the language."""
    return {
        "input": prism_value(input),
        "workspace": prism_value(workspace),
        "execution": prism_value(context),
    }


def host_functions(
    pattern: CompiledPattern,
    *,
    workspace: dict[str, Any] | None = None,
    inputs: dict[str, Value] | None = None,
    semantics: int,
    books: Books | None = None,
) -> dict[str, Callable[..., Any]]:
    """Fresh host functions for one run of a pattern's program. `inputs` go to the patterns that it calls as well.

    `semantics` is the number of the meaning that they have, `execution.started.semantics`. What is decided about the
    work is entered into `books`.
    """
    works = pattern.workspace.enabled and workspace is not None
    team = Team(
        pattern.roles,
        workspace=works,
        context=workspace or {},
        semantics=semantics,
        works=Works(books=books or Books()),
    )
    callees = Callees(patterns=pattern.called, inputs=inputs or {}, compile=_called, semantics=semantics)
    return HostLibrary(team, callees).functions()


def open_machine(
    pattern: CompiledPattern,
    *,
    input: dict[str, Any],  # noqa: A002 - its name in programs
    workspace: dict[str, Any] | None,
    context: dict[str, Any],
    semantics: int,
    books: Books | None = None,
) -> Machine:
    """A machine for one run of a pattern, with the meaning of that number (`execution.started.semantics`).

    What is decided about its work is entered into `books`. Raises `PrismError` when the program does not compile.
    """
    program = _program(pattern.name, pattern.program, tuple(sorted(pattern.modules.items())))
    inputs = program_inputs(input=input, workspace=workspace, context=context)
    host = host_functions(pattern, workspace=workspace, inputs=inputs, semantics=semantics, books=books)
    return Machine(program, inputs=inputs, host=host)


@lru_cache(maxsize=_ENOUGH_PROGRAMS)
def _program(name: str, text: str, modules: tuple[tuple[str, str], ...]) -> Program:
    return compile_program(text, name=name, modules=dict(modules), globals=(*PROGRAM_GLOBALS, *HOST_FUNCTION_NAMES))


def _called(pattern: CalledPattern) -> Program:
    return _program(shown_name(pattern), pattern.program, tuple(sorted(pattern.modules.items())))


def result_of(step: Step) -> tuple[Any, float | None, ConfidenceSource]:
    """The result of a finished program as JSON, its confidence, and where that came from."""
    value = step.value
    confidence, source = _confidence(value)
    return plain(value), confidence, source


class Conclusion(Model, frozen=True, kw_only=True):
    """What a program that came to its end has come to.

    `failure` says that its work did not pass; `approved` is None where no gate was held; `refusals` are those that
    stand, whether the chart goes on all the same or not.
    """

    result: Any
    confidence: float | None
    source: ConfidenceSource
    failure: Failure | None = None
    approved: bool | None = None
    refusals: list[Refusal] = []


def conclusion_of(step: Step, books: Books, *, semantics: int, workspace: bool) -> Conclusion:
    """The end of a finished program with this meaning. Raises `PrismError` where its value cannot be a result.

    `workspace`: whether it worked in one. There everything that was merged is delivered, elsewhere what the result
    holds.
    """
    result, confidence, source = result_of(step)
    if semantics < BOOKS_SINCE:
        return Conclusion(result=result, confidence=confidence, source=source)
    delivered = None if workspace else frozenset(tasks_in([step.value]))
    confidence, source = books.bounded(confidence, source, delivered)
    return Conclusion(
        result=result,
        confidence=confidence,
        source=source,
        failure=books.failure(),
        approved=books.approved,
        refusals=books.objections(),
    )


def _confidence(value: Value) -> tuple[float | None, ConfidenceSource]:
    own, inner = confidence_of(value), bare(value)
    if isinstance(inner, dict):
        fields = cast("dict[str, Value]", inner)
        said, named = bare(fields.get("confidence_source")), bare(fields.get("confidence"))
        if own is None and isinstance(named, int | float) and not isinstance(named, bool) and 0 <= named <= 1:
            own = float(named)
        if own is None:
            return None, ""
        return own, cast("ConfidenceSource", said) if said in _SOURCES else "program"
    if own is not None:
        return own, "program"
    if isinstance(inner, list) and inner:
        parts = [_confidence(item)[0] for item in cast("list[Value]", inner)]
        known = [part for part in parts if part is not None]
        if len(known) == len(parts):
            return min(known), "aggregate"
    return None, ""
