"""Which ways of doing git there are here, and which one a new execution gets."""

from __future__ import annotations

from pathlib import Path

from services.workspace.dulwich_git.backend import DulwichBackend
from services.workspace.git_backend import GitBackend
from services.workspace.git_program.backend import GitProgramBackend
from services.workspace.problems import WorkspaceProblem
from shared.git import GitProgram, git_trouble, usable_git


class Backends:
    """The backends over one directory of cached clones. The git program is used wherever it is found."""

    def __init__(self, clones: Path) -> None:
        self._clones = clones
        self._known: dict[str, GitBackend] = {"dulwich": DulwichBackend(clones)}
        self._program: GitProgram | None = None

    @property
    def preferred(self) -> GitBackend:
        """The one that new executions get."""
        self._find()
        return self._known.get("git", self._known["dulwich"])

    def _find(self) -> None:
        """Looks for git again: it may have been installed, replaced or removed while the service runs."""
        program = usable_git()
        if program != self._program:
            self._program = program
            self._known.pop("git", None)
            if program is not None:
                self._known["git"] = GitProgramBackend(program, self._clones)

    def named(self, name: str) -> GitBackend:
        """The one that an execution was opened with.

        Raises:
            WorkspaceProblem: it is not here.
        """
        self._find()
        found = self._known.get(name)
        if found is None:
            trouble = git_trouble() or f"{name} is not found."
            raise WorkspaceProblem("git_missing", f"This workspace was made with {name}. {trouble}")
        return found
