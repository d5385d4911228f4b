"""Values too large for a message are kept beside the log, and whoever reads by the bus does not notice."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import msgspec
import nats
import pytest

from schemas.agents import TaskOffer
from schemas.base import Model
from schemas.events import ExecutionCompleted, TaskFinished
from shared import subjects
from shared.bus import Bus, Delivery, EventTooLarge, Fence, Recorded, UnknownEvent
from shared.bus import headers as hdr
from shared.bus.large import CHUNK, INLINE, LARGEST
from shared.bus.raw import RawMessage
from shared.bus.streams import api
from shared.testing import eventually
from tests.shared.conftest import Connect, OwnServer
from tests.shared.events import accepted, fact
from tests.shared.test_bus_follow import following

RESULTS: Any = [{"result": letter * 450_000, "n": 2**53 + 1 + number} for number, letter in enumerate("abcd" * 5)]
"""What twenty agents said, nine megabytes together."""


def completed(key: str, result: Any = RESULTS) -> ExecutionCompleted:
    """The end of an execution with a large result."""
    return ExecutionCompleted(execution_id=key, result=result, confidence=0.5)


async def chunks(bus: Bus, value: bytes) -> int:
    """How many chunks of a value are stored."""
    subject = subjects.large_value(hashlib.sha256(value).hexdigest(), "*")
    info = await api(bus.connection, f"STREAM.INFO.{subjects.STREAM_VALUES}", {"subjects_filter": subject})
    return len(info["state"].get("subjects") or {})


async def test_nine_megabytes_come_back_as_they_were(nats_url: str, connect: Connect, key: str) -> None:
    """Read, followed from history and live, and delivered as work: the same event, and the same bytes."""
    writer, reader = await connect(nats_url), await connect(nats_url)
    event = completed(key)
    first = await writer.append(accepted(key))
    worked: list[Delivery] = []

    async def work(delivery: Delivery) -> None:
        worked.append(delivery)

    kind = subjects.event(key, "execution", "completed")
    worker = await reader.work(durable=f"d{key}", stream="events", filters=[kind], handler=work)
    async with following(reader, [kind], after=first) as live:
        await asyncio.sleep(0.2)
        await writer.append_all([event], fence=Fence(key, first))
        await eventually(lambda: live and worked, timeout_s=20)
        async with following(reader, [kind], after=0) as late:
            await eventually(lambda: late, timeout_s=20)
            read = [record async for record in reader.read(key, types=["execution.completed"])]
            assert [record.data for record in (*live, *late, *read)] == [event] * 3
            assert worked[0].data == event
            assert worked[0].payload == msgspec.json.encode(event)
    await worker.stop()


async def test_the_log_itself_holds_a_reference(nats_url: str, connect: Connect, key: str) -> None:
    """A plain client sees which field is beside the message, under which digest and how long; the rest is in place."""
    bus = await connect(nats_url)
    client = await nats.connect(nats_url)
    heard = await client.subscribe(subjects.event(key, "execution", "completed"))
    await client.flush()
    await bus.append(completed(key))
    message = await heard.next_msg(timeout=10)
    body = json.loads(message.data)
    value = msgspec.json.encode(RESULTS)
    assert message.headers is not None
    assert message.headers[hdr.LARGE] == "result"
    assert body["result"] == {"$large": hashlib.sha256(value).hexdigest(), "bytes": len(value)}
    assert (body["execution_id"], body["confidence"]) == (key, 0.5)
    numbers = range(-(-len(value) // CHUNK))
    named = [f"parallax.values.{body['result']['$large']}.{number}" for number in numbers]
    stored = client.jetstream()
    parts = [(await stored.get_last_msg(subjects.STREAM_VALUES, name)).data for name in named]
    assert b"".join(part or b"" for part in parts) == value
    await client.close()


async def test_what_fits_stays_where_it_was(nats_url: str, connect: Connect, key: str) -> None:
    """Two megabytes are one message without a header, also where they look like a reference."""
    bus = await connect(nats_url)
    shaped = {"$large": "0" * 64, "bytes": 3, "text": "x" * 2_000_000}
    await bus.append(completed(key, shaped))
    records = [record async for record in bus.read(key)]
    assert records[0].data == completed(key, shaped)
    assert await chunks(bus, msgspec.json.encode(shaped)) == 0


async def test_a_value_is_stored_once_and_cannot_be_changed(nats_url: str, connect: Connect, key: str) -> None:
    """Whoever says it again refers to what is there."""
    one, other = await connect(nats_url), await connect(nats_url)
    value = f"{key}" * 500_000
    await one.append(completed(f"{key}a", value))
    await other.append(completed(f"{key}b", value))
    encoded = msgspec.json.encode(value)
    assert await chunks(one, encoded) == -(-len(encoded) // CHUNK)
    answer = await one.connection.request(subjects.large_value(hashlib.sha256(encoded).hexdigest(), "0"), b"forged")
    assert "maximum messages per subject" in answer.payload.decode()
    assert [record.data async for record in one.read(f"{key}b")] == [completed(f"{key}b", value)]


async def test_a_value_survives_the_death_of_the_server(own_server: OwnServer, connect: Connect, key: str) -> None:
    """kill -9 between and after: what was appended is read as it was, and an append that was cut off is repeated."""
    bus = await connect(own_server.url)
    await bus.ensure_streams()
    await bus.append(completed(f"{key}a", "a" * 9_000_000))
    await own_server.kill_and_restart()
    assert [record.data async for record in bus.read(f"{key}a")] == [completed(f"{key}a", "a" * 9_000_000)]
    appending = asyncio.create_task(bus.append(completed(f"{key}b", "b" * 30_000_000)))
    await asyncio.sleep(0.02)
    await own_server.kill_and_restart()
    await appending
    assert [record.data async for record in bus.read(f"{key}b")] == [completed(f"{key}b", "b" * 30_000_000)]


async def test_an_event_beyond_the_bound_is_refused_with_where_and_what(
    nats_url: str, connect: Connect, key: str
) -> None:
    """Its kind, its largest field, its size, the bound, and what to do."""
    bus = await connect(nats_url)
    with pytest.raises(EventTooLarge) as caught:
        await bus.append(completed(key, "x" * (LARGEST + 1)))
    assert caught.value.where == "execution.completed.result"
    for word in ("execution.completed", "`result`", f"{LARGEST:,}", "files in the worktree"):
        assert word in str(caught.value)
    assert [record async for record in bus.read(key)] == []


async def test_a_long_decision_of_large_events_goes_together(nats_url: str, connect: Connect, key: str) -> None:
    """Twenty events of three megabytes each are more than the server takes as one batch."""
    bus = await connect(nats_url)
    events = [
        TaskFinished(
            execution_id=key, task_id=f"t{number}", attempt=1, role="r", session="s", agent_id="a", outcome="ok",
            result=f"{number}" * (3_000_000 // len(str(number))),
        )
        for number in range(20)
    ]  # fmt: skip
    await bus.append_all(events)
    assert [record.data async for record in bus.read(key)] == events


async def test_many_events_just_below_the_bound_are_read_and_followed(
    nats_url: str, connect: Connect, key: str
) -> None:
    """More than a server holds for a client at once: pages end by their bytes."""
    writer, reader = await connect(nats_url), await connect(nats_url)
    reasons = [f"{number:02} " * 1_300_000 for number in range(30)]
    for number, reason in enumerate(reasons):
        await writer.append(fact(key, number, reason))
    async with following(reader, [subjects.event(key, "task", "*")], after=0) as seen:
        await eventually(lambda: len(seen) == 30, timeout_s=60)
        assert [record.data.reason for record in seen] == reasons
    worked: set[str] = set()

    async def work(delivery: Delivery) -> None:
        worked.add(delivery.data.reason)

    kind = subjects.event(key, "task", "cancel_requested")
    worker = await reader.work(durable=f"d{key}", stream="events", filters=[kind], handler=work)
    await eventually(lambda: len(worked) == 30, timeout_s=60)
    await worker.stop()


class Said(Model, frozen=True, kw_only=True):
    """A body of a core message."""

    text: str


async def test_core_messages_and_answers_may_be_as_large(nats_url: str, connect: Connect, key: str) -> None:
    """An offer with what twenty agents said, and an answer of that size."""
    one, other = await connect(nats_url), await connect(nats_url)
    heard: list[TaskOffer] = []

    async def take(offer: TaskOffer) -> Said:
        heard.append(offer)
        return Said(text="y" * 9_000_000)

    await other.serve(f"test.{key}", TaskOffer, take)
    offer = TaskOffer(
        task_id="t", attempt=1, execution_id=key, agent_id="a", role="r", session="s", task="x", context=RESULTS
    )
    answer = await one.request(f"test.{key}", offer, Said, timeout_s=20)
    assert heard == [offer]
    assert answer.text == "y" * 9_000_000


@pytest.mark.parametrize("held", [b'{"$large":"%s","bytes":3}' % (b"0" * 64), b'"no reference"', b"3"])
async def test_a_reference_to_nothing_stops_nobody(nats_url: str, connect: Connect, key: str, held: bytes) -> None:
    """A stranger's message, or a store that was damaged: the event is one that cannot be read, and says why."""
    bus = await connect(nats_url)
    body = b'{"execution_id":"%s","result":%s}' % (key.encode(), held)
    await bus.connection.request(subjects.append(key, "execution.completed"), body, {hdr.LARGE: "result"})
    await bus.append(fact(key, 1))
    records: list[Recorded] = [record async for record in bus.read(key)]
    assert isinstance(records[0].data, UnknownEvent)
    assert "large value cannot be read" in records[0].data.reason
    assert records[1].data == fact(key, 1)


async def test_lightening_gives_the_same_bytes_back(nats_url: str, connect: Connect, key: str) -> None:
    """Whatever is in the fields: the order of keys, exact numbers, escapes."""
    bus = await connect(nats_url)
    fields = {"b": 'ü\n\u2028\\"', "a": [1.0, -0.0, 1e300, 2**70, None, {"z": 1, "y": 2}], "execution_id": key}
    payload = msgspec.json.encode({**fields, "one": "x" * INLINE, "two": ["y" * 5000] * 900})
    lighter, headers = await bus._large.lighten("test", payload, {"ce-id": "1"})
    assert len(lighter) < 10_000
    assert headers[hdr.LARGE].split(",") == ["two", "one"] or headers[hdr.LARGE].split(",") == ["one", "two"]
    whole = await bus._large.whole(RawMessage("s", "", headers, lighter))
    assert whole.payload == payload
