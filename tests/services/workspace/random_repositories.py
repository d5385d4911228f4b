"""Random repositories, random work of two agents in them, and what git makes of both by hand.

A round is a function of its seed. `python -m tests.services.workspace.random_repositories --rounds 2000` plays many.
"""

# Paths here are bytes, and pools of them are tables:
# ruff: noqa: E501, PTH101, PTH102, PTH103, PTH104, PTH108, PTH114, PTH115, PTH116, PTH118, PTH120, PTH123, PTH211
from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from schemas.events import WorkspaceConflicted, WorkspaceFailed, WorkspaceIntegrated, WorkspaceReady
from services.workspace.droppings import DROPPINGS
from tests.services.workspace.bench import GIT, Bench, close_all

_NAMES = [
    b"a.txt", b"b.txt", b"c.bat", b"d.bin", b"e.u", b"f.b", b"g.i", b"README", b"readme", b"with space.txt", b"-dash",
    b"q\"uote'.txt", b"new\nline", b"caf\xc3\xa9.txt", b"caf\xe9.txt", b"[x].txt", b"star*", b"#hash", b"!bang", b"tail ",
    b"back\\slash", b"x.log", b"y.tmp", b"build", b"\xe2\x98\x83", b"w.utf16", b"deep.txt", b":colon", b"z.crlf",
]  # fmt: skip
_DIRECTORIES = [b"", b"", b"", b"src", b"src/deep", b"docs", b"with space", b"caf\xe9", b"build", b"logs/x"]
_ATTRIBUTES = [
    b"* text=auto", b"*.txt text", b"*.txt -text", b"*.bat text eol=crlf", b"*.crlf eol=crlf", b"*.u merge=union",
    b"*.b -merge", b"*.bin binary", b"*.i ident", b"*.txt -diff", b"src/** text eol=lf", b"/docs/* -text",
    b"[attr]mine text eol=crlf\n*.u mine", b"*.txt merge=binary", b"*.utf16 text working-tree-encoding=UTF-16LE",
    b"*.txt whitespace=trailing-space", b"\"with space.txt\" -text", b"*.txt conflict-marker-size=32", b"*.b merge=nobody",
]  # fmt: skip
_IGNORES = [
    b"*.log", b"*.tmp", b"!y.tmp", b"build/", b"build", b"/a.txt", b"src/*", b"!src/deep/", b"**/deep.txt", b"logs/**",
    b"!logs/x/a.txt", b"\\#hash", b"\\!bang", b"tail\\ ", b"tail ", b"[!a-c].txt", b"caf\xe9*", b"docs/**/b.txt", b"*",
    b"!*.txt", b"# comment", b"", b"with space/", b"a.txt\r", b"?.bat", b"[a-", b"src/deep/../x", b"*.[tl]*",
]  # fmt: skip
_SAFE_IGNORES = [line for line in _IGNORES if line != b"*"]


@dataclass
class Tree:
    """Files of a commit: modes and contents (the target of a link, the id of a submodule)."""

    entries: dict[bytes, tuple[int, bytes]] = field(default_factory=dict[bytes, "tuple[int, bytes]"])

    def fits(self, path: bytes) -> bool:
        """Whether nothing is in the way of a path."""
        parts = path.split(b"/")
        above = {b"/".join(parts[:cut]) for cut in range(1, len(parts))}
        return not above & self.entries.keys() and not any(old.startswith(path + b"/") for old in self.entries)


def content(dice: random.Random) -> bytes:
    """A file: text of some encoding and line ends, or none."""
    kind = dice.randrange(12)
    if kind == 0:
        return b""
    if kind == 1:
        return bytes(dice.randrange(256) for _ in range(dice.randrange(1, 60)))
    words = [b"line", b"caf\xc3\xa9", b"\fpage", b"\x1b[31m", b"$Id$", b"\ttab", b"trailing ", b"{", b"}", b""]
    if kind == 2:
        words.append(b"latin \xe9")
    if kind == 3:
        words.append(b"nul \0")
    end = dice.choice([b"\n", b"\n", b"\n", b"\r\n", b"\n\r"])
    lines = [dice.choice(words) + b"%d" % dice.randrange(6) for _ in range(dice.randrange(1, 25))]
    if kind == 4:
        return b"".join(line + dice.choice([b"\n", b"\r\n", b"\r"]) for line in lines)
    return end.join(lines) + dice.choice([end, end, end, b""])


