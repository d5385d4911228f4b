"""Charts made at random, with every type of step inside every other: each compiles, and no run fails by its program."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from compiler.patterns import load_pattern
from parallax.testing import simulate

ROLES = ("boss", "lead", "dev")
ORACLES: tuple[dict[str, Any], ...] = (
    {"type": "command", "run": "make test"},
    {"type": "agent", "role": "lead"},
    {"type": "human", "prompt": "Is it good?"},
    {"type": "checklist", "criteria": [{"text": "built", "run": "make"}]},
)
OF_THE_WORK = {
    "task_failed", "task_timeout", "step_timeout", "not_approved", "verification_failed", "quorum_not_reached",
    "no_sources", "workspace_conflict", "agent_lost", "empty_result",
}  # fmt: skip
"""How a run may fail; anything else would be a mistake of the program that the chart became."""

Step = dict[str, Any]


class Author:
    """Writes a chart. A step may refer to every step before it, wherever that stands."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.number = 0
        self.works: set[str] = set()

    def chart(self) -> str:
        policy = {"confidence": {"accept": 0.8, "retryBelow": 0.6, "escalateBelow": 0.3}}
        roles: dict[str, Any] = {name: {"capabilities": ["coding"]} for name in ROLES}
        roles["lead"] |= {"reportsTo": "boss", "maxInstances": 2}
        roles["dev"] |= {"reportsTo": "lead", **(policy if self.rng.random() < 0.5 else {})}
        steps, known = self._steps(self.rng.randint(2, 6), 0, [])
        workflow = {"name": "w", "input": {"task": {"type": "string", "default": "T"}}, "steps": steps}
        if known:
            workflow["output"] = self.rng.choice(known)
        escalation = {"maxDepth": 2, "onMaxDepth": "return_best_effort"}
        structure = {"name": "s", "roles": roles, "escalation": escalation}
        return json.dumps({"name": "random", "structure": structure, "workflow": workflow})

    def _steps(self, count: int, depth: int, known: list[str]) -> tuple[list[Step], list[str]]:
        steps, names = list[Step](), list(known)
        for _ in range(count):
            step, new = self._step(depth, names)
            steps.append(step)
            names += new
        return steps, names[len(known) :]

    def _step(self, depth: int, known: list[str]) -> tuple[Step, list[str]]:
        works = [name for name in known if name in self.works]
        kinds = ["assign", "assign", "assign", "approve", "select", "wait"]
        kinds += ["review", "aggregate", "verify"] if works else []
        kinds += ["parallel", "sequential", "condition"] * 2 if depth < 3 else []
        kind = self.rng.choice(kinds)
        step, inner = getattr(self, f"_{kind}")(depth, known, works)
        step["type"] = kind
        if kind != "wait" and self.rng.random() < 0.3:
            step["onError"] = self.rng.choice(["continue", "best_effort"])
        if kind != "wait" and self.rng.random() < 0.1:
            step["timeoutMs"] = self.rng.choice([1_000, 100_000, 10_000_000])
        if self.rng.random() < 0.3:
            return step, inner
        self.number += 1
        step["id"] = f"s{'-' if self.rng.random() < 0.2 else ''}{self.number}"
        if kind == "assign":
            self.works.add(step["id"])
        return step, [*inner, step["id"]]

    def _text(self, known: list[str]) -> str:
        name = self.rng.choice([*known, "input.task"])
        return f"do ${{{name}{self.rng.choice(['', '.result', '.error.message']) if name in self.works else ''}}}"

    def _assign(self, _depth: int, known: list[str], _works: list[str]) -> tuple[Step, list[str]]:
        return {"role": self.rng.choice(ROLES), "task": self._text(known)}, []

    def _approve(self, _depth: int, known: list[str], _works: list[str]) -> tuple[Step, list[str]]:
        return {"approver": self.rng.choice(ROLES), "subject": self._text(known)}, []

    def _select(self, _depth: int, _known: list[str], _works: list[str]) -> tuple[Step, list[str]]:
        criteria = self.rng.choice(["availability", "expertise", "round_robin", "best"])
        return {"role": self.rng.choice(ROLES), "criteria": criteria}, []

    def _wait(self, _depth: int, _known: list[str], _works: list[str]) -> tuple[Step, list[str]]:
        return {"timeoutMs": 1_000}, []

    def _review(self, _depth: int, _known: list[str], works: list[str]) -> tuple[Step, list[str]]:
        subject = f"${{{self.rng.choice(works)}}}"
        return {"reviewer": self.rng.choice(ROLES), "subject": subject, "maxIterations": self.rng.randint(0, 3)}, []

    def _aggregate(self, _depth: int, _known: list[str], works: list[str]) -> tuple[Step, list[str]]:
        method = self.rng.choice(["consensus", "majority", "merge", "best", "all", "weighted"])
        return {"method": method, "sources": self.rng.sample(works, min(3, len(works)))}, []

    def _verify(self, _depth: int, _known: list[str], works: list[str]) -> tuple[Step, list[str]]:
        return {"oracles": [self.rng.choice(ORACLES)], "subject": f"${{{self.rng.choice(works)}}}"}, []

    def _parallel(self, depth: int, known: list[str], _works: list[str]) -> tuple[Step, list[str]]:
        made = [self._steps(1, depth + 1, known) for _ in range(self.rng.randint(1, 3))]
        step: Step = {"steps": [branch[0] for branch, _ in made]}
        if self.rng.random() < 0.3:
            step["maxConcurrency"] = self.rng.randint(1, 3)
        if self.rng.random() < 0.3:
            step["strategy"] = self.rng.choice(["race", "all_settled"])
        return step, [name for _, names in made for name in names]

    def _sequential(self, depth: int, known: list[str], _works: list[str]) -> tuple[Step, list[str]]:
        steps, names = self._steps(self.rng.randint(1, 3), depth + 1, known)
        return {"steps": steps}, names

    def _condition(self, depth: int, known: list[str], works: list[str]) -> tuple[Step, list[str]]:
        check = f"{self.rng.choice(works)}.confidence > 0.5" if works else 'input.task == "T"'
        then, names = self._steps(self.rng.randint(1, 2), depth + 1, known)
        step: Step = {"check": check, "then": then if len(then) > 1 or self.rng.random() < 0.5 else then[0]}
        if self.rng.random() < 0.6:
            step["else"], others = self._steps(self.rng.randint(1, 2), depth + 1, known)
            names = [*names, *others]
        return step, names


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_a_random_chart_compiles_and_never_fails_by_its_program(first: int) -> None:
    """References to steps in branches, conditions and groups, which may have failed or never run, all hold."""
    for seed in range(first, first + 50):
        text = Author(seed).chart()
        result = load_pattern(text, filename="random.yaml")
        assert result.pattern is not None, (seed, result.diagnostics)
        for world in (None, {}):
            outcome = simulate(result.pattern, seed=seed + 1, world=world)
            assert outcome.error is None or outcome.error.code in OF_THE_WORK, (seed, outcome.error)
