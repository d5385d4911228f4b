"""What is going on in an execution, folded from its events: who does what, since when, with what confidence.

Pure, so that the live view, the plain lines and `parallax show` tell the same story, and tests need no terminal.
"""

from __future__ import annotations

import itertools
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, cast

from parallax.cli.beside import Beside
from parallax.client_events import Data, Event, failure_of, standing_words
from schemas.events import ATTEMPT_ENDS

State = Literal["waiting", "running", "done", "failed", "stopped", "asking"]

_OPEN: tuple[State, ...] = ("waiting", "running", "asking")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What steers a terminal, or turns the order of what it shows around."""
_WAITS = "waits: "
SUMMARY_KEYS = ("summary", "message", "text", "note", "critique", "result")
"""Where a result says in a few words what it is, the best first."""


@dataclass(frozen=True)
class Conflict:
    """Work that could not be merged: whose, and where it meets what was merged before."""

    session: str
    paths: list[str]
    message: str


@dataclass
class Question:
    """What is asked, and how it was answered."""

    question_id: str
    text: str
    approval: bool = False
    options: list[str] = field(default_factory=list[str])
    value: Any = None
    by: str = ""
    reason: str = ""
    answered: bool = False
    task_id: str = ""
    """The task whose agent asks; empty where the pattern does."""
    withdrawn: str = ""
    """Why nobody waits for an answer any more; empty while somebody does."""

    @property
    def commands(self) -> list[str]:
        """What to type to answer, behind the program's name."""
        if self.approval:
            return [f"approve {self.question_id}", f"deny {self.question_id} --reason WHY"]
        if self.options:
            return [f"answer {self.question_id} {shlex.quote(option)}" for option in self.options]
        return [f"answer {self.question_id} VALUE"]

    @property
    def answer(self) -> str:
        """What was answered, by whom, and why."""
        if self.by == "withdrawn":
            return f"withdrawn{f': {self.reason}' if self.reason else ''}"
        if not self.answered:
            return f"not answered; withdrawn: {self.withdrawn}" if self.withdrawn else "not answered"
        said = summary(self.value)
        if self.approval:
            said = {True: "approved", False: "denied", "approve": "approved", "deny": "denied"}.get(self.value, said)
        return f"{said}{f' by {self.by}' if self.by else ''}{f': {self.reason}' if self.reason else ''}"


@dataclass
class Row:
    """One thing that somebody does: a task, a verification, an integration, a question."""

    key: str
    who: str
    what: str
    state: State = "waiting"
    began: datetime | None = None
    ended: datetime | None = None
    confidence: float | None = None
    note: str = ""
    attempt: int = 1
    agent_id: str = ""
    remark: str = ""
    """What of the agent's words was left out."""
    verdict: str = ""
    """What a reviewer said: approve, revise, reject."""
    of: str = ""
    """Of a verification: the key of the row that it judges."""
    merged: bool = False
    """Of a verification: it judges the result of everybody, and no row of one of them."""
    question: Question | None = None
    """What somebody has to answer, and what was answered."""

    def seconds(self, now: datetime) -> float | None:
        """How long it took, or has taken until `now`. None before it began."""
        return None if self.began is None else max(0.0, ((self.ended or now) - self.began).total_seconds())


@dataclass
class Line:
    """One line for whoever reads a pipe: when, who, and what happened."""

    at: float
    who: str
    what: str
    state: State


