"""Which names of files are safe to write, and how paths are shown.

A repository may hold a tree that no git would make: entries called `..`, `.git` in some spelling that a file system
takes for it, or with a slash inside. None of them is ever written to a disk.
"""

from __future__ import annotations

from dulwich.index import validate_path_element_default, validate_path_element_hfs, validate_path_element_ntfs
from dulwich.objects import ObjectID

from services.workspace.problems import WorkspaceProblem
from services.workspace.store import DIRECTORY, EXECUTABLE, FILE, SUBMODULE, SYMLINK, Store

_KINDS = frozenset({FILE, EXECUTABLE, SYMLINK, DIRECTORY, SUBMODULE})
_DEEPEST = 200


def safe_name(name: bytes) -> bool:
    """Whether an entry of a tree may become a file."""
    if not name or b"/" in name or b"\0" in name or len(name) > 255:
        return False
    if not validate_path_element_default(name) or not validate_path_element_ntfs(name):
        return False
    return name.isascii() is False or validate_path_element_hfs(name)


def is_git_directory(name: bytes) -> bool:
    """Whether a name is `.git` or something that a file system may take for it."""
    lowered = name.lower()
    if lowered == b".git" or (lowered.startswith((b".git", b"git~1")) and not validate_path_element_ntfs(name)):
        return True
    return not name.isascii() and _decodes(name) and not validate_path_element_hfs(name)


def _decodes(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def check_tree(store: Store, tree: ObjectID, checked: set[ObjectID], prefix: bytes = b"", depth: int = 0) -> None:
    """Raises `unsafe_repository` where a tree holds something that must not be written.

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
        if mode == DIRECTORY:
            check_tree(store, sha, checked, prefix + name + b"/", depth + 1)
    checked.add(tree)


def show(path: bytes) -> str:
    """A path as text for events and people; what is no UTF-8 is escaped."""
    return path.decode("utf-8", "backslashreplace")
