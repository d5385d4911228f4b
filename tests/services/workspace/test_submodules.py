"""Submodules: what their files are to whoever checks the work."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.events import WorkspaceCommitted, WorkspacePrepared, WorkspaceReady
from schemas.workspaces import EvidenceCheckout
from services.workspace.cleaning import clean_up
from services.workspace.evidence import remove_tree
from services.workspace.views import view
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
    git(origin, "config", "-f", ".gitmodules", "submodule.s.path", "elsewhere")
    git(origin, *_WHO, "commit", "-qam", "unnamed")
    assert held(Bench(tmp_path / "unnamed").ready(origin)) == {"s": False}
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

_ME = ("-c", "user.name=me", "-c", "user.email=me@x")


def prepared(bench: Bench, task: str = "t1", session: str = "dev-1", attempt: int = 1) -> Path:
    """A worktree that is ready for a task."""
    found = bench.prepare(session, task, attempt)
    assert found.error is None, found.error
    return Path(found.path)


def saved(tree: Path, path: str = "s", name: str = "new.py") -> str:
    """A commit that the agent makes in a submodule. Gives its id."""
    (tree / path / name).write_text("new\n")
    git(tree / path, "add", "-A")
    git(tree / path, *_ME, "commit", "-qm", f"made {name}")
    return git(tree / path, "rev-parse", "HEAD").strip()


def pointer(bench: Bench, commit: str, path: str = "s") -> str:
    """Where a commit says that a submodule stands."""
    return git(bench.workspace.repository, "ls-tree", commit, path).split()[2]


def notes(done: WorkspaceCommitted | WorkspacePrepared) -> list[str]:
    """What is said of a turn."""
    return [] if isinstance(done.notes, msgspec.UnsetType) else list(done.notes)


def keeps(done: WorkspaceCommitted | WorkspacePrepared) -> list[tuple[str, str, str, bool]]:
    """What is kept beside the work, but what is in the worktree of an attempt that failed."""
    kept = [] if isinstance(done.kept, msgspec.UnsetType) else done.kept
    return [(one.kind, one.name, one.commit, one.in_result) for one in kept if one.kind != "attempt"]


def is_clean(tree: Path) -> bool:
    """Whether the agent's git finds nothing to say of a worktree."""
    return git(tree, "status", "--porcelain") == ""


def is_whole(tree: Path, path: str = "s") -> bool:
    """Whether the agent's git finds the worktree clean, and the submodule filled and where it is recorded."""
    assert is_clean(tree)
    assert is_clean(tree / path)
    git(tree / path, "fsck", "--no-dangling")
    return git(tree, "submodule", "status", path).startswith(" ")


@pytest.mark.parametrize("name", ["s", "libs/deep/s", 'caf\u00e9 "x"'])
def test_a_worktree_has_the_files_of_submodules_that_the_origin_holds(tmp_path: Path, name: str) -> None:
    """With a repository in which the agent's git works: history, branches of the submodule's origin, and a remote."""
    bench = Bench(tmp_path / "w")
    origin = with_submodule(tmp_path, name)
    bench.ready(origin)
    (tmp_path / "sub").rename(tmp_path / "away")
    tree = prepared(bench)
    assert (tree / name / "lib.py").read_text() == "2\n"
    assert is_whole(tree, name)
    assert git(tree / name, "log", "--format=%s").split("\n")[0] == "2"
    assert "remotes/origin/main" in git(tree / name, "branch", "-a")
    assert git(tree / name, "config", "remote.origin.url").strip() == str(tmp_path / "sub")
    git(tree, "submodule", "update", "-q", "--init", "--recursive")
    git(tree / name, "checkout", "-q", "HEAD~1")
    assert (tree / name / "lib.py").read_text() == "1\n"
    wanted = git(tree / name, "rev-parse", "HEAD").strip()
    done = bench.finish("dev-1")
    assert (len(done.files), pointer(bench, done.commit, name), notes(done), keeps(done)) == (1, wanted, [], [])
    assert is_whole(tree, name)
    assert not (bench.workspace.root / "aside").exists()
    assert is_clean(origin)


