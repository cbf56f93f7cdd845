"""The rule of autodrop, against the reference and against exact values."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from autodrop_runs import SIZE, STEPS, motion, settings, watch, watch_reference
from reference_autodrop import random_walk_angle, white_noise_angle
from slow import slow_but

from autodrop_optax import _autodrop, autodrop, autodrop_metrics

# Degrees. Float32 knows the angle of a displacement that is small beside the average no
# better; no angle of these tests comes nearer to the mark.
UNCERTAINTY, MARGIN = 0.05, 0.1


# --- The reference -------------------------------------------------------------------


def compare(start, path, **options):
    """Holds every step of the library against the reference, which it returns."""
    reference, scale, average = watch_reference(start, path, **options)
    course = watch(start, path, **options)
    assert reference.margin > MARGIN
    np.testing.assert_array_equal(course.scale, scale.astype(np.float32))
    size = np.abs(path[np.isfinite(path)]).max()
    np.testing.assert_allclose(course.average, average, rtol=0, atol=2e-6 * size)
    angles = np.reshape(reference.angles, (-1, 2))
    np.testing.assert_array_equal(course.angles[:, 0], angles[:, 0])
    np.testing.assert_allclose(course.angles, angles, rtol=0, atol=UNCERTAINTY)
    state = course.state
    assert int(state.num_drops) == len(reference.drops)
    assert int(state.last_drop_step) == reference.last_drop
    assert int(state.num_checks) == reference.k
    np.testing.assert_allclose(state.age, reference.a, rtol=1e-5)
    return reference


def test_random_motions_with_random_settings():
    drops = 0
    for seed in range(60):
        drops += len(compare(*motion(seed), **settings(seed)).drops)
    assert drops > 150


LONG = 20_000  # steps: the stride of the samples goes up to 16


@pytest.mark.parametrize(
    "options",
    slow_but({"as-it-is": {}, "power": {"p": 3.0}, "ratio": {"q": 2.0}}, "as-it-is"),
)
def test_long_phases_are_sampled(options):
    # Headway, and noise about the point where it ends.
    rng = np.random.default_rng(0)
    drift = np.minimum(np.arange(LONG), 1500)[:, None] * np.linspace(0, 0.03, 8)
    path = (drift + rng.normal(size=(LONG, 8))).astype(np.float32)
    reference = compare(np.zeros(8, np.float32), path, **options)
    assert reference.drops[0] > 4 * 1024


def test_a_sample_changes_the_average_and_nothing_else_does():
    start, path = motion(0, LONG, 8)
    path += np.arange(LONG, dtype=np.float32)[:, None]  # headway all the way
    course = watch(start, path)
    assert not course.drops
    changed = np.any(np.diff(course.average, axis=0, prepend=start[None]) != 0, axis=1)
    n = np.arange(1, LONG + 1)
    stride = 2 ** np.floor(np.log2(np.maximum(n / 1024, 1))).astype(int)
    checks = np.ceil(64 * 1.25 ** np.arange(30))
    np.testing.assert_array_equal(changed, (n % stride == 0) | np.isin(n, checks))
    # From 1,024 steps on a phase always has as many samples, and at most twice as many.
    samples = np.cumsum(n % stride[-1] == 0)
    assert 1024 <= samples[-1] <= 2048


# --- Exact values --------------------------------------------------------------------


@pytest.mark.parametrize("power", [0.0, 3.0, 8.0, 16.0])
def test_a_straight_line(power):
    # x_n = n v: m_n = ((p + 1) n + 1) / (p + 2) v, so the angle is zero.
    n = np.arange(1, STEPS + 1, dtype=np.float32)[:, None]
    v = np.linspace(-1, 1, SIZE, dtype=np.float32)
    course = watch(np.zeros(SIZE, np.float32), n * v, p=power, w_max=30.0)
    expected = ((power + 1) * n + 1) / (power + 2) * v
    np.testing.assert_allclose(course.average, expected, rtol=3e-5)
    assert course.angles[:, 1].max() < UNCERTAINTY
    assert not course.drops


EXACT = 1700


def noise(i):
    """Of the same size in a direction of its own at every step."""
    return (jnp.arange(EXACT) == i).astype(jnp.float32)


def walk(i):
    """Steps at right angles to each other."""
    return (jnp.arange(EXACT) <= i).astype(jnp.float32)


# The angle between displacements of the average is an expectation over random motions,
# <m_S, m_T> being linear in the products of parameters. Steps at right angles have
# these products exactly: no sampling error, only that of steps instead of time, which
# shrinks as 1 / n.
@pytest.mark.parametrize("motion", [walk, noise])
@pytest.mark.parametrize(
    ("power", "ratio", "of_walk", "of_noise"),
    [
        (8, 1.25, 71.81, 114.88),
        (8, 1.5, 80.43, 118.25),
        (8, 2, 84.95, 118.03),
        (3, 1.25, 57.20, 105.23),
        (16, 1.25, 80.56, 118.96),
    ],
)
def test_walks_and_noise(motion, power, ratio, of_walk, of_noise):
    start, index = np.zeros(EXACT, np.float32), np.arange(EXACT)
    course = watch(start, index, of=motion, p=power, q=ratio, w_max=179.0)
    expected = of_walk if motion is walk else of_noise
    steps, angles = course.angles.T
    assert steps[-1] > 1000
    assert np.all(np.abs(angles - expected) < 150 / steps)
    # To the two digits given, from the closed forms; and the mark is the walk's.
    closed = random_walk_angle if motion is walk else white_noise_angle
    assert closed(power, ratio) == pytest.approx(expected, abs=0.005)
    state = autodrop(power=power, ratio=ratio).init(jnp.ones(2))
    mark = float(autodrop_metrics(state)["max_angle"])
    assert mark == pytest.approx(random_walk_angle(power, ratio), abs=1e-4)


@pytest.mark.parametrize("power", [0, 0.5, 8, 1000])
@pytest.mark.parametrize("ratio", [1.1, 1.25, 100])
def test_the_mark_wherever_it_is_allowed(power, ratio):
    mark = _autodrop.random_walk_angle(power, ratio)
    assert float(mark) == pytest.approx(random_walk_angle(power, ratio), abs=1e-3)


# --- What drops and what does not ----------------------------------------------------


@pytest.mark.parametrize("rate", [0.01, 0.3, 1.0, 1.9])
def test_gradient_descent_never_drops(rate):
    # On a quadratic, from 3 to 0: x_n = (1 - rate a)^n 3 in a direction of curvature a.
    curvature = np.logspace(-4, 0, SIZE)
    n = np.arange(STEPS)[:, None]
    path = (3 * (1 - rate * curvature) ** n).astype(np.float32)
    course = watch(path[0], path)
    assert not course.drops
    assert course.angles[-1, 1] < 40


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_momentum_swings_about_without_noise_and_drops(rate):
    # As docs/how-it-works.md says; the run must double for each drop.
    curvature = jnp.logspace(-1, 0, 50)
    optimizer = optax.chain(optax.sgd(rate, momentum=0.9), autodrop())

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(curvature * params, state, params)
        return (optax.apply_updates(params, updates), state), None

    params = jnp.full(50, 3.0)
    carry = params, optimizer.init(params)
    (_, state), _ = jax.lax.scan(step, carry, length=600)
    assert autodrop_metrics(state)["num_drops"] in (2, 3)


def test_a_walk_with_drift_drops_when_the_drift_ends():
    rng = np.random.default_rng(0)
    end = 200
    # Each step as long as the drift's.
    steps = rng.normal(size=(STEPS, SIZE)) / SIZE**0.5
    steps[:end, 0] += 1
    steps[end:] = 0
    path = np.cumsum(steps, axis=0) + rng.normal(size=(STEPS, SIZE))
    course = watch(np.zeros(SIZE, np.float32), path.astype(np.float32))
    assert course.angles[course.angles[:, 0] <= end, 1].max() < 60
    assert end < course.drops[0] < 6 * end


def back_and_forth():
    """A path whose average goes straight back from each check to the next."""
    n = np.arange(1, STEPS + 1)
    interval = np.searchsorted(np.ceil(64 * 1.25 ** np.arange(20)), n)
    direction = np.linspace(1, 2, SIZE)
    path = (-1.0) ** interval[:, None] * direction
    return np.zeros(SIZE, np.float32), path.astype(np.float32)


def test_a_mark_of_180_never_drops():
    course = watch(*back_and_forth(), w_max=180.0)
    assert np.all(course.angles[:, 1] == 180)
    assert not course.drops
    assert watch(*back_and_forth(), w_max=179.9).drops


def test_patience_counts_checks_in_a_row():
    for patience, first in (1, 100), (2, 125), (3, 157):
        course = watch(*back_and_forth(), w_max=90.0, patience=patience)
        assert course.drops[0] == first


def test_parameters_at_rest_have_no_angle():
    start, path = motion(0)
    path[100:] = path[100]  # the average follows, until nothing of it moves
    path[:100] = path[100]
    course = watch(start, path)
    assert len(course.angles) == 0
    assert not course.drops
    assert all(np.all(np.isfinite(x)) for x in (course.average, course.scale))
