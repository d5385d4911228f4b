"""What straight code costs, so that a step stands for the same amount of work wherever it is taken.

A round of a loop, a call and a callback take a step each; one step pays for a body of a few ordinary operations.
A longer body takes more: the generator adds up its operations, in hundredths of a step, and the whole of it is counted
where the body begins. Branches are counted where they are entered, unless they are too small to matter. What the values
decide (texts, confident operands, the length of arrays) the runtime counts itself.
"""

from __future__ import annotations

from compiler.prism import tree as t

STEP = 100
"""Hundredths of a step."""

SMALL_BRANCH = 40
"""A branch of no more than this is counted with the code around it."""

STATEMENT, VARIABLE = 3, 5
ROUND, NUMBERED, FUNCTION, PARAMETER = 20, 85, 30, 14
NEW_FUNCTION, CAPTURED, FOUND_FUNCTION = 500, 70, 60
INLINE, COMPARED, TESTED = 26, 13, 24
TRUTH, HELPED, CONFIDENT_OP, HANDED_ON = 115, 220, 600, 300
TRIED, BANDS = 60, 240
PARTS, PART, THRESHOLD = 220, 55, 150
ARM, WEIGHED, STAGED, CARRIED = 40, 430, 280, 280
ITEM, ENTRY, ARGUMENT, INTERPOLATED = 20, 64, 12, 190

EXPRESSION: dict[type, int] = {
    t.Number: 0, t.String: 0, t.Constant: 0, t.Hole: 1, t.Name: 1, t.Interpolation: 350, t.Array: 160, t.Object: 180,
    t.Lambda: 0, t.Call: 18, t.Member: 140, t.Index: 200, t.Unary: 280, t.Power: 200, t.Chain: 0, t.Attach: 350,
    t.Ternary: 6, t.Pipe: 65, t.Match: 60,
}  # fmt: skip

_HANDING_ON = frozenset({"~??", "~||>", "~@>"})


def operator(op: str, *, inline: bool) -> int:
    """What one operator of a chain costs."""
    if op in _HANDING_ON:
        return HANDED_ON
    if op.startswith("~"):
        return CONFIDENT_OP
    if op == "instanceof":
        return HANDED_ON
    return INLINE if inline and op != "%" else HELPED


def name_length(name: str) -> int:
    """What looking for a name costs beyond that of a short one."""
    return len(name) >> 5


def steps(cost: int) -> int:
    """Whole steps, at least one."""
    return max(1, -(-cost // STEP))