def test_the_next_task_has_the_files_of_the_commit_that_is_recorded(tmp_path: Path) -> None:
    """In the same session and in others, forwards and back, and after a restart."""
    bench = Bench(tmp_path / "w")
    bench.ready(with_submodule(tmp_path))
    one = prepared(bench, "t1")
    git(one / "s", "checkout", "-q", "HEAD~1")
    bench.integrate(bench.finish("dev-1", "t1"), effect="1")
    two = prepared(bench, "t2", "dev-2")
    assert (two / "s/lib.py").read_text() == "1\n"
    assert is_whole(two)
    git(two / "s", "checkout", "-q", "origin/main")
    bench.integrate(bench.finish("dev-2", "t2"), effect="2")
    bench.again()
    for session in ("dev-1", "dev-2", "dev-3"):
        tree = prepared(bench, "t3", session)
        assert (tree / "s/lib.py").read_text() == "2\n"
        assert is_whole(tree)
        assert bench.finish(session, "t3").files == []


def test_files_of_submodules_that_did_not_move_stay(tmp_path: Path) -> None:
    """So does what is ignored there, as in the worktree itself; before another attempt it goes."""
    bench = Bench(tmp_path / "w")
    sub = with_submodule(tmp_path) / "s"
    write(sub, {".gitignore": "*.o\n"})
    git(sub, "add", "-A")
    git(sub, *_ME, "commit", "-qm", "ignore")
    git(tmp_path / "origin", *_ME, "commit", "-qam", "bump")
    bench.ready(tmp_path / "origin")
    tree = prepared(bench, "t1")
    write(tree, {"s/a.o": "x"})
    number = (tree / "s/lib.py").stat().st_ino
    assert notes(bench.finish("dev-1", "t1")) == []
    bench.again()
    prepared(bench, "t2")
    assert ((tree / "s/lib.py").stat().st_ino, (tree / "s/a.o").exists()) == (number, True)
    assert is_whole(tree)
    prepared(bench, "t2", attempt=2)
    assert not (tree / "s/a.o").exists()
    assert is_whole(tree)


@pytest.mark.parametrize("outcome", ["ok", "failed"])
def test_a_commit_made_in_a_submodule_is_kept(tmp_path: Path, outcome: str) -> None:
    """One that the result names and nobody else has is said; the next task has its files, but a clean check has not."""
    bench = Bench(tmp_path / "w")
    bench.ready(with_submodule(tmp_path))
    tree = prepared(bench)
    made = saved(tree)
    done = bench.finish("dev-1", outcome=outcome)
    assert keeps(done) == [("submodule", "s", made, False)]
    assert git(bench.workspace.repository, "show", f"{made}:new.py") == "new\n"
    assert not (bench.workspace.root / "aside").exists()
    if outcome == "failed":
        assert (done.commit, notes(done)) == (done.parent, [])
        assert not (tree / "s/new.py").exists()
        assert is_whole(tree)
        return
    assert done.files == ["s"]
    assert [note.startswith("s: ") and made in note and "push it" in note for note in notes(done)] == [True]
    bench.integrate(done)
    tree = prepared(bench, "t2", "dev-2")
    assert (tree / "s/new.py").read_text() == "new\n"
    assert is_whole(tree)
    write(tree, {"n": "n\n"})
    later = bench.finish("dev-2", "t2")
    assert (later.files, notes(later), keeps(later)) == (["n"], [], [])
    place = Place(bench)
    assert names(place.do("check_out", later.commit)) == []
    assert place.do("look", later.commit).unfilled == ["s"]