def rules(dice: random.Random, pool: list[bytes]) -> bytes:
    lines = dice.sample(pool, dice.randrange(1, 6))
    mark = b"\xef\xbb\xbf" if dice.random() < 0.1 else b""
    return mark + dice.choice([b"\n", b"\n", b"\r\n"]).join(lines) + dice.choice([b"\n", b""])


def a_path(dice: random.Random) -> bytes:
    directory, name = dice.choice(_DIRECTORIES), dice.choice(_NAMES)
    return directory + b"/" + name if directory else name


def a_tree(dice: random.Random) -> Tree:
    """The commit that work begins with."""
    tree = Tree()
    for _ in range(dice.randrange(1, 22)):
        path = a_path(dice)
        if not tree.fits(path):
            continue
        kind = dice.random()
        if kind < 0.8:
            tree.entries[path] = (0o100755 if dice.random() < 0.2 else 0o100644, content(dice))
        elif kind < 0.93:
            tree.entries[path] = (0o120000, dice.choice([b"a.txt", b"src", b"../x", b"nowhere", b"/etc", b"."]))
        else:
            tree.entries[path] = (0o160000, b"%040x" % dice.randrange(16**40))
    for directory in (b"", b"src/", b"docs/"):
        if tree.fits(directory + b".gitattributes") and dice.random() < 0.4:
            tree.entries[directory + b".gitattributes"] = (0o100644, rules(dice, _ATTRIBUTES))
        if tree.fits(directory + b".gitignore") and dice.random() < 0.4:
            tree.entries[directory + b".gitignore"] = (0o100644, rules(dice, _SAFE_IGNORES))
    return tree


def plain(tree: Tree) -> Tree:
    """A tree without what only git does: submodules, other encodings, what is filled in."""
    only_git = (b" ident", b"working-tree-encoding")
    return Tree(
        {
            path: (mode, data)
            for path, (mode, data) in tree.entries.items()
            if mode != 0o160000 and not (path.endswith(b".gitattributes") and any(word in data for word in only_git))
        }
    )


def imported(origin: Path, tree: Tree) -> None:
    """Makes a repository with one commit, in one run of git."""

    def quoted(path: bytes) -> bytes:
        return b'"' + b"".join(b"\\%03o" % byte for byte in path) + b'"'

    out = [b"commit refs/heads/main\ncommitter u <u@x> 1700000000 +0000\ndata 2\nx\n"]
    for path, (mode, data) in tree.entries.items():
        if mode == 0o160000:
            out.append(b"M 160000 %s %s\n" % (data, quoted(path)))
        else:
            out.append(b"M %o inline %s\ndata %d\n%s\n" % (mode, quoted(path), len(data), data))
    hand(origin, "init", "-q", "-b", "main", str(origin))
    (origin / ".git/info/exclude").write_bytes(DROPPINGS.lstrip())
    hand(origin, "fast-import", "--quiet", stdin=b"".join(out))


