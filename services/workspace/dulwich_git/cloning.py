"""Cached clones of origins.

Fetching talks the git protocol and copies objects: no hook, filter or setting of the other side is ever looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import urllib3.exceptions
from dulwich.client import GitClient, HTTPUnauthorized, LocalGitClient, Urllib3HttpGitClient
from dulwich.config import ConfigFile
from dulwich.errors import GitProtocolError, HangupException, NotGitRepository
from dulwich.objects import ObjectID
from dulwich.refs import Ref
from dulwich.repo import Repo

from services.workspace import files
from services.workspace.dulwich_git.bases import resolve
from services.workspace.dulwich_git.damage import DAMAGED
from services.workspace.dulwich_git.needing import refuse_formats
from services.workspace.dulwich_git.store import Store
from services.workspace.git_backend import Base, object_id
from services.workspace.locking import exclusive
from services.workspace.origins import Origin, check_local
from services.workspace.problems import OriginUnavailable, WorkspaceProblem

_TIMEOUT_S = 60.0


def client_for(origin: Origin) -> tuple[GitClient, str]:
    """A client that knows nothing of anybody's git settings, and the path to ask it for."""
    if origin.kind == "path":
        return LocalGitClient(config=ConfigFile()), origin.location
    parts = urlsplit(origin.location)
    base = parts._replace(path="", query="").geturl()
    client = Urllib3HttpGitClient(base, config=ConfigFile(), timeout=_TIMEOUT_S, quiet=True)
    return client, parts.path + (f"?{parts.query}" if parts.query else "")


class Clones:
    """The cached clones, one for each origin, each in a directory of its own and used by one at a time.

    A clone only ever grows: the repositories of executions borrow its objects.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.checked: set[ObjectID] = set()
        self._visible: dict[str, dict[Ref, ObjectID]] = {}

    def objects(self, origin: Origin) -> Path:
        """The directory of objects of an origin's clone."""
        return self._root / f"{origin.digest}.git" / "objects"

    def bring(self, origin: Origin, base: str) -> Base:
        """Makes the clone hold the commit that `base` (a branch, tag or commit id; empty: the default) stands for.

        Raises:
            WorkspaceProblem: there is no such repository or no such base.
            OriginUnavailable: the origin does not answer.
        """
        if origin.kind == "path":
            check_local(origin.location)
            refuse_formats(origin)
        self._root.mkdir(parents=True, exist_ok=True)
        try:
            with exclusive(self._root / f"{origin.digest}.lock"):
                return self._bring(origin, base)
        except (NotGitRepository, HTTPUnauthorized, GitProtocolError, HangupException) as error:
            raise _explained(origin, error) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise OriginUnavailable(f"{origin.shown}: {error}") from error
        except DAMAGED as error:
            raise WorkspaceProblem(
                "corrupt_repository", f"The repository {origin.shown} cannot be read: {error!r}.", where="repo"
            ) from error

    def _bring(self, origin: Origin, base: str) -> Base:
        path = self._root / f"{origin.digest}.git"
        clone = _opened(path)
        try:
            if origin.kind == "path":
                _check_whole(origin)
            client, where = client_for(origin)
            answer = client.get_refs(where.encode())
            refs = {name: sha for name, sha in answer.refs.items() if sha is not None and not name.endswith(b"^{}")}
            visible = {name: sha for name, sha in refs.items() if name.startswith((b"refs/heads/", b"refs/tags/"))}
            self._visible[origin.digest] = visible
            if not base:
                name, sha = _default(origin, refs, answer.symrefs)
                if sha is None:
                    return Base(None, name or _unborn(origin))
            elif not visible:
                return Base(None, _unborn(origin))
            else:
                name, sha = _first_guess(origin, refs, base)
            wanted = {*visible.values(), *([sha] if sha is not None else [])}
            lacking = [one for one in wanted if one not in clone.object_store]
            if lacking:
                _clear(path)
                self._fetch(client, where, clone, lacking, sha)
            commit = resolve({}, clone.object_store, sha.decode()) if sha is not None else None
            if commit is None and base:
                commit = resolve(refs, clone.object_store, base)
            if commit is None:
                raise _no_base(origin, refs, base or name)
            files.replace(path / "refs/heads" / commit.decode(), commit + b"\n", durable=True)
            return Base(commit.decode(), name)
        finally:
            clone.close()

    def _fetch(
        self, client: GitClient, where: str, clone: Repo, lacking: list[ObjectID], base: ObjectID | None
    ) -> None:
        """Gets every branch and tag. Where one of them is not whole, which is nobody's concern here, the base alone."""
        try:
            client.fetch(where.encode(), clone, determine_wants=partial(_want, lacking))
        except DAMAGED:
            if base is None or base in clone.object_store:
                raise
            client.fetch(where.encode(), clone, determine_wants=partial(_want, [base]))

    def visible(self, origin: Origin) -> bytes:
        """The branches and tags of an origin, as it was brought last and as a clone of it would have them."""
        clone = Store(self.objects(origin))
        try:
            known = self._visible.get(origin.digest, {})
            refs = {
                bytes(name).replace(b"refs/heads/", b"refs/remotes/origin/", 1): sha
                for name, sha in known.items()
                if sha in clone
            }
        finally:
            clone.close()
        return b"# pack-refs with: sorted\n" + b"".join(b"%s %s\n" % (sha, name) for name, sha in sorted(refs.items()))


