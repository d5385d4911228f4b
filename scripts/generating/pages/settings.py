"""docs/reference/settings.md: every setting, its default and what is expected of it."""

from __future__ import annotations

import re
from pathlib import Path

from scripts.generating.pages import page, table
from shared.config import CONFIG_FILE, FIELDS, Settings

_SERVERS = ("PARALLAX_NATS_URL", "PARALLAX_DATABASE_URL", "PARALLAX_ETCD_ENDPOINTS")


def _default(value: object) -> str:
    match value:
        case None | "":
            return "none"
        case bool():
            return f"`{str(value).lower()}`"
        case frozenset() | tuple():
            text = ",".join(str(each) for each in value)  # type: ignore[reportUnknownVariableType]  # texts
            return f"`{text}`" if text else "none"
        case Path():
            return f"`{value.as_posix()}`"
        case _:
            return f"`{value}`"


def unread(root: Path) -> list[str]:
    """The settings that no program reads: they are checked at start, and change nothing yet."""
    text = "\n".join(
        path.read_text(encoding="utf-8")
        for room in ("parallax", "services", "shared", "tests")
        for path in sorted((root / room).rglob("*.py"))
        if path.name not in {"config.py", "test_config.py"}
    )
    return [
        name
        for name, field in FIELDS.items()
        if not re.search(rf"ettings\.{field.attribute}\b", text) and not re.search(rf"\b{name}\b", text)
    ]


def render(root: Path) -> str:
    """The page."""
    defaults = Settings()
    waiting = unread(root)
    lines = [
        "# Settings",
        "",
        "Every program of Parallax reads the same settings from its environment. An unknown `PARALLAX_*` name or a bad"
        " value is refused at start with exit code 2 and a sentence that says what was expected. An empty variable"
        " counts as not set.",
        "",
        f"`{CONFIG_FILE}` may name a TOML file with the same names in lower case and without the prefix; a table is a"
        " prefix. The environment wins over the file.",
        "",
        "```toml",
        'nats_url = "nats://nats.internal:4222"',
        'etcd_endpoints = ["etcd-1:2379", "etcd-2:2379"]',
        "",
        "[cache]",
        "enabled = true",
        "ttl = 600",
        "```",
        "",
        *table(
            ("name", "expected", "default", "meaning"),
            (
                (f"`{name}`", field.expected, _default(getattr(defaults, field.attribute)), field.meaning)
                for name, field in FIELDS.items()
            ),
        ),
        "",
        f"`parallax up` starts embedded servers of its own for those of {', '.join(f'`{name}`' for name in _SERVERS)}"
        " that are not set, and gives its services their addresses.",
        "",
        *(
            [f"Nothing reads these yet; they are only checked: {', '.join(f'`{name}`' for name in waiting)}.", ""]
            * bool(waiting)
        ),
        "Keys, and passwords in URLs, are left out of log lines, error messages and whatever else shows settings.",
    ]
    return page(lines)
