"""What the host functions of one program share: its roles, what was assigned to whom, and what is yet to be integrated.

All of it is computed from the program and the results it was fed, so that a program that runs again from the top
arrives at the same state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec
from msgspec import UNSET, UnsetType

from compiler.orchestration.gates import BOOKS_SINCE, Books
from compiler.orchestration.origin import empty_task
from compiler.orchestration.roles import Role, oracles_of_call, read_role, role_of_call
from compiler.orchestration.selecting import Done, preferred
from compiler.orchestration.values import Value, bare, plain
from compiler.prism import EffectFailed
from schemas.agents import Oracle
from schemas.effects import Integrate, Integration, Task, TaskOutcome
from schemas.events import WorkspaceContribution

if TYPE_CHECKING:
    from collections.abc import Generator

    from compiler.prism import Machine

HostFunction = Callable[..., Any]
_SESSIONS = 1000


class Options(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The options of the host functions, each taken by some of them; the lowering writes them, people may too."""

    id: str = ""
    timeout_ms: int | None = None
    on_error: Literal["fail", "continue", "best_effort"] = "fail"
    session: str = ""
    input: Any = None
    context: Any = None
    attempts: int | None = None
    max_iterations: int = 1
    gate: bool | None = None
    on_reject: Literal["fail", "continue"] = "fail"
    may_pass_later: bool = False
    revises: list[str] = []
    deadline_ms: int | None = None
    strategy: Literal["all", "race", "all_settled", "quorum"] = "all"
    max: int | None = None
    min_results: int | None = None
    method: str = "merge"
    weights: dict[str, float] = {}
    criteria: Literal["availability", "expertise", "round_robin", "best"] = "availability"
    topic: str = ""
    combine: Literal["min", "weighted", "product"] = "min"
    options: list[str] = []
    default: Any = None
    who: list[str] = []


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """A task as it was assigned, so that it can be done again with a critique, and what came of it."""

    role: Role
    text: str
    options: Options
    done_by: str = ""
    result: Any = None
    commit: str = ""
    confidence: float | None = None


class Track:
    """Where a branch of a parallel step keeps its commits until the step is over. `outer`: of the branch around it."""

    def __init__(self, outer: Track | None = None) -> None:
        self.contributions: list[WorkspaceContribution] = []
        self.tasks: list[str] = []
        """What was done in the branch, and in the branches of it."""
        self.refused = False
        """Whether the branch ended with the "no" of a gate."""
        self._outer = outer

    def commits(self) -> list[str]:
        """What the branch, and those around it, did and the result does not hold yet."""
        return [*(self._outer.commits() if self._outer else []), *(one.commit for one in self.contributions)]


_TRACK: ContextVar[Track | None] = ContextVar("parallax_track", default=None)
"""The branch that is running. Each branch runs in a greenlet of its own, and each greenlet has its own context."""


class Works(msgspec.Struct):
    """What was done in an execution, by whichever of its patterns."""

    assignments: dict[str, Assignment] = {}
    running: list[str] = []
    revisions: dict[str, list[Any]] = {}
    result: str = ""
    books: Books = msgspec.field(default_factory=Books)