def _clear(clone: Path) -> None:
    """Removes what a process that died while it fetched has left: its locks would stand in everybody's way."""
    for left in (*clone.glob("objects/tmp_pack_*"), *clone.glob("objects/pack/*.lock")):
        left.unlink(missing_ok=True)


def _want(shas: list[ObjectID], refs: Mapping[Ref, ObjectID], depth: int | None = None) -> list[ObjectID]:
    """The objects to fetch. The protocol asks with what there is, which is known already."""
    del refs, depth
    return shas


def _opened(path: Path) -> Repo:
    """The clone, made where there is none, or only half of one."""
    for directory in ("objects/info", "objects/pack", "refs/heads", "refs/tags"):
        (path / directory).mkdir(parents=True, exist_ok=True)
    (path / "HEAD").write_text("ref: refs/heads/none\n")
    (path / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = true\n[gc]\n\tauto = 0\n")
    clone = Repo(str(path))
    clone.object_store.fsync_object_files = True
    return clone


def _default(origin: Origin, refs: dict[Ref, ObjectID], symrefs: dict[Ref, Ref]) -> tuple[str, ObjectID | None]:
    """The name of the default branch (empty where none is checked out) and the object it stands for."""
    head = symrefs.get(Ref(b"HEAD"), Ref(b""))
    default = head.removeprefix(b"refs/heads/").decode(errors="replace")
    if not any(name.startswith(b"refs/") for name in refs):
        return default, None
    sha = refs.get(head) if head else refs.get(Ref(b"HEAD"))
    if sha is None:
        raise WorkspaceProblem(
            "base_not_found",
            f"The default branch {default or 'HEAD'} of {origin.shown} has no commit. Say where to start.",
            where="repo.base",
        )
    return default, sha


def _first_guess(origin: Origin, refs: dict[Ref, ObjectID], base: str) -> tuple[str, ObjectID | None]:
    """The name of a branch and its commit, or nothing and what a base stands for in an origin on this machine."""
    branch = base.removeprefix("refs/heads/")
    sha = refs.get(Ref(b"refs/heads/" + branch.encode("utf-8", "surrogateescape")))
    if sha is not None:
        return branch, sha
    if origin.kind != "path":
        return "", ObjectID(base.encode()) if object_id(base) else None
    with Repo(origin.location) as theirs:
        known = {**theirs.refs.as_dict(), **refs}
        return "", resolve(known, theirs.object_store, base)


def _no_base(origin: Origin, refs: dict[Ref, ObjectID], base: str) -> WorkspaceProblem:
    known = sorted(name.removeprefix(b"refs/heads/").decode(errors="replace") for name in refs if b"heads/" in name)
    shown = ", ".join(known[:10]) or "none"
    return WorkspaceProblem(
        "base_not_found",
        f"{origin.shown} has no branch, tag or commit {base[:200]!r}. Its branches: {shown}.",
        where="repo.base",
    )


def _unborn(origin: Origin) -> str:
    """The branch on which the first commit of an empty repository will be."""
    if origin.kind == "path":
        with Repo(origin.location) as theirs:
            head = theirs.refs.read_ref(Ref(b"HEAD")) or b""
        if head.startswith(b"ref: refs/heads/"):
            return head.removeprefix(b"ref: refs/heads/").decode(errors="replace")
    return "main"


def _check_whole(origin: Origin) -> None:
    with Repo(origin.location) as theirs:
        if theirs.get_shallow():
            raise WorkspaceProblem(
                "shallow_repository",
                f"{origin.shown} lacks its history (it is a shallow clone). Run `git fetch --unshallow` in it, or give "
                "the repository that it was cloned from.",
                where="repo",
            )


def _explained(origin: Origin, error: Exception) -> Exception:
    if isinstance(error, NotGitRepository):
        return WorkspaceProblem("repository_not_found", f"There is no git repository at {origin.shown}.", where="repo")
    if isinstance(error, HTTPUnauthorized):
        return WorkspaceProblem("repository_denied", f"{origin.shown} asks for a login.", where="repo")
    return OriginUnavailable(f"{origin.shown}: {error}")
