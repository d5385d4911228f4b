"""Running a program that asks the world for nothing, or whose host answers at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from compiler.prism.errors import PrismError
from compiler.prism.machine import Machine
from compiler.prism.program import Program


def run(
    program: Program,
    inputs: Mapping[str, Any] | None = None,
    host: Mapping[str, Callable[..., Any]] | None = None,
    on_print: Callable[[str], None] | None = None,
) -> Any:
    """Run to the end and return the value. Raises PrismError, also when the program asks for an effect."""
    return run_exports(program, inputs, host, on_print)[0]


def run_exports(
    program: Program,
    inputs: Mapping[str, Any] | None = None,
    host: Mapping[str, Callable[..., Any]] | None = None,
    on_print: Callable[[str], None] | None = None,
) -> tuple[Any, dict[str, Any]]:
    """As `run`, with what the program's own file exports."""
    machine = Machine(program, inputs, host, slice_steps=None, on_print=on_print)
    step = machine.start()
    if step.status == "finished":
        return step.value, machine.exports
    if step.error is not None:
        raise step.error
    machine.close()
    raise PrismError("RuntimeError", "The program asks for an effect and nobody is there to answer", code="no_host")
