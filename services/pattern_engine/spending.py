"""What an execution has used up, folded over its log, so that a restart can neither forget nor double it."""

from __future__ import annotations

from schemas.base import Usage
from schemas.commands import Budget
from schemas.events import TaskCompleted, TaskFailed


class Spending:
    """The usage of all tasks that have ended. `turns` counts their attempts, whatever agents report."""

    def __init__(self) -> None:
        self.total: Usage | None = None
        self.turns = 0

    def add(self, fact: TaskCompleted | TaskFailed) -> None:
        """Counts what one task consumed."""
        attempts = fact.attempt if isinstance(fact, TaskCompleted) else fact.attempts
        self.turns += max(attempts, fact.usage.turns if fact.usage else 0)
        if fact.usage is not None:
            self.total = fact.usage if self.total is None else self.total.plus(fact.usage)

    def exceeds(self, budget: Budget | None, at_work: int) -> str:
        """A sentence that says which limit is reached, or the empty string. `at_work` tasks have not ended yet."""
        if budget is None:
            return ""
        used = self.total or Usage()
        for name, limit, spent in (
            ("tokens", budget.tokens, used.input_tokens + used.output_tokens),
            ("cost_usd", budget.cost_usd, used.cost_usd),
            ("turns", budget.turns, self.turns + at_work),
        ):
            if limit is not None and spent >= limit:
                return f"The budget of {limit} {name} is used up ({spent}); no further task is started."
        return ""
