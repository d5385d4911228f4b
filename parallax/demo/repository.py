"""Makes the demo's git repository from the files that ship with the package.

The files carry `.txt` behind their names, so that no tool that checks Parallax itself takes their faults for its own.
`files/parcels/weights.py.txt` compares strings with `is`, `files/parcels/tariff.py.txt` uses a name that Python 3.10
took away; `tests/test_quotes.py` passes only when both are mended.
"""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from dulwich import porcelain
from dulwich.refs import Ref

_SUFFIX = ".txt"
_AUTHOR = b"Parcels <parcels@example.invalid>"
_BRANCH = "main"


def make_repository(path: Path) -> str:
    """Writes the files to `path`, which must not exist yet, and commits them on `main`. Returns the commit's id."""
    path = path.absolute()  # a relative one would be read from the repository, and nothing be found there
    path.mkdir(parents=True)
    written = _write(files("parallax.demo") / "files", path)
    repository = porcelain.init(str(path), symlinks=False)
    try:
        repository.refs.set_symbolic_ref(Ref(b"HEAD"), Ref(f"refs/heads/{_BRANCH}".encode()))
        porcelain.add(repository, [str(file) for file in written])
        commit = porcelain.commit(
            repository, message=b"Parcels, as they have grown", author=_AUTHOR, committer=_AUTHOR, sign=False
        )
    finally:
        repository.close()
    return commit.decode()


def _write(source: Traversable, target: Path) -> list[Path]:
    written: list[Path] = []
    for entry in source.iterdir():
        if entry.is_dir():
            (target / entry.name).mkdir(exist_ok=True)
            written += _write(entry, target / entry.name)
        elif entry.name.endswith(_SUFFIX):
            name = entry.name.removesuffix(_SUFFIX)
            file = target / (".gitignore" if name == "gitignore" else name)
            file.write_bytes(entry.read_bytes())
            written.append(file)
    return written
