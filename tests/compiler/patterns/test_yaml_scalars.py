"""Scalars that do not stay what was written are told, with what they became and how to write what is meant."""

from __future__ import annotations

import pytest

from compiler.patterns.reader import Node, read_yaml
from compiler.patterns.report import Report


def read(scalar: str) -> tuple[Node, list[tuple[str, str, str, str]]]:
    """The node of a value, and what is said of it."""
    text = f"v: {scalar}\n"
    report = Report("x.yaml", text)
    root = read_yaml(text, report)
    assert root is not None
    return root.pairs[0][1], [(one.severity, one.code, one.message, one.hint) for one in report.sorted()]


@pytest.mark.parametrize(
    ("scalar", "value", "became"),
    [
        ("01234", 1234, "the number 1234"),
        ("007", 7, "the number 7"),
        ("-012", -12, "the number -12"),
        ("00.5", 0.5, "the number 0.5"),
        ("+4912345678", 4912345678, "the number 4912345678"),
        ("1e3", 1000.0, "the number 1000"),
        ("12e4", 120000.0, "the number 120000"),
        ("0.12345678901234567891", 0.12345678901234568, "becomes 0.12345678901234568"),
        ("9007199254740993.0", 9007199254740992.0, "becomes 9007199254740992"),
        ("0x1F90", "0x1F90", "the number 8080 elsewhere"),
        ("0o17", "0o17", "the number 15 elsewhere"),
        ("0b101", "0b101", "the number 5 elsewhere"),
        ("1_000", "1_000", "the number 1000 elsewhere"),
        ("-1_000.5", "-1_000.5", "the number -1000.5 elsewhere"),
        ("190:20:30", "190:20:30", "the number 685230 elsewhere"),
        ("22:22", "22:22", "the number 1342 elsewhere"),
        ("1e999", "1e999", "the number infinity elsewhere"),
        (".inf", ".inf", "no finite number"),
        ("-.INF", "-.INF", "no finite number"),
        (".NaN", ".NaN", "no finite number"),
        ("2026-03-29", "2026-03-29", "a date elsewhere"),
        ("2001-12-14t21:59:43.10-05:00", "2001-12-14t21:59:43.10-05:00", "a date elsewhere"),
        ("=", "=", "special value"),
    ],
)
def test_a_value_that_changes_is_told(scalar: str, value: object, became: str) -> None:
    """A warning with what it became, and the quotes that keep it; in quotes nothing is said."""
    node, ((severity, code, message, hint),) = read(scalar)
    assert (node.value, type(node.value)) == (value, type(value))
    assert (severity, code[:5]) == ("warning", "yaml-")
    assert became in message
    assert f'"{scalar}"' in hint
    for quoted in (f'"{scalar}"', f"'{scalar}'", f"!!str {scalar}"):
        kept, said = read(quoted)
        assert (kept.value, said) == (scalar, [])


@pytest.mark.parametrize(
    "scalar",
    [
        "0", "-0", "12", "-12", "0.5", "1.50", "1.5e-3", "a01", "01a", "word",
        "1:2:3:x", "10 000", "2026-3", "v1", "1.2.3", "true", "null", "~", "0.1", "1e", "x=y", "2026-03-29.txt",
        "12:99",
    ],
)  # fmt: skip
def test_what_stays_as_it_is_has_no_warning(scalar: str) -> None:
    """Numbers that are written as numbers, and words."""
    assert read(scalar)[1] == []


@pytest.mark.parametrize("word", ["yes", "No", "ON", "off"])
def test_words_that_are_booleans_elsewhere_stay_texts(word: str) -> None:
    """They are told where a value may be anything, by whoever reads it."""
    node, said = read(word)
    assert (node.value, node.trap, said) == (word, True, [])


def test_keys_are_words_whatever_they_look_like() -> None:
    """A key keeps its spelling, so there is nothing to tell; twice the same spelling is an error."""
    text = "01: a\n1: b\n1_0: c\n1: d\n"
    report = Report("x.yaml", text)
    root = read_yaml(text, report)
    assert root is not None
    assert [key.raw for key, _ in root.pairs] == ["01", "1", "1_0"]
    assert [(one.code, one.line) for one in report.sorted()] == [("duplicate-key", 4)]


def test_merge_keys_are_refused_before_anything_is_merged() -> None:
    """So that no key can be there twice after a merge without a word."""
    text = "a: &a {x: 1}\nb: {<<: *a, x: 2}\n"
    report = Report("x.yaml", text)
    read_yaml(text, report)
    assert [(one.code, one.severity) for one in report.sorted()] == [("bad-key", "error")]
