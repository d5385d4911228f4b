"""`parallax prism`: run, check, fmt and conformance as they are typed."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from parallax.cli.main import run

Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Types `parallax prism …` in an empty directory: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)

    def type_it(*words: str, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        code = run(["prism", *words])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, said.out, said.err

    return type_it


def test_run_prints_the_value(typed: Typed) -> None:
    """A program's value is printed as a text; what it prints comes before."""
    Path("a.prism").write_text('print("hello")\n[1, "a", null] ~> 0.5')
    assert typed("run", "a.prism") == (0, "hello\n[1, a, null] (~50.0%)\n", "")


@pytest.mark.parametrize(
    ("source", "document"),
    [
        ("1 + 1", {"value": 2, "confidence": None}),
        ("'a' ~> 0.25", {"value": "a", "confidence": 0.25}),
        ("[1 ~> 0.5]", {"value": [{"$v": 1, "$c": 0.5}], "confidence": None}),
        ("{f: x => x, g: map}", {"value": {"f": {"$fn": "lambda"}, "g": {"$fn": "map"}}, "confidence": None}),
        ("", {"value": 0, "confidence": None}),
        ("\ufeff1", {"value": 1, "confidence": None}),
        ("1e300", {"value": 1e300, "confidence": None}),
        ("'\\u{1F600}'", {"value": "\U0001f600", "confidence": None}),
    ],
)
def test_run_json(typed: Typed, source: str, document: object) -> None:
    """`--json` prints value and confidence, and nothing else, on standard output."""
    Path("a.prism").write_text(source, encoding="utf-8")
    code, out, _ = typed("run", "a.prism", "--json")
    assert (code, json.loads(out)) == (0, document)


@pytest.mark.parametrize(
    ("source", "kind", "line", "column", "code"),
    [
        ("let x = 1\n  x.y", "RuntimeError", 2, 3, "missing_property"),
        ("nope", "RuntimeError", 1, 1, "undefined_name"),
        ('let x = "abc', "LexError", 1, 9, "unterminated"),
        ("let = 3", "ParseError", 1, 5, "syntax"),
        ("1\nreturn 2", "CheckError", 2, 1, "misplaced_return"),
        ('import {a} from "./m"', "ModuleError", 1, 1, "module"),
        ("while true {}", "LimitError", 1, 1, "steps_exceeded"),
        ("throw {a: 1}", "RuntimeError", 1, 1, "thrown"),
        ('ask("what?")', "RuntimeError", 1, 1, "no_host"),
    ],
)
def test_run_json_of_a_failure(typed: Typed, source: str, kind: str, line: int, column: int, code: str) -> None:
    """A failure is a JSON document with kind, message, place and code; the exit code is 1."""
    Path("a.prism").write_text(source)
    status, out, _ = typed("run", "a.prism", "--json")
    error = json.loads(out)["error"]
    assert status == 1
    assert list(error) == ["kind", "message", "line", "column", "code"]
    assert (error["kind"], error["line"], error["column"], error["code"]) == (kind, line, column, code)
    assert error["message"]


def test_run_says_where_it_failed(typed: Typed) -> None:
    """Without --json a failure shows file, line, column, the line itself and a hint."""
    Path("a.prism").write_text("let o = {}\no.x")
    code, out, err = typed("run", "a.prism")
    assert (code, out) == (1, "")
    assert "a.prism:2:1: RuntimeError: Property 'x' does not exist" in err
    assert "    o.x\n    ^" in err
    assert "hint: use ?." in err


@pytest.mark.parametrize(
    ("source", "mark"),
    [
        ("\t\tnope", "    \t\tnope\n    \t\t^\n"),
        ('"\u65e5\u672c" + nope', '    "\u65e5\u672c" + nope\n             ^\n'),
        ('"e\u0301" + nope', '    "e\u0301" + nope\n          ^\n'),
        ("1 " * 300 + "nope", "    " + "1 " * 200 + "\n    hint"),
        ("nope", "    nope\n    ^\n"),
    ],
)
def test_the_mark_stands_under_its_place(typed: Typed, source: str, mark: str) -> None:
    """Tabs and wide characters are as wide above as below; a line too long to show has no mark."""
    Path("a.prism").write_text(source, encoding="utf-8")
    for command in ("run", "check"):
        _, out, err = typed(command, "a.prism")
        assert mark.removesuffix("hint") in out + err


