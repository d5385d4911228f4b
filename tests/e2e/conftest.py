"""The whole product, every server and service a process of its own, with an agent of ours; one for all tests here."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest_asyncio

from parallax.stack import Stack, embedded
from parallax.stack.binaries import find_program
from parallax.stack.errors import MissingProgramError
from tests.conftest import missing

PATTERNS = {
    "duo.yaml": """
name: duo
version: 1.0.0
workspace: {enabled: false}
structure:
  name: two at once
  roles:
    worker: {id: worker, name: Worker, agentType: custom, capabilities: [e2e]}
workflow:
  name: both
  input:
    topic: {type: string, required: true, description: what it is about}
  steps:
    - type: parallel
      id: both
      steps:
        - {type: assign, id: one, role: worker, task: "${input.topic} one"}
        - {type: assign, id: two, role: worker, task: "${input.topic} two"}
    - {type: aggregate, id: all, method: all}
""",
    "repo.yaml": """
name: repo
version: 1.0.0
structure:
  name: alone
  roles:
    worker: {id: worker, name: Worker, agentType: custom, capabilities: [e2e]}
workflow:
  name: work
  steps:
    - {type: assign, id: one, role: worker, task: "look around"}
""",
    "many-words.yaml": """
name: many-words
version: 1.0.0
workspace: {enabled: false}
structure:
  name: a crowd
  roles:
    worker:
      id: worker
      name: Worker
      agentType: command
      capabilities: [work]
      maxInstances: 20
      agentConfig:
        command:
          - python
          - -c
          - |
            import json, sys

            task = json.load(sys.stdin)
            words = {"text": "x" * 450_000, "n": task["input"]["n"], "half": "done " + chr(0xD83D)}
            print(json.dumps({"type": "result", "result": words, "confidence": 1}))
workflow:
  name: work
  input:
    n: {type: integer, required: true, description: a large number}
  steps:
    - type: parallel
      id: all
      steps:
        - {type: assign, role: worker, task: say much, input: {n: "${input.n}"}}
        - {type: assign, role: worker, task: say much, input: {n: "${input.n}"}}
        - {type: assign, role: worker, task: say much, input: {n: "${input.n}"}}
        - {type: assign, role: worker, task: say much, input: {n: "${input.n}"}}
        - {type: assign, role: worker, task: say much, input: {n: "${input.n}"}}
        - {type: assign, role: worker, task: say much, input: {n: "${input.n}"}}
        - {type: assign, role: worker, task: say much, input: {n: "${input.n}"}}
        - {type: assign, role: worker, task: say much, input: {n: "${input.n}"}}
        - {type: assign, role: worker, task: say much, input: {n: "${input.n}"}}
        - {type: assign, role: worker, task: say much, input: {n: "${input.n}"}}
        - {type: assign, role: worker, task: say much, input: {n: "${input.n}"}}
        - {type: assign, role: worker, task: say much, input: {n: "${input.n}"}}
        - {type: assign, role: worker, task: say much, input: {n: "${input.n}"}}
        - {type: assign, role: worker, task: say much, input: {n: "${input.n}"}}
        - {type: assign, role: worker, task: say much, input: {n: "${input.n}"}}
        - {type: assign, role: worker, task: say much, input: {n: "${input.n}"}}
        - {type: assign, role: worker, task: say much, input: {n: "${input.n}"}}
        - {type: assign, role: worker, task: say much, input: {n: "${input.n}"}}
        - {type: assign, role: worker, task: say much, input: {n: "${input.n}"}}
        - {type: assign, role: worker, task: say much, input: {n: "${input.n}"}}
  output: all
""",
    "merge.yaml": """
name: merge
version: 1.0.0
structure:
  name: two hands
  roles:
    left:
      id: left
      name: Left
      agentType: command
      capabilities: [work]
      agentConfig: {command: [touch, left.txt]}
    right:
      id: right
      name: Right
      agentType: command
      capabilities: [work]
      agentConfig: {command: [touch, right.txt]}
workflow:
  name: merge
  steps:
    - type: parallel
      id: both
      steps:
        - {type: assign, id: one, role: left, task: one}
        - {type: assign, id: two, role: right, task: two}
    - {type: verify, id: whole, oracles: [{type: command, run: "test -e left.txt -a -e right.txt"}]}
""",
    "asking.yaml": """
name: asking
version: 1.0.0
workspace: {enabled: false}
structure:
  name: who asks
  roles:
    asker: {id: asker, name: Asker, agentType: custom, capabilities: [asking]}
workflow:
  name: ask
  steps:
    - {type: assign, id: one, role: asker, task: ask}
  output: one
""",
    "patient.prism": """
export const pattern = {name: "patient", version: "1.0.0", workspace: {enabled: false}}
let heard = wait("go", {timeoutMs: 600000})
{heard: heard}
""",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: object) -> AsyncGenerator[Stack]:
    """The product, ready, with one registered agent."""
    try:
        for name in ("nats-server", "postgres", "etcd"):
            find_program(name)
    except MissingProgramError as error:
        missing("stack", str(error))
    patterns = Path(tmp_path_factory.mktemp("patterns"))  # type: ignore[attr-defined] # pytest's own fixture
    for name, text in PATTERNS.items():
        (patterns / name).write_text(text, encoding="utf-8")
    async with embedded(env={"PARALLAX_PATTERNS_DIR": str(patterns)}) as running:
        agent = await asyncio.create_subprocess_exec(
            sys.executable, "-P", str(Path(__file__).with_name("agent.py")), running.nats_url
        )
        try:
            yield running
        finally:
            agent.terminate()
            await agent.wait()
