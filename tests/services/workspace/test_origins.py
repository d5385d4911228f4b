"""Where repositories come from, and what a hostile one may try."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from dulwich.objects import Blob, Tree
from dulwich.refs import Ref
from dulwich.repo import Repo
from dulwich.server import DictBackend
from dulwich.web import make_wsgi_chain

from schemas.events import WorkspaceFailed, WorkspaceFinalized, WorkspaceIntegrated, WorkspaceReady
from services.workspace.names import safe_name
from services.workspace.origins import parse_origin
from services.workspace.problems import OriginUnavailable, WorkspaceProblem
from tests.services.workspace.bench import Bench, add_commit, commit_at, repository, with_tree


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the library's
        """Says nothing."""


@pytest.fixture
def web(tmp_path: Path) -> Generator[tuple[str, Repo]]:
    """A repository behind a git server on the loopback that speaks smart HTTP."""
    repo = repository(tmp_path / "served", {"a.txt": "a\n"}, bare=True)
    config = repo.get_config()
    config.set((b"http",), b"receivepack", True)
    config.write_to_path()
    server: WSGIServer = make_server(
        "127.0.0.1", 0, make_wsgi_chain(DictBackend({"/r.git": repo})), handler_class=_Quiet
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/r.git", repo
    server.shutdown()
    thread.join()
    server.server_close()
    repo.close()


def test_clone_and_push_over_http(web: tuple[str, Repo], tmp_path: Path) -> None:
    """A repository behind HTTP is cloned, updated, worked on and pushed to, like one on this disk."""
    url, served = web
    bench = Bench(tmp_path / "ws")
    ready = bench.ready(url)
    assert (ready.base_branch, ready.url) == ("main", url)
    bench.integrate(bench.work("dev-1", {"b.txt": "b\n"}))
    done = bench.finalize(push=True)
    assert isinstance(done, WorkspaceFinalized)
    assert (done.pushed, done.error) == (True, None)
    assert served.refs[Ref(f"refs/heads/{done.branch}".encode())] == done.commit.encode()
    newer = add_commit(served, {"a.txt": "newer\n"})
    later = Bench(tmp_path / "ws", "x2")
    assert later.ready(url).base_commit == newer.decode()


def test_a_repository_that_is_not_on_the_server(web: tuple[str, Repo], tmp_path: Path) -> None:
    """A wrong path on a server that answers is the request's fault, and said at once."""
    failed = Bench(tmp_path / "ws").open(web[0].replace("r.git", "other.git"))
    assert isinstance(failed, WorkspaceFailed)
    assert failed.error.code == "repository_not_found"


def test_a_server_that_is_not_there_is_worth_another_try(tmp_path: Path) -> None:
    """Nobody listening is nobody's fault yet."""
    with pytest.raises(OriginUnavailable):
        Bench(tmp_path / "ws").open("http://127.0.0.1:9/r.git")


def test_branches_tags_commits_and_the_default(tmp_path: Path) -> None:
    """The base is the default branch, a branch, a tag or a commit that a branch stands at."""
    with repository(tmp_path / "origin", {"a.txt": "1\n"}, branch="trunk") as repo:
        first = repo.refs[Ref(b"refs/heads/trunk")]
        repo.refs[Ref(b"refs/tags/v1")] = first
        second = add_commit(repo, {"a.txt": "2\n"}, branch="trunk")
        other = add_commit(repo, {"a.txt": "3\n"}, branch="topic/x")
    cases = {"": (second, "trunk"), "topic/x": (other, "topic/x"), "v1": (first, ""), second.decode(): (second, "")}
    for number, (base, (commit, branch)) in enumerate(cases.items()):
        ready = Bench(tmp_path / "ws", f"x{number}").ready(tmp_path / "origin", base)
        assert (ready.base_commit.encode(), ready.base_branch) == (commit, branch)


def test_file_urls_and_bare_repositories(tmp_path: Path) -> None:
    """`file://`, with spaces and letters of all kinds, and a bare repository."""
    repository(tmp_path / "gr öße.git", {"a.txt": "1\n"}, bare=True).close()
    assert Bench(tmp_path / "ws").ready(f"file://{tmp_path}/gr%20%C3%B6%C3%9Fe.git").base_branch == "main"


def test_an_empty_repository_is_begun(tmp_path: Path) -> None:
    """A repository without a commit starts with an empty one on the branch that it names."""
    with Repo.init(str(tmp_path / "origin"), mkdir=True) as repo:
        repo.refs.set_symbolic_ref(Ref(b"HEAD"), Ref(b"refs/heads/first"))
    bench = Bench(tmp_path / "ws")
    assert bench.ready(tmp_path / "origin").base_branch == "first"
    bench.integrate(bench.work("dev-1", {"a.txt": "a\n"}))
    done = bench.finalize(push=True)
    assert isinstance(done, WorkspaceFinalized)
    assert done.pushed


