"""Submodules: what their files are to whoever checks the work."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.events import WorkspaceReady
from schemas.workspaces import EvidenceCheckout
from services.workspace.cleaning import clean_up
from services.workspace.evidence import remove_tree
from tests.services.workspace.bench import AT, GIT, Bench, git, repository, write
from tests.services.workspace.test_evidence import Place

pytestmark = [pytest.mark.backend("git"), pytest.mark.skipif(GIT is None, reason="there is no git program")]

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


def held(ready: WorkspaceReady) -> dict[str, bool]:
    """The submodules that are named at the beginning, and whether checks will have their files."""
    assert not isinstance(ready.submodules, msgspec.UnsetType)
    return {one.path: one.held is True for one in ready.submodules}


def test_a_submodule_of_which_no_file_is_there_is_named(tmp_path: Path) -> None:
    """When a check has been run: not before it, and not where the check or a set-up has put files there."""
    bench = Bench(tmp_path / "w")
    assert held(bench.ready(unheld(tmp_path))) == {"s": False}
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


def bumped(bench: Bench, path: str, back: int = 1) -> str:
    """A commit of an agent in which a submodule stands `back` commits before."""
    tree = Path(bench.prepare("dev-1", f"b{back}").path)
    git(tree, *_WHO, "submodule", "update", "-q", "--init")
    git(tree / path, "checkout", "-q", f"HEAD~{back}")
    done = bench.finish("dev-1", f"b{back}")
    assert done.files == [path]
    return done.commit


def names(found: EvidenceCheckout, path: str = "s") -> list[str]:
    """What is in the directory of a submodule at the place."""
    return sorted(entry.name for entry in Path(found.path, path).iterdir())


def library(found: EvidenceCheckout, path: str = "s") -> str:
    """What the library of a submodule holds at the place; empty where there is none."""
    file = Path(found.path, path, "lib.py")
    return file.read_text() if file.exists() else ""


@pytest.mark.parametrize("name", ["s", "libs/deep/s"])
def test_a_submodule_that_the_origin_holds_is_filled(tmp_path: Path, name: str) -> None:
    """Its commit's files are there, clean to git; so after a bump, forwards and back, whatever a check has left."""
    bench = Bench(tmp_path / "w")
    assert held(bench.ready(with_submodule(tmp_path, name))) == {name: True}
    (tmp_path / "sub").rename(tmp_path / "away")
    place, base = Place(bench), bench.workspace.base
    one = bench.work("dev-1", {"n": "n\n"}).commit
    found = place.do("check_out", one)
    assert library(found, name) == "2\n"
    assert place.do("look", one).unfilled == []
    assert git(Path(found.path, name), "status", "--porcelain") == ""
    assert git(Path(found.path), "status", "--porcelain") == ""
    git(Path(found.path), "submodule", "update", "--init")
    write(Path(found.path), {f"{name}/left": "x", f"{name}/.git/hooks/post-checkout": "x"})
    assert place.do("look", one).changed == []
    (tmp_path / "away").rename(tmp_path / "sub")
    two = bumped(bench, name)
    for commit, expected in ((two, "1\n"), (base, "2\n"), (two, "1\n")):
        found = place.do("check_out", commit)
        assert library(found, name) == expected
        assert names(found, name) == [".git", "lib.py"]
        assert not Path(found.path, name, ".git/hooks").exists()
    bench.again()
    assert library(place.do("check_out", base), name) == "2\n"


def test_a_check_that_changes_files_of_a_submodule_is_found(tmp_path: Path) -> None:
    """Changed and removed files, and a directory that is no longer one; the next check finds a clean place."""
    bench = Bench(tmp_path / "w")
    bench.ready(with_submodule(tmp_path))
    place, commit = Place(bench), bench.workspace.base
    found = Path(place.do("check_out", commit).path)
    write(found, {"s/lib.py": "changed\n", "s/new": "x"})
    assert place.do("look", commit).changed == ["s/lib.py"]
    assert place.do("check_out", commit).changed == []
    assert place.do("look", commit).changed == []
    remove_tree(found / "s")
    (found / "s").symlink_to(tmp_path / "sub")
    assert "s" in place.do("look", commit).changed
    assert library(place.do("check_out", commit)) == "2\n"
    assert (tmp_path / "sub/lib.py").read_text() == "2\n"
    assert (tmp_path / "sub/.git/HEAD").exists()


