"""The JSON Schema of pattern files, for editors: which keys stand where, and which words they take.

What a schema cannot say (references, circles, types of expressions) is said by `parallax patterns lint`.
"""

from __future__ import annotations

from typing import Any

from compiler.input_check import FORMATS
from compiler.patterns import flat, flat_rules
from compiler.patterns.inputs import FIELD_KEYS, TYPES
from compiler.patterns.model import STEP_TYPES
from compiler.patterns.oracles import ORACLE_KEYS
from compiler.patterns.orgchart import CHART_KEYS, CHART_WORKSPACE_KEYS
from compiler.patterns.roles import KINDS, ROLE_KEYS, THREAD_KEYS
from compiler.patterns.steps import COMMON_KEYS, METHODS, STEP_KEYS

Schema = dict[str, Any]

_ANY: Schema = {}
_TEXT: Schema = {"type": "string"}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_PATHS: Schema = {"anyOf": [_TEXT, _TEXTS]}
_FLAG: Schema = {"type": "boolean"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_SCORE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
_NUMBER: Schema = {"type": "number"}
_MAP: Schema = {"type": "object"}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _list(name: str) -> Schema:
    return {"type": "array", "items": _ref(name)}


def _one(*words: str) -> Schema:
    return {"enum": list(words)}


_VALUES: dict[str, Schema] = {
    "name": _TEXT, "version": {"type": ["string", "number"]}, "description": _TEXT, "author": _TEXT, "tags": _TEXTS,
    "id": _TEXT, "role": _TEXT, "reviewer": _TEXT, "approver": _TEXT, "task": _TEXT,
    "check": {"type": ["string", "boolean"]},
    "condition": _TEXT, "signal": _TEXT, "pattern": _TEXT, "objective": _TEXT, "approvalPreset": _TEXT,
    "timeoutMs": _COUNT, "timeout": {"type": ["integer", "string"]}, "capabilities": _TEXTS, "expertise": _TEXTS,
    "reportsTo": _TEXT, "minInstances": _COUNT, "maxInstances": _COUNT, "singleton": _FLAG, "agentConfig": _MAP,
    "env": _MAP, "metadata": _MAP, "policy": _MAP, "enabled": _FLAG, "push": _FLAG, "createPr": _FLAG, "pr": _MAP,
    "branchStrategy": _TEXT, "maxConcurrency": _COUNT, "minResults": _COUNT, "maxIterations": _COUNT,
    "weights": _MAP, "cwd": _TEXT, "scorePattern": _TEXT, "mayChange": _TEXTS, "rubric": _TEXT, "prompt": _TEXT,
    "run": {"type": ["string", "array"]}, "setup": {"type": ["string", "array"]}, "setupKey": _PATHS, "copy": _PATHS,
    "keep": _PATHS,
    "passConfidence": _SCORE, "failConfidence": _SCORE, "weight": _NUMBER, "minConfidence": _SCORE,
    "onError": _one("fail", "continue", "best_effort"), "combine": _one("min", "weighted", "product"),
    "onReject": _one("fail", "continue"),
    "onTimeout": _one("fail"), "weighting": _one("equal", "weighted"), "criteria": {"type": "array", "items": _MAP},
    "strategy": _one("all", "race", "all_settled", "quorum"), "method": _one(*METHODS),
    "agentType": _ref("agentType"), "verify": _ref("verify"), "workspace": _ref("workspace"),
    "confidence": _ref("confidence"), "threadConfig": _ref("threadConfig"), "structure": _ref("structure"),
    "workflow": _ref("workflow"), "steps": _list("step"), "then": _ref("branch"), "else": _ref("branch"),
    "oracles": _ref("verify"), "required": {"type": ["boolean", "array"]}, "minLength": _COUNT, "maxLength": _COUNT,
    "format": _one(*FORMATS), "enum": {"type": "array"}, "minimum": _NUMBER, "maximum": _NUMBER, "multipleOf": _NUMBER,
    "items": _ref("field"), "minItems": _COUNT, "maxItems": _COUNT, "uniqueItems": _FLAG, "properties": _ref("fields"),
    "additionalProperties": {"anyOf": [_FLAG, _ref("field")]},
}  # fmt: skip


def _keys(keys: tuple[str, ...], required: tuple[str, ...] = (), **own: Schema) -> Schema:
    """An object with these keys and no others."""
    made: Schema = {
        "type": "object",
        "properties": {key: own.get(key.replace("-", "_"), _VALUES.get(key, _ANY)) for key in keys},
        "additionalProperties": False,
    }
    return {**made, "required": list(required)} if required else made


def _step(kind: str) -> Schema:
    required = {
        "assign": ("role", "task"), "parallel": ("steps",), "sequential": ("steps",), "select": ("role",),
        "review": ("reviewer", "subject"), "approve": ("approver", "subject"), "aggregate": ("method",),
        "condition": ("check", "then"), "verify": ("oracles",), "pattern": ("pattern",),
    }.get(kind, ())  # fmt: skip
    criteria = _one("availability", "expertise", "round_robin", "best")
    return _keys((*COMMON_KEYS, *STEP_KEYS[kind]), ("type", *required), type={"const": kind}, criteria=criteria)


def _org_chart() -> Schema:
    structure = ("name", "description", "roles", "escalation", "routing")
    workflow = ("name", "description", "input", "steps", "output", "timeoutMs")
    return {
        "orgChart": _keys(CHART_KEYS, ("name", "structure", "workflow")),
        "structure": _keys(structure, ("roles",), roles={"type": "object", "additionalProperties": _ref("role")}),
        "role": _keys(ROLE_KEYS, ("capabilities",), type=_ref("agentType")),
        "agentType": {"anyOf": [_one(*KINDS), {"type": "array", "items": _one(*KINDS)}]},
        "confidence": _keys(
            ("accept", "retryBelow", "escalateBelow"), accept=_SCORE, retryBelow=_SCORE, escalateBelow=_SCORE
        ),
        "threadConfig": _keys(THREAD_KEYS, workspace=_MAP),
        "verify": {
            "anyOf": [
                _ref("oracle"),
                _list("oracle"),
                _keys(("oracles", "combine"), ("oracles",), oracles=_list("oracle")),
            ]
        },
        "oracle": {
            "oneOf": [_keys(keys, ("type",), type={"const": kind}) for kind, keys in sorted(ORACLE_KEYS.items())]
        },
        "workflow": _keys(workflow, ("steps",), input=_ref("fields"), output=_TEXT),
        "branch": {"anyOf": [_ref("step"), _list("step")]},
        "step": {"oneOf": [_step(kind) for kind in STEP_TYPES]},
    }


def _flat() -> Schema:
    time: Schema = {"type": ["integer", "string"]}
    agents = ("capabilities", "min", "max", "prefer", "taskTimeout")
    parts: dict[str, Any] = {
        "agents": _ref("agents"), "execution": _ref("execution"), "aggregation": _ref("aggregation"),
        "validation": _ref("validation"), "steps": _list("flatStep"),
    }  # fmt: skip
    return {
        "flat": _keys(flat.KEYS, ("name",), input=_ref("fields"), **parts),
        "flatStep": _keys(
            flat.STEP_KEYS, type=_one(*flat.STEP_TYPES), default=_ref("flatStep"), sources={"type": "array"},
            cases={"type": "object", "additionalProperties": _ref("flatStep")}, **parts,
        ),
        "agents": _keys(agents, ("capabilities",), min=_COUNT, max=_COUNT, prefer=_ref("agentType"), taskTimeout=time),
        "execution": _keys(
            ("strategy", "timeout", "waitForAll", "minResults", "minConfidence", "stopOnError", "steps"),
            strategy=_one(*flat.STRATEGIES), timeout=time, waitForAll=_FLAG, stopOnError=_FLAG, steps=_list("flatStep"),
        ),
        "aggregation": _keys(
            ("strategy", "method", "minVotes", "weights", "threshold", "fields", "conflictResolution", "deduplication"),
            ("strategy",), strategy=_one(*flat_rules.AGGREGATIONS), method=_one(*flat_rules.ALL_METHODS),
            minVotes=_COUNT, threshold=_SCORE, fields={"type": "array"}, deduplication=_FLAG,
            conflictResolution=_one(*flat_rules.CONFLICTS),
        ),
        "validation": _keys(
            ("minConfidence", "onFailure", "maxRetries", "retryDelay", "fallback", "schema"),
            onFailure=_one("fail", "retry", "fallback"), maxRetries=_COUNT, retryDelay=time, schema=_ref("field"),
        ),
    }  # fmt: skip


def document() -> Schema:
    """The schema of a pattern file, an org chart or a flat one."""
    field = _keys(FIELD_KEYS, type=_one(*TYPES))
    whole = _keys(FIELD_KEYS, ("type", "properties"), type={"const": "object"})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A Parallax pattern",
        "if": {"required": ["structure"]},
        "then": _ref("orgChart"),
        "else": {"if": {"required": ["workflow"]}, "then": _ref("orgChart"), "else": _ref("flat")},
        "$defs": {
            **_org_chart(),
            **_flat(),
            "workspace": _keys(CHART_WORKSPACE_KEYS),
            "fields": {"anyOf": [whole, {"type": "object", "additionalProperties": _ref("field")}]},
            "field": {"anyOf": [{"type": "null"}, _one(*TYPES), field]},
        },
    }
