"""`python -m services.gateway`"""

from __future__ import annotations

from services.gateway.service import Gateway
from shared.service import run_service

if __name__ == "__main__":
    run_service(Gateway)
