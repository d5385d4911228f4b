"""The agents of the fan-out benchmark: several in one process, each doing nothing as fast as it can.

Run as `python -m parallax.bench.agents NATS_URL COUNT`; says `ready` when all of them are registered, ends on SIGTERM.
"""

from __future__ import annotations

import asyncio
import signal
import sys

import uvloop

from parallax.agent import Agent, Result, Task

CAPABILITY = "bench_fanout"
_AT_ONCE = 1024


def make_agent(number: int, nats_url: str) -> Agent:
    """One of them."""
    agent = Agent(f"bench-{number}", capabilities=[CAPABILITY], max_concurrency=_AT_ONCE, url=nats_url)

    @agent.task
    async def nothing(task: Task) -> Result:
        return Result({"done": task.text})

    return agent


async def serve(nats_url: str, count: int) -> None:
    """Runs them until SIGTERM."""
    agents = [make_agent(number, nats_url) for number in range(1, count + 1)]

    def stop() -> None:
        for agent in agents:
            agent.stop()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    async with asyncio.TaskGroup() as group:
        for agent in agents:
            group.create_task(agent.serve())
        for agent in agents:
            await agent.registered()
        sys.stdout.write("ready\n")
        sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2])))
