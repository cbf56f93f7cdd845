"""The bound on the last iterate: its formula, its truth, and its minimum."""

import sys

import numpy as np
import pytest

from autodrop_optax.refinement import (
    best_learning_rate,
    convergence_bound,
    minimise_bound,
    refinement_arrays,
    resample,
)

NORMS = {
    "constant": np.ones(60),
    "falling": np.exp(-3 * np.linspace(0, 1, 60)),
    "rising": np.exp(2 * np.linspace(0, 1, 60)),
    "random": np.exp(np.random.default_rng(0).normal(size=60)),
    "small": 1e-6 * np.linspace(3, 1, 60),
    "two": np.array([2.0, 1.0]),
}
norms_of_all_kinds = pytest.mark.parametrize("norms", NORMS.values(), ids=NORMS)


@pytest.fixture(scope="module")
def minima():
    return {kind: minimise_bound(norms) for kind, norms in NORMS.items()}


def reference(steps, norms, distance):
    """The formula in loops."""
    squares = [(g * eta) ** 2 for g, eta in zip(norms, steps, strict=True)]
    bound = (distance**2 + sum(squares)) / (2 * sum(steps))
    for k in range(len(steps) - 1):
        noise, later = sum(squares[k:]), sum(steps[k + 1 :])
        bound += steps[k] * noise / (later * sum(steps[k:])) / 2
    return bound


@norms_of_all_kinds
def test_it_is_the_formula(norms):
    steps = np.random.default_rng(1).uniform(0.1, 1, size=len(norms))
    for distance in (1.0, 0.03):
        expected = reference(steps, norms, distance)
        bound = convergence_bound(steps, norms, distance=distance)
        assert bound == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_subgradient_descent_keeps_to_it(seed):
    # f(x) = max_i |<a_i, x>|, least at 0: convex, not smooth.
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(8, 5)) * np.exp(rng.normal(size=(8, 1)))
    x = start = rng.normal(size=5)
    steps = rng.uniform(0, 0.3, size=40) * np.linspace(1, rng.uniform(0, 1), 40)
    norms = []
    for eta in steps:
        last = x
        products = rows @ x
        worst = np.argmax(np.abs(products))
        gradient = rows[worst] * np.sign(products[worst])
        norms.append(np.linalg.norm(gradient))
        x = x - eta * gradient
    distance = float(np.linalg.norm(start))
    gap = np.abs(rows @ last).max()
    assert gap <= convergence_bound(steps, norms, distance=distance)
    # The last step does not lead to x_T: with any other size it is bound as well.
    assert gap <= convergence_bound([*steps[:-1], 0.0], norms, distance=distance)


@norms_of_all_kinds
def test_a_last_step_of_zero_is_the_best_last_step(norms):
    steps = refinement_arrays(norms).values
    bound = convergence_bound(steps, norms)
    last = np.exp(np.linspace(-20, 20, 100))
    grid = [reference([*steps[:-1], e], norms, 1.0) for e in last]
    assert bound <= min(grid)
    assert bound == pytest.approx(min(grid), rel=0.02)


@norms_of_all_kinds
def test_the_best_rate_is_the_best_multiple(norms):
    values = refinement_arrays(norms).values
    rate = best_learning_rate(values, norms, distance=3.0)
    best = convergence_bound(rate * values, norms, distance=3.0)
    for factor in (0.5, 0.99, 1.01, 2.0):
        assert convergence_bound(factor * rate * values, norms, distance=3.0) > best


@pytest.mark.parametrize("kind", NORMS)
def test_the_minimum_is_at_most_that_of_the_closed_form(minima, kind):
    norms, found = NORMS[kind], minima[kind]
    values = refinement_arrays(norms, smoothing=0).values
    closed = convergence_bound(best_learning_rate(values, norms) * values, norms)
    # Of two norms they are one schedule.
    assert found.bound <= closed * (1 + 1e-12)
    assert found.bound == pytest.approx(
        convergence_bound(found.step_sizes, norms), rel=1e-9
    )
    assert np.all(found.step_sizes > 0)
    assert found.values.max() == 1
    assert found.values[-1] == 0


