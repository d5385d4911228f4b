"""Refuses repositories that hold what must not be written to a disk, or what takes the git program."""

from __future__ import annotations

from dulwich.objects import ObjectID

from services.workspace.dulwich_git.needing import git_needed, refuse_attributes
from services.workspace.dulwich_git.store import Store
from services.workspace.modes import DIRECTORY, EXECUTABLE, FILE, SUBMODULE, SYMLINK
from services.workspace.names import safe_name, show
from services.workspace.problems import WorkspaceProblem

_KINDS = frozenset({FILE, EXECUTABLE, SYMLINK, DIRECTORY, SUBMODULE})
_DEEPEST = 200


def check_tree(store: Store, tree: ObjectID, checked: set[ObjectID], prefix: bytes = b"", depth: int = 0) -> None:
    """Raises `unsafe_repository` where a tree holds something that must not be written, `git_needed` where dulwich
    would not do what git does.

    `checked` remembers what was found good, so that the next version of a repository costs what changed.
    """
    if tree in checked:
        return
    if depth > _DEEPEST:
        raise WorkspaceProblem(
            "unsafe_repository", f"The directories of the repository are nested over {_DEEPEST} deep."
        )
    folded: set[bytes] = set()
    for name, (mode, sha) in store.tree(tree).items():
        where = show(prefix + name)
        if not safe_name(name):
            raise WorkspaceProblem("unsafe_repository", f"The repository holds a file with a dangerous name: {where}.")
        if mode not in _KINDS:
            raise WorkspaceProblem("unsafe_repository", f"The repository holds an entry of unknown kind: {where}.")
        if name in folded:
            raise WorkspaceProblem("unsafe_repository", f"The repository holds two entries of one name: {where}.")
        folded.add(name)
        if mode == SUBMODULE:
            raise git_needed(f"The repository has a submodule, {where}")
        if name == b".gitattributes" and mode in (FILE, EXECUTABLE):
            refuse_attributes(where, store.blob(sha))
        if mode == DIRECTORY:
            check_tree(store, sha, checked, prefix + name + b"/", depth + 1)
    checked.add(tree)
