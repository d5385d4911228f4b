"""`--input` as it is typed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from parallax.cli.common import BadInputError
from parallax.cli.executions import run
from parallax.cli.inputs import check_repository, has_uncommitted_changes, read_inputs
from parallax.demo import make_repository
from shared.git import usable_git


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("task=mend it", "mend it"),
        ("task=3", 3),
        ("task=true", True),
        ('task={"a": [1]}', {"a": [1]}),
        ("task=a=b", "a=b"),
        ("task=", ""),
        ("task={broken", "{broken"),
        ('task="quoted"', "quoted"),
    ],
)
def test_a_value_is_json_where_it_reads_as_json(typed: str, meant: object) -> None:
    """Numbers, switches and objects need no quotes; everything else is text."""
    assert read_inputs([typed]) == {"task": meant}


def test_the_patterns_schema_keeps_text_as_text() -> None:
    """A field that wants text gets "42" and not 42."""
    fields = {"task": {"type": "string"}, "title": "string", "n": {"type": "number"}}
    assert read_inputs(["task=42", "title=true", "n=1"], lambda: fields) == {"task": "42", "title": "true", "n": 1}


@pytest.mark.parametrize(
    ("field", "meant"),
    [
        ({"type": "string"}, '"q"'),
        ({"type": ["string", "null"]}, '"q"'),
        ({}, '"q"'),
        ("any", "q"),
        ({"type": "array"}, "q"),
    ],
)
def test_a_text_in_quotes_keeps_them_where_text_is_wanted(field: object, meant: str) -> None:
    """Only a type that asks for JSON has it read as JSON."""
    assert read_inputs(['sha="q"'], lambda: {"sha": field}) == {"sha": meant}


@pytest.mark.parametrize(
    ("content", "key"),
    [('{"task": "a", "task": "b"}', '"task"'), ('{"x": [{"a\\u0062": 1, "ab": 2}]}', '"ab"')],
)
def test_a_key_that_stands_twice_is_refused_by_name(tmp_path: Path, content: str, key: str) -> None:
    """In a file and in a value: one of the two would be lost without a word."""
    file = tmp_path / "dup.json"
    file.write_text(content, encoding="utf-8")
    for given in (f"@{file}", f"x={content}"):
        with pytest.raises(BadInputError, match="stands there twice") as refused:
            read_inputs([given])
        assert f"the key {key}" in str(refused.value)


def test_a_yaml_file_is_known_by_its_ending(tmp_path: Path) -> None:
    """And read as strictly as a pattern: a key that stands twice is refused with its line."""
    file = tmp_path / "in.yaml"
    file.write_text("task: mend it\nn: 3\nwho: {a: [1, true]}\n", encoding="utf-8")
    read = read_inputs([f"@{file}"])
    assert read == {"task": "mend it", "n": 3, "who": {"a": [1, True]}}
    assert isinstance(read["n"], int)
    file.write_text("task: a\ntask: b\n", encoding="utf-8")
    with pytest.raises(BadInputError, match=r"line 2, column 1: .*task"):
        read_inputs([f"@{file}"])
    other = tmp_path / "in.txt"
    other.write_text("task: a\n", encoding="utf-8")
    with pytest.raises(BadInputError, match=r"not JSON: .*ends with \.yaml or \.yml"):
        read_inputs([f"@{other}"])


def test_a_file_holds_an_object_and_later_words_win(tmp_path: Path) -> None:
    """`@FILE` and `K=V` mix; the later one counts."""
    file = tmp_path / "in.json"
    file.write_text('{"a": 1, "b": 2}', encoding="utf-8")
    assert read_inputs([f"@{file}", "b=3"]) == {"a": 1, "b": 3}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(None, "No such file"), ("[1]", "a JSON object is wanted"), ("{", "not JSON"), ("\xff", "not JSON")],
)
def test_a_bad_file_is_answered_with_its_name(tmp_path: Path, content: str | None, complaint: str) -> None:
    """Missing, not JSON, not an object: each is said, with the file."""
    file = tmp_path / "in.json"
    if content is not None:
        file.write_bytes(content.encode("latin-1"))
    with pytest.raises(BadInputError, match=complaint) as refused:
        read_inputs([f"@{file}"])
    assert str(file) in str(refused.value)


@pytest.mark.parametrize("typed", ["task", "=x", ""])
def test_an_input_without_a_name_or_a_value_is_refused(typed: str) -> None:
    """The complaint shows how to write it."""
    with pytest.raises(BadInputError, match="NAME=VALUE"):
        read_inputs([typed])


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        ("", "a path or a URL"),
        ("nothing-here", "there is nothing at this path"),
        ("file.txt", "this is a file"),
        ("plain", "git init"),
        ("repository ü/parcels", "repository ü"),
    ],
)
def test_a_path_that_is_no_repository_is_refused_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str, complaint: str
) -> None:
    """The complaint says what is there instead, and what to do."""
    monkeypatch.chdir(tmp_path)
    make_repository(tmp_path / "repository ü")
    (tmp_path / "plain").mkdir()
    (tmp_path / "file.txt").touch()
    with pytest.raises(BadInputError, match=complaint):
        check_repository(typed)


@pytest.mark.parametrize(
    "typed",
    [
        "repository ü",
        "repository ü/",
        "bare.git",
        "linked",
        "https://example.invalid/a.git",
        "file:///nowhere/a.git",
    ],
)
def test_working_copies_bare_repositories_and_urls_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    """A worktree's `.git` is a file; a bare repository has none; a URL is looked at by whoever fetches from it."""
    monkeypatch.chdir(tmp_path)
    make_repository(tmp_path / "repository ü")
    (tmp_path / "bare.git" / "objects").mkdir(parents=True)
    (tmp_path / "bare.git" / "HEAD").write_text("ref: refs/heads/main\n", encoding="utf-8")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / ".git").write_text("gitdir: ../elsewhere\n", encoding="utf-8")
    check_repository(typed)


