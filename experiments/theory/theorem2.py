"""Theorem 2: conditions and bounds for step-wise rates.

The derivation of :func:`bound` is in theorem2.md.
"""

import math
from typing import NamedTuple

import numpy as np

from experiments.theory.stepwise import StepwiseRates


class Version(NamedTuple):
    """The conditions of a published version, for rates alpha_i kept for k_i steps.

        alpha_i <= (i + 2)^(-rate_power)                          i = 0, 1, ...
        k_i alpha_i >= kappa_1 (i + 2)^(-sum_power)               i = 0, 1, ...
        k_i alpha_i alpha_{i-1} <= kappa_2 (i + 1)^(-1)           i = 1, 2, ...

    Attributes:
      name: the year of the version.
      rate_power: as above.
      sum_power: as above.
    """

    name: str
    rate_power: float
    sum_power: float


# The exponents of 2021 are a reconstruction, see theorem2.md.
VERSIONS = {
    "2021": Version("2021", rate_power=2 / 3, sum_power=1 / 3),
    "2024": Version("2024", rate_power=1.0, sum_power=0.0),
}


class Conditions(NamedTuple):
    """Whether and how a sequence meets the conditions of Theorem 2.

    The constants of a finite sequence always exist, as they are a minimum and a
    maximum. What the theorem needs is that they stay away from 0 and from infinity as
    the sequence goes on: look at ``kappa_1_until`` and ``kappa_2_until``.

    Attributes:
      first_too_high: the first i with alpha_i over its limit or outside of (0, 1); None
        if there is none.
      decreasing: whether every rate is lower than the one before.
      kappa_1_until: the largest kappa_1 for the rates up to i, shape (n,).
      kappa_2_until: the smallest kappa_2 for the rates up to i, shape (n,); 0 at i = 0,
        of which the third condition says nothing.
    """

    first_too_high: int | None
    decreasing: bool
    kappa_1_until: np.ndarray
    kappa_2_until: np.ndarray

    @property
    def hold(self) -> bool:
        """Whether the conditions hold, with ``kappa_1`` and ``kappa_2``."""
        return self.first_too_high is None and self.decreasing

    @property
    def kappa_1(self) -> float:
        """The largest possible."""
        return float(self.kappa_1_until[-1])

    @property
    def kappa_2(self) -> float:
        """The smallest possible."""
        return float(self.kappa_2_until[-1])


def check_conditions(steps: StepwiseRates, version: Version) -> Conditions:
    """Returns whether the conditions of Theorem 2 hold, and for which constants.

    Args:
      steps: alpha_i and k_i.
      version: "2021" (Teng, Wang, Choromanska, equation 8) or "2024" (Wang, Teng,
        Choromanska) of ``VERSIONS``.
    """
    alpha, k = steps.rates, steps.gaps
    i = np.arange(len(steps))
    # An ulp of room: (i + 2)^(-2/3) itself is meant to pass.
    too_high = (alpha > (i + 2.0) ** -version.rate_power * (1 + 1e-12)) | (alpha >= 1)
    kappa_1 = k * alpha * (i + 2.0) ** version.sum_power
    kappa_2 = k[1:] * alpha[1:] * alpha[:-1] * (i[1:] + 1)
    return Conditions(
        first_too_high=int(np.argmax(too_high)) if too_high.any() else None,
        decreasing=bool((np.diff(alpha) < 0).all()),
        kappa_1_until=np.minimum.accumulate(kappa_1),
        kappa_2_until=np.maximum.accumulate(np.append(0.0, kappa_2)),
    )


class Constants(NamedTuple):
    """What a bound needs to know of the problem and of the method.

    Attributes:
      distance: |x_0 - x*|, l2.
      initial_gap: f(x_0) - f*.
      second_moment: M^2, at least E|G_t|^2 in every iterate; G^2 + delta^2 for
        subgradients of norm at most G with a noise of variance at most delta^2.
      beta: momentum of :func:`unified_momentum`.
      s: its parameter s.
    """

    distance: float
    initial_gap: float
    second_moment: float
    beta: float
    s: float


