"""The library of patterns: what a reference finds, while the files under it change."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.base import Problem
from schemas.patterns import CompiledPattern
from shared.patterns import MAX_FILE_BYTES, PatternLibrary

GOOD = """
name: {name}
version: {version}
workspace: {{enabled: false}}
structure:
  name: alone
  roles:
    worker: {{id: worker, name: Worker, agentType: custom, capabilities: [work]}}
workflow:
  name: work
  steps:
    - {{type: assign, id: one, role: worker, task: "{task}"}}
"""


def write(place: Path, file: str, name: str, version: str = "1.0.0", task: str = "look") -> None:
    """One org chart."""
    (place / file).write_text(GOOD.format(name=name, version=version, task=task), encoding="utf-8")


def problems(found: CompiledPattern | list[Problem]) -> list[Problem]:
    """What is wrong with a reference."""
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize(
    ("reference", "version"),
    [
        ("team", "1.10.0"),
        ("team@*", "1.10.0"),
        ("team@latest", "1.10.0"),
        ("team@1.x", "1.10.0"),
        ("team@1", "1.10.0"),
        ("team@1.9", "1.9.0"),
        ("team@1.9.0", "1.9.0"),
        ("team@1.9.x", "1.9.0"),
    ],
)
def test_a_reference_finds_the_newest_version_in_its_range(tmp_path: Path, reference: str, version: str) -> None:
    """1.10 is newer than 1.9."""
    write(tmp_path, "a.yaml", "team", "1.9.0")
    write(tmp_path, "b.yaml", "team", "1.10.0")
    found = PatternLibrary(tmp_path).find(reference)
    assert isinstance(found, CompiledPattern)
    assert found.version == version


@pytest.mark.parametrize("reference", ["team@2.x", "team@1.1", "team@", "team@../x", "team@1.x.y.z", "team@1 .x"])
def test_a_version_that_is_not_there_is_told_apart_from_a_pattern_that_is_not(tmp_path: Path, reference: str) -> None:
    """The name is known: the answer is about the version."""
    write(tmp_path, "a.yaml", "team")
    (problem,) = problems(PatternLibrary(tmp_path).find(reference))
    assert "version" in problem.what
    assert problem.hint


def test_an_edit_is_seen_at_the_next_look(tmp_path: Path) -> None:
    """A request finds what the directory holds at that moment: new files, edits, removals."""
    library = PatternLibrary(tmp_path)
    assert library.get("team") is None
    write(tmp_path, "a.yaml", "team")
    first = library.get("team")
    assert first is not None
    write(tmp_path, "a.yaml", "team", task="look again, longer")
    second = library.get("team")
    assert second is not None
    assert second.digest != first.digest
    (tmp_path / "a.yaml").unlink()
    assert library.get("team") is None


def test_a_bad_edit_leaves_the_last_good_pattern_in_use(tmp_path: Path) -> None:
    """What is wrong is kept as diagnostics, and `current` says that the file says something else by now."""
    write(tmp_path, "a.yaml", "team")
    library = PatternLibrary(tmp_path)
    good = library.get("team")
    (tmp_path / "a.yaml").write_text("name: team\nworkflow: [", encoding="utf-8")
    assert library.get("team") == good
    (loaded,) = library.files()
    assert not loaded.current
    assert library.diagnostics()


def test_files_that_cannot_be_used_are_named_where_a_pattern_is_missed(tmp_path: Path) -> None:
    """The pattern that is missed may be in the file that has a mistake, whatever the file is called."""
    write(tmp_path, "good.yaml", "good")
    (tmp_path / "other.yaml").write_text("name: team\nworkflow: {}\n", encoding="utf-8")
    (problem,) = problems(PatternLibrary(tmp_path).find("team"))
    assert "other.yaml" in problem.hint
    assert "good.yaml" not in problem.hint


def test_the_mistakes_of_a_file_of_that_name_are_the_answer(tmp_path: Path) -> None:
    """`team` is asked for and team.yaml is broken: each mistake with its place."""
    (tmp_path / "team.yaml").write_text(GOOD.format(name="team", version="1.0.0", task="${nope}"), encoding="utf-8")
    found = problems(PatternLibrary(tmp_path).find("team"))
    assert found
    assert all(problem.where.startswith("team.yaml:") for problem in found)


def test_two_files_with_one_name_and_version_are_a_mistake(tmp_path: Path) -> None:
    """The first one by file name is used, the other one is reported."""
    write(tmp_path, "a.yaml", "team", task="first")
    write(tmp_path, "b.yaml", "team", task="second")
    library = PatternLibrary(tmp_path)
    found = library.get("team")
    assert found is not None
    assert "first" in found.source
    assert [one.code for one in library.diagnostics()] == ["duplicate-pattern"]


def test_nothing_outside_of_the_directory_is_read(tmp_path: Path) -> None:
    """A link that leads out of the directory is reported and not followed; names with paths find nothing."""
    outside = tmp_path / "outside.yaml"
    write(tmp_path, "outside.yaml", "secret")
    place = tmp_path / "patterns"
    place.mkdir()
    (place / "link.yaml").symlink_to(outside)
    library = PatternLibrary(place)
    assert library.get("secret") is None
    assert [one.code for one in library.diagnostics()] == ["unreadable"]
    assert problems(library.find("../outside"))
    assert problems(library.find(str(outside)))


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"x" * (MAX_FILE_BYTES + 1), b"\x00" * 10, b"[" * 100_000])
def test_files_that_are_no_text_are_diagnostics(tmp_path: Path, content: bytes) -> None:
    """Neither bad UTF-8 nor a file of a MiB nor brackets without end get past the library, or stop it."""
    (tmp_path / "bad.yaml").write_bytes(content)
    write(tmp_path, "good.yaml", "good")
    library = PatternLibrary(tmp_path)
    assert [pattern.name for pattern in library.all()] == ["good"]
    assert {Path(one.file).name for one in library.diagnostics()} == {"bad.yaml"}


def test_a_directory_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    """It may come later; until then the answer says where was looked."""
    (problem,) = problems(PatternLibrary(tmp_path / "missing").find("team"))
    assert "missing" in problem.hint


def test_versions_are_found_by_semver(tmp_path: Path) -> None:
    """A pre-release is never taken for a release, `rc.10` is newer than `rc.2`, and a build's name decides nothing."""
    for number, version in enumerate(
        ("1.9.0", "1.10.0", "2.0.0-rc.2", "2.0.0-rc.10", "1.1.0+build-7", "1.10.1-beta", "0.3.1", "0.3.9")
    ):
        write(tmp_path, f"{number}.yaml", "team", version)
    library = PatternLibrary(tmp_path)

    def found(reference: str) -> str:
        one = library.find(reference)
        other = library.source(reference)
        assert not isinstance(one, list)
        assert not isinstance(other, str)
        assert one.version == other.version
        return one.version

    assert found("team") == found("team@*") == found("team@latest") == found("team@1.x") == "1.10.0"
    assert found("team@^1.2") == "1.10.0"
    assert found("team@1.1") == found("team@~1.1.0") == found("team@1.1.0") == "1.1.0+build-7"
    assert found("team@^2.0.0-rc.1") == found("team@>=2.0.0-rc.1") == "2.0.0-rc.10"
    assert found("team@2.0.0-rc.2") == "2.0.0-rc.2"
    assert found("team@0.x") == found("team@^0.3.1") == "0.3.9"
    assert found("team@>=1.2 <1.10") == "1.9.0"
    assert (
        "There is 0.3.1, 0.3.9, 1.1.0+build-7, 1.9.0, 1.10.0, 1.10.1-beta" in problems(library.find("team@2.x"))[0].hint
    )
    assert "no range" in problems(library.find("team@^x.y"))[0].what
    assert [one.version for one in library.all()][-2:] == ["2.0.0-rc.2", "2.0.0-rc.10"]


def test_a_pattern_that_has_pre_releases_alone_is_found_by_its_name(tmp_path: Path) -> None:
    """By its name, which asks for nothing in particular; a range asks for releases."""
    write(tmp_path, "a.yaml", "team", "1.0.0-alpha.9")
    write(tmp_path, "b.yaml", "team", "1.0.0-alpha.10")
    found = PatternLibrary(tmp_path).find("team")
    assert not isinstance(found, list)
    assert found.version == "1.0.0-alpha.10"
    assert "There is no version 1.x" in problems(PatternLibrary(tmp_path).find("team@1.x"))[0].what
