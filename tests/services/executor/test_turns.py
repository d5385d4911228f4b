"""Turns in the hands of agents: who is doubted is asked, and who answers is believed."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.agents import TaskAccepted, TaskControl, TaskFault, TaskOffer, TaskQuestion, TaskResult
from schemas.base import Failure, LossKind
from services.executor.machine import Answered, Faulted
from services.executor.messages import MAX_QUESTION, MAX_QUESTIONS, Malformed, question_id
from services.executor.turns import (
    FROZEN_S,
    GARBLED_S,
    STOPPING_S,
    SUSPECT_ASKED_S,
    SUSPECT_S,
    Host,
    Turn,
    Turns,
)

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


async def accepted(*, life: int = 0, host: Host = "nobody") -> tuple[Turns, Turn, Post]:
    """A turn that the agent has accepted at `NOW`."""
    post = Post()
    turns = Turns(post, ignored, silence_s=30.0, paused=lambda _execution: False)
    turn = await turns.begin(offer(life), now=NOW, deadline=None, host=host)
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
    assert (outcome.error.code, outcome.loss) == ("agent_lost", "agent_lost")
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
    outcome = turn.outcome.result()
    assert isinstance(outcome, Faulted)
    assert (outcome.error.code, outcome.loss) == ("agent_lost", "runtime_lost")


async def test_a_program_that_ends_by_itself_before_it_takes_the_turn_has_failed() -> None:
    """That is no interruption: it would do it again."""
    post = Post()
    turns = Turns(post, ignored, silence_s=30.0, paused=lambda _execution: False)
    turn = await turns.begin(offer(1), now=NOW, deadline=None)
    turns.gone("a", "its program ended with exit code 3", life=1, by_itself=True)
    failure = Failure(code="agent_failed", message="The agent a is gone: its program ended with exit code 3.")
    assert turn.outcome.result() == Faulted(error=failure)


async def test_a_program_that_ends_by_itself_in_its_turn_has_failed() -> None:
    """Also one that was killed: nobody here has sent the signal."""
    turns, turn, _ = await accepted(life=1, host="program")
    turns.gone("a", "its program was ended by SIGKILL (exit code 137)", life=1, by_itself=True)
    outcome = turn.outcome.result()
    assert isinstance(outcome, Faulted)
    assert (outcome.error.code, outcome.loss) == ("agent_failed", None)
    assert "SIGKILL (exit code 137)" in outcome.error.message


async def until_ended(turns: Turns, turn: Turn, begin: float) -> Faulted:
    """Looks at the clocks ten times a second until the turn is over."""
    for tenth in range(600):
        await turns.look(begin + tenth / 10)
        if turn.outcome.done():
            outcome = turn.outcome.result()
            assert isinstance(outcome, Faulted)
            return outcome
    raise AssertionError("the turn does not end")


@pytest.mark.parametrize(
    ("host", "taken", "code", "loss"),
    [
        ("runtime", False, "agent_lost", "session_unreachable"),
        ("runtime", True, "agent_lost", "runtime_lost"),
        ("program", False, "agent_silent", None),
        ("program", True, "agent_silent", None),
        ("nobody", False, "agent_silent", "agent_unreachable"),
        ("nobody", True, "agent_silent", None),
    ],
)
async def test_whose_silence_it_is(host: Host, taken: bool, code: str, loss: LossKind | None) -> None:
    """A runtime ends a silent program itself, and speaks for it: what it does not say is its own silence."""
    turns = Turns(Post(), ignored, silence_s=30.0, paused=lambda _execution: False)
    turn = await turns.begin(offer(), now=NOW, deadline=None, host=host)
    if taken:
        turns.hear(word(), NOW)
    outcome = await until_ended(turns, turn, NOW)
    assert (outcome.error.code, outcome.loss) == (code, loss)


@pytest.mark.parametrize(
    ("host", "said", "loss"),
    [
        ("runtime", {"interrupted": True, "loss": "keeper_killed"}, "keeper_killed"),
        ("runtime", {"interrupted": True}, "runtime_lost"),
        ("runtime", {}, None),
        ("program", {"interrupted": True, "loss": "runtime_lost"}, "agent_interrupted"),
        ("nobody", {"interrupted": True, "loss": "runtime_lost"}, "agent_interrupted"),
        ("nobody", {}, None),
    ],
)
async def test_only_a_runtime_is_believed_what_it_broke(
    host: Host, said: dict[str, Any], loss: LossKind | None
) -> None:
    """An agent cannot have its failures counted as the platform's."""
    turns, turn, _ = await accepted(host=host)
    turns.hear(TaskFault(task_id="t", attempt=1, error=Failure(code="task_failed", message="no"), **said), NOW)
    assert turn.outcome.result() == Faulted(error=Failure(code="task_failed", message="no"), loss=loss)


