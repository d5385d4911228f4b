"""Events as sentences: what `parallax events` prints, in the words that a person would use of each kind.

Pure: a sentence is a function of one event. Ids that only programs need are left out; `--wide` and `--json` have them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from parallax.cli.beside import Beside
from parallax.cli.card import outcome_words
from parallax.cli.progress import duration, found_words, gist, summary, verdict_of
from parallax.client_events import Event, failure_of, standing_words

_Data = Mapping[str, Any]


def sentence(event: Event) -> str:
    """One event in words, on one line. A kind that this version does not know is told by its fields."""
    words = _WORDS.get(event.type)
    return " ".join((words(event.data) if words is not None else fields(event.data)).split())


def fields(data: _Data, *, hidden: frozenset[str] = frozenset({"execution_id"})) -> str:
    """The fields of an event, each as `name=value`, without those that are empty."""
    shown = ((key, value) for key, value in data.items() if key not in hidden and value not in (None, "", [], {}))
    return "  ".join(f"{key}={summary(value, 48)}" for key, value in shown)


def _error(data: _Data) -> str:
    return gist(failure_of(dict(data)).message) if data.get("error") else ""


def _join(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _by(data: _Data, *, otherwise: str = "") -> str:
    return f"by {data['by']}" if data.get("by") else otherwise


def _reason(data: _Data) -> str:
    return f"({gist(str(data['reason']))})" if data.get("reason") else ""


def _attempt(data: _Data) -> str:
    return f"(attempt {data['attempt']})" if data.get("attempt", 1) > 1 else ""


def _step(data: _Data) -> str:
    return f"at {data['step']}" if data.get("step") else ""


def _files(files: list[str]) -> str:
    if not files:
        return "nothing changed"
    return f"{len(files)} file{'s' if len(files) > 1 else ''}: {gist(', '.join(files), 100)}"


def _confidence(data: _Data) -> str:
    return "" if data.get("confidence") is None else f"confidence {data['confidence']:.2f}"


def _instant(epoch_ms: int) -> str:
    return f"{datetime.fromtimestamp(epoch_ms / 1000, UTC):%Y-%m-%d %H:%M:%SZ}"


def _accepted(data: _Data) -> str:
    repo: _Data = data.get("repo") or {}
    return _join(f"{data.get('pattern', '')} was requested", f"on {repo['url']}" if repo.get("url") else "")


def _ended(data: _Data) -> str:
    words = standing_words("completed", data).partition(", ")[2]
    told = ", ".join(filter(None, (words, _confidence(data), f"branch {data['branch']}" if data.get("branch") else "")))
    return _join(f"it ended with {gist(outcome_words(data.get('result'))) or 'no result'}", f"({told})" if told else "")


def _did(data: _Data) -> str:
    verdict, critique = verdict_of(data.get("result"))
    said = f"{verdict}: {critique}".rstrip(": ") if verdict else summary(data.get("result"))
    sure = f", {_confidence(data)}" if data.get("confidence") is not None else ""
    said = "; ".join(filter(None, (said, str(data.get("note", "")))))
    return f"{data.get('role', '')} did {data.get('step') or 'its task'}{sure}: {said}".rstrip(": ")


def _finished(data: _Data) -> str:
    how = {"ok": "is done", "interrupted": "was interrupted"}.get(data.get("outcome", ""), "failed")
    return _join(f"{data.get('session', '')} {how}", _attempt(data), _error(data))


def _gave_up(data: _Data) -> str:
    attempts = data.get("attempts", 1)
    times = "" if attempts == 1 else f" after {attempts} attempts"
    return f"{data.get('role', '')} failed{times}: {_error(data)}"


def _prepared(data: _Data) -> str:
    session = data.get("session", "")
    if data.get("error"):
        return f"the worktree of {session} could not be prepared: {_error(data)}"
    return "; ".join((f"the worktree of {session} stands at {str(data.get('commit', ''))[:10]}", *Beside().take(data)))


def _committed(data: _Data) -> str:
    session = data.get("session", "")
    if data.get("error"):
        return f"the work of {session} could not be committed: {_error(data)}"
    return "; ".join((f"the work of {session} is committed: {_files(data.get('files', []))}", *Beside().take(data)))


def _verified(data: _Data) -> str:
    score = data.get("score")
    word = "passed" if data.get("passed") else "found no evidence" if score is None else "did not pass"
    sure = "" if score is None else f", score {score:.2f}"
    return _join(f"the check of {data.get('role') or 'the work'} {word}{found_words(data.get('oracles', []))}{sure}",
                 _error(data))  # fmt: skip


def _answered(data: _Data) -> str:
    if data.get("by") == "withdrawn":
        return _join("the question is withdrawn", _reason(data))
    if data.get("by") == "deadline":
        return f"nobody answered in time: {summary(data.get('value')) or 'no answer'}"
    return _join(f"answered: {summary(data.get('value'))}", _by(data), _reason(data))


def _asked(data: _Data) -> str:
    who = data.get("role") or "the program"
    kind = "asks for approval" if data.get("kind") == "approval" else "asks"
    return f"{who} {kind}: {gist(str(data.get('question', '')))} [{data.get('question_id', '')}]"


def _finalized(data: _Data) -> str:
    if data.get("error"):
        return f"the result could not be published: {_error(data)}"
    pushed = "pushed" if data.get("pushed") else "kept here"
    lines = f"(+{data.get('insertions', 0)} -{data.get('deletions', 0)})"
    return f"{data.get('branch', '')} is {pushed}, {_files(data.get('files', []))} {lines}"


def _http(data: _Data) -> str:
    return f"no answer: {_error(data)}" if data.get("error") else f"the server answered {data.get('status', '')}"


_WORDS: dict[str, Callable[[_Data], str]] = {
    "agent.spawn_requested": lambda data: f"an agent is wanted for {data.get('session', '')}",
    "agent.spawned": lambda data: f"{data.get('session', '')} is started",
    "agent.spawn_failed": lambda data: f"{data.get('session', '')} could not be started: {_error(data)}",
    "agent.lost": lambda data: f"{data.get('session') or data.get('agent_id', '')} is gone without a word",
    "agent.stopped": lambda data: _join(f"{data.get('agent_id', '')} is stopped", _reason(data)),
    "effect.recorded": lambda data: f"{data.get('kind', 'effect')}: {summary(data.get('value'))}".rstrip(": "),
    "timer.set": lambda data: f"waits until {_instant(data.get('due_at', 0))}"
    + (f" or for the signal {data['signal']}" if data.get("signal") else ""),
    "timer.fired": lambda _: "the time is up",
    "signal.received": lambda data: _join(f"signal {data.get('name', '')}", summary(data.get("data")), _by(data)),
    "question.asked": _asked,
    "question.answered": _answered,
    "execution.accepted": _accepted,
    "execution.rejected": lambda data: "rejected: "
    + "; ".join(str(problem.get("what", "")) for problem in data.get("errors", [])),
    "execution.started": lambda data: f"{data.get('pattern_name', '')} {data.get('pattern_version', '')} runs",
    "execution.claimed": lambda data: _join("another engine goes on from the log", _reason(data)),
    "execution.paused": lambda data: _join("paused", _by(data), _reason(data)),
    "execution.resumed": lambda data: _join("resumed", _by(data)),
    "execution.completed": _ended,
    "execution.failed": lambda data: f"it failed: {_error(data)} [{failure_of(dict(data)).code}]",
    "execution.cancelled": lambda data: _join("cancelled", _by(data), _reason(data)),
    "http.requested": lambda data: f"asks a server: {data.get('method', '')} {data.get('url', '')}",
    "http.completed": _http,
    "task.requested": lambda data: f"{data.get('role', '')} is to {gist(str(data.get('text', '')), 100)}",
    "task.waiting": lambda data: f"{data.get('role', '')} waits: {gist(str(data.get('message', '')))}",
    "task.started": lambda data: _join(f"{data.get('session') or data.get('role', '')} starts", _step(data),
                                       _attempt(data)),
    "task.finished": _finished,
    "task.retrying": lambda data: f"will be tried again in {duration(data.get('delay_ms', 0) / 1000)}: {_error(data)}",
    "task.completed": _did,
    "task.failed": _gave_up,
    "task.cancel_requested": lambda data: _join("a task is to be stopped", _reason(data)),
    "task.cancelled": lambda data: _join("a task is stopped", _reason(data)),
    "verification.requested": lambda data: f"the work of {data.get('role') or 'the team'} is checked",
    "verification.completed": _verified,
    "workspace.requested": lambda data: "a workspace is wanted",
    "workspace.ready": lambda data: f"the workspace is ready, at {str(data.get('base_commit', ''))[:10]} "
    + (data.get("base_branch") or "of a repository of its own"),
    "workspace.failed": lambda data: f"there is no workspace: {_error(data)}",
    "workspace.prepare_requested": lambda data: f"a worktree for {data.get('session', '')} is wanted",
    "workspace.prepared": _prepared,
    "workspace.committed": _committed,
    "workspace.integration_requested": lambda data: _join("the work is to be merged", _step(data)),
    "workspace.integrated": lambda data: f"merged: {_files(data.get('files', []))}",
    "workspace.conflicted": lambda data: _join(
        f"the work of {data.get('session') or 'a session'} conflicts", f"in {', '.join(data.get('paths', []))}"
        if data.get("paths") else gist(str(data.get("message", "")))),
    "workspace.finalize_requested": lambda data: "the result is to be pushed" if data.get("push")
    else "the result is to be kept",
    "workspace.finalized": _finalized,
    "workspace.cleaned": lambda data: "the worktrees are removed"
    + (f"; kept: {', '.join(data['kept_refs'])}" if data.get("kept_refs") else ""),
}  # fmt: skip

KINDS = frozenset(_WORDS)
"""The kinds of events that are told in words of their own."""
