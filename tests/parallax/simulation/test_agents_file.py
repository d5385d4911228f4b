"""An agents file is read strictly: every mistake at once, with its line and what to write instead."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallax.simulation.agents_file import agents_from, read_agents
from parallax.simulation.distributions import Constant, Exponential, LogNormal, Normal
from parallax.simulation.model import AgentModel, Agents, Cast, FollowsQuality, People

WHOLE = """\
good: 0.5
default:
  seconds: {lognormal: {median: 30, p95: 90}}
  costUsd: 0.2
  confidence: {quality: {bias: 0.3, noise: 0}}
  failure: {error: 0.1}
roles:
  critic:
    confidence: none
    review: {sensitivity: 0.7}
    failure: {crash: 0.2}
  coder:
    quality: {normal: {mean: 0.6, sd: 0.1}}
    results: [good, {verdict: bad}, [1, null]]
    verify: {falsePass: 0.5, seconds: {exponential: {mean: 4}}}
steps:
  plan: {seconds: 5, failure: {error: 0.3}}
people: {answers: 0.5, choices: {red: 2, green: 1}}
signals:
  ready:
  go: {seconds: 3, data: {to: all}, probability: 0.5}
workspace: {conflict: 0}
platform: {retries: 0, instances: 3}
"""


def test_a_whole_file_says_what_it_means() -> None:
    """A step wins over its role, a role over the default; what is not said keeps its default."""
    agents = read_agents(WHOLE, filename="a.yaml").agents
    assert agents is not None
    cast = Cast(agents)
    critic, coder, plan = cast.model("critic", ""), cast.model("coder", "x"), cast.model("critic", "plan")
    assert agents.good == 0.5
    assert critic.seconds == coder.seconds == LogNormal(median=30, p95=90)
    assert critic.confidence is None
    assert coder.confidence == FollowsQuality(bias=0.3, noise=0)
    assert (critic.review.sensitivity, critic.review.specificity) == (0.7, AgentModel().review.specificity)
    assert (critic.failure.error, critic.failure.crash) == (0.1, 0.2)
    assert (plan.seconds, plan.failure.error, plan.failure.crash) == (Constant(value=5), 0.3, 0.2)
    assert coder.quality == Normal(mean=0.6, sd=0.1)
    assert coder.results == ["good", {"verdict": "bad"}, [1, None]]
    assert (coder.verify.false_pass, coder.verify.seconds) == (0.5, Exponential(mean=4))
    assert agents.people.choices == {"red": 2, "green": 1}
    assert agents.people.seconds == People().seconds
    assert (agents.signals["ready"].probability, agents.signals["go"].data) == (1.0, {"to": "all"})
    assert (agents.platform.retries, agents.platform.instances) == (0, 3)


@pytest.mark.parametrize("text", ["", "\n", "# nothing but a comment\n"])
def test_an_empty_file_is_the_defaults(text: str) -> None:
    """Nothing has to be said."""
    assert read_agents(text, filename="a.yaml").agents == Agents()


BROKEN = [
    ("rolez: {}", 1, "unknown-key", "Did you mean 'roles'?"),
    ("default:\n  secnds: 3", 2, "unknown-key", "Did you mean 'seconds'?"),
    ("default:\n  seconds: -1", 2, "out-of-range", ""),
    ("default:\n  quality: 1.5", 2, "out-of-range", ""),
    ("default:\n  quality: {beta: {mean: 0.5, sd: 0.6}}", 2, "impossible-bounds", ""),
    ("default:\n  seconds: {uniform: {min: 5, max: 1}}", 2, "impossible-bounds", ""),
    ("default:\n  seconds: {lognormal: {median: 5, p95: 1}}", 2, "impossible-bounds", ""),
    ("default:\n  seconds: {lognormal: {median: 0, p95: 1}}", 2, "impossible-bounds", ""),
    ("default:\n  seconds: {lognormal: {median: 5}}", 2, "missing-key", "{lognormal: {median: 60, p95: 240}}"),
    ("default:\n  seconds: {beta: {mean: 0.5, sd: 0.1}}", 2, "unknown-distribution", "One of"),
    ("default:\n  seconds: {uniforn: {min: 1, max: 2}}", 2, "unknown-distribution", "Did you mean 'uniform'?"),
    ("default:\n  seconds: fast", 2, "wrong-type", "For example"),
    ("default:\n  seconds: [1, 2]", 2, "wrong-type", "For example"),
    ("default:\n  confidence: honest", 2, "wrong-type", "For example"),
    ("default:\n  confidence: {quality: {bias: 3}}", 2, "out-of-range", ""),
    ("default:\n  failure: 0.1", 2, "wrong-type", "failure: {error: 0.1, crash: 0.02}"),
    ("default:\n  failure: {error: 0.9, crash: 0.3}", 2, "out-of-range", ""),
    ("default:\n  failure: {explosion: 1}", 2, "unknown-key", ""),
    ("default:\n  results: []", 2, "wrong-type", "The first is what good work gives"),
    ("default:\n  results: yes", 2, "wrong-type", ""),
    ("default:\n  lying: true", 2, "wrong-type", ""),
    ("roles: [a]", 1, "wrong-type", ""),
    ("roles:\n  not a role: {}", 2, "bad-name", "A letter"),
    ("roles:\n  a: 3", 2, "wrong-type", ""),
    ("people:\n  choices: [a]", 2, "wrong-type", ""),
    ("people:\n  choices: {a: -1}", 2, "out-of-range", ""),
    ("signals:\n  go: {after: 3}", 2, "unknown-key", ""),
    ("platform:\n  instances: 0", 2, "out-of-range", ""),
    ("workspace: {conflict: 2}", 1, "out-of-range", ""),
    ("good: high", 1, "wrong-type", ""),
    ("default: {seconds: 1}\ndefault: {seconds: 2}", 2, "duplicate-key", "Remove one"),
    ("default:\n\tseconds: 3", 2, "yaml-tab", "Indent with spaces."),
    ("- a list", 1, "wrong-type", ""),
]


@pytest.mark.parametrize(("text", "line", "code", "hint"), BROKEN, ids=lambda value: str(value)[:40])
def test_a_mistake_is_named_with_its_line_and_a_hint(text: str, line: int, code: str, hint: str) -> None:
    """That one mistake and nothing else."""
    result = read_agents(text, filename="a.yaml")
    assert result.agents is None
    (found,) = result.diagnostics
    assert (found.file, found.line, found.code) == ("a.yaml", line, code)
    assert hint in found.hint
    assert found.source_line == text.split("\n")[line - 1]


def test_all_mistakes_are_told_at_once() -> None:
    """In the order of the file."""
    text = "default: {lying: 2}\nroles:\n  a: {seconds: x}\nsignals: 4\n"
    assert [found.line for found in read_agents(text, filename="a.yaml").diagnostics] == [1, 3, 4]


def test_data_says_the_same_as_a_file() -> None:
    """The same structure in Python, over a base of its own."""
    base = agents_from({"default": {"seconds": 7}, "roles": {"a": {"failure": {"error": 1}}}}).agents
    over = agents_from({"roles": {"a": {"failure": {"crash": 0.5}}}, "people": None}, base=base).agents
    assert over is not None
    model = Cast(over).model("a", "")
    assert (model.seconds, model.failure.error, model.failure.crash) == (Constant(value=7), 1, 0.5)
    refused = agents_from({"default": {"seconds": object()}})
    assert refused.agents is None


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                        st.sampled_from(["default", "roles", "a", "seconds", "uniform", "min", "failure", "quality"]),
                        inner, max_size=3), max_leaves=12))  # fmt: skip
def test_nothing_in_a_file_raises(value: Any) -> None:
    """Whatever stands there is read or refused."""
    result = agents_from(value) if isinstance(value, dict) else agents_from({"default": value})
    assert (result.agents is None) == bool(result.diagnostics)
