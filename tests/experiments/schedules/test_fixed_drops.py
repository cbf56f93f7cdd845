"""Drops by the clock come when they are due, and begin a phase as AutoDrop's do."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.schedules.fixed_drops import FixedDrops
from experiments.task.config import RunConfig


def test_drops_come_after_the_given_parts_of_the_run():
    recipe = RunConfig("digits_mlp", epochs=4).recipe(10)
    schedule = FixedDrops(milestones=(0.25, 0.5)).filled(recipe)
    optimizer = schedule.build(recipe).optimizer
    params = jnp.ones(3)

    def step(state, _):
        _, state = optimizer.update(params, state, params)
        link = state[-1]
        return state, (link.rate_scale, link.age, link.steps_since_drop)

    _, found = jax.lax.scan(step, optimizer.init(params), None, 40)
    scale, age, since = map(np.asarray, found)
    np.testing.assert_array_equal(scale, np.repeat([1, 0.5, 0.25], [9, 10, 21]))
    np.testing.assert_array_equal(age[[8, 9, 19]], [9, 10 / 8, (10 / 8 + 10) / 8])
    np.testing.assert_array_equal(since[[8, 9, 10, 19]], [9, 0, 1, 0])
