"""How a client's calls fail.

ParallaxError
├── Unreachable            no server answers at the address
├── Unanswered             stored, but no engine has taken it up in time
├── Refused                an engine said no, with reasons
│   ├── RequestRejected
│   └── CommandRejected
├── UnknownExecution       the log has nothing under this id
└── ExecutionFailed        the work itself ended badly
    └── ExecutionCancelled
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from schemas.base import Failure, Problem


class ParallaxError(Exception):
    """Base of everything that a client raises on purpose. `hint` says what to do about it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Unreachable(ParallaxError):
    """No server answers at the address."""


class Unanswered(ParallaxError):
    """What was asked is stored and will be done, but no engine has answered in time."""

    def __init__(self, message: str, *, execution_id: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.execution_id = execution_id


class Refused(ParallaxError):
    """An engine said no. `errors` are its reasons, each with where, what and a hint."""

    def __init__(self, execution_id: str, errors: Sequence[Problem], *, what: str) -> None:
        reasons = "; ".join(_reason(problem) for problem in errors)
        super().__init__(f"{what}: {reasons}" if reasons else what, hint=" ".join(p.hint for p in errors if p.hint))
        self.execution_id = execution_id
        self.errors = list(errors)
        self.what = what

    @property
    def lines(self) -> list[str]:
        """What was said no to, and each reason on a line of its own, with what to do about it under it."""
        found = [f"{self.what}:"]
        for problem in self.errors:
            found.append(f"  {_reason(problem)}")
            if problem.hint:
                found.append(f"    {problem.hint}")
        return found


def _reason(problem: Problem) -> str:
    """The place and what is wrong there, without the place where the sentence names it by itself."""
    if not problem.where or problem.where == "execution_id" or problem.what.startswith(f"{problem.where} "):
        return problem.what
    return f"{problem.where}: {problem.what}"


class RequestRejected(Refused):
    """The request cannot be run. `execution_id` is the id under which the rejection is in the log."""

    def __init__(self, execution_id: str, errors: Sequence[Problem]) -> None:
        super().__init__(execution_id, errors, what="The request was rejected")


class CommandRejected(Refused):
    """The command cannot be carried out on this execution."""

    def __init__(self, execution_id: str, verb: str, errors: Sequence[Problem]) -> None:
        super().__init__(execution_id, errors, what=f"{verb} was rejected")


class UnknownExecution(ParallaxError):
    """The log has nothing under this id."""

    def __init__(self, execution_id: str) -> None:
        super().__init__(f"There is no execution {execution_id}.", hint="`parallax ps` lists the ones there are.")
        self.execution_id = execution_id


class ExecutionFailed(ParallaxError):
    """It ended without a result. `code` is stable and made for programs, `where` is a place in the program.

    With the codes `not_approved` and `verification_failed`, `evidence` says who said no to which work, and why;
    `unpublished` says why nothing was pushed although it was asked for.
    """

    def __init__(
        self,
        execution_id: str,
        failure: Failure,
        *,
        branch: str = "",
        commit: str = "",
        evidence: Sequence[dict[str, Any]] = (),
        unpublished: str = "",
    ) -> None:
        place = f" (at {failure.where})" if failure.where else ""
        super().__init__(f"{failure.code}: {failure.message}{place}")
        self.execution_id = execution_id
        self.code = failure.code
        self.reason = failure.message
        self.where = failure.where
        self.branch = branch
        self.commit = commit
        self.evidence = list(evidence)
        self.unpublished = unpublished


class ExecutionCancelled(ExecutionFailed):
    """Somebody stopped the execution."""

    def __init__(self, execution_id: str, reason: str) -> None:
        super().__init__(execution_id, Failure(code="cancelled", message=reason or "The execution was cancelled."))
