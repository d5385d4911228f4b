"""What a partial clone lacks: which objects these are, and a repository that has them beside those of the clone.

Nothing is written into the partial clone, and its git never fetches: what it lacks comes into the cached clone by id,
and the rest is then fetched from a repository that borrows from both.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path

from services.workspace import files
from services.workspace.bare import fill_bare
from services.workspace.git_backend import Oid
from services.workspace.git_program.local_origin import LocalOrigin
from services.workspace.locking import held
from services.workspace.origins import Origin
from shared.git import GitProgram, run_git

_TIMEOUT_S = 900.0


def lacking(program: GitProgram, origin: Origin, clone: Path, tips: Iterable[Oid], known: Iterable[Oid]) -> list[Oid]:
    """The objects below `tips` that are neither in the origin nor in the clone, which has all below those `known`."""
    lines = [*tips, *(f"^{oid}" for oid in known)]
    words = ["-C", origin.location, "rev-list", "--objects", "--missing=print", "--ignore-missing", "--stdin"]
    done = run_git(
        program, words, stdin="".join(f"{line}\n" for line in lines).encode(), timeout_s=_TIMEOUT_S, pass_fds=held()
    )
    found = [line[1:].decode() for line in done.out.splitlines() if line.startswith(b"?")]
    if not found:
        return []
    words = [f"--git-dir={clone}", "cat-file", "--batch-check=%(objectname)"]
    done = run_git(program, words, stdin="".join(f"{oid}\n" for oid in found).encode(), pass_fds=held())
    return [line.removesuffix(" missing") for line in done.out.decode().splitlines() if line.endswith(" missing")]


@contextmanager
def beside(clone: Path, local: LocalOrigin, refs: Mapping[str, Oid]) -> Generator[Path]:
    """A repository that has `refs`, and borrows objects from an origin and from its cached clone, for this moment."""
    view = clone.with_suffix(".beside")
    files.remove_tree(view)
    try:
        fill_bare(view, "none", local.object_format)
        places = [local.objects.resolve(), (clone / "objects").resolve()]
        (view / "objects/info/alternates").write_text("".join(f"{place}\n" for place in places), "utf-8")
        lines = "".join(f"{oid} {ref}\n" for ref, oid in sorted(refs.items()))
        packed = b"# pack-refs with: sorted\n" + lines.encode("utf-8", "surrogateescape")
        (view / "packed-refs").write_bytes(packed)
        yield view
    finally:
        files.remove_tree(view)
