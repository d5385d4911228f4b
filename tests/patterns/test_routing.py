"""A question on the real stack: it goes up the org chart as a task of its own, and the answer comes back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import parallax
from parallax.stack import embedded
from parallax.stack.binaries import find_program
from parallax.stack.errors import MissingProgramError
from tests.conftest import missing

PATTERN = """
name: asks
workspace: {enabled: false}
structure:
  name: T
  roles:
    dev: {capabilities: [asking], reportsTo: lead}
    lead: {capabilities: [leading], reportsTo: boss}
    boss: {capabilities: [bossing]}
  routing: [{from: "*", to: boss, topics: [money], messageTypes: [question]}]
  escalation: {timeoutMs: 20000, maxDepth: 3}
workflow:
  name: w
  input: {question: {type: string, required: true}}
  steps: [{type: assign, id: work, role: dev, task: "${input.question}"}]
  output: work
"""


@pytest.mark.stack
async def test_a_question_goes_to_the_role_that_has_the_answer(tmp_path: Path) -> None:
    """By topic to the boss, else to the lead, who refuses, so that the boss is next; every replay is identical."""
    try:
        for name in ("nats-server", "postgres", "etcd"):
            find_program(name)
    except MissingProgramError as error:
        missing("stack", str(error))
    (tmp_path / "asks.yaml").write_text(PATTERN, "utf-8")
    async with embedded(env={"PARALLAX_PATTERNS_DIR": str(tmp_path)}) as running:
        agent = parallax.Agent(
            "all", capabilities=["asking", "leading", "bossing"], max_concurrency=8, url=running.nats_url
        )

        @agent.task
        async def work(task: parallax.Task) -> parallax.Result:
            """The developer asks; the lead has no idea; the boss knows."""
            if task.role == "dev":
                return parallax.Result({"heard": await task.ask(task.text)})
            if task.role == "lead":
                raise RuntimeError("no idea")
            return parallax.Result(f"the {task.role} says yes")

        serving = asyncio.ensure_future(agent.serve())
        await agent.registered()
        try:
            async with parallax.connect(running.nats_url) as px:
                for question in ("How much money?", "Which port?"):
                    execution = await px.request("asks", input={"question": question})
                    outcome = await asyncio.wait_for(execution.result(), 60)
                    assert outcome.value["result"] == {"heard": "the boss says yes"}
                    asked = [event.data["role"] async for event in execution.events() if event.type == "task.requested"]
                    assert asked == (["dev", "boss"] if "money" in question else ["dev", "lead", "boss"])
                    report = await execution.replay()
                    assert report.identical, report
        finally:
            agent.stop()
            await serving
