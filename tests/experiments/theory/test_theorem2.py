"""The conditions of Theorem 2, and that its bound has the right constants.

The expected gaps on noisy quadratics are exact, so a bound that is too low is caught,
and so is one that is needlessly high: it is approached within a known factor.
"""

import math

import numpy as np
import pytest

from experiments.theory.convex import Method
from experiments.theory.quadratics import constants, expected_gaps, grid
from experiments.theory.stepwise import StepwiseRates
from experiments.theory.theorem2 import (
    VERSIONS,
    Constants,
    bound,
    bound_from_conditions,
    check_conditions,
    printed_bound_2021,
)

METHODS = [
    Method(beta, s)
    for beta in (0.0, 0.5, 0.9)
    for s in (0.0, 1.0, 1 / (1 - beta))
    if beta or not s
]


def published(version, n, factor):
    """Sequences on the edge of the conditions."""
    i = np.arange(n)
    alpha = (i + 2.0) ** -VERSIONS[version].rate_power
    k = np.ceil(factor * (i + 2.0) ** -VERSIONS[version].sum_power / alpha)
    return StepwiseRates(alpha, k.astype(int))


def geometric(n, factor, alpha_0=0.5, ratio=0.5):
    alpha = alpha_0 * ratio ** np.arange(n)
    return StepwiseRates(alpha, np.ceil(factor / alpha).astype(int))


SEQUENCES = {
    "2021": published("2021", 100, 2),
    "2024": published("2024", 40, 2),
    "geometric": geometric(8, 4),
    "constant-gaps": StepwiseRates(0.5 * 0.8 ** np.arange(30), np.full(30, 50)),
    "one-rate": StepwiseRates(np.array([0.05]), np.array([2000])),
    "one-step": StepwiseRates(np.array([0.5]), np.array([1])),
}


@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize("method", METHODS, ids=lambda m: f"beta={m.beta:g},s={m.s:g}")
def test_the_bound_holds_on_every_quadratic(name, method):
    steps = SEQUENCES[name]
    problems = grid(np.geomspace(1e-4, 0.5, 16), np.array([0.0, 0.1, 1.0]))
    gaps = expected_gaps(problems, steps, method, stride=steps.num_steps)
    bounds = [
        bound(steps, c).total
        for c in constants(problems, gaps.second_moment[0], method)
    ]
    assert (gaps.smallest[0] <= bounds).all()


def test_the_bound_by_hand():
    # alpha_t = 1/2, 1/2, 1/4: A = 5/4, S = 9/16, P = 3/8.
    steps = StepwiseRates(np.array([0.5, 0.25]), np.array([2, 1]))
    terms = bound(steps, Constants(2.0, 3.0, 5.0, beta=0.5, s=1.0))
    np.testing.assert_allclose(terms, [0.8, 1.2, 2.25, 1.5])
    assert terms.total == pytest.approx(5.75)


def tightest(steps, method, curvatures, noise, start=1.0):
    """The term-wise bound and the measured gap, where they are closest."""
    problems = grid(np.atleast_1d(curvatures), np.array([noise]), start)
    gaps = expected_gaps(problems, steps, method, stride=steps.num_steps)
    bounds = [
        bound(steps, c) for c in constants(problems, gaps.second_moment[0], method)
    ]
    i = np.argmin([b.total / g for b, g in zip(bounds, gaps.smallest[0], strict=True)])
    return bounds[i], gaps.smallest[0, i]


@pytest.mark.parametrize("name", ["2021", "2024", "geometric"])
@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9])
def test_without_the_distance_it_is_violated(name, beta):
    # The curvature that is hardest for these rates: a = (1 - beta)/(2 A) leaves
    # D^2 (1 - beta)/(4 e A) of the start, 2 e times less than the term.
    steps = SEQUENCES[name]
    curvature = (1 - beta) / (2 * steps.sums.rates)
    b, gap = tightest(steps, Method(beta, 0.0), curvature, 0.0)
    assert b.distance / gap == pytest.approx(2 * math.e, rel=0.1)
    assert gap > b.total - b.distance


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("rate", [1e-3, 1e-4])
def test_without_the_noise_it_is_violated(rate, beta):
    # A constant rate, for ever: E f settles at alpha sigma^2/(4 (1 - beta)), half of
    # the noise's term alpha M^2/(2 (1 - beta)). The start has a little more.
    steps = StepwiseRates(np.array([rate]), np.array([round(20 / rate)]))
    start = math.sqrt(2 * rate / (1 - beta))
    b, gap = tightest(steps, Method(beta, 0.0), 1.0, 1.0, start)
    assert b.noise / gap == pytest.approx(2, rel=0.1)
    assert gap > b.total - b.noise


