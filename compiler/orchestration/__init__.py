"""The library behind the functions of compiled programs and of patterns written in Prism.

Composites (confidence policy, revisions, escalation, aggregation) are plain deterministic Python over
`machine.perform` and `machine.branches`; the world is asked through the effects of `schemas.effects` alone.
"""

from __future__ import annotations

from compiler.orchestration.gates import GATE_CODES, UNPUBLISHED, Books
from compiler.orchestration.opening import (
    HOST_FUNCTION_NAMES,
    PROGRAM_GLOBALS,
    Conclusion,
    conclusion_of,
    host_functions,
    open_machine,
    program_inputs,
    result_of,
)

__all__ = [
    "GATE_CODES",
    "HOST_FUNCTION_NAMES",
    "PROGRAM_GLOBALS",
    "UNPUBLISHED",
    "Books",
    "Conclusion",
    "conclusion_of",
    "host_functions",
    "open_machine",
    "program_inputs",
    "result_of",
]
