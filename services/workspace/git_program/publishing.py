"""Publishing a branch: git pushes it, with the hooks and permissions of whoever receives it.

The other side is the user's own repository: its own configuration and hooks are meant to count there. A push makes
exactly one branch, never overwrites anything, and is over when the origin shows what was pushed.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from services.workspace.git_backend import Oid, object_id
from services.workspace.git_program.cloning import protocols
from services.workspace.git_program.local_origin import ask
from services.workspace.git_program.runner import PUSH_TIMEOUT_S, Git
from services.workspace.locking import held
from services.workspace.origins import Origin, check_room
from services.workspace.problems import OriginUnavailable, WorkspaceProblem
from shared.git import Done, GitProgram, GitTimeout, run_git

_NOT_OURS = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM", "GIT_ATTR_NOSYSTEM", "GIT_OPTIONAL_LOCKS", "GIT_NO_LAZY_FETCH")
_DENIED = ("could not read Username", "Authentication failed", "returned error: 401", "returned error: 403")
_GONE = ("not found", "does not appear to be a git repository", "not a git repository", "returned error: 404")


def publish(git: Git, origin: Origin, branch: str, commit: Oid) -> None:
    """Makes `branch` of the origin name `commit`; done when it does already."""
    ref = f"refs/heads/{branch}"
    there = _refs(git, origin)
    if there.get(ref) == commit:
        return
    check_room(origin, there, ref)
    _check_goes_on(git, origin, ref, there.get(ref), commit)
    if origin.kind == "path":
        _clear_lock(git.program, origin, ref)
    done = _push(git, origin, ref, commit)
    if _refs(git, origin).get(ref) == commit:
        return
    raise _refused(origin, branch, done)


def _refs(git: Git, origin: Origin) -> dict[str, Oid]:
    """The branches that an origin has now."""
    if origin.kind == "path":
        if not Path(origin.location).is_dir():
            raise WorkspaceProblem("push_failed", f"{origin.shown} is not there any more.", where="push")
        done = ask(git.program, origin, "for-each-ref", "--format=%(objectname)%09%(refname)", "refs/heads")
    else:
        done = _talk(git, origin, "ls-remote", "--heads", "--end-of-options", origin.location)
    if done.code != 0:
        raise _failed(origin, done)
    lines = (line.split("\t") for line in done.out.decode("utf-8", "surrogateescape").splitlines())
    return {name: oid for oid, name in lines if object_id(oid)}


def _check_goes_on(git: Git, origin: Origin, ref: str, there: Oid | None, commit: Oid) -> None:
    if there is None or git.run("merge-base", "--is-ancestor", there, commit, codes=None).code == 0:
        return
    branch = ref.removeprefix("refs/heads/")
    message = f"{origin.shown} has a branch {branch} with other work on it; it is never overwritten."
    raise WorkspaceProblem("push_rejected", message, where="push")


def _clear_lock(program: GitProgram, origin: Origin, ref: str) -> None:
    """Nobody else moves this branch, and only one of us at a time: a lock that is there is one that died."""
    place = Path(origin.location)
    if (place / ".git").is_file():  # a linked worktree: its branches are elsewhere
        done = ask(program, origin, "rev-parse", "--git-common-dir")
        place /= done.out.decode("utf-8", "surrogateescape").rstrip("\n")
    elif (place / ".git").is_dir():
        place /= ".git"
    (place / f"{ref}.lock").unlink(missing_ok=True)


def _push(git: Git, origin: Origin, ref: str, commit: Oid) -> Done:
    words = ["push", "--porcelain", "--no-verify", "--no-follow-tags", "--no-progress"]
    if origin.kind == "path":
        words.append(f"--receive-pack={_receive_pack(git.program)}")
    return _talk(git, origin, *words, "--end-of-options", origin.location, f"{commit}:{ref}")


def _receive_pack(program: GitProgram) -> str:
    """How the other side is run on this machine: as the user would, but that it tidies nothing up meanwhile."""
    words = ["env", *(word for name in _NOT_OURS for word in ("-u", name)), "-u", "GIT_ALLOW_PROTOCOL", program.path]
    for setting in ("safe.directory=*", "receive.autogc=false", "gc.auto=0", "maintenance.auto=false"):
        words += ["-c", setting]
    return shlex.join([*words, "receive-pack"])


def _talk(git: Git, origin: Origin, *words: str) -> Done:
    try:
        return run_git(
            git.program,
            words,
            env={"GIT_DIR": str(git.directory), "GIT_ALLOW_PROTOCOL": protocols(origin)},
            cwd=git.directory,
            timeout_s=PUSH_TIMEOUT_S,
            codes=None,
            pass_fds=held(),
        )
    except GitTimeout as error:
        raise OriginUnavailable(f"{origin.shown}: {error}") from error


def _refused(origin: Origin, branch: str, done: Done) -> Exception:
    """Why the origin does not show the branch, in its own words."""
    out = done.out.decode("utf-8", "replace")
    status = re.search(r"^!\t[^\t]*\t(.*)$", out, flags=re.MULTILINE)
    said = [line.removeprefix("remote: ").rstrip() for line in done.errors.splitlines() if line.startswith("remote: ")]
    words = " ".join(line for line in said if line)[:1500]
    if status is not None:
        if any(sign in status[1] for sign in ("non-fast-forward", "fetch first", "already exists", "stale info")):
            message = f"{origin.shown} has a branch {branch} with other work on it; it is never overwritten."
            return WorkspaceProblem("push_rejected", message, where="push")
        why = f"{status[1]}{': ' + words if words else ''}"
        return WorkspaceProblem("push_rejected", f"{origin.shown} refused the push: {why}.", where="push")
    if done.code == 0:
        message = f"{origin.shown} took the push of {branch} and does not show it."
        return WorkspaceProblem("push_failed", message, where="push")
    return _failed(origin, done)


def _failed(origin: Origin, done: Done) -> Exception:
    words = re.sub(r"^(fatal|error): ", "", done.errors.strip(), flags=re.MULTILINE)[-1500:]
    if any(sign in words for sign in _DENIED):
        return WorkspaceProblem("push_denied", f"{origin.shown} asks for a login to push.", where="push")
    if any(sign in words for sign in _GONE):
        return WorkspaceProblem("push_failed", f"{origin.shown} is no git repository any more.", where="push")
    if origin.kind == "path":
        return WorkspaceProblem("push_failed", f"{origin.shown} cannot be pushed to: {words}", where="push")
    return OriginUnavailable(f"{origin.shown}: {words}")
