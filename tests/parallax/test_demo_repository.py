"""The repository that the demo works on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from dulwich.refs import Ref
from dulwich.repo import Repo

from parallax.demo import make_repository


def pytest_says(repository: Path) -> str:
    """The last line of the repository's own tests."""
    argv = [sys.executable, "-W", "ignore", "-m", "pytest", "-q"]
    done = subprocess.run(argv, cwd=repository, capture_output=True, text=True, check=False)
    return done.stdout.strip().splitlines()[-1]


def replace(file: Path, *swaps: tuple[str, str]) -> None:
    """Edits a file; every old text must be there."""
    text = file.read_text(encoding="utf-8")
    for old, new in swaps:
        assert old in text
        text = text.replace(old, new)
    file.write_text(text, encoding="utf-8")


def test_it_is_a_clean_repository_on_main(tmp_path: Path) -> None:
    """One commit on `main`, nothing uncommitted, no file with the suffix it ships with."""
    commit = make_repository(tmp_path / "parcels")
    with Repo(str(tmp_path / "parcels")) as repository:
        assert repository.refs.get_symrefs()[Ref(b"HEAD")] == b"refs/heads/main"
        assert repository.head().decode() == commit
    place = tmp_path / "parcels"
    names = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}
    assert {"pyproject.toml", ".gitignore", "parcels/weights.py", "tests/test_quotes.py"} <= names
    assert not [name for name in names if name.endswith(".txt")]


def test_neither_fix_alone_makes_its_tests_pass_and_both_together_do(tmp_path: Path) -> None:
    """The comparison by identity and the name that Python took away each break the same test."""
    place = tmp_path / "parcels"
    make_repository(place)
    assert pytest_says(place).startswith("1 failed, 4 passed")
    replace(place / "parcels/weights.py", ('is "kg"', '== "kg"'), ('is "lb"', '== "lb"'))
    assert pytest_says(place).startswith("1 failed, 4 passed")
    swaps = [("import collections\n", "import collections.abc\n"), ("collections.Mapping", "collections.abc.Mapping")]
    replace(place / "parcels/tariff.py", *swaps)
    assert pytest_says(place).startswith("5 passed")
    replace(place / "parcels/weights.py", ('== "kg"', 'is "kg"'))
    assert pytest_says(place).startswith("1 failed, 4 passed")
