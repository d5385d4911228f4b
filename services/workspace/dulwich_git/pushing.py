"""Publishing a branch into the origin, object by object or over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from functools import partial
from pathlib import Path

import urllib3.exceptions
from dulwich.client import HTTPUnauthorized
from dulwich.errors import GitProtocolError, HangupException, NotGitRepository
from dulwich.object_store import MissingObjectFinder
from dulwich.objects import ZERO_SHA, ObjectID
from dulwich.pack import UnpackedObject
from dulwich.refs import Ref
from dulwich.repo import Repo

from services.workspace.dulwich_git.cloning import client_for
from services.workspace.dulwich_git.damage import DAMAGED
from services.workspace.dulwich_git.needing import refuse_receivers
from services.workspace.dulwich_git.store import Store
from services.workspace.origins import Origin, check_room
from services.workspace.problems import OriginUnavailable, WorkspaceProblem

_KINDS = {1: b"commit", 2: b"tree", 3: b"blob", 4: b"tag"}


def publish(origin: Origin, repository: Path, branch: str, commit: ObjectID) -> None:
    """Makes a branch of the origin name a commit; done when it does already.

    Raises:
        WorkspaceProblem: the origin refuses.
        OriginUnavailable: it does not answer.
    """
    ref = Ref(f"refs/heads/{branch}".encode())
    try:
        if _observed(origin, ref) == commit:
            return
        _push(origin, repository, ref, commit)
        seen = _observed(origin, ref)
    except HTTPUnauthorized as error:
        raise WorkspaceProblem("push_denied", f"{origin.shown} asks for a login to push.", where="push") from error
    except NotGitRepository as error:
        raise WorkspaceProblem("push_failed", f"{origin.shown} is no git repository any more.", where="push") from error
    except (GitProtocolError, HangupException, urllib3.exceptions.HTTPError, OSError) as error:
        raise OriginUnavailable(f"{origin.shown}: {error}") from error
    except DAMAGED as error:
        raise WorkspaceProblem("push_failed", f"{origin.shown} cannot be read: {error!r}.", where="push") from error
    if seen != commit:
        raise WorkspaceProblem(
            "push_failed", f"{origin.shown} took the push of {branch} and does not show it.", where="push"
        )


def _observed(origin: Origin, ref: Ref) -> ObjectID | None:
    client, where = client_for(origin)
    return client.get_refs(where.encode()).refs.get(ref)


def _push(origin: Origin, repository: Path, ref: Ref, commit: ObjectID) -> None:
    """Sets the branch where there is none, or where ours goes on from theirs."""
    if origin.kind == "path":
        refuse_receivers(origin)
    with Repo(str(repository)) as ours:
        if origin.kind == "path":
            _push_here(origin, ours, ref, commit)
            return

        def moves(theirs: dict[Ref, ObjectID]) -> dict[Ref, ObjectID]:
            check_room(origin, [name.decode("utf-8", "surrogateescape") for name in theirs], ref.decode())
            _check_goes_on(origin, ours, ref, theirs.get(ref), commit)
            return {ref: commit}

        client, where = client_for(origin)
        result = client.send_pack(where.encode(), moves, partial(_pack, ours))
    refused = (result.ref_status or {}).get(ref)
    if refused:
        raise WorkspaceProblem("push_rejected", f"{origin.shown} refused the push: {refused}.", where="push")


def _push_here(origin: Origin, ours: Repo, ref: Ref, commit: ObjectID) -> None:
    """Publishes into a repository on this disk, object by object, so that a crash leaves no lock of a pack behind."""
    with Repo(origin.location) as theirs:
        known = theirs.refs.as_dict()
        there = known.get(ref)
        check_room(origin, [name.decode("utf-8", "surrogateescape") for name in known], ref.decode())
        _check_goes_on(origin, ours, ref, there, commit)
        if not theirs.bare and theirs.refs.read_ref(Ref(b"HEAD")) == b"ref: " + ref:
            message = f"{origin.shown} has the branch checked out: it cannot be moved under it."
            raise WorkspaceProblem("push_rejected", message, where="push")
        common = [sha for sha in set(theirs.refs.as_dict().values()) if sha in ours.object_store]
        store = Store(Path(theirs.object_store.path))
        try:
            for sha, _ in MissingObjectFinder(ours.object_store, haves=common, wants=[commit]):
                kind, data = ours.object_store.get_raw(sha)
                store.put(_KINDS[kind], data)
            store.flush()
        finally:
            store.forget()
            store.close()
        # Nobody else moves this branch, and only one of us at a time: a lock that is there is one that died.
        Path(theirs.controldir(), f"{ref.decode()}.lock").unlink(missing_ok=True)
        if not theirs.refs.set_if_equals(ref, there or ZERO_SHA, commit):
            raise OriginUnavailable(f"{origin.shown}: somebody else moved {ref.decode()} at this moment")


def _pack(
    ours: Repo,
    have: AbstractSet[ObjectID],
    want: AbstractSet[ObjectID],
    *,
    ofs_delta: bool = False,
    progress: object = None,
) -> tuple[int, Iterator[UnpackedObject]]:
    """What the origin lacks."""
    del progress
    return ours.generate_pack_data(set(have), set(want), ofs_delta=ofs_delta)


def _check_goes_on(origin: Origin, ours: Repo, ref: Ref, there: ObjectID | None, commit: ObjectID) -> None:
    if there is None or there == commit:
        return
    if there in ours.object_store and any(entry.commit.id == there for entry in ours.get_walker(include=[commit])):
        return
    branch = ref.decode().removeprefix("refs/heads/")
    message = f"{origin.shown} has a branch {branch} with other work on it; it is never overwritten."
    raise WorkspaceProblem("push_rejected", message, where="push")
