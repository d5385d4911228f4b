"""What a team of equals comes to: votes, agreement field by field, merged results. Pure; the lowering names the rules.

A result that failed, or that is below the confidence asked for, is not valid: it is counted, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast

import msgspec

from compiler.input_check import validate_value
from compiler.orchestration.aggregates import Source, collect
from compiler.orchestration.values import Value, bare, canonical, confidence_of, plain, prism_value, with_confidence
from compiler.prism import EffectFailed

Strategy = Literal["voting", "consensus", "merge", "first", "best", "weighted"]


class Rules(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """How results become one. `fields` narrow a vote or a consensus to these fields of the results."""

    id: str = ""
    strategy: Strategy = "best"
    method: str = ""
    min_votes: int = 1
    weights: dict[str, float] = {}
    threshold: float | None = None
    fields: list[str] = []
    thresholds: dict[str, float] = {}
    conflict_resolution: Literal["", "first", "last", "highest_confidence", "weighted", "omit", "fail"] = ""
    deduplication: bool = True
    min_confidence: float = 0.0
    min_results: int = 1
    duration: float | None = None


class Acceptance(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What a step's result has to be, and what happens when it is not. Delays in milliseconds."""

    id: str = ""
    min_confidence: float | None = None
    on_failure: Literal["fail", "retry", "fallback"] = "fail"
    max_retries: int = 1
    retry_delay: int = 0
    fallback: Any = None
    schema: dict[str, Any] | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One result out of several, and what the output may show of how it came about."""

    result: Any
    confidence: float | None
    notes: dict[str, Any] = {}


def combine(values: Value, rules: Rules) -> Value:
    """The record of a step. Raises `EffectFailed` when there are fewer valid results than wanted."""
    entries = cast("list[Value]", bare(values)) if isinstance(bare(values), list) else [values]
    everyone = [one for entry in entries for one in _sources(entry)]
    for position, one in enumerate(everyone):
        everyone[position] = msgspec.structs.replace(one, role=f"agent-{position + 1}")
    valid = [
        one for one in everyone if not one.failed and (not rules.min_confidence or _sure(one) >= rules.min_confidence)
    ]
    if len(valid) < rules.min_results:
        what = f"{len(valid)} of {len(everyone)} results are valid, {rules.min_results} needed"
        raise EffectFailed("too_few_results", f"step {rules.id!r}: {what}")
    made = _STRATEGIES[rules.strategy](valid, rules)
    record: dict[str, Any] = {
        "result": made.result,
        "confidence": made.confidence,
        "confidence_source": "" if made.confidence is None else "aggregate",
        "results": [one.result for one in everyone],
        "validResults": [one.result for one in valid],
        "first": valid[0].result if valid else None,
        "execution": {"agentCount": len(everyone), "duration": rules.duration},
        **made.notes,
    }
    return with_confidence(prism_value(record), made.confidence)


def _sources(value: Value) -> list[Source]:
    """What a result stands for; the record of an earlier step stands for that step's result."""
    fields = bare(value)
    if isinstance(fields, dict) and {"result", "validResults"} <= set(cast("dict[str, Value]", fields)):
        return [Source(result=plain(cast("dict[str, Value]", fields)["result"]), confidence=confidence_in(value))]
    return collect([value])


def confidence_in(record: Value) -> float | None:
    """The confidence that a record names; of several records the least, of anything else none."""
    inner, own = bare(record), confidence_of(record)
    if own is not None:
        return own
    if isinstance(inner, list):
        parts = [confidence_in(one) for one in cast("list[Value]", inner)]
        known = [part for part in parts if part is not None]
        return min(known) if known and len(known) == len(parts) else None
    if not isinstance(inner, dict):
        return None
    said = bare(cast("dict[str, Value]", inner).get("confidence"))
    return float(said) if isinstance(said, int | float) and not isinstance(said, bool) and 0 <= said <= 1 else None


def refusal(value: Value, rules: Acceptance, semantics: int = 1) -> str:
    """Why a step's result is not what it has to be, in an execution of some `semantics`; empty where it is."""
    fields = cast("dict[str, Any]", plain(value)) if isinstance(bare(value), dict) else {"result": plain(value)}
    confidence = fields.get("confidence")
    if rules.min_confidence is not None and (confidence is None or confidence < rules.min_confidence):
        return (
            f"the confidence is {'not known' if confidence is None else confidence}; {rules.min_confidence} is wanted"
        )
    if rules.schema is not None:
        problems = validate_value(rules.schema, fields.get("result"), "the result", semantics)
        if problems:
            return "; ".join(problem.what for problem in problems[:5])
    return ""


def fallen_back(value: Any, reason: str) -> Value:
    """The record of a step whose result was replaced by its fallback: nobody vouches for it."""
    made: dict[str, Any] = {
        "result": value,
        "confidence": None,
        "confidence_source": "",
        "results": [],
        "validResults": [],
    }
    return prism_value({**made, "first": None, "fallback": True, "warning": reason, "execution": {"agentCount": 0}})


