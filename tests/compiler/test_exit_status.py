"""Which commands hide how their programs ended, and which only look as if they did."""

from __future__ import annotations

import pytest

from compiler.exit_status import hidden_status

HIDDEN = {
    "pytest -q 2>&1 | tail -5": "| tail -5",
    "pytest | tee log": "| tee log",
    "pytest |& tee log": "| tee log",
    "npm test | cat": "| cat",
    "make test | grep -v warning": "| grep -v warning",
    "pytest | grep passed": "| grep passed",
    "python app.py | grep -q Hello": "| grep -q Hello",
    "git diff --check | cat": "| cat",
    "cd sub && pytest | tail -1": "| tail -1",
    "pytest || true": "|| true",
    "pytest || :": "|| :",
    "pytest || echo failed": "|| echo failed",
    "pytest || exit 0": "|| exit 0",
    "pytest > log || cat log": "|| cat log",
    "pytest && echo ok || echo failed": "|| echo failed",
    "pytest || { echo no; true; }": "|| { echo no; true; }",
    "(pytest || true)": "|| true",
    "ruff check . && (pytest || true)": "|| true",
    "pytest; true": "pytest",
    "pytest; exit 0": "pytest",
    "pytest; echo done": "pytest",
    "pytest\ntrue": "pytest",
    "pytest; rm -rf tmp": "pytest",
    "test -f a; test -f b": "test -f a",
    "ruff check .; pytest": "ruff check .",
    "pytest &": "pytest",
    "pytest & wait": "pytest",
    "pytest & sleep 5; echo ok": "pytest",
    "set -e; set +e; pytest; true": "pytest",
    "set -e; a && b; c": "a && b",
    "trap 'exit 0' EXIT; pytest": "trap 'exit 0' EXIT",
    "if pytest; then echo ok; fi": "if pytest; then echo ok; fi",
    "if pytest; then echo ok; else echo failed; fi": "if pytest; then echo ok; else echo failed; fi",
    "if [ -f package.json ]; then npm test; fi": "if [ -f package.json ]; then npm test; fi",
    "for f in *.sh; do sh $f; done": "sh $f",
    "while read f; do sh $f; done < list": "sh $f",
    'echo "$(pytest)"; true': 'echo "$(pytest)"',
    "out=$(pytest); echo $out": "out=$(pytest)",
    "bash -c 'pytest | tail'": "| tail",
    "FOO=1 timeout 60 pytest | tail": "| tail",
    "pytest # all of them\n: # done": "pytest",
    "python - <<'EOF'\nimport x; x | y\nEOF\ntrue": "python - <<'EOF'",
}


@pytest.mark.parametrize(("command", "text"), HIDDEN.items())
def test_a_hidden_exit_status_is_found_with_its_place(command: str, text: str) -> None:
    """What loses it is quoted as it stands there, with a cure."""
    found = hidden_status(command)
    assert found is not None
    assert found.text == text
    assert found.why
    assert found.hint
    assert found.text.lstrip("|& ").split(" ")[0] in command[found.at :]


@pytest.mark.parametrize(
    "command",
    [
        "pytest",
        "cd sub && pytest -q",
        "cd sub; pytest",
        "export A=1; pytest",
        "A=1 pytest -k 'a || true'",
        'pytest -k "x; true"',
        "! grep -q bad f",
        "! cat f | grep bad",
        "cat f | grep -q good",
        "echo x | grep x",
        "git diff --name-only | grep -q x",
        "find . -name '*.orig' | wc -l | grep -qx 0",
        "set -o pipefail; pytest | tail -5",
        "set -euo pipefail\npytest | tail\ntrue",
        "set -e; pytest; echo done",
        "set -e\nruff check .\npytest\n",
        "pytest || exit 1",
        "pytest || { echo failed; exit 1; }",
        "pytest || false",
        "pytest || python -m unittest",
        "pytest || exit 1; echo done",
        "pytest; exit $?",
        "pytest; rc=$?; rm -rf tmp; exit $rc",
        "pytest | tee log; exit ${PIPESTATUS[0]}",
        "ruff check . && pytest && echo ok",
        "if grep -q bad f; then exit 1; fi",
        "if pytest; then echo ok; else exit 1; fi",
        "if pytest; then echo ok; else cat log; false; fi",
        "for f in *.sh; do sh $f || exit 1; done",
        "set -e; for f in *.sh; do sh $f; done",
        "./server & sleep 1; curl -fs localhost:1",
        "./server & sleep 1 && curl -fs localhost:1",
        "./run & pid=$!; wait $pid || exit 1",
        "test -f a && test -f b",
        "[ -f a ] && [[ -n $x || -n $y ]]",
        "echo 'test result: ok. 0 passed; 0 failed; 9 filtered out'",
        "python - <<'EOF'\nimport sys\nsys.exit(x || true)\nEOF",
        "pytest # || true",
        "case $x in a|b) pytest;; *) exit 1;; esac",
        "bash -eo pipefail -c 'pytest | tail'",
        "python -c 'print(1)' > out.txt && diff out.txt expected.txt",
        'test "$(git status --porcelain | wc -l)" = 0',
        "pytest 2>&1",
        "pytest >/dev/null 2>&1 </dev/null",
        "'unclosed",
        "if then",
        "",
    ],
)
def test_a_command_that_tells_how_it_ended_is_left_alone(command: str) -> None:
    """So is one that cannot be read: nothing is made up about it."""
    assert hidden_status(command) is None


def test_a_list_of_words_hides_nothing_but_a_shell_in_it() -> None:
    """A word with a pipe in it is a word."""
    assert hidden_status(["pytest", "|", "tail"]) is None
    assert hidden_status(["sh", "run.sh"]) is None
    assert hidden_status(["sh", "-c", "pytest | tail"]) is not None
    assert hidden_status(["bash", "-lc", "pytest || true"]) is not None
    assert hidden_status(["bash", "-o", "pipefail", "-c", "pytest | tail"]) is None
    assert hidden_status(["bash", "-euo", "pipefail", "-c", "pytest | tail; true"]) is None
    assert hidden_status(["bash", "-ec", "pytest; true"]) is None
