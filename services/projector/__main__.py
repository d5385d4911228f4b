"""`python -m services.projector`"""

from __future__ import annotations

from services.projector.service import Projector
from shared.service import run_service

if __name__ == "__main__":
    run_service(Projector)
