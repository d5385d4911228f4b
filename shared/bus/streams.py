"""The streams: what they are to be, made so at start, and read back to see that they are.

A server that does not know an option ignores it silently, and then a batch is not atomic and a fence does not hold.
So the version and the API level are asked for first, and every setting is compared with what was asked.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import structlog

from shared import subjects
from shared.bus.connection import Connection
from shared.bus.errors import BusError, Disconnected, NoResponder, UnfitServer

_log = structlog.get_logger(__name__)

LEAST_API_LEVEL = 2
LEAST_VERSION = (2, 12)
_SECOND = 1_000_000_000
_DAY = 86_400 * _SECOND
_WRONG_NAME_IN_USE = 10058
STREAM_NOT_FOUND = 10059

DEDUP_WINDOW_S = 120
"""How long the server itself knows an id again. Correctness does not rest on it."""

BY_SHORT_NAME = {
    "events": subjects.STREAM_EVENTS,
    "requests": subjects.STREAM_REQUESTS,
    "fleet": subjects.STREAM_FLEET,
    "output": subjects.STREAM_OUTPUT,
    "dead_letters": subjects.STREAM_DEAD_LETTERS,
    "values": subjects.STREAM_VALUES,
}
"""The names of streams in calls of the bus."""

_COMMON: dict[str, Any] = {
    "storage": "file",
    "retention": "limits",
    "discard": "old",
    "allow_direct": True,
    "max_msgs": -1,
    "max_bytes": -1,
    "max_age": 0,
}

STREAMS: dict[str, dict[str, Any]] = {
    subjects.STREAM_EVENTS: {
        "description": "The execution event log. What was appended is stored, and said again, as parallax.events.>",
        "subjects": [subjects.APPEND_ALL],
        "subject_transform": {"src": subjects.APPEND_ALL, "dest": subjects.EVENTS_ALL},
        "republish": {"src": subjects.EVENTS_ALL, "dest": subjects.EVENTS_ALL},
        "allow_atomic": True,
        "deny_delete": True,
        "deny_purge": True,
        "duplicate_window": DEDUP_WINDOW_S * _SECOND,
    },
    subjects.STREAM_VALUES: {
        "description": "Values too large for a message, in chunks, written once; events refer to them.",
        "subjects": [subjects.VALUES_ALL],
        "max_msgs_per_subject": 1,
        "discard": "new",
        "discard_new_per_subject": True,
        "deny_delete": True,
        "deny_purge": True,
        "duplicate_window": DEDUP_WINDOW_S * _SECOND,
    },
    subjects.STREAM_REQUESTS: {
        "description": "Requests and commands; what they led to is in the log.",
        "subjects": list(subjects.REQUESTS_FILTERS),
        "max_age": 14 * _DAY,
        "duplicate_window": DEDUP_WINDOW_S * _SECOND,
    },
    subjects.STREAM_DEAD_LETTERS: {
        "description": "What could not be handled, and what is to be handled again.",
        "subjects": [subjects.DEAD_LETTERS_ALL, subjects.REQUEUED_ALL],
        "duplicate_window": DEDUP_WINDOW_S * _SECOND,
    },
    subjects.STREAM_FLEET: {
        "description": "What happened to agents as such.",
        "subjects": [subjects.FLEET_ALL],
        "max_age": 30 * _DAY,
        "max_bytes": 256 << 20,
        "duplicate_window": DEDUP_WINDOW_S * _SECOND,
    },
    subjects.STREAM_OUTPUT: {
        "description": "Raw output of agents. Bounded: the oldest goes first.",
        "subjects": [subjects.agent_output("*")],
        "max_age": 7 * _DAY,
        "max_bytes": 1 << 30,
        "max_msgs_per_subject": 20_000,
        "duplicate_window": DEDUP_WINDOW_S * _SECOND,
    },
}
"""Every stream with what is asked of the server for it."""


class ApiError(BusError):
    """The JetStream API answered with an error."""

    def __init__(self, code: int, err_code: int, description: str) -> None:
        super().__init__(f"{description} ({err_code or code})")
        self.code = code
        self.err_code = err_code
        self.description = description


async def api(connection: Connection, subject: str, body: object = None, timeout_s: float = 5.0) -> dict[str, Any]:
    """Asks the JetStream API. Raises ApiError, NoResponder, TimeoutError, Disconnected."""
    payload = b"" if body is None else msgspec.json.encode(body)
    message = await connection.request(f"$JS.API.{subject}", payload, timeout_s=timeout_s)
    answer: dict[str, Any] = msgspec.json.decode(message.payload)
    if "error" in answer:
        error = answer["error"]
        raise ApiError(error.get("code", 0), error.get("err_code", 0), error.get("description", ""))
    return answer


async def patiently(
    connection: Connection, subject: str, body: object = None, within_s: float = 30.0
) -> dict[str, Any]:
    """Like `api`, repeated while the server is starting or away."""
    deadline = asyncio.get_running_loop().time() + within_s
    while True:
        try:
            return await api(connection, subject, body)
        except (NoResponder, TimeoutError, Disconnected) as error:
            if asyncio.get_running_loop().time() > deadline:
                raise
            last = error
        except ApiError as error:
            if error.code != 503 or asyncio.get_running_loop().time() > deadline:
                raise
            last = error
        _log.info("bus_waits_for_jetstream", error=str(last) or type(last).__name__)
        await asyncio.sleep(0.25)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in text.partition("-")[0].split(".")[:3])


async def check_server(connection: Connection) -> None:
    """Raises UnfitServer when the server is too old to keep the log's promises, or has no JetStream."""
    if _version(connection.server_version) < LEAST_VERSION:
        raise UnfitServer(
            f"The NATS server at {connection.shown_url} has version {connection.server_version or 'unknown'}, but 2.12 "
            "or later is needed: an older one silently ignores atomic batches and fences."
        )
    try:
        # a server without streams of its own may stand in front of others that have them
        info = await patiently(connection, "INFO", within_s=30.0 if connection.jetstream else 2.0)
    except NoResponder:
        raise UnfitServer(
            f"The NATS server at {connection.shown_url} has JetStream switched off; "
            "switch it on with `jetstream { store_dir: …, sync_interval: always }` in its configuration."
        ) from None
    level = int(info.get("api", {}).get("level", 0))
    if level < LEAST_API_LEVEL:
        raise UnfitServer(
            f"The NATS server at {connection.shown_url} has JetStream API level {level}, "
            f"but {LEAST_API_LEVEL} is needed."
        )


