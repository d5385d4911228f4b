"""The formatter and the printer of trees."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings

from compiler.prism import Limits, Options, PrismError, compile_program, run
from compiler.prism.parser import parse, parse_with_places
from compiler.prism.printer import format_source, print_program
from compiler.prism.source import Source
from compiler.prism.tree_equality import same_tree
from tests.compiler.prism.corpus import cases
from tests.compiler.prism.programs import PROGRAMS, outcome

SOURCES = [
    text
    for name in ("conformance.jsonl", "own.jsonl", "from_text.jsonl")
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
    assert count > 2500


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


COMMENTS = (" /* note {} */ ", " /* note\n {} */ ", " // note {}\n", "\n// note {}\n")
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)


def commented(source: str, kind: int) -> str:
    """A program with a comment between each two tokens, the forms of comments taking turns from `kind` on."""
    places: list[int] = []
    depth = 0
    for token in parse_with_places(Source(source, "x"), Limits()).tokens:
        depth -= token.type == "IEND"
        if depth == 0 and token.type != "$END":
            places += [token.end] if token.type == "IEND" else [token.pos]
        depth += token.type == "ISTART"
    made, last = "", 0
    for number, place in enumerate(places):
        # a new line before ( or [ would begin a new statement
        form = COMMENTS[0 if source[place : place + 1] in ("(", "[") else (number + kind) % len(COMMENTS)]
        made += source[last:place] + form.format(number)
        last = place
    return made + source[last:]


@pytest.mark.parametrize("kind", range(len(COMMENTS)))
def test_comments_between_all_tokens_are_kept(kind: int) -> None:
    """A comment in any place stays one comment of its own, changes nothing, and stands still when formatted again."""
    count = 0
    for source in SOURCES[kind::8]:
        try:
            tree = parse(source)
        except PrismError:
            continue
        if "//" in source or "/*" in source or not tree.body:
            continue
        count += 1
        written = commented(source, kind)
        formatted = format_source(written)
        assert same_tree(tree, parse(written)), written
        assert same_tree(tree, parse(formatted)), written
        assert format_source(formatted) == formatted, written
        kept = [sorted(" ".join(one.split()) for one in COMMENT.findall(text)) for text in (written, formatted)]
        assert kept[0] == kept[1], written
    assert count > 150


@pytest.mark.parametrize(
    ("source", "formatted"),
    [
        ("let x = 1 + // plus\n  2 * /* times */ 3", "let x = 1 + 2 * 3 // plus\n/* times */\n"),
        ("let x = 1 + // plus\n  2 // two", "let x = 1 + 2 // plus\n// two\n"),
        ("if (a) { 1 } // yes\nelse { // no\n2 }", "if (a) {\n  1\n} else {\n  // yes\n  // no\n  2\n}\n"),
        ("{ /* why */ ; }", "{\n  /* why */\n  ;\n}\n"),
        ("match [1 /* one */] { [a] => a }", "match [\n  1, /* one */\n] { [a] => a }\n"),
    ],
)
def test_comments_that_meet_stay_apart(source: str, formatted: str) -> None:
    """What would come to stand behind a `//` goes to the next line; comments change neither blocks nor arms."""
    assert format_source(source) == formatted
    assert format_source(formatted) == formatted


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
