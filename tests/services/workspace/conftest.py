"""Open files of a test's workspaces are closed with it."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.services.workspace.bench import close_all


@pytest.fixture(autouse=True)
def _closed() -> Generator[None]:
    yield
    close_all()
