"""The patterns that ship: each is clean, formatted, and does with scripted agents what its name says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from compiler.orchestration.aggregates import canonical
from compiler.patterns import flat, load_pattern
from compiler.patterns.roles import ROLE_KEYS
from compiler.patterns.steps import STEP_KEYS
from schemas.effects import Answered
from schemas.patterns import CompiledPattern
from tests.compiler.drive import Life, run, scripted

PATTERNS = Path(__file__).parents[2] / "patterns"
FILES = sorted(path for path in PATTERNS.iterdir() if path.suffix in {".yaml", ".prism"})
YES: dict[str, Any] = {"verdict": "approve", "confidence": 0.9}
NO: dict[str, Any] = {"verdict": "revise", "critique": "not yet", "confidence": 0.8}


def shipped(name: str) -> CompiledPattern:
    path = next(path for path in FILES if path.stem == name)
    result = load_pattern(path.read_text("utf-8"), filename=path.name)
    assert result.pattern is not None, result.diagnostics
    return result.pattern


def live(name: str, given: dict[str, Any], **script: list[Any]) -> Life:
    pattern = shipped(name)
    life = run(pattern, scripted(**script), input=given, workspace=pattern.workspace.enabled)
    assert life.error is None, life.error
    return life


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_shipped_pattern_is_clean_and_named_like_its_file(path: Path) -> None:
    """Not even a warning; the name in a request is the file's; every pattern says what it does."""
    result = load_pattern(path.read_text("utf-8"), filename=path.name)
    assert result.diagnostics == []
    assert result.pattern is not None
    assert (result.pattern.name, bool(result.pattern.description)) == (path.stem, True)


def test_at_least_four_are_written_in_prism() -> None:
    """And the rest in both kinds of YAML."""
    formats = [shipped(path.stem).format for path in FILES]
    assert formats.count("prism") >= 4
    assert {"flat", "org-chart"} <= set(formats)


@pytest.mark.parametrize(
    ("answers", "asked", "value"),
    [
        ({"quick": [("q", 0.9)]}, ["quick"], "q"),
        ({"quick": [("q", 0.5)], "careful": [("c", 0.8)]}, ["quick", "careful"], "c"),
        ({"quick": ["q"], "careful": [("c", 0.1)], "expert": [("e", 0.2)]}, ["quick", "careful", "expert"], "e"),
    ],
)
def test_cascade(answers: dict[str, list[Any]], asked: list[str], value: str) -> None:
    """The dearer one is asked only where the cheaper one is not sure, and sees what it said."""
    life = live("cascade", {"task": "t"}, **answers)
    assert life.kinds() == asked
    assert life.value["result"] == value
    if len(asked) > 1:
        assert life.tasks[1].context["previous"] == "q"


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        (("code", 0.9), ["reader", "coder"]),
        (("Analysis", 0.9), ["reader", "analyst"]),
        (("code", 0.6), ["reader", "coder", "analyst", "judge"]),
        (("code", 0.1), ["reader", "ask", "analyst"]),
        ("code", ["reader", "ask", "analyst"]),
    ],
)
def test_uncertainty_router(said: Any, asked: list[str]) -> None:
    """Sure: one specialist; less sure: both and a judge; unsure or silent about it: a person."""
    life = live("uncertainty-router", {"task": "t"}, reader=[said], ask=[Answered(value="analysis", by="ada")])
    assert life.kinds() == asked


def test_map_reduce() -> None:
    """Every file is read by itself, at most so many at once; the last task has all that was found."""
    life = live("map-reduce", {"question": "q", "files": ["a", "b", "c"], "atOnce": 2}, mapper=["1", "2", "3"])
    assert life.kinds()[-2:] == ["reducer", "integrate"]
    reducer = next(task for task in life.tasks if task.role == "reducer")
    assert reducer.input == [{"file": file, "found": found} for file, found in zip("abc", "123", strict=True)]


def test_best_of_n() -> None:
    """The best that passes its check wins; where none does, one more is tried with every critique."""
    first = live(
        "best-of-n", {"task": "t", "attempts": 3},
        solver=["x", "y", "z"], checker=[NO, {**YES, "confidence": 0.6}, {**YES, "confidence": 0.9}],
    )  # fmt: skip
    assert (first.value, first.confidence) == ("z", 0.9)
    last = live("best-of-n", {"task": "t", "attempts": 2}, solver=["x", "y", "z"], checker=[NO, NO, YES])
    assert last.value == "z"
    assert last.tasks[-2].context == {"critique": ["not yet", "not yet"]}
    none = run(shipped("best-of-n"), scripted(solver=["x", "y"], checker=[NO, NO]), input={"task": "t", "attempts": 1})
    assert none.error is not None


