"""Which names of files are safe to write, and how paths are shown.

A repository may hold a tree that no git would make: entries called `..`, `.git` in some spelling that a file system
takes for it, or with a slash inside. None of them is ever written to a disk.
"""

from __future__ import annotations

_NO_WIDTH = frozenset(
    chr(code)
    for first, last in ((0x200C, 0x200F), (0x202A, 0x202E), (0x206A, 0x206F), (0xFEFF, 0xFEFF))
    for code in range(first, last + 1)
)


def safe_name(name: bytes) -> bool:
    """Whether an entry of a tree may become a file."""
    if not name or name in {b".", b".."} or b"/" in name or b"\0" in name or len(name) > 255:
        return False
    return not is_git_directory(name)


def is_git_directory(name: bytes) -> bool:
    """Whether a name is `.git` or something that a file system may take for it.

    Those of Windows drop dots and spaces at the end, cut at a colon and know short names; that of macOS drops letters
    that have no width.
    """
    for part in name.split(b"\\"):
        if part.partition(b":")[0].rstrip(b". ").lower() in {b".git", b"git~1"}:
            return True
    if name.isascii():
        return False
    text = name.decode("utf-8", "replace")
    return "".join(letter for letter in text if letter not in _NO_WIDTH).lower() == ".git"


def show(path: bytes) -> str:
    """A path as text for events and people; what is no UTF-8 is escaped."""
    return path.decode("utf-8", "backslashreplace")
