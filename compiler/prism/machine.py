"""A running program: it computes until it asks the world for something, and goes on when it is answered.

The program runs in a greenlet, so that asking is an ordinary call for it and costs no thread. Each request has a path
in program order. The machine itself never waits and never looks at a clock: whoever owns it delivers results, and the
same results in the same order give the same steps. A program that computes for long comes back `sliced` now and then,
so that it never blocks its owner's event loop; results delivered meanwhile wait until it has come to rest, which keeps
a live run and its replay alike.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from greenlet import getcurrent, greenlet

from compiler.prism.branches import STRATEGIES, BranchResult, Group, Strategy, Task
from compiler.prism.called import run_called
from compiler.prism.errors import EffectFailed, Killed, LimitHit, PrismError, Raised, Stop
from compiler.prism.runtime import Runtime, wrap_failure
from compiler.prism.stack import roomy

if TYPE_CHECKING:
    from compiler.prism.program import Program

RECURSION_LIMIT = 40_000
"""Python's own limit while a program runs; calls between Prism functions take no C stack, their count is limited."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A request that waits for its answer. `path` counts from 1 in program order: "4", in branches "4.2.1"."""

    path: str
    request: Any


@dataclass(frozen=True, slots=True)
class Step:
    """What happened since the machine was last touched.

    `new` are requests to send, `cancelled` paths whose answer nobody wants any more. `value` is set when finished,
    `error` when failed; when `sliced`, call `go_on`.
    """

    status: Literal["suspended", "sliced", "finished", "failed"]
    new: list[Pending] = field(default_factory=list[Pending])
    cancelled: list[str] = field(default_factory=list[str])
    value: Any = None
    error: PrismError | None = None


