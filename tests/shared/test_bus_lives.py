"""What kills or blocks the process that handles it is parked after a few lives, and nothing is parked with it."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec
import pytest

from shared import subjects
from shared.bus import Bus, DeadLetter, Delivery, Retry
from shared.bus.lives import MOST_DEATHS, MOST_STARTS, Lives, Mark, when_survived
from shared.testing import eventually
from tests.shared.events import fact

ROOT = Path(__file__).parents[2]

DEADLY = """
import asyncio, os, sys, time
from shared import subjects
from shared.bus import Bus

async def main():
    url, key, way = sys.argv[1:]
    bus = await Bus.connect(url, name="deadly")
    async def handle(delivery):
        await bus.publish(f"test.{key}.begun", {"n": delivery.data.task_id})
        await bus.flush()
        if delivery.data.task_id != "t2":
            return
        if way == "kill":
            os._exit(9)
        time.sleep(60)  # what a regular expression without a bound does: the loop stands still
    async def parked(delivery, reason):
        await bus.publish(f"test.{key}.parked", {"n": delivery.data.task_id})
    await bus.work(durable=f"work-{key}", stream="events", filters=[subjects.events_of(key)], handler=handle,
                   concurrency=8, ack_wait_s=0.6, parked=parked)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def _over(told: list[str], ended: asyncio.Task[int], begun: list[str], before: int) -> bool:
    """Whether a supervisor would have to do something by now, or there is nothing left to do."""
    return bool(told) or ended.done() or begun.count("t2") > before


async def letters(bus: Bus, durable: str) -> list[DeadLetter]:
    return [letter async for letter in bus.dead_letters() if letter.worker == durable]


@pytest.mark.parametrize("way", ["kill", "block"])
async def test_a_message_that_ends_or_blocks_its_process_is_parked_after_a_few_lives(
    bus: Bus, nats_url: str, key: str, way: str
) -> None:
    """With its reason; the others are handled, and whoever comes next has peace."""
    begun: list[str] = []
    told: list[str] = []

    async def heard(body: dict[str, str]) -> None:
        begun.append(body["n"])

    async def heard_parked(body: dict[str, str]) -> None:
        told.append(body["n"])

    await bus.serve(f"test.{key}.begun", dict[str, str], heard)
    await bus.serve(f"test.{key}.parked", dict[str, str], heard_parked)
    await bus.append_all([fact(key, number) for number in range(5)])
    lives = 0
    while not told and lives < 12:
        lives += 1
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", DEADLY, nats_url, key, way, cwd=ROOT, stderr=asyncio.subprocess.DEVNULL
        )
        ended = asyncio.create_task(process.wait())
        await eventually(partial(_over, told, ended, begun, begun.count("t2")), timeout_s=30)
        await asyncio.wait({ended}, timeout=0.3)  # so long it stands still
        with suppress(ProcessLookupError):
            process.kill()
        await ended
    assert told == ["t2"]
    assert begun.count("t2") == MOST_DEATHS + 1
    assert {"t0", "t1", "t3", "t4"} <= set(begun)
    (letter,) = await letters(bus, f"work-{key}")
    assert f"{MOST_DEATHS} times in a row" in letter.reason


async def test_who_dies_with_another_is_not_parked_with_it(bus: Bus, key: str) -> None:
    """What was begun beside the deadly one has survived its own beginning, and has no deaths to its name."""
    lives = Lives(bus.connection, f"test-{key}")
    for _ in range(MOST_DEATHS * 3):
        why_not, release = await lives.begin("innocent")
        assert not why_not
        await when_survived(lambda: lives.survived("innocent"))
        release()
    why_not, release = await lives.begin("innocent")
    assert not why_not
    release()


async def test_marked_work_is_begun_alone(bus: Bus, key: str) -> None:
    """What died before holds the others up until it has survived, so that its death is its own."""
    first = Lives(bus.connection, f"test-{key}")
    _, release = await first.begin("deadly")
    release()
    after = Lives(bus.connection, f"test-{key}")  # of the next process
    _, release = await after.begin("deadly")
    waiting = asyncio.create_task(after.begin("other"))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    release()
    why_not, other = await waiting
    assert not why_not
    other()


async def test_what_has_ended_is_forgotten(bus: Bus, key: str) -> None:
    """A message that was handled, or given back with a word, begins anew."""
    lives = Lives(bus.connection, f"test-{key}")
    for _ in range(MOST_DEATHS * 2):
        why_not, release = await lives.begin("one")
        assert not why_not
        release()
        await lives.end("one")


async def test_what_is_begun_again_for_ever_is_given_up(bus: Bus, key: str) -> None:
    """However late each time its process died."""
    lives = Lives(bus.connection, f"test-{key}")
    bucket = await bus.key_value("parallax-lives", ttl_s=14 * 86_400.0)
    await bucket.put(f"test-{key}.late", msgspec.json.encode(Mark(starts=MOST_STARTS - 1)))
    why_not, release = await lives.begin("late")
    assert not why_not
    release()
    await lives.survived("late")
    why_not, release = await lives.begin("late")
    assert str(MOST_STARTS) in why_not


async def test_a_message_that_was_given_back_by_a_word_is_not_marked(bus: Bus, key: str) -> None:
    """`Retry` is no death, however often it is said."""
    attempts: list[int] = []

    async def handle(delivery: Delivery) -> None:
        attempts.append(delivery.attempt)
        if delivery.attempt < MOST_DEATHS + 6:
            raise Retry(0.01)

    worker = await bus.work(durable=f"work-{key}", stream="events", filters=[subjects.events_of(key)], handler=handle)
    await bus.append(fact(key, 1))
    await eventually(lambda: len(attempts) == MOST_DEATHS + 6, timeout_s=10)
    bucket = await bus.key_value("parallax-lives", ttl_s=14 * 86_400.0)
    assert [name for name in await bucket.keys() if key in name] == []
    await worker.stop()
