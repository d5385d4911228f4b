"""What is needed to run the services against servers of one's own: compose.yaml, Dockerfile, nats.conf."""

from __future__ import annotations

import fnmatch
import re
import subprocess
from typing import Any

import pytest
from ruamel.yaml import YAML

from parallax.stack.binaries import find_program
from parallax.stack.errors import MissingProgramError
from parallax.stack.plan import SERVICES
from shared.config import load
from tests.architecture.source import ROOMS, ROOT
from tests.conftest import missing

COMPOSE: dict[str, Any] = YAML(typ="safe").load(ROOT / "compose.yaml")
CONTAINERS: dict[str, dict[str, Any]] = COMPOSE["services"]
SERVERS = ("nats", "postgres", "etcd")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
IGNORED = [
    line
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    if line.strip() and not line.startswith("#")
]


def filled(text: str) -> str:
    """A value of compose.yaml with something in the place of each `${NAME:?…}`."""
    return re.sub(r"\$\{(\w+)(:\?[^}]*)?\}", "something", str(text))


def test_compose_runs_every_service_and_every_server() -> None:
    """Each service of the product is a container of the one image; the servers are three more."""
    ours = {name: container for name, container in CONTAINERS.items() if name not in SERVERS}
    assert set(ours) == set(SERVICES)
    assert set(CONTAINERS) == {*SERVICES, *SERVERS}
    for name, container in ours.items():
        assert container["command"] == [f"services.{name}"]
        assert (container["build"], container["image"], container["init"]) == (".", "parallax", True)


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_starts_with_settings_that_are_accepted(name: str) -> None:
    """compose.yaml and the Dockerfile give only settings that exist, with values that can be used."""
    said = dict(re.findall(r"(PARALLAX_\w+)=(\S+)", DOCKERFILE))
    said |= {key: filled(value) for key, value in CONTAINERS[name]["environment"].items()}
    settings = load(said)
    assert settings.nats_url == "nats://nats:4222"
    assert settings.database_url == "postgresql://parallax:something@postgres:5432/parallax"
    assert settings.etcd_endpoints == ("http://etcd:2379",)
    assert settings.api_key == "something"
    assert str(settings.workspaces_dir) == "/var/lib/parallax/workspaces"


def test_services_wait_for_servers_that_are_well() -> None:
    """Every server says whether it is well, and no service is started before all of them are."""
    for name in SERVERS:
        assert CONTAINERS[name]["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    for name in SERVICES:
        conditions = {server: need["condition"] for server, need in CONTAINERS[name]["depends_on"].items()}
        assert conditions == dict.fromkeys(SERVERS, "service_healthy")


def test_containers_keep_what_they_own_in_declared_volumes() -> None:
    """A container that is made anew loses nothing; the two that share worktrees share the volume."""
    used: set[str] = set()
    for container in CONTAINERS.values():
        used |= {volume.partition(":")[0] for volume in container.get("volumes", []) if not volume.startswith(".")}
    assert used == set(COMPOSE["volumes"])
    assert CONTAINERS["workspace"]["volumes"] == CONTAINERS["runtime_local"]["volumes"]
    assert "./nats.conf:/etc/nats/nats.conf:ro" in CONTAINERS["nats"]["volumes"]


def test_only_the_gateway_is_reached_from_outside_and_only_from_this_machine() -> None:
    """No server is published, and what is published is on loopback and asks for a key."""
    published = {name: container["ports"] for name, container in CONTAINERS.items() if "ports" in container}
    assert set(published) == {"gateway"}
    assert all(port.startswith("127.0.0.1:") for port in published["gateway"])
    assert ":?" in CONTAINERS["gateway"]["environment"]["PARALLAX_API_KEY"]


def test_the_container_gets_every_room() -> None:
    """The Dockerfile copies each package and the locked requirements, and checks their hashes."""
    assert [room for room in (*ROOMS, "patterns") if f"COPY {room} {room}\n" not in DOCKERFILE] == []
    assert "--require-hashes -r requirements/services.txt" in DOCKERFILE
    assert re.search(r"^USER parallax$", DOCKERFILE, re.MULTILINE)


def test_the_builder_is_sent_what_it_copies_and_no_more() -> None:
    """.dockerignore lets through every path that the Dockerfile copies, and neither .git nor an environment."""

    def is_sent(path: str) -> bool:
        sent = True
        for line in IGNORED:
            if fnmatch.fnmatch(path.partition("/")[0], line.lstrip("!")):
                sent = line.startswith("!")
        return sent

    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert len(copied) > 8
    for source in copied:
        assert (ROOT / source).exists(), source
        assert is_sent(source), source
    for private in (".git", ".venv", ".env", ".workspaces", "tests"):
        assert not is_sent(private), private


def test_nats_conf_is_valid_and_durable() -> None:
    """nats-server itself accepts nats.conf, and the log is flushed before it is acknowledged."""
    try:
        program = find_program("nats-server")
    except MissingProgramError as error:
        missing("nats", str(error))
        raise
    checked = subprocess.run(
        [program, "-t", "-c", ROOT / "nats.conf"], capture_output=True, text=True, timeout=30, check=False
    )
    assert checked.returncode == 0, checked.stderr
    text = (ROOT / "nats.conf").read_text(encoding="utf-8")
    assert re.search(r"^\s*sync_interval: always$", text, re.MULTILINE)
    assert re.search(r"^max_payload: 8MB$", text, re.MULTILINE)
    assert re.search(r'^http: "127\.0\.0\.1:8222"$', text, re.MULTILINE)
