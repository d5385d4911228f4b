"""Partial clones as origins: what they lack comes from where they got the rest, into the platform's own clone."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from schemas.events import WorkspaceFailed
from tests.services.workspace.bench import GIT, Bench, git, write
from tests.services.workspace.test_as_git_does import listing, made, save

pytestmark = [pytest.mark.backend("git"), pytest.mark.skipif(GIT is None, reason="there is no git program")]

_WHO = ("-c", "user.name=u", "-c", "user.email=u@x")
_FILTERS = pytest.mark.parametrize("what", ["blob:none", "tree:0"])


def whole(tmp_path: Path) -> Path:
    """A repository that may be cloned in part; `d/b` was `old` once and is `mid`."""
    place = made(tmp_path / "whole", {"a": "1", "d/b": "old\n", "d/c/x": "x\n"})
    save(place, {"d/b": "mid\n"})
    git(place, "config", "uploadpack.allowFilter", "true")
    return place


def partial(tmp_path: Path, what: str, *options: str, url: str = "") -> Path:
    """A partial clone of it."""
    git(tmp_path, "clone", "-q", f"--filter={what}", *options, url or f"file://{tmp_path}/whole", "part")
    return tmp_path / "part"


def worked(tmp_path: Path, origin: Path, base: str = "") -> Bench:
    """Work on it, after which the repository of the execution is whole and the origin is as it was."""
    before = listing(origin / ".git")
    bench = Bench(tmp_path / "ws")
    bench.ready(origin, base)
    assert listing(origin / ".git") == before
    bench.integrate(bench.work("dev-1", {"n": "n"}))
    git(bench.workspace.repository, "rev-list", "--objects", "--quiet", bench.workspace.branch)
    assert not list((tmp_path / "ws/clones").glob("*.beside"))
    return bench


@_FILTERS
@pytest.mark.parametrize("options", [(), ("--no-checkout",), ("--bare",)])
def test_what_a_partial_clone_lacks_comes_from_its_promisor(
    tmp_path: Path, what: str, options: tuple[str, ...]
) -> None:
    """Also old files; nothing is fetched into the partial clone itself."""
    whole(tmp_path)
    origin = partial(tmp_path, what, *options)
    if options == ("--bare",):
        git(origin, "config", "extensions.partialClone", "origin")
        (tmp_path / "link").mkdir()
        (tmp_path / "link/.git").symlink_to(origin)
        origin = tmp_path / "link"
    bench = worked(tmp_path, origin)
    assert bench.files() == {"a": b"1", "d/b": b"mid\n", "d/c/x": b"x\n", "n": b"n"}
    assert git(bench.workspace.repository, "cat-file", "-p", f"{bench.workspace.base}~1:d/b") == "old\n"
    again = Bench(tmp_path / "ws", "x2")
    again.ready(origin)


@_FILTERS
def test_commits_of_ones_own_are_taken_along(tmp_path: Path, what: str) -> None:
    """On top of what the promisor has, and of what no branch of it reaches any more."""
    place = whole(tmp_path)
    origin = partial(tmp_path, what)
    write(origin, {"d/c/x": "mine\n"})
    git(origin, *_WHO, "commit", "-qam", "mine")
    assert worked(tmp_path, origin).files()["d/c/x"] == b"mine\n"
    git(place, "checkout", "-q", "--orphan", "other")
    save(place, {"z": "z"})
    git(place, "branch", "-D", "main")
    write(origin, {"a": "mine\n"})
    git(origin, *_WHO, "commit", "-qam", "more")
    found = worked(tmp_path / "later", origin).files()
    assert (found["a"], found["d/b"]) == (b"mine\n", b"mid\n")


@_FILTERS
def test_a_base_that_no_branch_reaches_is_completed_by_its_id(tmp_path: Path, what: str) -> None:
    """One that was pushed away, one that a reflog names, and one that the partial clone never had."""
    place = whole(tmp_path)
    origin = partial(tmp_path, what)
    old = git(place, "rev-parse", "HEAD").strip()
    git(place, "reset", "-q", "--hard", "HEAD~1")
    new = save(place, {"z": "z"})
    git(place, "reset", "-q", "--hard", "HEAD~1")
    git(origin, "fetch", "-q")
    git(origin, "reset", "-q", "--hard", "origin/main")
    for number, (base, commit) in enumerate(((old, old), ("main@{1}", old), (new, new))):
        bench = worked(tmp_path / str(number), origin, base)
        assert bench.workspace.base == commit
        assert bench.files()["d/b"] == (b"mid\n" if commit == old else b"old\n")
    failed = Bench(tmp_path / "none").open(origin, "1" * 40)
    assert isinstance(failed, WorkspaceFailed)
    assert failed.error.code == "base_not_found"


def test_an_object_that_nobody_has_is_said(tmp_path: Path) -> None:
    """The promisor has lost it: the refusal says who does not give what, at once."""
    place = whole(tmp_path)
    origin = partial(tmp_path, "blob:none", "--no-checkout")
    git(place, "checkout", "-q", "--orphan", "other")
    save(place, {"z": "z"})
    git(place, "branch", "-D", "main")
    git(place, "reflog", "expire", "--expire=all", "--all")
    git(place, "gc", "-q", "--prune=now")
    failed = Bench(tmp_path / "ws").open(origin)
    assert isinstance(failed, WorkspaceFailed)
    assert failed.error.code == "partial_repository"
    assert str(place) in failed.error.message


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c touch% {0}",
        "ssh://-oProxyCommand=touch%20{0}/x",
        "git@example.org:u/r.git",
        "https://u:secret@example.org/r",
    ],
)
def test_a_promisor_that_is_not_allowed_is_named(tmp_path: Path, url: str) -> None:
    """A partial clone that could only be completed over something else than what is allowed is refused so."""
    origin = made(tmp_path / "r", {"a": "1"})
    git(origin, "config", "extensions.partialClone", "origin")
    git(origin, "config", "core.repositoryformatversion", "1")
    git(origin, "config", "remote.origin.url", url.format(tmp_path / "never"))
    failed = Bench(tmp_path / "ws").open(origin)
    assert isinstance(failed, WorkspaceFailed)
    assert failed.error.code == "partial_repository"
    assert "partial clone of" in failed.error.message
    assert "secret" not in failed.error.message
    assert not (tmp_path / "never").exists()


def test_a_partial_clone_that_is_shallow_too_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """It lacks its history, which is said."""
    whole(tmp_path)
    failed = Bench(tmp_path / "ws").open(partial(tmp_path, "blob:none", "--depth=1"))
    assert isinstance(failed, WorkspaceFailed)
    assert failed.error.code == "shallow_repository"
    assert "--unshallow" in failed.error.message


class _Served(BaseHTTPRequestHandler):
    """Git's own server program behind HTTP."""

    root = ""

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        env = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": self.root,
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        done = subprocess.run([str(GIT), "http-backend"], input=body, env=env, capture_output=True, check=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(headers.pop("Status", "200 OK").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815 - the name is the library's

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the library's
        del format, args


@contextmanager
def served(root: Path) -> Generator[str]:
    """The repositories below a directory, over HTTP on this machine."""
    handler = type("Served", (_Served,), {"root": str(root)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_promisor_over_http(tmp_path: Path) -> None:
    """By id too."""
    place = whole(tmp_path)
    with served(tmp_path) as url:
        origin = partial(tmp_path, "blob:none", "--no-checkout", url=f"{url}/whole")
        old = git(place, "rev-parse", "HEAD").strip()
        git(place, "reset", "-q", "--hard", "HEAD~1")
        bench = worked(tmp_path, origin, old)
    assert bench.files()["d/b"] == b"mid\n"
