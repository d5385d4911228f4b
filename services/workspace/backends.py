"""Which ways of doing git there are here, and which one a new execution gets."""

from __future__ import annotations

from pathlib import Path

from services.workspace.dulwich_git.backend import DulwichBackend
from services.workspace.git_backend import GitBackend
from services.workspace.problems import WorkspaceProblem


class Backends:
    """The backends over one directory of cached clones."""

    def __init__(self, clones: Path) -> None:
        self._known: dict[str, GitBackend] = {"dulwich": DulwichBackend(clones)}

    @property
    def preferred(self) -> GitBackend:
        """The one that new executions get."""
        return self._known["dulwich"]

    def named(self, name: str) -> GitBackend:
        """The one that an execution was opened with.

        Raises:
            WorkspaceProblem: it is not here.
        """
        found = self._known.get(name)
        if found is None:
            raise WorkspaceProblem("git_missing", f"The workspace was made with {name}, which is not found here.")
        return found
