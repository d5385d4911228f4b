"""Making one result out of several. Pure: results are compared by value, whoever said them and in whatever order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from compiler.orchestration.values import Value, bare, canonical, confidence_of, plain, prism_value, with_confidence
from compiler.prism import EffectFailed
from schemas.base import Model


class Source(Model, frozen=True, kw_only=True):
    """One result that is to be aggregated. `failed` ones count as asked, never as agreeing."""

    result: Any
    confidence: float | None
    role: str = ""
    failed: bool = False


class Combined(Model, frozen=True, kw_only=True):
    """What came out, and what a reader should know about it."""

    result: Any
    confidence: float | None
    notes: dict[str, Any] = {}


def aggregate(values: Sequence[Value], method: str, weights: dict[str, float]) -> Value:
    """The record of an aggregate step. Raises `EffectFailed` for an unknown method or nothing to aggregate."""
    combine = METHODS.get(method)
    if combine is None:
        known = ", ".join(METHODS)
        raise EffectFailed("invalid_argument", f"aggregate: unknown method {method!r}; it takes {known}")
    if not values:
        raise EffectFailed("invalid_argument", "aggregate: there is nothing to aggregate")
    sources = collect(values)
    if not sources:
        raise EffectFailed("no_sources", "aggregate: there is nothing to aggregate: none of its sources has run")
    made = combine(sources, weights)
    fields = {
        "result": made.result,
        "confidence": made.confidence,
        "confidence_source": "" if made.confidence is None else "aggregate",
        "sources": [{"role": one.role, "confidence": one.confidence, "failed": one.failed} for one in sources],
        "method": method,
        **made.notes,
    }
    return with_confidence(prism_value(fields), made.confidence)


def collect(values: Sequence[Value]) -> list[Source]:
    """The sources in these values: arrays are opened, records give their results, plain values stand for themselves."""
    found: list[Source] = []
    for value in values:
        inner = bare(value)
        if isinstance(inner, list):
            found += collect(cast("list[Value]", inner))
        elif inner is not None:
            found.append(_source(value, inner))
    return found


def _source(value: Value, inner: Value) -> Source:
    fields = cast("dict[str, Any]", plain(inner)) if isinstance(inner, dict) else None
    if fields is None:
        return Source(result=plain(inner), confidence=confidence_of(value))
    role = str(fields.get("role") or "")
    confidence = fields.get("confidence") if "confidence" in fields else confidence_of(value)
    score = float(confidence) if isinstance(confidence, int | float) else None
    if "error" in fields and not fields.get("task_id"):
        return Source(result=None, confidence=None, role=role, failed=True)
    if "verdict" in fields and "approved" in fields:
        verdict = {key: fields[key] for key in ("approved", "verdict", "critique") if key in fields}
        return Source(result=verdict, confidence=score, role=role)
    if "result" in fields and ("task_id" in fields or "method" in fields):
        return Source(result=fields["result"], confidence=score, role=role)
    return Source(result=fields, confidence=confidence_of(value), role="")


def _groups(sources: Sequence[Source]) -> list[list[Source]]:
    groups: dict[str, list[Source]] = {}
    for one in sources:
        if not one.failed:
            groups.setdefault(canonical(one.result), []).append(one)
    return list(groups.values())


def _mean(sources: Sequence[Source]) -> float | None:
    known = [one.confidence for one in sources if one.confidence is not None]
    return sum(known) / len(known) if known and len(known) == len(sources) else None


def _least(sources: Sequence[Source]) -> float | None:
    known = [one.confidence for one in sources if one.confidence is not None]
    return min(known) if known and len(known) == len(sources) else None


def _majority(sources: Sequence[Source], _weights: dict[str, float]) -> Combined:
    """The result of more than half of those asked; without one there is no result, at confidence 0."""
    largest = max(_groups(sources), key=len, default=list[Source]())
    share = len(largest) / len(sources)
    notes = {"agreed": share > 0.5, "votes": len(largest), "voters": len(sources)}
    if share <= 0.5:
        return Combined(result=None, confidence=0.0, notes=notes)
    mean = _mean(largest)
    return Combined(result=largest[0].result, confidence=None if mean is None else mean * share, notes=notes)


def _weighted(sources: Sequence[Source], weights: dict[str, float]) -> Combined:
    """The result with more than half of the weight: a role's, else the confidence; no confidence weighs nothing."""

    def weight(one: Source) -> float:
        return max(0.0, float(weights.get(one.role, 0.0 if weights else one.confidence or 0.0)))

    total = sum(weight(one) for one in sources)
    heaviest = max(_groups(sources), key=lambda group: sum(map(weight, group)), default=list[Source]())
    share = sum(map(weight, heaviest)) / total if total > 0 else 0.0
    notes = {"agreed": share > 0.5, "share": share}
    if share <= 0.5:
        return Combined(result=None, confidence=0.0, notes=notes)
    mean = _mean(heaviest)
    return Combined(result=heaviest[0].result, confidence=None if mean is None else mean * share, notes=notes)


