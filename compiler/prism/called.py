"""A program that runs as a part of another one: names, modules and host functions of its own, the caller's counters.

What it computes counts against the limits of the run, and what it holds is measured with the rest; so calling gets
around no limit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from compiler.prism.errors import LimitHit, Raised
from compiler.prism.runtime import Runtime

if TYPE_CHECKING:
    from compiler.prism.program import Program


class CalledRuntime(Runtime):
    """The state of one call of a program."""

    __slots__ = ("_run",)

    def __init__(self, run: Runtime, program: Program) -> None:
        self._run = run
        self.machine = run.machine
        self.program = program
        self.deepest = run.deepest
        self.globals = {}
        self.memory_limit = run.memory_limit
        self._functions: Mapping[str, Callable[..., Any]] = {}
        self._exports: dict[str, tuple[dict[str, Any], list[bool]]] = {}

    @property
    def left(self) -> int:
        """Steps that are left until the budget of the run is looked at."""
        return self._run.left

    @left.setter
    def left(self, value: int) -> None:
        self._run.left = value

    @property
    def memory(self) -> int:
        """What may be made until the run is measured."""
        return self._run.memory

    @memory.setter
    def memory(self, value: int) -> None:
        self._run.memory = value

    @property
    def depth(self) -> int:
        """How deep calls are nested."""
        return self._run.depth

    @depth.setter
    def depth(self, value: int) -> None:
        self._run.depth = value

    def tick(self) -> None:
        """The slice of steps of the run is used up."""
        self._run.tick()

    def steps_used(self) -> int:
        """Steps counted so far in the run."""
        return self._run.steps_used()

    def print(self, text: str) -> None:
        """A line the program prints."""
        self._run.print(text)

    def measure(self, size: int) -> None:
        """The estimate of the run is used up."""
        self._run.measure(size)


def run_called(
    run: Runtime, program: Program, inputs: Mapping[str, Any], host: Mapping[str, Callable[..., Any]]
) -> Any:
    """Run `program` to its end inside `run`; its value is returned.

    What it raises remembers the place in the innermost program that was called.
    """
    depth = run.depth
    if depth >= run.deepest:
        raise LimitHit("depth_exceeded", f"Calls are nested more than {run.deepest} deep")
    called = CalledRuntime(run, program)
    called.bind(inputs, host)
    run.called.append(called)
    try:
        return called.run_entry()
    except (Raised, LimitHit) as failure:
        failure.place = failure.place or program.place(failure.__traceback__)
        raise
    finally:
        run.called.remove(called)
        run.depth = depth