def test_changes_that_are_not_committed_are_noticed(tmp_path: Path) -> None:
    """A tracked file that was edited counts; an untracked one, a bare repository and a broken one do not."""
    place = tmp_path / "parcels"
    make_repository(place)
    (place / "new.py").touch()
    assert not has_uncommitted_changes(str(place))
    (place / "README.md").write_text("other", encoding="utf-8")
    assert has_uncommitted_changes(str(place))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / ".git").write_text("no", encoding="utf-8")
    assert not has_uncommitted_changes(str(tmp_path / "broken"))
    assert not has_uncommitted_changes("https://example.invalid/a.git")


@pytest.mark.parametrize(
    ("field", "typed", "meant"),
    [
        ({"type": ["string", "null"]}, "1234567", "1234567"),
        ({"type": ["integer", "null"]}, "1234567", 1234567),
        ({"description": "a commit"}, "1234567", "1234567"),
        ({"description": "a commit"}, "12e4567", "12e4567"),
        ({"description": "anything"}, '{"a": 1}', {"a": 1}),
        ({"description": "anything"}, "true", True),
        (None, "1234567", "1234567"),
    ],
)
def test_a_commit_id_of_digits_stays_one(field: object, typed: str, meant: object) -> None:
    """A known pattern that does not say number gets the text as it was typed."""
    fields = {} if field is None else {"sha": field}
    assert read_inputs([f"sha={typed}"], lambda: fields) == {"sha": meant}


@pytest.mark.parametrize("with_git", [True, False], ids=["git", "no git"])
def test_the_index_of_a_repository_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, with_git: bool
) -> None:
    """A look at a repository whose files were touched but not changed leaves its index as it is."""
    place = tmp_path / "parcels"
    make_repository(place)
    os.utime(place / "README.md", (1, 1))
    before = (place / ".git/index").read_bytes()
    if not with_git:
        monkeypatch.setenv("PATH", str(tmp_path))
    assert not has_uncommitted_changes(str(place))
    assert (place / ".git/index").read_bytes() == before


@pytest.mark.skipif(usable_git() is None, reason="there is no git program")
def test_repositories_of_all_kinds_are_looked_at(tmp_path: Path) -> None:
    """Split and sparse indexes, and a submodule that stands where it should, are no uncommitted changes."""
    git = ["git", "-c", "user.name=u", "-c", "user.email=u@x", "-c", "protocol.file.allow=always"]
    for words in (
        "init -q -b main sub",
        "-C sub commit -q --allow-empty -m x",
        "init -q -b main r",
        f"-C r submodule add -q {tmp_path}/sub s",
        "-C r commit -q -m x",
        "-C r update-index --split-index",
        "init -q -b main sparse",
    ):
        subprocess.run([*git, *words.split()], cwd=tmp_path, check=True, capture_output=True)
    assert not has_uncommitted_changes(str(tmp_path / "r"))
    (tmp_path / "sparse/src").mkdir()
    (tmp_path / "sparse/docs").mkdir()
    (tmp_path / "sparse/src/a").touch()
    (tmp_path / "sparse/docs/b").touch()
    for words in ("add -A", "commit -q -m x", "sparse-checkout set --cone --sparse-index src"):
        subprocess.run([*git, "-C", "sparse", *words.split()], cwd=tmp_path, check=True, capture_output=True)
    assert not has_uncommitted_changes(str(tmp_path / "sparse"))
    (tmp_path / "sparse/src/a").write_text("changed")
    assert has_uncommitted_changes(str(tmp_path / "sparse"))


@pytest.mark.parametrize(
    ("typed", "scheme"),
    [("git@example.invalid:a.git", "ssh"), ("ssh://git@example.invalid/a.git", "ssh"), ("ext::sh -c x", "ext")],
)
def test_an_address_that_is_not_fetched_from_is_refused_before_anything_begins(typed: str, scheme: str) -> None:
    """With the kinds that are taken."""
    with pytest.raises(BadInputError, match=f"not fetched by {scheme}; a path, file://, https://"):
        check_repository(typed)


@pytest.mark.parametrize(
    ("typed", "inputs"),
    [
        (["p", "--input", "a=1", "b=2", "--push"], ("a=1", "b=2")),
        (["--input", "a=1", "b=2", "p"], ("a=1", "b=2")),
        (["p", "--input=a=1", "--input", "b=2", "c=3", "--id", "k"], ("a=1", "b=2", "c=3")),
        (["p", "--input", "@in.json", "--repo", "x=y"], ("@in.json",)),
    ],
)
def test_one_option_takes_several_inputs(typed: list[str], inputs: tuple[str, ...]) -> None:
    """`--input a=1 b=2` is `--input a=1 --input b=2`."""
    context = run.make_context("run", typed)
    assert (context.params["pattern"], context.params["inputs"]) == ("p", inputs)
