"""The three servers, each as: what to prepare, what to run, how to ask whether it is ready, how to stop it.

Everything here blocks for short times and knows no event loop, so that the supervisor (in threads) and the tests'
fixtures (directly) start the very same servers.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
import psutil

from parallax.stack.binaries import Account, as_somebody, program_for
from parallax.stack.errors import StackError

MAX_PAYLOAD = 8 * 1024 * 1024
"""Bytes in one message. A compiled pattern with its input, or a diff, is larger than the server's default allows."""

MAX_STORE = "1TB"
"""What the server may keep. By default that is three quarters of what is free at its start, so that a log that has
grown could not be opened again on a disk that has filled; `stack.room` looks at how much there is before."""

HOST = "127.0.0.1"


class Server(Protocol):
    """One server program in its own directory."""

    name: str
    directory: Path
    stop_signal: signal.Signals

    @property
    def url(self) -> str:
        """The address that clients use."""
        ...

    def prepare(self) -> None:
        """Makes directory and configuration ready and heals what a killed predecessor left. Idempotent."""
        ...

    def command(self) -> list[str]:
        """The argument list that runs it in the foreground."""
        ...

    def is_ready(self) -> bool:
        """Whether it answers its clients now."""
        ...


def free_ports(count: int, *, avoid: Collection[int] = ()) -> list[int]:
    """Loopback TCP ports nobody listens on now, all different, below those the system gives to outgoing connections.

    A client that keeps trying a port of that range while its server is away may be given that very port as its own,
    is then connected to itself, and the server cannot come back.
    """
    candidates = random.sample(range(12_000, _first_ephemeral_port()), 2_000)
    free = (port for port in candidates if port not in avoid and is_free(port))
    return list(itertools.islice(free, count))


def _first_ephemeral_port() -> int:
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 32_768
    return first if first > 16_000 else 32_768


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=0.5) as reply:  # noqa: S310 -- http on the loopback, built here
            return reply.status == 200
    except (OSError, urllib.error.URLError, ValueError):
        return False


def _own(place: Path, account: Account) -> None:
    if account.uid is not None and account.gid is not None:
        os.chown(place, account.uid, account.gid)


