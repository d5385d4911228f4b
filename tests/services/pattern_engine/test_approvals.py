"""A gate that only a person opens: how it is asked, answered and recorded."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.events import ExecutionCompleted, ExecutionFailed, QuestionAnswered, QuestionAsked
from shared.testing import eventually
from tests.services.pattern_engine.conftest import House

GATE = """
name: gate
version: 1.0.0
workspace: {enabled: false}
structure:
  name: one
  roles:
    worker: {id: worker, name: Worker, agentType: custom, capabilities: [work]}
workflow:
  name: gate
  steps:
    - {id: work, type: assign, role: worker, task: Work.}
    - {id: gate, type: approve, approver: human, subject: "${work}"}
  output: work
"""


async def asked(house: House, name: str) -> str:
    """The id of the question, once it stands in the log."""
    (house.patterns / "gate.yaml").write_text(GATE, encoding="utf-8")
    await house.engine()
    assert (await house.request(name, pattern="gate")).status == "accepted"

    async def question() -> str:
        found = [record.data for record in await house.events(name) if isinstance(record.data, QuestionAsked)]
        return found[0].question_id if found else ""

    return await eventually(question, timeout_s=10)


@pytest.mark.parametrize(("value", "recorded"), [(True, "approve"), ("approve", "approve"), (False, "deny")])
async def test_yes_and_no_are_understood_as_words_and_as_truth(house: House, value: object, recorded: str) -> None:
    """`true` is `approve`; the log has one word for one answer, and the gate opens or does not."""
    name = house.id("gate")
    body: dict[str, Any] = {"question_id": await asked(house, name), "value": value, "reason": "seen"}
    assert (await house.command(name, "answer", body)).status == "accepted"
    end = await house.ended(name)
    assert isinstance(end, ExecutionCompleted if recorded == "approve" else ExecutionFailed), end
    answers = [record.data for record in await house.events(name) if isinstance(record.data, QuestionAnswered)]
    assert [(answer.value, answer.reason) for answer in answers] == [(recorded, "seen")]
    assert (await house.replay(name)).identical


@pytest.mark.parametrize("value", ["maybe", 1, None, ["approve"]])
async def test_any_other_answer_is_refused_and_the_question_stays_open(house: House, value: object) -> None:
    """The reply names the options; nothing is recorded."""
    name = house.id("gate")
    question = await asked(house, name)
    refused = await house.command(name, "answer", {"question_id": question, "value": value})
    assert (refused.status, "approve, deny" in refused.errors[0].hint) == ("rejected", True)
    assert (await house.command(name, "answer", {"question_id": question, "value": True})).status == "accepted"
    assert isinstance(await house.ended(name), ExecutionCompleted)
