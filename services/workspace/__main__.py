"""`python -m services.workspace`"""

from __future__ import annotations

from shared.service import run_service

from services.workspace.service import WorkspaceService

if __name__ == "__main__":
    run_service(WorkspaceService)
