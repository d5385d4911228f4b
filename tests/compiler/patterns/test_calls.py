"""`call` in programs, and steps that call what is not an org chart: found, checked, run, and fixed when compiled."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from compiler.orchestration.origin import place_of
from compiler.prism import EffectFailed
from schemas.patterns import CompiledPattern
from shared.patterns import PatternLibrary
from tests.compiler.drive import run, scripted

CHART = """
name: gate
version: 1.4.0
structure:
  name: G
  roles:
    worker: {capabilities: [code], reportsTo: judge, verify: {type: agent, role: judge}}
    judge: {capabilities: [review]}
workflow:
  name: g
  input: {task: {type: string, required: true, maxLength: 20}, strict: {type: boolean, default: false}}
  steps:
    - {type: assign, id: work, role: worker, task: "do ${input.task} ${input.strict}"}
  output: work
"""

FLAT = """
name: vote
version: 1.1.0
input: {about: {type: string}}
agents: {capabilities: [analysis], min: 2}
aggregation: {strategy: voting, method: majority, fields: [choice]}
output: {chosen: $vote.result, about: $input.about}
"""

PROGRAM = """
export const pattern = {
  name: "polish",
  version: "2.0.0",
  input: {text: {type: "string", required: true}, rounds: {type: "integer", default: 1, maximum: 3}},
}
import {words} from "./lib/words"
agents {
  writer: Agent { id: "writer", capabilities: ["prose"], reportsTo: "editor" }
  editor: Agent { id: "editor", capabilities: ["prose"] }
}
const drafts = parallel([
  () => assign(writer, "${words.write} ${input.text}", {id: "write"}),
  () => assign(editor, "plan"),
])
{result: "${drafts[0].result} in ${workspace?.base}", words: words.write} ~> 0.75
"""

OUTER = """
export const pattern = {name: "outer", version: "1.0.0"}
agents { worker: Agent { id: "worker", capabilities: ["plan"] } }
const plan = assign(worker, "plan", {id: "plan"})
const made = call("gate@1.x", {task: "a ${plan.result}"}, {id: "first"})
const texts = parallel([
  () => call("polish", {text: made.result}),
  () => call("polish@2", {text: "b"}, {id: "second"}),
])
const chosen = call("vote", {about: texts[1].result}, {id: "team"})
{gate: made.result, polished: texts, chosen: chosen.chosen, about: chosen.about}
"""


def directory(tmp_path: Path, **files: str) -> PatternLibrary:
    """The three kinds of patterns, and more."""
    (tmp_path / "lib").mkdir(exist_ok=True)
    (tmp_path / "lib" / "words.prism").write_text('export const words = {write: "write"}', "utf-8")
    whole = {"gate.yaml": CHART, "vote.yaml": FLAT, "polish.prism": PROGRAM}
    for name, text in {**whole, **{f"{stem.replace('_', '.')}": text for stem, text in files.items()}}.items():
        (tmp_path / name).write_text(text, "utf-8")
    return PatternLibrary(tmp_path)


def compiled(library: PatternLibrary, name: str) -> CompiledPattern:
    """The pattern, which has to be without a mistake."""
    found = library.get(name)
    assert found is not None, library.diagnostics()
    assert library.diagnostics() == []
    return found


APPROVE = {"verdict": "approve", "confidence": 0.9}
SCRIPT: dict[str, list[Any]] = {
    "first-worker": ["made"],
    "first-judge": [APPROVE],
    "team-agents": [{"choice": "x"}, {"choice": "x"}],
}


def test_a_program_calls_patterns_of_every_kind(tmp_path: Path) -> None:
    """Each with roles and steps named after the call, its own input, and its value and confidence as the result."""
    pattern = compiled(directory(tmp_path, outer_prism=OUTER), "outer")
    life = run(pattern, scripted(**SCRIPT))
    assert life.error is None, life.error.show()
    said = [(task.role, task.step, task.text) for task in life.tasks if "agents" not in task.role]
    assert said[:2] == [("worker", "plan", "plan"), ("first-worker", "first.work", "do a done false")]
    assert said[2][:2] == ("first-judge", "first.work")
    assert set(said[3:]) == {
        ("polish-writer", "polish.write", "write made"),
        ("polish-editor", "polish", "plan"),
        ("second-writer", "second.write", "write b"),
        ("second-editor", "second", "plan"),
    }
    assert life.value["polished"][0] == {"result": "done in main", "words": "write"}
    assert (life.value["gate"], life.value["chosen"]) == ("made", "x")
    assert {"first-worker", "polish-writer", "second-editor", "team-agents"} <= set(pattern.roles)
    assert pattern.roles["second-writer"]["reportsTo"] == "second-editor"


def test_the_confidence_of_a_called_pattern_is_that_of_its_result(tmp_path: Path) -> None:
    """As for every effect."""
    text = 'export const pattern = {name: "o"}\nlet p = call("polish", {text: "b"})\nuncertain if (p) { high { <~ p } }'
    assert run(compiled(directory(tmp_path, o_prism=text), "o")).value == 0.75


def test_what_is_called_is_fixed_when_the_caller_is_compiled(tmp_path: Path) -> None:
    """An edit changes what is compiled next, and its digest; a compiled pattern runs what it holds."""
    library = directory(tmp_path, outer_prism=OUTER)
    before = compiled(library, "outer")
    (tmp_path / "polish.prism").write_text(PROGRAM.replace('"plan"', '"think"'), "utf-8")
    after = compiled(library, "outer")
    assert before.digest != after.digest
    for pattern, word in ((before, "plan"), (after, "think")):
        kept = msgspec.json.decode(msgspec.json.encode(pattern), type=CompiledPattern)
        life = run(kept, scripted(**SCRIPT))
        assert {task.text for task in life.tasks if task.role == "polish-editor"} == {word}


CALLING_CHART = """
name: chart
structure: {name: C, roles: {worker: {capabilities: [plan]}}}
workflow:
  name: c
  steps:
    - {type: assign, id: plan, role: worker, task: plan}
    - type: parallel
      id: both
      steps:
        - {type: pattern, id: nice, pattern: polish@2.x, input: {text: "${plan.result}"}, timeoutMs: 5000}
        - {type: pattern, id: team, pattern: vote, input: {about: "${plan.result}"}, onError: continue}
  output: both
