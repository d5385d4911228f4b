"""Leaving in order, from the first moment on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source import ROOT


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_service_that_is_asked_to_leave_while_it_imports_goes_with_0(tmp_path: Path, number: signal.Signals) -> None:
    """However long its imports take."""
    slow = "import sys, time\nsys.stdout.write('importing\\n')\nsys.stdout.flush()\ntime.sleep(60)\n"
    (tmp_path / "slow_service.py").write_text(slow, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-c", "from shared.starting import start_service; start_service('slow_service', 'Slow')"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "importing\n"
        process.send_signal(number)
        assert process.wait(20) == 0
