"""`scripts/_bootstrap`: killed at any moment, it heals by being run again."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import signal
import subprocess
import time
import zipfile
from pathlib import Path

import pytest

BOOTSTRAP = Path(__file__).parents[2] / "scripts" / "_bootstrap"


def _wheel(place: Path) -> str:
    """Writes a package with one module as a wheel; the line that locks it."""
    files = {
        "tiny.py": b"FACT = 42\n",
        "tiny-1.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny\nVersion: 1\n",
        "tiny-1.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: here\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(text).digest()).rstrip(b'=').decode()},{len(text)}\n"
        for name, text in files.items()
    )
    target = place / "tiny-1-py3-none-any.whl"
    with zipfile.ZipFile(target, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
        wheel.writestr("tiny-1.dist-info/RECORD", record + "tiny-1.dist-info/RECORD,,\n")
    return f"tiny==1 --hash=sha256:{hashlib.sha256(target.read_bytes()).hexdigest()}\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of nothing but the bootstrap, with a lock of one package; its path has a blank."""
    root = tmp_path / "the checkout"
    (root / "scripts").mkdir(parents=True)
    (root / "requirements").mkdir()
    shutil.copy2(BOOTSTRAP, root / "scripts" / "_bootstrap")
    (root / "requirements" / "run.txt").write_text(_wheel(tmp_path))
    return root


def start(checkout: Path) -> subprocess.Popen[str]:
    """The bootstrap, in a session of its own, so that it can be killed with everything it started."""
    environ = {name: value for name, value in os.environ.items() if name != "_PARALLAX_LOCKED"}
    return subprocess.Popen(
        [str(checkout / "scripts" / "_bootstrap"), "run"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=environ | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(checkout.parent)},
    )


def finish(checkout: Path) -> str:
    """Runs the bootstrap to its end, and proves that what it made is whole; what it said."""
    with start(checkout) as process:
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    python = checkout / ".venv" / "bin" / "python"
    for command in ("import tiny; assert tiny.FACT == 42", "import pip._internal.cli.main"):
        assert subprocess.run([str(python), "-c", command], check=False, timeout=20).returncode == 0, said
    assert os.access(checkout / ".venv" / "bin" / "parallax", os.X_OK)
    return said


def test_killed_at_any_moment_it_heals(checkout: Path) -> None:
    """Ctrl-C or kill -9 while the environment is being made costs the next run nothing but time."""
    for after_s, how in ((0.15, signal.SIGINT), (0.6, signal.SIGKILL), (1.5, signal.SIGKILL), (2.6, signal.SIGINT)):
        with start(checkout) as process:
            time.sleep(after_s)  # the moment of the kill is what is tried
            os.killpg(process.pid, how)
            process.communicate(timeout=20)
    assert "Making" in finish(checkout)
    assert finish(checkout) == ""  # made once, it is not made again


def test_an_environment_without_pip_is_made_anew(checkout: Path) -> None:
    """What a killed predecessor, or somebody else, left as .venv is moved aside and not installed into."""
    (checkout / ".venv" / "bin").mkdir(parents=True)
    (checkout / ".venv" / "bin" / "python").symlink_to("/bin/false")
    (checkout / ".venv" / "theirs.txt").write_text("theirs")
    assert "is now" in finish(checkout)
    assert [place.read_text() for place in checkout.glob(".venv.replaced-*/theirs.txt")] == ["theirs"]


def test_a_newer_lock_is_added_and_a_moved_checkout_made_anew(checkout: Path) -> None:
    """The environment of a checkout that was moved names its old place everywhere; it is made anew."""
    finish(checkout)
    lock = checkout / "requirements" / "run.txt"
    lock.write_text(f"# newer\n{lock.read_text()}")
    keep = checkout / ".venv" / "kept"
    keep.touch()
    finish(checkout)
    assert keep.exists()
    moved = checkout.rename(checkout.with_name("moved"))
    finish(moved)
    assert not (moved / ".venv" / "kept").exists()
    assert str(moved) in (moved / ".venv" / "bin" / "parallax").read_text()