def test_consensus_asks_twice() -> None:
    """The second time everybody knows what all said the first time."""
    rounds = [
        {"a": 1, "b": 1},
        {"a": 1, "b": 2},
        {"a": 1, "b": 3},
        {"a": 1, "b": 2},
        {"a": 1, "b": 2},
        {"a": 1, "b": 3},
    ]
    life = live("consensus", {"question": "q"}, alone=rounds[:3], together=[(one, 0.9) for one in rounds[3:]])
    assert life.value["answer"] == {"a": 1, "b": 2}
    assert "In dispute: - b" in life.tasks[-1].text
    assert life.confidence == pytest.approx(0.9 * (1 + 2 / 3) / 2)


def test_multi_model_voting() -> None:
    """A majority ends it; without one there is a second round that knows the count."""
    given = {"question": "q", "options": ["x", "y", "z"]}
    one = live("multi-model-voting", given, first_round=[{"choice": vote} for vote in "xxy"])
    assert one.value == {"choice": "x", "rounds": 1}
    two = live(
        "multi-model-voting", given,
        first_round=[{"choice": vote} for vote in "xyz"], second_round=[{"choice": vote} for vote in "yyz"],
    )  # fmt: skip
    assert two.value == {"choice": "y", "rounds": 2}
    assert "x: 1" in two.tasks[-1].text


def test_code_review() -> None:
    """Four read at once, the editor gets all four, and the security reviewer has the last word."""
    life = live(
        "code-review", {"change": "c"},
        security=["S", NO, YES], style=["Y"], tests=["T"], docs=["D"], editor=["mended", "mended again"],
    )  # fmt: skip
    assert life.kinds()[:4] == ["security", "style", "tests", "docs"]
    editor = [task for task in life.tasks if task.role == "editor"]
    assert all(word in editor[0].text for word in ("Security: S", "Style: Y", "Tests: T", "Docs: D"))
    assert editor[1].context["critique"] == "not yet"
    assert "mended again" in canonical(life.value)


def test_quality_gate() -> None:
    """Without the keeper's word nothing passes."""
    life = live("quality-gate", {"task": "t"}, keeper=[NO, YES, YES], worker=["one", "two"])
    assert life.value["result"] == "two"
    refused = run(shipped("quality-gate"), scripted(keeper=[YES, NO], worker=["one"]), input={"task": "t"})
    assert refused.error is not None
    assert refused.error.code == "not_approved"


def test_planner_worker_judge() -> None:
    """The workers get the planner's halves; what the judge never accepts goes back to the planner."""
    plan = {"first": "half one", "second": "half two"}
    good = live("planner-worker-judge", {"task": "t"}, planner=[plan], judge=[YES])
    assert [task.text for task in good.tasks if task.role == "worker"] == [
        "Do this part and no other: half one", "Do this part and no other: half two",
    ]  # fmt: skip
    bad = live("planner-worker-judge", {"task": "t"}, planner=[plan, "done"], judge=[NO, NO, NO])
    assert bad.tasks[-1].role == "planner"
    assert "not yet" in bad.tasks[-1].text


def test_document_analysis() -> None:
    """The summary is made from what was checked."""
    life = live(
        "document-analysis", {"document": "d"},
        reader=["F", "R"], checker=["C", YES], editor=["summary"],
    )  # fmt: skip
    assert "Facts: F" in life.tasks[2].text
    assert life.tasks[3].text.endswith("C\n")
    assert life.value["result"] == "summary"


def test_startup_team_and_pair_and_board() -> None:
    """Objections lead to rework before anybody signs."""
    startup = live("startup-team", {"task": "t"}, cto=["plan", NO, YES, YES], developer=["one", "two"])
    assert startup.kinds().count("developer") == 2
    pair = live("pair-programming", {"task": "t"}, navigator=["outline", NO, YES], driver=["one", "two"])
    assert pair.value["result"] == "two"
    board = live(
        "enterprise-review",
        {"change": "c"},
        security=[NO, YES],
        engineer=["one", "two"],
        lead=[YES],
        quality=[YES],
        operations=[YES],
    )
    assert board.kinds().count("engineer") == 2


def test_the_examples_of_the_reference_compile() -> None:
    """Each YAML block of the page on pattern files, as a file or as the input of one."""
    page = (PATTERNS.parent / "docs" / "reference" / "org-chart.md").read_text("utf-8")
    found = [block.split("```")[0] for block in page.split("```yaml\n")[1:]]
    assert len(found) >= 2
    for text in found:
        whole = text if "name:" in text else f"name: x\nagents: {{capabilities: [a]}}\n{text}"
        assert load_pattern(whole, filename="page.yaml").diagnostics == []


def test_the_reference_names_every_key_and_every_refusal() -> None:
    """What the reader takes is what the page lists."""
    page = (PATTERNS.parent / "docs" / "reference" / "org-chart.md").read_text("utf-8")
    keys = [*ROLE_KEYS, *(key for words in STEP_KEYS.values() for key in words), *flat.STEP_KEYS]
    missing = [key for key in dict.fromkeys(keys) if key not in page]
    assert missing == []