class Team:
    """The state behind the host functions of one program. `prefix` begins the names of a called pattern's roles.

    `semantics` is the number of the meaning that the functions have in this execution, `execution.started.semantics`.
    """

    def __init__(
        self,
        roles: Mapping[str, Value],
        *,
        workspace: bool,
        context: dict[str, Any],
        semantics: int,
        prefix: str = "",
        works: Works | None = None,
    ) -> None:
        self.semantics = semantics
        """The number of the meaning that the functions have, `execution.started.semantics`."""
        self.workspace = workspace
        self.context = context
        self.prefix = prefix
        self._roles: dict[str, Value] = {f"{prefix}-{name}" if prefix else name: role for name, role in roles.items()}
        self._read: dict[int, tuple[Value, Role]] = {}
        self._works = works or Works()
        self.books = self._works.books

    def called(self, roles: Mapping[str, Value], name: str) -> Team:
        """The team of a called pattern: roles of its own, named after the call, and the same work."""
        prefix = f"{self.prefix}-{name}" if self.prefix else name
        return Team(
            roles,
            workspace=self.workspace,
            context=self.context,
            semantics=self.semantics,
            prefix=prefix,
            works=self._works,
        )

    # -- roles ------------------------------------------------------------------------------------------------------

    def role(self, value: Value, function: str) -> Role:
        """The role in a value of the program; remembered, so that others can escalate to it by its id."""
        value = bare(value)
        known = self._read.get(id(value))
        if known is not None and known[0] is value:
            return known[1]
        role = read_role(value, function)
        if self.prefix:
            role = role_of_call(role, self.prefix)
        if self._roles.get(role.id) is not value:
            self._roles[role.id] = plain(value)  # the program's: texts in it say what they refer to
        self._read[id(value)] = (value, role)
        return role

    def manager(self, role: Role) -> Role | None:
        """The role that `role` reports to, if there is one."""
        if role.manager is not None:
            return self.role(role.manager, "reportsTo")
        if not role.reports_to:
            return None
        return self.role_named(role.reports_to)

    def role_named(self, role_id: str) -> Role:
        """A role of the pattern by its id. Raises `EffectFailed` when there is none."""
        if role_id not in self._roles:
            raise EffectFailed("invalid_argument", f"there is no role {role_id!r}")
        return self.role(self._roles[role_id], "role")

    def oracles(self, oracles: Sequence[Oracle]) -> list[Oracle]:
        """Oracles as they are written, asking the roles of this team."""
        return list(oracles_of_call(oracles, self.prefix) if self.prefix else oracles)

    def options(self, value: Value, function: str, allowed: frozenset[str]) -> Options:
        """As `read_options`; a step of a called pattern is named after the call as well."""
        given = read_options(value, function, allowed)
        if not self.prefix:
            return given
        return msgspec.structs.replace(
            given,
            id=f"{self.prefix}.{given.id}" if given.id else self.prefix,
            revises=[f"{self.prefix}.{step}" for step in given.revises],
        )

    def is_gate(self, options: Options) -> bool:
        """Whether a "no" of this step decides about the execution. Only what says `gate: true` does, and not in
        executions that began before it meant that.
        """
        return options.gate is True and self.semantics >= BOOKS_SINCE

    # -- tasks ------------------------------------------------------------------------------------------------------

    def perform_task(
        self,
        machine: Machine,
        assignment: Assignment,
        *,
        session: str = "",
        context: dict[str, Any] | None = None,
        builds_on: str = "",
    ) -> TaskOutcome:
        """Has a session of a role do something, on top of the commit `builds_on` if one is given.

        Raises `EffectFailed` when it could not be done.
        """
        role, options = assignment.role, assignment.options
        given = cast("dict[str, Any]", options.context) if isinstance(options.context, dict) else {}
        standing = {"objective": role.objective} if role.objective else {}
        merged = {**standing, **given, **(context or {})}
        request = Task(
            role=role.id,
            text=assignment.text,
            agent=role.agent,
            step=options.id,
            session=session or options.session,
            input=options.input,
            context=merged or None,
            timeout_ms=options.timeout_ms,
            attempts=options.attempts,
            builds_on=self._builds_on(builds_on),
        )
        began = self.books.now()
        with self._running(request.session):
            outcome: TaskOutcome = machine.perform(request)
        self.books.begun(outcome.task_id, began)
        if (track := _TRACK.get()) is not None:
            track.tasks.append(outcome.task_id)
        self._works.assignments[outcome.task_id] = msgspec.structs.replace(
            assignment,
            done_by=outcome.session,
            result=outcome.result,
            commit=outcome.commit,
            confidence=outcome.confidence,
        )
        return outcome

    def _builds_on(self, commit: str) -> list[str] | UnsetType:
        """What a task goes on from that the result does not hold. Under the first meaning its session's branch says."""
        if self.semantics < 2 or not self.workspace:
            return UNSET
        track = _TRACK.get()
        commits = [*(track.commits() if track else []), commit]
        return list(dict.fromkeys(one for one in commits if one))

    @contextmanager
    def _running(self, session: str) -> Generator[None]:
        """Remembers that a session is at work, where it is known which one is."""
        if session:
            self._works.running.append(session)
        try:
            yield
        finally:
            if session:
                self._works.running.remove(session)

    def selected(self, role: Role, criteria: str, topic: str) -> str:
        """The session of a role that is to be preferred by these criteria; empty where they take turns."""
        sessions = [f"{role.id}-{number + 1}" for number in range(min(role.agent.max_instances or 1, _SESSIONS))]
        done = [
            Done(session=one.done_by, text=one.text, confidence=one.confidence)
            for one in self._works.assignments.values()
            if one.role.id == role.id
        ]
        return preferred(criteria, sessions, done, self._works.running, topic)

    def assignment(self, task_id: str) -> Assignment | None:
        """How a task was assigned."""
        return self._works.assignments.get(task_id)

    def works(self, task_ids: Sequence[str]) -> list[tuple[Role, TaskOutcome]]:
        """What the tasks that were assigned left behind, and whose work it is."""
        return [
            (
                known.role,
                TaskOutcome(
                    task_id=task_id,
                    role=known.role.id,
                    session=known.done_by,
                    result=known.result,
                    commit=known.commit,
                ),
            )
            for task_id in task_ids
            if (known := self._works.assignments.get(task_id)) is not None
        ]

    # -- reviews ----------------------------------------------------------------------------------------------------

    def keep_revisions(self, review_id: str, works: list[Value]) -> str:
        """Remembers what became of the reviewed works, apart from the review's record. Gives the review's id."""
        key = review_id or f"review-{len(self._works.revisions) + 1}"
        self._works.revisions[key] = works
        return key

    def revisions(self, review_id: str) -> list[Value]:
        """What became of the works of a review. Raises `EffectFailed` for an unknown one."""
        if review_id not in self._works.revisions:
            raise EffectFailed("invalid_argument", "revised: what `review` gave is expected")
        return self._works.revisions[review_id]

    # -- commits ----------------------------------------------------------------------------------------------------

    def contribute(self, machine: Machine, outcomes: Sequence[TaskOutcome], step: str) -> None:
        """Integrates commits, or keeps them for the end of the parallel step that runs this branch."""
        entries = [
            WorkspaceContribution(role=done.role, session=done.session, task_id=done.task_id, commit=done.commit)
            for done in outcomes
            if done.commit
        ]
        self.hand_in(machine, entries, step)

    def hand_in(self, machine: Machine, entries: list[WorkspaceContribution], step: str) -> None:
        """As `contribute`, for commits that are contributions already."""
        track = _TRACK.get()
        if track is not None:
            track.contributions.extend(entries)
        else:
            self.integrate(machine, entries, step)

    def integrate(self, machine: Machine, entries: list[WorkspaceContribution], step: str) -> None:
        """Merges commits onto the result branch in the order given. Raises `EffectFailed` on a conflict."""
        if not entries or not self.workspace:
            return
        try:
            integrated: Integration = machine.perform(Integrate(commits=entries, step=step))
            self._works.result = integrated.commit
            self.books.merged(entry.task_id for entry in entries)
        except EffectFailed as error:
            where = f"step {step!r}: " if step else ""
            raise EffectFailed(error.code, f"{where}{error.message}", error.data) from error

    def is_in_the_result(self, works: Sequence[TaskOutcome]) -> bool:
        """Whether the works are part of a result that is more than the one work: what is to be checked is that result.

        In a branch of a parallel step they are not: its commits are integrated when the step is over.
        """
        if not self.workspace or not self._works.result or _TRACK.get() is not None:
            return False
        return len(works) > 1 or any(one.commit != self._works.result for one in works)

    def flush(self, machine: Machine, step: str) -> None:
        """Integrates what the running branch has kept so far, so that its next step sees it."""
        track = _TRACK.get()
        if track is not None:
            entries, track.contributions = track.contributions, []
            self.integrate(machine, entries, step)


