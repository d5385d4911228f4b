"""What the executor remembers of executions: clients choose their ids, and nothing of one is another's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

from schemas.events import Event, ExecutionCancelled, TaskCancelRequested
from services.executor.views import Views
from shared.bus import Recorded


def recorded(event: Event) -> Recorded:
    """The event as it is followed."""
    return Recorded(
        seq=1,
        subject="",
        execution_id=event.execution_id,
        type=event.TYPE,
        time=datetime.now(UTC),
        id=event.event_id,
        data=event,
        source="",
        correlation="",
        causation="",
        traceparent="",
    )


def heard(event: Event) -> Views:
    """Views that have heard of one event."""
    views = Views(cast("Any", None))
    views.hear(recorded(event), 0.0)
    return views


def test_the_end_of_an_execution_is_not_that_of_a_task_of_its_name() -> None:
    """The first task of the execution `e` is called `e-1`, and so may be an execution."""
    views = heard(ExecutionCancelled(execution_id="e-1", reason="enough"))
    assert views.unwanted("e-1", "e-1-1") == "enough"
    assert views.unwanted("e", "e-1") == ""


def test_a_task_that_is_not_wanted_ends_no_execution_of_its_name() -> None:
    """Nor a task of that name elsewhere, were there one."""
    views = heard(TaskCancelRequested(execution_id="e", task_id="e-1", effect="1", reason="it lost a race"))
    assert views.unwanted("e", "e-1") == "it lost a race"
    assert views.unwanted("e-1", "e-1-1") == ""
    assert views.unwanted("f", "e-1") == ""
