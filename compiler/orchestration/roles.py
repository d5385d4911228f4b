"""A role as the program hands it over: who may fill it, where it escalates to, and how its work is scored."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import msgspec

from compiler.orchestration.values import Value, bare, plain
from compiler.prism import EffectFailed
from schemas.agents import AgentSpec, Oracle
from schemas.base import ROLE_ID_PATTERN, Model

Combine = Literal["min", "weighted", "product"]

_ORACLE_KEYS = {
    "type": "type",
    "run": "run",
    "cwd": "cwd",
    "timeoutMs": "timeout_ms",
    "passConfidence": "pass_confidence",
    "failConfidence": "fail_confidence",
    "scorePattern": "score_pattern",
    "mayChange": "may_change",
    "role": "role",
    "rubric": "rubric",
    "weight": "weight",
}


class Policy(Model, frozen=True, kw_only=True):
    """The bounds of a role's confidence policy. A bound that is None never triggers."""

    accept: float = 0.8
    retry_below: float | None = None
    escalate_below: float | None = None


class Escalation(Model, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Who is asked when work stays below `escalateBelow`, how far up, for how long, and what then."""

    default_behavior: Literal["route_to_reports_to", "broadcast", "surface_to_user"] = "route_to_reports_to"
    timeout_ms: int | None = None
    max_depth: int | None = None
    topic_routes: dict[str, str] = {}
    on_max_depth: Literal["surface_to_user", "fail", "return_best_effort"] = "return_best_effort"


class Role(Model, frozen=True, kw_only=True):
    """A role, read from the value that a program passes to a host function."""

    id: str
    name: str = ""
    reports_to: str = ""
    agent: AgentSpec = AgentSpec()
    policy: Policy = Policy()
    oracles: tuple[Oracle, ...] = ()
    combine: Combine = "min"
    escalation: Escalation = Escalation()
    objective: str = ""
    manager: Value = None


def read_role(value: Value, function: str) -> Role:
    """The role in a program's value. Raises `EffectFailed` with code `invalid_argument` when it is none."""
    fields = bare(value)
    if not isinstance(fields, dict):
        raise EffectFailed("invalid_argument", f"{function}: a role is expected, as declared under `agents`")
    role = cast("dict[str, Any]", plain(fields))
    role_id = role.get("id")
    if not isinstance(role_id, str) or not re.match(ROLE_ID_PATTERN, role_id):
        raise EffectFailed(
            "invalid_argument", f"{function}: a role needs an `id`: a letter, then letters, digits, - or _", None
        )
    try:
        return _role(role_id, role, cast("dict[str, Value]", fields).get("reportsTo"))
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        raise EffectFailed("invalid_argument", f"{function}: role {role_id!r} cannot be used: {error}") from error


def role_of_call(role: Role, prefix: str) -> Role:
    """A role of a called pattern, under a name of its own."""
    return msgspec.structs.replace(
        role,
        id=f"{prefix}-{role.id}",
        reports_to=role.reports_to and f"{prefix}-{role.reports_to}",
        oracles=oracles_of_call(role.oracles, prefix),
    )


def oracles_of_call(oracles: Sequence[Oracle], prefix: str) -> tuple[Oracle, ...]:
    """Oracles of a called pattern, which ask the roles of that pattern."""
    return tuple(msgspec.structs.replace(one, role=f"{prefix}-{one.role}") if one.role else one for one in oracles)


def _role(role_id: str, role: dict[str, Any], reports_to: Value) -> Role:
    manager = bare(reports_to)
    oracles, combine = read_oracles(role.get("verify"))
    return Role(
        id=role_id,
        name=str(role.get("name") or role_id),
        reports_to=str(cast("dict[str, Value]", manager).get("id", ""))
        if isinstance(manager, dict)
        else str(manager or ""),
        agent=_agent(role),
        policy=_policy(cast("Mapping[str, Any]", role.get("confidence") or {})),
        oracles=tuple(oracles),
        combine=combine,
        objective=str(role.get("objective") or ""),
        escalation=msgspec.convert(role.get("escalation") or {}, Escalation),
        manager=cast("Value", manager) if isinstance(manager, dict) else None,
    )


def _agent(role: dict[str, Any]) -> AgentSpec:
    config = dict(cast("Mapping[str, Any]", role.get("agentConfig") or {}))
    env = dict(cast("Mapping[str, Any]", config.pop("env", None) or {}))
    kinds = role.get("agentType") or role.get("type") or "custom"
    least, most = role.get("minInstances"), role.get("maxInstances")
    if role.get("singleton"):
        most = 1
    kinds = [kinds] if isinstance(kinds, str) else list(kinds)
    fields = {
        "kinds": kinds,
        "capabilities": list(role.get("capabilities") or []),
        "command": config.pop("command", []),
        "env": {name: value for name, value in env.items() if not _is_reference(value)},
        "secrets": {name: value["secret"] for name, value in env.items() if _is_reference(value)},
        "interactive": config.pop("interactive", None) if "command" in kinds else None,
        "config": config,
        "min_instances": 0 if least is None else least,
        "max_instances": most,
    }
    return msgspec.convert(fields, AgentSpec)


def _is_reference(value: Any) -> bool:
    """Whether the value of a variable is `{secret: NAME}`."""
    return isinstance(value, dict) and set(cast("dict[str, Any]", value)) == {"secret"}


def _policy(bounds: Mapping[str, Any]) -> Policy:
    fields = {"accept": bounds.get("accept", 0.8), "retry_below": bounds.get("retryBelow")}
    return msgspec.convert({**fields, "escalate_below": bounds.get("escalateBelow")}, Policy, strict=False)


def read_oracles(verify: Any) -> tuple[list[Oracle], Combine]:
    """The oracles of a `verify` value: one, a list, or `{oracles, combine}`. Raises `ValueError` for anything else."""
    combine: Any = "min"
    if isinstance(verify, dict) and "oracles" in verify:
        mapping = cast("dict[str, Any]", verify)
        combine, verify = mapping.get("combine") or "min", mapping["oracles"]
    if combine not in {"min", "weighted", "product"}:
        raise ValueError(f"combine is min, weighted or product, not {combine!r}")
    if verify is None:
        return [], combine
    entries: list[Any] = cast("list[Any]", verify) if isinstance(verify, list) else [cast("Any", verify)]
    return [_oracle(entry) for entry in entries], combine


def _oracle(entry: Any) -> Oracle:
    if not isinstance(entry, dict):
        raise TypeError("an oracle is an object with a `type`")
    fields: dict[str, Any] = {"options": {}}
    for key, value in cast("dict[str, Any]", entry).items():
        if key in _ORACLE_KEYS:
            fields[_ORACLE_KEYS[key]] = value
        else:
            fields["options"][key] = value
    if fields.get("type") in {"agent", "human"}:
        fields.setdefault("timeout_ms", 0)  # who thinks may take as long as it takes; the default is for commands
    return msgspec.convert(fields, Oracle)