def test_nothing_that_an_agent_did_in_a_submodule_is_lost(tmp_path: Path) -> None:
    """A branch, a stash, what was reset away and what was staged, also of one that was removed."""
    bench = Bench(tmp_path / "w")
    bench.ready(with_submodule(tmp_path))
    tree = prepared(bench)
    git(tree / "s", "checkout", "-qb", "feat")
    kept = [saved(tree)]
    git(tree / "s", "checkout", "-q", "--detach", "HEAD~1")
    kept.append(saved(tree, name="gone.py"))
    git(tree / "s", "reset", "-q", "--hard", "HEAD~1")
    write(tree, {"s/lib.py": "stashed\n"})
    git(tree / "s", *_ME, "stash")
    kept.append(git(tree / "s", "rev-parse", "stash").strip())
    write(tree, {"s/lib.py": "staged\n"})
    git(tree / "s", "add", "lib.py")
    remove_tree(tree / "s")
    git(tree, "add", "-u")
    done = bench.finish("dev-1")
    assert done.files == ["s"]
    found = {one[2] for one in keeps(done)}
    assert set(kept) <= found
    held = [git(bench.workspace.repository, "show", f"{one}:lib.py") for one in found - set(kept)]
    assert held == ["staged\n"]
    assert is_clean(tree)


def test_a_commit_that_others_have_is_not_said_to_be_the_agents(tmp_path: Path) -> None:
    """It was fetched, or pushed: the next task has its files."""
    bench = Bench(tmp_path / "w")
    bench.ready(with_submodule(tmp_path))
    write(tmp_path / "sub", {"lib.py": "3\n"})
    git(tmp_path / "sub", *_WHO, "commit", "-qam", "3")
    tree = prepared(bench)
    git(tree / "s", "fetch", "-q")
    git(tree / "s", "checkout", "-q", "origin/main")
    done = bench.finish("dev-1")
    assert (done.files, notes(done), keeps(done)) == (["s"], [], [])
    bench.integrate(done, effect="1")
    tree = prepared(bench, "t2", "dev-2")
    assert (tree / "s/lib.py").read_text() == "3\n"
    made = saved(tree)
    git(tree / "s", "push", "-q", "origin", "HEAD:refs/heads/mine")
    done = bench.finish("dev-2", "t2")
    assert (pointer(bench, done.commit), notes(done), keeps(done)) == (made, [], [])
    assert is_whole(tree)


@pytest.mark.parametrize(
    "changes", [{"s/lib.py": "mine\n"}, {"s/new.py": "n\n"}, {"s/lib.py": None}, {"s/d/e": "n\n", "s/lib.py": "2\n"}]
)
def test_what_an_agent_changed_in_a_submodule_is_moved_aside_and_named(
    tmp_path: Path, changes: dict[str, str | None]
) -> None:
    """Without a commit of the submodule it cannot be part of the result; nothing of it is destroyed."""
    bench = Bench(tmp_path / "w")
    bench.ready(with_submodule(tmp_path))
    tree = prepared(bench)
    write(tree, {**changes, "n": "n\n"})
    done = bench.finish("dev-1", "t1")
    assert done.files == ["n"]
    (aside,) = (bench.workspace.root / "aside").iterdir()
    assert [note.startswith("s: ") and str(aside) in note for note in notes(done)] == [True]
    assert view(bench.workspace, sessions=True).aside == [str(aside)]
    for name, content in changes.items():
        file = aside / name.removeprefix("s/")
        assert (file.read_text() if file.exists() else None) == content
    assert is_whole(tree)
    tree = prepared(bench, "t2")
    write(tree, changes)
    with bench.workspace.locked():
        clean_up(bench.workspace, AT, ended=True, force=False)
    assert len(list(aside.parent.iterdir())) == 2


def test_an_agent_can_fill_a_submodule_that_the_origin_has_not(tmp_path: Path) -> None:
    """It is empty before the first turn; what can be had again is not kept, and nothing is said of it."""
    bench = Bench(tmp_path / "w")
    bench.ready(unheld(tmp_path))
    assert list((prepared(bench, "t0") / "s").iterdir()) == []
    for number in range(3):
        tree = prepared(bench, f"t{number}")
        git(tree, *_WHO, "submodule", "update", "-q", "--init")
        assert is_whole(tree)
        write(tree, {f"n{number}": "n\n"})
        done = bench.finish("dev-1", f"t{number}", outcome="failed" if number == 1 else "ok")
        assert (notes(done), keeps(done)) == ([], [])
        assert is_clean(tree)
    assert not (bench.workspace.root / "aside").exists()


