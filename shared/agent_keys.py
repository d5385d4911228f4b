"""Where the registry keeps agents in etcd, for the registry that writes and the executors that watch."""

from __future__ import annotations

AGENTS = "/parallax/agents/"
"""One key for each living agent, under its lease. The value is its `AgentRegistration`."""

KNOWN = "/parallax/known/"
"""The same agents without a lease: one that is here and not above was lost, and nobody has said so yet."""


def agent_key(agent_id: str) -> str:
    """The key of a living agent."""
    return AGENTS + agent_id


def known_key(agent_id: str) -> str:
    """The key by which a lost agent is still known."""
    return KNOWN + agent_id


def agent_of(key: str) -> str:
    """The agent that a key is about."""
    return key.rpartition("/")[2]
