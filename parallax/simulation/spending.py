"""What a simulated run has used up, and whether that reaches its budget; in the engine's words."""

from __future__ import annotations

from schemas.base import Usage
from schemas.commands import Budget


class Spending:
    """The usage of all tasks that were completed."""

    def __init__(self) -> None:
        self.total: Usage | None = None

    def add(self, usage: Usage | None) -> None:
        """Counts what one task reported."""
        if usage is None:
            return
        have = self.total or Usage()
        self.total = Usage(
            input_tokens=have.input_tokens + usage.input_tokens,
            output_tokens=have.output_tokens + usage.output_tokens,
            cost_usd=have.cost_usd + usage.cost_usd,
            turns=have.turns + usage.turns,
            wall_ms=have.wall_ms + usage.wall_ms,
        )

    def exceeds(self, budget: Budget | None) -> str:
        """A sentence that says which limit is reached, or the empty string."""
        if budget is None:
            return ""
        used = self.total or Usage()
        for name, limit, spent in (
            ("tokens", budget.tokens, used.input_tokens + used.output_tokens),
            ("cost_usd", budget.cost_usd, used.cost_usd),
            ("turns", budget.turns, used.turns),
            ("wall_ms", budget.wall_ms, used.wall_ms),
        ):
            if limit is not None and spent >= limit:
                return f"The budget of {limit} {name} is used up ({spent}); no further task is started."
        return ""
