"""The words of a commit: who made it and what it says. They are functions of what is known when it is made."""

from __future__ import annotations

from collections.abc import Mapping

PLATFORM = "Parallax <parallax@platform.parallax.invalid>"


def one_line(text: str) -> str:
    """Text that cannot be taken for a line of its own: a task's name must not forge a trailer."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def identity(name: str, agent: str) -> str:
    """Who did the work, as the author of a commit."""
    safe = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in agent)[:100] or "agent"
    shown = "".join(letter for letter in one_line(name) if letter not in "<>")[:100] or "agent"
    return f"{shown} <{safe}@agents.parallax.invalid>"


def message(subject: str, trailers: Mapping[str, str]) -> bytes:
    """The message of a commit: a subject and trailers, those without a value left out."""
    lines = "".join(f"{key}: {one_line(value)}\n" for key, value in trailers.items() if value)
    return f"{one_line(subject)[:200]}\n\n{lines}".encode(errors="replace")
