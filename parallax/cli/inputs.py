"""What was typed behind `--input`, as the input of a request."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec

from parallax.cli.common import BadInputError
from schemas.json_text import clean_text, clean_value, mended, read_json
from shared.git import GitFailed, GitTimeout, run_git, usable_git

Schema = Callable[[], Mapping[str, Any] | None]
"""Gives the input fields of a pattern, None where the pattern is not known here. It is asked only when it matters."""


def _unknown() -> None:
    return None


def read_inputs(given: Sequence[str], schema: Schema = _unknown) -> dict[str, Any]:
    """`K=V …` and `@FILE …` as one object, the later over the earlier.

    A value that reads as JSON is that JSON, and any other value is text. `schema` decides where a value reads as both:
    a field that may be a string has the text as it was typed, quotes included, and so it is in a field without a type
    for a number (a commit id such as 1234567) and for a text in quotes. A file holds one object, as JSON or, by its
    ending, as YAML. Raises BadInputError with the place.
    """
    found: dict[str, Any] = {}
    for item in given:
        if item.startswith("@"):
            found |= _file(item[1:])
            continue
        key, equals, text = item.partition("=")
        if not equals or not key.strip():
            raise BadInputError(f"--input {item}: write it as NAME=VALUE, or as @FILE for a JSON object in a file")
        found[key.strip()] = _value(key.strip(), text, schema)
    return found


def check_repository(typed: str) -> None:
    """Looks at what was typed behind `--repo`. Raises BadInputError for a local path that is no git repository, and for
    an address of a kind that is not taken.

    Whether a URL can be reached is for the workspace service to find out.
    """
    scheme = "ssh" if _SCP.match(typed) else (_ADDRESS.match(typed) or ("", ""))[1]
    if scheme in _TAKEN:
        return
    if scheme and not Path(typed).exists():
        taken = "a path, file://, https:// and http:// are taken"
        raise BadInputError(f"--repo {typed}: repositories are not fetched by {scheme}; {taken}")
    place = Path(typed).expanduser()
    if not typed.strip():
        raise BadInputError("--repo: a path or a URL of a git repository is wanted")
    if not place.exists():
        raise BadInputError(f"--repo {typed}: there is nothing at this path")
    if not place.is_dir():
        raise BadInputError(f"--repo {typed}: this is a file; name the directory of a git repository")
    if _is_repository(place):
        return
    above = next((outer for outer in place.resolve().parents if _is_repository(outer)), None)
    hint = f"name the repository that it lies in, {above}" if above else "make it one with `git init`"
    raise BadInputError(f"--repo {typed}: this directory is not a git repository; {hint}")


def has_uncommitted_changes(typed: str) -> bool:
    """Whether tracked files of a local working copy differ from its last commit; False where that cannot be told.

    Nothing in the repository is written, its index neither. Files inside of submodules are not looked at.
    """
    place = Path(typed).expanduser()
    if not (place / ".git").exists():
        return False
    program = usable_git()
    if program is None:
        return _differs_by_dulwich(place)
    words = ["-C", str(place.absolute()), "status", "--porcelain", "--untracked-files=no", "--ignore-submodules=dirty"]
    try:
        return bool(run_git(program, words, user_config=True, config={"core.fsmonitor": "false"}, timeout_s=60.0).out)
    except (GitFailed, GitTimeout, OSError):
        return False


def _differs_by_dulwich(place: Path) -> bool:
    """The same without a git program: what its index says, compared with the last commit and with the files."""
    from dulwich.errors import NotGitRepository  # takes a moment to import, and most commands have no use for it
    from dulwich.index import IndexEntry, get_unstaged_changes
    from dulwich.objects import S_ISGITLINK, Commit
    from dulwich.repo import Repo

    try:
        with Repo(str(place)) as repo:
            index = repo.open_index()
            head = repo[repo.head()]
            if not isinstance(head, Commit):
                return False
            there = {entry.path: (entry.mode, entry.sha) for entry in repo.object_store.iter_tree_contents(head.tree)}
            entries = {path: entry for path, entry in index.items() if isinstance(entry, IndexEntry)}
            staged = {path: (entry.mode, entry.sha) for path, entry in entries.items()}
            links = {path for path, (mode, _) in staged.items() if S_ISGITLINK(mode)}
            return there != staged or any(path not in links for path in get_unstaged_changes(index, str(place)))
    except (NotGitRepository, OSError, KeyError, ValueError, RuntimeError, AssertionError, AttributeError):
        return False


_SCP = re.compile(r"[\w.-]+@[\w.-]+:")
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?://|:)")
_TAKEN = frozenset({"file", "https", "http"})


def _is_repository(place: Path) -> bool:
    """Whether there is a working copy here (`.git` may be a file), or a bare repository."""
    return (place / ".git").exists() or ((place / "HEAD").is_file() and (place / "objects").is_dir())


def _file(name: str) -> dict[str, Any]:
    try:
        content = Path(name).expanduser().read_bytes()
    except OSError as error:
        raise BadInputError(f"--input @{name}: {error.strerror}") from error
    if Path(name).suffix.lower() in _YAML:
        value = _yaml(name, content)
    else:
        try:
            value = read_json(content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            hint = f"; name a YAML file so that it ends with {' or '.join(_YAML)}"
            raise BadInputError(f"--input @{name}: not JSON: {error or type(error).__name__}{hint}") from error
        _refuse_twice(f"@{name}", content)
    if not isinstance(value, dict):
        raise BadInputError(f'--input @{name}: a JSON object is wanted, such as {{"task": "…"}}')
    return cast("dict[str, Any]", value)


_YAML = (".yaml", ".yml")


def _yaml(name: str, content: bytes) -> Any:
    """A YAML file, read as strictly as patterns are."""
    from compiler.patterns.reader import read_yaml
    from compiler.patterns.report import Report
    from compiler.patterns.view import to_json

    text = content.decode("utf-8", "replace")
    report = Report(name, text)
    root = read_yaml(text, report)
    if wrong := next((one for one in report.sorted() if one.severity == "error"), None):
        place = f"line {wrong.line}, column {wrong.column}: " if wrong.line else ""
        raise BadInputError(f"--input @{name}: {place}{wrong.message}")
    return {} if root is None else clean_value(to_json(root))


def _refuse_twice(where: str, content: bytes) -> None:
    """Raises BadInputError for an object that has a key twice: which of the values is meant, nobody knows."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise BadInputError(
                    f"--input {where}: the key {json.dumps(key)} stands there twice; remove one of them"
                )
            found[key] = value
        return found

    with suppress(ValueError, RecursionError):  # what is no JSON is said elsewhere
        json.loads(mended(content), object_pairs_hook=once)


def _value(key: str, typed: str, schema: Schema) -> Any:
    read = read_value(typed)
    if read is None:
        return _text(typed)
    fields = schema()
    types = set[str]() if fields is None else _types(fields.get(key))
    if "string" in types:
        return _text(typed)
    either = isinstance(read.content, int | float | str) and not isinstance(read.content, bool)
    if fields is not None and either and not types:
        return _text(typed)
    _refuse_twice(f"{key}={typed}", typed.encode("utf-8", "surrogateescape"))
    return read.content


@dataclass(frozen=True)
class Read:
    """A value that was read from JSON; `null` is one too."""

    content: Any


def read_value(typed: str) -> Read | None:
    """What was typed as JSON, None where it is none."""
    try:
        return Read(read_json(_text(typed).encode()))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _text(typed: str) -> str:
    """What was typed as text: what the shell handed over and is no UTF-8 comes as halves of surrogate pairs."""
    return clean_text(typed.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


def _types(field: object) -> set[str]:
    """The types that the schema of a field names."""
    if isinstance(field, Mapping):
        return _types(cast("Mapping[str, Any]", field).get("type"))
    if isinstance(field, str):
        return {field}
    return {name for name in cast("list[object]", field) if isinstance(name, str)} if isinstance(field, list) else set()
