"""What is proposed for a word that nobody knows: the one it is a slip of, and nothing that means something else."""

from __future__ import annotations

import pytest

from compiler.nearest import did_you_mean, first_did_you_mean, nearest
from compiler.patterns import load_pattern
from compiler.patterns.flat_rules import AGGREGATIONS, ALL_METHODS
from compiler.patterns.inputs import FIELD_KEYS, TYPES
from compiler.patterns.model import STEP_TYPES
from compiler.patterns.orgchart import CHART_KEYS
from compiler.patterns.roles import KINDS, ROLE_KEYS
from compiler.patterns.steps import COMMON_KEYS, STEP_KEYS

CHART = """\
name: team
structure:
  name: Team
  roles:
    lead: {{agentType: custom, capabilities: [plan]}}
workflow:
  name: w
  input: {{rounds: {{type: integer}}}}
  steps:
    - {{type: assign, role: lead, task: Split it}}
    - {{type: assign, role: lead, task: "Do {reference}"}}
"""


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("reviwer", ["reviewer", "reviewed"], "reviewer"),
        ("timeout_ms", ["timeoutMs"], "timeoutMs"),
        ("timeout", ["timeoutMs", "task"], "timeoutMs"),
        ("token", ["tokens", "turns"], "tokens"),
        ("asign", ["assign", "aggregate"], "assign"),
        ("recieve", ["receive"], "receive"),
        ("capabilites", ["capabilities"], "capabilities"),
        ("subtasks", ["tasks", "result"], None),
        ("maxResults", ["minResults", "strategy"], None),
        ("failConfidence", ["passConfidence"], None),
        ("outputs", ["input"], None),
        ("maxLenght", ["minLength", "maxLength"], "maxLength"),
        ("gpt", ["git"], "git"),
        ("planner", ["plan"], "plan"),
        ("alpha", ["beta"], None),
        ("task", ["task_id"], None),
        ("maximum", ["max", "min"], "max"),
    ],
)
def test_only_a_slip_is_proposed(word: str, known: list[str], meant: str | None) -> None:
    """Few letters apart, and nothing contrary."""
    assert nearest(word, known) == meant


@pytest.mark.parametrize(
    "words",
    [
        CHART_KEYS, ROLE_KEYS, FIELD_KEYS, TYPES, STEP_TYPES, KINDS, AGGREGATIONS, ALL_METHODS, COMMON_KEYS,
        *STEP_KEYS.values(),
    ],
)  # fmt: skip
def test_no_known_word_is_proposed_for_another_one(words: tuple[str, ...]) -> None:
    """Whoever means one of them and stands at a place that has it not is not sent to its opposite."""
    contrary = {("minLength", "maxLength"), ("minItems", "maxItems"), ("minimum", "maximum"), ("then", "else")}
    contrary |= {("minInstances", "maxInstances"), ("retryBelow", "escalateBelow")}
    for first, second in contrary:
        if first in words:
            assert nearest(second, [word for word in words if word != second]) != first
            assert nearest(first, [word for word in words if word != first]) != second


@pytest.mark.parametrize(
    ("reference", "hint"),
    [
        ("${step_0_result.subtasks}", "What an agent gave stands under result: write result.subtasks."),
        ("${step_0_result.task}", "What an agent gave stands under result: write result.task."),
        ("${step_0_result.confidense}", "Did you mean 'confidence'?"),
        ("${step_0_result.sesion}", "Did you mean 'session'?"),
        ("${input.rouns}", "Did you mean 'rounds'?"),
        ("${step_0_reslt}", "Did you mean 'step_0_result'?"),
    ],
)
def test_a_reference_is_proposed_that_means_what_was_meant(reference: str, hint: str) -> None:
    """A list of subtasks is not the number of tasks; what is proposed compiles."""
    made = load_pattern(CHART.format(reference=reference), filename="team.yaml")
    (one,) = [found for found in made.diagnostics if found.severity == "error"]
    assert one.hint == hint
    name = reference[2:-1].rpartition(".")[2]
    proposed = hint.split("write ")[1].rstrip(".") if "write " in hint else hint.split("'")[1]
    again = load_pattern(CHART.format(reference=reference.replace(name, proposed)), filename="team.yaml")
    assert again.pattern is not None


def test_recorded_messages_keep_their_words() -> None:
    """A message that stands in a recorded execution is written as it was."""
    assert first_did_you_mean("subtasks", ["tasks"]) == "Did you mean 'tasks'?"
    assert did_you_mean("subtasks", ["tasks"]) == "Known here: tasks."
