"""Who owns what, and who is alive."""

from __future__ import annotations

import msgspec

from schemas.engines import OpenExecutions
from schemas.events import ExecutionAccepted, ExecutionCancelled, ExecutionClaimed, ExecutionPaused
from services.pattern_engine.open_executions import SUSPECT_AFTER_S, OpenSet, Roster, heir


def accepted(execution_id: str, engine: str) -> ExecutionAccepted:
    return ExecutionAccepted(execution_id=execution_id, pattern="p", request_digest="d", engine=engine)


def test_an_execution_is_open_from_its_acceptance_to_its_end() -> None:
    """The owner, the epoch and the fence follow the events."""
    known = OpenSet()
    known.apply("a", "execution.accepted", 4, accepted("a", "one"))
    known.apply("a", "execution.claimed", 9, ExecutionClaimed(execution_id="a", engine="two", epoch=2))
    known.apply("a", "execution.paused", 12, ExecutionPaused(execution_id="a", number=1))
    entry = known.get("a")
    assert entry is not None
    assert (entry.engine, entry.epoch, entry.fence) == ("two", 2, 12)
    known.apply("a", "execution.cancelled", 20, ExecutionCancelled(execution_id="a"))
    assert known.get("a") is None
    assert known.position == 20


def test_what_nobody_accepted_is_not_open() -> None:
    """A claim or a start that a foreign writer made up opens nothing, which no engine could ever end."""
    known = OpenSet()
    known.apply("zz", "execution.claimed", 4, ExecutionClaimed(execution_id="zz", engine="nobody", epoch=1))
    known.apply("zz", "execution.paused", 5, ExecutionPaused(execution_id="zz", number=1))
    assert known.get("zz") is None
    assert known.position == 5


def test_a_snapshot_brings_the_set_back() -> None:
    """What was open before a start is open after it, without the log before the position."""
    known = OpenSet()
    known.apply("a", "execution.accepted", 4, accepted("a", "one"))
    wire = msgspec.json.encode(known.snapshot())
    again = OpenSet(msgspec.json.decode(wire, type=OpenExecutions))
    assert again.get("a") == known.get("a")
    assert again.position == 4


def test_an_engine_that_falls_silent_is_no_longer_alive() -> None:
    """Silence counts only while our own heartbeats come through."""
    roster = Roster("me", 0.0)
    for tick in range(20):
        now = tick * 0.3
        roster.heard("me", now)
        if now < 3.0:
            roster.heard("other", now)
    assert roster.sure(5.7)
    assert roster.alive(3.0) == ["me", "other"]
    assert roster.alive(3.0 + SUSPECT_AFTER_S + 0.3) == ["me"]


def test_nobody_is_blamed_while_the_bus_is_away() -> None:
    """After an outage of the bus, engines get as long to be heard again as a dead one would."""
    roster = Roster("me", 0.0)
    for tick in range(10):
        roster.heard("me", tick * 0.3)
    assert not roster.sure(8.0)
    roster.heard("me", 8.0)
    assert not roster.sure(8.1)
    for tick in range(1, 8):
        roster.heard("me", 8.0 + tick * 0.3)
    assert roster.sure(10.1)


def test_an_engine_that_says_goodbye_is_gone_at_once() -> None:
    """A rolling restart moves executions without waiting for silence."""
    roster = Roster("me", 0.0)
    roster.heard("other", 1.0)
    roster.heard("other", 1.1, leaving=True)
    assert roster.alive(1.2) == ["me"]


def test_survivors_share_what_a_dead_engine_leaves() -> None:
    """Each execution has one heir whoever asks, and the load spreads."""
    engines = ["a", "b", "c"]
    heirs = [heir(f"execution-{number}", engines) for number in range(300)]
    assert heirs == [heir(f"execution-{number}", list(reversed(engines))) for number in range(300)]
    assert all(heirs.count(engine) > 50 for engine in engines)