@pytest.mark.parametrize("kind", ["constant", "falling", "random"])
def test_nothing_near_the_minimum_is_lower(minima, kind):
    norms, found = NORMS[kind], minima[kind]
    rng = np.random.default_rng(0)
    for size in (1e-3, 0.1, 1.0):
        for _ in range(50):
            near = found.step_sizes * np.exp(size * rng.normal(size=len(norms)))
            assert convergence_bound(near, norms) > found.bound


def test_units(minima):
    norms, found = NORMS["falling"], minima["falling"]
    scaled = minimise_bound(50 * norms, distance=0.2)
    assert scaled.bound == pytest.approx(10 * found.bound, rel=1e-9)
    np.testing.assert_allclose(scaled.values, found.values, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(
        scaled.step_sizes, found.step_sizes * 0.2 / 50, rtol=1e-2
    )


@pytest.mark.parametrize("scale", [1e-200, 1e-25, 1e25, 1e200])
def test_step_sizes_of_any_unit(scale):
    steps = np.array([1.0, 0.7, 0.4, 0.2])
    best = best_learning_rate(steps, np.ones(4))
    found = best_learning_rate(scale * steps, np.ones(4))
    assert found == pytest.approx(best / scale, rel=1e-12)
    # a / c + b c, of which one is left where c is far from its best.
    bound = convergence_bound(scale * steps, np.ones(4))
    assert type(bound) is type(found) is float
    assert convergence_bound(steps, np.ones(4), distance=np.float32(1)) == (
        convergence_bound(steps, np.ones(4))
    )
    half = convergence_bound(best * steps, np.ones(4)) / 2
    assert bound == pytest.approx(half * max(scale / best, best / scale), rel=1e-12)


@pytest.mark.parametrize("scale", [1e-25, 1e-15, 1e-8])
def test_a_last_step_makes_up_for_steps_far_too_small(scale):
    steps = scale * np.array([1.0, 0.5, 0.0])
    ends = np.geomspace(1e-3, 1e3, 2001)
    scanned = [convergence_bound([*steps[:2], end], np.ones(3)) for end in ends]
    found = convergence_bound(steps, np.ones(3))
    assert min(scanned) * (1 - 1e-4) < found < min(scanned) * (1 + 1e-9)


@pytest.mark.parametrize(
    ("steps", "norms", "distance", "message"),
    [
        (np.ones(3), np.ones(4), 1.0, "as many step sizes as gradient norms, got 3"),
        (-np.ones(3), np.ones(3), 1.0, "none negative"),
        (np.zeros(3), np.ones(3), 1.0, "some positive"),
        (np.ones(3), np.zeros(3), 1.0, "of 3 there are 3 zero"),
        (np.ones(3), np.ones(3), 0.0, "distance must be positive and finite, got 0"),
        (np.ones(3), np.ones(3), np.nan, "distance must be positive"),
        (np.ones(3), np.ones(3), "far", "distance must be positive .* got 'far'"),
        (np.ones(3), np.ones(3), [1.0], "distance must be positive"),
    ],
)
@pytest.mark.parametrize("function", [convergence_bound, best_learning_rate])
def test_faulty_arguments(function, steps, norms, distance, message):
    with pytest.raises(ValueError, match=message):
        function(steps, norms, distance=distance)


def test_two_last_steps_of_zero_are_bound_by_nothing_else():
    # x_T is x_{T-1}, whose bound it keeps to.
    steps = np.array([1.0, 0.5, 0.0, 0.0])
    assert np.isfinite(convergence_bound(steps, np.ones(4)))


def test_without_scipy(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    assert convergence_bound(np.ones(3), np.ones(3)) > 0
    for call in (
        lambda: minimise_bound(np.ones(3)),
        lambda: convergence_bound([1.0, 0.0], np.ones(2)),
    ):
        with pytest.raises(ImportError, match=r"autodrop-optax\[refinement\]"):
            call()


def test_a_schedule_for_a_longer_run(minima):
    values = minima["falling"].values
    longer = resample(values, 600)
    assert longer.max() == 1
    assert longer[-1] == 0
    assert longer.argmax() / 599 == pytest.approx(values.argmax() / 59, abs=0.01)
