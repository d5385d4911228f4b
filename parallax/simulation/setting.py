"""What all runs of one simulation have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from parallax.simulation.model import Cast
from parallax.simulation.surroundings import Person
from parallax.simulation.turns import Script
from schemas.base import Model
from schemas.commands import Budget
from schemas.patterns import CompiledPattern


class Limits(Model, frozen=True, kw_only=True):
    """How far a run is followed: effects, simulated time, and slices of 50,000 steps that a program computes."""

    effects: int = 10_000
    ms: int = 30 * 86_400_000
    slices: int = 60


class Setting(Model, frozen=True, kw_only=True):
    """A pattern, its input, and who answers it.

    `scripts` are functions that play roles, by role; `person` stands in for the model of people where it is given.
    """

    pattern: CompiledPattern
    input: dict[str, Any]
    cast: Cast
    seed: int
    scripts: Mapping[str, Script] = {}
    person: Person | None = None
    budget: Budget | None = None
    timeout_ms: int | None = None
    limits: Limits = Limits()
    keep_log: bool = False
