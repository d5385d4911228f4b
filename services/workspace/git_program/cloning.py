"""Cached clones of origins: every branch and tag, and whatever commit work starts from.

A clone only ever grows: the repositories of executions borrow its objects. Old commits that git tolerates although
they are malformed are tolerated here. A partial clone is completed from where it got its objects, into ours.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import structlog

from services.workspace.bare import fill_bare
from services.workspace.git_backend import Base, Oid, object_id
from services.workspace.git_program.completing import beside, lacking
from services.workspace.git_program.local_origin import LocalOrigin, look, resolve
from services.workspace.git_program.runner import FETCH_TIMEOUT_S
from services.workspace.git_program.submodules import module_repositories
from services.workspace.locking import exclusive, held
from services.workspace.origins import Origin, check_local, parse_origin
from services.workspace.problems import OriginUnavailable, WorkspaceProblem
from shared.git import Done, GitProgram, GitTimeout, run_git

_log = structlog.get_logger(__name__)

_EVERYTHING = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
_FETCH = (
    "fetch",
    "--quiet",
    "--no-tags",
    "--no-write-fetch-head",
    "--no-auto-maintenance",
    "--no-recurse-submodules",
    "--no-show-forced-updates",
)
_LOGIN = re.compile(r"(?<=//)[^/]*@")
_LEFT = ("*.lock", "objects/pack/*.lock", "objects/pack/tmp_*", "objects/tmp_*", "objects/??/tmp_obj_*")


class Clones:
    """The cached clones, one for each origin, each in a directory of its own and used by one at a time."""

    def __init__(self, program: GitProgram, root: Path) -> None:
        self._program = program
        self._root = root
        self.seen: dict[str, LocalOrigin] = {}
        self.formats: dict[str, str] = {}
        """The object format in which each origin was brought last, by its digest."""

    def path(self, origin: Origin, object_format: str) -> Path:
        """The clone of an origin in an object format: a repository may be made anew in another one at its place."""
        return self._root / f"{origin.digest}{'' if object_format == 'sha1' else f'-{object_format}'}.git"

    def objects(self, origin: Origin, object_format: str) -> Path:
        """The directory of objects of an origin's clone."""
        return self.path(origin, object_format) / "objects"

    def bring(self, origin: Origin, base: str) -> Base:
        """Makes the clone hold the commit that `base` stands for, and every branch and tag."""
        if origin.kind == "path":
            check_local(origin.location)
        self._root.mkdir(parents=True, exist_ok=True)
        with exclusive(self._root / f"{origin.digest}.lock"):
            for object_format in ("sha1", "sha256"):
                clear_left(self.path(origin, object_format))
            if origin.kind == "path":
                return self._local(origin, base)
            return self._web(origin, base)

    # -- from this machine ------------------------------------------------------------------------------------------

    def _local(self, origin: Origin, base: str) -> Base:
        local = look(self._program, origin)
        self.seen[origin.digest] = local
        self.formats[origin.digest] = local.object_format
        commit, branch = resolve(self._program, origin, local, base)
        if commit is None and object_id(base) and local.promisors:
            commit = self._promised(origin, self._opened(origin, local.object_format, local.branch), local, base)
        if commit is None:
            if not local.refs:
                return Base(None, branch or local.branch or "main")
            raise self._no_base(origin, base, list(local.refs))
        clone = self._opened(origin, local.object_format, local.branch)
        self._bring_submodules(origin, clone, local)
        kept = f"refs/parallax/base/{commit}"
        have = self._refs(clone)
        if {**local.refs, kept: commit}.items() <= have.items() and len(local.refs) == _count(have):
            return Base(commit, branch)
        if local.promisors:
            done = self._from_both(origin, clone, local, commit)
        else:
            done = self._fetch(origin, clone, [*_EVERYTHING, f"+{commit}:{kept}"])
            if done.code != 0:  # some other branch may be broken, which is nobody's concern here
                done = self._fetch(origin, clone, [f"+{commit}:{kept}"])
        if done.code != 0:
            raise explained(origin, done, local)
        return Base(commit, branch)

    def _bring_submodules(self, origin: Origin, clone: Path, local: LocalOrigin) -> None:
        """Gets the objects of the submodules that the origin holds itself. What cannot be had leaves one unfilled."""
        for root in local.modules:
            for module in module_repositories(root):
                place = f"refs/parallax/submodules/{hashlib.sha256(os.fsencode(module)).hexdigest()[:16]}"
                words = [f"--git-dir={clone}", *_FETCH, "--prune"]
                words += [f"--upload-pack={upload_pack(self._program, GIT_WORK_TREE='/')}", "--end-of-options"]
                words += [str(module), f"+refs/*:{place}/refs/*"]
                try:
                    done = self._talk(origin, [*words, f"+HEAD:{place}/HEAD"], clone)
                    if done.code != 0:  # its HEAD may be a branch without a commit
                        done = self._talk(origin, words, clone)
                except OriginUnavailable as error:
                    _log.warning("submodule_not_fetched", module=str(module), error=str(error))
                    continue
                if done.code != 0:
                    _log.warning("submodule_not_fetched", module=str(module), error=done.errors[-500:])

    def _refs(self, clone: Path) -> dict[str, Oid]:
        words = [f"--git-dir={clone}", "for-each-ref", "--format=%(objectname) %(refname)"]
        lines = run_git(self._program, words, codes=None).out.decode("utf-8", "surrogateescape").splitlines()
        return {ref: oid for oid, _, ref in (line.partition(" ") for line in lines)}

    def _no_base(self, origin: Origin, base: str, refs: Sequence[str]) -> WorkspaceProblem:
        found = [ref.removeprefix("refs/heads/") for ref in refs if ref.startswith("refs/heads/")]
        shown = ", ".join(found[:10]) or "none"
        return WorkspaceProblem(
            "base_not_found",
            f"{origin.shown} has no branch, tag or commit {base[:200]!r}. Its branches: {shown}.",
            where="repo.base",
        )

    # -- a partial clone --------------------------------------------------------------------------------------------

    def _from_both(self, origin: Origin, clone: Path, local: LocalOrigin, commit: Oid) -> Done:
        """Gets what a partial clone lacks from where it came from, and the rest from it. Nothing is written into it."""
        promisors = [_promisor(origin, url) for url in local.promisors]
        for promisor in promisors:
            kinds = ("heads", "tags")
            done = self._fetch(promisor, clone, [f"+refs/{kind}/*:refs/parallax/promised/{kind}/*" for kind in kinds])
            if done.code != 0:
                raise explained(promisor, done)
        if self._commit_at(clone, commit) is None or not self._is_whole(clone, commit):
            self._get(origin, promisors, clone, [commit])
        kept = f"refs/parallax/base/{commit}"
        with beside(clone, local, {**local.refs, kept: commit}) as both:
            try:
                self._get(origin, promisors, clone, [commit, *local.refs.values()])
                done = self._fetch(origin, clone, [*_EVERYTHING, f"+{kept}:{kept}"], place=both)
            except (WorkspaceProblem, OriginUnavailable):
                done = self._fetch(origin, clone, [f"+{kept}:{kept}"], place=both)
            else:
                if done.code != 0:
                    done = self._fetch(origin, clone, [f"+{kept}:{kept}"], place=both)
        return done

    def _is_whole(self, clone: Path, commit: Oid) -> bool:
        """Whether the clone has a commit with all below it."""
        words = [f"--git-dir={clone}", "rev-list", "--objects", "--quiet", commit, "--not", "--all"]
        return run_git(self._program, words, codes=None, pass_fds=held()).code == 0

    def _get(self, origin: Origin, promisors: Sequence[Origin], clone: Path, tips: Sequence[Oid]) -> None:
        """Gets by their ids the objects below `tips` that neither the origin nor the clone has."""
        wanted = lacking(self._program, origin, clone, tips, self._refs(clone).values())
        for promisor in promisors:
            if not wanted:
                return
            names = "".join(f"{oid}\n" for oid in wanted).encode()
            words = [f"--git-dir={clone}", *_FETCH, "--stdin", *self._reads(promisor), "--end-of-options"]
            done = self._talk(promisor, [*words, promisor.location], clone, stdin=names)
            if done.code != 0 and promisor is promisors[-1]:
                words_said = done.errors.strip()[-500:]
                message = (
                    f"{origin.shown} is a partial clone of {promisor.shown}, which does not give the objects that it "
                    f"lacks: {words_said}"
                )
                raise WorkspaceProblem("partial_repository", message, where="repo")
            wanted = lacking(self._program, origin, clone, tips, self._refs(clone).values())

    def _promised(self, origin: Origin, clone: Path, local: LocalOrigin, base: Oid) -> Oid | None:
        """A commit that a partial clone has not, and that is there by its id where it came from."""
        for url in local.promisors:
            kept = f"refs/parallax/base/{base}"
            done = self._fetch(_promisor(origin, url), clone, [f"+{base}:{kept}"])
            found = self._commit_at(clone, base) if done.code == 0 else None
            if found is not None:
                return found
        return None

    # -- from elsewhere ---------------------------------------------------------------------------------------------

    def _web(self, origin: Origin, base: str) -> Base:
        words = ["ls-remote", "--symref", "--end-of-options", origin.location]
        done = self._talk(origin, words, self._root)
        if done.code != 0:
            raise explained(origin, done)
        lines = [line.split("\t") for line in done.out.decode("utf-8", "replace").splitlines() if "\t" in line]
        refs = {name: oid for oid, name in lines if object_id(oid)}
        head = next((text[5:] for text, name in lines if name == "HEAD" and text.startswith("ref: ")), "")
        default = head.removeprefix("refs/heads/")
        if not any(name.startswith("refs/") for name in refs):
            return Base(None, default or "main")
        object_format = "sha256" if any(len(oid) == 64 for oid in refs.values()) else "sha1"
        clone = self._opened(origin, object_format, default or "none")
        done = self._fetch(origin, clone, list(_EVERYTHING))
        if done.code != 0:
            raise explained(origin, done)
        commit, branch = self._resolved(origin, clone, base, default)
        run_git(self._program, [f"--git-dir={clone}", "update-ref", f"refs/parallax/base/{commit}", commit])
        return Base(commit, branch)

    def _resolved(self, origin: Origin, clone: Path, base: str, default: str) -> tuple[Oid, str]:
        if not base:
            commit = self._commit_at(clone, "HEAD")
            if commit is None:
                raise WorkspaceProblem(
                    "base_not_found",
                    f"The default branch {default or 'HEAD'} of {origin.shown} has no commit. Say where to start.",
                    where="repo.base",
                )
            return commit, default
        branch = base.removeprefix("refs/heads/").removeprefix("refs/remotes/").removeprefix("origin/")
        commit = self._commit_at(clone, f"refs/heads/{branch}")
        if commit is not None:
            return commit, branch
        commit = self._commit_at(clone, base)
        if commit is None and object_id(base) is not None:
            self._fetch(origin, clone, [f"+{base}:refs/parallax/base/{base}"])
            commit = self._commit_at(clone, base)
        if commit is None:
            raise self._no_base(origin, base, list(self._refs(clone)))
        return commit, ""

    def _commit_at(self, clone: Path, name: str) -> Oid | None:
        if any(ord(letter) < 0x20 for letter in name):
            return None
        words = [f"--git-dir={clone}", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"]
        done = run_git(self._program, words, codes=None)
        return done.out.decode().strip() if done.code == 0 else None

    # -- the clone --------------------------------------------------------------------------------------------------

    def _opened(self, origin: Origin, object_format: str, branch: str) -> Path:
        """The clone, made where there is none, or only half of one."""
        self.formats[origin.digest] = object_format
        path = self.path(origin, object_format)
        name = branch if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_./-]*", branch) else "none"
        fill_bare(path, name, object_format)
        return path

    def _fetch(self, origin: Origin, clone: Path, refspecs: Sequence[str], *, place: Path | None = None) -> Done:
        """Fetches from an origin, or from what stands in for it at a place."""
        words = [f"--git-dir={clone}", *_FETCH, "--prune", *self._reads(origin), "--end-of-options"]
        return self._talk(origin, [*words, str(place or origin.location), *refspecs], clone)

    def _reads(self, origin: Origin) -> list[str]:
        return [f"--upload-pack={upload_pack(self._program)}"] if origin.kind == "path" else []

    def _talk(self, origin: Origin, words: Sequence[str], cwd: Path, *, stdin: bytes = b"") -> Done:
        try:
            return run_git(
                self._program,
                words,
                env={"GIT_ALLOW_PROTOCOL": protocols(origin)},
                cwd=cwd,
                stdin=stdin,
                timeout_s=FETCH_TIMEOUT_S,
                codes=None,
                pass_fds=held(),
            )
        except GitTimeout as error:
            raise OriginUnavailable(f"{origin.shown}: {error}") from error


