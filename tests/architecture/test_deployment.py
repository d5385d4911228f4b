"""What is needed to run the services against servers of one's own: compose.yaml, Dockerfile, nats.conf."""

from __future__ import annotations

import fnmatch
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from parallax.stack.binaries import find_program
from parallax.stack.errors import MissingProgramError
from parallax.stack.plan import SERVICES
from shared.config import load
from shared.service import GRACE_S
from tests.architecture.source import ROOMS, ROOT
from tests.conftest import missing

COMPOSE: dict[str, Any] = YAML(typ="safe").load(ROOT / "compose.yaml")
CONTAINERS: dict[str, dict[str, Any]] = COMPOSE["services"]
NATS_CONF = ROOT / "nats.conf"
SERVERS = ("nats", "postgres", "etcd")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
SETTINGS = {
    "PARALLAX_NATS_URL": ("nats_url", "nats://nats:4222"),
    "PARALLAX_DATABASE_URL": ("database_url", "postgresql://parallax:something@postgres:5432/parallax"),
    "PARALLAX_ETCD_ENDPOINTS": ("etcd_endpoints", ("http://etcd:2379",)),
    "PARALLAX_API_LISTEN": ("api_listen", "0.0.0.0:8080"),
    "PARALLAX_API_KEY": ("api_key", "something"),
}
"""What compose.yaml sets: the attribute of the settings, and its value."""
IGNORED = [
    line
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    if line.strip() and not line.startswith("#")
]


def filled(text: str) -> str:
    """A value of compose.yaml without settings: `${NAME:-default}` is the default, `${NAME:?…}` something."""
    return re.sub(r"\$\{\w+(?::-([^}]*)|:\?[^}]*)\}", lambda found: found[1] or "something", str(text))


def servers_of(name: str) -> set[str]:
    """The servers whose addresses a service is given."""
    given = " ".join(filled(value) for value in CONTAINERS[name]["environment"].values())
    return {server for server in SERVERS if re.search(rf"[/@]{server}:", given)}


def uses(name: str, attribute: str) -> bool:
    """Whether the source of a service reads this setting."""
    return any(
        re.search(rf"settings\.{attribute}\b", path.read_text(encoding="utf-8"))
        for path in (ROOT / "services" / name).rglob("*.py")
    )


def test_compose_runs_every_service_and_every_server() -> None:
    """Each service of the product is a container of the one image; the servers are three more."""
    ours = {name: container for name, container in CONTAINERS.items() if name not in SERVERS}
    assert set(ours) == set(SERVICES)
    assert set(CONTAINERS) == {*SERVICES, *SERVERS}
    for name, container in ours.items():
        assert container["command"] == [f"services.{name}"]
        assert (container["build"], container["image"], container["init"]) == (".", "parallax", True)


