"""How dulwich says that a repository is not whole."""

from __future__ import annotations

import zlib

from dulwich.errors import (
    ApplyDeltaError,
    ChecksumMismatch,
    FileFormatException,
    MissingCommitError,
    ObjectMissing,
    WrongObjectException,
)

DAMAGED = (
    ApplyDeltaError,
    AssertionError,
    ChecksumMismatch,
    FileFormatException,
    KeyError,
    MissingCommitError,
    ObjectMissing,
    ValueError,
    WrongObjectException,
    zlib.error,
)
"""What dulwich raises over objects that are missing or are not what they should be."""