def test_a_second_execution_fetches_nothing(tmp_path: Path) -> None:
    """The cached clone is used while the origin has nothing new, and outlives the origin's own history."""
    with repository(tmp_path / "origin", {"a.txt": "1\n"}) as repo:
        Bench(tmp_path / "ws", "x1").ready(tmp_path / "origin")
        packs = sorted((tmp_path / "ws/clones").rglob("*.pack"))
        Bench(tmp_path / "ws", "x2").ready(tmp_path / "origin")
        assert sorted((tmp_path / "ws/clones").rglob("*.pack")) == packs
        del repo.refs[Ref(b"refs/heads/main")]
        rewritten = add_commit(repo, {"b.txt": "force-pushed\n"})
    assert Bench(tmp_path / "ws", "x3").ready(tmp_path / "origin").base_commit == rewritten.decode()
    bench = Bench(tmp_path / "ws", "x1")
    assert bench.work("dev-1", {"c.txt": "c\n"}).error is None


def test_a_clone_that_was_cut_short_is_mended(tmp_path: Path) -> None:
    """Half a clone, as a crash leaves it, does not stand in anybody's way."""
    repository(tmp_path / "origin", {"a.txt": "1\n"}).close()
    place = tmp_path / "ws/clones" / f"{parse_origin(str(tmp_path / 'origin')).digest}.git"
    (place / "objects").mkdir(parents=True)
    (place / "objects/tmp_pack_half").write_bytes(b"PACK")
    Bench(tmp_path / "ws").ready(tmp_path / "origin")
    assert not list(place.rglob("tmp_pack_*"))


@pytest.mark.parametrize(
    "name",
    [b"..", b".", b".git", b".GIT", b".Git ", b".git.", b"git~1", b".g\xe2\x80\x8cit", b"a/b", b"", b"x" * 256],
)
def test_dangerous_names_are_never_written(tmp_path: Path, name: bytes) -> None:
    """A tree that would write outside of a worktree or into `.git` ends the request, wherever in the tree it is."""
    assert not safe_name(name)
    with repository(tmp_path / "origin", {"pkg/a.txt": "a\n"}) as repo:
        blob = Blob.from_string(b"#!/bin/sh\n")
        repo.object_store.add_object(blob)
        raw = b"100755 " + name + b"\0" + bytes.fromhex(blob.id.decode())
        tree = Tree.from_string(raw)
        repo.object_store.add_object(tree)
        top = Tree()
        top.add(b"pkg", 0o040000, tree.id)
        with_tree(repo, top)
    failed = Bench(tmp_path / "ws").open(tmp_path / "origin")
    assert isinstance(failed, WorkspaceFailed)
    assert failed.error.code in {"unsafe_repository", "corrupt_repository"}


def test_ordinary_odd_names_are_fine() -> None:
    """Names that look strange and harm nothing are let through."""
    for name in (
        b".gitignore",
        b".github",
        b"git",
        b"aux",
        b"a\\b",
        b"caf\xe9",
        b"con.txt",
        b"-rf",
        b" ",
        b"...",
        b".git-blame-ignore-revs",
    ):
        assert safe_name(name), name


@pytest.mark.backend("git")
def test_hooks_and_filters_of_the_repository_are_never_run(tmp_path: Path) -> None:
    """A local repository full of traps is cloned, worked on and pushed to without springing one."""
    with repository(
        tmp_path / "origin", {".gitattributes": "*.bin filter=trap\n", "x.bin": "x\n", "a.txt": "a\n"}
    ) as repo:
        trap = tmp_path / "trap"
        trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\n")
        trap.chmod(0o755)
        hooks = Path(repo.controldir()) / "hooks"
        hooks.mkdir(exist_ok=True)
        for hook in ("post-checkout", "pre-receive", "update", "post-receive", "post-update", "reference-transaction"):
            (hooks / hook).write_bytes(trap.read_bytes())
            (hooks / hook).chmod(0o755)
        with (Path(repo.controldir()) / "config").open("a") as config:
            config.write(f"[core]\n\tfsmonitor = {trap}\n[uploadpack]\n\tpackObjectsHook = {trap}\n")
            config.write(f'[filter "trap"]\n\tsmudge = {trap}\n\tclean = {trap}\n\tprocess = {trap}\n')
    bench = Bench(tmp_path / "ws")
    bench.ready(tmp_path / "origin")
    assert isinstance(bench.integrate(bench.work("dev-1", {"a.txt": "b\n"})), WorkspaceIntegrated)
    assert bench.work("dev-1", {"b.txt": "c\n"}, "t2").error is None
    assert not (tmp_path / "sprung").exists()


