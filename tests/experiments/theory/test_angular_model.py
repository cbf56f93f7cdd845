"""Equation 11 and Algorithm 2, whose closed form equals the loop."""

import numpy as np
import pytest

from experiments.theory.angular_model import (
    AngularModel,
    algorithm2,
    falling_threshold,
)
from experiments.theory.theorem2 import VERSIONS, check_conditions

RATES = {
    "2/3": (np.arange(400) + 2.0) ** (-2 / 3),
    "1": 1 / (np.arange(60) + 2.0),
    "geometric": 0.5 * 0.7 ** np.arange(12),
}


def loop(model, rates, tau):
    """Algorithm 2 step by step: the iterations spent at each rate."""
    gaps = []
    for alpha, threshold in zip(rates, np.broadcast_to(tau, rates.shape), strict=True):
        since_drop = 0
        while True:
            since_drop += 1  # one iteration at this rate
            if model.derivative(alpha, since_drop) <= threshold:
                break
        gaps.append(since_drop)
    return np.array(gaps)


@pytest.mark.parametrize("rates", RATES.values(), ids=RATES)
@pytest.mark.parametrize("gamma", [0.1, 0.5, 5.0])
@pytest.mark.parametrize("tau_0", [1e-3, 1e-2, 0.3])
@pytest.mark.parametrize("falling", [False, True], ids=["fixed", "falling"])
def test_the_closed_form_is_the_loop(rates, gamma, tau_0, falling):
    model = AngularModel(c=0.4, gamma=gamma)
    tau = falling_threshold(model, rates, tau_0) if falling else tau_0
    np.testing.assert_array_equal(
        algorithm2(model, rates, tau).gaps, loop(model, rates, tau)
    )


def test_a_threshold_met_exactly_is_enough():
    model = AngularModel(c=0.4, gamma=0.5)
    k = np.arange(1, 200)
    alpha = np.full(k.shape, 0.3)
    np.testing.assert_array_equal(model.gap(alpha, model.derivative(alpha, k)), k)


def test_the_model_is_equation_11():
    model = AngularModel(c=0.5, gamma=0.1)
    assert model.velocity(0.4, 0.0) == 0
    # Half of the level at t = 1/(gamma alpha).
    assert model.velocity(0.4, 25.0) == pytest.approx(np.pi / 4 * 1.2)
    assert model.velocity(0.4, 1e12) == pytest.approx(model.level(0.4))
    t, h = 13.0, 1e-5
    slope = (model.velocity(0.4, t + h) - model.velocity(0.4, t - h)) / (2 * h)
    assert model.derivative(0.4, t) == pytest.approx(slope, rel=1e-6)


def test_a_fixed_threshold_loses_kappa_1():
    rates = (np.arange(20_000) + 2.0) ** (-2 / 3)
    model = AngularModel(c=0.4, gamma=0.5)
    steps = algorithm2(model, rates, 0.01)
    conditions = check_conditions(steps, VERSIONS["2021"])
    # Level * gamma * alpha <= tau from here on: one iteration at each rate.
    collapsed = model.derivative(rates, 0.0) <= 0.01
    assert 100 < np.argmax(collapsed) < 2000
    assert (steps.gaps[collapsed] == 1).all()
    # k_i alpha_i (i + 2)^(1/3) = (i + 2)^(-1/3) there.
    assert conditions.kappa_1 == pytest.approx(20_001 ** (-1 / 3))


@pytest.mark.parametrize("gamma", [0.1, 1.0, 20.0])
@pytest.mark.parametrize("tau_0", [1e-3, 0.1, 5.0])
def test_a_falling_threshold_keeps_both_constants(gamma, tau_0):
    rates = 1 / (np.arange(20_000) + 2.0)
    model = AngularModel(c=2 / 3, gamma=gamma)
    steps = algorithm2(model, rates, falling_threshold(model, rates, tau_0))
    conditions = check_conditions(steps, VERSIONS["2024"])
    assert conditions.hold
    assert conditions.kappa_1 >= (np.sqrt(np.pi) - 1) / gamma
    # As the dropped rate is at most 1/3 where the third condition begins.
    root = max(np.sqrt(2 * np.pi * gamma / (9 * tau_0)), np.sqrt(4 * np.pi / 3))
    assert conditions.kappa_2 <= (root - 1) / gamma + 1 / 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"c": 0.0}, "c must be positive, got 0", id="c"),
        pytest.param({"gamma": -1.0}, "gamma must be positive", id="gamma"),
        pytest.param({"c": 1.0}, "c must be at most", id="over-120-degrees"),
        pytest.param({"tau": 0.0}, "tau must be positive, got 0", id="tau"),
    ],
)
def test_values_out_of_range_are_refused(arguments, message):
    values = {"c": 0.4, "gamma": 0.5, "tau": 0.01} | arguments

    def build():
        model = AngularModel(values["c"], values["gamma"])
        return algorithm2(model, [0.5, 0.4], values["tau"])

    with pytest.raises(ValueError, match=message):
        build()
