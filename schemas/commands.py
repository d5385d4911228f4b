"""What a client may ask for: the bodies of `parallax.executions.>` and the answers to them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from schemas.base import ExecutionId, Json, Millis, Model, Problem


class Repository(Model, frozen=True, kw_only=True):
    """Where the work happens. `url` is a local path, `file://` or `https://`; `base` the branch to start from."""

    url: str
    base: str = ""


class Budget(Model, frozen=True, kw_only=True, omit_defaults=True):
    """Lifetime limits of one execution, folded over its log. None is no limit.

    `tokens` and `cost_usd` are what agents report, failed attempts included; `turns` are attempts, those under way
    included, or what agents report where that is more; `wall_ms` is the execution's own time, without its pauses.
    """

    tokens: int | None = None
    cost_usd: float | None = None
    turns: int | None = None
    wall_ms: Millis | None = None


class RequestOptions(Model, frozen=True, kw_only=True, omit_defaults=True):
    """How an execution is to be run, apart from its input.

    `push`: whether the result branch is pushed to the repository it came from, where the work passed its gates;
    `always`: whether it passed them or not.
    """

    timeout_ms: Annotated[int, Meta(ge=1, le=2_592_000_000)] | None = None
    budget: Budget | None = None
    priority: Annotated[int, Meta(ge=0, le=9)] = 5
    webhook: str = ""
    push: bool | Literal["always"] = False
    labels: dict[str, str] = {}


class PatternFile(Model, frozen=True, kw_only=True):
    """A pattern that is not in the library of the services: the text of its file travels with the request.

    `file` is the file's name, whose ending says whether it is YAML or a program. `modules` are the texts of what a
    program imports, and `others` those of patterns that it calls, by the names of their files. What it calls and does
    not bring is looked for in the library.
    """

    file: Annotated[str, Meta(min_length=1, max_length=512)]
    text: str
    modules: dict[str, str] = {}
    others: dict[str, str] = {}


class ExecutionRequest(Model, frozen=True, kw_only=True):
    """The body of `parallax.executions.request`. Without `execution_id` one is made.

    With `source`, `pattern` is the name that this file gives itself, and the library is not asked for it.
    """

    pattern: Annotated[str, Meta(min_length=1, max_length=256)]
    input: dict[str, Json] = {}
    execution_id: str = ""
    repo: str | Repository | None = None
    options: RequestOptions = RequestOptions()
    source: PatternFile | UnsetType = UNSET


class Cancel(Model, frozen=True, kw_only=True):
    """The body of `parallax.executions.<id>.cancel`."""

    reason: str = ""
    by: str = ""


class Pause(Model, frozen=True, kw_only=True):
    """The body of `parallax.executions.<id>.pause`: nothing new starts, running agents are frozen."""

    reason: str = ""
    by: str = ""


class Resume(Model, frozen=True, kw_only=True):
    """The body of `parallax.executions.<id>.resume`."""

    by: str = ""


class Signal(Model, frozen=True, kw_only=True):
    """The body of `parallax.executions.<id>.signal`: what a `wait` step waits for."""

    name: Annotated[str, Meta(min_length=1, max_length=128)]
    data: Json = None
    by: str = ""


class Answer(Model, frozen=True, kw_only=True):
    """The body of `parallax.executions.<id>.answer`: the answer to a durable question.

    Options are texts: a number, true, false or null as `value` means the option that reads as its JSON (2 means "2").
    An answer to a question that nobody waits for any more is rejected.
    """

    question_id: str
    value: Json
    by: str = ""
    reason: str = ""


def option_of(value: Json, options: list[str]) -> str | None:
    """Which of a question's options an answer means; None when it means none of them.

    Options are texts. A text means the option that it is, blanks around it or not. A number, true, false and null mean
    the option that reads as their JSON: 2 means "2". One rule for the command line, HTTP and the bus.
    """
    if isinstance(value, str):
        return next((one for one in (value, value.strip()) if one in options), None)
    if value is None or isinstance(value, bool | int | float):
        said = msgspec.json.encode(value).decode()
        return said if said in options else None
    return None


class CommandReply(Model, frozen=True, kw_only=True):
    """What a client that named a reply inbox is answered."""

    execution_id: str
    status: Literal["accepted", "rejected"]
    errors: list[Problem] = []


class ReplayQuery(Model, frozen=True, kw_only=True):
    """Asks an engine to run an execution again against its log."""

    execution_id: ExecutionId


class ReplayReport(Model, frozen=True, kw_only=True):
    """The verdict of a replay. `effects` counts the effects compared; `first_difference` says where it parted."""

    execution: str
    effects: int
    identical: bool
    first_difference: Json = None
    error: str = ""
