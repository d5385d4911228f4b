"""Strangers on the bus: plain JSON is served, and whatever else somebody publishes is answered and harms nothing."""

from __future__ import annotations

import json
from typing import Any

import nats.errors
import pytest

from parallax.stack import Stack
from shared.testing import eventually
from tests.e2e.plain import Plain, plain

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.stack]

REQUEST = "parallax.executions.request"


def body(**fields: Any) -> bytes:
    """A request that is good but for what `fields` say."""
    return json.dumps({"pattern": "duo", "input": {"topic": "tests"}, **fields}).encode()


HOSTILE: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "JSON"),
    "no json": (b"hello", "JSON"),
    "half a json": (b'{"pattern": "duo"', "JSON"),
    "bad utf-8": (b'{"pattern": "\xff\xfe"}', "no pattern '\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}'"),
    "nul bytes": (b"\x00\x00\x00", "JSON"),
    "deep nesting": (b"[" * 100_000, "JSON"),
    "deep nesting that closes": (b'{"pattern":"duo","input":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001, "JSON"),
    "an array": (b"[]", "object"),
    "a string": (b'"duo"', "object"),
    "null": (b"null", "object"),
    "a number": (b"1e400", ""),
    "no pattern": (b'{"input": {}}', "pattern"),
    "a pattern that is a number": (body(pattern=7), "pattern"),
    "a pattern that is a path": (body(pattern="../../etc/passwd"), "pattern"),
    "a pattern with a nul byte": (body(pattern="duo\x00"), "pattern"),
    "a pattern that nobody knows": (body(pattern="nobody-knows"), "nobody-knows"),
    "a pattern of an unknown version": (body(pattern="duo@9.x"), "9"),
    "an endless name": (body(pattern="x" * 5000), "pattern"),
    "input that is a list": (body(input=[]), "input"),
    "input of the wrong type": (body(input={"topic": 7}), "topic"),
    "no input": (body(input={}), "topic"),
    "a repository that is a number": (body(repo=7), "repo"),
    "a repository that is a command": (body(repo="ext::sh -c touch% /tmp/owned"), "ext"),
    "a repository over ssh": (body(repo="ssh://-oProxyCommand=touch/x"), "ssh"),
    "a repository with a password": (body(repo="https://me:secret@example.org/x"), "password"),
    "a repository with a control character": (body(repo="/tmp/\x01"), "control"),
    "options that are a string": (body(options="fast"), "options"),
    "a time limit below zero": (body(options={"timeout_ms": -1}), "timeout_ms"),
    "a time limit without bounds": (body(options={"timeout_ms": 10**30}), "timeout_ms"),
    "a budget of words": (body(options={"budget": {"tokens": "many"}}), "tokens"),
    "a priority beyond all": (body(options={"priority": 99}), "priority"),
    "too much": (body(input={"topic": "x" * 700_000}), "bytes"),
}

BAD_IDS = [
    "with space", "with.dot", "*", ">", "parallax.>", "../../etc", "a/b", "a\\b", "nul\x00", "line\nbreak",
    "x" * 65, "ä", "-" * 65, 7, True, ["a"], {"a": 1}, 1e30,
]  # fmt: skip


def said(reply: dict[str, Any]) -> str:
    """Everything that the errors of an answer say."""
    return " ".join(f"{error['where']} {error['what']} {error.get('hint', '')}" for error in reply["errors"])


async def harmless(stack: Stack, client: Plain, pids: dict[str, int | None]) -> None:
    """Every service is the process it was, nothing is parked, and work goes on."""
    answer = await client.ask(REQUEST, body())
    assert answer["status"] == "accepted"
    assert (await client.ended(answer["execution_id"]))[0] == "completed"
    assert await client.count("PARALLAX_DEAD_LETTERS") == 0
    assert {part.name: part.pid for part in (await stack.status()).services} == pids


async def processes(stack: Stack) -> dict[str, int | None]:
    """The pid of every service."""
    await eventually(stack.healthy, timeout_s=30)
    return {part.name: part.pid for part in (await stack.status()).services}


