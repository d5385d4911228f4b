"""Which session of a role a `select` step gets, by what the program knows about the sessions. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from schemas.base import Model


class Done(Model, frozen=True, kw_only=True):
    """A task that a session has done: what it was asked, and how sure it was of the result."""

    session: str
    text: str
    confidence: float | None = None


def preferred(criteria: str, sessions: Iterable[str], done: Iterable[Done], busy: Iterable[str], topic: str) -> str:
    """The session that is to be preferred; empty where none is, so that they take turns.

    `availability` avoids sessions that are known to be working, `expertise` prefers the one that has done most tasks
    (of those that mention the topic, where there is one), `best` the one whose results were surest on average.
    """
    names, history, working = list(sessions), list(done), list(busy)
    if criteria == "availability":
        idle = [name for name in names if name not in working]
        return idle[0] if working and idle else ""
    known = [one for one in history if one.session]
    if criteria == "expertise":
        if topic:
            known = [one for one in known if re.search(rf"(?<!\w){re.escape(topic)}(?!\w)", one.text, re.IGNORECASE)]
        return _highest({name: float(sum(one.session == name for one in known)) for name in _named(known)})
    if criteria == "best":
        scores: dict[str, list[float]] = {}
        for one in known:
            scores.setdefault(one.session, []).append(one.confidence or 0.0)
        return _highest({name: sum(found) / len(found) for name, found in scores.items()})
    return ""


def _named(history: Iterable[Done]) -> list[str]:
    return list(dict.fromkeys(one.session for one in history))


def _highest(scores: dict[str, float]) -> str:
    """The name with the highest score; a tie goes to the first."""
    return max(scores, key=lambda name: scores[name], default="")
