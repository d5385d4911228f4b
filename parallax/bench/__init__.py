"""Measurements of the running system, each through the real services and servers."""

from __future__ import annotations