async def test_plain_json_is_served_and_followed(stack: Stack) -> None:
    """A publish, its ack, and a subscription that sees each event as it was stored: that is all a client needs."""
    async with plain(stack.nats_url) as client:
        subscription = await client.client.subscribe("parallax.events.plain-1.>")
        await client.client.flush()
        ack = await client.client.jetstream().publish(REQUEST, body(execution_id="plain-1"))
        assert ack.stream == "PARALLAX_REQUESTS"
        kinds: list[str] = []
        async for message in subscription.messages:
            data = json.loads(message.data)
            assert data["execution_id"] == "plain-1"
            kinds.append(message.subject.removeprefix("parallax.events.plain-1."))
            if kinds[-1].startswith("execution.") and kinds[-1] not in ("execution.accepted", "execution.started"):
                assert data["result"]
                break
        assert kinds[:2] == ["execution.accepted", "execution.started"]
        assert kinds[-1] == "execution.completed"
        assert sorted(kind for kind in kinds if kind == "task.completed") == ["task.completed"] * 2
        stored = [
            message.subject.removeprefix("parallax.events.plain-1.") for message in await client.history("plain-1")
        ]
        assert stored == kinds


async def test_whatever_is_published_is_answered_and_harms_nothing(stack: Stack) -> None:
    """Each row of the table is rejected under an id of its own, in the answer and in the log, with the reason."""
    pids = await processes(stack)
    async with plain(stack.nats_url) as client:
        for name, (payload, expected) in HOSTILE.items():
            answer = await client.ask(REQUEST, payload)
            assert answer["status"] == "rejected", name
            assert expected in said(answer), (name, answer)
            verb, data = await client.ended(answer["execution_id"])
            assert verb == "rejected", name
            assert data["errors"] == answer["errors"], name
            assert "secret" not in said(answer), name
        await harmless(stack, client, pids)


async def test_an_id_that_cannot_be_one_is_rejected_under_a_fresh_one(stack: Stack) -> None:
    """Wildcards, spaces, dots, path tricks and other types never reach a subject or a path."""
    pids = await processes(stack)
    async with plain(stack.nats_url) as client:
        for bad in BAD_IDS:
            answer = await client.ask(REQUEST, body(execution_id=bad))
            assert answer["status"] == "rejected", bad
            assert answer["execution_id"] != bad
            _, data = await client.ended(answer["execution_id"])
            assert data["requested_id"], bad
        await harmless(stack, client, pids)


async def test_a_repository_that_cannot_be_had_fails_its_execution_alone(stack: Stack) -> None:
    """Path tricks in `repo` and `base` end the execution with a reason; nothing outside is read or made."""
    pids = await processes(stack)
    async with plain(stack.nats_url) as client:
        for repo in (
            "/nowhere/at/all",
            "../../../../etc",
            "file:///etc/passwd",
            "-u./payload",
            "$(touch /tmp/owned)",
            {"url": "/nowhere", "base": "../../main"},
            {"url": "/nowhere", "base": "-x; rm -rf ~"},
        ):
            answer = await client.ask(REQUEST, json.dumps({"pattern": "repo", "repo": repo}).encode())
            verb, data = await client.ended(answer["execution_id"])
            assert verb in ("failed", "rejected"), repo
            assert data.get("error") or data.get("errors"), repo
        await harmless(stack, client, pids)