def test_an_effect_that_nobody_answers_is_said_where_it_stands(typed: Typed) -> None:
    """The place is that of the effect, with its line, also in a module."""
    Path("m.prism").write_text('export fn q() {\n  return ask("y")\n}')
    Path("a.prism").write_text('import {q} from "./m"\nq()')
    code, _, err = typed("run", "a.prism")
    assert code == 1
    assert "m.prism:2:10: RuntimeError: The program asks for the effect ask()" in err
    assert '      return ask("y")\n             ^\n' in err


def test_run_with_input(typed: Typed) -> None:
    """`--input` gives the program its `input`; without it that is an empty object."""
    Path("a.prism").write_text("[input?.task, input?.n]")
    Path("in.json").write_text('{"task": "tidy", "n": 2}')
    assert typed("run", "a.prism", "--input", "@in.json")[1] == "[tidy, 2]\n"
    assert typed("run", "a.prism", "--input", "task=x", "--input", "n=3")[1] == "[x, 3]\n"
    assert typed("run", "a.prism")[1] == "[null, null]\n"


@pytest.mark.parametrize("text", ["{", "[1]", "\x00", '{"a": 1e999}'])
def test_run_with_bad_input(typed: Typed, text: str) -> None:
    """Input that is no JSON object is answered with a sentence and exit code 1 or 2."""
    Path("a.prism").write_text("input")
    Path("in.json").write_text(text)
    code, out, err = typed("run", "a.prism", "--input", "@in.json")
    assert code in {1, 2}
    assert not out
    assert err


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00", b"\x80abc"])
def test_a_file_that_cannot_be_read(typed: Typed, content: bytes | None) -> None:
    """A missing or binary file is answered with a sentence and exit code 2, by every command."""
    if content is not None:
        Path("a.prism").write_bytes(content)
    for words in (["run"], ["run", "--json"], ["check"], ["fmt"], ["conformance"]):
        code, out, err = typed(*words, "a.prism")
        assert code == 2, words
        assert "a.prism" in out + err


def test_a_directory_is_no_program(typed: Typed, tmp_path: Path) -> None:
    """A directory cannot be run; check and fmt take the programs in it."""
    assert typed("run", str(tmp_path))[0] == 2
    for command in ("check", "fmt"):
        code, _, err = typed(command, str(tmp_path))
        assert (code, "holds no .prism files" in err) == (2, True)
    Path("a.prism").write_text("1\n")
    assert typed("check", str(tmp_path))[0] == 0
    assert typed("fmt", "--check", str(tmp_path))[0] == 0


def test_a_huge_file_is_a_limit(typed: Typed) -> None:
    """A program beyond the limit on its size is refused without being read whole."""
    Path("a.prism").write_bytes(b" " * (1024 * 1024 + 10))
    code, out, _ = typed("run", "a.prism", "--json")
    assert code == 1
    assert json.loads(out)["error"]["code"] == "source_too_large"


def test_modules_beside_the_program(typed: Typed, tmp_path: Path) -> None:
    """Imports find the files beside the program and below it, and nothing outside its directory."""
    (tmp_path / "secret.prism").write_text("export const s = 1")
    inner = tmp_path / "inner"
    (inner / "lib").mkdir(parents=True)
    (inner / "lib" / "index.prism").write_text('import {b} from "../b"\nexport const a = b + 1')
    (inner / "b.prism").write_text("export const b = 41")
    (inner / "main.prism").write_text('import {a} from "./lib"\na')
    assert typed("run", "inner/main.prism")[:2] == (0, "42\n")
    (inner / "out.prism").symlink_to(tmp_path / "secret.prism")
    for path in ("../secret", str(tmp_path / "secret.prism"), "./out", "./../inner/../secret"):
        (inner / "main.prism").write_text(f'import {{s}} from "{path}"\ns')
        code, out, _ = typed("run", "inner/main.prism", "--json")
        assert code == 1
        assert json.loads(out)["error"]["kind"] == "ModuleError"


