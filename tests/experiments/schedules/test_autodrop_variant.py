"""What the variants of AutoDrop do at a drop, and that they do nothing else."""

import jax
import numpy as np
import pytest

from experiments.schedules.autodrop_variant import AutoDropVariant

# Checks after 2 and 4 steps of a phase, then 8: the first angle, and a drop.
QUICK = {"first_check": 2, "ratio": 2.0, "patience": 1, "max_angle": 1.0}
POINTS = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)


def states(**options):
    """The link's states after each of the points."""
    link = AutoDropVariant(**QUICK, **options).link()
    state = link.init(POINTS[0])

    def step(state, x):
        _, state = link.update(x, state, x)
        return state, state

    return jax.lax.scan(step, state, POINTS)[1]


@pytest.mark.parametrize(
    ("average_at_drop", "age"), [("aged", 1.0), ("restarted", 0.0), ("kept", 8.0)]
)
def test_the_age_of_the_average_after_a_drop(average_at_drop, age):
    found = states(average_at_drop=average_at_drop)
    assert np.flatnonzero(np.diff(found.num_drops, prepend=0))[0] == 7
    np.testing.assert_array_equal(found.age[:8], [1, 2, 3, 4, 5, 6, 7, age])
    if average_at_drop == "restarted":
        # m + 1 (x - m): x but for the rounding of one difference and one sum.
        np.testing.assert_allclose(found.average[8], POINTS[8], atol=1e-6)


def test_without_the_guard_drops_come_as_soon_as_the_angle_says():
    drops = [
        np.flatnonzero(np.diff(states(guard=g).num_drops, prepend=0)) + 1
        for g in (True, False)
    ]
    # A phase's first angle is there after 8 steps. With the guard the third drop must
    # wait for step 32, twice that of the second.
    np.testing.assert_array_equal(drops[1], [8, 16, 24, 32, 40])
    np.testing.assert_array_equal(drops[0], [8, 16, 32])