def _sure(one: Source) -> float:
    return -1.0 if one.confidence is None else one.confidence


def _mean(sources: Sequence[Source]) -> float | None:
    known = [one.confidence for one in sources if one.confidence is not None]
    return sum(known) / len(known) if known and len(known) == len(sources) else None


def _option(one: Source, rules: Rules) -> Any:
    """What a result votes for: the named field of an object, else all of it."""
    if not rules.fields or not isinstance(one.result, dict):
        return one.result
    result = cast("dict[str, Any]", one.result)
    if len(rules.fields) == 1:
        return result.get(rules.fields[0])
    return {name: result.get(name) for name in rules.fields}


def _voting(valid: Sequence[Source], rules: Rules) -> Verdict:
    """Counts what was voted for. An option wins by the rule of the method, with at least `minVotes` votes."""
    groups: dict[str, list[tuple[Source, float]]] = {}
    for one in valid:
        option = _option(one, rules)
        if option is not None:
            groups.setdefault(canonical(option), []).append((one, _weight(one, rules)))
    tally = {key: sum(weight for _, weight in votes) for key, votes in groups.items()}
    total = sum(tally.values()) + sum(
        0.0 if rules.method == "weighted" else 1.0 for one in valid if _option(one, rules) is None
    )
    winner = max(groups, key=lambda key: tally[key], default="")
    share = tally[winner] / total if winner and total > 0 else 0.0
    tied = sum(1 for key in tally if winner and tally[key] == tally[winner]) > 1
    enough = bool(winner) and len(groups[winner]) >= rules.min_votes and not tied
    wins = {
        "unanimous": len(groups) == 1 and bool(winner) and len(groups[winner]) == len(valid),
        "plurality": bool(winner),
    }.get(rules.method, share > (0.5 if rules.threshold is None else rules.threshold - 1e-9))
    voters = [one for one, _ in groups.get(winner, [])]
    agreed = enough and wins
    mean = _mean(voters)
    result = _option(voters[0], rules) if agreed else None
    confidence = 0.0 if not agreed else None if mean is None else mean * share
    words = {canonical(_option(votes[0][0], rules)): _option(votes[0][0], rules) for votes in groups.values()}
    distribution = {word if isinstance(word := words[key], str) else key: tally[key] for key in groups}
    vote = {"result": result, "confidence": confidence, "distribution": distribution, "agreed": agreed}
    return Verdict(result=result, confidence=confidence, notes={"vote": vote})


def _weight(one: Source, rules: Rules) -> float:
    if rules.method != "weighted":
        return 1.0
    if not rules.weights:
        return max(0.0, one.confidence or 0.0)
    return max(0.0, rules.weights.get(one.role, rules.weights.get("default", 1.0)))


def _consensus(valid: Sequence[Source], rules: Rules) -> Verdict:
    """Field by field: how many hold the most common value. Results that lack a field do not agree about it."""
    objects = [cast("dict[str, Any]", one.result) for one in valid if isinstance(one.result, dict)]
    bound = 0.7 if rules.threshold is None else rules.threshold
    if len(objects) != len(valid) or not valid:
        shares = _share([one.result for one in valid], len(valid))
        agreed, share = shares if shares[1] >= bound else (None, shares[1])
        disputed: list[str] = []
    else:
        names = rules.fields or list(dict.fromkeys(name for fields in objects for name in fields))
        found = {name: _share([fields[name] for fields in objects if name in fields], len(objects)) for name in names}
        disputed = [name for name in names if found[name][1] < rules.thresholds.get(name, bound)]
        agreed = {name: found[name][0] for name in names if name not in disputed}
        agreed.update(_settled(valid, disputed, rules))
        share = sum(part for _, part in found.values()) / len(found) if found else 0.0
        agreed = agreed or None
    if len(valid) < rules.min_votes:
        agreed = None
    mean = _mean(valid)
    confidence = 0.0 if agreed is None else None if mean is None else mean * share
    said = {"result": agreed, "confidence": confidence, "agreement": share, "disputed": disputed}
    return Verdict(result=agreed, confidence=confidence, notes={"consensus": said})


def _share(values: Sequence[Any], asked: int) -> tuple[Any, float]:
    groups: dict[str, list[Any]] = {}
    for value in values:
        groups.setdefault(canonical(value), []).append(value)
    largest = max(groups.values(), key=len, default=list[Any]())
    return (largest[0] if largest else None), (len(largest) / asked if asked and largest else 0.0)


