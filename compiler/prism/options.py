"""The knobs of a program and the deterministic limits it runs under. Both belong to the log of an execution."""

from __future__ import annotations

from dataclasses import dataclass, field

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Counters, never clocks: the same program with the same inputs stops at the same place everywhere.

    `steps` counts loop rounds, calls and callbacks; `depth` nested calls; `memory` bytes of live values by a fixed
    estimate; `effects` requests to the host; `source` bytes of text; `nesting` brackets; `tokens` of one file, and the
    size of its `code` in nodes, by an estimate made before there is any.
    """

    steps: int = 10_000_000
    depth: int = 2_500
    memory: int = 64 * MIB
    effects: int = 100_000
    source: int = MIB
    nesting: int = 200
    tokens: int = 200_000
    code: int = 500_000


@dataclass(frozen=True, slots=True)
class Options:
    """How a program is read: where the bands begin, and whether it is an old script (`legacy`)."""

    high: float = 0.7
    medium: float = 0.5
    legacy: bool = False
    limits: Limits = field(default_factory=Limits)