def test_a_push_never_overwrites(tmp_path: Path) -> None:
    """Where the origin has other work on the branch, the push is refused with a reason and the work stays here."""
    with repository(tmp_path / "origin", {"a.txt": "a\n"}) as repo:
        foreign = add_commit(repo, {"x.txt": "somebody else's\n"}, branch="parallax/x1/result")
        bench = Bench(tmp_path / "ws")
        bench.ready(tmp_path / "origin")
        bench.integrate(bench.work("dev-1", {"b.txt": "b\n"}))
        done = bench.finalize(push=True)
        assert isinstance(done, WorkspaceFinalized)
        assert done.error is not None
        assert (done.pushed, done.error.code) == (False, "push_rejected")
        assert repo.refs[Ref(b"refs/heads/parallax/x1/result")] == foreign
        assert bench.again().finalize(push=True) == done


def test_a_push_that_was_done_before_a_crash_is_found_done(tmp_path: Path) -> None:
    """The branch is there already: the same answer, and nothing is sent again."""
    with repository(tmp_path / "origin", {"a.txt": "a\n"}) as repo:
        bench = Bench(tmp_path / "ws")
        bench.ready(tmp_path / "origin")
        bench.integrate(bench.work("dev-1", {"b.txt": "b\n"}))
        first = bench.finalize(push=True)
        journal = bench.workspace.root / "journal.jsonl"
        lines = journal.read_bytes().splitlines(keepends=True)
        journal.write_bytes(b"".join(lines[:-1]))
        packs = len(list(Path(repo.controldir()).rglob("*.pack")))
        assert bench.again().finalize(push=True) == first
        assert len(list(Path(repo.controldir()).rglob("*.pack"))) == packs


def test_the_branch_under_a_checkout_is_not_moved(tmp_path: Path) -> None:
    """A user who has the result checked out keeps what is in front of them."""
    with repository(tmp_path / "origin", {"a.txt": "a\n"}) as repo:
        bench = Bench(tmp_path / "ws")
        bench.ready(tmp_path / "origin")
        bench.integrate(bench.work("dev-1", {"b.txt": "b\n"}))
        repo.refs.set_symbolic_ref(Ref(b"HEAD"), Ref(b"refs/heads/parallax/x1/result"))
        done = bench.finalize(push=True)
    assert isinstance(done, WorkspaceFinalized)
    assert done.error is not None
    assert "checked out" in done.error.message


def test_an_origin_that_is_gone_at_the_end(tmp_path: Path) -> None:
    """The push fails with a reason; the work is on the result branch."""
    repository(tmp_path / "origin", {"a.txt": "a\n"}).close()
    bench = Bench(tmp_path / "ws")
    bench.ready(tmp_path / "origin")
    bench.integrate(bench.work("dev-1", {"b.txt": "b\n"}))
    (tmp_path / "origin").rename(tmp_path / "moved")
    done = bench.finalize(push=True)
    assert isinstance(done, WorkspaceFinalized)
    assert done.error is not None
    assert done.error.code == "push_failed"
    assert bench.files() == {"a.txt": b"a\n", "b.txt": b"b\n"}


def test_without_being_asked_nothing_is_pushed(tmp_path: Path) -> None:
    """The user's repository is as it was."""
    with repository(tmp_path / "origin", {"a.txt": "a\n"}) as repo:
        bench = Bench(tmp_path / "ws")
        bench.ready(tmp_path / "origin")
        bench.integrate(bench.work("dev-1", {"b.txt": "b\n"}))
        done = bench.finalize()
        assert isinstance(done, WorkspaceFinalized)
        assert not done.pushed
        assert sorted(repo.refs.allkeys()) == [b"HEAD", b"refs/heads/main"]


@pytest.mark.parametrize(
    "url",
    ["", "x", "C:\\x", "https:///x", "https://[x", "/a\nb", "file:x", "javascript:x", "https://h:99999/x", "ftp://h/x"],
)
def test_addresses_that_are_none(url: str) -> None:
    """Every address that is not allowed is refused with a sentence."""
    with pytest.raises(WorkspaceProblem, match=r"absolute path, a file:// or an https://"):
        parse_origin(url)


def test_a_damaged_repository_is_reported(tmp_path: Path) -> None:
    """Objects that are missing or damaged end the request with a reason."""
    with repository(tmp_path / "origin", {"a.txt": "a\n"}) as repo:
        tree = repo[commit_at(repo, "refs/heads/main").tree]
    path = tmp_path / "origin/.git/objects" / tree.id[:2].decode() / tree.id[2:].decode()
    path.chmod(0o644)
    path.write_bytes(os.urandom(100))
    failed = Bench(tmp_path / "ws").open(tmp_path / "origin")
    assert isinstance(failed, WorkspaceFailed)
    assert failed.error.code == "corrupt_repository"
    assert isinstance(Bench(tmp_path / "ws").open(tmp_path / "origin"), WorkspaceFailed | WorkspaceReady)
