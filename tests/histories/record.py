"""Records the corpus anew from real runs: `python -m tests.histories.record [DIRECTORY]`.

Only for histories of kinds that are not there yet. Those that are there stay as they are: that they still replay is
the point of them.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from parallax.stack import embedded
from schemas.events import QuestionAsked
from shared import subjects
from shared.bus import Bus
from tests.chaos.killing import PATTERN as WRITERS
from tests.chaos.killing import make_repository
from tests.histories.corpus import PLACE, line_of
from tests.histories.scenarios import ACTOR, DECISIONS, PATTERNS, Scenario

SCRATCH = Path(tempfile.gettempdir()) / "parallax-histories"
"""Always the same, so that no history holds a path of the machine it was recorded on."""

GREETER = ("127.0.0.1", 18999)
"""Whom the program of `asks-http` asks."""

FIRST = ("team", "budget", "writers", "broken", "timeout", "naps", "cancelled", "paused")


async def main(place: Path) -> None:
    """Runs every scenario on a stack of its own and writes what its log holds."""
    SCRATCH.mkdir(mode=0o711)
    try:
        patterns, origin = SCRATCH / "patterns", SCRATCH / "origin"
        patterns.mkdir()
        for name, text in PATTERNS.items():
            (patterns / name).write_text(text, encoding="utf-8")
        for name, (_, text) in DECISIONS.items():
            (patterns / f"{name}.{'prism' if text.lstrip().startswith('export') else 'yaml'}").write_text(text, "utf-8")
        shutil.copy(Path(__file__).with_name("actor.py"), ACTOR)
        worker = shutil.copy(Path(__file__).parents[1] / "chaos" / "worker.py", SCRATCH)
        (patterns / "chaos.yaml").write_text(WRITERS.format(command=f'["python3", "{worker}"]'), encoding="utf-8")
        make_repository(origin)
        env = {"PARALLAX_PATTERNS_DIR": str(patterns), "PARALLAX_HTTP_ALLOW": f"{GREETER[0]}:{GREETER[1]}"}
        async with _greeter(), embedded(data=SCRATCH / "data", env=env) as stack:
            agent = await asyncio.create_subprocess_exec(
                sys.executable, "-P", str(Path(__file__).parents[1] / "e2e" / "agent.py"), stack.nats_url
            )
            bus = await Bus.connect(stack.nats_url, "recorder")
            try:
                place.mkdir(parents=True, exist_ok=True)
                await _record(bus, str(origin), place)
                await _record_decisions(bus, str(origin), place)
            finally:
                await bus.close()
                agent.terminate()
                await agent.wait()
    finally:
        shutil.rmtree(SCRATCH)


@asynccontextmanager
async def _greeter() -> AsyncGenerator[None]:
    """A server that greets whoever asks."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b'{"hello": "world"}'
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, *GREETER)
    async with server:
        yield


async def _record_decisions(bus: Bus, origin: str, place: Path) -> None:
    for name, (scenario, _) in DECISIONS.items():
        if (place / f"{name}.jsonl").exists():
            continue
        repo = {"repo": origin} if scenario.repo else {}
        await start(bus, name, name, options=scenario.options, **repo)
        await _answer(bus, name, scenario)
        await _write(bus, name, place)


async def _answer(bus: Bus, execution_id: str, scenario: Scenario) -> None:
    """Answers the questions of an execution in the order in which they are asked."""
    left = list(scenario.answers)
    if not left:
        return
    async with asyncio.timeout(60):
        async for record in bus.follow([subjects.event(execution_id, "question", "asked")], after=0):
            value, reason = left.pop(0)
            assert isinstance(record.data, QuestionAsked)
            body = {"question_id": record.data.question_id, "value": value, "by": "ada", "reason": reason}
            await say(bus, execution_id, "answer", body)
            if not left:
                return


async def _write(bus: Bus, name: str, place: Path) -> None:
    file = place / f"{name}.jsonl"
    lines = [line_of(record) for record in await _history(bus, name)]
    if not file.exists():
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")


async def _record(bus: Bus, origin: str, place: Path) -> None:
    if all((place / f"{name}.jsonl").exists() for name in FIRST):
        return
    topic = {"topic": "words"}
    await start(bus, "team", "team", input=topic)
    await start(bus, "budget", "team", input=topic, options={"budget": {"turns": 0}})
    await start(bus, "writers", "chaos", input=topic, repo=origin)
    await start(bus, "broken", "broken")
    await start(bus, "timeout", "patient", options={"timeout_ms": 300})
    await start(bus, "naps", "naps")
    await say(bus, "naps", "signal", {"name": "go", "data": {"far": [1, 2.5, None]}})
    for name in ("cancelled", "paused"):
        await start(bus, name, "patient")
    await say(bus, "cancelled", "cancel", {"reason": "not needed"})
    await say(bus, "paused", "pause", {"reason": "lunch"})
    await say(bus, "paused", "signal", {"name": "go"})
    await say(bus, "paused", "resume", {})
    for name in FIRST:
        await _write(bus, name, place)


async def start(bus: Bus, execution_id: str, pattern: str, **fields: Any) -> None:
    await bus.submit(subjects.REQUEST, {"execution_id": execution_id, "pattern": pattern, **fields})


async def say(bus: Bus, execution_id: str, verb: str, body: dict[str, Any]) -> None:
    inbox = bus.new_inbox()
    answered = asyncio.Event()

    async def heard(_: dict[str, Any]) -> None:
        answered.set()

    await bus.serve(inbox, dict[str, Any], heard)
    await bus.submit(subjects.command(execution_id, verb), body, reply_to=inbox)
    await asyncio.wait_for(answered.wait(), 30)


async def _history(bus: Bus, execution_id: str) -> list[Any]:
    async with asyncio.timeout(60):
        async for record in bus.follow([subjects.event(execution_id, "execution", "*")], after=0):
            if record.type.partition(".")[2] in ("completed", "failed", "cancelled", "rejected"):
                break
    return [record async for record in bus.read(execution_id)]


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else PLACE))