def test_compose_is_read_by_old_and_new_compose() -> None:
    """docker-compose 1.29, which distributions still ship, knows no project name and no Dockerfile inside the file."""
    assert {key for key in COMPOSE if not key.startswith("x-")} == {"services", "networks", "volumes"}
    for container in CONTAINERS.values():
        build = container.get("build", ".")
        assert build == "." or set(build) == {"context", "dockerfile"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_starts_with_settings_that_are_accepted(name: str) -> None:
    """compose.yaml and the Dockerfile give only settings that exist, with values that can be used."""
    said = dict(re.findall(r"(PARALLAX_\w+)=(\S+)", DOCKERFILE))
    given = {key: filled(value) for key, value in CONTAINERS[name]["environment"].items()}
    settings = load(said | given)
    for key in given:
        attribute, value = SETTINGS[key]
        assert getattr(settings, attribute) == value
    assert str(settings.workspaces_dir) == "/var/lib/parallax/workspaces"
    assert str(settings.patterns_dir) == "/opt/parallax/patterns"


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_gets_the_addresses_and_secrets_that_its_service_uses_and_no_others(name: str) -> None:
    """An agent can read the environment of the runtime that started it: that holds no more than the runtime needs."""
    needed = {key for key, (attribute, _) in SETTINGS.items() if uses(name, attribute)}
    assert set(CONTAINERS[name]["environment"]) == {"PARALLAX_NATS_URL", *needed}
    assert (name == "gateway") == ("PARALLAX_API_KEY" in needed)


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_reaches_the_servers_that_its_service_uses_and_no_others(name: str) -> None:
    """Postgres and etcd are on a network of their own, which the runtimes of agents are not on."""
    stores = servers_of(name) - {"nats"}
    assert CONTAINERS[name]["networks"] == (["bus", "stores"] if stores else ["bus"])
    assert {server: CONTAINERS[server]["networks"] for server in SERVERS} == {
        "nats": ["bus"],
        "postgres": ["stores"],
        "etcd": ["stores"],
    }
    assert COMPOSE["networks"]["stores"] == {"internal": True}
    assert CONTAINERS["runtime_local"]["networks"] == ["bus"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_can_do_no_more_than_its_service_has_to(name: str) -> None:
    """No capability, no way to more rights, nothing to write to but volumes and /tmp; time enough to leave in order."""
    container = CONTAINERS[name]
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert (container["read_only"], container["tmpfs"]) == (True, ["/tmp"])
    assert container["restart"] == "unless-stopped"
    assert int(container["stop_grace_period"].removesuffix("s")) >= GRACE_S + 3


def test_services_wait_for_servers_that_are_well() -> None:
    """Every server says whether it is well, and no service is started before those that it uses are."""
    for name in SERVERS:
        assert CONTAINERS[name]["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    for name in SERVICES:
        conditions = {server: need["condition"] for server, need in CONTAINERS[name]["depends_on"].items()}
        assert conditions == dict.fromkeys(servers_of(name), "service_healthy")
    # on its socket Postgres answers while the image still sets the database up
    assert "--host=127.0.0.1" in CONTAINERS["postgres"]["healthcheck"]["test"]


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


def test_the_image_gets_every_room_and_what_the_lock_names() -> None:
    """The Dockerfile copies each package, and installs wheels with the hashes of the lock and nothing else."""
    assert [room for room in (*ROOMS, "patterns") if f"COPY {room} {room}\n" not in DOCKERFILE] == []
    installs = [
        line for line in DOCKERFILE.replace("\\\n", " ").splitlines() if re.search(r"\bpip\b.*\binstall\b", line)
    ]
    assert len(installs) == 1
    assert "--require-hashes -r /tmp/services.txt" in installs[0]
    assert "--only-binary :all:" in installs[0]
    assert "COPY requirements/services.txt /tmp/services.txt" in DOCKERFILE


def test_the_image_runs_as_a_user_with_a_number() -> None:
    """Kubernetes can tell that it is not root, and volumes stay readable. It owns its directories and no program."""
    (user,) = re.findall(r"^USER (\d+):\d+$", DOCKERFILE, re.MULTILINE)
    assert int(user) > 0
    assert f"useradd --uid {user} " in DOCKERFILE
    assert f"--owner={user} --group={user} --mode=0700 /var/lib/parallax /var/lib/parallax/workspaces" in DOCKERFILE
    assert not re.search(r"COPY --chown|chown", DOCKERFILE)
    etcd = (ROOT / CONTAINERS["etcd"]["build"]["dockerfile"]).read_text(encoding="utf-8")
    assert re.search(rf"--owner={user} --group={user} .*/data$", etcd, re.MULTILINE)
    assert f"USER {user}:{user}" in etcd


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
    let_through = {line.removeprefix("!") for line in IGNORED if line.startswith("!")}
    assert let_through == {source.partition("/")[0] for source in copied}
    for source in copied:
        assert (ROOT / source).exists(), source
        assert is_sent(source), source
    for private in (".git", ".venv", ".env", ".workspaces", "tests"):
        assert not is_sent(private), private


def checked_by_nats(conf: Path, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """What nats-server itself says of a configuration."""
    try:
        program = find_program("nats-server")
    except MissingProgramError as error:
        missing("nats", str(error))
        raise
    return subprocess.run(
        [program, "-t", "-c", conf], env=environ, capture_output=True, text=True, timeout=30, check=False
    )


def test_nats_conf_is_valid_and_durable() -> None:
    """nats-server itself accepts nats.conf, and the log is flushed before it is acknowledged."""
    checked = checked_by_nats(NATS_CONF, {})
    assert checked.returncode == 0, checked.stderr
    text = NATS_CONF.read_text(encoding="utf-8")
    assert re.search(r"^\s*sync_interval: always$", text, re.MULTILINE)
    assert re.search(r"^max_payload: 8MB$", text, re.MULTILINE)
    assert re.search(r'^http: "127\.0\.0\.1:8222"$', text, re.MULTILINE)


def test_nats_conf_shows_how_users_are_given(tmp_path: Path) -> None:
    """The block that nats.conf shows is valid as it stands, and takes the password that compose.yaml hands on."""
    text = NATS_CONF.read_text(encoding="utf-8")
    (block,) = re.findall(r"^# authorization \{\n.*?^# \}\n", text, re.MULTILINE | re.DOTALL)
    conf = tmp_path / "nats.conf"
    conf.write_text(text.replace(block, re.sub(r"^# ", "", block, flags=re.MULTILINE)), encoding="utf-8")
    checked = checked_by_nats(conf, {"NATS_PASSWORD": "something"})
    assert checked.returncode == 0, checked.stderr
    assert checked_by_nats(conf, {}).returncode != 0
    assert set(CONTAINERS["nats"]["environment"]) == {"NATS_PASSWORD"}