@pytest.mark.parametrize("outcome", ["ok", "failed"])
def test_a_submodule_stands_where_the_work_goes_on_from(tmp_path: Path, outcome: str) -> None:
    """A repository that an agent cloned into one moves it in its own turn, and never back in a later one."""
    bench = Bench(tmp_path / "w")
    bench.ready(with_submodule(tmp_path))
    write(tmp_path / "sub", {"lib.py": "3\n"})
    git(tmp_path / "sub", *_WHO, "commit", "-qam", "3")
    for number, (session, back) in enumerate((("dev-1", "HEAD~2"), ("dev-2", "HEAD"))):
        tree = prepared(bench, f"t{number}", session)
        remove_tree(tree / "s")
        git(tree, *_WHO, "clone", "-q", str(tmp_path / "sub"), "s")
        git(tree / "s", "checkout", "-q", back)
        done = bench.finish(session, f"t{number}", outcome=outcome if number == 0 else "ok")
        assert done.files == (["s"] if done.commit != done.parent else [])
        bench.integrate(done, effect=str(number))
    tree = prepared(bench, "t3")
    assert is_whole(tree)
    assert (tree / "s/lib.py").read_text() == "3\n"
    write(tree, {"n": "n\n"})
    assert bench.finish("dev-1", "t3").files == ["n"]
    assert len(list((bench.workspace.root / "aside").iterdir())) == 2


def nested(tmp_path: Path) -> Path:
    """A repository with a submodule `m` that has a submodule `inner`, both of them filled."""
    middle, origin = with_submodule(tmp_path, "inner"), tmp_path / "top"
    repository(origin, {"a": "a\n"}).close()
    git(origin, "reset", "-q", "--hard")
    git(origin, *_WHO, "submodule", "add", "-q", str(middle), "m")
    git(origin, *_WHO, "commit", "-qm", "m")
    git(origin, *_WHO, "submodule", "update", "-q", "--init", "--recursive")
    return origin


def test_submodules_of_submodules_are_filled_in_worktrees(tmp_path: Path) -> None:
    """Their bumps count where they are committed; where they are not, the one above is moved aside and named."""
    bench = Bench(tmp_path / "w")
    bench.ready(nested(tmp_path))
    tree = prepared(bench)
    assert git(tree, "submodule", "status", "--recursive").count("\n ") == 1
    assert is_whole(tree, "m")
    assert is_whole(tree / "m", "inner")
    git(tree / "m/inner", "checkout", "-q", "HEAD~1")
    done = bench.finish("dev-1")
    assert (done.files, len(notes(done))) == ([], 1)
    assert is_whole(tree, "m")
    assert (tree / "m/inner/lib.py").read_text() == "2\n"
    tree = prepared(bench, "t2")
    git(tree / "m/inner", "checkout", "-q", "HEAD~1")
    git(tree / "m", *_ME, "commit", "-qam", "bump")
    made = git(tree / "m", "rev-parse", "HEAD").strip()
    done = bench.finish("dev-1", "t2")
    assert (pointer(bench, done.commit, "m"), keeps(done)) == (made, [("submodule", "m", made, False)])
    tree = prepared(bench, "t3")
    assert (tree / "m/inner/lib.py").read_text() == "1\n"
    assert is_whole(tree, "m")
    assert is_whole(tree / "m", "inner")
    made = saved(tree, "m/inner")
    git(tree / "m/inner", "reset", "-q", "--hard", "HEAD~1")
    done = bench.finish("dev-1", "t3")
    assert (done.files, keeps(done), notes(done)) == ([], [("submodule", "m/inner", made, False)], [])