@pytest.mark.parametrize("away_s", [FROZEN_S + 1, 120.0])
@pytest.mark.parametrize("frozen", [False, True])
async def test_nobody_is_silent_while_nothing_can_be_heard(away_s: float, frozen: bool) -> None:
    """The bus was away, or the executor stood still: whoever speaks within the usual time afterwards is there."""
    turns, turn, post = await accepted(host="runtime")
    turns.lost("a", "its lease ended", NOW + 1)
    await turns.look(NOW + 1)
    if not frozen:
        for second in range(1, round(away_s)):
            await turns.look(NOW + 1 + second, connected=False)
    then = NOW + 1 + away_s
    await turns.look(then)
    await turns.look(then + 0.1)
    assert not turn.outcome.done()
    assert len(post.sent) >= 2  # it is asked again: what was asked before may be lost
    turns.hear(word(), then + 1)
    await turns.look(then + 1)
    assert not turn.outcome.done()


async def test_who_is_told_to_stop_has_its_time_though_the_bus_is_away() -> None:
    """The word may not have reached it."""
    turns, turn, _ = await accepted()
    await turns.look(NOW)
    await turns.stop(turn, Faulted(error=Failure(code="task_timeout", message="late")), NOW)
    for second in range(1, 20):
        await turns.look(NOW + second, connected=False)
    await turns.look(NOW + 20)
    assert not turn.outcome.done()
    for tenth in range(round(10 * STOPPING_S)):
        await turns.look(NOW + 20 + tenth / 10)
    assert turn.outcome.done()


async def test_an_answer_reaches_the_agent_under_the_id_that_it_gave() -> None:
    """The log has another one; and of a log of before, which has the agent's own, the answer is handed over as well."""
    heard: list[TaskOffer | TaskControl] = []

    async def publish(sent: TaskOffer | TaskControl, _agent: str) -> None:
        heard.append(sent)

    for logged_as in ("", "q1"):
        turns = Turns(publish, ignored, silence_s=30.0, paused=lambda _execution: False)
        turn = await turns.begin(offer(), now=NOW, deadline=NOW + 10)
        question = TaskQuestion(task_id="t", attempt=1, question_id="q1", question="Which?")
        turns.hear(question, NOW)
        await turns.answer("t", "another", 1, NOW + 1)
        assert turn.questions
        await turns.answer("t", logged_as or question_id(offer(), question), "this", NOW + 5)
        word = heard[-1]
        assert isinstance(word, TaskControl)
        assert (word.action, word.question_id, word.value) == ("answer", "q1", "this")
        assert turn.deadline == NOW + 15


