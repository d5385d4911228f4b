"""Examples for the help of every command, in one place, so that a test can hold each of them against the options."""

from __future__ import annotations

EXAMPLES: dict[str, tuple[str, ...]] = {
    "up": (
        "parallax up",
        "parallax up --detach --data ./stack --port gateway=8080",
        "parallax up --only nats,postgres",
    ),
    "down": ("parallax down", "parallax down --data ./stack"),
    "status": ("parallax status", "parallax status --json"),
    "doctor": ("parallax doctor", "parallax doctor --json"),
    "demo": ("parallax demo", "parallax demo --crash", "parallax demo --keep --data ./stack"),
    "run": (
        "parallax run demo-tidy --repo . --id tidy-1",
        'parallax run startup-team --input task="Add a --json flag." --repo https://example.org/a.git --base main',
        "parallax run startup-team --input @inputs.json --detach --json",
    ),
    "ps": ("parallax ps", "parallax ps --wide", "parallax ps --status running --json"),
    "show": ("parallax show tidy-1", "parallax show tidy-1 --json"),
    "events": (
        "parallax events tidy-1 --follow",
        "parallax events tidy-1 --wide",
        "parallax events tidy-1 --type task.completed --json",
    ),
    "logs": ("parallax logs tidy-1", "parallax logs tidy-1 --agent reviewer --follow"),
    "cancel": ('parallax cancel tidy-1 --reason "no longer needed"',),
    "pause": ("parallax pause tidy-1",),
    "resume": ("parallax resume tidy-1",),
    "signal": ('parallax signal tidy-1 deploy --value \'{"to": "staging"}\'',),
    "retry": ("parallax retry tidy-1", "parallax retry tidy-1 --id tidy-2 --detach"),
    "replay": ("parallax replay tidy-1", "parallax replay tidy-1 --json"),
    "inbox": ("parallax inbox", "parallax inbox --json"),
    "answer": ("parallax answer tidy-1-q2 yes", "parallax answer tidy-1-q2 '{\"limit\": 3}'"),
    "approve": ("parallax approve tidy-1-q2",),
    "deny": ('parallax deny tidy-1-q2 --reason "the tests are missing"',),
    "patterns list": ("parallax patterns list", "parallax patterns list --json"),
    "patterns show": ("parallax patterns show demo-tidy",),
    "patterns lint": ("parallax patterns lint patterns", "parallax patterns lint mine.yaml --json"),
    "patterns compile": ("parallax patterns compile demo-tidy", "parallax patterns compile mine.yaml --to mermaid"),
    "patterns simulate": (
        "parallax patterns simulate startup-team --seed 7",
        "parallax patterns simulate mine.yaml --seed 7 --runs 5000 --agents agents.yaml --json",
        "parallax patterns simulate mine.yaml --seed 7 --run 12",
    ),
    "prism run": ("parallax prism run hello.prism", "parallax prism run hello.prism --input @input.json --json"),
    "prism check": ("parallax prism check hello.prism",),
    "prism fmt": ("parallax prism fmt hello.prism",),
    "prism conformance": ("parallax prism conformance cases.jsonl",),
    "projections status": ("parallax projections status",),
    "projections digest": ("parallax projections digest",),
    "projections rebuild": ("parallax projections rebuild", "parallax projections rebuild --compare --json"),
    "bench fanout": (
        "parallax bench fanout",
        "parallax bench fanout --executions 1000 --in-flight 16 --json",
    ),
    "bench log": ("parallax bench log", "parallax bench log --json"),
    "bench prism": ("parallax bench prism", "parallax bench prism --json"),
    "agents list": ("parallax agents list",),
    "agents show": ("parallax agents show reviewer-1",),
    "agents stop": ("parallax agents stop reviewer-1",),
    "workspaces list": ("parallax workspaces list",),
    "workspaces show": ("parallax workspaces show tidy-1",),
    "workspaces diff": ("parallax workspaces diff tidy-1", "parallax workspaces diff tidy-1 --session reviewer-1"),
    "workspaces cleanup": ("parallax workspaces cleanup tidy-1",),
    "dead-letters list": ("parallax dead-letters list", "parallax dead-letters list --json"),
    "dead-letters show": ("parallax dead-letters show 3",),
    "dead-letters requeue": ("parallax dead-letters requeue 3 4",),
    "dead-letters drop": ("parallax dead-letters drop 3",),
}
"""The words that name a command, behind `parallax`, and what to type. Other commands have them in their own text."""


def epilog(name: str) -> str | None:
    """The examples of a command as the end of its help; None where there are none."""
    lines = EXAMPLES.get(name)
    return None if lines is None else "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])
