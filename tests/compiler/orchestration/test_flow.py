"""Parallel, sequential and time-limited steps, and which commits they integrate in which order."""

from __future__ import annotations

from typing import Any

import pytest

from compiler.prism import EffectFailed
from schemas.effects import Sleep, Task
from tests.compiler.drive import Life, outcome, run, scripted, simply

TEAM = """
agents {
  a: Agent { id: "a", capabilities: ["x"] }, b: Agent { id: "b", capabilities: ["x"] },
  c: Agent { id: "c", capabilities: ["x"] },
}
"""
BOTH = '[() => assign(a, "one", {id: "one"}), () => assign(b, "two", {id: "two"}), () => assign(c, "three")]'


def both(options: str, answer: Any = simply, **how: Any) -> Life:
    return run(f"{TEAM} parallel({BOTH}, {options})", answer, **how)


@pytest.mark.parametrize("last_first", [False, True])
def test_results_and_commits_are_in_declared_order_whoever_is_first(last_first: bool) -> None:
    """The order of the log changes neither the array nor the order in which commits are merged."""
    life = both('{id: "all"}', last_first=last_first)
    assert [one["role"] for one in life.value] == ["a", "b", "c"]
    assert life.integrated() == [["c1.1.1", "c1.2.1", "c1.3.1"]]


def test_no_more_than_max_run_at_once() -> None:
    """The third task is asked for when one of the first two is done."""
    life = both("{max: 2}")
    assert life.kinds() == ["a", "b", "c", "integrate"]
    assert both("{max: 1}", simply).value[2]["role"] == "c"


def test_one_failure_fails_all_and_stops_the_others() -> None:
    """By default a failed branch cancels the rest, and nothing is integrated."""
    life = both("{}", scripted(a=[EffectFailed("task_failed", "no")]))
    assert life.error is not None
    assert (life.error.code, life.cancelled, life.integrated()) == ("task_failed", ["1.2.1", "1.3.1"], [])


def test_continue_goes_on_with_what_succeeded() -> None:
    """A failed branch leaves its record at its place; the others' commits are integrated."""
    life = both('{onError: "continue"}', scripted(b=[EffectFailed("task_failed", "no")]))
    assert [one["result"] for one in life.value] == ["done", None, "done"]
    assert life.value[1]["error"]["code"] == "task_failed"
    assert life.integrated() == [["c1.1.1", "c1.3.1"]]


def test_best_effort_needs_at_least_one() -> None:
    """Nothing but failures is a failure."""
    no = EffectFailed("task_failed", "no")
    assert both('{onError: "best_effort"}', scripted(a=[no], b=[no])).error is None
    failed = both('{onError: "best_effort"}', scripted(a=[no], b=[no], c=[no]))
    assert failed.value[0]["error"]["code"] == "quorum_not_reached"


def test_a_race_takes_the_first_success_and_integrates_only_its_commit() -> None:
    """Losers are cancelled, and what they did is not merged."""
    life = both('{strategy: "race"}', last_first=True)
    assert [one["result"] for one in life.value] == [None, None, "done"]
    assert (life.cancelled, life.integrated()) == (["1.1.1", "1.2.1"], [["c1.3.1"]])


def test_a_race_survives_failures_until_nobody_is_left() -> None:
    """The first failure does not decide a race; the last one does."""
    no = EffectFailed("task_failed", "no")
    assert both('{strategy: "race"}', scripted(a=[no], b=[no])).value[2]["result"] == "done"
    failed = both('{strategy: "race"}', scripted(a=[no], b=[no], c=[no]))
    assert failed.error is not None
    assert failed.error.code == "quorum_not_reached"


def test_the_least_number_of_results_may_be_spelled_as_the_language_is_described() -> None:
    """`min_results` and `minResults` are one option."""
    assert both('{strategy: "quorum", min_results: 2}').asked == both('{strategy: "quorum", minResults: 2}').asked
    assert both('{strategy: "quorum", min_results: 4}').error is not None


