"""Drawn numbers are spread as the distribution says, and are the same for the same key everywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallax.simulation.clock import Clock
from parallax.simulation.distributions import (
    Beta,
    Constant,
    Distribution,
    Exponential,
    LogNormal,
    Normal,
    Uniform,
    clipped,
)
from parallax.simulation.draws import Draws
from parallax.simulation.summary import spread

COUNT = 20_000


def drawn(kind: Distribution) -> dict[str, float]:
    draws = Draws("a", 1)
    found = spread([kind.sample(draws) for _ in range(COUNT)])
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("kind", "mean", "p50", "p95"),
    [
        (Constant(value=3), 3, 3, 3),
        (Uniform(min=2, max=4), 3, 3, 3.9),
        (Exponential(mean=10), 10, 6.93, 29.96),
        (LogNormal(median=60, p95=240), 85.6, 60, 240),
        (LogNormal(median=60, p95=60), 60, 60, 60),
        (Normal(mean=5, sd=2), 5, 5, 8.29),
        (Beta(mean=0.75, sd=0.15), 0.75, 0.775, 0.95),
        (Beta(mean=0.1, sd=0.2), 0.1, 0.004, 0.594),
    ],
    ids=str,
)
def test_a_distribution_has_the_mean_and_the_ranks_that_it_names(
    kind: Distribution, mean: float, p50: float, p95: float
) -> None:
    """Over twenty thousand draws, within a twentieth."""
    found = drawn(kind)
    assert found["mean"] == pytest.approx(mean, rel=0.05)
    assert found["p50"] == pytest.approx(p50, rel=0.05, abs=0.004)
    assert found["p95"] == pytest.approx(p95, rel=0.05)


@given(
    st.floats(0.001, 0.999).flatmap(
        lambda mean: st.tuples(st.just(mean), st.floats(0.01, 0.99).map(lambda part: (mean * (1 - mean)) ** 0.5 * part))
    ),
    st.integers(),
)
def test_a_share_is_a_share(parameters: tuple[float, float], key: int) -> None:
    """Beta gives numbers from 0 to 1 for every mean and deviation that are possible."""
    mean, sd = parameters
    draws = Draws(key)
    assert all(0 <= Beta(mean=mean, sd=sd).sample(draws) <= 1 for _ in range(20))


def test_draws_of_a_key_are_what_they_always_were() -> None:
    """These numbers are part of what a seed means: a change here changes everybody's simulations."""
    draws = Draws(7, 1, "turn", "4.2.1", "coder", 1)
    assert [round(draws.uniform(), 9) for _ in range(3)] == PINNED
    assert Draws(7, 1).uniform() != Draws(7, 2).uniform() != Draws(71).uniform()


PINNED = [0.308123627, 0.241812481, 0.512171096]


def test_clipping_gives_thousandths_between_nothing_and_all() -> None:
    """A share is never outside, and never longer than it means."""
    assert [clipped(value) for value in (-0.2, 0.12345, 1.7)] == [0.0, 0.123, 1.0]


def test_what_is_due_at_once_happens_in_the_order_in_which_it_was_set() -> None:
    """And what is cancelled does not happen."""
    clock, seen = Clock(), list[str]()
    clock.after(5, seen.append, "b")
    clock.after(3, seen.append, "a")
    clock.after(5, seen.append, "c")
    clock.after(4, seen.append, "never").cancel()
    while clock.next_ms() is not None:
        clock.step()
    assert (seen, clock.now_ms) == (["a", "b", "c"], 5)


def test_ranks_are_values_that_occurred() -> None:
    """The nearest rank: half of four values is the second, 95 of 100 the last; of nothing there is nothing."""
    assert spread([4, 1, 3, 2]) == {"mean": 2.5, "p50": 2, "p95": 4, "min": 1, "max": 4}
    assert spread([7]) == {"mean": 7, "p50": 7, "p95": 7, "min": 7, "max": 7}
    assert spread([]) is None
