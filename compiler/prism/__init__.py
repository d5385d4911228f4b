"""Prism: the small, confidence-aware language that every pattern compiles to."""

from __future__ import annotations

from compiler.prism.branches import BranchResult
from compiler.prism.errors import Diagnostic, EffectFailed, PrismError
from compiler.prism.machine import Machine, Pending, Step
from compiler.prism.options import Limits, Options
from compiler.prism.program import EffectUse, Program, compile_program
from compiler.prism.running import run, run_exports
from compiler.prism.values import Confident, from_json, to_json

__all__ = [
    "BranchResult", "Confident", "Diagnostic", "EffectFailed", "EffectUse", "Limits", "Machine", "Options", "Pending",
    "PrismError", "Program", "Step", "compile_program", "from_json", "run", "run_exports", "to_json",
]  # fmt: skip
