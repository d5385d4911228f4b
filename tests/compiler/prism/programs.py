"""Random programs for properties: trees of every kind of node, as text."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

NAMES = st.sampled_from(["a", "b", "c", "f", "xs", "o"])
NUMBERS = st.sampled_from(["0", "1", "2.5", "1e3", "0.1", "10000000000000000"])
STRINGS = st.sampled_from(['""', '"a"', "'b\"'", '"\\n${a}"', '"${a + 1}x${[b]}"', "```raw ${a} \\```", '"\\u{1F600}"'])
KEYS = st.sampled_from(["a", "b", "if", '"x y"', "high"])
BINARY = st.sampled_from(
    [
        *"+-*/%<>",
        "<=",
        ">=",
        "==",
        "!=",
        "===",
        "!==",
        "&&",
        "||",
        "??",
        "~+",
        "~-",
        "~*",
        "~/",
        "~<",
        "~<=",
        "~>=",
        "~==",
        "~!=",
        "~&&",
        "~||",
        "~??",
        "~||>",
        "~@>",
        "~~",
        "instanceof",
    ]
)


def _binary(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(lambda left, op, right: f"({left}) {op} ({right})", inner, BINARY, inner) | st.builds(
        lambda left, op, right: f"{left} {op} {right}", inner, st.sampled_from(["+", "*", "&&", "==", "-"]), inner
    )


def _lists(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    items = st.lists(inner | st.builds("...[{}]".format, inner) | st.just(""), max_size=3)
    entries = st.lists(st.builds("{}: {}".format, KEYS, inner) | NAMES | st.builds("...({})".format, inner), max_size=3)
    return st.builds(lambda parts: f"[{', '.join(parts)}]", items) | st.builds(
        lambda parts: f"({{{', '.join(parts)}}})", entries
    )


def _calls(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    args = st.lists(inner, max_size=3).map(", ".join)
    return st.one_of(
        st.builds("{}({})".format, NAMES, args),
        st.builds("({})({})".format, inner, args),
        st.builds("({}).{}".format, inner, st.sampled_from(["a", "length", "if", "map"])),
        st.builds("({})?.a".format, inner),
        st.builds("({})~.a".format, inner),
        st.builds("({})[{}]".format, inner, inner),
    )


def _other(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("({}) ? ({}) : ({})".format, inner, inner, inner),
        st.builds("({}) ~? {} : {}".format, inner, NAMES, inner),
        st.builds("({}) ~> {}".format, inner, st.sampled_from(["0.5", "-1", "a", "(0.2 + 0.3)"])),
        st.builds("({}) |> f(_, {})".format, inner, NAMES),
        st.builds("({}) ~|> (_)".format, inner),
        st.builds("({}) ~?> [0.5, {}]".format, inner, inner),
        st.builds("{}({})".format, st.sampled_from(["!", "-", "<~ ", "typeof ", "await "]), inner),
        st.builds("({}) ** {}".format, inner, NAMES),
        st.builds("a => ({})".format, inner),
        st.builds("((a, [b, c], {{o, f: xs = 1}}, ...r) => {{ return {} }})".format, inner),
        st.builds(
            "match ({}) {{ 1 => {}, [a, ...r] ~> 0.5 if a => {{ a }}; {{o: x}} => x, _ => 0 }}".format, inner, NAMES
        ),
    )


def _expressions(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(_binary(inner), _lists(inner), _calls(inner), _other(inner))


EXPRESSIONS = st.recursive(NAMES | NUMBERS | STRINGS | st.sampled_from(["true", "null"]), _expressions, max_leaves=12)


def _statements(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    body = st.lists(inner, max_size=3).map(lambda parts: "{ " + "\n".join(parts) + " }")
    return st.one_of(
        st.builds("if ({}) {} else {}".format, EXPRESSIONS, body, body),
        st.builds("if ({}) {}".format, EXPRESSIONS, body),
        st.builds("uncertain if (({}) ~> 0.6) {{ high {} medium {} }}".format, EXPRESSIONS, body, body),
        st.builds("for x, i in [{}] {}".format, EXPRESSIONS, body),
        st.builds("for let i = 0; i < 2; i = i + 1 {}".format, body),
        st.builds("try {} catch (e) {} finally {}".format, body, body, body),
        st.builds("in context A {}".format, body),
        st.builds("let k = 0\nwhile k < 2 {{ k = k + 1\n{} }}".format, body),
        st.builds("(() => {})()".format, body),
        body,
    )


SIMPLE = st.one_of(
    EXPRESSIONS,
    st.builds("let v = {}".format, EXPRESSIONS),
    st.builds("a = {}".format, EXPRESSIONS),
    st.builds("b += {};".format, EXPRESSIONS),
    st.builds(";[a, b] = [{}, 1]".format, EXPRESSIONS),
    st.builds("throw {}".format, EXPRESSIONS),
    st.just("// note"),
    st.just("/* note */ 1"),
    st.just(";-a"),
)
STATEMENTS = st.recursive(SIMPLE, _statements, max_leaves=8)
PRELUDE = 'let a = 1\nlet b = 2 ~> 0.6\nlet c = "c"\nlet f = (x, y) => x\nlet xs = [1, 2]\nlet o = {a: 1, b: 2}\n'
PROGRAMS: st.SearchStrategy[str] = st.lists(STATEMENTS, max_size=5).map(lambda parts: PRELUDE + "\n".join(parts))


def outcome(run: Any) -> Any:
    """What a run ends with: its value as JSON, or the kind, code and message of its failure."""
    from compiler.prism import PrismError, to_json

    try:
        return to_json(run())
    except PrismError as failure:
        return failure.kind, failure.code, failure.message
