"""What to do about an error whose place in the code knows no better hint: one line for each kind of failure."""

from __future__ import annotations

_HINTS: tuple[tuple[str, str, str], ...] = (
    ("undefined_name", "Cannot assign", "move the assignment behind its let or const"),
    ("undefined_name", "", "declare it first with let or const, or correct its spelling"),
    ("missing_property", "Cannot access", "only objects, arrays and strings have members; ?. gives null elsewhere"),
    (
        "missing_property", "",
        "?. allows it to be missing; arrays have length, map, filter, reduce, push, forEach and join, strings length",
    ),
    ("wrong_operands", "Cannot apply unary", "a unary minus takes a number"),
    ("wrong_operands", "Cannot apply +", "+ adds two numbers, and joins texts when one side is a string"),
    ("wrong_operands", "Cannot apply", "this operator takes two numbers"),
    ("wrong_operands", "Cannot compare", "< <= > >= compare two numbers or two strings"),
    ("wrong_operands", "Confident", "these operators take numbers, with or without a confidence"),
    ("wrong_operands", "Confidence threshold", "a threshold is a number from 0 to 1"),
    ("wrong_index", "Array index must", "arrays are indexed by whole numbers from 0"),
    ("wrong_index", "Array index", "the indexes of an array go from 0 to its length - 1"),
    ("wrong_index", "Object index", "objects are indexed by strings"),
    ("wrong_index", "", "only arrays and objects can be indexed; slice(s, i, i + 1) is a character of s"),
    ("cannot_destructure", "Cannot destructure non-array", "a pattern in [ ] takes an array; match tests first"),
    ("cannot_destructure", "", "a pattern in { } takes an object; match tests first"),
    ("division_by_zero", "", "test the divisor first"),
    ("not_finite", "", "numbers end at about 1.8e308"),
    ("number_too_large", "", "numbers end at about 1.8e308"),
    ("not_a_function", "", "only functions can be called: look at what stands before the ("),
    ("thrown", "", "catch it with try { ... } catch (e) { ... }"),
    ("runtime", "Threshold gate", "write ~?> 0.7, or ~?> [0.7, otherwise]"),
    ("runtime", "Confidence threshold", "a threshold is a number from 0 to 1"),
    ("runtime", "Cannot spread", "... takes an array in [ ] and in calls, an object in { }"),
    ("wrong_arguments", "Function expects", "give as many arguments as it has parameters"),
    ("wrong_arguments", "Lambda expects", "give as many arguments as it has parameters"),
    ("wrong_arguments", "", "the built-in functions and what they take are in the language reference"),
    ("misplaced_placeholder", "", "write _ only to the right of |>, ~|> or ~?>"),
    ("misplaced_return", "", "move it into a function: the value of a program is its last statement"),
    ("misplaced_break", "", "it must be inside a loop, and in the same function as the loop"),
    ("misplaced_continue", "", "it must be inside a loop, and in the same function as the loop"),
    ("unexpected_character", "", "remove it, or put it into a string"),
    ("unterminated", "", "close it before the end of the program"),
    ("unclosed", "", "close it, or remove the bracket that opens it"),
    ("syntax", "Expected expression", "a value belongs here: a number, a string, a name, or something in brackets"),
    ("syntax", "Unexpected", "remove it, or begin a new statement with it"),
    ("syntax", "", "write what is expected, or remove what was found"),
    ("module", "", "export it there, or import a name that is exported"),
    ("unreachable", "This arm", "remove it, or move it up"),
    ("unreachable", "", "remove it, or make what decides depend on something"),
)  # fmt: skip
"""Code, beginning of the message, and what to do; the first that fits."""


def hint_for(code: str, message: str) -> str:
    """What to do about an error, or "" where there is nothing to say beside the message."""
    return next((hint for one, start, hint in _HINTS if one == code and message.startswith(start)), "")
