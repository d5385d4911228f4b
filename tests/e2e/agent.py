"""An agent that does what it is told: run as `python agent.py NATS_URL`, ends on SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import sys

from parallax.agent import Agent, Result, Task

agent = Agent("e2e-1", capabilities=["e2e"], max_concurrency=64, url=sys.argv[1])


@agent.task
async def work(task: Task) -> Result:
    """Says what it was asked."""
    return Result({"did": task.text}, confidence=0.8)


async def main() -> None:
    """Serves until it is asked to leave."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, agent.stop)
    await agent.serve()


if __name__ == "__main__":
    asyncio.run(main())
