"""`python -m services.executor`"""

from __future__ import annotations

from services.executor.service import Executor
from shared.service import run_service

if __name__ == "__main__":
    run_service(Executor)
