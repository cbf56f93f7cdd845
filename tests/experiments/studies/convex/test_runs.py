"""Many runs at once are the same as one after the other, written out."""

import numpy as np
import pytest
from scipy import special

from experiments.studies.convex import runs
from experiments.studies.convex.problems import Problem
from experiments.studies.convex.runs import train, train_and_record
from experiments.studies.convex.schedules import (
    AUTODROPS,
    COMPARED,
    FACTORS,
    MIN_FACTOR,
)
from experiments.task.presets import PRESETS

EPOCHS = 3
STEPS = 3 * EPOCHS


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    inputs = np.append(rng.normal(size=(50, 3)), np.ones((50, 1)), axis=1)
    return Problem(inputs, rng.integers(3, size=50).astype(np.int32), 3)


def reference(problem, optimizer, rate, seed, factors):
    """The weights of the last iterate in float64, and the norms of the gradients."""
    setting = runs._Setting(problem.classes, optimizer, None, len(factors) // 3)
    weights, norms = np.zeros((4, 3)), []
    mean, square = np.zeros((4, 3)), np.zeros((4, 3))
    order = np.asarray(runs._order(setting, np.int32(seed), 50)).reshape(-1, 16)
    for t, (batch, factor) in enumerate(zip(order, factors, strict=True), 1):
        shares = special.softmax(problem.inputs[batch] @ weights, axis=1)
        residuals = shares - np.eye(3)[problem.labels[batch]]
        gradient = problem.inputs[batch].T @ residuals / 16
        step = gradient
        if optimizer == "adam":
            mean = 0.9 * mean + 0.1 * gradient
            square = 0.95 * square + 0.05 * gradient**2
            root = np.sqrt(square / (1 - 0.95**t)) + 1e-8
            step = mean / (1 - 0.9**t) / root
        weights = weights - rate * factor * step
        norms.append(np.linalg.norm(gradient.ravel(), 1 if optimizer == "adam" else 2))
    return weights, norms


FACTORS_OF_SEEDS = np.stack([FACTORS[s](STEPS) for s in ("linear decay", "1/sqrt(t)")])


def test_runs_over_seeds_and_rates_are_those_of_the_reference(problem):
    rates, seeds = (0.1, 0.5), (3, 8)
    outcomes = train(
        problem, "adam", rates, seeds, factors=FACTORS_OF_SEEDS, epochs=EPOCHS
    )
    assert outcomes.losses.shape == (2, 2)
    for i, j in np.ndindex(2, 2):
        weights, _ = reference(problem, "adam", rates[j], seeds[i], FACTORS_OF_SEEDS[i])
        loss = problem.losses(weights)
        assert outcomes.losses[i, j] == pytest.approx(loss, rel=1e-4)
        assert outcomes.errors[i, j] == pytest.approx(problem.errors(weights))
    assert not outcomes.drops.any()


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_recorded_runs_are_those_of_the_reference(problem, optimizer):
    outcomes, recorded = train_and_record(
        problem, optimizer, 0.5, (3, 8), factors=FACTORS_OF_SEEDS, epochs=EPOCHS
    )
    assert outcomes.losses.shape == (2, 1)
    for i, seed in enumerate((3, 8)):
        weights, norms = reference(problem, optimizer, 0.5, seed, FACTORS_OF_SEEDS[i])
        assert outcomes.losses[i, 0] == pytest.approx(problem.losses(weights), rel=1e-4)
        np.testing.assert_allclose(recorded[i], norms, rtol=1e-3)


def test_an_epoch_is_a_new_order_without_repetitions():
    order = runs._order(runs._Setting(2, "sgd", None, 2), np.int32(0), 50)
    first, second = np.asarray(order).reshape(2, -1)
    assert len(set(first)) == len(set(second)) == 48
    assert list(first) != list(second)


def test_autodrop_drops_at_the_ends_of_epochs_down_to_its_floor(problem, monkeypatch):
    eager = {
        "threshold": 180.0, "max_threshold": 180.0, "drop_delay": 1, "averaging": False,
        "drop_factor": 1e-9,
    }  # fmt: skip
    monkeypatch.setitem(AUTODROPS, "eager", eager)
    outcomes = train(problem, "sgd", (0.5,), (3,), autodrop_name="eager", epochs=6)
    # In every epoch from the third on; the first drop is down to the floor.
    assert outcomes.drops.tolist() == [[4]]
    factors = np.repeat([1, 1, 1, MIN_FACTOR, MIN_FACTOR, MIN_FACTOR], 3)
    weights, _ = reference(problem, "sgd", 0.5, 3, factors)
    assert outcomes.losses[0, 0] == pytest.approx(problem.losses(weights), rel=1e-5)


def test_schedules():
    steps = 200
    for name, values in FACTORS.items():
        factors = values(steps)
        assert factors.shape == (steps,)
        assert factors[0] == factors.max() == 1, name
        assert factors.min() >= 0
    assert FACTORS["1/t"](steps)[9] == 0.1
    assert FACTORS["1/sqrt(t)"](steps)[99] == 0.1
    steps_taken = FACTORS["step-wise"](steps)
    levels, starts = np.unique(steps_taken, return_index=True)
    np.testing.assert_allclose(levels, [1e-3, 1e-2, 0.1, 1])
    assert list(starts) == [190, 160, 120, 0]
    assert FACTORS["cosine"](steps)[100] == pytest.approx(0.5)
    assert FACTORS["linear decay"](steps)[-1] == 0
    assert len(COMPARED) == 9


def test_autodrop_has_the_settings_that_the_readme_says():
    assert AUTODROPS["AutoDrop, paper"] == {}
    demo = PRESETS["demo_autodrop"].config.schedule
    usual = type(demo)()
    for name, value in AUTODROPS["AutoDrop, scaled"].items():
        assert getattr(demo, name) == value
        assert getattr(usual, name) != value
    same = set(vars(demo)) - set(AUTODROPS["AutoDrop, scaled"])
    assert all(getattr(demo, name) == getattr(usual, name) for name in same)
    assert pytest.approx(1e-4 / 0.1) == MIN_FACTOR
