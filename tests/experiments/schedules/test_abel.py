"""ABEL on courses of the weight norm made by hand, and against NumPy."""

import numpy as np
import optax
import pytest

from experiments.schedules.abel import abel
from tests.experiments.schedules.trajectories import run


def steps_through(norms, steps_per_epoch):
    """Gradients for SGD at rate 1 whose |w|^2 is the next of norms at each epoch's end.

    Within an epoch the norm goes elsewhere, so that only its end can have been read.
    """
    roots = np.sqrt(norms)
    path = [roots[0]]
    for root in roots[1:]:
        path += [root + 5.0 * (i + 1) for i in range(steps_per_epoch - 1)] + [root]
    return -np.diff(path)[:, None] * [0.6, 0.8], np.array([0.6, 0.8]) * roots[0]


def reference(norms, *, factor, last):
    """Scales in force after the decision at the end of each epoch; norms[0] is w_0."""
    scale, reached, scales = 1.0, False, []
    for t in range(1, len(norms)):
        if t >= 3 and (norms[t] - norms[t - 1]) * (norms[t - 1] - norms[t - 2]) < 0:
            if reached:
                scale, reached = scale * factor, False
            else:
                reached = True
        if t == last:
            scale *= factor
        scales.append(scale)
    return np.array(scales)


def scales_by_epoch(norms, steps_per_epoch, **options):
    gradients, start = steps_through(norms, steps_per_epoch)
    optimizer = optax.chain(optax.sgd(1.0), abel(steps_per_epoch, **options))
    _, scales, _ = run(optimizer, start, gradients, lambda s: s[1].scale)
    return scales


@pytest.mark.parametrize("steps_per_epoch", [1, 3])
def test_bounce_by_hand(steps_per_epoch):
    # The initial 50 is not looked at. Down to 16, up to 25, down again: the norm turns
    # at the end of epoch 4 (minimum) and of epoch 6 (the decay).
    norms = [50, 36, 25, 16, 20, 25, 22, 22]
    scales = scales_by_epoch(norms, steps_per_epoch, last_decay_epoch=None)
    # The end of epoch 6 is seen by the first update of epoch 7.
    at = 6 * steps_per_epoch
    np.testing.assert_array_equal(scales[:at], 1.0)
    np.testing.assert_allclose(scales[at], 0.1, rtol=1e-6)


@pytest.mark.parametrize("last", [None, 4, 9])
def test_follows_the_algorithm(last):
    rng = np.random.default_rng(3)
    norms = rng.uniform(10, 20, size=16)
    expected = reference(norms, factor=1 - 1e-6, last=last)
    # A factor next to 1 leaves the path as it is made.
    scales = scales_by_epoch(norms, 2, last_decay_epoch=last, decay_factor=1 - 1e-6)
    counted = np.round(np.log(expected) / np.log(1 - 1e-6)).astype(int)
    found = np.round((1 - scales[2::2].astype(np.float64)) / 1e-6).astype(int)
    assert counted[-1] >= 3
    np.testing.assert_array_equal(found, counted[:-1])


def test_last_decay_comes_in_any_case():
    norms = [50, 36, 25, 16, 9, 4]
    scales = scales_by_epoch(norms, 2, last_decay_epoch=4, decay_factor=0.2)
    np.testing.assert_allclose(scales, [1] * 8 + [0.2] * 2, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps_per_epoch": 0}, "steps_per_epoch must be an integer of at least 1"),
        ({"last_decay_epoch": 0}, "last_decay_epoch must be an integer of at least 1"),
        ({"decay_factor": 0}, "decay_factor must be a number between 0 and 1"),
    ],
    ids=["epoch", "last", "factor"],
)
def test_bad_arguments(options, message):
    options = {"steps_per_epoch": 10, "last_decay_epoch": 85} | options
    with pytest.raises(ValueError, match=message):
        abel(**options)