def test_a_submodule_is_renamed_removed_and_added(tmp_path: Path) -> None:
    """As the agent's git does it; what it added is filled in the next task, as its commit is known."""
    bench = Bench(tmp_path / "w")
    bench.ready(with_submodule(tmp_path))
    tree = prepared(bench, "t1")
    git(tree, "mv", "s", "moved")
    done = bench.finish("dev-1", "t1")
    assert sorted(done.files) == [".gitmodules", "moved", "s"]
    tree = prepared(bench, "t2")
    assert (tree / "moved/lib.py").read_text() == "2\n"
    assert not (tree / "s").exists()
    assert is_whole(tree, "moved")
    git(tree, "rm", "-q", "moved")
    git(tree, *_WHO, "submodule", "add", "-q", str(tmp_path / "sub"), "added")
    done = bench.finish("dev-1", "t2")
    assert sorted(done.files) == [".gitmodules", "added", "moved"]
    assert (notes(done), keeps(done)) == ([], [])
    tree = prepared(bench, "t3")
    assert (tree / "added/lib.py").read_text() == "2\n"
    assert is_whole(tree, "added")


@pytest.mark.parametrize("more", [False, True])
def test_a_check_of_a_commit_that_only_an_agent_has_says_where_it_is(tmp_path: Path, more: bool) -> None:
    """Also where the agent went on from there; not of a submodule that others have."""
    bench = Bench(tmp_path / "w")
    bench.ready(with_submodule(tmp_path))
    tree = prepared(bench)
    made = saved(tree)
    if more:
        git(tree / "s", "checkout", "-q", "-b", "more")
        saved(tree, name="later.py")
        git(tree / "s", "checkout", "-q", made)
    done = bench.finish("dev-1")
    place = Place(bench)
    place.do("check_out", done.commit)
    found = place.do("look", done.commit)
    assert found.unfilled == ["s"]
    assert not isinstance(done.kept, msgspec.UnsetType)
    assert [(one.path, one.commit) for one in found.alone] == [("s", made)]
    assert found.alone[0].ref in {one.ref for one in done.kept if one.kind == "submodule"}
    place.do("check_out", bench.workspace.base)
    assert place.do("look", bench.workspace.base).alone == []


def vendored(bench: Bench, session: str, task: str, outcome: str = "ok") -> WorkspaceCommitted:
    """A turn in which the agent replaces the submodule by files of its own."""
    tree = prepared(bench, task, session)
    git(tree, "rm", "-q", "-f", "s")
    write(tree, {"s/lib.py": "own\n", "s/more.py": "own\n"})
    return bench.finish(session, task, outcome=outcome)


def test_files_in_place_of_a_submodule_are_the_work(tmp_path: Path) -> None:
    """Nothing is said of them or moved, and whoever works next has them, also in a worktree that had the submodule."""
    bench = Bench(tmp_path / "w")
    bench.ready(with_submodule(tmp_path))
    prepared(bench, "t0", "dev-2")
    bench.finish("dev-2", "t0")
    done = vendored(bench, "dev-1", "t1")
    assert sorted(done.files) == [".gitmodules", "s", "s/lib.py", "s/more.py"]
    assert (notes(done), keeps(done)) == ([], [])
    assert not (bench.workspace.root / "aside").exists()
    bench.integrate(done, effect="1")
    for number, session in enumerate(("dev-1", "dev-2", "dev-1", "dev-3")):
        given = bench.prepare(session, f"n{number}")
        assert (notes(given), given.kept) == ([], msgspec.UNSET)
        tree = Path(given.path)
        assert ((tree / "s/lib.py").read_text(), (tree / "s/more.py").read_text()) == ("own\n", "own\n")
        assert is_clean(tree)
        done = bench.finish(session, f"n{number}")
        assert (done.files, notes(done)) == ([], [])
    place = Place(bench)
    for commit, content in ((bench.workspace.base, "2\n"), (bench.workspace.result, "own\n")) * 2:
        found = place.do("check_out", commit)
        assert library(found) == content