class Bound(NamedTuple):
    """The terms of a bound of min_t E f(x_t) - f*, t = 0, ..., T - 1.

    Attributes:
      distance: what the start's distance from the optimum leaves.
      momentum: what the start's gap leaves, as momentum has to pick up first.
      noise: of the gradients' second moment.
      correlation: of the products of neighbouring gradients, 0 for s = 0.
    """

    distance: float
    momentum: float
    noise: float
    correlation: float

    @property
    def total(self) -> float:
        """The bound."""
        return sum(self)


def bound(steps: StepwiseRates, constants: Constants) -> Bound:
    """Bounds the smallest expected gap of unified momentum with step-wise rates.

    Statement: f convex; E[G_t | x_t] in the subdifferential of f at x_t;
    E|G_t|^2 <= M^2; rates that never rise. Then, with A, S, P of :class:`RateSums`,

        min_t E f(x_t) - f* <= [ (1 - beta)/2 |x_0 - x*|^2
                                 + beta/(1 - beta) alpha_1 (f(x_0) - f*)
                                 + M^2/(2 (1 - beta)) (S + 2 s beta P) ] / A.

    Source: our derivation (theorem2.md), by the method of Yang, Lin and Li (2016). No
    units: rates and gaps are those of the problem, T counts steps.

    Args:
      steps: alpha_i and k_i; the bound is for T = ``steps.num_steps``.
      constants: of the problem and the method.

    Returns:
      The four terms, each divided by A.
    """
    sums = steps.sums
    return _bound(
        constants,
        total_rate=sums.rates,
        squares=sums.squares,
        products=sums.products,
        first_rate=sums.second,
    )


def bound_from_conditions(
    steps: StepwiseRates, version: Version, constants: Constants
) -> Bound:
    """The same bound, with the sums replaced by what the conditions say of them.

        2021:  A >= (3/2) kappa_1 ((n + 2)^(2/3) - 2^(2/3))
        2024:  A >= kappa_1 n
        both:  S, P <= k_0 alpha_0^2 + kappa_2 log n

    Args:
      steps: alpha_i and k_i.
      version: whose conditions.
      constants: of the problem and the method.

    Returns:
      The four terms. Each is at least that of :func:`bound`.
    """
    conditions = check_conditions(steps, version)
    n = len(steps)
    power = 1 - version.sum_power
    # The sum of (i + 2)^(-sum_power) is at least the integral.
    total_rate = conditions.kappa_1 * ((n + 2) ** power - 2**power) / power
    squares = steps.gaps[0] * steps.rates[0] ** 2 + conditions.kappa_2 * math.log(n)
    return _bound(
        constants,
        total_rate=total_rate,
        squares=squares,
        products=squares,
        first_rate=float(steps.rates[0]),
    )


def printed_bound_2021(steps: StepwiseRates, constants: Constants) -> float:
    """Equation 10 as far as it can be read; the exponents are a reconstruction.

    It differs from :func:`bound_from_conditions` in the first term, whose numerator
    grows with n, and in log n without k_0 alpha_0^2. Infinite for n = 1.
    """
    conditions = check_conditions(steps, VERSIONS["2021"])
    kappa_1, kappa_2 = conditions.kappa_1, conditions.kappa_2
    n = len(steps)
    if n == 1:
        return math.inf
    distance, gap, second_moment, beta, s = constants
    grown = (n + 1) ** (2 / 3) - 2 ** (2 / 3)
    momentum = beta * gap * ((n + 1) ** (1 / 3) - 2 ** (1 / 3))
    noise = (2 * s * beta + 1) * second_moment * kappa_2 * math.log(n)
    return (
        momentum / (kappa_1 * (1 - beta))
        + noise / (3 * (1 - beta) * kappa_1)
        + (1 - beta) * distance**2 / (3 * kappa_1)
    ) / grown


def _bound(
    constants: Constants,
    *,
    total_rate: float,
    squares: float,
    products: float,
    first_rate: float,
) -> Bound:
    distance, gap, second_moment, beta, s = constants
    noise = second_moment / (2 * (1 - beta) * total_rate)
    return Bound(
        distance=(1 - beta) * distance**2 / (2 * total_rate),
        momentum=beta / (1 - beta) * first_rate * gap / total_rate,
        noise=noise * squares,
        correlation=noise * 2 * s * beta * products,
    )