class Machine:
    """One run of a program. Not thread-safe; use it from the thread that started it.

    `inputs` are JSON-like values bound to the program's globals, `host` plain functions `fn(machine, *values)` that
    may call `machine.perform` and `machine.branches`. `on_print` hears what the program prints.
    """

    __slots__ = ("_cancelled", "_current", "_effects", "_ending", "_hub", "_inbox", "_main", "_new", "_pending",
                 "_ready", "_runtime", "_sliced", "_slices", "exports", "program", "status")  # fmt: skip

    def __init__(
        self,
        program: Program,
        inputs: Mapping[str, Any] | None = None,
        host: Mapping[str, Callable[..., Any]] | None = None,
        slice_steps: int | None = 50_000,
        on_print: Callable[[str], None] | None = None,
    ) -> None:
        self.program = program
        self.status: Literal["new", "suspended", "sliced", "finished", "failed", "closed"] = "new"
        self.exports: dict[str, Any] = {}
        self._slices = slice_steps is not None
        self._runtime = Runtime(self, program, slice_steps, on_print)
        self._runtime.bind(inputs or {}, host or {})
        self._pending: dict[str, tuple[Any, Task]] = {}
        self._ready: list[tuple[Task, Any]] = []  # lists, as thousands of programs wait at a time: small, mostly empty
        self._inbox: list[tuple[str, Any]] = []
        self._hub: greenlet | None = None
        self._current: Task | None = None
        self._main: Task | None = None
        self._effects = 0
        self._new: list[Pending] = []
        self._cancelled: list[str] = []
        self._sliced: Task | None = None
        self._ending: tuple[Literal["finished", "failed"], Any] | None = None

    # -- what the owner calls ----------------------------------------------------------------------------------

    @property
    def pending(self) -> list[Pending]:
        """Requests that wait for an answer, in program order."""
        return [Pending(path, self._pending[path][0]) for path in sorted(self._pending, key=path_key)]

    @property
    def steps_used(self) -> int:
        """Steps counted so far."""
        return self._runtime.steps_used()

    def start(self) -> Step:
        """Run from the top until the program rests. Raises ValueError when it was started before."""
        if self.status != "new":
            raise ValueError(f"this machine is {self.status} and cannot be started again")
        work = self._run_program if self._slices else partial(roomy, self._run_program)
        self._main = Task("", greenlet(work))
        self._ready.append((self._main, None))
        return self._run()

    def resume(self, path: str, result: Any = None, *, error: EffectFailed | None = None) -> Step:
        """Answer the request at `path` and run on. Raises ValueError when nothing waits there."""
        if path not in self._pending or any(waiting == path for waiting, _ in self._inbox):
            raise ValueError(f"no request waits at {path!r} (this machine is {self.status})")
        self._inbox.append((path, error if error is not None else _Answer(result)))
        return self._run()

    def go_on(self) -> Step:
        """Run on after a `sliced` step. Raises ValueError when there is nothing to go on with."""
        if self.status != "sliced":
            raise ValueError(f"this machine is {self.status}, not sliced")
        return self._run()

    def close(self) -> None:
        """End the program wherever it is. No code of the program runs any more; closing twice is harmless."""
        if self.status == "closed":
            return
        main, self._main = self._main, None
        if main is not None:
            self._hub = getcurrent()
            self._kill(main)
        self._pending.clear()
        self._ready.clear()
        self._inbox.clear()
        self._hub = None
        if self.status not in ("finished", "failed"):
            self.status = "closed"
        self._runtime.release()

    # -- what host functions call ------------------------------------------------------------------------------

    def perform(self, request: Any) -> Any:
        """Ask the world. Suspends the calling branch; returns the result or raises EffectFailed."""
        task = self._task()
        self._effects += 1
        limit = self.program.options.limits.effects
        if self._effects > limit:
            raise LimitHit("effects_exceeded", f"The program asks for more than {limit} effects")
        path = task.next_path()
        task.waiting_on = path
        self._pending[path] = (request, task)
        self._new.append(Pending(path, request))
        answer = self._switch_out(task)
        if isinstance(answer, _Answer):
            return answer.result
        raise answer

    def branches(
        self,
        thunks: Sequence[Callable[[], Any]],
        strategy: Strategy = "all",
        max_concurrency: int | None = None,
        min_results: int | None = None,
    ) -> list[BranchResult]:
        """Run `thunks` side by side and return how each ended, by position.

        `all` ends at the first failure, `race` at the first success, `quorum` when `min_results` (default: more than
        half) succeeded or no longer can, `all_settled` when all ended. Whatever still runs then is cancelled.
        """
        task = self._task()
        if strategy not in STRATEGIES:
            raise Raised(f"Unknown strategy '{strategy}' (one of {', '.join(STRATEGIES)})", code="bad_strategy")
        if max_concurrency is not None and max_concurrency < 1:
            raise Raised("max_concurrency must be at least 1", code="bad_concurrency")
        path = task.next_path()
        group = Group(task, path, list(thunks), strategy, max_concurrency, min_results)
        if not group.thunks:
            return []
        task.children = group
        self._start_branches(group)
        self._switch_out(task)
        task.children = None
        return group.outcome()

    def call_program(self, program: Program, inputs: Mapping[str, Any], host: Mapping[str, Callable[..., Any]]) -> Any:
        """Run another program as a part of this one, with inputs and host functions of its own; gives its value."""
        self._task()
        return run_called(self._runtime, program, inputs, host)

    def greenlets(self) -> list[Any]:
        """The frames of the branches that wait, for the memory census."""
        waiting = [task for _, task in self._pending.values()] + [task for task, _ in self._ready]
        stack = [self._main] if self._main is not None else []
        frames: list[Any] = []
        seen: set[int] = set()
        while stack or waiting:
            task = stack.pop() if stack else waiting.pop()
            if id(task) in seen:
                continue
            seen.add(id(task))
            frames.append(task.glet.gr_frame)
            if task.children is not None:
                stack.extend(task.children.live.values())
        return frames

    # -- the scheduler -----------------------------------------------------------------------------------------

    def slice_out(self) -> None:
        """Called by the step counter: hand control to the owner, go on when it says so."""
        task = self._task()
        self._sliced = task
        self._switch_out(task)

    def _task(self) -> Task:
        task = self._current
        if task is None or getcurrent() is not task.glet:
            raise ValueError("effects can only be asked for by the program that is running")
        return task

    def _switch_out(self, task: Task) -> Any:
        depth = self._runtime.depth
        hub = self._hub
        if hub is None:
            raise Killed
        answer = hub.switch()
        self._current = task
        self._runtime.depth = depth
        return answer

    def _run(self) -> Step:
        self._hub = getcurrent()
        old_limit = sys.getrecursionlimit()
        if old_limit < RECURSION_LIMIT:
            sys.setrecursionlimit(RECURSION_LIMIT)
        try:
            self._drive()
        finally:
            if old_limit < RECURSION_LIMIT:
                sys.setrecursionlimit(old_limit)
            self._hub = None
            self._current = None
        return self._report()

    def _drive(self) -> None:
        hub = self._hub
        assert hub is not None
        while self._ending is None:
            if self._sliced is not None:
                task, self._sliced = self._sliced, None
                answer: Any = None
            elif self._ready:
                task, answer = self._ready.pop(0)
            elif self._inbox:
                path, answer = self._inbox.pop(0)
                if path not in self._pending:
                    continue
                task = self._pending.pop(path)[1]
                task.waiting_on = ""
            else:
                return
            self._current = task
            task.glet.parent = hub
            task.glet.switch(answer)
            if self._sliced is not None:
                return

    def _report(self) -> Step:
        new, self._new = self._new, []
        cancelled, self._cancelled = self._cancelled, []
        gone = set(cancelled)
        both = gone & {item.path for item in new}
        if both:
            new = [item for item in new if item.path not in both]
            cancelled = [path for path in cancelled if path not in both]
        if self._ending is None:
            self.status = "sliced" if self._sliced is not None else "suspended"
            return Step(self.status, new, cancelled)
        status, outcome = self._ending
        self.status = status
        self.close()
        if status == "finished":
            return Step("finished", new, cancelled, value=outcome)
        return Step("failed", new, cancelled, error=outcome)

    def _run_program(self, _: Any) -> None:
        try:
            value = self._runtime.run_entry()
        except Killed:
            return
        except (Exception, LimitHit) as failure:  # noqa: BLE001 - whatever it is becomes the end of this run
            self._end("failed", wrap_failure(failure, self.program))
        else:
            self.exports = self._runtime.entry_exports()
            self._end("finished", value)

    def _end(self, status: Literal["finished", "failed"], outcome: Any) -> None:
        self._ending = (status, outcome)

    def _start_branches(self, group: Group) -> None:
        for index in group.startable():
            task = Task(f"{group.path}.{index + 1}.", greenlet(self._run_branch), group, index)
            task.depth = self._runtime.depth
            group.live[index] = task
            self._ready.append((task, task))

    def _run_branch(self, task: Task) -> None:
        group = task.group
        assert group is not None
        self._runtime.depth = task.depth
        try:
            result = BranchResult(task.index, "ok", group.thunks[task.index]())
        except Killed:
            return
        except Raised as failure:
            result = BranchResult(task.index, "failed", error=failure)
        except (Exception, LimitHit) as failure:  # noqa: BLE001 - whatever it is becomes the end of this run
            self._end("failed", wrap_failure(failure, self.program))
            return
        self._settle(group, result)

    def _settle(self, group: Group, result: BranchResult) -> None:
        group.results[result.index] = result
        del group.live[result.index]
        if group.decided():
            self._cancel(group)
            self._ready.append((group.owner, None))
        else:
            self._start_branches(group)

    def _cancel(self, group: Group) -> None:
        group.closed = True
        group.waiting.clear()
        losers = [group.live[index] for index in sorted(group.live)]
        group.live.clear()
        for loser in losers:
            self._kill(loser)

    def _kill(self, task: Task) -> None:
        """End a branch and all below it, and note the paths nobody waits for any more, in program order."""
        if task.children is not None:
            self._cancel(task.children)
        if task.waiting_on and self._pending.pop(task.waiting_on, None) is not None:
            self._cancelled.append(task.waiting_on)
        if self._sliced is task:
            self._sliced = None
        if any(ready is task for ready, _ in self._ready):
            self._ready = [item for item in self._ready if item[0] is not task]
        if task.glet.dead or not task.glet:
            task.glet = greenlet(_nothing)
            return
        current = self._current
        task.glet.parent = getcurrent()
        with suppress(Stop):
            task.glet.throw(Killed)
        self._current = current


class _Answer:
    """The result of an effect on its way to the branch that waits for it."""

    __slots__ = ("result",)

    def __init__(self, result: Any) -> None:
        self.result = result


def _nothing() -> None:
    """The body of a branch that never began."""


def path_key(path: str) -> tuple[int, ...]:
    """Sorts paths in program order: "2" before "10", "4.2.1" before "4.10"."""
    return tuple(int(part) for part in path.split("."))
