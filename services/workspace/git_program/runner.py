"""Runs git on directories of the platform, and says in the service's words how it failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from services.workspace.locking import held
from services.workspace.problems import WorkspaceProblem
from shared.git import Done, GitFailed, GitProgram, GitTimeout, run_git

FETCH_TIMEOUT_S = 3600.0
PUSH_TIMEOUT_S = 1200.0
_TIMEOUT_S = 900.0

LOOK_AT_SUBMODULES = "--ignore-submodules=none"
"""For comparisons of trees: gitlinks count, and git does not read what a `.gitmodules` of an agent says of that. A
value in it that git refuses would end every comparison."""


@dataclass(frozen=True, slots=True)
class Git:
    """Git on one repository of the platform's own: `directory` is its git directory.

    `worktree` and `index` stand in for what git would look for; without them there is neither. The locks that this
    thread holds are handed on, so that whoever comes after a kill -9 waits for a git that still runs.
    """

    program: GitProgram
    directory: Path
    worktree: Path | None = None
    index: Path | None = None
    cwd: Path | None = None

    def at(self, worktree: Path, index: Path) -> Git:
        """The same repository with a worktree, which may be an agent's, and an index."""
        return replace(self, worktree=worktree, index=index)

    def inside(self, place: Path, index: Path) -> Git:
        """The same with a worktree of the platform's own. Git runs in it, as some commands read attributes there."""
        return replace(self, worktree=place, index=index, cwd=place)

    def run(
        self,
        *words: str,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        config: Mapping[str, str] | None = None,
        codes: Sequence[int] | None = (0,),
        timeout_s: float = _TIMEOUT_S,
    ) -> Done:
        """Runs git to its end.

        Raises:
            WorkspaceProblem: `git_failed`, with what git said.
        """
        where = {"GIT_DIR": str(self.directory)}
        if self.worktree is not None:
            where["GIT_WORK_TREE"] = str(self.worktree)
        if self.index is not None:
            where["GIT_INDEX_FILE"] = str(self.index)
            where["GIT_OPTIONAL_LOCKS"] = "1"
        try:
            return run_git(
                self.program,
                words,
                env={**where, **(env or {})},
                config=config,
                cwd=self.cwd or self.directory,
                stdin=stdin,
                timeout_s=timeout_s,
                codes=codes,
                pass_fds=held(),
            )
        except (GitFailed, GitTimeout) as error:
            raise explained(error) from error

    def text(self, *words: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> str:
        """What git says, as text without the end of the line."""
        return self.run(*words, stdin=stdin, env=env).out.decode("utf-8", "surrogateescape").rstrip("\n")


def explained(error: GitFailed | GitTimeout) -> Exception:
    """A failure of git on a repository of the platform."""
    text = str(error)
    if "No space left on device" in text:
        return OSError(28, text)
    if any(sign in text for sign in ("bad object", "unable to read", "missing blob", "corrupt", "not a tree object")):
        return WorkspaceProblem("corrupt_repository", text[:2000])
    return WorkspaceProblem("git_failed", text[:2000])


def split(out: bytes) -> list[bytes]:
    """The pieces of what git says with `-z`."""
    return out.split(b"\0")[:-1] if out.endswith(b"\0") else [piece for piece in out.split(b"\0") if piece]