@dataclass
class Progress:
    """The fold. `apply` takes the events of one execution in log order, each once."""

    execution_id: str = ""
    pattern: str = ""
    repo: str = ""
    base: str = ""
    status: str = "pending"
    verdict: str = ""
    """How it ended, in words, with what its gates said."""
    engine: str = ""
    began: datetime | None = None
    ended: datetime | None = None
    rows: dict[str, Row] = field(default_factory=dict[str, Row])
    files: list[str] = field(default_factory=list[str])
    conflicts: list[Conflict] = field(default_factory=list["Conflict"])
    beside: Beside = field(default_factory=Beside)
    pushed: bool = False
    """Whether the result is in the repository that it came from."""
    events: int = 0
    last_seq: int = 0

    def apply(self, event: Event) -> list[Line]:
        """Takes one event in; returns the lines that it is worth."""
        self.events += 1
        self.last_seq = event.seq
        self.execution_id = self.execution_id or event.execution_id
        self.began = self.began or event.time
        entity = event.type.partition(".")[0]
        fold = {
            "execution": self._execution,
            "task": self._task,
            "workspace": self._workspace,
            "verification": self._verification,
            "question": self._question,
            "agent": self._agent,
        }.get(entity)
        return [] if fold is None else fold(event)

    def seconds(self, now: datetime) -> float:
        """How long the execution took, or has taken until `now`."""
        return 0.0 if self.began is None else max(0.0, ((self.ended or now) - self.began).total_seconds())

    @property
    def standing(self) -> str:
        """The status in words: `waiting` while somebody has to answer, and at the end what the gates said."""
        asks = self.status == "running" and any(row.state == "asking" for row in self.rows.values())
        return "waiting" if asks else self.verdict or self.status

    @property
    def questions(self) -> list[Question]:
        """What was asked of people, in order."""
        return [row.question for row in self.rows.values() if row.question is not None]

    @property
    def open_rows(self) -> list[Row]:
        """What is not finished."""
        return [row for row in self.rows.values() if row.state in _OPEN]

    def judged(self, key: str) -> list[Row]:
        """The verifications of one piece of work that have ended."""
        return [row for row in self.rows.values() if row.of == key and row.ended is not None]

    # -- folds ------------------------------------------------------------------------------------------------------

    def _line(self, event: Event, who: str, what: str, state: State) -> list[Line]:
        began = self.began or event.time
        return [Line((event.time - began).total_seconds(), who, what, state)]

    def _start(self, event: Event, key: str, who: str, what: str, state: State = "running") -> Row:
        row = self.rows.get(key)
        if row is None:
            row = self.rows[key] = Row(key, who, what)
        row.state = state
        row.began = row.began or (event.time if state != "waiting" else None)
        return row

    def _finish(self, event: Event, key: str, state: State, note: str = "", confidence: float | None = None) -> Row:
        row = self.rows.get(key)
        if row is None:
            row = self.rows[key] = Row(key, str(event.data.get("role", "")) or key, key)
        row.state = state
        row.ended = event.time
        row.note = note
        row.confidence = confidence if confidence is not None else row.confidence
        return row

    def _execution(self, event: Event) -> list[Line]:
        data = event.data
        verb = event.type.partition(".")[2]
        match verb:
            case "accepted":
                self.pattern = data["pattern"]
                repo: dict[str, Any] = data.get("repo") or {}
                self.repo, self.base = repo.get("url", ""), repo.get("base", "")
                return []
            case "started":
                self.status, self.engine = "running", data.get("engine", "")
                self.pattern = data.get("pattern_name") or self.pattern
                what = f"{self.pattern} {data.get('pattern_version', '')}".strip()
                return self._line(event, "engine", f"runs {what}", "running")
            case "claimed":
                self.engine = data.get("engine", "")
                return self._line(event, "engine", "another engine goes on from the log", "running")
            case "paused" | "resumed":
                self.status = "paused" if verb == "paused" else "running"
                by = f" by {data['by']}" if data.get("by") else ""
                return self._line(event, "engine", f"{verb}{by}", "waiting" if verb == "paused" else "running")
            case _:
                return self._ending(event, verb)

    def _ending(self, event: Event, verb: str) -> list[Line]:
        self.status, self.ended = verb, event.time
        for row in self.open_rows:
            if row.question is not None and row.state == "asking":
                row.question.withdrawn = "the execution is over"
            row.state = "stopped"
            row.ended = row.ended or event.time
        self.verdict = standing_words(verb, event.data)
        if verb == "completed":
            return self._line(event, "engine", self.verdict, "done" if self.verdict == verb else "failed")
        if verb == "cancelled":
            return self._line(event, "engine", f"cancelled {event.data.get('reason', '')}".strip(), "stopped")
        if verb == "rejected":
            self.pattern = self.pattern or str(event.data.get("pattern", ""))
            errors = "; ".join(str(error.get("what", "")) for error in event.data.get("errors", []))
            return self._line(event, "engine", f"rejected: {errors}", "failed")
        return self._line(event, "engine", f"{self.verdict}: {gist(failure_of(event.data).message)}", "failed")

    def _task(self, event: Event) -> list[Line]:
        data = event.data
        key = str(data.get("task_id", ""))
        self._withdraw(event, key)
        match event.type:
            case "task.requested":
                self._start(event, key, data["role"], data.get("step") or shorten(data["text"]), "waiting")
                return []
            case "task.started":
                row = self._start(event, key, data["role"], data.get("step", ""))
                row.attempt, row.agent_id = data.get("attempt", 1), data.get("agent_id", "")
                row.note = "" if row.note.startswith(_WAITS) else row.note
                again = f" (attempt {row.attempt})" if row.attempt > 1 else ""
                return self._line(event, row.who, f"starts {row.what}{again}", "running")
            case "task.waiting":
                known = self.rows.get(key)
                if known is not None and known.ended is not None:
                    return []
                state = "running" if known is not None and known.state == "running" else "waiting"
                row = self._start(event, key, data["role"], data.get("step", ""), state)
                row.note = f"{_WAITS}{data.get('message', '')}"
                return self._line(event, row.who, shorten(row.note, 160), "waiting")
            case "task.retrying":
                row = self._start(event, key, data.get("role", ""), "", "waiting")
                row.note = failure_of(data).message
                return self._line(event, row.who, f"will be tried again: {gist(row.note, 120)}", "waiting")
            case "task.completed":
                verdict, critique = verdict_of(data.get("result"))
                note = f"{verdict}: {critique}".rstrip(": ") if verdict else summary(data.get("result"))
                row = self._finish(event, key, "done", note, data.get("confidence"))
                row.verdict, row.remark = verdict, visible(str(data.get("note", "")))
                row.note = "; ".join(filter(None, (row.note, row.remark)))
                sure = "" if row.confidence is None else f", confidence {row.confidence:.2f}"
                return self._line(event, row.who, f"did {row.what}{sure}: {row.note}".rstrip(": "), "done")
            case "task.failed":
                row = self._finish(event, key, "failed", failure_of(data).message)
                return self._line(event, row.who, f"failed at {row.what}: {gist(row.note)}", "failed")
            case "task.cancelled":
                row = self._finish(event, key, "stopped", str(data.get("reason", "")))
                return self._line(event, row.who, f"was stopped: {row.note}".rstrip(": "), "stopped")
            case _:
                return []

    def _withdraw(self, event: Event, task_id: str) -> None:
        """Nobody waits for what an attempt asked once it is over."""
        why = ATTEMPT_ENDS.get(event.type, "")
        for row in self.rows.values() if why and task_id else ():
            asked = row.question
            if asked is not None and asked.task_id == task_id and row.state == "asking":
                asked.withdrawn = why
                row.state, row.ended = "stopped", event.time
                row.note = f"{gist(asked.text, 80)} {asked.answer}"

    def _workspace(self, event: Event) -> list[Line]:
        data = event.data
        match event.type:
            case "workspace.requested":
                self._start(event, "workspace", "workspace", "clone")
                return []
            case "workspace.ready":
                origin = data.get("base_branch") or "a new branch"
                if not self.repo:
                    origin = "an empty repository of its own"
                note = f"{origin} at {str(data.get('base_commit', ''))[:8]}"
                self._finish(event, "workspace", "done", note)
                said = [f"ready, from {note}", *(f"submodules {one}" for one in self.beside.take(data))]
                return [line for one in said for line in self._line(event, "workspace", one, "done")]
            case "workspace.failed":
                row = self._finish(event, "workspace", "failed", failure_of(data).message)
                return self._line(event, "workspace", row.note, "failed")
            case "workspace.integration_requested":
                self._start(event, f"integrate {data['effect']}", "workspace", "integrate")
                return []
            case "workspace.integrated":
                files = data.get("files", [])
                self.files = sorted({*self.files, *files})
                row = self._finish(event, f"integrate {data['effect']}", "done", _files(files))
                return self._line(event, "workspace", f"integrated {row.note}", "done")
            case "workspace.committed" | "workspace.prepared":
                return [
                    line for said in self.beside.take(data) for line in self._line(event, "workspace", said, "done")
                ]
            case "workspace.finalized":
                self.pushed = bool(data.get("pushed"))
                return []
            case "workspace.conflicted":
                conflict = Conflict(data.get("session", ""), list(data.get("paths", [])), str(data.get("message", "")))
                self.conflicts.append(conflict)
                note = conflict_words(conflict)
                self._finish(event, f"integrate {data['effect']}", "failed", note)
                return self._line(event, "workspace", note, "failed")
            case _:
                return []

    def _verification(self, event: Event) -> list[Line]:
        data = event.data
        key = f"verify {data['verification_id']}"
        if event.type == "verification.requested":
            runs = ", ".join(_command(oracle) for oracle in data.get("oracles", []))
            row = self._start(event, key, "verify", runs or "verify")
            row.merged = bool(data.get("merged"))
            row.of = "" if row.merged else str(data.get("task_id", ""))
            return self._line(event, "verify", f"runs {row.what}", "running")
        score = data.get("score")
        passed = bool(data.get("passed"))
        note = "passed" if passed else "no evidence" if score is None else "did not pass"
        note += found_words(data.get("oracles", [])) + evidence_words(data) + _why(data)
        row = self._finish(event, key, "done" if passed else "failed", note, score)
        row.of = row.of or ("" if row.merged else str(data.get("task_id", "")))
        return self._line(event, "verify", f"{row.what}: {row.note}", row.state)

    def _question(self, event: Event) -> list[Line]:
        data = event.data
        key = f"question {data['question_id']}"
        if event.type == "question.asked":
            question = question_of(event)
            who = data.get("role") or "question"
            row = self._start(event, key, who, "approval" if question.approval else "question", "asking")
            row.question, row.note = question, shorten(question.text, 160)
            typed = " or ".join(f"`parallax {command}`" for command in question.commands[:3])
            return self._line(event, who, f"asks: {gist(question.text)} ({typed})", "asking")
        row = self._finish(event, key, "done")
        question = row.question = row.question or Question(str(data["question_id"]), "")
        question.value, question.answered = data.get("value"), True
        question.by, question.reason = str(data.get("by", "")), str(data.get("reason", ""))
        row.note = gist(f"{gist(question.text, 80)} {question.answer}".strip())
        return self._line(event, row.who, f"{row.what}: {gist(question.answer)}", "done")

    def heard(self, task_id: str, text: str, at: datetime) -> list[Line]:
        """Takes in what an agent says while it works. Only the last word of a running task is kept."""
        row = self.rows.get(task_id)
        said = shorten(text, 160)
        if row is None or row.state != "running" or not said or row.note == said:
            return []
        row.note = said
        return [Line((at - (self.began or at)).total_seconds(), row.who, said, "running")]

    def _agent(self, event: Event) -> list[Line]:
        who = str(event.data.get("role", "")) or str(event.data.get("agent_id", ""))
        if event.type == "agent.spawn_failed":
            return self._line(event, who, f"could not be started: {failure_of(event.data).message}", "failed")
        if event.type == "agent.lost":
            return self._line(event, who, "is gone without a word; its turn is offered again", "failed")
        return []


