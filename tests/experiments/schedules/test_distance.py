"""The distance-based diagnostic against NumPy, and where the distance is known."""

import math

import numpy as np
import optax
import pytest

from experiments.schedules.distance import distance_diagnostic
from tests.experiments.schedules.trajectories import run


def restarted_sgd(start, noise, *, rate, ratio, first_power, threshold, factor):
    """SGD on |x|^2 / 2 with the diagnostic, line by line, in float64.

    Returns:
      The gradients it met, its scales, and where it ended.
    """
    # Small powers of a small ratio round up alike: each step counts once.
    checkpoints = sorted({math.ceil(ratio**k) for k in range(first_power, 60)})
    x = anchor = start
    scale, n, passed, last = 1.0, 0, 0, None
    gradients, scales = [], []
    for row in noise:
        if n == checkpoints[passed]:  # x is theta_n
            square = np.sum((x - anchor) ** 2)
            if last is not None and (
                math.log(square / last[1]) / math.log(n / last[0]) < threshold
            ):
                anchor, scale, n, passed, last = x, scale * factor, 0, 0, None
            else:
                passed, last = passed + 1, (n, square)
        gradients.append(x + row)
        x = x - rate * scale * gradients[-1]
        n += 1
        scales.append(scale)
    return np.array(gradients), np.array(scales), x


@pytest.mark.parametrize(
    ("ratio", "first_power", "steps"),
    [
        pytest.param(1.5, 5, 1500, id="paper"),
        pytest.param(2.0, 2, 1500, id="2"),
        # So close to each other that several round up to one step.
        pytest.param(1.2, 1, 60, id="1.2"),
    ],
)
def test_follows_the_algorithm(ratio, first_power, steps):
    start, rate = np.full(5, 3.0), 0.05
    noise = np.random.default_rng(0).normal(size=(steps, 5))
    gradients, expected, end = restarted_sgd(
        start,
        noise,
        rate=rate,
        ratio=ratio,
        first_power=first_power,
        threshold=0.6,
        factor=0.5,
    )
    link = distance_diagnostic(ratio=ratio, first_power=first_power)
    optimizer = optax.chain(optax.sgd(rate), link)
    path, scales, _ = run(optimizer, start, gradients, lambda s: s[1].scale)
    assert expected[-1] <= 0.25  # two drops or more
    np.testing.assert_allclose(scales, expected, rtol=1e-6)
    np.testing.assert_allclose(path[-1], end, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("power", "slope"),
    [pytest.param(1.0, 2.0, id="straight"), pytest.param(0.2, 0.4, id="slow")],
)
def test_slope_of_a_known_growth(power, slope):
    # |x_n - x_0| = n^power along one direction: the slope of its square is 2 power.
    n = np.arange(101)
    gradients = -np.diff(n**power)[:, None] * [0.6, 0.8]
    link = distance_diagnostic(threshold=0.1)
    optimizer = optax.chain(optax.sgd(1.0), link)
    _, slopes, _ = run(optimizer, np.zeros(2), gradients, lambda s: s[1].slope)
    # Checkpoints 8, 12, 18, ...: a slope from the update on that is given x_12.
    assert np.all(np.isnan(slopes[:12]))
    np.testing.assert_allclose(slopes[12:], slope, rtol=1e-3)


def test_parameters_that_stay_decide_nothing():
    link = distance_diagnostic()
    _, scales, _ = run(link, np.ones(2), np.zeros((50, 2)), lambda s: s.scale)
    assert np.all(scales == 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ratio": 1.0}, "ratio must be a number above 1, got 1.0"),
        ({"first_power": -1}, "first_power must be an integer of at least 0, got -1"),
        ({"first_power": 60}, "first_power=60 with ratio=1.5 leaves no two"),
        ({"threshold": 0}, "threshold must be a number above 0, got 0"),
        ({"drop_factor": 2}, "drop_factor must be a number between 0 and 1"),
    ],
    ids=["ratio", "power", "late", "threshold", "factor"],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        distance_diagnostic(**options)
