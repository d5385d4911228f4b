"""The fixtures' servers are real and durable."""

from __future__ import annotations

import urllib.request

import asyncpg
import nats


async def test_nats_flushes_before_it_acknowledges(nats_url: str) -> None:
    """JetStream is on and the server takes messages of several megabytes."""
    client = await nats.connect(nats_url)
    info = await client.jetstream().account_info()
    assert info.api.level is not None
    assert info.api.level >= 1
    assert client.max_payload == 8 * 1024 * 1024
    await client.close()


async def test_every_test_has_an_empty_database(postgres_url: str) -> None:
    """The database belongs to the test: it holds no table yet."""
    connection = await asyncpg.connect(postgres_url)
    assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    assert await connection.fetchval("SHOW fsync") == "on"
    await connection.close()


def test_etcd_answers(etcd_url: str) -> None:
    """The endpoint has the form of PARALLAX_ETCD_ENDPOINTS, and the member is healthy."""
    with urllib.request.urlopen(f"http://{etcd_url}/health") as reply:
        assert b"true" in reply.read()
