"""`python -m services.registry`"""

from __future__ import annotations

from services.registry.service import Registry
from shared.service import run_service

if __name__ == "__main__":
    run_service(Registry)