def spawn(server: Server, account: Account, *, log: Path, environ: dict[str, str]) -> subprocess.Popen[bytes]:
    """Starts the server in a session of its own, as `account`, with its output appended to `log`."""
    with log.open("ab") as output:
        return subprocess.Popen(
            server.command(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=server.directory,
            env=environ,
            start_new_session=True,
            user=account.uid,
            group=account.gid,
            extra_groups=[] if account.is_other else None,
            umask=0o077,
        )


class Nats:
    """nats-server with JetStream, every acked write flushed to the disk."""

    name = "nats"
    stop_signal = signal.SIGTERM

    def __init__(self, directory: Path, account: Account, *, port: int, monitor_port: int) -> None:
        self.directory = directory
        self._account = account
        self._port = port
        self._monitor = monitor_port

    @property
    def url(self) -> str:
        return f"nats://{HOST}:{self._port}"

    def prepare(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        _own(self.directory, self._account)
        config = self.directory / "nats.conf"
        config.write_text(
            f'server_name: "parallax"\n'
            f'listen: "{HOST}:{self._port}"\n'
            f'http: "{HOST}:{self._monitor}"\n'
            f"max_payload: {MAX_PAYLOAD}\n"
            f"max_pending: {8 * MAX_PAYLOAD}\n"
            f'jetstream {{ store_dir: "{self.directory}", sync_interval: always, max_file_store: {MAX_STORE} }}\n'
        )
        _own(config, self._account)

    def command(self) -> list[str]:
        return [str(program_for("nats-server", self._account)), "-c", str(self.directory / "nats.conf")]

    def is_ready(self) -> bool:
        return _answers(f"http://{HOST}:{self._monitor}/healthz")

    def complaint(self) -> str:
        """Why the server says that it cannot serve; "" when it says nothing of the kind, or nothing at all.

        After a failed write it says so until it is started again, even when there is room again.
        """
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self._monitor}/healthz", timeout=0.5):
                return ""
        except urllib.error.HTTPError as error:
            with contextlib.suppress(OSError, ValueError, msgspec.MsgspecError):
                return str(msgspec.json.decode(error.read(), type=dict[str, Any]).get("error", ""))
            return ""
        except (OSError, ValueError):
            return ""


class Etcd:
    """One etcd member."""

    name = "etcd"
    stop_signal = signal.SIGTERM

    def __init__(self, directory: Path, account: Account, *, port: int, peer_port: int) -> None:
        self.directory = directory
        self._account = account
        self._port = port
        self._peer = f"http://{HOST}:{peer_port}"

    @property
    def url(self) -> str:
        return f"{HOST}:{self._port}"

    def prepare(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        _own(self.directory, self._account)

    def command(self) -> list[str]:
        client = f"http://{self.url}"
        options = {
            "--name": "parallax",
            "--data-dir": str(self.directory / "member"),
            "--listen-client-urls": client,
            "--advertise-client-urls": client,
            "--listen-peer-urls": self._peer,
            "--initial-advertise-peer-urls": self._peer,
            "--initial-cluster": f"parallax={self._peer}",
            "--heartbeat-interval": "50",  # alone it elects itself; short ticks only make that quicker
            "--election-timeout": "500",
            "--auto-compaction-mode": "periodic",
            "--auto-compaction-retention": "1h",
            "--log-level": "warn",
        }
        return [str(program_for("etcd", self._account)), *(part for pair in options.items() for part in pair)]

    def is_ready(self) -> bool:
        return _answers(f"http://{self.url}/health")


class Postgres:
    """Postgres with one database, `parallax`, for the user `parallax`, by password over loopback TCP."""

    name = "postgres"
    stop_signal = signal.SIGINT  # a fast shutdown: sessions are ended, the data written

    def __init__(self, directory: Path, account: Account, *, port: int) -> None:
        self.directory = directory
        self._account = account
        self._port = port
        self._cluster = directory / "cluster"

    @property
    def url(self) -> str:
        return f"postgresql://parallax:{self._password()}@{HOST}:{self._port}/parallax"

    def _password(self) -> str:
        place = self.directory / "password"
        try:
            return place.read_text().strip()
        except FileNotFoundError:
            self.directory.mkdir(parents=True, exist_ok=True)
            place.touch(mode=0o600)
            place.write_text(secrets.token_urlsafe(24))
            return place.read_text().strip()

    def prepare(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        self._password()
        _own(self.directory / "password", self._account)
        _own(self.directory, self._account)
        if (self._cluster / "ready").exists():
            self._heal()
            return
        shutil.rmtree(self._cluster, ignore_errors=True)  # an initialisation that was cut off
        options = ["--username=parallax", "--encoding=UTF8", "--no-locale", "--auth=scram-sha-256", "--no-sync"]
        password = f"--pwfile={self.directory / 'password'}"
        self._run("initdb", [f"--pgdata={self._cluster}", *options, password])
        self._run("postgres", ["--single", "-D", str(self._cluster), "postgres"], b"CREATE DATABASE parallax\n")
        os.sync()
        (self._cluster / "ready").touch()

    def _run(self, name: str, options: Sequence[str], typed: bytes = b"") -> None:
        program = program_for("postgres", self._account).with_name(name)
        done = subprocess.run(
            [*as_somebody(self._account), str(program), *options],
            input=typed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.directory,
            env=self._environ(),
            check=False,
            user=self._account.uid,
            group=self._account.gid,
            extra_groups=[] if self._account.is_other else None,
            umask=0o077,
        )
        if done.returncode:
            said = done.stdout.decode(errors="replace").strip()[-500:]
            raise StackError(f"{name} failed with exit code {done.returncode}: {said}")

    def _environ(self) -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}

    def _heal(self) -> None:
        """Ends the backends of a postmaster that was killed, and drops the pid file that names it.

        The new postmaster would refuse to start while one of them holds the shared memory, or while an unrelated
        process has by chance got the pid in the file.
        """
        for process in psutil.process_iter(["name"]):
            try:
                if process.info["name"] == "postgres" and Path(process.cwd()) == self._cluster.resolve():
                    process.kill()
                    process.wait(2)
            except (psutil.Error, OSError):
                continue
        (self._cluster / "postmaster.pid").unlink(missing_ok=True)

    def command(self) -> list[str]:
        options = {
            "listen_addresses": HOST,
            "port": self._port,
            "unix_socket_directories": "",
            "max_connections": 200,
            "shared_buffers": "32MB",
            "timezone": "UTC",
            "jit": "off",
        }
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return [str(program_for("postgres", self._account)), "-D", str(self._cluster), *settings]

    def is_ready(self) -> bool:
        """Speaks the first words of the protocol: a ready server asks for the password, any other one refuses."""
        user = b"user\0parallax\0database\0parallax\0\0"
        greeting = (8 + len(user)).to_bytes(4) + (196608).to_bytes(4) + user
        try:
            with socket.create_connection((HOST, self._port), timeout=0.5) as wire:
                wire.sendall(greeting)
                return wire.recv(1) == b"R"
        except OSError:
            return False
