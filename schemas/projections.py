"""What may be asked of the projector, and its answer."""

from __future__ import annotations

from typing import Literal

from schemas.base import Model


class ProjectorQuery(Model, frozen=True, kw_only=True):
    """The body of `parallax.queries.projector`.

    `status` answers at once. `digest` first waits until everything that is in the log now is folded in. `rebuild` folds the
    log from its beginning into new tables and puts them in the place of the live ones.
    """

    action: Literal["status", "digest", "rebuild"] = "status"


class ProjectorAnswer(Model, frozen=True, kw_only=True):
    """Where the projections stand. `digest` is over every row; `events` counts what a rebuild folded in."""

    position: int
    last_seq: int
    digest: str = ""
    events: int = 0
    duration_ms: int = 0
    error: str = ""
