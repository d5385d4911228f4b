"""The JSON Schema of pattern files, for editors: which keys stand where, and which words they take.

What a schema cannot say (references, circles, types of expressions) is said by `parallax patterns lint`.
"""

from __future__ import annotations

from typing import Any

from compiler.input_check import FORMATS
from compiler.patterns import flat, flat_rules
from compiler.patterns.inputs import FIELD_KEYS, KEYS_OF_TYPES, TYPES
from compiler.patterns.model import STEP_TYPES
from compiler.patterns.oracles import ORACLE_KEYS
from compiler.patterns.orgchart import CHART_KEYS, CHART_WORKSPACE_KEYS
from compiler.patterns.roles import KINDS, RESERVED_ROLES, ROLE_KEYS, THREAD_KEYS
from compiler.patterns.steps import COMMON_KEYS, METHODS, RESERVED_IDS, STEP_KEYS
from schemas.base import ROLE_ID_PATTERN

Schema = dict[str, Any]

_LONGEST_MS = 2_592_000_000

_ANY: Schema = {}
_TEXT: Schema = {"type": "string"}
_WORD: Schema = {"type": "string", "pattern": "\\S"}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_FLAG: Schema = {"type": "boolean"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_SCORE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
_NUMBER: Schema = {"type": "number"}
_WEIGHT: Schema = {"type": "number", "minimum": 0, "maximum": 1_000_000}
_MAP: Schema = {"type": "object"}
_NAME: Schema = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*( [A-Za-z0-9._-]+)*$", "maxLength": 128}
_IDENTIFIERS = "[0-9A-Za-z-]+([.][0-9A-Za-z-]+)*"
_VERSION = f"^[0-9]{{1,18}}([.][0-9]{{1,18}}){{0,2}}(-{_IDENTIFIERS})?([+]{_IDENTIFIERS})?$"


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _list(name: str) -> Schema:
    return {"type": "array", "items": _ref(name), "minItems": 1}


def _one(*words: str) -> Schema:
    return {"enum": list(words)}


def _any_of(*schemas: Schema) -> Schema:
    return {"anyOf": list(schemas)}


def _between(least: int, most: int) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": most}


def _has(*keys: str) -> Schema:
    """An object that has these keys."""
    return {"type": "object", "required": list(keys), "properties": dict.fromkeys(keys, _ANY)}


_MILLIS = _between(1, _LONGEST_MS)
_TIME = _any_of(_between(0, _LONGEST_MS), {"type": "string", "pattern": "^[0-9]+([.][0-9]+)?(ms|s|m|h)$"})
_PATHS = _any_of(_TEXT, _TEXTS)
_COMMAND = _any_of(_WORD, {"type": "array", "items": _TEXT, "minItems": 1})

_METHODS = _one(*(method for method in METHODS if method != "custom"))

_VALUES: dict[str, Schema] = {
    "name": _TEXT, "version": _any_of({"type": "string", "pattern": _VERSION}, {"type": "number", "minimum": 0}),
    "description": _TEXT, "author": _TEXT, "tags": _TEXTS,
    "id": _ref("stepId"), "role": _WORD, "reviewer": _WORD, "approver": _WORD, "task": _WORD,
    "check": _any_of(_WORD, _FLAG),
    "condition": _TEXT, "signal": _TEXT, "pattern": _WORD, "objective": _TEXT, "approvalPreset": _TEXT,
    "timeoutMs": _MILLIS, "timeout": _MILLIS, "capabilities": _TEXTS, "expertise": _TEXTS,
    "reportsTo": _TEXT, "minInstances": _between(0, 1000), "maxInstances": _between(1, 1000), "singleton": _FLAG,
    "agentConfig": _ref("agentConfig"), "env": _MAP, "metadata": _MAP, "policy": _MAP, "enabled": _FLAG, "push": _FLAG,
    "createPr": {"const": False}, "pr": _MAP, "branchStrategy": _one("feature_branch"),
    "maxConcurrency": _between(1, 1000), "minResults": {"type": "integer", "minimum": 1},
    "maxIterations": _between(0, 100), "weights": {"type": "object", "additionalProperties": _WEIGHT},
    "cwd": _ref("inside"),
    "scorePattern": _WORD, "mayChange": _TEXTS, "rubric": _TEXT, "prompt": _WORD, "run": _COMMAND, "setup": _COMMAND,
    "setupKey": _PATHS, "copy": _PATHS, "keep": _PATHS,
    "passConfidence": _SCORE, "failConfidence": _SCORE, "weight": _WEIGHT, "minConfidence": _SCORE,
    "onError": _one("fail", "continue", "best_effort"), "combine": _one("min", "weighted", "product"),
    "onReject": _one("fail", "continue"),
    "onTimeout": _one("fail"), "weighting": _one("equal", "weighted"), "criteria": _list("criterion"),
    "strategy": _one("all", "race", "all_settled", "quorum"), "method": _METHODS,
    "agentType": _ref("agentType"), "verify": _ref("verify"), "workspace": _ref("workspace"),
    "confidence": _ref("confidence"), "threadConfig": _ref("threadConfig"), "structure": _ref("structure"),
    "workflow": _ref("workflow"), "steps": _list("step"), "then": _ref("branch"), "else": _ref("branch"),
    "oracles": _ref("verify"), "required": _any_of(_FLAG, _TEXTS), "minLength": _COUNT, "maxLength": _COUNT,
    "format": _one(*FORMATS), "enum": {"type": "array", "minItems": 1}, "minimum": _NUMBER, "maximum": _NUMBER,
    "multipleOf": {"type": "number", "exclusiveMinimum": 0},
    "items": _ref("field"), "minItems": _COUNT, "maxItems": _COUNT, "uniqueItems": _FLAG, "properties": _ref("fields"),
    "additionalProperties": _any_of(_FLAG, _ref("field")), "routing": {"type": "array", "items": _ref("routingRule")},
    "escalation": _ref("escalation"),
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
    own = {"input": _MAP} if kind == "pattern" else {}
    made = _keys((*COMMON_KEYS, *STEP_KEYS[kind]), ("type", *required), type={"const": kind}, criteria=criteria, **own)
    if kind == "wait":
        made["anyOf"] = [_has("condition"), _has("signal"), _has("timeoutMs"), _has("timeout")]
        made["not"] = _any_of(_has("condition", "signal"), _has("timeoutMs", "timeout"))
    elif "timeout" in STEP_KEYS[kind]:
        made["not"] = _has("timeoutMs", "timeout")
    for key, owner, word in (("weights", "method", "weighted"), ("minResults", "strategy", "quorum")):
        if key in STEP_KEYS[kind]:
            made["if"] = _has(key)
            made["then"] = {"type": "object", "properties": {owner: {"const": word}}, "required": [owner]}
    return made


def _org_chart() -> Schema:
    structure = ("name", "description", "roles", "escalation", "routing")
    workflow = ("name", "description", "input", "steps", "output", "timeoutMs")
    return {
        "orgChart": _keys(CHART_KEYS, ("name", "structure", "workflow"), name=_NAME),
        "structure": _keys(structure, ("roles",), roles=_roles()),
        "role": _role(),
        "agentType": _any_of(
            _one(*KINDS), {"type": "array", "items": _one(*KINDS), "minItems": 1, "uniqueItems": True}
        ),
        "agentConfig": {
            "type": "object",
            "properties": {
                "command": {"type": "array", "items": _TEXT, "minItems": 1}, "env": _MAP, "interactive": _FLAG,
            },
        },
        "stepId": {
            "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_-]{0,63}$", "not": _one(*sorted(RESERVED_IDS)),
        },
        "routingRule": _keys(
            ("from", "to", "topics", "messageTypes", "priority", "broadcast"), ("from", "to"), topics=_TEXTS,
            messageTypes={"type": "array", "items": _one("task", "question", "response", "status")},
            priority={"type": "integer"}, broadcast=_FLAG, **{"from": _PATHS, "to": _PATHS},
        ),
        "escalation": _keys(
            ("defaultBehavior", "timeoutMs", "maxDepth", "onMaxDepth", "topicRoutes"),
            defaultBehavior=_one("route_to_reports_to", "broadcast", "surface_to_user"), maxDepth=_between(0, 100),
            onMaxDepth=_one("surface_to_user", "fail", "return_best_effort"),
            topicRoutes={"type": "object", "additionalProperties": _TEXT},
        ),
        "inside": {"type": "string", "not": {"pattern": "^/|(^|/)[.][.](/|$)"}},
        "criterion": _keys(("text", "run", "weight"), ("run",), text=_TEXT, run=_WORD),
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
            "oneOf": [
                _keys(keys, ("type", *_ORACLES_NEED.get(kind, ())), type={"const": kind}, role=_TEXT)
                for kind, keys in sorted(ORACLE_KEYS.items())
            ]
        },
        "workflow": _keys(workflow, ("steps",), input=_ref("fields"), output=_TEXT),
        "branch": {"anyOf": [_ref("step"), _list("step")]},
        "step": {"oneOf": [_step(kind) for kind in STEP_TYPES]},
    }  # fmt: skip


_ORACLES_NEED = {"command": ("run",), "checklist": ("criteria",), "human": ("prompt",)}


def _roles() -> Schema:
    names: Schema = {"type": "string", "pattern": ROLE_ID_PATTERN, "not": {"pattern": _RESERVED}}
    return {"type": "object", "additionalProperties": _ref("role"), "propertyNames": names, "minProperties": 1}


_RESERVED = f"^({'|'.join(''.join(f'[{letter.upper()}{letter}]' for letter in name) for name in RESERVED_ROLES)})$"


def _role() -> Schema:
    """A role; one of command agents says the command."""
    command: Schema = {"type": "object", "properties": {"agentType": {"const": "command"}}, "required": ["agentType"]}
    config = _has("command")
    return {
        **_keys(ROLE_KEYS, ("capabilities",), id=_TEXT, type=_ref("agentType")),
        "not": _has("type", "agentType"),
        "allOf": [
            {
                "if": command,
                "then": {"type": "object", "properties": {"agentConfig": config}, "required": ["agentConfig"]},
            },
            {
                "if": {"type": "object", "properties": {"singleton": {"const": True}}, "required": ["singleton"]},
                "then": {
                    "type": "object",
                    "properties": {"minInstances": _between(0, 1), "maxInstances": _between(1, 1)},
                },
            },
        ],
    }


def _aggregation() -> Schema:
    """How results become one; a method is one of its strategy."""
    keys = ("strategy", "method", "minVotes", "weights", "threshold", "fields", "conflictResolution", "deduplication")
    return {
        **_keys(
            keys, ("strategy",), strategy=_one(*flat_rules.AGGREGATIONS), method=_one(*flat_rules.ALL_METHODS),
            minVotes=_between(1, 1000), threshold=_SCORE, fields={"type": "array"}, deduplication=_FLAG,
            conflictResolution=_one(*flat_rules.CONFLICTS),
        ),
        "allOf": [
            {
                "if": {"type": "object", "properties": {"strategy": {"const": strategy}}, "required": ["strategy"]},
                "then": {"type": "object", "properties": {"method": _one(*methods)}}
                if (methods := flat_rules.METHODS.get(strategy))
                else {"not": _has("method")},
            }
            for strategy in flat_rules.AGGREGATIONS
        ],
    }  # fmt: skip


def _field() -> Schema:
    """One field of a schema; the bounds of a type are of no other."""
    bounds = {key for keys in KEYS_OF_TYPES.values() for key in keys}
    free = [key for key in FIELD_KEYS if key not in bounds]
    return {
        **_keys(FIELD_KEYS, type=_one(*TYPES)),
        "allOf": [
            {
                "if": {"type": "object", "properties": {"type": {"const": kind}}, "required": ["type"]},
                "then": {
                    "type": "object",
                    "propertyNames": _one(*free, *KEYS_OF_TYPES.get(kind, ())),
                },
            }
            for kind in TYPES
            if kind != "any"
        ],
    }


def _flat() -> Schema:
    agents = ("capabilities", "min", "max", "prefer", "taskTimeout")
    parts: dict[str, Any] = {
        "agents": _ref("agents"), "execution": _ref("execution"), "aggregation": _ref("aggregation"),
        "validation": _ref("validation"), "steps": _list("flatStep"),
    }  # fmt: skip
    return {
        "flat": {
            **_keys(flat.KEYS, ("name",), name=_NAME, input=_ref("fields"), **parts),
            "anyOf": [_has("agents"), _has("steps"), _has("execution")],
        },
        "flatStep": _keys(
            flat.STEP_KEYS, type=_one(*flat.STEP_TYPES), id=_TEXT, task=_TEXT, default=_ref("flatStep"),
            sources={"type": "array"},
            cases={"type": "object", "additionalProperties": _ref("flatStep")}, **parts,
        ),
        "agents": _keys(
            agents, ("capabilities",), min=_between(1, 1000), max=_between(1, 1000), prefer=_ref("agentType"),
            taskTimeout=_TIME,
        ),
        "execution": _keys(
            ("strategy", "timeout", "waitForAll", "minResults", "minConfidence", "stopOnError", "steps"),
            strategy=_one(*flat.STRATEGIES), timeout=_TIME, waitForAll=_FLAG, stopOnError=_FLAG,
            steps=_list("flatStep"),
        ),
        "aggregation": _aggregation(),
        "validation": _keys(
            ("minConfidence", "onFailure", "maxRetries", "retryDelay", "fallback", "schema"),
            onFailure=_one("fail", "retry", "fallback"), maxRetries=_between(1, 100), retryDelay=_TIME,
            schema=_ref("field"),
        ),
    }  # fmt: skip


def document() -> Schema:
    """The schema of a pattern file, an org chart or a flat one."""
    whole = _keys(FIELD_KEYS, ("type", "properties"), type={"const": "object"})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A Parallax pattern",
        "if": _has("structure"),
        "then": _ref("orgChart"),
        "else": {"if": _has("workflow"), "then": _ref("orgChart"), "else": _ref("flat")},
        "$defs": {
            **_org_chart(),
            **_flat(),
            "workspace": _keys(CHART_WORKSPACE_KEYS),
            "fields": {"anyOf": [whole, {"type": "object", "additionalProperties": _ref("field")}]},
            "field": _any_of({"type": "null"}, _one(*TYPES), _field()),
        },
    }