def conflict_words(conflict: Conflict) -> str:
    """What conflicts with what was merged before, in a few words."""
    where = f"in {shorten(', '.join(conflict.paths), 100)}" if conflict.paths else gist(conflict.message)
    return f"the work of {conflict.session or 'a session'} conflicts {where}".rstrip()


def question_of(asked: Event) -> Question:
    """The question of a `question.asked`."""
    data = asked.data
    return Question(
        question_id=data["question_id"],
        text=visible(data["question"]),
        approval=data.get("kind") == "approval",
        options=list(data.get("options") or []),
        task_id=str(data.get("task_id", "")),
    )


def shorten(text: str, width: int = 60) -> str:
    """The first line of a text, cut to `width` characters, with nothing in it that a terminal would obey."""
    line = visible(next((line.strip() for line in text.splitlines() if line.strip()), ""))
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"


def gist(text: str, width: int = 160) -> str:
    """The first line of an error and its last one: what failed, and what the program said at its end."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) < 2:
        return shorten(text, width)
    return f"{shorten(lines[0], width // 2)} … {shorten(lines[-1], width // 2)}"


def visible(text: str) -> str:
    """The text without control characters but line feeds: what agents say must not steer the terminal."""
    return _CONTROL.sub("�", text.replace("\t", "    "))


def duration(seconds: float) -> str:
    """A time span in at most two units: `0.4 s`, `12 s`, `3 min 5 s`, `2 h 10 min`, `4 d 3 h`."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    for unit, lower, name, below in ((86400, 3600, "d", "h"), (3600, 60, "h", "min"), (60, 1, "min", "s")):
        if whole >= unit:
            rest = whole % unit // lower
            return f"{whole // unit} {name}" + (f" {rest} {below}" if rest else "")
    return f"{whole} s"


