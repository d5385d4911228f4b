"""Aggregates of work that a reviewer has done again."""

from __future__ import annotations

from typing import Any

from tests.compiler.patterns.charts import live

PAIR = """
- type: parallel
  id: both
  steps:
    - {type: assign, id: one, role: dev, task: one}
    - {type: assign, id: two, role: ops, task: two}
"""

REVISE: list[Any] = [{"verdict": "revise", "critique": "again"}, {"verdict": "approve"}, "end"]


def test_an_aggregate_is_made_of_the_revised_work() -> None:
    """What later steps see of it is what came of the revision, also through an aggregate of the aggregate."""
    steps = f"""{PAIR}
- {{type: aggregate, id: all, method: all}}
- {{type: aggregate, id: outer, method: all, sources: ["${{all}}"]}}
- {{type: review, id: look, reviewer: boss, subject: "${{all.result}}"}}
- {{type: assign, id: last, role: boss, task: "${{all.result}} ${{outer.result}}"}}
"""
    life = live(steps, dev=["d1", "d2"], ops=["o1", "o2"], boss=REVISE)
    assert life.error is None, life.error
    said = life.tasks[-1].text
    assert "d2" in said
    assert "o2" in said
    assert "d1" not in said
    assert "o1" not in said


def test_an_aggregate_of_one_revised_source_is_made_again() -> None:
    """The other source stays what it was."""
    steps = """
- {type: assign, id: one, role: dev, task: one}
- {type: assign, id: two, role: ops, task: two}
- {type: aggregate, id: all, method: all, sources: [one, two]}
- {type: review, id: look, reviewer: boss, subject: "${one.result}"}
- {type: assign, id: last, role: boss, task: "${all.result}"}
"""
    life = live(steps, dev=["d1", "d2"], ops=["o1"], boss=REVISE)
    assert life.error is None, life.error
    assert "d2" in life.tasks[-1].text
    assert "o1" in life.tasks[-1].text
    assert "d1" not in life.tasks[-1].text


def test_an_aggregate_that_has_not_run_is_not_made_by_a_revision() -> None:
    """A condition left it out; the work is revised, and there is still no aggregate."""
    steps = f"""{PAIR}
- type: condition
  id: maybe
  check: "both.length > 5"
  then: {{type: aggregate, id: all, method: all}}
- {{type: review, id: look, reviewer: boss, subject: "${{both}}"}}
- {{type: assign, id: last, role: boss, task: "[${{all}}]"}}
"""
    life = live(steps, dev=["d1", "d2"], ops=["o1", "o2"], boss=REVISE)
    assert life.error is None, life.error
    assert life.tasks[-1].text == "[]"  # what is missing reads as nothing