def test_files_in_place_of_a_submodule_of_an_attempt_that_failed_are_kept_once(tmp_path: Path) -> None:
    """By the attempt's ref; the submodule is back, whole."""
    bench = Bench(tmp_path / "w")
    bench.ready(with_submodule(tmp_path))
    done = vendored(bench, "dev-1", "t1", "failed")
    assert notes(done) == []
    assert not isinstance(done.kept, msgspec.UnsetType)
    assert [one.kind for one in done.kept] == ["attempt"]
    assert git(bench.workspace.repository, "show", f"{done.kept[0].commit}:s/more.py") == "own\n"
    assert not (bench.workspace.root / "aside").exists()
    assert is_whole(prepared(bench, "t2"))


def test_a_submodule_that_is_only_taken_out_of_the_index_is_not_destroyed(tmp_path: Path) -> None:
    """Its repository still lies there, so a change in it is no part of the work: it is moved aside and named."""
    bench = Bench(tmp_path / "w")
    bench.ready(with_submodule(tmp_path))
    tree = prepared(bench)
    git(tree, "rm", "-q", "--cached", "s")
    write(tree, {"s/lib.py": "changed\n"})
    done = bench.finish("dev-1")
    assert done.files == ["s"]
    (aside,) = (bench.workspace.root / "aside").iterdir()
    assert [str(aside) in note for note in notes(done)] == [True]
    assert (aside / "lib.py").read_text() == "changed\n"


def test_addresses_beside_the_repository_are_read_as_git_does(tmp_path: Path) -> None:
    """`../sub` is beside where the repository came from."""
    origin = with_submodule(tmp_path)
    git(origin, "config", "-f", ".gitmodules", "submodule.s.url", "../sub")
    git(origin, *_ME, "commit", "-qam", "relative")
    bench = Bench(tmp_path / "w")
    bench.ready(origin)
    tree = prepared(bench)
    assert git(tree / "s", "config", "remote.origin.url").strip() == str(tmp_path / "sub")
    git(tree / "s", "fetch", "-q")
    assert is_whole(tree)


@pytest.mark.parametrize("name", ["../../out", "/tmp/out", "a/../../b", ".git", "s/.GIT", ""])
def test_a_name_that_leads_out_of_the_modules_fills_nothing(tmp_path: Path, name: str) -> None:
    """`.gitmodules` is anybody's: no repository is written where it says, and the directory is empty."""
    bench = Bench(tmp_path / "w")
    bench.ready(with_submodule(tmp_path))
    work = bench.work("dev-1", {".gitmodules": f'[submodule "{name}"]\n\tpath = s\n\turl = ../sub\n'})
    bench.integrate(work)
    tree = prepared(bench, "t2", "dev-2")
    assert list((tree / "s").iterdir()) == []
    assert not (tree / ".git/modules").exists()


def test_nothing_in_a_submodules_repository_is_run_or_followed(tmp_path: Path) -> None:
    """Filters, `fsmonitor` and a link in its place: what cannot be read is moved aside as it is, and named."""
    bench = Bench(tmp_path / "w")
    bench.ready(with_submodule(tmp_path))
    tree = prepared(bench)
    harm = tmp_path / "harm"
    config = tree / ".git/modules/s/config"
    harmful = f'[core]\n\tfsmonitor = touch {harm}\n[filter "x"]\n\tclean = touch {harm}\n'
    config.write_text(config.read_text() + harmful)
    write(tree, {"s/.gitattributes": "* filter=x\n", "s/lib.py": "changed\n"})
    done = bench.finish("dev-1", "t1")
    assert not harm.exists()
    assert len(notes(done)) == 1
    tree = prepared(bench, "t2")
    remove_tree(tree / ".git/modules/s")
    (tree / ".git/modules/s").symlink_to(tmp_path / "sub/.git")
    done = bench.finish("dev-1", "t2")
    assert notes(done)
    assert done.files == []
    assert (tmp_path / "sub/.git/HEAD").exists()
    assert is_whole(prepared(bench, "t3"))


