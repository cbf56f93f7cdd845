"""Slopes of gaps: the estimates, the exact ones, and the committed results."""

import numpy as np
import pytest

from experiments.theory import figure_algorithm2
from experiments.theory.figure_theorem3 import (
    METHODS,
    SEQUENCES,
    exact,
    fit,
    half_decades,
    spread,
    windowed,
)


def test_slopes_of_a_power_law():
    steps = spread(1000, 100_000, 100)
    assert (steps[0], steps[-1], len(steps)) == (1000, 100_000, 25)
    values = 3.0 * steps**-0.4
    assert fit(steps, values) == pytest.approx(-0.4)
    np.testing.assert_allclose(half_decades(steps, values), [-0.4] * 4)
    # A gap that stays for the first decade and then falls.
    bent = np.where(steps < 10_000, 1.0, steps / 10_000.0) ** -1.0
    np.testing.assert_allclose(half_decades(steps, bent), [0, 0, -1, -1], atol=0.01)


def test_windows_do_not_pick_lucky_moments():
    stride = 10
    steps = spread(1000, 100_000, stride)
    t = stride * np.arange(10_000)
    noise = np.random.default_rng(0).exponential(size=t.shape)
    smallest = np.minimum.accumulate(noise)[steps // stride - 1]
    estimate = windowed(noise, steps, stride)
    assert (smallest < 0.1).all()
    assert (estimate > 0.7).all()
    # Without noise it is the mean over the last fifth, and never rises.
    fall = windowed(1.0 / (t + stride), steps, stride)
    np.testing.assert_allclose(fall * steps, 5 * np.log(1.25), rtol=0.02)
    assert (np.diff(windowed(t * 1.0, steps, stride)) == 0).all()


@pytest.mark.parametrize(
    ("name", "rate_slope", "sum_slope"),
    [
        pytest.param("2/3, fixed high", -2 / 3, -1 / 3, id="collapsed"),
        pytest.param("geometric, falling", -1, -0.08, id="geometric"),
    ],
)
def test_exact_slopes_are_those_of_rate_and_sum(name, rate_slope, sum_slope):
    schedule = figure_algorithm2.sequences(10_000)[name]
    slopes = [slope for slope, _ in exact(name, schedule, 10_000)]
    assert len(slopes) == 2 * len(METHODS)
    for slope in slopes:
        noisy = slope.problem == "noisy quadratic"
        expected = rate_slope if noisy else sum_slope
        assert slope.slope == pytest.approx(expected, abs=0.08)
        assert slope.low <= slope.slope <= slope.high


def test_what_explains_the_committed_slopes(committed):
    rows = committed("theorem3")
    assert len(rows) == len(SEQUENCES) * 4 * len(METHODS)
    assert {row["problem"] for row in rows} > {"noisy quadratic", "worst start"}
    for row in rows:
        assert row["low"] <= row["slope"] <= row["high"]
        assert row["last"] / row["first"] >= 100
        if row["problem"] == "noisy quadratic":
            assert row["slope"] == pytest.approx(row["rate_slope"], abs=0.03)
        if row["problem"] == "worst start":
            assert row["slope"] == pytest.approx(row["sum_slope"], abs=0.01)
        if (
            row["sequence"] != "geometric, falling"
            and "fixed high" not in row["sequence"]
        ):
            # No slope is as flat as -1/5 or -1/4.
            assert row["high"] < -1 / 4
