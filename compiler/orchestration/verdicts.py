"""Reading what a reviewer says. What cannot be read is no verdict, and no verdict is never a pass."""

from __future__ import annotations

import json
import re
from typing import Any, Literal, cast

from schemas.base import Model
from schemas.json_text import with_whole_characters

Word = Literal["approve", "revise", "reject", "none"]

_WORDS: dict[str, Word] = {
    "approve": "approve",
    "approved": "approve",
    "accept": "approve",
    "accepted": "approve",
    "pass": "approve",
    "passed": "approve",
    "lgtm": "approve",
    "revise": "revise",
    "changes_requested": "revise",
    "request_changes": "revise",
    "needs_changes": "revise",
    "reject": "reject",
    "rejected": "reject",
    "deny": "reject",
    "denied": "reject",
    "fail": "reject",
    "failed": "reject",
}
_LINE = re.compile(r"^\W*(?:verdict\W+)?([a-z]+(?:[_ -][a-z]+)?)\W*$", re.IGNORECASE)
_CRITIQUE_KEYS = ("critique", "feedback", "issues", "comments", "reason", "message", "summary")
_SCORE_KEYS = ("score", "confidence")
_BEFORE_OBJECT = re.compile(
    r"[ \t`*>-]*"
    r"(?:json|(?:here(?: is|'s) )?(?:my |the )?(?:final )?(?:verdict|decision|answer|review)(?: is)?[:*]*)?[ \t]*",
    re.IGNORECASE,
)
"""What may stand before an approval in its line: nothing, or that it is one."""
_MOST_OBJECTS = 1000
_WHOLE_SINCE = 3
_FIRST_TEXT_LIMIT, _FIRST_CRITIQUE_LIMIT = 200_000, 2000

INSTRUCTION = (
    'Answer with a JSON object: {"verdict": "approve" | "revise" | "reject", "critique": "what is wrong, and where", '
    '"confidence": a number from 0 to 1 for how sure you are}. Look for what is wrong before you approve.'
)
"""What a reviewer is told about the form of the answer; part of the task's context."""


class Reading(Model, frozen=True, kw_only=True):
    """A verdict as it was read. `score` is the reviewer's number where one was given."""

    word: Word
    critique: str = ""
    score: float | None = None


def read_verdict(result: Any, semantics: int) -> Reading:
    """The verdict in an agent's result: an object, text that holds one, or a line that says it.

    `semantics` is that of the execution (`execution.started.semantics`): before 3 a long critique was cut, and objects
    in one were left out.
    """
    whole = semantics >= _WHOLE_SINCE
    if isinstance(result, bool):
        return Reading(word="approve" if result else "revise")
    if isinstance(result, dict):
        return _from_object(cast("dict[str, Any]", result), whole)
    if isinstance(result, str):
        return _from_text(result if whole else result[:_FIRST_TEXT_LIMIT], whole)
    return Reading(word="none", critique="The reviewer's answer holds no verdict.")


def _from_object(answer: dict[str, Any], whole: bool) -> Reading:
    critique = next((text for key in _CRITIQUE_KEYS if (text := _text(answer.get(key), whole))), "")
    score = next((number for key in _SCORE_KEYS if (number := _score(answer.get(key))) is not None), None)
    said = answer.get("verdict", answer.get("decision"))
    approved = answer.get("approved")
    if isinstance(said, str):
        word = _word(said)
        if word == "approve" and approved is False:
            word = "none"
    elif said is None and isinstance(approved, bool):
        word = "approve" if approved else "revise"
    elif said is None and isinstance(answer.get("result"), dict | str):
        inner = answer["result"]
        if isinstance(inner, dict):
            return _from_object(cast("dict[str, Any]", inner), whole)
        return _from_text(inner if whole else inner[:_FIRST_TEXT_LIMIT], whole)
    else:
        word = "none"
    if word == "none" and not critique:
        critique = "The reviewer's answer holds no verdict."
    return Reading(word=word, critique=critique, score=score)


def _from_text(text: str, whole: bool) -> Reading:
    if whole:
        found, unclear = _only_verdict(text)
    else:
        found, unclear = _first_verdict(text), False
    if found is not None:
        return _from_object(found, whole)
    if unclear:
        return Reading(word="none", critique=text.strip())
    lines = [line for line in text.splitlines() if line.strip()]
    for number in (0, len(lines) - 1) if lines else ():
        match = _LINE.match(lines[number][:200])
        if match and (word := _word(match[1])) != "none":
            rest = lines[1:] if number == 0 else lines[:-1]
            return Reading(word=word, critique="\n".join(rest).strip())
    critique = text.strip() if whole else text.strip()[:_FIRST_CRITIQUE_LIMIT]
    return Reading(word="none", critique=critique or "The reviewer's answer is empty.")


def _first_verdict(text: str) -> dict[str, Any] | None:
    mended = with_whole_characters(text)
    for start in [match.start() for match in re.finditer(r"\{", mended)][:50]:
        if (found := _object_at(mended, start)) is not None:
            return found[0]
    return None


def _only_verdict(text: str) -> tuple[dict[str, Any] | None, bool]:
    """The one verdict in a text, and whether there are several, of which nobody knows which is meant.

    An approval has to stand in lines of its own, as a whole answer or a block in one does, or behind "My verdict:": in
    the middle of a sentence it may be quoted. What is no approval lets nothing through, wherever it stands.
    """
    mended = with_whole_characters(text)
    read: list[tuple[Word, dict[str, Any], bool]] = []
    position, tries = 0, 0
    while (start := mended.find("{", position)) >= 0:
        tries += 1
        if tries > _MOST_OBJECTS:
            return None, True
        found = _object_at(mended, start)
        position = start + 1 if found is None else found[1]
        if found is not None:
            before = mended[mended.rfind("\n", 0, start) + 1 : start]
            ending = mended.find("\n", position)
            after = mended[position : ending if ending >= 0 else None]
            alone = not after.strip(" \t\r`") and _BEFORE_OBJECT.fullmatch(before) is not None
            read.append((_from_object(found[0], True).word, found[0], alone))
    if len({word for word, _, _ in read}) > 1:
        return None, True
    return next((one for word, one, alone in reversed(read) if alone or word != "approve"), None), False


def _object_at(text: str, start: int) -> tuple[dict[str, Any], int] | None:
    """The object that begins there and holds a verdict, and where it ends."""
    try:
        found, end = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    if isinstance(found, dict) and {"verdict", "approved", "decision"} & set(cast("dict[str, Any]", found)):
        return cast("dict[str, Any]", found), end
    return None


def _word(said: str) -> Word:
    return _WORDS.get(re.sub(r"[ -]+", "_", said.strip().lower()), "none")


def _text(value: Any, whole: bool) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return "\n".join(
            f"- {_written(item)}" for item in items if isinstance(item, str) or (whole and item is not None)
        )
    return _written(value) if whole and isinstance(value, dict) and value else ""


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _score(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        return None
    return float(value)