def _settled(valid: Sequence[Source], disputed: Sequence[str], rules: Rules) -> dict[str, Any]:
    """What conflict resolution makes of disputed fields."""
    if not disputed or rules.conflict_resolution in {"", "omit"}:
        return {}
    if rules.conflict_resolution == "fail":
        raise EffectFailed("no_consensus", f"step {rules.id!r}: no agreement about {', '.join(disputed)}")
    if rules.conflict_resolution == "weighted":
        return {name: value for name in disputed if (value := _heaviest(valid, name)) is not None}
    order = _ordered(valid, rules)
    holders = {name: [cast("dict[str, Any]", one.result) for one in order] for name in disputed}
    return {
        name: next(fields[name] for fields in results if name in fields)
        for name, results in holders.items()
        if any(name in fields for fields in results)
    }


def _heaviest(valid: Sequence[Source], name: str) -> Any:
    """The value of a field whose holders are surest together."""
    groups: dict[str, list[Any]] = {}
    weights: dict[str, float] = {}
    for one in valid:
        fields = cast("dict[str, Any]", one.result)
        if name in fields:
            key = canonical(fields[name])
            groups.setdefault(key, []).append(fields[name])
            weights[key] = weights.get(key, 0.0) + (one.confidence or 0.0)
    return groups[max(weights, key=lambda key: weights[key])][0] if weights else None


def _ordered(valid: Sequence[Source], rules: Rules) -> list[Source]:
    """The results by who wins a conflict."""
    if rules.conflict_resolution == "last":
        return list(reversed(valid))
    if rules.conflict_resolution in {"highest_confidence", "weighted"}:
        return sorted(valid, key=_sure, reverse=True)
    return list(valid)


def _merge(valid: Sequence[Source], rules: Rules) -> Verdict:
    """All results in one: `deep`, `shallow` of objects; `concat`, `union` of lists and texts."""
    results = [_narrowed(one.result, rules) for one in _ordered(valid, rules) if one.result is not None]
    conflicts: list[str] = []
    merged: Any = None
    if results and all(isinstance(result, dict) for result in results) and rules.method not in {"concat", "union"}:
        merged = {}
        for result in results:
            merged = _merged(merged, cast("dict[str, Any]", result), "", conflicts, rules)
    elif results and all(isinstance(result, str) for result in results) and rules.method != "union":
        merged = "\n\n".join(dict.fromkeys(results) if rules.deduplication else results)
    elif results:
        items = [
            item for result in results for item in (cast("list[Any]", result) if isinstance(result, list) else [result])
        ]
        single = rules.method == "union" or rules.deduplication
        merged = list({canonical(item): item for item in reversed(items)}.values())[::-1] if single else items
    if conflicts and rules.conflict_resolution == "fail":
        raise EffectFailed("merge_conflict", f"step {rules.id!r}: the results differ in {', '.join(conflicts)}")
    known = [one.confidence for one in valid if one.confidence is not None]
    confidence = min(known) if known and len(known) == len(valid) else None
    return Verdict(result=merged, confidence=confidence, notes={"merged": merged, "conflicts": conflicts})


def _narrowed(result: Any, rules: Rules) -> Any:
    """An object with the named fields only, where any are named."""
    if not rules.fields or not isinstance(result, dict):
        return result
    return {name: value for name, value in cast("dict[str, Any]", result).items() if name in rules.fields}


def _merged(
    first: dict[str, Any], second: dict[str, Any], path: str, conflicts: list[str], rules: Rules
) -> dict[str, Any]:
    merged = dict(first)
    for name, value in second.items():
        known, where = merged.get(name), f"{path}.{name}" if path else name
        if name not in merged:
            merged[name] = value
        elif rules.method != "shallow" and isinstance(known, dict) and isinstance(value, dict):
            pair = cast("dict[str, Any]", known), cast("dict[str, Any]", value)
            merged[name] = _merged(*pair, where, conflicts, rules)
        elif rules.method != "shallow" and isinstance(known, list) and isinstance(value, list):
            items = [*cast("list[Any]", known), *cast("list[Any]", value)]
            merged[name] = list({canonical(item): item for item in items}.values()) if rules.deduplication else items
        elif canonical(known) != canonical(value):
            conflicts.append(where)
    if rules.conflict_resolution == "omit":
        return {name: value for name, value in merged.items() if (f"{path}.{name}" if path else name) not in conflicts}
    return merged


def _first(valid: Sequence[Source], _rules: Rules) -> Verdict:
    return (
        Verdict(result=valid[0].result, confidence=valid[0].confidence)
        if valid
        else Verdict(result=None, confidence=0.0)
    )


def _best(valid: Sequence[Source], _rules: Rules) -> Verdict:
    best = max(valid, key=_sure, default=None)
    return Verdict(result=best.result, confidence=best.confidence) if best else Verdict(result=None, confidence=0.0)


def _weighted(valid: Sequence[Source], rules: Rules) -> Verdict:
    """A vote in which everybody weighs as much as its weight says, else as much as its confidence."""
    return _voting(valid, msgspec.structs.replace(rules, method="weighted"))


_STRATEGIES = {
    "voting": _voting,
    "consensus": _consensus,
    "merge": _merge,
    "first": _first,
    "best": _best,
    "weighted": _weighted,
}
