"""Every service introduces itself, and is started the same way."""

from __future__ import annotations

import ast

from parallax.stack.plan import SERVICES
from tests.architecture.source import ROOT, modules

HOMES = sorted(place.name for place in (ROOT / "services").iterdir() if (place / "__main__.py").exists())


def test_the_stack_starts_every_service() -> None:
    """A service that is born is also started by `parallax up`, and compose.yaml knows it."""
    assert set(HOMES) == set(SERVICES)
    compose = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    assert [name for name in HOMES if f'command: ["services.{name}"]' not in compose] == []


def test_every_service_says_what_it_hears_says_and_owns() -> None:
    """The docstring of service.py is the introduction: Hears, Says, Owns."""
    silent: list[str] = []
    for name in HOMES:
        text = ast.get_docstring(modules()[f"services/{name}/service.py"]) or ""
        silent += [f"{name}: {word}" for word in ("Hears", "Says", "Owns") if word not in text]
    assert silent == []


def test_the_entry_of_a_service_is_a_few_lines() -> None:
    """`__main__.py` names the service and nothing else."""
    lengths = {name: len((ROOT / "services" / name / "__main__.py").read_text().splitlines()) for name in HOMES}
    assert {name: length for name, length in lengths.items() if length > 15} == {}
