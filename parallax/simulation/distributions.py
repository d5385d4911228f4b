"""How a number is spread: the distributions that an agents file may name, each drawn from uniform numbers alone."""

from __future__ import annotations

import math
from statistics import NormalDist

from parallax.simulation.draws import Draws
from schemas.base import Model

_STANDARD = NormalDist()
_P95 = _STANDARD.inv_cdf(0.95)
_LEAST = 2.0**-53


class Constant(Model, frozen=True, kw_only=True):
    """Always the same number."""

    value: float

    def sample(self, draws: Draws) -> float:
        """The number."""
        del draws
        return self.value


class Uniform(Model, frozen=True, kw_only=True):
    """Any number between two, each as likely."""

    min: float
    max: float

    def sample(self, draws: Draws) -> float:
        """A number between the two."""
        return self.min + (self.max - self.min) * draws.uniform()


class Exponential(Model, frozen=True, kw_only=True):
    """Waiting for something that may happen at any moment."""

    mean: float

    def sample(self, draws: Draws) -> float:
        """A number from 0 on."""
        return -self.mean * math.log(1.0 - draws.uniform())


class LogNormal(Model, frozen=True, kw_only=True):
    """Mostly near the median, sometimes much more: half of all are below `median`, 95 of 100 below `p95`."""

    median: float
    p95: float

    def sample(self, draws: Draws) -> float:
        """A number above 0."""
        sigma = math.log(self.p95 / self.median) / _P95
        return self.median * math.exp(sigma * _standard_normal(draws))


class Normal(Model, frozen=True, kw_only=True):
    """The bell curve. Whoever uses the number clips it to what it may be."""

    mean: float
    sd: float

    def sample(self, draws: Draws) -> float:
        """Any number."""
        return self.mean + self.sd * _standard_normal(draws)


class Beta(Model, frozen=True, kw_only=True):
    """A share between 0 and 1 with a mean and a standard deviation (`sd`² less than `mean`·(1 - `mean`))."""

    mean: float
    sd: float

    def sample(self, draws: Draws) -> float:
        """A number between 0 and 1."""
        weight = self.mean * (1.0 - self.mean) / (self.sd * self.sd) - 1.0
        first, second = _gamma(self.mean * weight, draws), _gamma((1.0 - self.mean) * weight, draws)
        return first / (first + second) if first + second > 0 else self.mean


Distribution = Constant | Uniform | Exponential | LogNormal | Normal | Beta


def clipped(value: float) -> float:
    """A share as it is used: between 0 and 1, in thousandths."""
    return round(min(1.0, max(0.0, value)), 3)


def _standard_normal(draws: Draws) -> float:
    return _STANDARD.inv_cdf(max(draws.uniform(), _LEAST))


def _gamma(shape: float, draws: Draws) -> float:
    """Marsaglia and Tsang's method."""
    if shape < 1.0:
        return _gamma(shape + 1.0, draws) * max(draws.uniform(), _LEAST) ** (1.0 / shape)
    d = shape - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        x = _standard_normal(draws)
        v = (1.0 + c * x) ** 3
        if v > 0.0 and math.log(max(draws.uniform(), _LEAST)) < 0.5 * x * x + d - d * v + d * math.log(v):
            return d * v
