"""Programs that mean harm, each with the code of the error that ends it; run one by name in a process of its own."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.compiler.prism.hostile_work import WORK
from tests.compiler.prism.large import LARGE

MIB = 1024 * 1024

HOSTILE: dict[str, tuple[Callable[[], str], str]] = {
    "while": (lambda: "while true {}", "steps_exceeded"),
    "do": (lambda: "do {} while true", "steps_exceeded"),
    "for": (lambda: "let i = 0\nfor ;; { i = i + 1 }", "steps_exceeded"),
    "uncertain while": (lambda: "uncertain while true { default {} }", "steps_exceeded"),
    "try in a loop": (lambda: "while true { try { nope } catch (e) { 1 } }", "steps_exceeded"),
    "a limit caught": (lambda: "try { while true {} } catch (e) { 1 } finally { 2 }", "steps_exceeded"),
    "two calls each": (lambda: "fn f(n) { n < 2 ? n : f(n - 1) + f(n - 2) }\nf(60)", "steps_exceeded"),
    "finally": (lambda: "fn f() { try { f() } finally { f() } }\nf()", "depth_exceeded"),
    "recursion": (lambda: "fn f() { f() }\nf()", "depth_exceeded"),
    "recursion by turns": (lambda: "fn a() { b() }\nfn b() { a() }\na()", "depth_exceeded"),
    "recursion in map": (lambda: "let f = x => [x].map(f)\nf(1)", "depth_exceeded"),
    "recursion in sort": (lambda: "let f = (a, b) => { sort([1, 2], f)\n1 }\nf(1, 2)", "depth_exceeded"),
    "doubling text": (lambda: 'let s = "ab"\nwhile true { s = s + s }', "memory_exceeded"),
    "doubling interpolation": (lambda: 'let s = "ab"\nwhile true { s = "${s}${s}" }', "memory_exceeded"),
    "doubling array": (lambda: "let a = [1]\nwhile true { a = [...a, ...a] }", "memory_exceeded"),
    "growing array": (lambda: "let a = []\nwhile true { a = a.push(1) }", "steps_exceeded"),
    "nested objects": (lambda: "let o = {}\nwhile true { o = {o} }", "memory_exceeded"),
    "closures": (lambda: "let f = x => x\nwhile true { let g = f\nf = x => g(x) }", "memory_exceeded"),
    "range": (lambda: "range(1e15)", "memory_exceeded"),
    "shared structure as text": (lambda: 'let a = [1]\nfor i in range(60) { a = [a, a] }\n"" + a', "memory_exceeded"),
    "shared structure as result": (lambda: "let a = [1]\nfor i in range(60) { a = [a, a] }\na", "memory_exceeded"),
    "deep result": (lambda: "let a = [1]\nfor i in range(50000) { a = [a] }\na", "memory_exceeded"),
    "deep text": (lambda: 'let a = [1]\nfor i in range(50000) { a = [a] }\n"" + a', "nested_value"),
    "deep comparison": (
        lambda: "let a = 1\nlet b = 1\nfor i in range(9999) { a = [a]\nb = [b] }\na == b",
        "nested_value",
    ),
    "searching": (lambda: "let a = range(900000)\nwhile true { includes(a, -1) }", "steps_exceeded"),
    "summing": (lambda: "let a = range(900000)\nwhile true { sum(a) }", "steps_exceeded"),
    "sorting": (lambda: "let a = range(300000)\nwhile true { sort(a, (x, y) => y - x) }", "steps_exceeded"),
    "upper": (lambda: 'let s = "a"\nfor i in range(22) { s = s + s }\nwhile true { upper(s) }', "steps_exceeded"),
    "trimming": (lambda: 'let s = " "\nfor i in range(22) { s = s + s }\nwhile true { trim(s) }', "steps_exceeded"),
    "splitting": (
        lambda: 'let s = "a"\nfor i in range(22) { s = s + s }\nwhile true { split(s, "b") }',
        "steps_exceeded",
    ),
    "looking at keys": (
        lambda: 'let o = groupBy(x => "k${x}")(range(90000))\nwhile true { keys(o) }',
        "steps_exceeded",
    ),
    "squaring": (lambda: "let n = 2\nwhile true { n = n ** 2 }", "not_finite"),
    "a huge literal": (lambda: "9" * MIB, "number_too_large"),
    "a huge exponent": (lambda: "1e" + "9" * 1000, "number_too_large"),
    "parentheses": (lambda: "(" * 30_000, "nesting_too_deep"),
    "a megabyte of parentheses": (lambda: "(" * MIB, "tokens_exceeded"),
    "brackets": (lambda: "[" * 30_000, "nesting_too_deep"),
    "a megabyte of brackets": (lambda: "[" * MIB, "tokens_exceeded"),
    "braces": (lambda: "{" * 30_000, "nesting_too_deep"),
    "a megabyte of braces": (lambda: "{" * MIB, "tokens_exceeded"),
    "interpolations": (lambda: '"${' * (MIB // 3), "tokens_exceeded"),
    "closing brackets": (lambda: ")" * MIB, "tokens_exceeded"),
    "empty pairs": (lambda: "[]" * (MIB // 2), "tokens_exceeded"),
    "minus signs": (lambda: "-" * MIB, "tokens_exceeded"),
    "a long sum": (lambda: "1+" * (MIB // 2 - 1) + "1", "tokens_exceeded"),
    "a long ternary": (lambda: "a?" * 15_000, "syntax"),
    "prefixes": (lambda: "!" * 30_000 + "1", "nesting_too_deep"),
    "arrows": (lambda: "x=>" * 5_000 + "x", "nesting_too_deep"),
    "members": (lambda: "a" + ".a" * 19_000, "nesting_too_deep"),
    "pipelines": (lambda: "1" + "|>_+1" * 9_000, "nesting_too_deep"),
    "ifs": (lambda: "if (1) " * 9_000 + "1", "nesting_too_deep"),
    "a row of headers": (lambda: "while 1 " * 90_000, "syntax"),
    "a row of lambdas": (lambda: "x => 1\n" * 40_000, "tokens_exceeded"),
    "many variables and functions": (
        lambda: "".join(f"let a{i} = 1\n" for i in range(20_000)) + "x => 1\n" * 4_000,
        "tokens_exceeded",
    ),
    "products in a small file": (lambda: "a*b/a;" * 5_400, "undefined_name"),
    "conditions in a small file": (lambda: "&&".join("ab"[i % 2] for i in range(10_500)), "undefined_name"),
    "names": (lambda: "a" * MIB, "undefined_name"),
    "quotes": (lambda: '"' * (MIB - 1), "tokens_exceeded"),
    "comment": (lambda: "/*" * (MIB // 2), "unterminated"),
    "stars": (lambda: "*" * MIB, "tokens_exceeded"),
    "tildes": (lambda: "~" * MIB, "tokens_exceeded"),
    "escapes": (lambda: '"' + "\\\\" * (MIB // 2 - 1), "unterminated"),
    "nul": (lambda: "\0" * MIB, "unexpected_character"),
    "letters beyond ASCII": (lambda: "é" * (MIB // 2), "unexpected_character"),
    "direction marks": (lambda: "let \u202e = 1", "unexpected_character"),
    "joiners": (lambda: "a\u200db", "unexpected_character"),
    "too large": (lambda: " " * (MIB + 1), "source_too_large"),
    "too large in bytes": (lambda: '"' + "\U0001f600" * (MIB // 4) + '"', "source_too_large"),
    **WORK,
}


def main(name: str) -> None:
    """Run one program within 400 MB of address space and print how it ended, in seconds of processor time and MB.

    A large program that means well may be named as well; it ends with its value.
    """
    from compiler.prism import PrismError, compile_program, run, to_json

    resource.setrlimit(resource.RLIMIT_AS, (400 * MIB, 400 * MIB))
    resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
    source = (HOSTILE.get(name) or LARGE[name])[0]()
    value = None
    try:
        value = to_json(run(compile_program(source)))
        code = "none"
    except PrismError as failure:
        code = failure.code
    used = resource.getrusage(resource.RUSAGE_SELF)
    report = {
        "code": code,
        "value": value,
        "cpu_s": used.ru_utime + used.ru_stime,
        "mb": _most_kib(used.ru_maxrss) // 1024,
    }
    sys.stdout.write(json.dumps(report))


def _most_kib(inherited: int) -> int:
    """The most memory this program had. `ru_maxrss` outlives exec on Linux, and so may be that of a large parent."""
    status = Path("/proc/self/status")
    if not status.exists():
        return inherited
    line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1])


if __name__ == "__main__":
    main(sys.argv[1])
