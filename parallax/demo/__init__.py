"""The repository that `parallax demo` works on: small, real, and with something wrong that only a team puts right."""

from __future__ import annotations

from parallax.demo.repository import make_repository

__all__ = ["make_repository"]