def test_a_quorum_ends_when_enough_succeeded_or_no_longer_can() -> None:
    """Two of three are enough, and two failures are too many."""
    no = EffectFailed("task_failed", "no")
    life = both('{strategy: "quorum", minResults: 2}')
    assert (len(life.cancelled), [len(commits) for commits in life.integrated()]) == (1, [2])
    failed = both('{strategy: "quorum", minResults: 2}', scripted(a=[no], b=[no]))
    assert failed.error is not None
    assert failed.error.code == "quorum_not_reached"


def test_a_sequence_in_a_branch_integrates_as_it_goes() -> None:
    """`integrate()` lets the next step of a branch see what the last one did."""
    body = '[() => { let x = assign(a, "1") integrate() let y = assign(b, "2") return [x, y] }, () => assign(c, "3")]'
    life = run(f"{TEAM} parallel({body})")
    assert life.integrated() == [["c1.1.1"], ["c1.1.3", "c1.2.1"]]


def test_a_sequence_integrates_each_step() -> None:
    """Outside of branches every step is merged before the next begins."""
    life = run(f'{TEAM} sequential([() => assign(a, "1"), () => assign(b, "2")], {{id: "s"}})')
    assert life.kinds() == ["a", "integrate", "b", "integrate"]


def test_a_step_that_takes_too_long_is_stopped() -> None:
    """The limit is a timer of the log; what still runs is cancelled."""

    def slow(request: Any, path: str) -> Any:
        return None if isinstance(request, Sleep) else simply(request, path)

    life = run(f'{TEAM} parallel({BOTH}, {{id: "p", timeoutMs: 50}})', slow)
    assert life.error is not None
    assert life.error.code == "step_timeout"
    assert [request for _, request in life.asked if isinstance(request, Sleep)] == [Sleep(ms=50)]
    assert len(life.cancelled) == 3
    in_time = run(f'{TEAM} parallel({BOTH}, {{id: "p", timeoutMs: 50}})', last_first=True)
    assert [one["role"] for one in in_time.value] == ["a", "b", "c"]


def test_nested_parallel_steps_hand_their_commits_outwards() -> None:
    """One integration at the end of the outermost step, in declared order."""
    inner = f"() => parallel({BOTH})"
    life = run(f'{TEAM} parallel([{inner}, () => assign(a, "last")])')
    assert life.integrated() == [["c1.1.1.1.1", "c1.1.1.2.1", "c1.1.1.3.1", "c1.2.1"]]


def test_a_time_limit_inside_a_branch_keeps_the_order_of_commits() -> None:
    """A limited step in a branch hands its commits to the branch, not to the result."""
    limited = f"() => parallel({BOTH}, {{timeoutMs: 50}})"

    def answer(request: Any, path: str) -> Any:
        assert isinstance(request, Task) or type(request).__name__ == "Integrate"
        return simply(request, path)

    life = run(
        f'{TEAM} parallel([{limited}, () => assign(a, "last")])',
        lambda r, p: None if isinstance(r, Sleep) else answer(r, p),
    )
    assert life.error is None or life.error.code == "step_timeout"
    assert all(len(commits) == 4 for commits in life.integrated())


def test_the_same_results_in_the_same_order_ask_for_the_same() -> None:
    """A replay: two runs over the same answers make the same requests at the same places."""

    def once() -> list[tuple[str, Any]]:
        return both('{strategy: "quorum", minResults: 2}', last_first=True).asked

    assert once() == once()


def test_a_thousand_steps_take_time_linear_in_their_number() -> None:
    """Long programs stay cheap."""
    life = run(f'{TEAM} for i in range(0, 1000) {{ assign(a, "x") }}', outcome, workspace=False)
    assert len(life.asked) == 1000


@pytest.mark.parametrize("body", ['throw "broken"', "let a = null\na.b.c", "nope.x"])
def test_an_error_of_the_program_in_a_step_with_a_time_limit_ends_it_at_once(body: str) -> None:
    """Nobody waits for the time to run out first."""
    for step in (
        "group(() => {{ {body} }}, {{timeoutMs: 60000}})",
        "sequential([() => {{ {body} }}], {{timeoutMs: 9}})",
    ):
        life = run(f"let nope = null\n{step.format(body=body)}")
        assert life.error is not None
        assert life.error.code != "step_timeout", life.error