class Worker:
    """An agent that does anything that may be done to files."""

    def __init__(self, dice: random.Random, place: Path) -> None:
        self._dice = dice
        self._place = os.fsencode(place)

    def work(self) -> None:
        for _ in range(self._dice.randrange(8)):
            try:
                self._dice.choice(
                    [self._write, self._write, self._edit, self._edit, self._remove, self._rename, self._mode, self._link,
                     self._swap, self._rules, self._empty]
                )()  # fmt: skip
            except OSError:
                continue

    def _paths(self) -> list[bytes]:
        found: list[bytes] = []
        for directory, below, names in os.walk(self._place):
            below[:] = sorted(name for name in below if name != b".git")
            found += [os.path.join(directory, name) for name in sorted(names) if name != b".git"]
        return found

    def _one(self) -> bytes:
        return self._dice.choice(self._paths() or [os.path.join(self._place, b"a.txt")])

    def _new(self) -> bytes:
        path = os.path.join(self._place, a_path(self._dice))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def _put(self, path: bytes, data: bytes) -> None:
        if os.path.islink(path):
            os.unlink(path)
        with open(path, "wb") as file:
            file.write(data)

    def _write(self) -> None:
        self._put(self._new(), content(self._dice))

    def _edit(self) -> None:
        path = self._one()
        if os.path.islink(path):
            return
        with open(path, "rb") as file:
            lines = file.read().splitlines(keepends=True)
        place = self._dice.randrange(len(lines) + 1)
        match self._dice.randrange(5):
            case 0:
                lines[place:place] = [content(self._dice)]
            case 1:
                del lines[place : place + 3]
            case 2:
                lines = [line.replace(b"\r\n", b"\n") for line in lines]
            case 3:
                lines = [line.replace(b"\n", b"\r\n") for line in lines]
            case _:
                lines = sorted(lines)
        self._put(path, b"".join(lines))

    def _remove(self) -> None:
        os.unlink(self._one())

    def _rename(self) -> None:
        os.rename(self._one(), self._new())

    def _mode(self) -> None:
        path = self._one()
        if not os.path.islink(path):
            os.chmod(path, os.stat(path).st_mode ^ 0o111)

    def _link(self) -> None:
        path = self._new()
        if os.path.lexists(path):
            os.unlink(path)
        os.symlink(self._dice.choice([b"a.txt", b"src", b"/etc/passwd", b"x\xe9"]), path)

    def _swap(self) -> None:
        path = self._one()
        os.unlink(path)
        os.mkdir(path)
        self._put(os.path.join(path, b"inside"), content(self._dice))

    def _rules(self) -> None:
        directory = self._dice.choice([b"", b"src/", b"docs/"])
        name, pool = self._dice.choice([(b".gitignore", _IGNORES), (b".gitattributes", _ATTRIBUTES)])
        self._put(os.path.join(self._place, directory + name), rules(self._dice, pool))

    def _empty(self) -> None:
        os.makedirs(os.path.join(self._place, b"empty", b"below"), exist_ok=True)


