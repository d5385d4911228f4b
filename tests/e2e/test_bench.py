"""The benchmark on a stack that runs already."""

from __future__ import annotations

import pytest

from parallax.stack import Stack
from parallax.stack.errors import StackError

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.stack]


async def test_a_stack_without_the_benchmarks_pattern_is_not_measured(stack: Stack) -> None:
    """A sentence says what it lacks and what to do, with the exit code of work that failed."""
    with pytest.raises(StackError, match="ended with 1: Error: The stack does not take executions of bench-fanout: "):
        await stack.command("bench", "fanout", "--data", str(stack.data), "--executions", "1", "--agents", "1")