def age(seconds: float) -> str:
    """How long ago something was, in the largest unit: `now`, `40s`, `3m`, `2h`, `5d`."""
    for unit, name in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")):
        if seconds >= unit:
            return f"{int(seconds // unit)}{name}"
    return "now"


def summary(value: Any, width: int = 72) -> str:
    """A result in a few words: its own summary where it has one."""
    if isinstance(value, str):
        return shorten(value, width)
    if isinstance(value, Mapping):
        found = cast("Mapping[str, Any]", value)
        for key in SUMMARY_KEYS:
            if isinstance(found.get(key), str) and found[key].strip():
                return shorten(found[key], width)
    return "" if value is None else shorten(json.dumps(value, ensure_ascii=False), width)


def _files(files: list[str]) -> str:
    if not files:
        return "nothing changed"
    return f"{len(files)} file{'s' if len(files) > 1 else ''}: {shorten(', '.join(files), 60)}"


def verdict_of(value: Any) -> tuple[str, str]:
    """A reviewer's verdict and critique, in a line each; empty where the result is none."""
    found: Mapping[str, Any] = cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
    said = [found.get(name) for name in ("verdict", "critique")]
    verdict, critique = (shorten(text, 120) if isinstance(text, str) else "" for text in said)
    return (verdict, critique) if verdict else ("", "")


