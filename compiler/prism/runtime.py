"""What a running program shares: its counters, its globals, its modules, and how it calls things.

Steps are counted down in `left` by the generated code itself; when it falls below zero the budget is looked at: the
limit is reached, or it is time to hand control back for a moment, or there is simply a new slice. Memory is counted up
by an estimate for each value made, and when the estimate is used up a census of what is still reachable decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from compiler.prism.census import live_size
from compiler.prism.errors import EffectFailed, LimitHit, PrismError, Raised, Stop
from compiler.prism.operators import bare
from compiler.prism.values import Confident, Fn, Native, U, from_json, kind_of

if TYPE_CHECKING:
    from compiler.prism.machine import Machine
    from compiler.prism.program import Program, Unit

NATIVE = 8
"""Steps of the call of a builtin or of a function of the host, beside those that its work takes."""

ITEM = 64
"""Estimated bytes of one element of an array; an entry of an object costs twice that, a function four times."""


class Runtime:
    """The state of one run."""

    __slots__ = ("_base", "_chunk", "_exports", "_functions", "_limit", "_print", "_slice", "called", "deepest",
                 "depth", "globals", "left", "machine", "memory", "memory_limit", "program")  # fmt: skip

    def __init__(
        self, machine: Machine | None, program: Program, slice_steps: int | None, on_print: Callable[[str], None] | None
    ) -> None:
        limits = program.options.limits
        self.machine = machine
        self.program = program
        self.depth = 0
        self.deepest = limits.depth
        self.globals: dict[str, Any] = {}
        self._functions: Mapping[str, Callable[..., Any]] = {}
        self.memory_limit = limits.memory
        self.memory = limits.memory // 2
        self._print = on_print
        self._exports: dict[str, tuple[dict[str, Any], list[bool]]] = {}
        self._slice = slice_steps
        self._limit = limits.steps
        self._base = 0
        self._chunk = min(slice_steps or limits.steps, limits.steps)
        self.left = self._chunk
        self.called: list[Runtime] = []
        """The programs that are being called."""

    def bind(self, inputs: Mapping[str, Any], host: Mapping[str, Callable[..., Any]]) -> None:
        """Give the program its globals."""
        for name, value in inputs.items():
            try:
                self.globals[name] = from_json(value)
            except ValueError as problem:
                raise PrismError(
                    "RuntimeError", f"The input '{name}' cannot be used: {problem}", code="bad_input"
                ) from None
        self._functions = host

    def _host(self, name: str, function: Callable[..., Any]) -> Callable[[Any, int, Sequence[Any]], Any]:
        machine = self.machine

        def run(_runtime: Any, depth: int, args: Sequence[Any]) -> Any:
            self.depth = depth + 1
            result = function(machine, *args)
            try:
                return from_json(result)
            except ValueError as problem:
                raise Raised(
                    f"{name}() returned something the language has no place for: {problem}", code="host"
                ) from None

        return run

    def release(self) -> None:
        """Forget everything the program held."""
        self.globals.clear()
        self._functions = {}
        self._exports.clear()

    # -- counters ----------------------------------------------------------------------------------------------

    def steps_used(self) -> int:
        """Steps counted so far."""
        return self._base + self._chunk - self.left

    def tick(self) -> None:
        """The slice of steps is used up."""
        used = self.steps_used()
        if used > self._limit:
            raise LimitHit(
                "steps_exceeded", f"The program takes more than {self._limit} steps", "is there an endless loop?"
            )
        self._base = used
        self._chunk = min(self._slice or self._limit, self._limit - used)
        self.left = self._chunk
        if self._slice is not None and self.machine is not None:
            self.machine.slice_out()

    def work(self, count: int) -> None:
        """Count work that a single operation does on `count` elements."""
        self.left -= count + 16
        if self.left < 0:
            self.tick()

    def scan(self, size: int) -> None:
        """Count a look at every character of a text, which is far cheaper than an element."""
        self.left -= size >> 7
        if self.left < 0:
            self.tick()

    def charge(self, size: int) -> None:
        """Count memory about to be used, in estimated bytes; filling half a KiB costs a step."""
        self.memory -= size
        if self.memory < 0:
            self.measure(size)
        self.left -= size >> 9
        if self.left < 0:
            self.tick()

    def charge_text(self, left: str, right: str) -> None:
        """Count the text of both joined."""
        self.left -= 3
        size = len(left) + len(right)
        self.charge(size + 48 if left.isascii() and right.isascii() else size * 4 + 48)

    def measure(self, size: int) -> None:
        """The estimate is used up: what is still reachable, and `size` bytes more, have to fit the limit."""
        if size <= self.memory_limit:
            frames = self.machine.greenlets() if self.machine is not None else []
            held, looks = live_size(
                frames, [root for one in (self, *self.called) for root in one.roots()], self.memory_limit
            )
            size += held
            self.left -= looks * 4
        if size > self.memory_limit:
            mib = self.memory_limit // (1024 * 1024)
            message = f"The values of the program take more than {mib} MiB"
            raise LimitHit("memory_exceeded", message, "is there a text or an array that keeps growing?")
        self.memory = max(self.memory_limit - size, self.memory_limit // 4)

    def roots(self) -> list[Any]:
        """What the program holds beside the variables of its frames."""
        return [*self.globals.values(), *self._exports.values()]

    def print(self, text: str) -> None:
        """A line the program prints."""
        if self._print is not None:
            self._print(text)

    # -- modules -----------------------------------------------------------------------------------------------

    def run_entry(self) -> Any:
        """Run the program's own file; the value is its last statement's."""
        exports: dict[str, Any] = {}
        done = [False]
        self._exports[self.program.unit.path] = exports, done
        value = self.program.unit.main(self, self.depth, exports)
        done[0] = True
        return value

    def entry_exports(self) -> dict[str, Any]:
        """What the program's own file exports."""
        return self._exports[self.program.unit.path][0]

    def import_module(self, path: str, depth: int) -> tuple[dict[str, Any], list[bool]]:
        """The exports of a module, run at its first import; those of one that is still running are partial."""
        known = self._exports.get(path)
        if known is not None:
            return known
        unit: Unit = self.program.units[path]
        loading: tuple[dict[str, Any], list[bool]] = ({}, [False])
        self._exports[path] = loading
        if depth >= self.deepest:
            raise LimitHit("depth_exceeded", "Modules import each other too deeply")
        try:
            unit.main(self, depth + 1, loading[0])
        except Raised as failure:
            failure.module = failure.module or unit.source.name
            raise
        loading[1][0] = True
        return loading

    # -- calls -------------------------------------------------------------------------------------------------

    def call(self, depth: int, function: Any, args: Sequence[Any]) -> Any:
        """Call any value with arguments."""
        kind = cast("type[Any]", type(function))
        if kind is Fn:
            count = len(args)
            if function.arity == count:
                return function.code(depth + 1, *args)
            self.left -= 4 + (count >> 2)
            self._arity(function, count)
            required = function.required
            return function.code(depth + 1, *args[:required], list(args[required:]))
        if kind is Native:
            self.left -= NATIVE
            if self.left < 0 or depth > self.deepest:
                self.enter(depth)
            return function.run(self, depth, args)
        if kind is Confident:
            self.left -= 4
            result = self.call(depth, function.value, args)
            if isinstance(result, Confident):
                return Confident(bare(result), result.confidence * function.confidence)
            return Confident(result, function.confidence)
        raise Raised(f"Cannot call non-function value: {kind_of(function)}", code="not_a_function")

    def enter(self, depth: int) -> None:
        """A call that used up the steps, or that is too deep."""
        if depth > self.deepest:
            limit = self.deepest
            message = f"Calls are nested more than {limit} deep"
            raise LimitHit("depth_exceeded", message, "is there a recursion that never ends?")
        self.tick()

    def _arity(self, function: Fn, count: int) -> None:
        rest = function.arity < 0
        if count >= function.required if rest else count == function.required:
            return
        what = "Lambda" if function.is_lambda else "Function"
        least = "at least " if rest else ""
        message = f"{what} expects {least}{function.required} arguments, got {count}"
        raise Raised(
            message, code="wrong_arguments", hint=f"in the call of {function.name}" if not function.is_lambda else ""
        )

    def callee(self, function: Any, _count: int) -> Callable[..., Any]:
        """Something called as generated code calls functions: with the depth of the call, then the arguments."""
        self.left -= 3

        def run(depth: int, *args: Any) -> Any:
            return self.call(depth - 1, function, args)

        return run

    def call_back(self, function: Any, args: Sequence[Any]) -> Any:
        """A host function calls a value of the program."""
        depth = self.depth
        try:
            return self.call(depth, function, [from_json(arg) for arg in args])
        finally:
            self.depth = depth

    def lookup(self, name: str, builtins: Mapping[str, Any]) -> Any:
        """A global, a builtin, or U."""
        found = self.globals.get(name, U)
        if found is U and name in self._functions:
            found = self.globals[name] = Native(name, self._host(name, self._functions[name]), self)
        return builtins.get(name, U) if found is U else found