async def ensure_stream(connection: Connection, name: str, settings: dict[str, Any]) -> None:
    """Makes a stream what it is to be, and reads it back. Raises UnfitServer when the server has ignored something."""
    wanted = {**_COMMON, **settings, "name": name}
    try:
        answer = await patiently(connection, f"STREAM.CREATE.{name}", wanted)
    except ApiError as error:
        if error.err_code != _WRONG_NAME_IN_USE:
            raise
        current = await patiently(connection, f"STREAM.INFO.{name}")
        kept = {"num_replicas": current["config"].get("num_replicas", 1)}
        try:
            answer = await patiently(connection, f"STREAM.UPDATE.{name}", {**wanted, **kept})
        except ApiError as problem:
            raise UnfitServer(
                f"The NATS server at {connection.shown_url} has a stream {name} that cannot be made what it has to be: "
                f"{problem.description}."
            ) from problem
    ignored = [key for key, value in wanted.items() if answer["config"].get(key, _absent(value)) != value]
    if ignored:
        raise UnfitServer(
            f"The NATS server at {connection.shown_url} ignores what stream {name} needs: {', '.join(sorted(ignored))}."
        )


def _absent(value: object) -> object:
    """What a setting means that the server does not mention: Go leaves out what is zero."""
    match value:
        case bool():
            return False
        case int():
            return 0
        case str():
            return ""
        case list():
            return []
        case _:
            return None


async def ensure_all(connection: Connection) -> None:
    """Makes all streams what they are to be. Raises UnfitServer."""
    await check_server(connection)
    for name, settings in STREAMS.items():
        await ensure_stream(connection, name, settings)


async def last_sequence(connection: Connection, stream: str) -> int:
    """The sequence of the last message that was stored; 0 when there was none."""
    try:
        info = await patiently(connection, f"STREAM.INFO.{stream}")
    except ApiError as error:
        if error.err_code == STREAM_NOT_FOUND:
            return 0
        raise
    return int(info["state"]["last_seq"])
