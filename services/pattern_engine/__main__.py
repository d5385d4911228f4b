"""`python -m services.pattern_engine`"""

from __future__ import annotations

from services.pattern_engine.service import PatternEngine
from shared.service import run_service

if __name__ == "__main__":
    run_service(PatternEngine)
