"""Expressions of strangers: linear time, the meaning of ECMA-262, and a position for what cannot be had."""

from __future__ import annotations

import time

import pytest

from compiler.patterns import load_pattern
from compiler.regular_expressions import BadExpression, compiled, is_nested_repetition

CHART = """\
name: words
structure:
  name: team
  roles:
    writer: {{id: writer, name: Writer, agentType: custom, capabilities: [write]}}
workflow:
  name: write
  input:
    v: {{type: string, pattern: '{pattern}'}}
  steps:
    - {{type: assign, role: writer, task: write}}
"""


@pytest.mark.parametrize(
    ("expression", "text", "found"),
    [
        (r"^[a-z]+$", "main", True),
        (r"^[a-z]+$", "main\n", False),
        (r"^[a-z]+$", "a\nmain", False),
        (r"(?m)^[a-z]+$", "1\nmain", True),
        (r"main", "in the main part", True),
        (r"^.$", "\u2028", False),
        (r"^[^]$", "\n", True),
        (r"(?s)^.$", "\n", True),
        (r"[]", "a", False),
        (r"^\d$", "\u0663", False),
        (r"^\w$", "é", False),
        (r"^\p{L}+$", "żółć", True),
        (r"^\p{Letter}+$", "żółć", True),
        (r"^\p{Script=Greek}+$", "γεια", True),
        (r"^\P{L}$", "1", True),
        (r"^\s$", "\u00a0", True),
        (r"^\S$", "\ufeff", False),
        (r"^[\S]$", "\ufeff", False),
        (r"^[^\S]$", "\v", True),
        (r"^\u00e9$", "é", True),
        (r"^\ud83d\ude00$", "😀", True),
        (r"^\u{1F600}$", "😀", True),
        (r"^\x41$", "A", True),
        (r"^\cJ$", "\n", True),
        (r"^[\b]$", "\b", True),
        (r"^[\w.-]+@x\.y$", "a-b.c@x.y", True),
        (r"^[a-\d]$", "-", True),
        (r"^[-a]$", "-", True),
        (r"^[a-]$", "-", True),
        (r"^[[:alpha:]]$", "a]", True),
        (r"^a{$", "a{", True),
        (r"^\/$", "/", True),
        (r"(?i)^ABC\Z", "abc", True),
        (r"^(?<year>\d{4})-(?P<month>\d\d)$", "2026-12", True),
        (r"a|b", "c", False),
        (r"^$", "", True),
    ],
)
def test_an_expression_means_what_ecma_262_says(expression: str, text: str, found: bool) -> None:
    """The same as `RegExp` of JavaScript, which twenty thousand random expressions were compared with."""
    assert compiled(expression).found_in(text) is found


@pytest.mark.parametrize(
    ("expression", "position", "word"),
    [
        (r"a(?=b)", 1, "look-ahead"),
        (r"a(?!b)", 1, "look-ahead"),
        (r"(?<=a)b", 0, "look-behind"),
        (r"(?<!a)b", 0, "look-behind"),
        (r"(a)\1", 3, "back-reference"),
        (r"(?<n>a)\k<n>", 7, "back-reference"),
        (r"(?P<n>a)(?P=n)", 8, "back-reference"),
        (r"(?>a)b", 0, "atomic"),
        (r"a++b", 2, "possessive"),
        (r"(a)?(?(1)b|c)", 4, "condition"),
        (r"xa{1,5000}", 2, "1000"),
        (r"a{,5}", 1, "two meanings"),
        (r"a\q", 1, "not known"),
        (r"a\p{Nope}", 1, "Nope"),
        (r"a[z-a]", 2, "range"),
        (r"a[b", 1, "never closed"),
        (r"a(b", 1, "never closed"),
        (r"ab)", 2, "no group"),
        (r"a|*", 2, "nothing to repeat"),
        (r"a**", 2, "nothing to repeat"),
        (r"^*", 1, "nothing to repeat"),
        ("a\\", 1, "backslash"),
        (r"\ud83d", 0, "character"),
        (r"a{3,2}", 1, "least"),
        (r"\01", 0, "octal"),
        (r"(?x)a", 0, "not known"),
    ],
)
def test_what_has_no_linear_meaning_is_refused_with_its_position(expression: str, position: int, word: str) -> None:
    """A sentence, and where."""
    with pytest.raises(BadExpression) as refused:
        compiled(expression)
    assert refused.value.position == position
    assert word in refused.value.message


@pytest.mark.parametrize(
    "expression", [r"^(\w+\s?)+$", r"(a+)+$", r"(a|b+)*$", r"^(([a-z])+.)+[A-Z]([a-z])+$", r"(x?x?)*y"]
)
def test_no_expression_and_no_text_take_long(expression: str) -> None:
    """Half a million characters that a backtracking matcher would not come back from."""
    began = time.monotonic()
    compiled(expression).found_in("a" * 500_000 + "!")
    assert time.monotonic() - began < 2.0


def test_half_of_a_surrogate_pair_in_a_text_is_no_fault() -> None:
    """It is matched as the character that stands for what is unreadable."""
    assert compiled("^done.$").found_in("done\ud83d")


def test_every_match_has_its_place_in_characters() -> None:
    """Not in bytes."""
    last = list(compiled("(é)(x)?").every("aéé"))[-1]
    assert (last.group(1), last.group(2), last.end(1), last.end(2)) == ("é", None, 3, -1)


@pytest.mark.parametrize(
    ("expression", "nested"),
    [
        (r"^(\w+\s?)+$", True),
        (r"(a*)*", True),
        (r"(a|b+)*", True),
        (r"((a+)b?)*", True),
        (r"(\d+,)*\d+", False),
        (r"^\w+(\s\w+)*$", False),
        (r"(ab)*c+", False),
        (r"(a+)?", False),
    ],
)
def test_a_repeated_repetition_is_known(expression: str, nested: bool) -> None:
    """Where the rounds can be cut anywhere; what has to stand between two rounds makes it harmless."""
    assert is_nested_repetition(expression) is nested


def test_lint_warns_of_a_repeated_repetition_and_takes_it() -> None:
    """It works here; elsewhere it may not."""
    made = load_pattern(CHART.format(pattern=r"^(\w+\s?)+$"), filename="words.yaml")
    assert made.pattern is not None
    assert [(one.line, one.code, one.severity) for one in made.diagnostics] == [(9, "slow-pattern", "warning")]


def test_lint_refuses_what_cannot_be_matched_in_linear_time() -> None:
    """With the place in the file and in the expression."""
    made = load_pattern(CHART.format(pattern=r"^(?!main$).*"), filename="words.yaml")
    assert made.pattern is None
    (one,) = made.diagnostics
    assert (one.line, one.code, one.severity) == (9, "bad-pattern", "error")
    assert one.message == "'pattern' cannot be used: look-ahead cannot be matched in linear time (at character 2)"
