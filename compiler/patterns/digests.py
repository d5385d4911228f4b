"""The digest that tells one compiled pattern from another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping


def digest_of(source: str, program: str, modules: Mapping[str, str]) -> str:
    """The digest of a compiled pattern: the same text always has the same one."""
    parts = json.dumps([source, program, sorted(modules.items())], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()
