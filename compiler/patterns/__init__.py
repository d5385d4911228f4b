"""Patterns: files in, compiled patterns or diagnostics out.

An org chart (YAML) is read strictly, checked as a whole, and lowered to a Prism program; a `.prism` file is checked
and taken as it is. Every mistake is reported at once, with its place and a hint.
"""

from __future__ import annotations

from compiler.input_check import validate_input
from compiler.patterns.loading import PatternResult, load_pattern

__all__ = ["PatternResult", "load_pattern", "validate_input"]
