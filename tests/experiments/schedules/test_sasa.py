"""SASA+ against a reference in NumPy and SciPy, and against what it must detect."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from experiments.schedules.sasa import sasa_plus, zero_mean_test
from tests.experiments.schedules.trajectories import run

SIZE = 6


@functools.partial(jax.jit, static_argnames="variance")
def p_value_of(window, size, variance):
    p_value, _ = zero_mean_test(
        window,
        size,
        variance=variance,
        significance=0.05,
        strict=jnp.bool_(False),
    )
    return p_value


def half_width(window, variance, significance):
    """Half of the confidence interval of the mean, by batch means."""
    n = len(window)
    b = math.isqrt(n)
    if variance == "overlapping":
        means = np.array([window[i : i + b].mean() for i in range(n - b + 1)])
        m = len(means)
        square = b * n / (m * (m - 1)) * np.sum((means - window.mean()) ** 2)
        freedom = n - b
    else:
        means = window[: n // b * b].reshape(-1, b).mean(axis=1)
        square = b / (len(means) - 1) * np.sum((means - window.mean()) ** 2)
        freedom = b - 1
    quantile = stats.t.ppf(1 - significance / 2, freedom)
    return quantile * math.sqrt(square / n)


def is_stationary(window, *, variance, significance, test, first):
    width = half_width(window, variance, significance)
    if test == "interval":
        return abs(window.mean()) < width
    older, newer = window[: len(window) // 2], window[len(window) // 2 :]
    if older.mean() * newer.mean() <= 0:
        return False
    if first:
        return abs(older.mean()) < width and abs(newer.mean()) < width
    return abs(window.mean()) < width


def reference(start, gradients, options, *, rate, momentum):
    """SGD with momentum and SASA+, line by line, in float64."""
    x, velocity, alpha = start.copy(), np.zeros_like(start), rate
    samples, rates, tests = [], [], []
    for k, gradient in enumerate(gradients, start=1):
        velocity = momentum * velocity + gradient
        samples.append(x @ velocity - alpha / 2 * velocity @ velocity)
        x = x - alpha * velocity
        window = np.array(
            samples[-math.ceil(len(samples) * options["kept_fraction"]) :]
        )
        if len(window) > options["min_samples"] and k % options["test_every"] == 0:
            tests.append(k)
            if is_stationary(
                window,
                variance=options["variance"],
                significance=options["significance"],
                test=options["test"],
                first=alpha == rate,
            ):
                alpha *= options["drop_factor"]
                samples = []
        rates.append(alpha)
    return np.array(rates), tests


def gradients_around_a_minimum(start, steps, *, rate, momentum, seed):
    """Noisy gradients of |x - e_1|^2 / 2 along the path that SGD takes."""
    rng = np.random.default_rng(seed)
    x, velocity, found = start.copy(), np.zeros_like(start), []
    centre = np.eye(len(start))[0]
    for _ in range(steps):
        found.append((x - centre) + rng.normal(size=len(start)))
        velocity = momentum * velocity + found[-1]
        x = x - rate * velocity
    return np.array(found)


@pytest.mark.parametrize(
    ("variance", "test", "rate", "momentum"),
    [
        pytest.param("overlapping", "interval", 0.01, 0.0, id="sgd"),
        pytest.param("overlapping", "interval", 0.001, 0.9, id="heavy-ball"),
        pytest.param("overlapping", "halves", 0.001, 0.9, id="halves"),
        pytest.param("batch", "halves", 0.01, 0.0, id="batches"),
    ],
)
def test_drops_where_the_reference_does(variance, test, rate, momentum):
    options = {
        "test_every": 50,
        "min_samples": 40,
        "kept_fraction": 0.5,
        "significance": 0.1,
        "drop_factor": 0.25,
        "variance": variance,
        "test": test,
    }
    start = np.full(SIZE, 20.0)
    gradients = gradients_around_a_minimum(
        start, 3000, rate=rate, momentum=momentum, seed=1
    )
    expected, tests = reference(start, gradients, options, rate=rate, momentum=momentum)
    link = sasa_plus(**options, capacity=2048)
    optimizer = optax.chain(optax.sgd(rate, momentum=momentum), link)
    _, scales, _ = run(optimizer, start, gradients, lambda s: s[1].scale)
    drops = np.flatnonzero(np.diff(expected)) + 1
    assert len(drops) >= 2  # the first after the way down, others after it
    assert tests[0] - 1 < drops[0]  # a test that found a trend
    np.testing.assert_allclose(scales, expected / rate, rtol=1e-5)


@pytest.mark.parametrize("variance", ["overlapping", "batch"])
@pytest.mark.parametrize("size", [5, 100, 777])
def test_p_value_meets_the_quantile(variance, size):
    # A chain with memory. The p-value is the significance at which the interval just
    # reaches zero.
    rng = np.random.default_rng(size)
    noise = rng.normal(size=size)
    chain = np.convolve(noise, [1, 0.7, 0.4])[:size] + 0.3
    window = np.append(chain, np.full(1000 - size, np.nan))
    p_value = float(p_value_of(window.astype(np.float32), size, variance))
    assert 1e-6 < p_value < 0.999
    width = half_width(chain, variance, p_value)
    np.testing.assert_allclose(width, abs(chain.mean()), rtol=1e-3)


def test_level_of_the_test():
    # Stationary samples with memory: the interval misses zero about as often as it
    # says. A variance as for independent samples would miss it in 3 of 10 cases.
    rng = np.random.default_rng(0)
    missed = 0
    for _ in range(300):
        chain = np.convolve(rng.normal(size=1002), np.ones(3) / 3, mode="valid")
        p_value = p_value_of(chain.astype(np.float32), 1000, "overlapping")
        missed += float(p_value) < 0.05
    assert 5 <= missed <= 30


def test_a_trend_is_no_stationarity():
    # The norm shrinks at every step by as much: the mean is far from zero.
    rng = np.random.default_rng(0)
    gradients = 0.1 + 0.05 * rng.normal(size=(400, SIZE))
    link = sasa_plus(test_every=10, min_samples=20, capacity=400)
    optimizer = optax.chain(optax.sgd(0.001), link)
    _, seen, _ = run(
        optimizer, np.full(SIZE, 50.0), gradients, lambda s: (s[1].scale, s[1].p_value)
    )
    scales, p_values = seen
    assert np.all(scales == 1)
    assert p_values[-1] < 1e-3  # and it has been looked at


def test_capacity_bounds_the_window():
    # 100 samples of a trend, then 100 without: with room for 50 the trend is forgotten.
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(200, SIZE))
    gradients[:100] += 20
    options = {"test_every": 200, "min_samples": 20, "kept_fraction": 1.0}
    dropped = {}
    for capacity in (50, 200):
        link = sasa_plus(**options, capacity=capacity)
        optimizer = optax.chain(optax.sgd(1e-5), link)
        _, scales, _ = run(
            optimizer, np.full(SIZE, 5.0), gradients, lambda s: s[1].scale
        )
        dropped[capacity] = scales[-1] < 1
    assert dropped == {50: True, 200: False}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test_every": 0}, "test_every must be an integer of at least 1, got 0"),
        ({"min_samples": 3}, "min_samples must be an integer of at least 4, got 3"),
        ({"kept_fraction": 1.5}, "kept_fraction must be a number between 0 and 1"),
        ({"significance": 0}, "significance must be a number between 0 and 1"),
        ({"drop_factor": 10}, "drop_factor must be a number between 0 and 1"),
        ({"variance": "iid"}, "'overlapping' or 'batch', got 'iid'"),
        ({"test": "both"}, "'interval' or 'halves', got 'both'"),
        ({"capacity": 1000}, "capacity must be an integer of at least 1001"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        sasa_plus(**options)


def p_values_of(gradients, **options):
    """The p-value after every step, of steps so small that the rate is of no matter."""
    optimizer = optax.chain(optax.sgd(1e-5), sasa_plus(**options))
    start = np.full(SIZE, 5.0)
    return run(optimizer, start, gradients, lambda s: s[1].p_value)[1]


def test_the_kept_samples():
    gradients = 20 + np.random.default_rng(0).normal(size=(200, SIZE))
    options = {"test_every": 1, "min_samples": 4}
    # Half of 9 samples, rounded up, are the first that are more than 4.
    p_values = p_values_of(gradients[:20], kept_fraction=0.5, capacity=20, **options)
    assert np.flatnonzero(np.isfinite(p_values))[0] == 9 - 1
    # Never more than 50: a ring of 60 has them all, however often it comes round.
    options = {"test_every": 10, "min_samples": 10, "kept_fraction": 0.25}
    rng = np.random.default_rng(1)
    gradients = 1 + rng.normal(size=(200, SIZE)) * 5
    options |= {"significance": 0.999}  # no drop
    small, large = (p_values_of(gradients, capacity=n, **options) for n in (60, 200))
    assert 1e-3 < small[-1] < 0.999
    np.testing.assert_allclose(small, large, rtol=1e-4)
