"""The git program as the workspace service sees it."""

from __future__ import annotations

from pathlib import Path

from services.workspace.bare import borrow, make_bare, object_format_of
from services.workspace.droppings import DROPPINGS
from services.workspace.git_backend import Base, Oid
from services.workspace.git_program.cloning import Clones, clear_left
from services.workspace.git_program.local_origin import ignore_rules, rules
from services.workspace.git_program.repository import GitRepository
from services.workspace.git_program.runner import Git
from services.workspace.origins import Origin
from shared.git import GitProgram, run_git


class GitProgramBackend:
    """Git by the git program."""

    name = "git"

    def __init__(self, program: GitProgram, clones: Path) -> None:
        self._program = program
        self._clones = Clones(program, clones)
        self._checked: set[Oid] = set()

    @property
    def shown(self) -> str:
        """The name with its version."""
        return f"git {self._program.shown}"

    def bring(self, origin: Origin, base: str) -> Base:
        """Makes the cached clone of an origin hold the commit that `base` stands for."""
        return self._clones.bring(origin, base)

    def make(self, path: Path, origin: Origin | None, branch: str) -> None:
        """Makes the bare repository of an execution."""
        object_format = self._clones.formats.get(origin.digest, "sha1") if origin is not None else "sha1"
        clone = self._clones.path(origin, object_format) if origin is not None else None
        borrowed = clone if clone is not None and clone.is_dir() else None
        objects = borrowed / "objects" if borrowed else None
        make_bare(path, branch, borrowed=objects, object_format=object_format)
        local = self._clones.seen.get(origin.digest) if origin is not None else None
        (path / "info/exclude").write_bytes(DROPPINGS.lstrip() + ignore_rules(self._program, local))
        (path / "info/attributes").write_bytes(rules(local.attributes) if local is not None else b"")
        if borrowed is not None:
            (path / "packed-refs").write_bytes(self._visible(borrowed))

    def _visible(self, clone: Path) -> bytes:
        """The branches and tags of the origin, as a clone of it would have them."""
        words = [f"--git-dir={clone}", "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags"]
        refs: dict[bytes, bytes] = {}
        for line in run_git(self._program, words).out.splitlines():
            oid, _, ref = line.partition(b" ")
            refs[ref.replace(b"refs/heads/", b"refs/remotes/origin/", 1)] = oid
        lines = [b"%s %s\n" % (oid, ref) for ref, oid in sorted(refs.items())]
        return b"# pack-refs with: sorted\n" + b"".join(lines)

    def open(self, path: Path, origin: Origin | None) -> GitRepository:
        """A repository that `make` made."""
        if origin is not None:
            objects = self._clones.objects(origin, object_format_of(path))
            if objects.is_dir():
                borrow(path, objects)
        clear_left(path)
        return GitRepository(Git(self._program, path), self._checked)
