"""What agents say that cannot be taken, and how their questions are named: as tables."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from schemas.agents import AgentMessage, TaskAccepted, TaskMessage, TaskOffer, TaskQuestion, TaskResult
from schemas.base import Usage
from services.executor.messages import malformed, misplaced, question_id, reply_subject, turn_of

DECODER = msgspec.json.Decoder(AgentMessage)
IDS = '"task_id": "t", "attempt": 1, "agent_id": "a"'


def offer(**fields: Any) -> TaskOffer:
    """A turn of the agent `a`."""
    given: dict[str, Any] = {"execution_id": "e", "task_id": "t", "attempt": 1, "agent_id": "a", **fields}
    return TaskOffer(role="r", session="r-1", task="work", **given)


@pytest.mark.parametrize(
    ("payload", "kind", "where", "what"),
    [
        (f'{{"type": "result", {IDS}, "confidence": 7}}', "result", "$.confidence", "<= 1"),
        (f'{{"type": "result", {IDS}, "confidence": -0.1}}', "result", "$.confidence", ">= 0"),
        (f'{{"type": "result", {IDS}, "confidence": "high"}}', "result", "$.confidence", "got `str`"),
        (f'{{"type": "result", {IDS}, "confidence": true}}', "result", "$.confidence", "got `bool`"),
        (f'{{"type": "result", {IDS}, "confidence": NaN}}', "result", "$.confidence", "nan is no number of JSON"),
        (f'{{"type": "result", {IDS}, "result": {{"a": [1, Infinity]}}}}', "result", "$.result.a[1]", "inf is no"),
        (f'{{"type": "result", {IDS}, "result": 1e400}}', "result", "$.result", "out of range"),
        (f'{{"type": "result", {IDS}, "result": "x \\ud83d"}}', "result", "$.result", "surrogate"),
        (f'{{"type": "result", {IDS}, "usage": {{"input_tokens": 1.5}}}}', "result", "$.usage.input_tokens", "int"),
        (f'{{"type": "result", {IDS}, "usage": 5}}', "result", "$.usage", "got `int`"),
        ('{"type": "result", "attempt": 1}', "result", "$.task_id", "required"),
        ('{"type": "result", "task_id": "t"}', "result", "$.attempt", "required"),
        ('{"type": "result", "task_id": "t", "attempt": "1"}', "result", "$.attempt", "got `str`"),
        ('{"type": "result", "task_id": 5, "attempt": 1}', "result", "$.task_id", "got `int`"),
        ('{"type": "result", "task_id": "a b", "attempt": 1}', "result", "$.task_id", "matching regex"),
        (f'{{"type": "failed", {IDS}}}', "failed", "$.error", "required"),
        (f'{{"type": "failed", {IDS}, "error": "boom"}}', "failed", "$.error", "got `str`"),
        (f'{{"type": "failed", {IDS}, "error": {{"message": "m"}}}}', "failed", "$.error.code", "required"),
        (f'{{"type": "failed", {IDS}, "error": {{"code": "c", "message": 1}}}}', "failed", "$.error.message", "int"),
        (f'{{"type": "question", {IDS}, "question": "q"}}', "question", "$.question_id", "required"),
        (f'{{"type": "question", {IDS}, "question_id": "1", "question": "q", "options": "ab"}}',
         "question", "$.options", "array"),
        (f'{{"type": "question", {IDS}, "question_id": "1", "question": "q", "options": [1]}}',
         "question", "$.options[0]", "got `int`"),
        (f'{{"type": "progress", {IDS}}}', "progress", "$.text", "required"),
        (f'{{"type": "thinking", {IDS}}}', "thinking", "$.type", "Invalid value"),
        (f'{{{IDS}, "result": 1}}', "", "$.type", "required"),
        (f'{{"type": 5, {IDS}}}', "", "$.type", "Expected `str`"),
        ("[1]", "", "$", "got an array"),
        ('"done"', "", "$", "got a text"),
        ("null", "", "$", "got null"),
        ("7", "", "$", "got a number"),
        ("", "", "$", "no JSON"),
        ("done!", "", "$", "no JSON"),
        ('{"type": "result"', "", "$", "no JSON"),
    ],
)  # fmt: skip
def test_a_message_that_cannot_be_taken_is_named_with_its_path(payload: str, kind: str, where: str, what: str) -> None:
    """Whatever a stranger sends: of which type it is, where it is wrong, and what is wrong there."""
    with pytest.raises((msgspec.MsgspecError, UnicodeDecodeError)) as refused:
        DECODER.decode(payload.encode())
    found = malformed(payload.encode(), str(refused.value))
    assert (found.type, found.where) == (kind, where)
    assert what in found.what
    assert found.where in found.sentence("a")


def test_bytes_that_are_no_text_are_no_surprise() -> None:
    """Neither is a value that is nested too deeply to be read."""
    assert malformed(b"\xff\xfe{", "bad").where == "$"
    assert malformed(b"[" * 100_000, "JSON that is nested too deeply").where == "$"


@pytest.mark.parametrize(
    ("message", "where"),
    [
        (TaskAccepted(task_id="t", attempt=1), None),
        (TaskAccepted(task_id="t", attempt=1, agent_id="a"), None),
        (TaskAccepted(task_id="other", attempt=1, agent_id="a"), "$.task_id"),
        (TaskAccepted(task_id="t", attempt=2, agent_id="a"), "$.attempt"),
        (TaskAccepted(task_id="t", attempt=1, agent_id="b"), "$.agent_id"),
        (TaskResult(task_id="t", attempt=1, usage=Usage(input_tokens=1)), None),
        (TaskResult(task_id="t", attempt=1, usage=Usage(input_tokens=-1)), "$.usage.input_tokens"),
        (TaskResult(task_id="t", attempt=1, usage=Usage(cost_usd=-0.5)), "$.usage.cost_usd"),
    ],
)
def test_what_comes_in_at_the_address_of_a_turn_is_about_it(message: TaskMessage, where: str | None) -> None:
    """A wrong id would be dropped else, and the turn offered again; a negative amount would be a gift."""
    found = misplaced(message, offer())
    assert (found.where if found else None) == where


def test_the_address_of_a_turn_tells_which_it_is() -> None:
    """Also behind an inbox with dots."""
    assert turn_of(reply_subject("_INBOX.abc", "e-1_2", 3, "a-b")) == ("e-1_2", 3, "a-b")


def asked(name: str, text: str = "Which?", *options: str) -> TaskQuestion:
    """A question that its agent calls `name`."""
    return TaskQuestion(task_id="t", attempt=1, question_id=name, question=text, options=list(options))


def test_a_question_has_an_id_of_its_own_whatever_it_is_called() -> None:
    """In two executions, two tasks, two attempts; with another text, which is another question."""
    turns = [offer(), offer(attempt=2), offer(task_id="u"), offer(execution_id="f", task_id="f-1")]
    ids = [question_id(turn, asked("q1")) for turn in turns]
    ids += [question_id(offer(), word) for word in (asked("q2"), asked("q1", "When?"), asked("q1", "Which?", "a"))]
    ids += [question_id(offer(), asked(name)) for name in ("", "é 1", "t-1-x", "t-1-", "t-1-1-1", "t-2-1")]
    assert len(set(ids)) == len(ids)
    assert question_id(offer(), asked("q1")) == ids[0]  # said again, it is the same question


@pytest.mark.parametrize("name", ["t-1-1", "t-1-17"])
def test_an_id_that_is_unique_already_stays(name: str) -> None:
    """As runtimes and the kit for agents make them: recorded logs have them."""
    assert question_id(offer(), asked(name)) == name


def test_a_long_reason_says_how_much_more_there_is() -> None:
    """What is cut is not cut silently."""
    found = malformed(b"{", "x" * 1000)
    assert found.what.endswith("x… (700 characters more))")
