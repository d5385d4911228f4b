"""The fan-out: executions of K parallel tasks that do nothing, and an aggregate. What is left is the platform's cost.

Measured from the publish of a request to its `execution.completed`, through the real services and servers, with agents
that are `custom` ones of one process written with the SDK, and no workspace.
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
from ruamel.yaml import YAML

from parallax.client import Client, connect
from parallax.client_errors import ParallaxError
from schemas.base import Model
from schemas.commands import ExecutionRequest
from shared import subjects
from shared.ids import new_id

PATTERN = "bench-fanout"


class Figures(Model, frozen=True, kw_only=True):
    """What a run of the benchmark measured. Times in milliseconds, rates a second."""

    executions_per_s: float
    p50_ms: float
    p99_ms: float
    events_per_s: float
    durability: str
    executions: int
    in_flight: int
    agents: int


class FanoutFailed(ParallaxError):
    """An execution of the benchmark did not complete, so that its figures mean nothing."""


def pattern_text(agents: int) -> str:
    """The pattern for so many agents. JSON is YAML."""
    yaml: Any = YAML(typ="safe")  # ruamel.yaml leaves what it loads untyped
    pattern: dict[str, Any] = yaml.load((files("parallax.bench") / "fanout.yaml").read_text(encoding="utf-8"))
    fan = pattern["workflow"]["steps"][0]
    fan["steps"] = fan["steps"] * agents
    return msgspec.json.format(msgspec.json.encode(pattern), indent=2).decode()


def write_pattern(directory: Path, agents: int) -> None:
    """Puts the pattern where a stack's `PARALLAX_PATTERNS_DIR` is."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{PATTERN}.yaml").write_text(pattern_text(agents), encoding="utf-8")


@asynccontextmanager
async def agent_process(nats_url: str, agents: int) -> AsyncGenerator[None]:
    """The agents, in a process of their own, from when all are registered until they are no longer needed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "parallax.bench.agents", nats_url, str(agents), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None, "it was asked for"
        async with asyncio.timeout(30):
            if (await process.stdout.readline()).strip() != b"ready":
                raise FanoutFailed("The agents could not be started.")
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def measure(
    nats_url: str, *, executions: int, in_flight: int, agents: int, durability: str, warm_up: int = 50
) -> Figures:
    """Runs the benchmark against servers and services that are up and know the pattern."""
    async with agent_process(nats_url, agents), connect(nats_url, name="bench") as client:
        await _run(client, warm_up, min(in_flight, warm_up) or 1)
        before = await client.bus.last_seq()
        began = time.perf_counter()
        took = await _run(client, executions, in_flight)
        seconds = time.perf_counter() - began
        events = await client.bus.last_seq() - before
    return Figures(
        executions_per_s=round(executions / seconds, 1),
        p50_ms=round(percentile(took, 0.50), 2),
        p99_ms=round(percentile(took, 0.99), 2),
        events_per_s=round(events / seconds, 1),
        durability=durability,
        executions=executions,
        in_flight=in_flight,
        agents=agents,
    )


async def _run(client: Client, executions: int, in_flight: int) -> list[float]:
    """Runs so many executions, so many at once; how long each took, in milliseconds."""
    waiting = iter(range(executions))
    took: list[float] = []

    async def one_after_another() -> None:
        took.extend([await _once(client) for _ in waiting])

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(one_after_another())
    return took


async def _once(client: Client) -> float:
    """One execution. It is published as any NATS client would, with no more than the ack to wait for."""
    execution_id = new_id()
    ending = await client.endings.expect(execution_id)
    request = ExecutionRequest(pattern=PATTERN, execution_id=execution_id)
    began = time.perf_counter()
    await client.bus.submit(subjects.REQUEST, request, msg_id=execution_id)
    event = await ending
    seconds = time.perf_counter() - began
    if event.type == "execution.rejected":
        reasons = " ".join(str(error["what"]) for error in event.data["errors"])
        raise FanoutFailed(
            f"The stack does not take executions of {PATTERN}: {reasons}",
            hint="Without --data the benchmark starts a stack of its own, which has the pattern.",
        )
    if event.type != "execution.completed":
        raise FanoutFailed(f"An execution ended with {event.type}: {msgspec.json.encode(event.data).decode()[:500]}")
    return seconds * 1000


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]
