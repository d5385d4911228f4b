"""What can go wrong with a workspace in a way that trying again does not mend."""

from __future__ import annotations

from schemas.base import Failure


class WorkspaceProblem(Exception):
    """A sentence for people and a stable `code` for programs; `paths` are the files it is about."""

    def __init__(self, code: str, message: str, *, where: str = "", paths: list[str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.where = where
        self.paths = paths or []

    def failure(self) -> Failure:
        """The problem as an event carries it."""
        return Failure(code=self.code, message=self.message, where=self.where)


class OriginUnavailable(Exception):
    """The origin could not be reached now. It is worth trying again."""
