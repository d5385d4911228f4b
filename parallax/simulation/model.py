"""What simulated agents, people and tools are like. The defaults here are those of the documentation."""

from __future__ import annotations

from typing import Any

import msgspec

from parallax.simulation.distributions import Beta, Constant, Distribution, LogNormal, Uniform
from schemas.base import Json, Model


class FollowsQuality(Model, frozen=True, kw_only=True):
    """A self-report that knows how good the work is: its quality, always `bias` too high, give or take `noise`."""

    bias: float = 0.1
    noise: float = 0.1


class Failures(Model, frozen=True, kw_only=True):
    """How often an attempt goes wrong, and how: the shares add up to at most 1.

    `error`: the agent says that it failed. `crash`: its process ends. `silent`: it says nothing more. `timeout`: it
    works on and never ends. `empty`: it ends without a result, which a reviewer's reader takes for no verdict.
    """

    error: float = 0.02
    crash: float = 0.01
    silent: float = 0.005
    timeout: float = 0.0
    empty: float = 0.005


class Reviewing(Model, frozen=True, kw_only=True):
    """How good verdicts are: `sensitivity` is how often bad work is objected to, `specificity` how often good work is
    approved, `reject` how often an objection is a rejection rather than a call for revision."""

    sensitivity: float = 0.8
    specificity: float = 0.9
    reject: float = 0.1


class Checking(Model, frozen=True, kw_only=True):
    """How command oracles judge this role's work: `false_pass` of bad work, `false_fail` of good work, and how often
    there is no evidence at all (`missing`)."""

    false_pass: float = 0.05
    false_fail: float = 0.05
    missing: float = 0.0
    seconds: Distribution = LogNormal(median=15, p95=60)


class AgentModel(Model, frozen=True, kw_only=True):
    """One role's agents. `confidence` None: they report none. `quality` is the truth about a piece of work, 0 to 1;
    `changes` how often work changes files, where there is a workspace; `asks` how often an attempt waits for the answer
    to one of `questions`."""

    seconds: Distribution = LogNormal(median=90, p95=300)
    cost_usd: Distribution = LogNormal(median=0.12, p95=0.6)
    input_tokens: Distribution = LogNormal(median=20_000, p95=80_000)
    output_tokens: Distribution = LogNormal(median=2_000, p95=8_000)
    quality: Distribution = Beta(mean=0.75, sd=0.15)
    improvement: Distribution = Uniform(min=0.2, max=0.8)
    confidence: Distribution | FollowsQuality | None = FollowsQuality()
    lying: float = 0.05
    lie: Distribution = Uniform(min=0.85, max=0.99)
    failure: Failures = Failures()
    results: list[Json] = msgspec.field(default_factory=lambda: ["Answer A", "Answer B", "Answer C"])
    disagreement: float = 0.05
    review: Reviewing = Reviewing()
    changes: float = 1.0
    asks: float = 0.0
    questions: list[str] = msgspec.field(default_factory=lambda: ["What is meant here?"])
    verify: Checking = Checking()


class People(Model, frozen=True, kw_only=True):
    """Whoever answers questions: how long they take, how often they answer at all, and what they approve of."""

    seconds: Distribution = LogNormal(median=300, p95=3_600)
    answers: float = 0.95
    approve_good: float = 0.95
    approve_bad: float = 0.2
    choices: dict[str, float] = {}


class SignalModel(Model, frozen=True, kw_only=True):
    """A signal that somebody sends: how likely, how long after the start, and what goes with it."""

    probability: float = 1.0
    seconds: Distribution = Constant(value=600)
    data: Json = None


class Workspace(Model, frozen=True, kw_only=True):
    """Git: how likely any two commits of one step are in conflict, and how long a merge takes."""

    conflict: float = 0.02
    seconds: Distribution = Uniform(min=0.2, max=2.0)


class Platform(Model, frozen=True, kw_only=True):
    """What the platform is set to: PARALLAX_AGENT_RETRIES, PARALLAX_MAX_CONCURRENCY, PARALLAX_AGENT_TIMEOUT."""

    retries: int = 2
    instances: int = 10
    silence_ms: int = 30_000


class Agents(Model, frozen=True, kw_only=True):
    """A whole agents file. `roles` and `steps` hold what differs from `default`, by the names of `AgentModel`.

    `good` is the quality from which on work counts as good.
    """

    good: float = 0.6
    default: AgentModel = AgentModel()
    roles: dict[str, dict[str, Any]] = {}
    steps: dict[str, dict[str, Any]] = {}
    people: People = People()
    signals: dict[str, SignalModel] = {}
    workspace: Workspace = Workspace()
    platform: Platform = Platform()


class Cast:
    """The models of one simulation by role and step; what a step says wins over its role, and that over the default."""

    def __init__(self, agents: Agents) -> None:
        self.agents = agents
        self._models: dict[tuple[str, str], AgentModel] = {}

    def model(self, role: str, step: str) -> AgentModel:
        """What the agents of a role are like at a step."""
        known = self._models.get((role, step))
        if known is None:
            of_role = changed(self.agents.default, self.agents.roles.get(role, {}))
            known = self._models[role, step] = changed(of_role, self.agents.steps.get(step, {}))
        return known


PARTS = frozenset({"failure", "review", "verify"})
"""Fields of `AgentModel` that have fields of their own."""


def changed(model: AgentModel, changes: dict[str, Any]) -> AgentModel:
    """The model with some fields changed; a dict as a field's value changes fields of that field."""
    fields = {
        name: msgspec.structs.replace(getattr(model, name), **value) if name in PARTS else value
        for name, value in changes.items()
    }
    return msgspec.structs.replace(model, **fields) if fields else model


def merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Two sets of changes as one, the second over the first."""
    parts = {name: {**first.get(name, {}), **second[name]} for name in second if name in PARTS}
    return {**first, **second, **parts}