def test_modules_inside_the_directory_of_patterns(
    typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program in the directory of patterns may import from all of it."""
    patterns = tmp_path / "p"
    (patterns / "team").mkdir(parents=True)
    (patterns / "shared.prism").write_text("export const x = 5")
    (patterns / "team" / "main.prism").write_text('import {x} from "../shared"\nx')
    monkeypatch.setenv("PARALLAX_PATTERNS_DIR", str(patterns))
    assert typed("run", "p/team/main.prism")[:2] == (0, "5\n")


def test_a_broken_module_is_named(typed: Typed) -> None:
    """A module that cannot be loaded fails the program with its path and its own fault."""
    Path("m.prism").write_text("let = 1")
    Path("a.prism").write_text('import {x} from "./m"\nx')
    code, out, _ = typed("run", "a.prism", "--json")
    message = json.loads(out)["error"]["message"]
    assert (code, message.startswith("Failed to load module m.prism: Expected variable name")) == (1, True)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("let = 1", "Failed to load module m.prism: Expected variable name, found '='"),
        ("export const x = nope", "Failed to load module m.prism: Undefined variable: nope"),
        ('import {y} from "./n"\nexport const x = y', "Failed to load module n.prism: Division by zero"),
        ('import {y} from "./none"', "Failed to load module m.prism: Cannot resolve module './none' from 'm.prism'. "
         "Tried: none.prism, none/index.prism"),
        ("export const z = 1", "Module m.prism has no export named 'x'"),
    ],
)  # fmt: skip
def test_modules_that_cannot_be_loaded(typed: Typed, module: str, message: str) -> None:
    """What fails in a module while it is loaded names the innermost module; nothing of the program has run."""
    Path("m.prism").write_text(module)
    Path("n.prism").write_text("export const y = 1 / 0")
    Path("a.prism").write_text('import {x} from "./m"\nx')
    code, out, _ = typed("run", "a.prism", "--json")
    error = json.loads(out)["error"]
    assert (code, error["kind"], error["message"]) == (1, "ModuleError", message)


def test_a_function_of_a_module_fails_where_it_stands(typed: Typed) -> None:
    """A function that fails when it is called later is no fault of loading: the place is that in its module."""
    Path("m.prism").write_text("export fn f(o) {\n  o.missing\n}")
    Path("a.prism").write_text('import {f} from "./m"\nf({})')
    _, _, err = typed("run", "a.prism")
    assert err.startswith("m.prism:2:3: RuntimeError: Property 'missing' does not exist\n      o.missing\n")


def test_check_lists_everything(typed: Typed) -> None:
    """`check` prints each thing with file, place, code, the line and a hint, then how many there were."""
    Path("a.prism").write_text("let x = 1\nnope ~> 2\n")
    code, out, err = typed("check", "a.prism")
    assert code == 1
    assert "a.prism:2:1: error: Undefined variable: nope [undefined_name]\n    nope ~> 2\n    ^\n" in out
    assert "a.prism:2:9: error: A confidence lies between 0 and 1, not 2 [confidence_out_of_range]" in out
    assert "a.prism:1:5: warning: The variable 'x' is never used [unused_binding]" in out
    assert err == "1 file: 2 errors, 1 warning.\n"


def test_check_json(typed: Typed) -> None:
    """`check --json` has the shape of `patterns lint --json`, with the line itself."""
    Path("a.prism").write_text("nope")
    code, out, _ = typed("check", "a.prism", "--json")
    document = json.loads(out)
    assert (code, document["files"]) == (1, 1)
    (found,) = document["diagnostics"]
    assert {**found, "hint": ""} == {
        "file": "a.prism", "line": 1, "column": 1, "code": "undefined_name", "severity": "error",
        "message": "Undefined variable: nope", "hint": "", "source_line": "nope",
    }  # fmt: skip


def test_check_of_clean_programs_and_warnings(typed: Typed) -> None:
    """Clean programs and warnings alone exit with 0."""
    Path("a.prism").write_text("const x = 1\nx")
    Path("b.prism").write_text("const x = 1")
    assert typed("check", "a.prism", "--json")[:2] == (0, '{"files":1,"diagnostics":[]}\n')
    assert typed("check", "a.prism", "b.prism")[0] == 0


def test_check_legacy(typed: Typed) -> None:
    """With --legacy an assignment declares."""
    Path("a.prism").write_text("x = 1\nx")
    assert typed("check", "a.prism")[0] == 1
    assert typed("check", "--legacy", "a.prism")[0] == 0
    assert typed("run", "--legacy", "a.prism")[:2] == (0, "1\n")


def test_legacy_knows_what_the_original_host_gave(typed: Typed) -> None:
    """Its four names are known with --legacy alone; their values come from the input, and a script may set them."""
    text = "total = 0\nfor r in agentResults { total = total + r.value }\n"
    text += "[total, agentCount, len(successfulResults), len(agentList)]\n"
    Path("old.prism").write_text(text, "utf-8")
    assert typed("check", "old.prism")[0] == 1
    assert typed("check", "--legacy", "old.prism")[0] == 0
    given = '{"agentResults": [{"value": 2}, {"value": 3, "error": "gone"}]}'
    Path("given.json").write_text(given, "utf-8")
    assert typed("run", "--legacy", "old.prism", "--input", "@given.json")[:2] == (0, "[5, 2, 1, 0]\n")
    assert typed("run", "--legacy", "old.prism")[:2] == (0, "[0, 0, 0, 0]\n")
    Path("sets.prism").write_text("agentResults = [1, 2]\nlen(agentResults)\n", "utf-8")
    assert typed("check", "--legacy", "sets.prism")[0] == 0
    assert typed("run", "--legacy", "sets.prism")[:2] == (0, "2\n")


def test_fmt_writes_in_place(typed: Typed) -> None:
    """`fmt` rewrites the file, and the second time there is nothing to do."""
    Path("a.prism").write_text("let   x=1 // one\nx")
    assert typed("fmt", "--check", "a.prism")[:2] == (1, "a.prism would be formatted\n")
    code, out, _ = typed("fmt", "--diff", "a.prism")
    assert (code, "+let x = 1 // one" in out) == (1, True)
    assert Path("a.prism").read_text() == "let   x=1 // one\nx"
    assert typed("fmt", "a.prism") == (0, "", "formatted a.prism\n")
    assert Path("a.prism").read_text() == "let x = 1 // one\nx\n"
    assert typed("fmt", "a.prism") == (0, "", "")
    assert typed("fmt", "--check", "a.prism") == (0, "", "")


def test_fmt_of_standard_input(typed: Typed) -> None:
    """`fmt -` is a filter."""
    assert typed("fmt", "-", stdin="a+b") == (0, "a + b\n", "")


def test_fmt_leaves_what_is_no_program_alone(typed: Typed) -> None:
    """A file with an error is said and not touched; others are still formatted."""
    Path("a.prism").write_text("let = ")
    Path("b.prism").write_text("1+1")
    code, _, err = typed("fmt", "a.prism", "b.prism")
    assert code == 1
    assert "a.prism:1:5: ParseError" in err
    assert (Path("a.prism").read_text(), Path("b.prism").read_text()) == ("let = ", "1 + 1\n")


def test_conformance_counts(typed: Typed) -> None:
    """One line for each case that fails, then the counts; exit code 1 when any failed."""
    good = '{"id": "g", "source": "1 + 1", "expect": {"value": 2, "confidence": null}}'
    bad = '{"id": "b", "source": "1 + 1", "expect": {"value": 3, "confidence": null}}'
    Path("c.jsonl").write_text(f"{good}\n\n{bad}\n{bad.replace('b', 'x', 1)}\n".replace('"xid"', '"id"'))
    Path("c.jsonl").write_text(f"{good}\n\n{bad}\n")
    code, out, _ = typed("conformance", "c.jsonl")
    first, last = out.splitlines()
    assert (code, first.startswith("b: "), last) == (1, True, "1 passed, 1 failed")
    Path("c.jsonl").write_text(good)
    assert typed("conformance", "c.jsonl")[:2] == (0, "1 passed, 0 failed\n")


@pytest.mark.parametrize("text", ["{", "[]", '{"id": "x"}', "", '{"id":"x","source":1,"expect":{"value":1}}'])
def test_conformance_of_a_bad_file(typed: Typed, text: str) -> None:
    """A file that holds no cases is answered with a sentence that names the line, and exit code 2."""
    Path("c.jsonl").write_text(text)
    code, out, err = typed("conformance", "c.jsonl")
    assert (code, out) == (2, "")
    assert "c.jsonl" in err