_INTERPRETER = re.compile(r"^\S*python[\d.]*( -[A-Za-ln-z]+)* -m (?=\S)")


def _command(oracle: Mapping[str, Any]) -> str:
    """What an oracle runs, without its options: `python -B -m pytest -q` is pytest."""
    run: str | list[str] = oracle.get("run", "")
    words = _INTERPRETER.sub("", run if isinstance(run, str) else " ".join(run)).split()
    named = list(itertools.takewhile(lambda word: not word.startswith("-"), words)) or words[:1]
    return shorten(" ".join(named), 40) or str(oracle.get("type", "oracle"))


_COUNTED = ("passed", "failed", "skipped")


def found_words(oracles: list[Mapping[str, Any]]) -> str:
    """What oracles found, in brackets: exit codes that are known, tests that were counted."""
    oracles = [oracle for oracle in oracles if oracle.get("type") != "setup"]
    codes = [oracle["exit_code"] for oracle in oracles if oracle.get("exit_code") is not None]
    parts = [f"exit code {', '.join(map(str, codes))}"] if codes else []
    counts = {word: sum(oracle.get(f"tests_{word}") or 0 for oracle in oracles) for word in _COUNTED}
    parts += [f"{number} {word}" for word, number in counts.items() if number]
    if codes and all(oracle.get("tests_passed") is None for oracle in oracles):
        parts.append("no tests counted")
    return f" ({', '.join(parts)})" if parts else ""


def evidence_words(data: Mapping[str, Any]) -> str:
    """On what a verification rests: the commit, and what was there beside its files. Empty where that is not known."""
    evidence: Mapping[str, Any] = data.get("evidence") or {}
    if not evidence.get("commit"):
        return ""
    words = f" on a clean checkout of {str(evidence['commit'])[:8]}"
    setup = {"run": ", set up for it", "reused": ", set up before"}.get(str(evidence.get("setup", "")), "")
    kept = ", ".join(map(str, evidence.get("kept", [])))
    copied = ", ".join(map(str, evidence.get("copied", [])))
    return (
        words
        + setup
        + (f", with {visible(copied)} of the origin's directory" if copied else "")
        + (f", with the agent's own {visible(kept)}" if kept else "")
    )


def _why(data: Data) -> str:
    """What oracles had to say beside their counts, and why they could not be run."""
    error: Mapping[str, Any] = data.get("error") or {}
    oracles: list[Mapping[str, Any]] = data.get("oracles", [])
    said = [error.get("message", ""), *(oracle.get("note", "") for oracle in oracles)]
    told = [shorten(text, 240) for text in dict.fromkeys(map(str, said)) if text]
    return f": {' '.join(told)}" if told else ""