@pytest.mark.parametrize(
    ("code", "most", "fields"),
    [
        ("too_many_questions", MAX_QUESTIONS, {"question": "?"}),
        ("question_too_large", 0, {"question": "x" * (MAX_QUESTION + 1)}),
        ("question_too_large", 0, {"question": "?", "options": ["x" * MAX_QUESTION, "y"]}),
    ],
)
async def test_an_agent_that_asks_too_much_is_ended(code: str, most: int, fields: dict[str, Any]) -> None:
    """Each question is a fact of the log that somebody is to read, whoever asks it. The agent is told to stop."""
    turns, turn, post = await accepted()
    for number in range(most + 1):
        await turns.look(NOW)
        assert len(post.sent) == 1
        turns.hear(TaskQuestion(task_id="t", attempt=1, question_id=str(number), **fields), NOW)
    await turns.look(NOW + 0.1)
    assert len(post.sent) == 2
    turns.hear(TaskFault(task_id="t", attempt=1, error=Failure(code="cancelled", message="yes")), NOW)
    outcome = turn.outcome.result()
    assert isinstance(outcome, Faulted)
    assert outcome.error.code == code


async def test_a_good_answer_in_time_makes_good_for_a_bad_one() -> None:
    """Whoever sends both is heard."""
    turns, turn, _ = await accepted()
    turns.garbled(turn, Malformed(type="result", where="$.x", what="it is wrong"), NOW)
    turns.hear(TaskResult(task_id="t", attempt=1, result="right"), NOW + 0.1)
    await turns.look(NOW + GARBLED_S)
    assert turn.outcome.result() == Answered(result="right")


@pytest.mark.parametrize(("kind", "at_once"), [("result", True), ("failed", True), ("", True), ("progress", False)])
async def test_a_garbled_message_ends_the_turn(kind: str, at_once: bool) -> None:
    """A moment later, without more where the agent is done; who works on is told to stop first."""
    turns, turn, post = await accepted()
    turns.garbled(turn, Malformed(type=kind, where="$.x", what="it is wrong"), NOW)
    await turns.look(NOW + GARBLED_S - 0.1)
    assert not turn.outcome.done()
    await turns.look(NOW + GARBLED_S)
    assert turn.outcome.done() == at_once
    assert len(post.sent) == 2  # the offer, and the word to stop
    turns.hear(TaskFault(task_id="t", attempt=1, error=Failure(code="cancelled", message="stopped")), NOW)
    outcome = turn.outcome.result()
    assert isinstance(outcome, Faulted)
    assert (outcome.error.code, outcome.error.where, outcome.loss) == ("bad_message", "$.x", None)


@pytest.mark.parametrize("host", ["nobody", "program", "runtime"])
async def test_a_pause_is_told_to_whoever_is_not_frozen_by_a_runtime(host: Host) -> None:
    """And the end of it; a word that was lost is said again when the agent says that it does not know of it."""
    heard: list[str] = []
    paused = [False]

    async def publish(sent: TaskOffer | TaskControl, _agent: str) -> None:
        heard.append(sent.action if isinstance(sent, TaskControl) else "offer")

    turns = Turns(publish, ignored, silence_s=30.0, paused=lambda _execution: paused[0])
    await turns.begin(offer(), now=NOW, deadline=None, host=host)
    turns.hear(TaskAccepted(task_id="t", attempt=1, paused=False), NOW)
    paused[0] = True
    await turns.pause("another", paused=True)
    await turns.pause("e", paused=True)
    await turns.look(NOW + 0.1)
    if host == "runtime":
        assert heard[1:] == ["pause"]  # only because this one says that it can
        return
    assert heard == ["offer", "pause"]
    turns.hear(TaskAccepted(task_id="t", attempt=1, paused=False), NOW + 0.2)
    await turns.look(NOW + 0.2)
    await turns.look(NOW + 0.3)
    assert heard == ["offer", "pause", "pause"]
    turns.hear(TaskAccepted(task_id="t", attempt=1, paused=True), NOW + 0.4)
    paused[0] = False
    await turns.look(NOW + 0.5)
    assert heard[3:] == ["resume"]
    turns.hear(TaskAccepted(task_id="t", attempt=1), NOW + 0.6)  # an agent that cannot pause
    paused[0] = True
    await turns.look(NOW + 0.7)
    assert heard[4:] == []