@pytest.mark.parametrize("step", ["take_over", "empty"])
def test_a_crash_while_submodules_are_filled_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The step is done again, with the same pointer, the same refs, and whole files."""
    bench = Bench(tmp_path / "w")
    bench.ready(with_submodule(tmp_path))
    tree = prepared(bench)
    made = saved(tree)

    def broken(*_: object, **__: object) -> None:
        raise OSError(5, "killed")

    with monkeypatch.context() as patched:
        if step == "empty":
            patched.setattr("services.workspace.git_program.worktree.empty", broken)
        else:
            patched.setattr("services.workspace.git_program.filling.AgentSubmodules.take_over", broken)
        with pytest.raises(OSError, match="killed"):
            bench.finish("dev-1")
    bench.again()
    done = bench.finish("dev-1")
    assert (pointer(bench, done.commit), keeps(done)) == (made, [("submodule", "s", made, False)])
    assert is_whole(tree)
    assert (tree / "s/new.py").read_text() == "new\n"


def test_submodules_of_a_sha256_repository(tmp_path: Path) -> None:
    """They are filled and bumped; a commit that an agent makes there is moved aside with its repository, and named."""
    sub, origin = tmp_path / "sub", tmp_path / "origin"
    for place in (sub, origin):
        git(tmp_path, "init", "-q", "-b", "main", "--object-format=sha256", str(place))
    for number in (1, 2):
        write(sub, {"lib.py": f"{number}\n"})
        git(sub, "add", "-A")
        git(sub, *_ME, "commit", "-qm", str(number))
    git(origin, *_WHO, "submodule", "add", "-q", str(sub), "s")
    git(origin, *_ME, "commit", "-qm", "sub")
    bench = Bench(tmp_path / "w")
    assert held(bench.ready(origin)) == {"s": True}
    tree = prepared(bench)
    assert is_whole(tree)
    git(tree / "s", "checkout", "-q", "HEAD~1")
    wanted = git(tree / "s", "rev-parse", "HEAD").strip()
    done = bench.finish("dev-1")
    assert (pointer(bench, done.commit), notes(done)) == (wanted, [])
    tree = prepared(bench, "t2")
    assert (tree / "s/lib.py").read_text() == "1\n"
    assert is_whole(tree)
    made = saved(tree)
    done = bench.finish("dev-1", "t2")
    assert pointer(bench, done.commit) == made
    assert any(made in note for note in notes(done))
    moved = [path for path in (bench.workspace.root / "aside").rglob(made[2:]) if path.is_file()]
    assert len(moved) == 1


def test_commits_of_submodules_in_other_worktrees_are_kept(tmp_path: Path) -> None:
    """An agent that added a worktree has a repository of the submodule for it, too."""
    bench = Bench(tmp_path / "w")
    bench.ready(with_submodule(tmp_path))
    tree = prepared(bench)
    git(tree, "worktree", "add", "-q", "../other")
    other = tree.parent / "other"
    git(other, *_WHO, "submodule", "update", "-q", "--init")
    made = saved(other)
    done = bench.finish("dev-1")
    assert ("submodule", "s", made, False) in keeps(done)
    assert git(bench.workspace.repository, "show", f"{made}:new.py") == "new\n"


def test_line_ends_of_submodules_are_those_that_attributes_ask_for(tmp_path: Path) -> None:
    """And they are no change of the agent's."""
    origin = with_submodule(tmp_path)
    write(origin, {"s/.gitattributes": "* text eol=crlf\n", "s/w.txt": "1\n2\n"})
    git(origin / "s", "add", "-A")
    git(origin / "s", *_ME, "commit", "-qm", "attributes")
    git(origin, *_ME, "commit", "-qam", "bump")
    bench = Bench(tmp_path / "w")
    bench.ready(origin)
    for task in ("t1", "t2"):
        tree = prepared(bench, task)
        assert (tree / "s/w.txt").read_bytes() == b"1\r\n2\r\n"
        assert is_whole(tree)
        assert notes(bench.finish("dev-1", task)) == []
