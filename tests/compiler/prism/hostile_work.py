"""Programs that look for uncounted work or memory: the most of it for each step, or each byte, they are charged.

Each builds what it needs and then does one thing over and over.
"""

from __future__ import annotations

from collections.abc import Callable

Hostile = dict[str, tuple[Callable[[], str], str]]


def _forever(body: str, before: str = "") -> Callable[[], str]:
    return lambda: f"{before}\nwhile true {{ {body} }}"


def _list(form: str, count: int, separator: str = ", ") -> str:
    return separator.join(form.format(i=i) for i in range(count))


def _steps(body: str, before: str = "") -> tuple[Callable[[], str], str]:
    return _forever(body, before), "steps_exceeded"


def _memory(body: str, before: str = "") -> tuple[Callable[[], str], str]:
    return _forever(body, before), "memory_exceeded"


_A = "let a = range(3000)\n"
_SURE = "let a = 1 ~> 0.5\nlet b = 2 ~> 0.4\nlet s = 0\n"
_SURE_ARRAY = _A + "let sure = map(a, x => (x + 0.125) ~> 0.1225)\n"
_TEXT = 'let t = "a"\nfor i in range(21) { t = t + t }\n'
_OBJECT = 'let o = groupBy(x => "k${x}")(range(9000))\n'
_THINGS = 'let things = map(range(3000), x => ({a: (x * 7919) % 3001, b: "k${x}"}))\n'

LONG_BODIES: Hostile = {
    "a long round": _steps("s = i + 1;" * 3000, "let i = 0\nlet s = 0"),
    "a long sum in a round": _steps("s = " + _list("i", 10_000, " + "), "let i = 0\nlet s = 0"),
    "a long function": (lambda: f"fn f(a) {{ {'a + 1;' * 2000} 1 }}\nwhile true {{ f(2) }}", "steps_exceeded"),
    "a long row of branches": _steps('if (x == "a") { s = s + 1 };' * 500, 'let x = "b"\nlet s = 0'),
    "a long row of conditions": _steps("s = " + _list("x", 1000, " && "), "let x = {}\nlet s = 0"),
    "a long choice": _steps("s = " + "i ? 1 : " * 400 + "2", "let i = 0\nlet s = 0"),
    "powers and remainders": _steps("s = i ** 3 % 7;" * 500, "let i = 3\nlet s = 0"),
    "many arms": _steps("s = match i { " + _list("{i}.5 => 1", 1000) + " }", "let i = 0\nlet s = 0"),
    "many arrays to match": _steps(
        "s = match o { " + _list("[{i}.5, ...r] => 1", 200) + " }", "let o = range(999) ~> 0.5\nlet s = 0"
    ),
    "many objects to match": _steps(
        "s = match o { " + _list("{{a: {i}.5}} => 1", 300) + " }", "let o = {a: 0}\nlet s = 0"
    ),
    "many names to take out": _steps("let {" + _list("a{i}", 500) + ", ...r} = o", _OBJECT),
    "many members": _steps("s = o.a~.b?.c;" * 100, "let o = {a: {b: {c: 1}}} ~> 0.5\nlet s = 0"),
    "many indexes": _steps("s = o[0 ~> 0.5];" * 100, "let o = [1] ~> 0.5\nlet s = 0"),
    "many arguments": (
        lambda: f"fn f({_list('a{i}', 250)}) {{ 1 }}\nwhile true {{ f({_list('1', 250)}) }}",
        "steps_exceeded",
    ),
    "many literals": _steps("s = [" + _list("{{a: {i}, b: [i, i]}}", 300) + "]", "let i = 0\nlet s = 0"),
    "many try statements": _steps("try { s = 1 } finally { s = 2 };" * 300, "let s = 0"),
}

OPERATORS: Hostile = {
    "confident arithmetic": _steps("s = a + b * a - b / a;" * 10, _SURE),
    "confident comparison": _steps("s = a < b && a == b;" * 10, _SURE),
    "confident operators": _steps("s = a ~+ b ~* a ~|| b ~&& a;" * 10, _SURE),
    "handing on": _steps("s = a ~?? b ~||> a ~@> b;" * 10, _SURE),
    "gates": _steps("s = (a ~? b : a) ~?> [0.6, 1];" * 10, _SURE),
    "attaching": _steps("s = (<~ (-a ~> 0.3)) ~> 0.2;" * 10, _SURE),
    "kinds": _steps('s = typeof a instanceof "number";' * 10, _SURE),
    "pipelines of functions": _steps("s = 1 |> f |> f ~|> f |> f", "fn f(x) { x }\nlet s = 0"),
    "numbers as text": _steps('s = "" + x; x = x * 1.0000001', "let s = 0\nlet x = 1.2345678901234567e-300"),
    "sure values as text": _steps('s = "${x}"', "let s = 0\nlet x = 0.123456789 ~> 0.1225"),
    "arrays as text": _steps('s = "${a}"', _SURE_ARRAY + "let s = 0\na = sure"),
    "comparing long texts": _steps("s = t < u", _TEXT + 'let s = 0\nlet u = t + ""'),
    "comparing objects": _steps(
        "s = things == others", _THINGS + "let s = 0\n" + _THINGS.replace("things", "others", 1)
    ),
    "long keys": _steps("s = o[u]", _TEXT + 'let u = t + ""\nlet o = groupBy(x => t)([1])\nlet s = 0'),
    "spreading objects": _steps("s = {...o, ...o}", _OBJECT + "let s = 0"),
    "fibonacci with confidence": (
        lambda: "fn f(n) { n < 2 ? n : f(n - 1) + f(n - 2) }\nf(60 ~> 0.5)",
        "steps_exceeded",
    ),
    "fibonacci of objects": (
        lambda: "fn f(o) { o.n < 2 ? {v: 0} : {v: f({n: o.n - 1}).v + f({n: o.n - 2}).v} }\nf({n: 60})",
        "steps_exceeded",
    ),
    "a tree of callbacks": (lambda: "fn f(n) { n == 0 ? 0 : [1, 2].map(x => f(n - 1)) }\nf(60)", "steps_exceeded"),
    "deep calls": _steps("f(2000)", "fn f(n) { n == 0 ? 0 : 1 + f(n - 1) }"),
    "throwing from the depth": _steps(
        "try { f(900) } catch (e) { e }",
        "fn f(n) { try { n == 0 ? g() : f(n - 1) } finally { 1 } }\nfn g() { throw 1 }",
    ),
    "throwing and catching": _steps(
        "try { f(900) } catch (e) { e }",
        "fn f(n) { try { n == 0 ? g() : f(n - 1) } catch (e) { throw e } }\nfn g() { throw range(99) }",
    ),
    "functions made": _steps("let y = s\n" + "s = x => y + z;" * 10, "let s = 0\nlet z = 1"),
}

