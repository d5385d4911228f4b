"""Every test of the workspace is held against both backends; open files of its workspaces are closed with it."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from shared.git import usable_git
from tests.services.workspace.bench import close_all

BACKENDS = ("git", "dulwich")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Both backends, unless a test or its module is about one of them (`pytest.mark.backend`)."""
    marked = metafunc.definition.get_closest_marker("backend")
    metafunc.parametrize("backend", marked.args if marked else BACKENDS, indirect=True, scope="function")


@pytest.fixture(autouse=True)
def backend(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The backend that a test runs with. Without the git program there is none on PATH."""
    name: str = request.param
    if name == "dulwich":
        monkeypatch.setenv("PATH", str(tmp_path_factory.mktemp("nothing")))
    elif usable_git() is None:
        pytest.skip("there is no git program")
    return name


@pytest.fixture(autouse=True)
def _closed() -> Generator[None]:
    yield
    close_all()
