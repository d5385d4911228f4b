"""Texts that are shown shorter than they are always say so, and how much is missing."""

from __future__ import annotations


def shortened(text: str, most: int) -> str:
    """The first `most` characters, and how many more there are; a text that fits as it is."""
    left = len(text) - most
    return text if left <= 0 else f"{text[:most]} … ({left:,} more {_characters(left)})"


def ending(text: str, most: int) -> str:
    """The last `most` characters, after how many there are before them; a text that fits as it is."""
    left = len(text) - most
    return text if left <= 0 else f"({left:,} {_characters(left)} before) … {text[-most:]}"


def some(items: list[str], most: int) -> str:
    """The first `most` items as a list in a sentence, and how many more there are."""
    left = len(items) - most
    return ", ".join(items) if left <= 0 else f"{', '.join(items[:most])} and {left:,} more"


def _characters(number: int) -> str:
    return "character" if number == 1 else "characters"
