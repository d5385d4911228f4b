"""Agents that know nothing but the bus: what they send wrong ends as a word, and their ids are nobody else's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from schemas.agents import AgentRegistration, AgentSpec, RegistrationReply, TaskControl, TaskOffer
from schemas.events import (
    QuestionAnswered,
    QuestionAsked,
    TaskCompleted,
    TaskFailed,
    TaskRequested,
    TaskRetrying,
    TaskWaiting,
)
from shared import subjects
from shared.ids import new_id
from shared.testing import eventually
from tests.services.executor.rooms import House, house


class Stranger:
    """An agent of the test's own making, which publishes what it is told to."""

    def __init__(self, rooms: House, skill: str) -> None:
        self.id = f"s-{new_id()}"
        self.skill = skill
        self.rooms = rooms
        self.offers: list[TaskOffer] = []
        self.controls: list[TaskControl] = []
        self.answers: list[str] = []
        """What it answers each offer, with `%IDS%` in place of the ids."""

    async def open(self) -> Stranger:
        """Registers."""
        await self.rooms.bus.serve(subjects.agent_task(self.id), TaskOffer, self._take)
        await self.rooms.bus.serve(subjects.agent_control(self.id), TaskControl, self._told)
        agent = AgentRegistration(agent_id=self.id, capabilities=[self.skill])
        reply = await self.rooms.bus.request(subjects.AGENT_REGISTER, agent, RegistrationReply, timeout_s=5)
        assert reply.accepted
        return self

    async def _take(self, offer: TaskOffer) -> None:
        self.offers.append(offer)
        for answer in self.answers:
            await self.say(offer, answer)

    async def _told(self, word: TaskControl) -> None:
        self.controls.append(word)

    async def say(self, offer: TaskOffer, text: str) -> None:
        """Says something about a turn, as it stands."""
        ids = f'"task_id": "{offer.task_id}", "attempt": {offer.attempt}, "agent_id": "{self.id}"'
        await self.rooms.bus.publish(offer.reply_to, text.replace("%IDS%", ids).encode())


async def asked_to(rooms: House, stranger: Stranger, **fields: Any) -> TaskRequested:
    """A task for the stranger."""
    return await rooms.request(agent=AgentSpec(capabilities=[stranger.skill]), **fields)


@pytest.mark.parametrize(
    ("answer", "where"),
    [
        ('{"type": "result", %IDS%, "result": 1, "confidence": 7}', "$.confidence"),
        ('{"type": "result", %IDS%, "result": 1, "confidence": NaN}', "$.confidence"),
        ('{"type": "result", "attempt": 1, "result": 1}', "$.task_id"),
        ('{"type": "result", "task_id": "somebody-elses", "attempt": 1, "result": 1}', "$.task_id"),
        ('{"type": "failed", %IDS%, "error": "it broke"}', "$.error"),
        ('{"type": "done", %IDS%}', "$.type"),
        ("done", "$"),
    ],
)
async def test_a_malformed_answer_is_a_failed_attempt(
    nats_url: str, etcd_url: str, tmp_path: Any, answer: str, where: str
) -> None:
    """Named with its path in `task.retrying` and `task.failed`, and not offered again for ever."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("registry", "executor")
        stranger = await Stranger(rooms, new_id()).open()
        stranger.answers = [answer]
        request = await asked_to(rooms, stranger, attempts=2)
        failed = await rooms.wait_for(request, TaskFailed, within_s=20)
        retrying = await rooms.wait_for(request, TaskRetrying)
        for error in (failed.error, retrying.error):
            assert error.code == "bad_message"
            assert where in error.message
            assert stranger.id in error.message
        assert (failed.attempts, retrying.interrupted) == (2, False)
        assert {offer.attempt for offer in stranger.offers} == {1, 2}
        offered = len(stranger.offers)
        await asyncio.sleep(1.5)
        assert len(stranger.offers) == offered


async def test_a_malformed_word_stops_an_agent_that_is_at_work(nats_url: str, etcd_url: str, tmp_path: Any) -> None:
    """It is told why; the next attempt may do better."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("registry", "executor")
        stranger = await Stranger(rooms, new_id()).open()
        request = await asked_to(rooms, stranger, attempts=2)
        offer = (await eventually(lambda: stranger.offers))[0]
        await stranger.say(offer, '{"type": "accepted", %IDS%}')
        await stranger.say(offer, '{"type": "progress", %IDS%, "text": 5}')
        control = (await eventually(lambda: stranger.controls))[0]
        assert control.action == "cancel"
        assert "$.text" in control.reason
        await stranger.say(offer, '{"type": "failed", %IDS%, "error": {"code": "cancelled", "message": "yes"}}')
        assert (await rooms.wait_for(request, TaskRetrying)).error.where == "$.text"
        again = (await eventually(lambda: stranger.offers[1:]))[0]
        await stranger.say(again, '{"type": "result", %IDS%, "result": "better"}')
        assert (await rooms.wait_for(request, TaskCompleted)).result == "better"


async def test_two_questions_of_one_name_are_two(nats_url: str, etcd_url: str, tmp_path: Any) -> None:
    """In two executions, and in one: each has an id of its own in the log, and its answer reaches who asked it."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("registry", "executor")
        strangers = [await Stranger(rooms, new_id()).open() for _ in range(3)]
        first, second, third = strangers
        requests = [await asked_to(rooms, first), await asked_to(rooms, second)]
        requests.append(await asked_to(rooms, third, execution_id=requests[1].execution_id, effect=2))
        asked: list[QuestionAsked] = []
        for stranger, request in zip(strangers, requests, strict=True):
            offer = (await eventually(lambda one=stranger: one.offers))[0]
            await stranger.say(offer, '{"type": "question", %IDS%, "question_id": "q1", "question": "Which?"}')

            async def of_task(wanted: TaskRequested = request) -> list[QuestionAsked]:
                return [
                    record.data
                    for record in await rooms.events(wanted.execution_id)
                    if isinstance(record.data, QuestionAsked) and record.data.task_id == wanted.task_id
                ]

            asked.append((await eventually(of_task))[0])
        assert len({question.question_id for question in asked}) == 3
        assert all(subjects.is_token(question.question_id) for question in asked)
        for question, request in reversed(list(zip(asked, requests, strict=True))):
            await rooms.bus.append(
                QuestionAnswered(
                    execution_id=question.execution_id,
                    question_id=question.question_id,
                    value=request.task_id,
                    by="test",
                    task_id=question.task_id,
                )
            )
        for stranger, request in zip(strangers, requests, strict=True):
            word = (await eventually(lambda one=stranger: one.controls))[0]
            assert (word.action, word.question_id, word.value) == ("answer", "q1", request.task_id)
            assert len(stranger.controls) == 1


async def test_an_agent_that_refuses_again_and_again_is_said(nats_url: str, etcd_url: str, tmp_path: Any) -> None:
    """It is no attempt, and may be all right; but nobody waits in the dark."""
    async with house(nats_url, etcd_url, tmp_path) as rooms:
        await rooms.open("registry", "executor")
        stranger = await Stranger(rooms, new_id()).open()
        stranger.answers = ['{"type": "refused", %IDS%, "reason": "at lunch"}']
        request = await asked_to(rooms, stranger)
        waiting = await rooms.wait_for(request, TaskWaiting)
        assert waiting.reason == "agents_busy"
        assert waiting.message == f"{stranger.id} does not take it: at lunch"
        stranger.answers = ['{"type": "result", %IDS%, "result": "back"}']
        completed = await rooms.wait_for(request, TaskCompleted)
        assert (completed.result, completed.attempt) == ("back", 1)
