"""The `parallax` command. Each module here is a few commands, imported only when one of them is used."""

from __future__ import annotations