def _promisor(origin: Origin, url: str) -> Origin:
    """Where a partial clone gets its objects from, if that is allowed."""
    try:
        return parse_origin(url)
    except WorkspaceProblem as problem:
        raise WorkspaceProblem(
            "partial_repository",
            f"{origin.shown} is a partial clone of {_LOGIN.sub('…@', url)}, which it could be completed from: "
            f"{problem.message}",
            where="repo",
        ) from problem


def _count(refs: dict[str, Oid]) -> int:
    """How many branches and tags there are."""
    return sum(ref.startswith(("refs/heads/", "refs/tags/")) for ref in refs)


def protocols(origin: Origin) -> str:
    """What git may talk to an origin by, also after a redirect."""
    if origin.kind == "path":
        return "file"
    return "https" if origin.location.startswith("https:") else "http:https"


def upload_pack(program: GitProgram, **env: str) -> str:
    """How the other side of a fetch on this machine is run: it reads, and neither writes nor fetches.

    `GIT_WORK_TREE` in `env` stands in for the one that a submodule names, which may not be there.
    """
    words = ["env", "GIT_NO_LAZY_FETCH=1", "GIT_ALLOW_PROTOCOL=none", "GIT_OPTIONAL_LOCKS=0"]
    words += [*(f"{name}={value}" for name, value in env.items()), program.path]
    for setting in ("safe.directory=*", "uploadpack.allowAnySHA1InWant=true", "core.hooksPath=/dev/null", "gc.auto=0"):
        words += ["-c", setting]
    return shlex.join([*words, "upload-pack"])


