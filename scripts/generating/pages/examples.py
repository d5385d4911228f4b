"""Examples of commands. A test holds each against the command's own options."""

from __future__ import annotations

EXAMPLES: dict[str, tuple[str, ...]] = {
    "up": ("parallax up", "parallax up --detach --data ./stack --port gateway=8080"),
    "down": ("parallax down",),
    "status": ("parallax status --json",),
    "doctor": ("parallax doctor",),
    "demo": ("parallax demo",),
    "run": (
        "parallax run startup-team --repo . --input task='Add a --version option'",
        "parallax run demo-tidy --repo https://git.example.com/team/project --base main --id tidy-42 --json",
        "parallax run pair-programming --input @inputs.json --detach",
    ),
    "ps": ("parallax ps",),
    "show": ("parallax show tidy-42",),
    "events": ("parallax events tidy-42 --follow", "parallax events tidy-42 --type task.completed --json"),
    "logs": ("parallax logs tidy-42",),
    "cancel": ("parallax cancel tidy-42",),
    "pause": ("parallax pause tidy-42",),
    "resume": ("parallax resume tidy-42",),
    "replay": ("parallax replay tidy-42 --json",),
    "patterns list": ("parallax patterns list",),
    "patterns show": ("parallax patterns show startup-team",),
    "patterns lint": ("parallax patterns lint patterns/startup-team.yaml",),
    "patterns compile": ("parallax patterns compile patterns/startup-team.yaml --to prism",),
    "patterns simulate": ("parallax patterns simulate startup-team --seed 7 --runs 5000",),
    "prism run": ("parallax prism run program.prism --input @inputs.json --json",),
    "prism check": ("parallax prism check program.prism",),
    "prism fmt": ("parallax prism fmt program.prism",),
    "agents list": ("parallax agents list",),
    "workspaces diff": ("parallax workspaces diff tidy-42",),
    "projections rebuild": ("parallax projections rebuild",),
    "dead-letters list": ("parallax dead-letters list",),
    "dead-letters requeue": ("parallax dead-letters requeue 7",),
    "bench fanout": ("parallax bench fanout --executions 500 --in-flight 16 --agents 3 --json",),
}
"""Lines to type by the words of the command."""