BUILTINS: Hostile = {
    "calling builtins": _steps("abs(floor(sqrt(abs(2.5 ~> 0.5))))"),
    "rounding": _steps("round(1.2345678901234567e-300, 20)\nround(0.000030517578125, 14)"),
    "callbacks": _steps("reduce(filter(map(a, x => x), x => x), (x, y) => y)", _A),
    "searching with a function": _steps("some([1], x => false)\nevery([1], x => true)\nfind([1], x => false)"),
    "sorting objects": _steps('sortBy("a")(things)\nsortBy("b", "desc")(things)', _THINGS),
    "sorting numbers": _steps("sort(r)", "let r = map(range(300000), x => (x * 7919) % 300007)"),
    "grouping": _steps('groupBy("a")(things)', _THINGS),
    "looking for objects": _steps("includes(things, {a: -1})", _THINGS),
    "looking for texts": _steps("includes(t, u)", _TEXT + 'let u = slice(t, 0, 900000) + "b"'),
    "letters that grow": _steps("upper(t)", 'let t = "\u0390"\nfor i in range(16) { t = t + t }'),
    "splitting into letters": _memory('split(t, "")', _TEXT),
    "joining": _steps('sure.join("")', _SURE_ARRAY),
    "confidence of many": _steps('aggregate(sure, {strategy: "product"})\nconsensus(sure)\nsum(sure)', _SURE_ARRAY),
    "thresholds of objects": _steps("threshold(0.5)([o, o, o])", _OBJECT),
    "wrapped functions": _steps(
        "g(1)", "let g = confidence(0.5)(x => x)\nfor i in range(200) { g = confidence(0.5)(g) }"
    ),
    "spread arguments": _steps("max(...a)\nf(...a)", _A + "fn f(...r) { 1 }"),
    "misused builtins": _steps("try { sort(a, 1) } catch {}\ntry { f(...a) } catch {}", _A + "fn f(x) { x }"),
    "printing": _steps("print(sure)", _SURE_ARRAY),
    "entries": _steps("entries(o)\nvalues(o)", _OBJECT),
}

MEMORY: Hostile = {
    "closures of many variables": _steps(
        _list("let a{i} = 1", 200, "\n") + f"\nf = [() => {_list('a{i}', 200, ' + ')}, f]", "let f = 0"
    ),
    "functions of many variables": _steps(
        "f = [g(f), f]",
        f"let f = 0\nfn g(x) {{ {_list('let a{i} = x', 200, ';')}; () => {_list('a{i}', 200, ' + ')} }}",
    ),
    "a row of spreads": _steps(f"s = [{_list('...a', 3000)}]", "let a = range(300000)\nlet s = 0"),
    "a call of spreads": _steps(f"f({_list('...a', 3000)})", "let a = range(300000)\nfn f(...r) { 1 }"),
    "one array many times": _memory("concat(...r)", "let a = range(300000)\nlet r = map(range(3000), x => a)"),
    "one array many times as text": _memory('r.join("")', "let a = range(90000)\nlet r = map(range(900), x => a)"),
    "one text many times": _memory(
        f's = "{"${t}" * 3000}"', 'let s = 0\nlet t = "\U0001f600"\nfor i in range(20) { t = t + t }'
    ),
    "a text in pieces": _memory('s = [split(t, ""), s]', _TEXT + "let s = 0"),
    "letters beyond ASCII in pieces": _memory(
        's = [split(t, ""), s]', 'let s = 0\nlet t = "\u0390"\nfor i in range(18) { t = t + t }'
    ),
    "letters that grow and stay": _memory("t = upper(t) + t", 'let t = "\u0390"'),
    "sure values": _memory("s = [map(range(9000), x => x ~> 0.5), s]", "let s = 0"),
    "sure entries": _steps("let {k1, ...r} = o\ns = [r, s]", _OBJECT + "let s = 0\no = o ~> 0.5"),
    "groups": _steps('s = [groupBy(x => "k${x}")(range(9000)), s]', "let s = 0"),
    "pairs": _memory("s = [entries(o), s]", _OBJECT + "let s = 0"),
    "calls that keep": (lambda: "fn f(n) { let a = range(9000)\nf(n + 1) + len(a) }\nf(0)", "memory_exceeded"),
    "values thrown": (
        lambda: "fn f(n) { try { throw range(9000) } catch (e) { f(n + 1) + len(e) } }\nf(0)",
        "memory_exceeded",
    ),
}

WORK: Hostile = {**LONG_BODIES, **OPERATORS, **BUILTINS, **MEMORY}
