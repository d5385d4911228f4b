"""The digest that tells one compiled pattern from another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import msgspec

from schemas.patterns import CalledPattern


def digest_of(
    source: str, program: str, modules: Mapping[str, str], called: Mapping[str, CalledPattern] | None = None
) -> str:
    """The digest of a compiled pattern: the same text, calling the same patterns, always has the same one."""
    whole: list[Any] = [source, program, sorted(modules.items())]
    whole += [[name, msgspec.to_builtins(pattern)] for name, pattern in sorted((called or {}).items())]
    parts = json.dumps(whole, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()
