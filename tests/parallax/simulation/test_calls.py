"""Patterns that call others can be simulated, and the engine decides the same over what they log."""

from __future__ import annotations

from pathlib import Path

from parallax.simulation.loading import find_pattern
from tests.parallax.simulation.charts import played, types
from tests.parallax.simulation.engine import difference

INNER = """
name: inner
version: 1.0.0
workspace: {enabled: false}
structure: {name: s, roles: {w: {capabilities: [a], agentType: custom}, v: {capabilities: [a], agentType: custom}}}
workflow:
  name: f
  input: {task: {type: string}}
  steps:
    - {type: assign, id: made, role: w, task: "${input.task}"}
    - {type: review, id: judged, reviewer: v, subject: "${made.result}"}
  output: made
"""

OUTER = """
export const pattern = {name: "outer", workspace: {enabled: false}}
const all = parallel(
  map(range(3), i => () => call("inner", {task: "part ${i}"}, {id: "part", timeoutMs: 60000000, onError: "continue"})),
  {max: 2},
)
len(all)
"""


async def test_a_simulated_run_with_calls_replays_in_the_engine(tmp_path: Path) -> None:
    """Whatever the agents do: the same requests, withdrawals and endings."""
    (tmp_path / "inner.yaml").write_text(INNER, "utf-8")
    (tmp_path / "outer.prism").write_text(OUTER, "utf-8")
    for name in ("outer", str(tmp_path / "outer.prism")):
        pattern = find_pattern(name, tmp_path)
        troubled = {"default": {"quality": 0.5, "failure": {"error": 0.3, "timeout": 0.1}}}
        for world in ({}, troubled):
            for run in range(1, 6):
                outcome = played(pattern, world, run)
                assert await difference(outcome) is None, outcome.path
        outcome = played(pattern)
        assert outcome.status == "completed"
        assert types(outcome).count("task.completed") == 6


async def test_requests_over_http_are_simulated(tmp_path: Path) -> None:
    """A server answers 200 and nothing, after a while; the engine hears it the same way."""
    text = """
export const pattern = {name: "asks", workspace: {enabled: false}}
const first = http({url: "https://x.example"})
const won = parallel([() => http({url: "https://x.example", timeoutMs: 50}), () => sleep(100)], {strategy: "race"})
[first.status, first.body, won[0].status]
"""
    (tmp_path / "asks.prism").write_text(text, "utf-8")
    outcome = played(find_pattern("asks", tmp_path))
    assert await difference(outcome) is None
    assert outcome.status == "completed"
    assert types(outcome).count("http.completed") == 2
