"""etcd through its JSON gateway: keys under leases, transactions, and a watch that never has a gap.

Only what the registry of agents needs. Nothing here retries but the watch: whoever asks knows best what to do while
etcd is away, which raises EtcdUnavailable.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, NamedTuple

import aiohttp
import msgspec
import structlog

_log = structlog.get_logger(__name__)

_TIMEOUT_S = 3.0
_SILENT_S = 30.0
_LONGEST_PAUSE_S = 2.0


class EtcdUnavailable(Exception):
    """No endpoint of etcd could be reached, or none answered in time."""


class EtcdRefused(Exception):
    """etcd answered with an error."""


class KeyValue(NamedTuple):
    """A key with its value, the revision that wrote it, and its lease (0: none)."""

    key: str
    value: bytes
    revision: int = 0
    lease: int = 0


class Snapshot(NamedTuple):
    """Everything below a prefix at one revision: the first thing a watch gives, and again after any gap."""

    items: list[KeyValue]
    revision: int


class Put(NamedTuple):
    """A key was written."""

    item: KeyValue


class Deleted(NamedTuple):
    """A key is gone: it was deleted, or its lease ended. `before` is what it held, where etcd still knows."""

    key: str
    before: KeyValue | None
    revision: int


Change = Snapshot | Put | Deleted


class Etcd:
    """A client of the endpoints of one etcd. `close` it at last."""

    def __init__(self, endpoints: Sequence[str]) -> None:
        self._endpoints = [
            (endpoint if "://" in endpoint else f"http://{endpoint}").rstrip("/") for endpoint in endpoints
        ]
        self._first = 0
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Closes all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    # -- keys -------------------------------------------------------------------------------------------------------

    async def get(self, key: str) -> KeyValue | None:
        """A key, or None."""
        answer = await self._ask("kv/range", {"key": _encoded(key)})
        found = [_item(kv) for kv in answer.get("kvs", [])]
        return found[0] if found else None

    async def range(self, prefix: str) -> Snapshot:
        """All keys below a prefix, and the revision at which that was so."""
        answer = await self._ask("kv/range", _below(prefix))
        return Snapshot([_item(kv) for kv in answer.get("kvs", [])], int(answer["header"]["revision"]))

    async def put(self, key: str, value: bytes, lease: int = 0) -> int:
        """Writes a key and returns the revision."""
        answer = await self._ask("kv/put", _put(key, value, lease))
        return int(answer["header"]["revision"])

    async def put_all(self, items: Sequence[KeyValue]) -> int:
        """Writes several keys at once and returns the revision."""
        steps = [{"request_put": _put(item.key, item.value, item.lease)} for item in items]
        answer = await self._ask("kv/txn", {"success": steps})
        return int(answer["header"]["revision"])

    async def delete(self, *keys: str) -> None:
        """Deletes keys at once; a key that is not there is no error."""
        steps = [{"request_delete_range": {"key": _encoded(key)}} for key in keys]
        await self._ask("kv/txn", {"success": steps})

    async def delete_if(self, key: str, value: bytes) -> bool:
        """Deletes a key that still has this value. True when it had."""
        compare = {
            "key": _encoded(key),
            "target": "VALUE",
            "result": "EQUAL",
            "value": base64.b64encode(value).decode(),
        }
        step = {"request_delete_range": {"key": _encoded(key)}}
        answer = await self._ask("kv/txn", {"compare": [compare], "success": [step]})
        return bool(answer.get("succeeded"))

    # -- leases -----------------------------------------------------------------------------------------------------

    async def grant(self, ttl_s: int) -> int:
        """A new lease."""
        return int((await self._ask("lease/grant", {"TTL": str(ttl_s)}))["ID"])

    async def keep_alive(self, lease: int) -> int:
        """Renews a lease and returns how many seconds it has now; 0 when there is no such lease."""
        answer = await self._ask("lease/keepalive", {"ID": str(lease)})
        return int(answer.get("result", answer).get("TTL", 0))

    async def revoke(self, lease: int) -> None:
        """Ends a lease, with every key under it."""
        await self._ask("lease/revoke", {"ID": str(lease)})

    # -- watching ---------------------------------------------------------------------------------------------------

    async def watch(self, prefix: str, away: Callable[[str], None] | None = None) -> AsyncIterator[Change]:
        """What is below a prefix and what becomes of it, without end. After any gap the whole is given again.

        `away` is told why whenever etcd cannot be watched; the next Snapshot says that it can be again.
        """
        pause = 0.05
        while True:
            try:
                snapshot = await self.range(prefix)
                yield snapshot
                async for change in self._watch_from(prefix, snapshot.revision + 1):
                    pause = 0.05
                    yield change
            except (EtcdUnavailable, EtcdRefused) as error:
                _log.info("etcd_watch_waits", prefix=prefix, error=str(error))
                if away is not None:
                    away(str(error) or type(error).__name__)
                await asyncio.sleep(pause)
                pause = min(_LONGEST_PAUSE_S, pause * 2)

    async def _watch_from(self, prefix: str, revision: int) -> AsyncIterator[Change]:
        body = {"create_request": {**_below(prefix), "start_revision": str(revision), "prev_kv": True}}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_TIMEOUT_S, sock_read=_SILENT_S)
        url = f"{self._endpoints[self._first]}/v3/watch"
        rest = b""
        try:
            async with self._client().post(url, data=msgspec.json.encode(body), timeout=timeout) as response:
                if response.status != 200:
                    raise EtcdUnavailable(f"the watch was answered with {response.status}")
                async for chunk in response.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        answer: dict[str, Any] = msgspec.json.decode(line) if line.strip() else {}
                        if answer.get("error"):
                            raise EtcdRefused(str(answer["error"]))
                        result: dict[str, Any] = answer.get("result") or {}
                        if result.get("canceled"):
                            raise EtcdRefused(str(result.get("cancel_reason", "the watch was cancelled")))
                        for event in result.get("events", []):
                            yield _change(event)
                raise EtcdUnavailable("the watch was ended")
        except TimeoutError:
            return  # nothing happened for long: whether etcd is there is found out by asking
        except (aiohttp.ClientError, OSError, msgspec.DecodeError) as error:
            raise EtcdUnavailable(str(error)) from error

    # -- asking -----------------------------------------------------------------------------------------------------

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        return self._session

    async def _ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Asks one endpoint after the other, beginning with the one that answered last."""
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        payload = msgspec.json.encode(body)
        problem = "there is no endpoint"
        for step in range(len(self._endpoints)):
            index = (self._first + step) % len(self._endpoints)
            url = f"{self._endpoints[index]}/v3/{path}"
            try:
                async with self._client().post(url, data=payload, timeout=timeout) as response:
                    raw = await response.read()
                    answer: dict[str, Any] = msgspec.json.decode(raw.split(b"\n", 1)[0] or b"{}")
                    if response.status == 200:
                        self._first = index
                        return answer
                    problem = str(answer.get("message") or answer.get("error") or response.status)
                    if response.status not in {500, 502, 503, 504}:
                        raise EtcdRefused(problem)
            except (aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError) as error:
                problem = str(error) or type(error).__name__
        raise EtcdUnavailable(problem)


def _encoded(key: str) -> str:
    return base64.b64encode(key.encode()).decode()


def _below(prefix: str) -> dict[str, str]:
    raw = prefix.encode()
    end = raw[:-1] + bytes([raw[-1] + 1])
    return {"key": base64.b64encode(raw).decode(), "range_end": base64.b64encode(end).decode()}


def _put(key: str, value: bytes, lease: int) -> dict[str, str]:
    body = {"key": _encoded(key), "value": base64.b64encode(value).decode()}
    return {**body, "lease": str(lease)} if lease else body


def _item(kv: dict[str, Any]) -> KeyValue:
    return KeyValue(
        key=base64.b64decode(kv["key"]).decode("utf-8", "replace"),
        value=base64.b64decode(kv.get("value", "")),
        revision=int(kv.get("mod_revision", 0)),
        lease=int(kv.get("lease", 0)),
    )


def _change(event: dict[str, Any]) -> Change:
    item = _item(event["kv"])
    if event.get("type") == "DELETE":
        before = event.get("prev_kv")
        return Deleted(item.key, _item(before) if before else None, item.revision)
    return Put(item)
