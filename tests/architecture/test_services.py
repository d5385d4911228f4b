"""Every service introduces itself, and is started the same way."""

from __future__ import annotations

import ast
import fnmatch
import re

import pytest

from parallax.stack.plan import SERVICES
from schemas.events import EVENT_TYPES
from shared import subjects
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


def _sources(service: str) -> list[ast.Module]:
    return [tree for name, tree in modules().items() if name.startswith(f"services/{service}/")]


def _introduction(service: str) -> dict[str, str]:
    text = ast.get_docstring(modules()[f"services/{service}/service.py"]) or ""
    parts = re.split(r"^(Hears|Says|Owns):", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _types_in(text: str) -> set[str]:
    """The types of events that a paragraph names: `task.started`, `task.started|failed`, `execution.*`."""
    found: set[str] = set()
    for token in re.findall(r"`([a-z]+\.[a-z_|*]+)`", " ".join(text.split())):
        entity, _, verbs = token.partition(".")
        for verb in verbs.split("|"):
            found |= {kind for kind in EVENT_TYPES if fnmatch.fnmatch(kind, f"{entity}.{verb}")} or {f"{entity}.{verb}"}
    return found


def _calls(service: str, *methods: str) -> list[ast.Call]:
    return [
        node
        for tree in _sources(service)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in methods
    ]


@pytest.mark.parametrize("service", HOMES)
def test_an_event_is_made_by_its_writers_alone(service: str) -> None:
    """A service makes exactly the events that name it as a writer, no more and no less."""
    by_name = {kind.__name__: kind.TYPE for kind in EVENT_TYPES.values()}
    made = {
        by_name[node.func.id]
        for tree in _sources(service)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in by_name
    }
    assert made == {kind.TYPE for kind in EVENT_TYPES.values() if service in kind.WRITER.split("|")}


@pytest.mark.parametrize("service", HOMES)
def test_what_a_service_says_is_in_its_introduction(service: str) -> None:
    """`Says` names every event that the service writes, and none that it does not."""
    written = {kind.TYPE for kind in EVENT_TYPES.values() if service in kind.WRITER.split("|")}
    assert _types_in(_introduction(service)["Says"]) == written


@pytest.mark.parametrize("service", HOMES)
def test_what_a_service_hears_is_in_its_introduction(service: str) -> None:
    """Every subject that is served, and every event that is asked for by name, stands under `Hears`."""
    hears = " ".join(_introduction(service)["Hears"].split())
    for call in _calls(service, "serve"):
        first = call.args[0] if call.args else None
        target = first.func if isinstance(first, ast.Call) else first
        if not isinstance(target, ast.Attribute) or ast.unparse(target.value) != "subjects":
            continue
        subject = getattr(subjects, target.attr)
        address: str = subject if isinstance(subject, str) else subject("<id>")
        assert address in hears or f".{address.rpartition('.')[2]}`" in hears, address
    for call in _calls(service, "event"):
        words = [each.value for each in call.args if isinstance(each, ast.Constant)]
        if len(words) == 3 and "*" not in words[1:]:
            assert ".".join(str(word) for word in words[1:]) in _types_in(hears)
