"""Submodules: what their files are to whoever checks the work."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.services.workspace.bench import GIT, Bench, git, repository, write
from tests.services.workspace.test_evidence import Place

pytestmark = pytest.mark.skipif(GIT is None, reason="there is no git program to make a submodule with")

_WHO = ("-c", "user.name=u", "-c", "user.email=u@x", "-c", "protocol.file.allow=always")


def with_submodule(tmp_path: Path, name: str = "s") -> Path:
    """A repository with a submodule, whose commit before the last one holds `1` in its `lib.py`, the last one `2`."""
    sub, origin = tmp_path / "sub", tmp_path / "origin"
    repository(sub, {"lib.py": "1\n"}).close()
    git(sub, "reset", "-q", "--hard")
    write(sub, {"lib.py": "2\n"})
    git(sub, *_WHO, "commit", "-qam", "2")
    repository(origin, {"a": "a\n"}).close()
    git(origin, "reset", "-q", "--hard")
    git(origin, *_WHO, "submodule", "add", "-q", str(sub), name)
    git(origin, *_WHO, "commit", "-qm", "sub")
    return origin


def unheld(tmp_path: Path) -> Path:
    """The same of which nobody on this machine holds the submodule's objects."""
    origin = with_submodule(tmp_path)
    (origin / ".git/modules").rename(tmp_path / "modules")
    return origin


def test_a_submodule_of_which_no_file_is_there_is_named(tmp_path: Path) -> None:
    """When a check has been run: not before it, and not where the check or a set-up has put files there."""
    bench = Bench(tmp_path / "w")
    bench.ready(unheld(tmp_path))
    place, commit = Place(bench), bench.work("dev-1", {"n": "n\n"}).commit
    found = place.do("check_out", commit)
    assert (Path(found.path) / "s").is_dir()
    assert place.do("look", commit).unfilled == ["s"]
    write(Path(found.path), {"s/.git": "gitdir: ../.git/modules/s\n"})
    assert place.do("look", commit).unfilled == ["s"]
    write(Path(found.path), {"s/lib.py": "1\n"})
    assert place.do("look", commit).unfilled == []
    (Path(found.path) / "s/lib.py").unlink()
    (Path(found.path) / "s/.git").unlink()
    (Path(found.path) / "s").rmdir()
    (Path(found.path) / "s").symlink_to(tmp_path)
    assert place.do("look", commit).unfilled == ["s"]
