"""The formatter and the printer of trees."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from compiler.prism import Limits, Options, PrismError, compile_program, run
from compiler.prism.parser import parse
from compiler.prism.printer import format_source, print_program
from compiler.prism.tree_equality import same_tree
from tests.compiler.prism.corpus import cases
from tests.compiler.prism.programs import PROGRAMS, outcome

SOURCES = [
    text
    for name in ("conformance.jsonl", "own.jsonl")
    for case in cases(name)
    for text in (case.files.values() if case.files is not None else [case.source])
]
SMALL = Options(limits=Limits(steps=20_000, memory=1024 * 1024))


def test_every_case_prints_to_the_same_tree() -> None:
    """The text of a tree, and a formatted program, parse to the same tree; formatting again changes nothing."""
    count = 0
    for source in SOURCES:
        try:
            tree = parse(source)
        except PrismError:
            continue
        count += 1
        printed, formatted = print_program(tree), format_source(source)
        assert same_tree(tree, parse(printed)), source
        assert same_tree(tree, parse(formatted)), source
        assert format_source(formatted) == formatted, source
    assert count > 1500


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(PROGRAMS)
def test_a_printed_program_is_the_same_program(source: str) -> None:
    """Printing and formatting keep the tree, the outcome of a run, and each comment; formatting is idempotent."""
    try:
        tree = parse(source)
    except PrismError:
        return
    printed, formatted = print_program(tree), format_source(source)
    assert same_tree(tree, parse(printed))
    assert same_tree(tree, parse(formatted))
    assert format_source(formatted) == formatted
    assert formatted.count("note") == source.count("note")
    before = outcome(lambda: run(compile_program(source, options=SMALL)))
    assert outcome(lambda: run(compile_program(printed, options=SMALL))) == before
    assert outcome(lambda: run(compile_program(formatted, options=SMALL))) == before


@pytest.mark.parametrize(
    ("source", "formatted"),
    [
        ("", ""),
        (" \n\n", ""),
        ("// only\n", "// only\n"),
        ("a+b", "a + b\n"),
        ("(a+b)*c", "(a + b) * c\n"),
        ("((a))", "a\n"),
        ("let  x=1;;", "let x = 1\n"),
        ("x;-y", "x;\n-y\n"),
        ("fn f(){return;1}", "fn f() {\n  return;\n  1\n}\n"),
        ("function f(a,b){a}", "fn f(a, b) {\n  a\n}\n"),
        ("x=>({a:1})", "x => ({a: 1})\n"),
        ("({a:1})", "({a: 1})\n"),
        ("if(a){b}else if(c){d}else{e}", "if (a) {\n  b\n} else if (c) {\n  d\n} else {\n  e\n}\n"),
        ("{ ; }", "{ ; }\n"),
        ("[1,,2,]", "[1, , 2]\n"),
        ("[,]", "[,]\n"),
        ("1.50 + 1e3", "1.50 + 1e3\n"),
        ("'single' + \"double\"", "'single' + \"double\"\n"),
        ('"${ a+b }"', '"${ a+b }"\n'),
        ("undefined", "undefined\n"),
        ("a\n\n\n\nb", "a\n\nb\n"),
        ("match x{1=>2,_=>3}", "match x { 1 => 2, _ => 3 }\n"),
        ("match x{\n1=>2;_=>3}", "match x {\n  1 => 2,\n  _ => 3,\n}\n"),
        ("{\na:1}", "({\n  a: 1,\n})\n"),
        ("while a b", "while a\n  b\n"),
        (
            "uncertain if(x~>0.5){high{1}default{}}",
            "uncertain if (x ~> 0.5) {\n  high {\n    1\n  }\n  default {}\n}\n",
        ),
        ("import {a as b,c} from './m'", 'import {a as b, c} from "./m"\n'),
        ("agents{a:{x:1}}", "agents {\n  a: Agent {\n    x: 1,\n  }\n}\n"),
        ("x|>f|>g(_)", "x |> f |> g(_)\n"),
        ("-2**2", "-2 ** 2\n"),
        ("(-2)**2", "(-2) ** 2\n"),
        ("- -1", "- -1\n"),
        ("(1).length", "(1).length\n"),
        ("a ~> (0.5)", "a ~> 0.5\n"),
        ("(a ~~ b) ~> 0.5", "(a ~~ b) ~> 0.5\n"),
    ],
)
def test_format(source: str, formatted: str) -> None:
    """How each construct is written."""
    assert format_source(source) == formatted
    assert format_source(formatted) == formatted


def test_comments_stay_where_they_were() -> None:
    """Comments keep their place between statements, elements, arguments, arms and stages, or the end of their line."""
    source = """\
// first
let a = 1 // why a
/* block
   of two lines */
let xs = [
  1, // one
  // before two
  2,
  // last
]
f(
  a, // the a
  b,
)
fn g() {
  // nothing yet
}
match a {
  // one
  1 => 2, // two
  _ => 3,
}
uncertain if (a) {
  // sure
  high {
    1
  } // done
  // unsure
  low {
    2
  }
}
xs
  // first stage
  |> f(_)
  |> g(_)
agents {
  // who
  a: Agent {
    x: 1, // x
  }
}
// last
"""
    # the spaces in front of a comment that ends a line are one
    assert format_source(source) == source


def test_long_lines_break() -> None:
    """What does not fit on a line breaks at its outermost places."""
    name = "a_rather_long_name_for_a_variable"
    chain = format_source(f"let x = {name} + {name} + {name} + {name}")
    assert chain == f"let x = {name}\n  + {name}\n  + {name}\n  + {name}\n"
    call = format_source(f"some_function({name}, {name}, {name})")
    assert call == f"some_function(\n  {name},\n  {name},\n  {name},\n)\n"
    table = format_source(f"f(a, {{first: {name}, second: {name}, third: {name}}})")
    assert table.startswith("f(a, {\n  first: ")


def test_what_is_no_program_is_refused() -> None:
    """A text that does not parse is not formatted."""
    with pytest.raises(PrismError) as failure:
        format_source("let = ", "x.prism")
    assert failure.value.kind == "ParseError"
    assert failure.value.file == "x.prism"


def test_a_deep_tree_is_no_crash() -> None:
    """A tree too deep to print is a limit, not a crash."""
    source = "o" + ".a" * 20_000
    with pytest.raises(PrismError) as failure:
        format_source(source)
    assert failure.value.kind == "LimitError"