@pytest.mark.parametrize("verb", ["cancel", "pause", "resume", "signal", "answer"])
async def test_commands_of_strangers_are_answered(stack: Stack, verb: str) -> None:
    """Bad bodies, unknown executions and hostile ids; the execution they are about goes on."""
    pids = await processes(stack)
    async with plain(stack.nats_url) as client:
        execution_id = f"patient-{verb}"
        answer = await client.ask(REQUEST, json.dumps({"pattern": "patient", "execution_id": execution_id}).encode())
        assert answer["status"] == "accepted"
        subject = f"parallax.executions.{execution_id}.{verb}"
        for payload in (b"[]", b"7", b"\xff", b"{", b"[" * 100_000, b'{"by": 7, "name": 7, "question_id": 7}', b"\x00"):
            answer = await client.ask(subject, payload)
            assert answer["status"] == "rejected", payload[:40]
            assert answer["errors"], payload[:40]
        answer = await client.ask(subject, b'{"name": "go", "by": "' + b"x" * 300_000 + b'"}')
        assert "bytes" in said(answer)
        good = {"signal": {"name": "x"}, "answer": {"question_id": "q", "value": 1}}.get(verb, {})
        for unknown in ("nobody-has-this-id", "x" * 65, "ä", "%2e%2e"):
            answer = await client.ask(f"parallax.executions.{unknown}.{verb}", json.dumps(good).encode())
            assert answer["status"] == "rejected", unknown
        verbs = [message.subject.split(".")[-1] for message in await client.history(execution_id)]
        assert not {"completed", "failed", "cancelled", "paused"} & set(verbs)
        answer = await client.ask(f"parallax.executions.{execution_id}.signal", b'{"name": "go", "data": {"extra": 1}}')
        assert answer["status"] == "accepted"
        assert (await client.ended(execution_id))[0] == "completed"
        await harmless(stack, client, pids)


async def test_unknown_fields_are_refused_and_the_same_key_is_one_execution(stack: Stack) -> None:
    """A misspelt field would be none; a request that is repeated is the same execution, another body is refused."""
    async with plain(stack.nats_url) as client:
        misspelt = await client.ask(REQUEST, body(execution_id="key-0", optoins={"budget": {"tokens": 5}}))
        assert (misspelt["status"], misspelt["errors"][0]["where"]) == ("rejected", "optoins")
        assert "options" in misspelt["errors"][0]["hint"]
        first = await client.ask(REQUEST, body(execution_id="key-1"))
        again = await client.ask(REQUEST, body(execution_id="key-1"))
        assert first == again == {"execution_id": "key-1", "status": "accepted", "errors": []}
        other = await client.ask(REQUEST, body(execution_id="key-1", input={"topic": "something else"}))
        assert other["status"] == "rejected"
        assert other["execution_id"] != "key-1"
        _, data = await client.ended(other["execution_id"])
        assert data["requested_id"] == "key-1"
        assert (await client.ended("key-1"))[0] == "completed"
        kinds = [message.subject.split(".", 3)[3] for message in await client.history("key-1")]
        assert kinds.count("execution.accepted") == kinds.count("execution.completed") == 1


async def test_answers_go_to_nobody_who_is_not_a_client(stack: Stack) -> None:
    """A reply subject of ours, of the server or with wildcards gets no answer, and the request is served."""
    async with plain(stack.nats_url) as client:
        heard = await client.client.subscribe("parallax.executions.x.cancel")
        for number, to in enumerate(("parallax.executions.x.cancel", "$JS.API.STREAM.DELETE.X", "a.*", "a b", ">")):
            await client.client.jetstream().publish(
                REQUEST, body(execution_id=f"to-{number}"), headers={"Parallax-Reply-To": to}
            )
            assert (await client.ended(f"to-{number}"))[0] == "completed"
        with pytest.raises(nats.errors.TimeoutError):
            await heard.next_msg(timeout=0.2)


async def test_every_event_is_a_cloud_event_of_the_request_s_trace(stack: Stack) -> None:
    """CloudEvents 1.0 in binary mode; `traceparent` goes on with the trace of the request, each event a span."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    async with plain(stack.nats_url) as client:
        await client.ask(
            REQUEST, body(execution_id="traced"), {"traceparent": f"00-{trace}-b7ad6b7169203331-01", "ce-id": "mine"}
        )
        await client.ended("traced")
        spans: list[str] = []
        for message in await client.history("traced"):
            headers = message.headers or {}
            kind = message.subject.removeprefix("parallax.events.traced.")
            assert headers["ce-specversion"] == "1.0"
            assert headers["ce-type"] == kind
            assert headers["ce-id"]
            assert headers["ce-source"]
            assert headers["ce-subject"] == "traced"
            assert headers["ce-time"].endswith("Z")
            version, found, span, _ = headers["traceparent"].split("-")
            assert (version, found) == ("00", trace), kind
            spans.append(span)
        assert len(set(spans)) == len(spans) > 5
