"""`python -m services.workspace`"""

from __future__ import annotations

from services.workspace.service import WorkspaceService
from shared.service import run_service

if __name__ == "__main__":
    run_service(WorkspaceService)