"""

CALLING_FLAT = """
name: flat
input: {text: {type: string}}
workspace: {enabled: true}
steps:
  - {id: nice, pattern: polish@2.x, input: {text: $input.text}}
  - {id: checked, type: pattern, pattern: gate, input: {task: $nice.result}, output: {said: $nice.words}}
"""


def test_a_workflow_calls_programs_and_teams_of_equals(tmp_path: Path) -> None:
    """A step of type `pattern` takes every kind of pattern, with a limit and with `onError`."""
    pattern = compiled(directory(tmp_path, chart_yaml=CALLING_CHART), "chart")
    late = {"team-agents": [EffectFailed("task_failed", "no")] * 2}
    life = run(pattern, scripted(**late), last_first=True)  # so that the time limit does not come first
    assert life.error is None, life.error.show()
    assert ("nice-writer", "write done") in {(task.role, task.text) for task in life.tasks}
    assert "sleep" in life.kinds()
    assert life.value[0] == {"result": "done in main", "words": "write"}
    assert life.value[1]["error"]["message"]


def test_a_team_of_equals_calls_patterns(tmp_path: Path) -> None:
    """A step of a flat pattern with `pattern`, with or without its type; later steps refer to what it gave."""
    pattern = compiled(directory(tmp_path, flat_yaml=CALLING_FLAT), "flat")
    script = {**SCRIPT, "checked-judge": [APPROVE]}
    life = run(pattern, scripted(**script), input={"text": "t"})
    assert life.error is None, life.error.show()
    assert [task.role for task in life.tasks if "judge" not in task.role] == [
        "nice-writer",
        "nice-editor",
        "checked-worker",
    ]
    assert life.tasks[2].text == "do done in main false"
    assert life.value == {"said": "write"}


@pytest.mark.parametrize(("name", "text"), [("chart", CALLING_CHART), ("flat", CALLING_FLAT)])
def test_a_file_that_calls_compiles_to_its_golden_program(tmp_path: Path, name: str, text: str) -> None:
    """A change of the compiler is a visible change of these files (GOLDEN=write rewrites them)."""
    golden = Path(__file__).parent / "golden" / f"calling-{name}.prism"
    program = compiled(directory(tmp_path, **{f"{name}_yaml": text}), name).program
    if os.environ.get("GOLDEN") == "write":
        golden.write_text(program, "utf-8")
    assert program == golden.read_text("utf-8")


NESTED = """
export const pattern = {name: "NAME", version: "1.0.0"}
call("INNER", {}, {id: "deep"})
"""


def test_calls_inside_called_patterns(tmp_path: Path) -> None:
    """Names add up, and roles are listed under the names that they run under."""
    inner = NESTED.replace('call("INNER", {}, {id: "deep"})', 'call("polish", {text: "x"})').replace("NAME", "inner")
    outer = NESTED.replace("INNER", "inner@1").replace("NAME", "outer")
    pattern = compiled(directory(tmp_path, inner_prism=inner, outer_prism=outer), "outer")
    life = run(pattern)
    assert [(task.role, task.step) for task in life.tasks] == [
        ("deep-polish-writer", "deep-polish.write"),
        ("deep-polish-editor", "deep-polish"),
    ]
    assert {task.role for task in life.tasks} <= set(pattern.roles)


@pytest.mark.parametrize(
    ("code", "found", "words"),
    [
        ('call("polsh", {text: "x"})', (3, 6, "unknown-pattern"), "did you mean 'polish'?"),
        ('call("polish@7.x", {text: "x"})', (3, 6, "unknown-pattern"), "there is 2.0.0"),
        ("call(input.name, {})", (3, 6, "not-constant"), "written out"),
        ('call("polish", {text: "x"}, {id: input.id})', (3, 29, "not-constant"), "written out"),
        ('call("polish", {text: "x"}, input)', (3, 29, "not-constant"), "written out"),
        ("map([1], call)", (3, 10, "bad-call"), "no value"),
        ('call("bad")', (3, 6, "pattern-cycle"), "bad@1.0.0 → bad@1.0.0"),
        ('call("round")', (3, 6, "broken-pattern"), "round@1.0.0 → bad@1.0.0"),
        ('call("polish")', (3, 6, "missing-input"), "needs the input 'text'"),
        ('call("polish", {text: input.x, txt: 1})', (3, 32, "unknown-input"), "no input 'txt'"),
        ('call("polish", {text: 5})', (3, 23, "bad-input"), "text is a number, not a text"),
        ('call("polish", {text: "x", rounds: 9})', (3, 36, "bad-input"), "rounds is more than 3"),
        ('call("polish", "x")', (3, 16, "bad-input"), "the input of a pattern is an object"),
    ],
)
def test_what_cannot_be_called_is_said_where_it_stands(
    tmp_path: Path, code: str, found: tuple[int, int, str], words: str
) -> None:
    """One diagnostic with its place and what to do; nothing is left for the run to find out."""
    bad = f'export const pattern = {{name: "bad", version: "1.0.0"}}\n\n{code}\n'
    back = 'export const pattern = {name: "round"}\ncall("bad")\n'
    library = directory(tmp_path, bad_prism=bad, round_prism=back)
    (one,) = [one for one in library.diagnostics() if one.file.endswith("bad.prism")]
    assert (one.line, one.column, one.code) == found, one
    assert words in one.message
    assert one.hint or one.code in {"missing-input", "bad-input"}


def test_a_call_in_a_module_is_found_too(tmp_path: Path) -> None:
    """What is wrong with it names the module."""
    text = 'export const pattern = {name: "o"}\nimport {go} from "./lib/go"\ngo()\n'
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "go.prism").write_text('export fn go() { return call("polish", {text: "m"}) }', "utf-8")
    library = directory(tmp_path, o_prism=text)
    assert [task.text for task in run(compiled(library, "o")).tasks] == ["write m", "plan"]
    (tmp_path / "lib" / "go.prism").write_text('export fn go() { return call("nobody") }', "utf-8")
    (one,) = [one for one in library.diagnostics() if one.file.endswith("o.prism")]
    assert one.message.startswith("lib/go.prism:1:30: there is no pattern 'nobody'")


def test_input_that_does_not_fit_fails_the_call_alone(tmp_path: Path) -> None:
    """What only the run can tell is a failure of the step, with the name of the pattern."""
    text = 'export const pattern = {name: "o"}\nlet r = call("gate", {task: input.t}, {onError: "continue"})\nr.error'
    life = run(compiled(directory(tmp_path, o_prism=text), "o"), input={"t": "x" * 30})
    assert life.value["code"] == "invalid_input"
    assert "pattern gate cannot take this input" in life.value["message"]
    functions = text.replace("{task: input.t}", "{...{task: () => 1}}")
    life = run(compiled(directory(tmp_path, o_prism=functions), "o"))
    assert life.error is not None
    assert life.error.code in {"invalid_argument", "invalid_input"}


FAILING = 'export const pattern = {name: "failing"}\nlet o = {}\n\no.nothing\n'


@pytest.mark.parametrize(
    ("calling", "place"),
    [
        ('export const pattern = {name: "o"}\ncall("failing")\n', "failing@1.0.0:4:1"),
        (
            'export const pattern = {name: "o"}\nparallel([() => call("gate", {task: "t"})])\n',
            "line 13: assign (gate@1.4.0:",
        ),
        (
            "name: o\nstructure: {name: s, roles: {r: {capabilities: [a]}}}\nworkflow:\n  name: w\n  steps:\n"
            "    - {type: assign, role: r, task: t}\n    - {type: pattern, pattern: gate, input: {task: t}}\n",
            "line 13 of gate.yaml: assign (o:",
        ),
    ],
)
def test_an_error_inside_a_called_pattern_names_its_file(tmp_path: Path, calling: str, place: str) -> None:
    """And the line in it, however the pattern is a part of its caller."""
    suffix = "o_prism" if calling.startswith("export") else "o_yaml"
    pattern = compiled(directory(tmp_path, failing_prism=FAILING, **{suffix: calling}), "o")
    workers = [EffectFailed("task_failed", "no")] * 2
    life = run(pattern, scripted(**{"gate-worker": workers, "step_1-worker": workers}))
    assert life.error is not None
    assert place_of(pattern, life.error).startswith(place), place_of(pattern, life.error)


ENDLESS = 'export const pattern = {name: "endless"}\nwhile true { let a = 1 }\n'
GREEDY = 'export const pattern = {name: "greedy"}\nlet s = "x"\nwhile true { s = s + s }\n'


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('export const pattern = {name: "o"}\ntry { call("endless") } catch (e) { 1 }\n', "steps_exceeded"),
        ('export const pattern = {name: "o"}\ntry { call("greedy") } catch (e) { 1 }\n', "memory_exceeded"),
        ('export const pattern = {name: "o"}\nconst f = n => f(n + 1)\ncall("deep")\n', "depth_exceeded"),
    ],
)
def test_calling_gets_around_no_limit(tmp_path: Path, text: str, code: str) -> None:
    """The counters are those of the execution, and what is exceeded cannot be caught."""
    deep = 'export const pattern = {name: "deep"}\nconst f = n => f(n + 1)\nf(1)\n'
    library = directory(tmp_path, endless_prism=ENDLESS, greedy_prism=GREEDY, deep_prism=deep, o_prism=text)
    found = library.get("o")
    assert found is not None
    life = run(found)
    assert life.error is not None
    assert (life.error.kind, life.error.code) == ("LimitError", code)
    assert life.error.file in {"endless@1.0.0", "greedy@1.0.0", "deep@1.0.0"}


def test_steps_of_calls_add_up(tmp_path: Path) -> None:
    """A program that calls a thousand times a thing that takes a little is as limited as one that loops itself."""
    some = 'export const pattern = {name: "some"}\nfor i in range(20000) { let a = 1 }\n'
    text = 'export const pattern = {name: "o"}\nfor i in range(1000) { call("some") }\n'
    life = run(compiled_with_warnings(directory(tmp_path, some_prism=some, o_prism=text), "o"))
    assert life.error is not None
    assert life.error.code == "steps_exceeded"


def compiled_with_warnings(library: PatternLibrary, name: str) -> CompiledPattern:
    """The pattern, whatever the others are like."""
    found = library.get(name)
    assert found is not None, library.diagnostics()
    return found


@pytest.mark.parametrize("last_first", [False, True])
def test_a_call_that_loses_a_race_is_withdrawn(tmp_path: Path, last_first: bool) -> None:
    """With everything that it was waiting for; the rest of the program goes on."""
    text = """
export const pattern = {name: "o"}
agents { quick: Agent { id: "quick", capabilities: ["a"] } }
const won = parallel([
  () => call("polish", {text: "x"}),
  () => assign(quick, "q"),
], {strategy: "race"})
const after = call("polish", {text: "y"}, {id: "after"})
after.result
"""
    life = run(compiled(directory(tmp_path, o_prism=text), "o"), last_first=last_first)
    assert life.error is None, life.error.show()
    assert life.value == "done in main"
    assert bool(life.cancelled) == last_first or life.cancelled