def hand(where: Path, *words: str, stdin: bytes = b"", env: dict[str, str] | None = None, check: bool = True) -> bytes:
    """What git says when a person types it. With `check` false, nothing where it fails."""
    assert GIT is not None
    home = {"PATH": os.environ.get("PATH", ""), "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
    who = {f"GIT_{who}_{what}": "u" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    command = [GIT, "-C", str(where), *words]
    done = subprocess.run(command, input=stdin, capture_output=True, env={**home, **who, **(env or {})}, check=False)
    if done.returncode != 0 and check:
        raise AssertionError(f"{words}: {done.stderr.decode(errors='replace')}")
    return done.stdout if done.returncode == 0 else b""


def files_of(place: Path) -> dict[bytes, tuple[int, bytes]]:
    """Every file and link below a directory, but `.git`."""
    found: dict[bytes, tuple[int, bytes]] = {}
    root = os.fsencode(place)
    for directory, below, names in os.walk(root):
        below[:] = [name for name in below if name != b".git"]
        for name in [*names, *below]:
            path = os.path.join(directory, name)
            status = os.lstat(path)
            relative = os.path.relpath(path, root)
            if stat.S_ISLNK(status.st_mode):
                found[relative] = (0o120000, os.readlink(path))
            elif stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    found[relative] = (status.st_mode & 0o111, file.read())
    return found


class Round:
    """One repository, two agents, and every comparison with git."""

    def __init__(self, seed: int, place: Path, *, plain: bool) -> None:
        self._dice = random.Random(seed)
        self._plain = plain
        self._place = place
        self._origin = place / "origin"
        self._origin.mkdir()

    def play(self) -> str:
        """Plays it. Says how the merge ended.

        Raises:
            AssertionError: git does something else.
        """
        tree = a_tree(self._dice)
        if self._plain:
            tree = plain(tree)
        imported(self._origin, tree)
        bench = Bench(self._place / "ws")
        opened = bench.open(self._origin)
        if isinstance(opened, WorkspaceFailed) and opened.error.code == "git_needed":
            return "needs git"
        assert isinstance(opened, WorkspaceReady), opened
        base = opened.base_commit
        done = [self._turn(bench, base, name) for name in ("dev-1", "dev-2")]
        if None in done:
            return "refused"
        return self._merge(bench, base, *(commit for commit in done if commit is not None))

    def _turn(self, bench: Bench, base: str, session: str) -> object:
        prepared = bench.prepare(session, session)
        assert prepared.error is None, prepared.error
        worktree = Path(prepared.path)
        self._compare_checkout(worktree, base)
        there = files_of(worktree)
        Worker(self._dice, worktree).work()
        before = files_of(worktree)
        untouched = [path for path, entry in there.items() if before.get(path) == entry]
        wanted = self._by_hand(worktree, base, session, untouched)
        finished = bench.finish(session, session)
        if wanted is None:
            assert finished.error is not None, "git refuses to add it"
            return None
        if finished.error is not None and finished.error.code == "git_needed":
            return None
        assert finished.error is None, finished.error
        found = hand(bench.workspace.repository, "rev-parse", f"{finished.commit}^{{tree}}").decode().strip()
        assert found == wanted, f"tree of {session}: {self._shown(bench, found, wanted)}"
        moved = before.keys() - files_of(worktree).keys()
        for path in {one for one in self._submodules(base) if any(path.startswith(one + b"/") for path in moved)}:
            below = {name for name in before if name.startswith(path + b"/")}
            shown = path.decode("utf-8", "backslashreplace")
            assert any(note.startswith(f"{shown}: ") and "it was moved" in note for note in finished.notes or ())
            before = {name: entry for name, entry in before.items() if name not in below}
        assert files_of(worktree) == before, "the worktree was changed by a commit"
        return finished

    def _submodules(self, base: str) -> list[bytes]:
        lines = hand(self._origin, "ls-tree", "-r", "-z", base).split(b"\0")
        return [line.partition(b"\t")[2] for line in lines if line.startswith(b"160000")]

    def _shown(self, bench: Bench, found: str, wanted: str) -> str:
        env = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": str(bench.workspace.repository / "objects")}
        return hand(self._origin, "diff-tree", "-r", wanted, found, env=env, check=False).decode(errors="replace")

    def _compare_checkout(self, worktree: Path, base: str) -> None:
        place = self._place / f"checkout-{worktree.name}"
        place.mkdir()
        hand(
            self._origin, f"--work-tree={place}", "checkout", "-q", "-f", base, "--", ":/", env=self._index("checkout")
        )
        assert files_of(worktree) == files_of(place), "a checkout differs"

    def _index(self, name: str) -> dict[str, str]:
        return {"GIT_INDEX_FILE": str(self._place / f"index-{name}")}

    def _by_hand(self, worktree: Path, base: str, name: str, untouched: list[bytes]) -> str | None:
        env = self._index(name)
        hand(self._origin, "read-tree", base, env=env)
        if untouched:  # by their times git would know that; this index has none
            names = b"".join(path + b"\0" for path in untouched)
            hand(self._origin, "update-index", "--assume-unchanged", "-z", "--stdin", stdin=names, env=env)
        words = ("-c", "advice.addEmbeddedRepo=false", f"--work-tree={worktree}", "add", "-A", "--", ":/")
        added = subprocess.run(
            [str(GIT), "-C", str(self._origin), *words],
            env={"HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "PATH": os.environ.get("PATH", ""), **env},
            capture_output=True,
            check=False,
        )
        if added.returncode != 0:
            return None
        return hand(self._origin, "write-tree", env=env).decode().strip()

    def _merge(self, bench: Bench, base: str, one: object, two: object) -> str:
        integrated = bench.integrate(one, two)  # type: ignore[arg-type]  # both are commits
        if isinstance(integrated, WorkspaceConflicted) and "that takes the git program" in integrated.message:
            return "needs git"
        repository = bench.workspace.repository
        env = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": str(repository / "objects")}
        ours, theirs = (str(getattr(done, "commit", "")) for done in (one, two))
        result = "same"
        if len({ours, theirs, base}) == 3:
            hand(self._origin, "checkout", "-q", "-f", "--detach", ours, env=env)
            later = time.time() + 10  # else git takes files as young as the index, whose attributes ask for other
            os.utime(self._origin / ".git/index", (later, later))  # line ends, for somebody's changes, and refuses
            merged = subprocess.run(
                [
                    str(GIT),
                    "-C",
                    str(self._origin),
                    "-c",
                    "user.name=u",
                    "-c",
                    "user.email=u",
                    "merge",
                    "--no-edit",
                    theirs,
                ],
                env={"HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "PATH": os.environ.get("PATH", ""), **env},
                capture_output=True,
                check=False,
            )
            if merged.returncode != 0:
                assert isinstance(integrated, WorkspaceConflicted), "git finds a conflict"
                if not hand(self._origin, "ls-files", "-u", env=env):  # git tells of some in words alone
                    words = merged.stdout.decode("utf-8", "backslashreplace")
                    assert integrated.paths, words
                    assert all(path in words for path in integrated.paths), (integrated.paths, words)
                    return "conflict"
                lines = hand(self._origin, "ls-files", "-u", "-z", env=env).split(b"\0")[:-1]
                wanted = {line.partition(b"\t")[2].decode("utf-8", "backslashreplace") for line in lines}
                wanted = {name.removesuffix("~HEAD").removesuffix(f"~{theirs}") for name in wanted}
                assert set(integrated.paths) == wanted, (integrated.paths, wanted)
                return "conflict"
            result = "merged"
            wanted_tree = hand(self._origin, "rev-parse", "HEAD^{tree}", env=env)
            assert isinstance(integrated, WorkspaceIntegrated), integrated
            assert hand(repository, "rev-parse", f"{integrated.commit}^{{tree}}") == wanted_tree, "merged tree"
        assert isinstance(integrated, WorkspaceIntegrated), integrated
        self._compare_diff(bench, base, integrated.commit, env)
        return result

    def _refusal(self, patch: bytes, env: dict[str, str]) -> str:
        """Why git does not apply a diff to an index; empty where it does."""
        try:
            hand(self._origin, "apply", "--cached", "--whitespace=nowarn", "-", stdin=patch, env=env)
        except AssertionError as error:
            return str(error)
        return ""

    def _compare_diff(self, bench: Bench, base: str, commit: str, env: dict[str, str]) -> None:
        with bench.workspace.locked():
            found = bench.workspace.git.difference(base, commit, patch=True)
        env = {**env, **self._index("diff")}
        hand(self._origin, "read-tree", base, env=env)
        refusal = self._refusal(found.patch, env) if found.patch else ""
        if refusal:  # git does not take each diff of its own, such as that of an empty file in a directory "tail "
            words = ("diff", "--binary", "--full-index", "--find-renames", base, commit)
            assert self._refusal(hand(self._origin, *words, env=env), env) == refusal, refusal
        else:
            applied = hand(self._origin, "write-tree", env=env)
            assert applied == hand(self._origin, "rev-parse", f"{commit}^{{tree}}", env=env)
        place = self._place / "result"
        place.mkdir()
        hand(self._origin, f"--work-tree={place}", "checkout", "-q", "-f", commit, "--", ":/", env=env, check=False)
        there = (f"--git-dir={self._origin}/.git", f"--work-tree={place}")
        numbers = hand(place, *there, "diff", "--shortstat", base, commit, env=env).decode()
        words = ("insertion", "deletion")
        counted = [int((re.search(rf"(\d+) {word}", numbers) or "0")[1]) if word in numbers else 0 for word in words]
        if self._plain:  # of several ways to read a change, each of them right, git may choose another one
            assert found.insertions - found.deletions == counted[0] - counted[1], numbers
        else:
            assert counted == [found.insertions, found.deletions], numbers


def play(seed: int, *, plain: bool = False) -> str:
    """Plays one round in a directory of its own; `plain` begins without what only git does."""
    place = Path(tempfile.mkdtemp(prefix="round-"))
    try:
        return Round(seed, place, plain=plain).play()
    except AssertionError as error:
        raise AssertionError(f"seed {seed}: {error}") from error
    finally:
        close_all()
        shutil.rmtree(place, ignore_errors=True)


def main() -> int:
    """Plays many rounds and says what was different."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=2000)
    options.add_argument("--first", type=int, default=0)
    options.add_argument("--without-git", action="store_true", help="hold the backend that needs no git against git")
    given = options.parse_args()
    if given.without_git:
        os.environ["PATH"] = os.devnull
    ended: dict[str, int] = {}
    for seed in range(given.first, given.first + given.rounds):
        try:
            outcome = play(seed, plain=given.without_git)
        except AssertionError as error:
            outcome = "DIFFERENT"
            sys.stdout.write(f"{error}\n")
        ended[outcome] = ended.get(outcome, 0) + 1
        if (seed + 1 - given.first) % 100 == 0:
            sys.stderr.write(f"{seed + 1 - given.first} of {given.rounds} rounds\n")
    sys.stdout.write(f"{given.rounds} rounds: {', '.join(f'{n} {what}' for what, n in sorted(ended.items()))}\n")
    return 1 if "DIFFERENT" in ended else 0


if __name__ == "__main__":
    sys.exit(main())
