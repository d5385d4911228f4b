"""The shape of the source: small functions, absolute imports, a reason for everything to exist."""

from __future__ import annotations

import ast

import pytest

from shared import subjects
from shared.bus.streams import STREAMS
from tests.architecture.source import ROOT, imports, modules

LONGEST_FUNCTION = 70


def test_there_is_source_to_look_at() -> None:
    """The checks below look at the whole product, not at an empty list."""
    rooms = {name.partition("/")[0] for name in modules()}
    assert rooms == {"parallax", "services", "shared", "compiler", "schemas"}
    assert len(modules()) > 100


def test_no_function_is_longer_than_a_screen() -> None:
    """A function of more than 70 lines hides another one."""
    long: dict[str, int] = {}
    for name, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                length = node.end_lineno - node.lineno + 1
                if length > LONGEST_FUNCTION:
                    long[f"{name}:{node.name}"] = length
    assert long == {}


def test_every_module_says_why_it_exists() -> None:
    """Each module that holds anything opens with a docstring."""
    silent = [name for name, tree in modules().items() if tree.body and ast.get_docstring(tree) is None]
    assert silent == []


def test_imports_are_absolute() -> None:
    """A relative import hides which room it comes from."""
    relative = [f"{name}:{line}" for name, tree in modules().items() for line, what in imports(tree) if what[0] == "."]
    assert relative == []


@pytest.mark.parametrize(("library", "home"), [("nats", "shared/bus/"), ("asyncpg", "shared/postgres.py")])
def test_a_driver_has_one_home(library: str, home: str) -> None:
    """Only one room knows the library that talks to a server; everybody else talks to that room."""
    users = {name for name, tree in modules().items() for _, what in imports(tree) if what.split(".")[0] == library}
    assert all(name.startswith(home) for name in users), users


def test_no_one_gathers() -> None:
    """`asyncio.gather` abandons the siblings of a task that fails; TaskGroup does not."""
    found = [
        f"{name}:{node.lineno}"
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "gather"
    ]
    assert found == []


def test_subjects_are_spelled_once() -> None:
    """No text that is a subject stands outside shared/subjects.py."""
    roots = (
        "parallax.executions.",
        "parallax.events.",
        "parallax.append.",
        "parallax.dead_letters.",
        "parallax.fleet.",
        "parallax.agents.",
        "parallax.runtimes.",
        "parallax.engines.",
        "parallax.queries.",
        "parallax.services.",
        "parallax.requeued.",
    )
    found: list[str] = []
    for name, tree in modules().items():
        if name == "shared/subjects.py":
            continue
        said = {id(doc) for doc in _docstrings(tree)}
        for node in ast.walk(tree):
            if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in said:
                continue
            if node.value.startswith(roots) and " " not in node.value:
                found.append(f"{name}:{node.lineno} {node.value!r}")
    assert found == []


def _docstrings(tree: ast.Module) -> list[ast.Constant]:
    return [
        node.value for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    ]


def test_comments_promise_nothing() -> None:
    """What is not done is not in the source: no note to oneself, no function that only says it is missing."""
    words = ("TODO", "FIXME", "XXX", "NotImplementedError")
    found = [
        f"{name}:{number}"
        for name in modules()
        for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), 1)
        if any(word in line for word in words)
    ]
    assert found == []


@pytest.mark.parametrize("room", ["schemas", "compiler"])
def test_the_pure_rooms_do_nothing(room: str) -> None:
    """What is a function of its arguments neither waits nor opens nor prints."""
    banned = {"open", "print", "input", "breakpoint"}
    found = [
        f"{name}:{node.lineno}"
        for name, tree in modules().items()
        if name.startswith(f"{room}/")
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncFunctionDef | ast.Await)
        or (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in banned)
    ]
    assert found == []


def test_no_two_streams_capture_the_same_subject() -> None:
    """A message belongs to one stream; what the log republishes is nobody else's either."""

    def meet(one: list[str], other: list[str]) -> bool:
        if not one or not other:
            return not one and not other
        if ">" in {one[0], other[0]}:
            return True
        return (one[0] == other[0] or "*" in {one[0], other[0]}) and meet(one[1:], other[1:])

    captured = [(name, subject) for name, settings in STREAMS.items() for subject in settings["subjects"]]
    captured.append((subjects.STREAM_EVENTS, subjects.EVENTS_ALL))
    for name, one in captured:
        for other_name, other in captured:
            assert name == other_name or not meet(one.split("."), other.split(".")), (one, other)
    assert meet(["a", "*", "c"], ["a", "b", ">"])
    assert not meet(["a", "*"], ["a", "b", "c"])
