"""Pflug's diagnostic on sequences worked out by hand, and against NumPy."""

import numpy as np
import optax
import pytest

from experiments.schedules.pflug import pflug
from tests.experiments.schedules.trajectories import gradients_of, run


def reference(gradients, *, burn_in, factor):
    """Algorithm 1 of Chee and Toulis, with its burn-in after every drop."""
    scale, steps, total, scales = 1.0, 0, 0.0, []
    previous = np.zeros_like(gradients[0])
    for gradient in gradients:
        steps += 1
        if steps > burn_in:
            total += gradient @ previous
        previous = gradient
        if total < 0:
            scale, steps, total = scale * factor, 0, 0.0
        scales.append(scale)
    return np.array(scales)


def test_by_hand():
    # Products with the one before: -, 1, 1, -1, -1, -1, 1, -1, -1.
    gradients = np.array([1, 1, 1, -1, 1, -1, -1, 1, -1.0])[:, None] * [1.0, 0.0]
    # Burn-in of 1: sums 0 1 2 1 0 -1, a drop; then skipped, -1, a drop; skipped.
    link = pflug(optax.sgd(0.1), burn_in=1)
    path, seen, _ = run(
        link, np.zeros(2), gradients, lambda s: (s.scale, s.num_drops, s.statistic)
    )
    scales, drops, sums = seen
    np.testing.assert_array_equal(drops, [0, 0, 0, 0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(scales, 0.5**drops)
    np.testing.assert_array_equal(sums, [0, 1, 2, 1, 0, 0, 0, 0, 0])
    # A drop acts from the next step on: the sixth step is whole, the seventh half.
    steps = np.diff(path[:, 0])
    expected = -0.1 * gradients[:, 0] * [1, 1, 1, 1, 1, 1, 0.5, 0.5, 0.25]
    np.testing.assert_allclose(steps, expected, rtol=1e-5)


@pytest.mark.parametrize("burn_in", [1, 7, 40])
@pytest.mark.parametrize("momentum", [0.0, 0.9], ids=["sgd", "heavy-ball"])
def test_follows_the_algorithm(burn_in, momentum):
    gradients = gradients_of(200, strength=0.1)
    expected = reference(gradients, burn_in=burn_in, factor=0.25)
    link = pflug(optax.sgd(0.1, momentum=momentum), burn_in=burn_in, drop_factor=0.25)
    _, scales, _ = run(link, np.zeros(5), gradients, lambda s: s.scale)
    assert expected[-1] < 0.25  # several drops
    np.testing.assert_allclose(scales, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"burn_in": 0}, "burn_in must be an integer of at least 1, got 0"),
        ({"burn_in": 10.0}, "burn_in must be an integer of at least 1, got 10.0"),
        ({"drop_factor": 1.0}, "drop_factor must be a number between 0 and 1"),
    ],
    ids=["none", "fraction", "factor"],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        pflug(optax.sgd(0.1), **({"burn_in": 10} | options))
