"""What commit a base stands for: names of references, ids whole or short, and steps back from them.

Other expressions of git's (searches, dates, reflogs) are refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from dulwich.object_store import BaseObjectStore
from dulwich.objects import Commit, ObjectID, Tag
from dulwich.refs import Ref

from services.workspace.dulwich_git.needing import git_needed

_STEP = re.compile(rb"~(\d*)|\^(\d+|\{commit\}|\{\}|\{0\}|)")
_WHERE = (b"%s", b"refs/%s", b"refs/tags/%s", b"refs/heads/%s", b"refs/remotes/%s", b"refs/remotes/%s/HEAD")
_SHORTEST = 4
_DESCRIBED = re.compile(rb".+-\d+-g([0-9a-f]{4,40})")


def resolve(refs: Mapping[Ref, ObjectID], store: BaseObjectStore, base: str) -> ObjectID | None:
    """The commit that a base stands for. None: there is none.

    Raises:
        WorkspaceProblem: it is an expression, or a short id of several objects, of which only git knows the meaning.
    """
    text = base.encode("utf-8", "surrogateescape")
    if any(code < 0x20 for code in text):
        return None
    name, steps = _divided(text)
    if b":" in steps or b"@{" in text or b"^{" in re.sub(rb"\^\{(commit|)\}", b"", steps) or b":" in name:
        raise git_needed(f"The base {base[:200]!r} is an expression", where="repo.base")
    found = _named(refs, store, name, base)
    at = 0
    while found is not None and at < len(steps):
        step = _STEP.match(steps, at)
        if step is None:
            return None
        found = _stepped(store, found, step)
        at = step.end()
    return _commit(store, found)


def _divided(text: bytes) -> tuple[bytes, bytes]:
    """The name at the beginning, and the steps from it: no name of a reference has a `~`, `^` or `:` in it."""
    end = min((at for sign in (b"~", b"^") if (at := text.find(sign)) >= 0), default=len(text))
    return text[:end], text[end:]


def _named(refs: Mapping[Ref, ObjectID], store: BaseObjectStore, name: bytes, base: str) -> ObjectID | None:
    if re.fullmatch(rb"[0-9a-fA-F]{40}", name):
        return ObjectID(name.lower())
    found = refs.get(Ref(b"HEAD")) if name == b"@" else None
    for where in _WHERE:
        found = found or refs.get(Ref(where % name))
    if found is not None:
        return found
    described = _DESCRIBED.fullmatch(name)
    short = described[1] if described else name.lower()
    if len(short) < _SHORTEST or not re.fullmatch(rb"[0-9a-f]+", short):
        return None
    ids = {ObjectID(oid) for oid in store.iter_prefix(short)}
    commits = [oid for oid in ids if _commit(store, oid) is not None]
    if len(commits) > 1:
        raise git_needed(f"The base {base[:200]!r} is the beginning of {len(commits)} ids", where="repo.base")
    return commits[0] if commits else None


def _stepped(store: BaseObjectStore, oid: ObjectID, step: re.Match[bytes]) -> ObjectID | None:
    commit = _commit(store, oid)
    if commit is None:
        return None
    if step[1] is not None:
        back = int(step[1] or b"1")
        for _ in range(back):
            parents = _parents(store, commit)
            if not parents:
                return None
            commit = parents[0]
        return commit
    number = step[2]
    if number.startswith(b"{"):
        return commit
    which = int(number or b"1")
    parents = _parents(store, commit)
    if which == 0:
        return commit
    return parents[which - 1] if which <= len(parents) else None


def _parents(store: BaseObjectStore, commit: ObjectID) -> list[ObjectID]:
    if commit not in store:
        return []
    found = store[commit]
    return list(found.parents) if isinstance(found, Commit) else []


def _commit(store: BaseObjectStore, oid: ObjectID | None) -> ObjectID | None:
    """The commit that an object is, or that a tag names in the end."""
    while oid is not None and oid in store:
        found = store[oid]
        if isinstance(found, Commit):
            return oid
        oid = found.object[1] if isinstance(found, Tag) else None
    return None
