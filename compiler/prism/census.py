"""How much memory a program still holds, by a fixed estimate.

Counting what is allocated is cheap, but never sees what is freed. So when the allocations since the last look exceed
the budget, everything reachable from the program's frames and globals is measured. It depends on nothing but the
program's own state, and so stops every run at the same place.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import CellType, FrameType, FunctionType
from typing import Any, cast

from compiler.prism.values import Confident, Fn

_LEAVES = frozenset({float, bool, type(None), int})


def live_size(frames: Iterable[FrameType | None], roots: Iterable[Any], limit: int) -> tuple[int, int]:
    """Estimated bytes reachable from the current frames, the given ones and the roots, and how many looks that took.

    Stops at the limit.
    """
    stack: list[Any] = list(roots)
    current = sys._getframe(1)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - the frames are to be measured
    for innermost in (current, *frames):
        frame = innermost
        while frame is not None:
            if not frame.f_code.co_filename.endswith("machine.py"):
                stack.extend(frame.f_locals.values())
            frame = frame.f_back
    return _measure(stack, limit)


def _measure(stack: list[Any], limit: int) -> tuple[int, int]:
    seen: set[int] = set()
    total = looks = 0
    while stack and total <= limit:
        value = stack.pop()
        looks += 1
        kind = cast("type[Any]", type(value))
        if kind in _LEAVES or id(value) in seen:
            continue
        if kind is str:
            seen.add(id(value))
            total += len(value) + 48 if value.isascii() else len(value) * 4 + 48
        elif kind is list or kind is tuple:
            seen.add(id(value))
            total += 64 + 64 * len(value)
            stack.extend(value)
        elif kind is dict:
            seen.add(id(value))
            total += 256 + 96 * len(value)
            stack.extend(cast("dict[Any, Any]", value).values())
        elif kind is Confident:
            total += 64
            stack.append(value.value)
        elif kind is Fn:
            seen.add(id(value))
            total += 512
            stack.append(value.code)
        elif kind is FunctionType:
            seen.add(id(value))
            held = _held(value)
            looks += 2 + len(held)
            stack.extend(held)
    return total, looks


def _held(function: FunctionType) -> list[Any]:
    """What a generated function keeps alive: its cells and the boxes it took along."""
    cells = [_content(cell) for cell in function.__closure__ or ()]
    return [*cells, *(function.__kwdefaults__ or {}).values()]


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None
