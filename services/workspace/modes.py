"""The modes that git gives the entries of a directory."""

from __future__ import annotations

DIRECTORY = 0o040000
FILE = 0o100644
EXECUTABLE = 0o100755
SYMLINK = 0o120000
SUBMODULE = 0o160000
