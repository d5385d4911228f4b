"""What the effects of patterns take: how many arguments, of which kinds, and which options.

The checker holds literal arguments against this table; the functions themselves check values when they run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ANY = ""
_STEP = {"id": "string", "timeoutMs": "number", "onError": "fail|continue|best_effort"}
_GATE = {"gate": "boolean", "onReject": "fail|continue", "mayPassLater": "boolean"}
_TASK = {**_STEP, "session": "string", "input": ANY, "context": ANY, "attempts": "number"}
_ASSIGN = {**_TASK, **_GATE, "revises": "array"}
_REVIEW = {**_TASK, **_GATE, "maxIterations": "number", "of": ANY}
_APPROVE = {**_TASK, **_GATE, "who": "array", "deadlineMs": "number", "of": ANY}
_GROUP = {**_STEP, "gate": "boolean"}
_PARALLEL = {
    **_STEP, "strategy": "all|race|all_settled|quorum", "max": "number", "minResults": "number",
    "min_results": "number",
}  # fmt: skip
_ASK = {
    "id": "string", "options": "array", "default": ANY, "who": "array", "deadlineMs": "number", "timeoutMs": "number",
}  # fmt: skip
_SELECT = {**_STEP, "criteria": "availability|expertise|round_robin|best", "topic": "string"}
_AGGREGATE = {**_STEP, "method": "string", "weights": "object", "strategy": "average|min|max|product", "combine": ANY}
_VERIFY = {**_STEP, **_GATE, "combine": "min|weighted|product", "of": ANY}

_HTTP = {"method": "string", "url": "string", "headers": "object", "body": ANY, "timeoutMs": "number"}


@dataclass(frozen=True, slots=True)
class Signature:
    """One effect. `kinds` are the kinds of its arguments ("" is any, "a|b" one of these).

    `needed` is how many there must be, `written_out` asks for a text as the first; `options` are the keys of the object
    that may follow the arguments, and what each takes: a value with bars lists the texts it may be.
    """

    kinds: tuple[str, ...] = ()
    needed: int = 0
    options: Mapping[str, str] | None = field(default=None)
    written_out: bool = False

    @property
    def most(self) -> int:
        """How many arguments there may be, options included."""
        return len(self.kinds) + (1 if self.options is not None else 0)

    def shown(self, name: str) -> str:
        """How a call is written: the kinds of its arguments, those that may be left out in brackets."""
        kinds = [kind.replace("|", " or ") or "value" for kind in self.kinds]
        words = [kind if number < self.needed else f"[{kind}]" for number, kind in enumerate(kinds)]
        if self.options is not None:
            words.append("[{...}]")
        return f"{name}({', '.join(words)})"


EFFECTS: Mapping[str, Signature] = {
    "assign": Signature(("object", "string"), 2, _ASSIGN),
    "parallel": Signature(("array",), 1, _PARALLEL),
    "sequential": Signature(("array",), 1, _STEP),
    "group": Signature(("function",), 1, _GROUP),
    "review": Signature(("object", ANY), 2, _REVIEW),
    "approve": Signature(("object|string", ANY), 2, _APPROVE),
    "verify": Signature(("array|object",), 1, _VERIFY),
    "aggregate": Signature((ANY,), 1, _AGGREGATE),
    "integrate": Signature((), 0, _STEP),
    "select": Signature(("object",), 1, _SELECT),
    "call": Signature(("string", ANY), 1, _STEP, written_out=True),
    "ask": Signature(("string",), 1, _ASK),
    "http": Signature((), 1, _HTTP),
    "sleep": Signature(("number",), 1),
    "wait": Signature(("string",), 1, _STEP),
    "now": Signature(),
    "random": Signature(),
    "log": Signature((ANY,), 1),
    "text": Signature((ANY,), 1),
    "revised": Signature((ANY, "number"), 2),
    "elementOf": Signature((ANY, "number"), 2),
    "replaceAt": Signature((ANY, "array", ANY), 3),
}
"""The effects and helpers that the programs of patterns may call, by name."""
