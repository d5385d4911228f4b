"""The embedded stack: nats-server, Postgres, etcd and every service, on one machine, in one data directory.

It exists so that one command gives a whole, durable Parallax without Docker and without root. The same settings point
at servers of one's own instead; nothing outside this room knows the difference.
"""

from __future__ import annotations
