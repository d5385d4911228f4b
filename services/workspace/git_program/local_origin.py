"""An origin on this machine: what it is, what a base means in it, and which of its own rules say what is ignored.

Git runs in it only to read, under the configuration of the platform: nothing of it is written, no hook or filter of it
runs, nothing is fetched into it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from services.workspace.git_backend import Oid
from services.workspace.locking import held
from services.workspace.origins import Origin
from services.workspace.problems import WorkspaceProblem
from shared.git import Done, GitFailed, GitProgram, GitTimeout, environment, run_git

_UNSUPPORTED = ("unknown repository extension", "Expected git repo version", "unknown value", "unknown ref storage")
_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class LocalOrigin:
    """What a repository says of itself. `promisors` are addresses that a partial clone gets its objects from."""

    common: Path
    object_format: str
    branch: str
    promisors: list[str] = field(default_factory=list[str])


def ask(program: GitProgram, origin: Origin, *words: str, codes: tuple[int, ...] | None = None) -> Done:
    """Runs git in the origin, to read."""
    try:
        return run_git(
            program,
            ["-C", origin.location, *words],
            timeout_s=_TIMEOUT_S,
            codes=codes,
            pass_fds=held(),
        )
    except (GitFailed, GitTimeout) as error:
        raise WorkspaceProblem("repository_unreadable", f"{origin.shown}: {error}", where="repo") from error


def look(program: GitProgram, origin: Origin) -> LocalOrigin:
    """Looks at an origin.

    Raises:
        WorkspaceProblem: it is none, or of a kind that this git does not know, or lacks its history.
    """
    done = ask(program, origin, "rev-parse", "--git-common-dir", "--show-object-format", "--is-shallow-repository")
    if done.code != 0:
        raise _refusal(program, origin, done)
    common, object_format, shallow = done.out.decode("utf-8", "surrogateescape").splitlines()
    if shallow == "true":
        raise WorkspaceProblem(
            "shallow_repository",
            f"{origin.shown} lacks its history (it is a shallow clone). Run `git fetch --unshallow` in it, or give "
            "the repository that it was cloned from.",
            where="repo",
        )
    head = ask(program, origin, "symbolic-ref", "--quiet", "HEAD").out.decode("utf-8", "replace").strip()
    return LocalOrigin(
        Path(origin.location, common),
        object_format,
        head.removeprefix("refs/heads/") if head.startswith("refs/heads/") else "",
        _promisors(program, origin),
    )


def _refusal(program: GitProgram, origin: Origin, done: Done) -> WorkspaceProblem:
    words = done.errors.strip().removeprefix("fatal: ")[:1000]
    if any(sign in words for sign in _UNSUPPORTED):
        return WorkspaceProblem(
            "repository_unsupported",
            f"{origin.shown} is in a format that git {program.shown} does not know: {words}. A newer git may.",
            where="repo",
        )
    if "not a git repository" in words:
        return WorkspaceProblem("repository_not_found", f"There is no git repository at {origin.shown}.", where="repo")
    return WorkspaceProblem(
        "corrupt_repository", f"The repository {origin.shown} cannot be read: {words}", where="repo"
    )


def _promisors(program: GitProgram, origin: Origin) -> list[str]:
    keys = r"^(extensions\.partialclone|remote\..*\.(promisor|partialclonefilter|url))$"
    done = ask(program, origin, "config", "--null", "--get-regexp", keys)
    found: dict[str, str] = {}
    for item in done.out.decode("utf-8", "replace").split("\0"):
        key, _, value = item.partition("\n")
        found.setdefault(key, value)
    names = {found["extensions.partialclone"]} if "extensions.partialclone" in found else set[str]()
    for key in found:
        if key.endswith((".promisor", ".partialclonefilter")):
            names.add(key.removeprefix("remote.").rpartition(".")[0])
    return [found[f"remote.{name}.url"] for name in sorted(names) if f"remote.{name}.url" in found]


def resolve(program: GitProgram, origin: Origin, local: LocalOrigin, base: str) -> tuple[Oid | None, str]:
    """The commit that a base stands for, as git reads it, and the name of its branch. None: nothing is there yet."""
    if not base:
        commit = commit_at(program, origin, "HEAD")
        if commit is None and not ask(program, origin, "for-each-ref", "--count=1").out:
            return None, local.branch or "main"
        if commit is None:
            raise WorkspaceProblem(
                "base_not_found",
                f"The default branch {local.branch or 'HEAD'} of {origin.shown} has no commit. Say where to start.",
                where="repo.base",
            )
        return commit, local.branch
    if any(ord(letter) < 0x20 for letter in base):
        return None, ""
    branch = base.removeprefix("refs/heads/")
    commit = commit_at(program, origin, f"refs/heads/{branch}")
    if commit is not None:
        return commit, branch
    return commit_at(program, origin, base), ""


def commit_at(program: GitProgram, origin: Origin, name: str) -> Oid | None:
    """The commit that a name stands for in a local origin."""
    done = ask(program, origin, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    return done.out.decode().strip() if done.code == 0 else None


def ignore_rules(program: GitProgram, origin: Origin | None) -> bytes:
    """What the user has git ignore beside `.gitignore`: `core.excludesFile`, then the origin's `info/exclude`.

    This is the one thing that is taken from the user's own configuration: what the user never commits, an agent is not
    to commit either.
    """
    rules = _lines(_excludes_file(program, origin))
    if origin is not None and origin.kind == "path":
        done = ask(program, origin, "rev-parse", "--git-path", "info/exclude")
        rules += _lines(Path(origin.location, done.out.decode("utf-8", "surrogateescape").rstrip("\n")))
    return rules


def attribute_rules(program: GitProgram, origin: Origin | None) -> bytes:
    """The origin's `info/attributes`."""
    if origin is None or origin.kind != "path":
        return b""
    done = ask(program, origin, "rev-parse", "--git-path", "info/attributes")
    return _lines(Path(origin.location, done.out.decode("utf-8", "surrogateescape").rstrip("\n")))


def _excludes_file(program: GitProgram, origin: Origin | None) -> Path | None:
    place = ["-C", origin.location] if origin is not None and origin.kind == "path" else []
    done = run_git(
        program,
        [*place, "config", "--type=path", "--get", "core.excludesFile"],
        user_config=True,
        codes=None,
        timeout_s=_TIMEOUT_S,
    )
    if done.code == 0 and done.out.strip():
        return Path(done.out.decode("utf-8", "surrogateescape").rstrip("\n"))
    env = environment()
    home = env.get("XDG_CONFIG_HOME") or (f"{env['HOME']}/.config" if env.get("HOME") else "")
    return Path(home, "git/ignore") if home else None


def _lines(path: Path | None) -> bytes:
    """The content of a file of rules, ending with a line; nothing where there is none."""
    try:
        content = path.read_bytes() if path is not None else b""
    except OSError:
        return b""
    content = content.removeprefix(b"\xef\xbb\xbf")
    return content if not content or content.endswith(b"\n") else content + b"\n"
