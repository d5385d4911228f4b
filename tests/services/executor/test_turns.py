"""Turns in the hands of agents: who is doubted is asked, and who answers is believed."""

from __future__ import annotations

import pytest

from schemas.agents import TaskAccepted, TaskControl, TaskOffer, TaskQuestion
from schemas.base import Failure
from services.executor.machine import Faulted
from services.executor.turns import SUSPECT_ASKED_S, SUSPECT_S, Turn, Turns

NOW = 100.0


class Post:
    """What was sent to agents."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def __call__(self, word: TaskOffer | TaskControl, agent_id: str) -> None:
        self.sent.append(agent_id)


def offer(life: int = 0) -> TaskOffer:
    """A turn of the agent `a`."""
    return TaskOffer(
        execution_id="e",
        task_id="t",
        attempt=1,
        agent_id="a",
        role="r",
        session="r-1",
        task="work",
        reply_to="inbox",
        life=life,
    )


def ignored(_turn: Turn, _question: TaskQuestion) -> None:
    """Nobody asks anything here."""


async def accepted(*, life: int = 0) -> tuple[Turns, Turn, Post]:
    """A turn that the agent has accepted at `NOW`."""
    post = Post()
    turns = Turns(post, ignored, silence_s=30.0, paused=lambda _execution: False)
    turn = await turns.begin(offer(life), now=NOW, deadline=None)
    turns.hear(word(), NOW)
    return turns, turn, post


def word() -> TaskAccepted:
    """A sign of life."""
    return TaskAccepted(task_id="t", attempt=1, agent_id="a")


def lost(turn: Turn) -> bool:
    """Whether the turn has ended because its agent is gone."""
    if not turn.outcome.done():
        return False
    outcome = turn.outcome.result()
    assert isinstance(outcome, Faulted)
    assert (outcome.error.code, outcome.interrupted) == ("agent_lost", True)
    return True


@pytest.mark.parametrize("silent_s", [0.1, SUSPECT_S - 0.1, 20.0])
async def test_an_agent_that_the_registry_has_lost_is_asked_before_it_is_given_up(silent_s: float) -> None:
    """However long it said nothing before; without an answer the attempt is over."""
    turns, turn, post = await accepted()
    then = NOW + silent_s
    turns.lost("a", "its lease ended", then)
    await turns.look(then)
    await turns.look(then + 0.1)
    assert post.sent == ["a", "a"]  # the offer, and the question
    await turns.look(then + SUSPECT_ASKED_S - 0.1)
    assert not lost(turn)
    await turns.look(max(NOW + SUSPECT_S, then + SUSPECT_ASKED_S))
    assert lost(turn)


async def test_an_agent_that_answers_is_doubted_no_longer() -> None:
    """It may be as silent as any other afterwards."""
    turns, turn, _ = await accepted()
    turns.lost("a", "its lease ended", NOW + 10)
    await turns.look(NOW + 10)
    turns.hear(word(), NOW + 11)
    await turns.look(NOW + 30)
    assert not turn.outcome.done()


async def test_an_agent_that_was_started_anew_has_lost_what_it_was_at() -> None:
    """At once. A turn that it had not taken yet is its own still."""
    turns, turn, _ = await accepted()
    turns.replaced("a")
    assert lost(turn)
    waiting = await turns.begin(offer(), now=NOW, deadline=None)
    turns.replaced("a")
    assert not waiting.outcome.done()


async def test_the_end_of_an_earlier_life_ends_no_turn_of_a_later_one() -> None:
    """Late words about the runtime that stood still harm nobody."""
    turns, turn, _ = await accepted(life=2)
    turns.gone("a", "its runtime was ended", life=1)
    assert not turn.outcome.done()
    turns.gone("a", "its runtime was ended", life=2)
    assert lost(turn)


async def test_a_program_that_ends_by_itself_before_it_takes_the_turn_has_failed() -> None:
    """That is no interruption: it would do it again."""
    post = Post()
    turns = Turns(post, ignored, silence_s=30.0, paused=lambda _execution: False)
    turn = await turns.begin(offer(1), now=NOW, deadline=None)
    turns.gone("a", "its program ended with exit code 3", life=1, by_itself=True)
    failure = Failure(code="agent_failed", message="The agent a is gone: its program ended with exit code 3.")
    assert turn.outcome.result() == Faulted(error=failure)