def clear_left(clone: Path) -> None:
    """Removes what a git that was killed has left. Whoever holds the lock of the clone knows that none runs."""
    for pattern in _LEFT:
        for left in clone.glob(pattern):
            left.unlink(missing_ok=True)
    if (clone / "refs").is_dir():
        for left in (clone / "refs").rglob("*.lock"):
            left.unlink(missing_ok=True)


_DENIED = ("could not read Username", "Authentication failed", "returned error: 401", "returned error: 403")
_MISSING = ("not found", "returned error: 404", "does not appear to be a git repository", "not a git repository")
_LACKING = ("remote helper", "not allowed", "unsupported", "mismatched algorithms", "unknown object format")
_DAMAGED = ("missing", "bad object", "did not send all necessary objects", "unable to read", "lazy fetching disabled")


def explained(origin: Origin, done: Done, local: LocalOrigin | None = None) -> Exception:
    """Why git could not fetch, in the service's words."""
    words = re.sub(r"^(fatal|error): ", "", done.errors.strip(), flags=re.MULTILINE)[-1500:]
    if "No space left on device" in words:
        return OSError(28, words)
    if origin.kind == "http" and any(sign in words for sign in _DENIED):
        return WorkspaceProblem("repository_denied", f"{origin.shown} asks for a login.", where="repo")
    if any(sign in words for sign in _LACKING):
        return WorkspaceProblem("repository_unsupported", f"{origin.shown} cannot be fetched: {words}", where="repo")
    if local is not None and any(sign in words for sign in _DAMAGED):
        return WorkspaceProblem("corrupt_repository", f"{origin.shown} is not whole: {words}", where="repo")
    if any(sign in words for sign in _MISSING):
        return WorkspaceProblem("repository_not_found", f"There is no git repository at {origin.shown}.", where="repo")
    if local is not None:
        return WorkspaceProblem("corrupt_repository", f"{origin.shown} cannot be fetched: {words}", where="repo")
    return OriginUnavailable(f"{origin.shown}: {words}")
