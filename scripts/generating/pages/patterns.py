"""The page of the patterns that ship: what each is for, what it takes, and a picture of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from compiler.patterns import load_pattern
from compiler.patterns.diagrams import mermaid
from schemas.patterns import CompiledPattern

_HEAD = """# The patterns that ship

Made from `patterns/` by `scripts/generate`. Each of them lints clean, is run by the tests with scripted agents, and is
an ordinary file: copy it, change it, and run it by its name. `parallax patterns show NAME` says more about one.

The roles ask for coding agents by kind (`claude`, `codex`, `gemini`) and take `custom` agents, programs that registered
themselves with the SDK, in their place. Only `demo-tidy` brings agents of its own.
"""

_PRISM: dict[str, str] = {
    "best-of-n": """flowchart TB
  begin(["start"]) --> a1["attempt 1"] & a2["attempt 2"] & an["attempt n"]
  a1 --> c1{{"check"}}
  a2 --> c2{{"check"}}
  an --> cn{{"check"}}
  c1 & c2 & cn --> any{"one passed?"}
  any -->|yes| best["the best that passed"] --> done(["end"])
  any -->|no| last["one more, with every critique"] --> cl{{"check"}} --> done
""",
    "cascade": """flowchart TB
  begin(["start"]) --> quick["quick"] --> a{"sure enough?"}
  a -->|yes| done(["end"])
  a -->|no| careful["careful, with what quick said"] --> b{"sure enough?"}
  b -->|yes| done
  b -->|no| expert["expert"] --> done
""",
    "map-reduce": """flowchart TB
  begin(["start"]) --> m1["file 1"] & m2["file 2"] & mn["file n"]
  m1 & m2 & mn --> reduce["reduce: one answer out of all"] --> done(["end"])
""",
    "uncertainty-router": """flowchart TB
  begin(["start"]) --> sort["sort: whose work is it?"] --> sure{"how sure?"}
  sure -->|high| one["one specialist"] --> done(["end"])
  sure -->|medium| coder["coder"] & analyst["analyst"] --> judge["judge"] --> done
  sure -->|low| person["a person chooses"] --> chosen["that specialist"] --> done
""",
}
"""The flow of a pattern in Prism is computed, so its picture is drawn by hand."""

_FORMATS = {"org-chart": "an org chart", "flat": "a team of equals", "prism": "written in Prism"}


def render(root: Path) -> str:
    """The page. Raises ValueError when a shipped pattern does not compile."""
    parts = [_HEAD]
    for path in sorted((root / "patterns").iterdir()):
        if path.suffix not in {".yaml", ".prism"}:
            continue
        pattern = load_pattern(path.read_text("utf-8"), filename=path.name).pattern
        if pattern is None:
            raise ValueError(f"{path} does not compile")
        parts.append(_section(pattern, path.name))
    return "\n".join(parts)


def _section(pattern: CompiledPattern, file: str) -> str:
    lines = [f"## {pattern.name}", "", pattern.description, ""]
    lines.append(f"[`patterns/{file}`](../patterns/{file}), {_FORMATS[pattern.format]}. {_place(pattern)}")
    if pattern.input:
        lines += ["", "| input | type | |", "|---|---|---|"]
    for name, rules in pattern.input.items():
        field = cast("dict[str, Any]", rules)
        said = str(field.get("description", ""))
        need = "required" if field.get("required") else f"default `{field['default']}`" if "default" in field else ""
        words = ". ".join(part for part in (said.rstrip("."), need) if part)
        lines.append(f"| `{name}` | {field.get('type', 'any')} | {words} |")
    picture = _PRISM.get(pattern.name) or mermaid(pattern)
    return "\n".join([*lines, "", "```mermaid", picture.rstrip("\n"), "```", ""])


def _place(pattern: CompiledPattern) -> str:
    return "It works in a git workspace." if pattern.workspace.enabled else "It needs no git workspace."
