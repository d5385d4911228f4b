"""A disk that is too small is said at once; one that fills up and is freed is got over."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from collections.abc import Generator
from pathlib import Path

import nats
import nats.errors
import pytest
from nats.js import JetStreamContext

from parallax.stack import Stack, embedded
from shared.testing import eventually
from tests.stack.test_stack import parallax


@pytest.fixture
def disk(server_dir: Path, request: pytest.FixtureRequest) -> Generator[Path]:
    """A disk of the size that the test asks for, which is of memory."""
    place = server_dir / f"disk-{request.param}"
    place.mkdir(mode=0o711)
    command = ["mount", "-t", "tmpfs", "-o", f"size={request.param}", "none", place]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a disk")
    yield place
    subprocess.run(["umount", "--lazy", place], check=False, capture_output=True)


@pytest.mark.parametrize("disk", ["2g", "64m"], indirect=True)
def test_a_small_disk_is_said_at_once(disk: Path) -> None:
    """`doctor` calls it a problem; `up` ends with the sentence, and not with a line of JSON after a minute."""
    began = time.monotonic()
    for options in ([], ["--detach"]):
        refused = parallax("up", *options, data=disk / "data")
        assert refused.returncode == 1
        assert f"the disk of {disk}" in refused.stderr
        assert "free some, or choose a data directory on a larger disk" in refused.stderr
        assert "{" not in refused.stderr
    assert time.monotonic() - began < 15
    checked = parallax("doctor", "--json", data=disk / "data")
    found = {check["name"]: check for check in json.loads(checked.stdout)["checks"]}
    assert (checked.returncode, found["disk"]["state"]) == (1, "problem")


def fill(disk: Path) -> None:
    """Writes until nothing more fits."""
    with (disk / "full").open("wb", buffering=0) as out:
        for size in (1 << 24, 1 << 12):
            try:
                while out.write(b"\\0" * size):
                    pass
            except OSError:
                continue


@pytest.mark.parametrize("disk", ["2500m"], indirect=True)
async def test_a_disk_that_was_full_is_got_over(disk: Path) -> None:
    """While it is full status says so, and a run what it waits for; freed, the stack serves again by itself."""
    async with embedded(data=disk / "data", only=["nats", "etcd"]) as stack:
        client = await nats.connect(stack.nats_url, max_reconnect_attempts=-1, reconnect_time_wait=0.1)
        jetstream = client.jetstream(timeout=1)
        await jetstream.add_stream(name="KEPT", subjects=["kept"])
        await jetstream.publish("kept", b"before")
        fill(disk)
        with pytest.raises((nats.errors.Error, TimeoutError)):
            await _publish_much(jetstream)
        await eventually(lambda: _is_degraded(stack), timeout_s=10)
        shown = await asyncio.to_thread(parallax, "status", data=stack.data)
        assert "no space left on device" in shown.stdout
        (disk / "full").unlink()

        async def works() -> bool:
            try:
                await jetstream.publish("kept", b"after")
            except (nats.errors.Error, TimeoutError):
                return False
            return await stack.healthy()

        await eventually(works, timeout_s=30)
        first = await jetstream.get_msg("KEPT", 1)
        assert first.data == b"before"
        await client.close()


async def _publish_much(jetstream: JetStreamContext) -> None:
    for _ in range(50):
        await jetstream.publish("kept", os.urandom(1_000_000))


async def _is_degraded(stack: Stack) -> bool:
    return (await stack.part("nats")).state == "degraded"
