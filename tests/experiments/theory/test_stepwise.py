"""Step-wise rates, their sums, and the schedule."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.theory.stepwise import StepwiseRates

STEPS = StepwiseRates(np.array([0.5, 0.2, 0.2, 0.01]), np.array([3, 1, 2, 4]))


def test_the_schedule_gives_each_rate_its_steps():
    schedule = jax.jit(STEPS.schedule())
    rates = [float(schedule(jnp.int32(count))) for count in range(12)]
    expected = [0.5] * 3 + [0.2] * 3 + [0.01] * 6  # after the last step, the last
    np.testing.assert_allclose(rates, expected, rtol=1e-6)
    np.testing.assert_array_equal(STEPS.per_step(), expected[:10])


@pytest.mark.parametrize("num_steps", range(1, 11))
def test_sums_are_those_over_the_steps(num_steps):
    steps = STEPS.until(num_steps)
    assert steps.num_steps == num_steps
    alpha = STEPS.per_step()[:num_steps]
    expected = (
        alpha.sum(),
        (alpha**2).sum(),
        (alpha[1:] * alpha[:-1]).sum(),
        alpha[1] if num_steps > 1 else 0.0,
    )
    np.testing.assert_allclose(steps.sums, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("rates", "gaps", "message"),
    [
        pytest.param([0.1, 0.2], [1, 1], "0.1 is followed by 0.2", id="rising"),
        pytest.param([0.1, 0.0], [1, 1], "must be positive", id="zero-rate"),
        pytest.param([0.1, np.nan], [1, 1], "must be positive", id="nan"),
        pytest.param([0.1, 0.05], [1, 0], "from 1 on", id="empty-gap"),
        pytest.param([0.1, 0.05], [1.0, 1.5], "whole numbers", id="fraction"),
        pytest.param([0.1, 0.05], [1], "one length", id="lengths"),
        pytest.param([], [], "one length", id="empty"),
    ],
)
def test_bad_sequences_are_refused(rates, gaps, message):
    with pytest.raises(ValueError, match=message):
        StepwiseRates(np.array(rates), np.array(gaps))


@pytest.mark.parametrize("num_steps", [0, 11])
def test_it_cannot_be_cut_outside(num_steps):
    with pytest.raises(ValueError, match="from 1 to 10"):
        STEPS.until(num_steps)
