"""docs/reference/data-model.md: the tables of the projections, from the migrations."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from scripts.generating.pages import page, table

MIGRATIONS = Path("services/projector/migrations")

MEANINGS = {
    "agent_participations": "Which agent had which role in which execution.",
    "agents": "Agents that executions have had.",
    "confidence_points": "Every confidence that was reported or measured.",
    "credential_grants": "Credentials that were granted to executions.",
    "execution_events": "The log itself, as rows.",
    "executions": "Executions with their state and outcome.",
    "outcomes": "What became of what a confidence was about.",
    "pattern_versions": "Each version of a pattern that an execution ran.",
    "patterns": "Patterns that executions have used.",
    "projection_positions": "How much of the log is folded in; written in the same transaction as the rows.",
    "pull_requests": "Pull requests that were opened.",
    "questions": "Questions and approvals, open and answered.",
    "schedule_runs": "Executions that a schedule asked for.",
    "schedules": "When executions are asked for without a person.",
    "tasks": "Tasks with their state and outcome.",
    "verifications": "Evidence that was gathered about tasks.",
    "workspaces": "Workspaces with their branches.",
}
"""What each table is for."""

_TABLE = re.compile(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+) \((.*?)\n\);", re.DOTALL)
_COLUMN = re.compile(r"^\s*(?P<name>[a-z_]+) (?P<type>[a-z ]+?)(?P<rest>(?: NOT NULL| PRIMARY KEY| DEFAULT .*)*),?$")
_ADDED = re.compile(
    r"ALTER TABLE (\w+) ADD COLUMN (?:IF NOT EXISTS )?(?P<name>[a-z_]+) (?P<type>[a-z ]+?)(?P<rest> [A-Z].*)?;"
)
_INDEX = re.compile(
    r"CREATE (UNIQUE )?INDEX (?:IF NOT EXISTS )?\w+ ON (\w+) (?:USING \w+ )?\((.*?)\)(?: WHERE .*?)?;", re.DOTALL
)


@dataclass
class Table:
    """One table: its columns with type and remarks, its keys and its indexes."""

    columns: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    keys: list[str] = field(default_factory=list[str])
    indexes: list[str] = field(default_factory=list[str])


def tables(scripts: list[str]) -> dict[str, Table]:
    """The tables that these migrations make, in order. Raises ValueError for a line that is not understood."""
    found: dict[str, Table] = {}
    for text in scripts:
        sql = re.sub(r"--.*", "", text)
        for made in _TABLE.finditer(sql):
            found[made[1]] = _columns(made[2])
        for added in _ADDED.finditer(sql):
            found[added[1]].columns[added["name"]] = (added["type"], (added["rest"] or "").strip())
        for index in _INDEX.finditer(sql):
            found[index[2]].indexes.append(f"{'unique ' if index[1] else ''}({' '.join(index[3].split())})")
    return found


def _columns(body: str) -> Table:
    made = Table()
    for line in filter(str.strip, body.splitlines()):
        column = _COLUMN.match(line)
        if column is not None:
            made.columns[column["name"]] = (column["type"], column["rest"].strip())
        elif re.match(r"\s*(PRIMARY KEY|UNIQUE|FOREIGN KEY|CHECK)\b", line):
            made.keys.append(line.strip().rstrip(","))
        else:
            raise ValueError(f"this line of a migration is not understood: {line.strip()}")
    return made


def current(root: Path) -> dict[str, Table]:
    """The tables of the checkout."""
    return tables([path.read_text(encoding="utf-8") for path in sorted((root / MIGRATIONS).glob("*.sql"))])


def render(root: Path) -> str:
    """The page."""
    lines = [
        "# The data model",
        "",
        "The projector folds the log into these tables of Postgres. They hold nothing that the log does not say, so"
        " that `parallax projections rebuild` gives the same rows. Read them as you like; write to none.",
        "",
        "An execution is `pending`, `running`, `waiting`, `paused`, `completed`, `failed`, `cancelled` or `rejected`;"
        " `waiting` means that a question of it is open.",
    ]
    for name, made in sorted(current(root).items()):
        lines += ["", f"## {name}", "", MEANINGS[name], ""]
        lines += table(
            ("column", "type", ""),
            ((f"`{column}`", kind, rest.lower()) for column, (kind, rest) in made.columns.items()),
        )
        facts = [f"{key.lower()}" for key in made.keys] + [f"index on {index}" for index in made.indexes]
        if facts:
            lines += ["", f"{'; '.join(facts).capitalize()}."]
    return page(lines)
