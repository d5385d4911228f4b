"""`python -m services.runtime_local`"""

from __future__ import annotations

from services.runtime_local.service import LocalRuntime
from shared.service import run_service

if __name__ == "__main__":
    run_service(LocalRuntime)
