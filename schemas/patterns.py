"""A pattern as the rest of the platform sees it once it is compiled."""

from __future__ import annotations

from typing import Literal

import msgspec

from schemas.base import Json, Model

PatternFormat = Literal["org-chart", "flat", "prism"]


class WorkspaceSpec(Model, frozen=True, kw_only=True):
    """Whether a pattern works in a git workspace, what becomes of the result, and what checks need beside its files.

    Checks run on a clean checkout. `setup` is run there before, again when a file of `setup_key` has changed (without
    `setup_key`: when anything has); `copy` are paths that a local origin has beside its commits, `keep` ignored paths
    of the worktree whose work is checked.
    """

    enabled: bool = True
    push: bool = False
    create_pr: bool = False
    branch_strategy: str = ""
    pr: dict[str, Json] = {}
    setup: str | list[str] | msgspec.UnsetType = msgspec.UNSET
    setup_key: list[str] | msgspec.UnsetType = msgspec.UNSET
    copy: list[str] | msgspec.UnsetType = msgspec.UNSET
    keep: list[str] | msgspec.UnsetType = msgspec.UNSET


class CalledPattern(Model, frozen=True, kw_only=True):
    """A pattern that another one calls, as it was when that one was compiled. `workspace`: whether it works in one."""

    name: str
    version: str
    format: PatternFormat
    program: str
    modules: dict[str, str] = {}
    input: dict[str, Json] = {}
    roles: dict[str, Json] = {}
    workspace: bool = True
    timeout_ms: int | None = None


class CompiledPattern(Model, frozen=True, kw_only=True):
    """A pattern, compiled. `program` is Prism text; `digest` covers it, the source, the modules and what is called.

    `called` holds the patterns that its program calls, and those that they call, by the references to them.
    """

    name: str
    version: str
    format: PatternFormat
    digest: str
    program: str
    source: str
    description: str = ""
    input: dict[str, Json] = {}
    roles: dict[str, Json] = {}
    workspace: WorkspaceSpec = WorkspaceSpec()
    modules: dict[str, str] = {}
    called: dict[str, CalledPattern] = {}
    metadata: dict[str, Json] = {}
    steps: list[str] = []
    timeout_ms: int | None = None


class PatternDiagnostic(Model, frozen=True, kw_only=True):
    """One thing found in a pattern file. Lines and columns count from 1; 0 means the file as a whole."""

    file: str
    line: int
    column: int
    code: str
    severity: Literal["error", "warning"]
    message: str
    hint: str = ""
    source_line: str = ""