@pytest.mark.parametrize("beta", [0.99, 0.999])
def test_without_the_momentum_it_is_violated(beta):
    # A run that is over before the momentum has picked up, on a curvature that leaves
    # the terms of distance and noise small.
    steps = StepwiseRates(np.array([0.01]), np.array([round(0.1 / (1 - beta))]))
    curvature = 3 * (1 - beta) / steps.sums.rates
    b, gap = tightest(steps, Method(beta, 0.0), curvature, 0.0)
    assert gap > b.total - b.momentum
    assert gap <= b.total


@pytest.mark.parametrize(("beta", "s"), [(0.3, 150.0), (0.5, 200.0), (0.7, 70.0)])
def test_without_the_correlation_it_is_violated(beta, s):
    # None of the named methods: with s far over 1/(1 - beta), x_t strays from z_t by
    # the noise of a single step.
    rate = 0.01
    steps = StepwiseRates(np.array([rate]), np.array([3000]))
    curvature = 0.8 / (rate * (1 + beta * s))
    b, gap = tightest(steps, Method(beta, s), curvature, 1.0, start=1.0)
    assert b.total - b.correlation < gap / 2
    assert gap <= b.total


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("n", [1, 2, 3, 10, 1000])
@pytest.mark.parametrize("method", METHODS, ids=lambda m: f"beta={m.beta:g},s={m.s:g}")
def test_what_the_conditions_say_is_no_less(version, n, method):
    steps = published(version, n, 1.5)
    (c,) = constants(grid(np.array([0.1]), np.array([1.0])), np.array([3.0]), method)
    exact = bound(steps, c)
    weaker = bound_from_conditions(steps, VERSIONS[version], c)
    assert (np.array(weaker) >= exact).all()
    # And of the same order.
    if n > 2:
        assert weaker.total < 3 * exact.total


def test_the_printed_first_term_grows_away_from_the_derived_one():
    (c,) = constants(
        grid(np.array([1.0]), np.array([0.0])), np.array([1e-9]), Method(0.9, 0.0)
    )
    ratios = [
        printed_bound_2021(steps, c) / bound(steps, c).total
        for steps in (published("2021", n, 2) for n in (10, 100, 1000))
    ]
    assert ratios[0] > 1
    # n^(1/3) in the limit.
    assert ratios[2] / ratios[1] > 2


@pytest.mark.parametrize("version", VERSIONS)
def test_conditions_hold_for_their_own_sequences(version):
    c = check_conditions(published(version, 5000, 3), VERSIONS[version])
    assert c.hold
    # With k_i alpha_i (i + 2)^p >= 3 by construction, over it by rounding up only.
    assert 3 - 1e-9 <= c.kappa_1 < 3.1
    assert c.kappa_2 < 6
    i = 4999
    assert c.kappa_2_until[0] == 0
    assert c.kappa_2_until[i] < 1.01 * c.kappa_2_until[100]


def test_geometric_rates_meet_both_versions_conditions():
    steps = geometric(40, 4)
    c = check_conditions(steps, VERSIONS["2024"])
    assert c.hold
    assert 4 <= c.kappa_1 < 5
    assert c.kappa_2 == c.kappa_2_until[5]  # (i + 1) 2^-i falls
    assert check_conditions(steps, VERSIONS["2021"]).hold


def test_constant_gaps_do_not_keep_kappa_1():
    c = check_conditions(SEQUENCES["constant-gaps"], VERSIONS["2024"])
    ratios = c.kappa_1_until[1:] / c.kappa_1_until[:-1]
    np.testing.assert_allclose(ratios, 0.8)


@pytest.mark.parametrize(
    ("alpha", "index"),
    [
        pytest.param([2 ** (-2 / 3), 0.49], 1, id="second"),
        pytest.param([1.0, 0.1], 0, id="printed-first-rate-of-theorem-3"),
        pytest.param([0.6, 0.4], None, id="low-enough"),
    ],
)
def test_rates_over_the_limit_are_found(alpha, index):
    steps = StepwiseRates(np.array(alpha), np.array([5, 5]))
    c = check_conditions(steps, VERSIONS["2021"])
    assert c.first_too_high == index
    assert c.hold == (index is None)


def test_equal_rates_do_not_decrease():
    steps = StepwiseRates(np.array([0.1, 0.1]), np.array([5, 5]))
    c = check_conditions(steps, VERSIONS["2021"])
    assert c.first_too_high is None
    assert not c.hold


def test_kappas_by_hand():
    steps = StepwiseRates(np.array([0.5, 0.25]), np.array([4, 12]))
    c = check_conditions(steps, VERSIONS["2024"])
    assert (c.kappa_1, c.kappa_2) == (2.0, 3.0)  # min(2, 3), 12 * 0.25 * 0.5 * 2
    c = check_conditions(steps, VERSIONS["2021"])
    assert c.kappa_1 == pytest.approx(2 * 2 ** (1 / 3))