def current_track() -> Track | None:
    """The branch that is running; None outside of all branches."""
    return _TRACK.get()


@contextmanager
def tracking(track: Track | None) -> Generator[Track | None]:
    """Keeps the commits of what runs inside in `track`, instead of integrating them."""
    token = _TRACK.set(track)
    try:
        yield track
    finally:
        _TRACK.reset(token)


_SPELLINGS = {"min_results": "minResults"}
"""Options that programs may write in another way too."""


def read_options(value: Value, function: str, allowed: frozenset[str]) -> Options:
    """The options object of a host function. Raises `EffectFailed` for an unknown key or a wrong type."""
    fields = plain(value)
    if fields is None:
        return Options()
    if not isinstance(fields, dict):
        raise EffectFailed("invalid_argument", f"{function}: the options are an object")
    fields = {_SPELLINGS.get(key, key): value for key, value in cast("dict[str, Any]", fields).items()}
    for key in fields:
        if key not in allowed:
            known = ", ".join(sorted(allowed))
            raise EffectFailed("invalid_argument", f"{function}: unknown option {key!r}; it takes {known}")
    try:
        return msgspec.convert(fields, Options)
    except msgspec.ValidationError as error:
        raise EffectFailed("invalid_argument", f"{function}: {error}") from error


def read_text(value: Value, function: str, step: str = "") -> str:
    """A task's text. Raises `EffectFailed` when it is not text, or empty, with the step where that is known."""
    text = bare(value)
    if not isinstance(text, str) or not text.strip():
        if step:
            raise EffectFailed("invalid_argument", empty_task(step))
        raise EffectFailed("invalid_argument", f"{function}: the task is a text that says something")
    return text
