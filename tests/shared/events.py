"""Events for tests of the bus, short to write."""

from __future__ import annotations

from schemas.events import ExecutionAccepted, ExecutionClaimed, TaskCancelRequested


def accepted(execution_id: str, text: str = "") -> ExecutionAccepted:
    """The first event of an execution."""
    return ExecutionAccepted(
        execution_id=execution_id, pattern="p", request_digest="d", engine="e", input={"text": text}
    )


def claimed(execution_id: str, engine: str, epoch: int) -> ExecutionClaimed:
    """An engine takes an execution over."""
    return ExecutionClaimed(execution_id=execution_id, engine=engine, epoch=epoch)


def fact(execution_id: str, number: int | str, reason: str = "") -> TaskCancelRequested:
    """Any event that is not of the entity `execution`."""
    return TaskCancelRequested(execution_id=execution_id, task_id=f"t{number}", effect="1", reason=reason)
