"""Refuses repositories that hold what must not be written to a disk."""

from __future__ import annotations

from services.workspace.git_program.runner import Git
from services.workspace.modes import DIRECTORY, EXECUTABLE, FILE, SUBMODULE, SYMLINK
from services.workspace.names import safe_name, show
from services.workspace.problems import WorkspaceProblem

_KINDS = frozenset({FILE, EXECUTABLE, SYMLINK, DIRECTORY, SUBMODULE})
_DEEPEST = 200


def check_listing(git: Git, tree: str) -> None:
    """Raises `unsafe_repository` where a tree holds something that must not be written."""
    done = git.run("ls-tree", "-r", "-t", "-z", "--full-tree", tree, codes=None)
    if done.code != 0:
        words = done.errors.strip()[:500]
        code = "unsafe_repository" if "tree entry" in words else "corrupt_repository"
        raise WorkspaceProblem(code, f"The files of the repository cannot be listed: {words}")
    open_above: list[bytes] = []
    names: list[set[bytes]] = [set()]
    for line in done.out.split(b"\0")[:-1]:
        head, _, path = line.partition(b"\t")
        mode = int(head[:6], 8)
        while open_above and not path.startswith(open_above[-1]):
            open_above.pop()
            names.pop()
        _check(path, path[len(open_above[-1]) :] if open_above else path, mode, names[-1])
        if mode == DIRECTORY:
            open_above.append(path + b"/")
            names.append(set())
            if len(open_above) > _DEEPEST:
                raise WorkspaceProblem(
                    "unsafe_repository", f"The directories of the repository are nested over {_DEEPEST} deep."
                )


def _check(path: bytes, name: bytes, mode: int, folded: set[bytes]) -> None:
    where = show(path)
    if not safe_name(name):
        raise WorkspaceProblem("unsafe_repository", f"The repository holds a file with a dangerous name: {where}.")
    if mode not in _KINDS and mode & 0o170000 != 0o100000:
        raise WorkspaceProblem("unsafe_repository", f"The repository holds an entry of unknown kind: {where}.")
    if name in folded:
        raise WorkspaceProblem("unsafe_repository", f"The repository holds two entries of one name: {where}.")
    folded.add(name)
