"""`python -m services.registry`"""

from __future__ import annotations

from shared.starting import start_service

if __name__ == "__main__":
    start_service("services.registry.service", "Registry")
