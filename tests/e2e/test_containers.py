"""compose.yaml with real containers: the image is built, the stack comes up, work goes through it, and lasts.

It takes minutes, and the images of the servers, so it runs only where it is asked for: `PARALLAX_REQUIRE=docker`.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest
from dulwich import porcelain

from parallax.stack.plan import SERVICES
from parallax.stack.servers import free_ports
from shared.testing import eventually
from tests.conftest import missing
from tests.docs.pages import ROOT, blocks

PAGE = ROOT / "docs" / "how-to" / "your-own-servers.md"
KEY = "key-of-this-test"
_BUILD_S = 900
_COMMAND_S = 300


class Containers:
    """A copy of the repository with `docker` and Compose at work in it, under a name that is nobody else's."""

    def __init__(self, checkout: Path) -> None:
        self.checkout = checkout
        self.name = f"parallax-test-{uuid.uuid4().hex[:8]}"
        (self.port,) = free_ports(1)
        self.environ = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": self.name,
            "POSTGRES_PASSWORD": uuid.uuid4().hex,
            "PARALLAX_API_KEY": KEY,
            "GATEWAY_PORT": str(self.port),
        }
        if self._fails("docker", "buildx", "version"):  # the builder that docker has without it
            self.environ |= {"DOCKER_BUILDKIT": "0", "COMPOSE_DOCKER_CLI_BUILD": "0"}
        self._compose = ["docker-compose"] if self._fails("docker", "compose", "version") else ["docker", "compose"]
        images = {name: {"image": self.name} for name in SERVICES} | {"etcd": {"image": f"{self.name}-etcd"}}
        (checkout / "names.yaml").write_text(json.dumps({"services": images}), encoding="utf-8")

    def _fails(self, *command: str) -> bool:
        return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode != 0

    def docker(self, *arguments: str, timeout_s: float = _COMMAND_S) -> str:
        """What a command of docker prints; it has to succeed."""
        return self._run(["docker", *arguments], timeout_s)

    def compose(self, *arguments: str, timeout_s: float = _COMMAND_S) -> str:
        """What a command of Compose prints; it has to succeed."""
        files = ["-f", "compose.yaml", "-f", "compose.override.yaml", "-f", "names.yaml"]
        return self._run([*self._compose, *files, *arguments], timeout_s)

    def inspected(self, *, every: bool = False) -> dict[str, dict[str, Any]]:
        """What docker knows of each container, by the name of its service."""
        ids = self.docker(
            "ps", "--quiet", *(["--all"] if every else []), "--filter", f"label=com.docker.compose.project={self.name}"
        ).split()
        found = json.loads(self.docker("inspect", *ids)) if ids else []
        return {one["Config"]["Labels"]["com.docker.compose.service"]: one for one in found}

    def remove(self) -> None:
        """Takes away everything that was made, as far as it was."""
        self.compose("down", "--volumes", "--remove-orphans")
        for image in (self.name, f"{self.name}-etcd"):
            self._fails("docker", "image", "rm", "--force", image)

    def _run(self, command: list[str], timeout_s: float) -> str:
        done = subprocess.run(
            command,
            cwd=self.checkout,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout


@pytest.fixture(scope="module")
def containers(tmp_path_factory: pytest.TempPathFactory) -> Generator[Containers]:
    """The stack of compose.yaml, built from a copy of the repository with what the page says is one's own beside it."""
    if "docker" not in {name.strip() for name in os.environ.get("PARALLAX_REQUIRE", "").split(",")}:
        pytest.skip("docker: builds images and takes minutes; PARALLAX_REQUIRE=docker asks for it")
    if shutil.which("docker") is None or not (shutil.which("docker-compose") or _has_compose()):
        missing("docker", "docker with Compose is not installed")
    if subprocess.run(["docker", "info"], capture_output=True, timeout=30, check=False).returncode != 0:
        missing("docker", "`docker info` fails: no docker daemon answers (DOCKER_HOST names one elsewhere)")
    checkout = tmp_path_factory.mktemp("containers") / "parallax"
    copy_repository(checkout)
    made = Containers(checkout)
    try:
        made.compose("build", timeout_s=_BUILD_S)
        made.compose("up", "--detach")
        yield made
    finally:
        made.remove()


def _has_compose() -> bool:
    return (
        subprocess.run(["docker", "compose", "version"], capture_output=True, timeout=30, check=False).returncode == 0
    )


def copy_repository(checkout: Path) -> None:
    """What a clone has of what the images are made of, for the eyes of its owner alone, and the files of the page."""
    checkout.mkdir()
    names = [line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"]
    for name in (".dockerignore", "Dockerfile", "compose.yaml", "etcd.Dockerfile", "nats.conf", *names):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, checkout / name)
        else:
            shutil.copy(ROOT / name, checkout / name)
    for path in checkout.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    for block in blocks(PAGE):
        if block.name in {"compose.override.yaml", "own/patterns/hello.yaml"}:
            (checkout / block.name).parent.mkdir(parents=True, exist_ok=True)
            (checkout / block.name).write_text(block.text, encoding="utf-8")
    mine = checkout / "own" / "repositories" / "mine"
    mine.mkdir(parents=True)
    porcelain.init(mine)
    (mine / "README.md").write_text("mine\n", encoding="utf-8")
    porcelain.add(mine, [mine / "README.md"])
    porcelain.commit(mine, message=b"One file", author=b"Ada <ada@example.org>", committer=b"Ada <ada@example.org>")
    for path in (checkout / "own", *(checkout / "own").rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


async def executed(containers: Containers, key: str) -> dict[str, Any]:
    """What the gateway says of an execution of the page's pattern, when it has ended."""
    async with gateway(containers) as client:
        await eventually(lambda: ready(client), timeout_s=60, every_s=0.5)
        body = {"pattern": "hello", "input": {"name": "containers"}, "repo": "file:///repositories/mine"}
        made = await client.post("/api/executions", json=body, headers={"idempotency-key": key})
        assert made.status_code == 202, made.text
        events = await client.get(f"/api/executions/{key}/events/stream", timeout=90)
        assert "event: execution.completed" in events.text.splitlines(), events.text
        return (await client.get(f"/api/executions/{key}")).json()


def gateway(containers: Containers) -> httpx.AsyncClient:
    """A client that shows the key."""
    return httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{containers.port}", headers={"authorization": f"Bearer {KEY}"}, trust_env=False
    )


async def ready(client: httpx.AsyncClient) -> bool:
    """Whether the gateway answers, with all its servers."""
    try:
        return (await client.get("/health/ready")).status_code == 200
    except httpx.TransportError:
        return False


def test_the_image_holds_what_the_lock_names_and_runs_as_nobody(containers: Containers) -> None:
    """Each package has the version of the lock, there is no pip, and the program cannot be changed by who runs it."""
    script = (
        "import importlib.metadata as m, json, os\n"
        "found = [(d.metadata['Name'].lower(), d.version) for d in m.distributions()]\n"
        "held = {name.replace('_', '-').replace('.', '-'): version for name, version in found}\n"
        "free = [p for p, _, _ in os.walk('/opt') if os.access(p, os.W_OK)]\n"
        "print(json.dumps([held, os.getuid(), free, os.access('/var/lib/parallax/workspaces', os.W_OK)]))"
    )
    said = containers.docker(
        "run", "--rm", "--network", "none", "--entrypoint", "python", containers.name, "-c", script
    )
    held, uid, writable, has_room = json.loads(said)
    lock = (ROOT / "requirements" / "services.txt").read_text(encoding="utf-8")
    locked = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", lock, re.MULTILINE))
    elsewhere = set(re.findall(r"^([\w.-]+)==\S+ ;", lock, re.MULTILINE))
    assert held == {name: version for name, version in locked.items() if name in held}
    assert set(locked) - set(held) <= elsewhere
    assert (uid, writable, has_room) == (10001, [], True)


async def test_the_stack_comes_up_and_stays_up(containers: Containers) -> None:
    """Every server is healthy, the gateway too, and no service had to be started twice."""

    def healthy() -> bool:
        found = containers.inspected()
        states = {name: one["State"]["Health"]["Status"] for name, one in found.items() if "Health" in one["State"]}
        assert states == dict.fromkeys(("nats", "postgres", "etcd", "gateway"), "healthy")
        return set(found) == {*SERVICES, "nats", "postgres", "etcd"}

    await eventually(healthy, timeout_s=60, every_s=0.5)
    assert {name: one["RestartCount"] for name, one in containers.inspected().items() if one["RestartCount"]} == {}


async def test_an_execution_goes_through_the_stack(containers: Containers) -> None:
    """Asked for over HTTP with the key, done by an agent that sees neither Postgres nor etcd, and replayed."""
    done = await executed(containers, "through")
    assert done["status"] == "completed"
    assert done["result"]["files"] == ["hello.txt"]
    async with gateway(containers) as client:
        assert (await client.get("/api/executions/through/replay")).json()["identical"] is True
        assert (await client.get("/api/executions", headers={"authorization": "Bearer another"})).status_code == 401
    shown = containers.compose("exec", "-T", "gateway", "parallax", "workspaces", "diff", "through")
    assert "hello containers" in shown


def test_an_agent_reaches_neither_stores_nor_secrets(containers: Containers) -> None:
    """Where agents run no store has an address, and no process has a password or a key in its environment."""
    script = (
        "import pathlib, socket\n"
        "def is_known(host):\n"
        "    try:\n"
        "        return bool(socket.getaddrinfo(host, None))\n"
        "    except OSError:\n"
        "        return False\n"
        "print([host for host in ('nats', 'postgres', 'etcd') if is_known(host)])\n"
        "print(*(p.read_bytes() for p in pathlib.Path('/proc').glob('[0-9]*/environ')))\n"
    )
    known, environments = containers.compose("exec", "-T", "runtime_local", "python", "-c", script).splitlines()
    assert known == "['nats']"
    assert "services" not in environments
    assert "PARALLAX_NATS_URL" in environments
    assert containers.environ["POSTGRES_PASSWORD"] not in environments
    assert KEY not in environments


async def test_a_service_that_dies_is_started_again(containers: Containers) -> None:
    """Each service is killed at once with all others, and the next execution is done."""
    for name in SERVICES:
        containers.compose("exec", "-T", name, "sh", "-c", "kill -9 $(cat /proc/1/task/1/children)")

    def restarted() -> bool:
        counts = {name: one["RestartCount"] for name, one in containers.inspected().items()}
        assert all(counts.get(name, 0) >= 1 for name in SERVICES), counts
        return True

    await eventually(restarted, timeout_s=60, every_s=0.5)
    assert (await executed(containers, "after-deaths"))["status"] == "completed"


async def test_what_was_done_outlives_the_containers(containers: Containers) -> None:
    """All containers leave in order when asked, and new ones go on with the log, the tables and the worktrees."""
    await executed(containers, "before-leaving")
    await asyncio.to_thread(containers.compose, "stop")
    codes = {name: one["State"]["ExitCode"] for name, one in containers.inspected(every=True).items()}
    assert codes == dict.fromkeys((*SERVICES, "nats", "postgres", "etcd"), 0)
    await asyncio.to_thread(containers.compose, "down")
    assert containers.inspected(every=True) == {}
    await asyncio.to_thread(containers.compose, "up", "--detach")
    assert (await executed(containers, "after-leaving"))["status"] == "completed"
    async with gateway(containers) as client:
        listed = (await client.get("/api/executions")).json()
    assert {"before-leaving", "after-leaving"} <= {one["id"] for one in listed["executions"]}
    shown = containers.compose("exec", "-T", "gateway", "parallax", "workspaces", "diff", "before-leaving")
    assert "hello containers" in shown
