"""`parallax bench prism`: the language alone. Needs no server."""

from __future__ import annotations

import gc
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import click
import msgspec

from compiler.prism import Machine, Program, compile_program, run
from compiler.prism.check import check_program
from parallax.cli.common import emit_json, json_option

_LOOP = "let s = 0\nlet i = 0\nwhile i < 1000000 {\n  s = s + i\n  i = i + 1\n}\ns"
_FIB = "fn fib(n) {\n  if (n < 2) { return n }\n  return fib(n - 1) + fib(n - 2)\n}\nfib(22)"
_EFFECTS = "let s = 0\nfor let i = 0; i < {n}; i = i + 1 {{\n  s = s + ask(i)\n}}\ns"
_SUSPENDED = "fn wait(n) {\n  if (n == 0) { return ask(n) }\n  return wait(n - 1) + 1\n}\nwait(48)"
_STEP = """
const step{n} = parallel([
  () => assign(reviewer, "Review part {n} of ${{task}} for ${{focus}}", {{id: "review-{n}"}}),
  () => assign(tester, "Test part {n} of ${{task}}", {{id: "test-{n}", timeoutMs: 60000}}),
], {{strategy: "all_settled", max: 2}})
const kept{n} = step{n} |> filter(_, r => r.ok) |> map(_, r => r.value ~> (<~ r.value))
uncertain if (aggregate(kept{n}, {{method: "merge"}})) {{
  high {{ log("part {n} is sure") }}
  medium {{ log("part {n} may do") }}
  low {{ throw "part {n} is not good enough" }}
}}
"""
_COLD_ROUNDS, _WARM_ROUNDS, _SUSPENDED_PROGRAMS = 20, 2_000, 3_000
_LOAD = """
import time
began = time.perf_counter()
from compiler.prism.parser import tables
tables()
print(time.perf_counter() - began)
"""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured: seconds, milliseconds and bytes as the names say; the best of a few rounds each."""

    loop_million_s: float
    fib22_s: float
    pattern_bytes: int
    pattern_cold_ms: float
    pattern_cached_ms: float
    grammar_load_s: float
    effects_2500_s: float
    effects_10000_s: float
    effects_replayed_10000_s: float
    effects_memory_growth_bytes: int
    suspended_bytes: int
    suspended_threads: int


def measure() -> Figures:
    """Measures everything; takes some seconds."""
    pattern = _pattern()
    growth, threads = _suspended()
    few, _ = _effects(2_500)
    many, memory = _effects(10_000)
    replayed, _ = _effects(10_000)
    return Figures(
        loop_million_s=_best(_runner(compile_program(_LOOP))),
        fib22_s=_best(_runner(compile_program(_FIB)), 5),
        pattern_bytes=len(pattern),
        pattern_cold_ms=_best(_cold(pattern), _COLD_ROUNDS) * 1000,
        pattern_cached_ms=_best(lambda: _compiled(pattern), _WARM_ROUNDS) * 1000,
        grammar_load_s=_grammar_load(),
        effects_2500_s=few,
        effects_10000_s=many,
        effects_replayed_10000_s=replayed,
        effects_memory_growth_bytes=memory,
        suspended_bytes=growth,
        suspended_threads=threads,
    )


def _best(work: Callable[[], object], rounds: int = 3) -> float:
    """Seconds of the fastest round."""
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best


def _runner(program: Program) -> Callable[[], object]:
    return lambda: run(program)


def _pattern() -> str:
    """A pattern of about 3 KB that does what patterns do."""
    text = 'const task = input?.task ?? "tidy"\nlet focus = "clarity"\n'
    text += 'agents {\n  reviewer: Agent { id: "reviewer" }\n  tester: Agent { id: "tester" }\n}\n'
    number = 0
    while len(text) < 2_800:
        number += 1
        text += _STEP.format(n=number)
    return text + f"kept{number}\n"


_NAMES = ("input", "assign", "parallel", "log", "aggregate")


def _compiled(source: str) -> Program:
    return compile_program(source, globals=_NAMES)


def _cold(pattern: str) -> Callable[[], object]:
    """Parsed, checked and generated; each round another text, so that no cache knows it."""
    counter = iter(range(1_000_000))

    def work() -> None:
        found = check_program(f"{pattern}// {next(counter)}\n", globals=_NAMES)
        assert not found, found

    return work


def _grammar_load() -> float:
    """In a fresh process: importing the parser and reading its tables."""
    found = [
        subprocess.run([sys.executable, "-c", _LOAD], check=True, capture_output=True, text=True).stdout
        for _ in range(3)
    ]
    return min(float(seconds) for seconds in found)


def _ask(machine: Machine, value: object) -> object:
    return machine.perform(value)


def _effects(count: int) -> tuple[float, int]:
    """Seconds for a program that asks `count` times, and how much memory grew over the second half."""
    program = compile_program(_EFFECTS.format(n=count), globals=("ask",))
    machine = Machine(program, host={"ask": _ask})
    gc.collect()
    halfway = 0
    began = time.perf_counter()
    step = machine.start()
    for number in range(count):
        if number == count // 2:
            halfway = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        while step.status == "sliced":
            step = machine.go_on()
        (asked,) = step.new
        step = machine.resume(asked.path, 1.0)
    while step.status == "sliced":
        step = machine.go_on()
    seconds = time.perf_counter() - began
    assert step.status == "finished"
    return seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - halfway) * 1024


def _suspended() -> tuple[int, int]:
    """Bytes of a program that waits fifty calls deep, and how many threads a thousand of them cost."""
    program = compile_program(_SUSPENDED, globals=("ask",))
    machines: list[Machine] = []
    threads = threading.active_count()
    gc.collect()
    resident = _resident()
    for _ in range(_SUSPENDED_PROGRAMS):
        machine = Machine(program, host={"ask": _ask})
        assert machine.start().status == "suspended"
        machines.append(machine)
    growth = (_resident() - resident) // _SUSPENDED_PROGRAMS
    added = threading.active_count() - threads
    for machine in machines:
        machine.close()
    return growth, added


def _resident() -> int:
    """Bytes this process holds, stacks that greenlets saved included."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


@click.command()
@json_option
def prism(as_json: bool) -> int:
    """Measures the language alone: arithmetic, calls, compiling, effects, and what a waiting program costs."""
    figures = measure()
    if as_json:
        emit_json(figures)
        return 0
    for name in figures.__struct_fields__:
        value = getattr(figures, name)
        click.echo(f"{name:<28} {value:.4g}" if isinstance(value, float) else f"{name:<28} {value}")
    return 0
