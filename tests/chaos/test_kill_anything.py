"""Kill anything at any time, and nothing is lost or done twice: two small seeds, one of them another each time."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from tests.chaos.killing import Run, kill_anything

EXECUTIONS = int(os.environ.get("CHAOS_EXECUTIONS", "20"))
SEEDS = [int(os.environ["CHAOS_SEED"])] if os.environ.get("CHAOS_SEED") else [1796123011, int(time.time())]


@pytest.mark.parametrize("which", range(len(SEEDS)))
async def test_everything_completes_once_while_anything_is_killed(tmp_path: Path, which: int) -> None:
    """Executions, some requested twice, survive a kill -9 of something every second; no agent is charged with it."""
    run = Run(seed=SEEDS[which], executions=EXECUTIONS)
    try:
        await kill_anything(tmp_path, run)
    finally:
        sys.stdout.write(f"seed: {run.seed}, killed: {dict(run.kills)}, lost: {dict(run.losses)}\n")
