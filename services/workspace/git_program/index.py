"""What the platform knows of the files of a worktree: an index of git, and the tree that it stands for.

Both are outside of the worktree. A small file names the index, so that one rename moves from one state to the next;
while files are being written there is none, and after a crash nothing in the worktree is anybody's work yet.
"""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

import msgspec

from services.workspace import files


class State(msgspec.Struct, frozen=True):
    """`tree` is in the worktree, `index` is the name of git's file. `attributes`: the tree holds a `.gitattributes`."""

    tree: str
    index: str
    attributes: bool = False
    submodules: list[bytes] = []


class Memory:
    """What is known of a worktree, in files whose names begin with `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + ".state")
        self._prefix = path.name + ".index-"
        self.state: State | None = None

    def load(self) -> State | None:
        """Reads what was written down last, and clears what a killed git has left. None: nothing is known."""
        self.state = None
        try:
            found = msgspec.msgpack.decode(self._path.read_bytes(), type=State)
        except (OSError, msgspec.MsgspecError, ValueError):
            return None
        if not self.index(found).is_file():
            return None
        self.state = found
        self._sweep(found.index)
        return found

    def index(self, state: State) -> Path:
        """The index of git of a state."""
        return self._path.with_name(state.index)

    def fresh(self, source: Path | None = None) -> Path:
        """A new index, a copy of another or not there yet.

        A copy keeps the time of its source. A file that was changed in the second in which git wrote it, to the same
        size, looks untouched; git compares the contents of files as young as their index, and of those only.
        """
        path = self._path.with_name(self._prefix + secrets.token_hex(6))
        if source is not None:
            shutil.copy2(source, path)
        return path

    def save(self, index: Path, tree: str, *, attributes: bool, submodules: list[bytes]) -> None:
        """Writes down that the worktree holds `tree`."""
        self.state = State(tree, index.name, attributes, submodules)
        files.replace(self._path, msgspec.msgpack.encode(self.state))
        self._sweep(index.name)

    def forget(self) -> None:
        """Says, durably enough, that the files are about to be written."""
        self._path.unlink(missing_ok=True)
        self.state = None

    def remove(self) -> None:
        """Forgets everything."""
        self.forget()
        self._sweep("")

    def _sweep(self, keep: str) -> None:
        for path in self._path.parent.glob(f"{self._prefix}*"):
            if path.name != keep:
                path.unlink(missing_ok=True)
