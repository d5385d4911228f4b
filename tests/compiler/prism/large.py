"""Programs that mean well and are large: as large as a file may be, each with the value it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_STEP = """
const step{n} = parallel([
  () => ask("Review part {n} of ${{task}} for ${{focus}}", {{id: "review-{n}"}}),
  () => ask("Test part {n} of ${{task}}", {{id: "test-{n}", timeoutMs: 60000}}),
], {{strategy: "all_settled", max: 2}})
const kept{n} = step{n} |> filter(_, r => r.ok) |> map(_, r => r.value ~> (<~ r.value))
uncertain if (aggregate(kept{n}, {{strategy: "max"}})) {{
  high {{ note("part {n} is sure") }}
  medium {{ note("part {n} may do") }}
  low {{ throw "part {n} is not good enough" }}
}}
"""
_HOST = """
const task = "tidy"
const focus = "clarity"
fn ask(text, options) { return {ok: true, value: text ~> 0.9} }
fn parallel(branches, options) { map(branches, branch => branch()) }
fn note(text) { text }
"""


def _pattern(size: int) -> str:
    text, number = _HOST, 0
    while len(text) < size:
        number += 1
        text += _STEP.format(n=number)
    return text + f"len(kept{number})\n"


LARGE: dict[str, tuple[Callable[[], str], Any]] = {
    "a pattern of 300 KB": (lambda: _pattern(300 * 1024), 2),
    "a table of 11,000 rows": (
        lambda: "len([" + ",\n".join(f'{{name: "n{i}", v: {i}, w: [1, 2]}}' for i in range(11_000)) + "])",
        11_000,
    ),
    "an array of 99,000 numbers": (lambda: "sum([" + ",".join("1" for _ in range(99_000)) + "])", 99_000),
    "a megabyte of texts": (lambda: "len([" + ",".join(f'"{"x" * 1000}"' for _ in range(1000)) + "])", 1000),
    "40,000 variables": (lambda: "\n".join(f"let a{i} = {i}" for i in range(40_000)) + "\na39999", 39_999),
    "10,000 conditions": (
        lambda: "let a = 1\nlet s = 0\n" + "if (a) { s = s + 1 } else { s = 0 }\n" * 10_000 + "s",
        10_000,
    ),
    "2,000 functions": (lambda: "\n".join(f"fn f{i}(x) {{ x + {i} }}" for i in range(2_000)) + "\nf1999(1)", 2_000),
}