def stage(runtime: Runtime, depth: int, value: Any, flowing: Any) -> Any:
    """A pipeline stage without `_`: called when it is a function, itself when it is not."""
    inner = bare(value)
    if type(inner) is Fn or type(inner) is Native:
        return runtime.call(depth, value, (flowing,))
    return value


def wrap_failure(failure: BaseException, program: Program) -> PrismError:
    """What went wrong inside a program, as the error its owner sees: with place, line and hint."""
    if isinstance(failure, PrismError):
        return failure
    unit, offset = program.place(failure.__traceback__)
    if isinstance(failure, Raised | LimitHit) and failure.place is not None:
        unit, offset = failure.place
    if isinstance(failure, LimitHit):
        return unit.source.error("LimitError", failure.message, offset, code=failure.code, hint=failure.hint)
    if isinstance(failure, RecursionError | MemoryError):
        code = "depth_exceeded" if isinstance(failure, RecursionError) else "memory_exceeded"
        return unit.source.error("LimitError", "The program needs more than this machine gives it", offset, code=code)
    if isinstance(failure, EffectFailed):
        error = unit.source.error("RuntimeError", failure.message, offset, code=failure.code, hint=failure.hint)
        error.value = failure.data
        return error
    if isinstance(failure, Raised):
        kind = "ModuleError" if failure.code == "module" or failure.module else "RuntimeError"
        message = f"Failed to load module {failure.module}: {failure.message}" if failure.module else failure.message
        error = unit.source.error(kind, message, offset, code=failure.code, hint=failure.hint)
        error.value = failure.value
        return error
    assert not isinstance(failure, Stop)
    error = unit.source.error("RuntimeError", f"The host failed: {failure!r}", offset, code="host")
    error.__cause__ = failure
    return error
