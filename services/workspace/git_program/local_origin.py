"""An origin on this machine: what it is, what a base means in it, and which of its own rules say what is ignored.

Git runs in it only to read, under the configuration of the platform: nothing of it is written, no hook or filter of it
runs, nothing is fetched into it.
"""

from __future__ import annotations

from dataclasses import dataclass
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
    """What a repository says of itself.

    `refs` are its branches and tags, `commits` what tags stand for. `promisors` are addresses that a partial clone gets
    its objects from. `excludes` and `attributes` are files of rules, the later over the earlier. `modules` are the
    directories in which it keeps the repositories of its submodules, whether they are there or not. `objects` is where
    its objects are.
    """

    object_format: str
    branch: str
    refs: dict[str, Oid]
    commits: dict[str, Oid]
    promisors: list[str]
    excludes: list[Path]
    attributes: Path
    modules: list[Path]
    objects: Path


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
    paths = [
        word for path in ("info/exclude", "info/attributes", "modules", "objects") for word in ("--git-path", path)
    ]
    done = ask(
        program, origin, "rev-parse", "--show-object-format", "--is-shallow-repository", *paths, "--git-common-dir"
    )
    if done.code != 0:
        raise _refusal(program, origin, done)
    lines = done.out.decode("utf-8", "surrogateescape").splitlines()
    object_format, shallow, exclude, attributes, own, objects, common = lines
    if shallow == "true":
        raise WorkspaceProblem(
            "shallow_repository",
            f"{origin.shown} lacks its history (it is a shallow clone). Run `git fetch --unshallow` in it, or give "
            "the repository that it was cloned from.",
            where="repo",
        )
    settings = _settings(program, origin)
    branch, refs, commits = _refs(program, origin)
    return LocalOrigin(
        object_format=object_format,
        branch=branch,
        refs=refs,
        commits=commits,
        promisors=_promisors(settings),
        excludes=[*_excludes_file(settings), Path(origin.location, exclude)],
        attributes=Path(origin.location, attributes),
        objects=Path(origin.location, objects),
        modules=sorted(
            {at.resolve() / "modules" for at in (Path(origin.location, own).parent, Path(origin.location, common))}
        ),
    )


def _refs(program: GitProgram, origin: Origin) -> tuple[str, dict[str, Oid], dict[str, Oid]]:
    """The branch that is checked out, and all branches and tags."""
    words = ("for-each-ref", "--format=%(HEAD)%(objectname) %(*objectname) %(refname)", "refs/heads", "refs/tags")
    branch, refs, commits = "", dict[str, Oid](), dict[str, Oid]()
    done = ask(program, origin, *words)
    if done.code != 0:
        raise _refusal(program, origin, done)
    for line in done.out.decode("utf-8", "surrogateescape").splitlines():
        oid, peeled, ref = line[1:].split(" ", 2)
        refs[ref], commits[ref] = oid, peeled or oid
        if line[0] == "*":
            branch = ref.removeprefix("refs/heads/")
    if not branch:
        head = ask(program, origin, "symbolic-ref", "--quiet", "HEAD").out.decode("utf-8", "surrogateescape").strip()
        branch = head.removeprefix("refs/heads/") if head.startswith("refs/heads/") else ""
    return branch, refs, commits


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


def _settings(program: GitProgram, origin: Origin | None) -> dict[str, str]:
    """What is read of the configuration of an origin and of the user: nothing else of it counts."""
    keys = r"^(core\.excludesfile|extensions\.partialclone|remote\..*\.(promisor|partialclonefilter|url))$"
    place = ["-C", origin.location] if origin is not None and origin.kind == "path" else []
    words = [*place, "config", "--null", "--get-regexp", keys]
    done = run_git(program, words, user_config=True, codes=None, timeout_s=_TIMEOUT_S, pass_fds=held())
    found: dict[str, str] = {}
    for item in done.out.decode("utf-8", "surrogateescape").split("\0"):
        key, _, value = item.partition("\n")
        found[key] = value
    return found


def _promisors(settings: dict[str, str]) -> list[str]:
    names = {settings["extensions.partialclone"]} if "extensions.partialclone" in settings else set[str]()
    for key in settings:
        if key.endswith((".promisor", ".partialclonefilter")):
            names.add(key.removeprefix("remote.").rpartition(".")[0])
    return [settings[f"remote.{name}.url"] for name in sorted(names) if f"remote.{name}.url" in settings]


def _excludes_file(settings: dict[str, str]) -> list[Path]:
    """The user's own ignore file, which git honours in every repository."""
    if settings.get("core.excludesfile"):
        return [Path(settings["core.excludesfile"]).expanduser()]
    env = environment()
    home = env.get("XDG_CONFIG_HOME") or (f"{env['HOME']}/.config" if env.get("HOME") else "")
    return [Path(home, "git/ignore")] if home else []


def resolve(program: GitProgram, origin: Origin, local: LocalOrigin, base: str) -> tuple[Oid | None, str]:
    """The commit that a base stands for, as git reads it, and the name of its branch. None: nothing is there yet."""
    if not base:
        commit = local.commits.get(f"refs/heads/{local.branch}") or commit_at(program, origin, "HEAD")
        if commit is None and local.refs:
            raise WorkspaceProblem(
                "base_not_found",
                f"The default branch {local.branch or 'HEAD'} of {origin.shown} has no commit. Say where to start.",
                where="repo.base",
            )
        return commit, local.branch
    branch = base.removeprefix("refs/heads/")
    commit = local.commits.get(f"refs/heads/{branch}")
    if commit is not None:
        return commit, branch
    return commit_at(program, origin, base), ""


def commit_at(program: GitProgram, origin: Origin, name: str) -> Oid | None:
    """The commit that a name stands for in a local origin."""
    if any(ord(letter) < 0x20 for letter in name):
        return None
    words = ("rev-parse", "--verify", "--quiet", "--end-of-options")
    done = ask(program, origin, *words, f"{name}^{{commit}}")
    if done.code != 0 and ":/" in name:  # a search for words takes all that follows for them
        done = ask(program, origin, *words, name)
    return done.out.decode().strip() if done.code == 0 else None


def ignore_rules(program: GitProgram, local: LocalOrigin | None) -> bytes:
    """What the user has git ignore beside `.gitignore`: `core.excludesFile`, then the origin's `info/exclude`.

    This is the one thing that is taken from the user's own configuration: what the user never commits, an agent is not
    to commit either.
    """
    paths = local.excludes if local is not None else _excludes_file(_settings(program, None))
    return b"".join(rules(path) for path in paths)


def rules(path: Path) -> bytes:
    """The content of a file of rules, ending with a line; nothing where there is none."""
    try:
        content = path.read_bytes()
    except OSError:
        return b""
    content = content.removeprefix(b"\xef\xbb\xbf")
    return content if not content or content.endswith(b"\n") else content + b"\n"