def test_what_a_set_up_left_in_a_submodule_stays_with_it(tmp_path: Path) -> None:
    """Also one that it filled itself; when the submodule moves, the set-up is made again, on a clean one."""
    bench = Bench(tmp_path / "w")
    bench.ready(with_submodule(tmp_path))
    place, base = Place(bench), bench.workspace.base
    order: dict[str, Any] = {"setup": "make", "setup_key": ["a"]}
    found = place.do("check_out", base, **order)
    write(Path(found.path), {"s/build/x": "x"})
    assert place.do("settle", base, **order).changed == []
    other = bench.work("dev-1", {"n": "n\n"}).commit
    found = place.do("check_out", other, **order)
    assert found.set_up
    assert (Path(found.path) / "s/build/x").exists()
    git(Path(found.path, "s"), "status")
    assert place.do("check_out", other, **order).set_up
    write(Path(found.path), {"s/lib.py": "changed\n"})
    assert place.do("look", other).changed == ["s/lib.py"]
    found = place.do("check_out", other, **order)
    assert not found.set_up
    assert library(found) == "2\n"
    place.do("settle", other, **order)
    found = place.do("check_out", bumped(bench, "s"), **order)
    assert not found.set_up
    assert names(found) == [".git", "lib.py"]
    assert library(found) == "1\n"


def test_what_a_set_up_filled_stays_until_the_submodule_moves(tmp_path: Path) -> None:
    """The origin does not hold it; a check that leaves something there does not pass it on."""
    bench = Bench(tmp_path / "w")
    bench.ready(unheld(tmp_path))
    place, base = Place(bench), bench.workspace.base
    order: dict[str, Any] = {"setup": "fetch", "setup_key": ["a"]}
    write(Path(place.do("check_out", base, **order).path), {"s/lib.py": "2\n"})
    assert place.do("settle", base, **order).changed == []
    other = bench.work("dev-1", {"n": "n\n"}).commit
    found = place.do("check_out", other, **order)
    assert (found.set_up, library(found)) == (True, "2\n")
    write(Path(found.path), {"s/left": "x"})
    found = place.do("check_out", other, **order)
    assert (found.set_up, names(found)) == (True, ["lib.py"])
    found = place.do("check_out", other)
    assert names(found) == []


def test_nested_submodules_are_filled_too(tmp_path: Path) -> None:
    """Where the origin holds them; one that it does not is named with its whole path."""
    middle = with_submodule(tmp_path, "inner")
    origin = tmp_path / "top"
    repository(origin, {"a": "a\n"}).close()
    git(origin, "reset", "-q", "--hard")
    git(origin, *_WHO, "submodule", "add", "-q", str(middle), "m")
    git(origin, *_WHO, "commit", "-qm", "m")
    bench = Bench(tmp_path / "w")
    bench.ready(origin)
    place, commit = Place(bench), bench.workspace.base
    place.do("check_out", commit)
    assert place.do("look", commit).unfilled == ["m/inner"]
    git(origin, *_WHO, "submodule", "update", "-q", "--init", "--recursive")
    later = Bench(tmp_path / "w", "x2")
    later.ready(origin)
    place = Place(later)
    found = place.do("check_out", commit)
    assert library(found, "m/inner") == "2\n"
    assert place.do("look", commit).unfilled == []
    write(Path(found.path), {"m/inner/lib.py": "3\n"})
    assert place.do("look", commit).changed == ["m/inner/lib.py"]


def test_only_what_a_clone_would_fill_is_filled_and_only_from_the_origins_own_modules(tmp_path: Path) -> None:
    """Not a pointer that `.gitmodules` does not name, nor a repository behind a link or a `commondir`."""
    origin = with_submodule(tmp_path)
    bench = Bench(tmp_path / "w")
    bench.ready(origin)
    place = Place(bench)
    bare = bench.work("dev-1", {".gitmodules": ""}).commit
    assert library(place.do("check_out", bare)) == ""
    assert place.do("look", bare).unfilled == ["s"]
    modules = origin / ".git/modules"
    for number, tamper in enumerate((_linked, _linked_whole, _with_commondir)):
        shutil.copytree(modules, tmp_path / "safe")
        tamper(modules, tmp_path / f"out{number}")
        other = Bench(tmp_path / f"w{number}")
        other.ready(origin)
        place = Place(other)
        assert library(place.do("check_out", other.workspace.base)) == "", tamper
        assert place.do("look", other.workspace.base).unfilled == ["s"]
        modules.unlink() if modules.is_symlink() else shutil.rmtree(modules)
        (tmp_path / "safe").rename(modules)


def _linked(modules: Path, out: Path) -> None:
    (modules / "s").rename(out)
    (modules / "s").symlink_to(out)


def _linked_whole(modules: Path, out: Path) -> None:
    modules.rename(out)
    modules.symlink_to(out)


def _with_commondir(modules: Path, out: Path) -> None:
    (modules / "s").rename(out)
    (modules / "s").mkdir()
    shutil.copytree(out / "refs", modules / "s/refs")
    (modules / "s/objects").mkdir()
    shutil.copyfile(out / "HEAD", modules / "s/HEAD")
    (modules / "s/commondir").write_text(f"{out}\n")


def test_what_is_wrong_with_a_submodule_stops_nobody(tmp_path: Path) -> None:
    """A repository of one that is damaged leaves it unfilled and named."""
    origin = with_submodule(tmp_path)
    remove_tree(origin / ".git/modules/s/objects")
    (origin / ".git/modules/s/objects").mkdir()
    bench = Bench(tmp_path / "w")
    bench.ready(origin)
    place, commit = Place(bench), bench.workspace.base
    place.do("check_out", commit)
    assert place.do("look", commit).unfilled == ["s"]


