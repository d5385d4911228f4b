"""What may be asked of the projector, and its answer."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from schemas.base import Model


class ProjectorQuery(Model, frozen=True, kw_only=True):
    """The body of `parallax.queries.projector`.

    `status` answers at once. `wait` answers when the event at `position` (None: the last one that is in the log now) is
    folded in. `digest` waits likewise and then digests every row. `rebuild` folds the log from its beginning into new
    tables and puts them in the place of the live ones; with `compare` it says whether the rows are the same.
    """

    action: Literal["status", "wait", "digest", "rebuild"] = "status"
    position: Annotated[int, Meta(ge=0)] | None = None
    timeout_ms: Annotated[int, Meta(ge=1, le=3_600_000)] = 60_000
    compare: bool = False


class ProjectorAnswer(Model, frozen=True, kw_only=True):
    """Where the projections stand: everything up to `position` of the log, which ends at `last_seq`.

    `digest` is over every row at that position; `events` counts what a rebuild folded in, and `identical` says whether
    it gave the same rows as the live tables had (None: nobody asked).
    """

    position: int
    last_seq: int
    digest: str = ""
    events: int = 0
    identical: bool | None = None
    duration_ms: int = 0
    error: str = ""