def _consensus(sources: Sequence[Source], _weights: dict[str, float]) -> Combined:
    """What all agree on: of objects the fields that all have with the same value, of other values the value itself."""
    objects = [cast("dict[str, Any]", one.result) for one in sources if isinstance(one.result, dict) and not one.failed]
    if len(objects) == len(sources):
        names = list(dict.fromkeys(name for fields in objects for name in fields))
        agreed = {
            name: objects[0][name]
            for name in names
            if all(name in fields for fields in objects) and len({canonical(fields[name]) for fields in objects}) == 1
        }
        share = len(agreed) / len(names) if names else 0.0
        disputed = [name for name in names if name not in agreed]
    else:
        groups = _groups(sources)
        unanimous = len(groups) == 1 and len(groups[0]) == len(sources)
        agreed, share, disputed = (groups[0][0].result if unanimous else None), float(unanimous), []
    notes = {"agreed": share == 1.0, "agreement": share, "disputed": disputed}
    if share == 0:
        return Combined(result=None, confidence=0.0, notes=notes)
    mean = _mean(sources)
    return Combined(result=agreed, confidence=None if mean is None else mean * share, notes=notes)


def _merge(sources: Sequence[Source], _weights: dict[str, float]) -> Combined:
    """All results in one; it is as sure as its least sure part, and where any part has no confidence it has none."""
    good = [one for one in sources if not one.failed]
    results = [one.result for one in good if one.result is not None]
    conflicts: list[str] = []
    merged: Any = None
    if results and all(isinstance(result, dict) for result in results):
        merged = {}
        for result in results:
            merged = _merged(merged, result, "", conflicts)
    elif results and all(isinstance(result, list) for result in results):
        merged = list({canonical(item): item for result in results for item in cast("list[Any]", result)}.values())
    elif results and all(isinstance(result, str) for result in results):
        merged = "\n\n".join(cast("list[str]", results))
    elif results:
        merged = results
    return Combined(result=merged, confidence=_least(sources), notes={"conflicts": conflicts})


def _merged(first: dict[str, Any], second: dict[str, Any], path: str, conflicts: list[str]) -> dict[str, Any]:
    merged = dict(first)
    for key, value in second.items():
        known = merged.get(key)
        where = f"{path}.{key}" if path else key
        if key not in merged:
            merged[key] = value
        elif isinstance(known, dict) and isinstance(value, dict):
            merged[key] = _merged(cast("dict[str, Any]", known), cast("dict[str, Any]", value), where, conflicts)
        elif isinstance(known, list) and isinstance(value, list):
            items = [*cast("list[Any]", known), *cast("list[Any]", value)]
            merged[key] = list({canonical(item): item for item in items}.values())
        elif canonical(known) != canonical(value):
            conflicts.append(where)
    return merged


def _best(sources: Sequence[Source], _weights: dict[str, float]) -> Combined:
    """The result with the highest confidence; one without any loses to all that have one, a tie goes to the first."""
    good = [one for one in sources if not one.failed]
    if not good:
        return Combined(result=None, confidence=0.0)
    best = max(good, key=lambda one: -1.0 if one.confidence is None else one.confidence)
    return Combined(result=best.result, confidence=best.confidence, notes={"chosen": sources.index(best)})


def _all(sources: Sequence[Source], _weights: dict[str, float]) -> Combined:
    """Every result, in order."""
    return Combined(result=[one.result for one in sources], confidence=_least(sources))


METHODS: dict[str, Callable[[Sequence[Source], dict[str, float]], Combined]] = {
    "consensus": _consensus,
    "majority": _majority,
    "merge": _merge,
    "best": _best,
    "all": _all,
    "weighted": _weighted,
}
"""The methods of `aggregate`."""