def test_repositories_of_submodules_are_found_as_git_keeps_them(tmp_path: Path) -> None:
    """Those of a linked worktree, of which the directory is gone, or whose branch has no commit."""
    origin = with_submodule(tmp_path)
    (tmp_path / "linked").mkdir()
    git(origin, "worktree", "add", "-q", str(tmp_path / "linked/r"))
    git(tmp_path / "linked/r", *_WHO, "submodule", "update", "-q", "--init")
    (origin / ".git/modules").rename(tmp_path / "modules")
    bench = Bench(tmp_path / "w1")
    assert held(bench.ready(tmp_path / "linked/r")) == {"s": True}
    (tmp_path / "modules").rename(origin / ".git/modules")
    remove_tree(origin / "s")
    (origin / ".git/modules/s/HEAD").write_text("ref: refs/heads/none\n")
    bench = Bench(tmp_path / "w2")
    assert held(bench.ready(origin)) == {"s": True}
    assert library(Place(bench).do("check_out", bench.workspace.base)) == "2\n"


# -- worktrees -------------------------------------------------------------------------------------------------------


def filled(bench: Bench, task: str, session: str = "dev-1") -> Path:
    """A worktree prepared for a task, in which the agent has filled the submodule."""
    tree = Path(bench.prepare(session, task).path)
    assert list((tree / "s").iterdir()) == []
    git(tree, *_WHO, "submodule", "update", "-q", "--init")
    return tree


def test_an_agent_can_fill_a_submodule_in_every_turn(tmp_path: Path) -> None:
    """It is empty before each, as in a clone; what can be had again is not kept, and nothing is said of it."""
    bench = Bench(tmp_path / "w")
    bench.ready(with_submodule(tmp_path))
    for number in range(3):
        tree = filled(bench, f"t{number}")
        assert git(tree, "status", "--porcelain") == ""
        write(tree, {f"n{number}": "n\n"})
        done = bench.finish("dev-1", f"t{number}", outcome="failed" if number == 1 else "ok")
        assert done.notes is msgspec.UNSET
        assert git(tree, "status", "--porcelain") == ""
    assert not (bench.workspace.root / "aside").exists()


@pytest.mark.parametrize(
    "changes", [{"s/lib.py": "mine\n"}, {"s/new.py": "n\n"}, {"s/lib.py": None}, {"s/d/e": "n\n", "s/lib.py": "2\n"}]
)
def test_what_an_agent_changed_in_a_submodule_is_moved_aside_and_named(
    tmp_path: Path, changes: dict[str, str | None]
) -> None:
    """Without a commit of the submodule it cannot be part of the result; nothing of it is destroyed."""
    bench = Bench(tmp_path / "w")
    bench.ready(with_submodule(tmp_path))
    tree = filled(bench, "t1")
    write(tree, {**changes, "n": "n\n"})
    done = bench.finish("dev-1", "t1")
    assert done.files == ["n"]
    (aside,) = (bench.workspace.root / "aside").iterdir()
    assert not isinstance(done.notes, msgspec.UnsetType)
    assert [note.startswith("s: ") and str(aside) in note for note in done.notes] == [True]
    for name, content in changes.items():
        file = aside / name.removeprefix("s/")
        assert (file.read_text() if file.exists() else None) == content
    tree = filled(bench, "t2")
    write(tree, changes)
    with bench.workspace.locked():
        clean_up(bench.workspace, AT, ended=True, force=False)
    assert len(list(aside.parent.iterdir())) == 2


@pytest.mark.parametrize("outcome", ["ok", "failed"])
def test_a_submodule_stands_where_the_work_goes_on_from(tmp_path: Path, outcome: str) -> None:
    """A repository that an agent cloned into one moves it in its own turn, and never back in a later one."""
    bench = Bench(tmp_path / "w")
    bench.ready(with_submodule(tmp_path))
    write(tmp_path / "sub", {"lib.py": "3\n"})
    git(tmp_path / "sub", *_WHO, "commit", "-qam", "3")
    for number, (session, back) in enumerate((("dev-1", "HEAD~2"), ("dev-2", "HEAD"))):
        tree = Path(bench.prepare(session, f"t{number}").path)
        git(tree, *_WHO, "clone", "-q", str(tmp_path / "sub"), "s")
        git(tree / "s", "checkout", "-q", back)
        done = bench.finish(session, f"t{number}", outcome=outcome if number == 0 else "ok")
        assert done.files == (["s"] if done.commit != done.parent else [])
        bench.integrate(done, effect=str(number))
    tree = Path(bench.prepare("dev-1", "t3").path)
    assert git(tree, "status", "--porcelain") == ""
    write(tree, {"n": "n\n"})
    assert bench.finish("dev-1", "t3").files == ["n"]
    assert len(list((bench.workspace.root / "aside").iterdir())) == 2
