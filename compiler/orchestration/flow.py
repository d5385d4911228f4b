"""Steps made of steps: at once, one after the other, within a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from compiler.orchestration.gates import GATE_CODES, STANDING_SINCE, Refused
from compiler.orchestration.team import Options, Track, current_track, tracking
from compiler.orchestration.values import Value
from compiler.prism import EffectFailed
from compiler.prism.errors import Raised
from schemas.effects import Sleep

if TYPE_CHECKING:
    from compiler.orchestration.team import Team
    from compiler.prism import Machine
    from compiler.prism.branches import BranchResult
    from schemas.events import WorkspaceContribution

Thunk = Callable[[], Any]

_CANCELLED = "cancelled"

FATAL = frozenset({"invalid_argument", "unsupported", "value_not_json", "value_too_deep"})
"""Failures of the program rather than of the work: `onError` does not cover them."""


def failure_record(error: EffectFailed) -> Value:
    """What a failed step leaves where it may fail: no result, no confidence, and why."""
    return {
        "result": None,
        "confidence": None,
        "confidence_source": "",
        "role": "",
        "session": "",
        "task_id": "",
        "commit": "",
        "files": [],
        "tasks": 0.0,
        "escalated": False,
        "warning": error.message,
        "error": {"code": error.code, "message": error.message},
    }


def guarded(options: Options, run: Thunk, failed: Callable[[EffectFailed], Value] = failure_record) -> Value:
    """Runs a step; where `onError` allows a failure, the step's record says that it failed.

    The step's own "no" is a decision and no failure: `onError` does not let it through.
    """
    try:
        return run()
    except EffectFailed as error:
        decided = isinstance(error, Refused) and error.step == options.id
        if options.on_error == "fail" or error.code in FATAL or decided:
            raise
        return failed(error)


def within(machine: Machine, options: Options, run: Thunk) -> Any:
    """Runs a composite step for at most `timeoutMs`. Raises `EffectFailed` with code `step_timeout` beyond that."""
    if options.timeout_ms is None:
        return run()
    track = current_track()

    def timer() -> tuple[str, Any]:
        machine.perform(Sleep(ms=options.timeout_ms or 0))
        return "late", None

    def body() -> tuple[str, Any]:
        with tracking(track):
            try:
                return "done", run()
            except Raised as error:  # an error of the program, too: it would lose the race to the timer otherwise
                return "failed", error

    ended = next(one for one in machine.branches([body, timer], strategy="race") if one.status == "ok")
    how, value = cast("tuple[str, Any]", ended.value)
    if how == "failed":
        raise value
    if how == "late":
        step = f"step {options.id!r}" if options.id else "a step"
        raise EffectFailed("step_timeout", f"{step} took longer than {options.timeout_ms} ms")
    return value


def run_all(team: Team, machine: Machine, thunks: Sequence[Thunk], step: str) -> list[Value]:
    """Runs thunks at once, fails with the first that fails, integrates their commits in the order given."""
    outer = current_track()
    tracks = [Track(outer) for _ in thunks]
    results = machine.branches(_branches(thunks, tracks), strategy="all")
    settled = [_settled(one) for one in results]
    _check(settled, Options(), "all")
    return _collect(team, machine, settled, tracks, Options(id=step))


def parallel(team: Team, machine: Machine, thunks: Sequence[Thunk], options: Options) -> Value:
    """Runs thunks at once. Results are in the order of the thunks; those that failed or lost leave their records."""
    outer = current_track()
    tracks = [Track(outer) for _ in thunks]

    def run() -> list[Value]:
        strategy = options.strategy
        if strategy == "all" and options.on_error != "fail":
            strategy = "all_settled"
        results = machine.branches(
            _branches(thunks, tracks),
            strategy=strategy,
            max_concurrency=options.max,
            min_results=options.min_results,
        )
        settled = [_settled(one) for one in results]
        _check(settled, options, strategy)
        return _collect(team, machine, settled, tracks, options)

    def failed(error: EffectFailed) -> Value:
        for track in tracks:
            _drop(team, track, options)
        return [failure_record(error) for _ in thunks]

    return guarded(options, lambda: within(machine, options, run), failed)


def sequential(team: Team, machine: Machine, thunks: Sequence[Thunk], options: Options) -> Value:
    """Runs thunks one after the other; each sees what those before it did."""

    def run() -> list[Value]:
        results: list[Value] = []
        for thunk in thunks:
            results.append(thunk())
            team.flush(machine, options.id)
        return results

    return guarded(
        options, lambda: within(machine, options, run), lambda error: [failure_record(error) for _ in thunks]
    )


def _branches(thunks: Sequence[Thunk], tracks: list[Track]) -> list[Thunk]:
    return [_branch(thunk, track) for thunk, track in zip(thunks, tracks, strict=True)]


def _branch(thunk: Thunk, track: Track) -> Callable[[], tuple[Value, list[WorkspaceContribution]]]:
    def run() -> tuple[Value, list[WorkspaceContribution]]:
        with tracking(track):
            try:
                value = thunk()
            except EffectFailed as error:
                track.refused = error.code in GATE_CODES
                raise
        return value, track.contributions

    return run


def _settled(one: BranchResult) -> tuple[Value, list[WorkspaceContribution]] | EffectFailed:
    if one.status == "ok":
        return cast("tuple[Value, list[WorkspaceContribution]]", one.value)
    if isinstance(one.error, EffectFailed):
        return one.error
    if one.error is not None:
        failure = EffectFailed(one.error.code, one.error.message)
        failure.place = one.error.place
        return failure
    return EffectFailed(_CANCELLED, "the branch was stopped because others were first")


def _check(settled: Sequence[Any], options: Options, strategy: str) -> None:
    failed = [one for one in settled if isinstance(one, EffectFailed) and one.code != _CANCELLED]
    if failed and (strategy == "all" or failed[0].code in FATAL):
        raise failed[0]
    good = sum(not isinstance(one, EffectFailed) for one in settled)
    wanted = options.min_results or 1 if strategy == "quorum" else 1 if strategy == "race" else 0
    if options.on_error == "best_effort" and settled:
        wanted = max(wanted, 1)
    if good < wanted:
        errors = "; ".join(one.message for one in failed)
        raise EffectFailed(
            "quorum_not_reached", f"{good} of {len(settled)} branches succeeded, {wanted} needed: {errors}", None
        )


def _drop(team: Team, track: Track, options: Options) -> None:
    """The work of a branch that failed is not delivered, and what was said against it does not count.

    The "no" of a gate in it does: `onError` is about what could not be done. Only where so many of the branches are
    enough, as in a race, has the chart decided that one may be refused.
    """
    if track.refused and options.strategy == "all" and team.semantics >= STANDING_SINCE:
        return
    team.books.dropped(track.tasks)


def _collect(
    team: Team, machine: Machine, settled: Sequence[Any], tracks: Sequence[Track], options: Options
) -> list[Value]:
    around = current_track()
    values: list[Value] = []
    entries: list[WorkspaceContribution] = []
    for one, track in zip(settled, tracks, strict=True):
        if isinstance(one, EffectFailed):
            values.append(failure_record(one))
            _drop(team, track, options)
        else:
            if around is not None:
                around.tasks += track.tasks
            value, contributions = one
            values.append(value)
            entries += contributions
    team.hand_in(machine, entries, options.id)
    return values
