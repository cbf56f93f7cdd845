"""The rivals as schedules: each trains, and its rate can be recorded."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.config import RunConfig
from experiments.recipe import Recipe
from experiments.rivals.rules import RULES
from experiments.schedules import SCHEDULES
from experiments.schedules.rivals import RIVALS
from experiments.training import set_up
from experiments.workloads import WORKLOADS

WORKLOAD = WORKLOADS["digits_mlp"]


def recipe_of(**options) -> Recipe:
    config = RunConfig(workload="digits_mlp", epochs=10, **options)
    return Recipe.of(config, WORKLOAD, steps_per_epoch=42)


@pytest.mark.parametrize("name", RIVALS)
def test_trains_an_epoch_and_records_its_rate(digits, name):
    config = RunConfig(workload="digits_mlp", schedule=name, epochs=10)
    state, run_epoch = set_up(config, digits)
    before = jax.device_get(state.params)
    state, metrics = run_epoch(state, digits)
    schedule = SCHEDULES[name](config, Recipe.of(config, WORKLOAD, 42))
    rates = metrics["learning_rate"], schedule.learning_rate(state.opt_state, 42)
    for rate in rates:
        assert np.isfinite(rate)
        assert rate > 0
    assert np.isfinite(metrics["train_loss"])
    assert metrics["epoch"] == 1  # AutoDrop has watched
    assert metrics["num_drops"] == 0
    moved = jax.tree.map(lambda x, y: float(np.abs(x - y).max()), before, state.params)
    assert all(distance > 0 for distance in jax.tree.leaves(moved))


@pytest.mark.parametrize("name", RULES)
def test_memory_of_the_state(name):
    # So large that scalars and buffers of samples are nothing beside it.
    size = 10**9
    params = {"w": jax.ShapeDtypeStruct((size,), jnp.float32)}
    config = RunConfig(
        workload="digits_mlp",
        epochs=10,
        schedule=name,
        optimizer="adamw" if RULES[name].base_copies == 2 else "sgd",
        learning_rate=1e-3,
    )
    recipe = Recipe.of(config, WORKLOAD, steps_per_epoch=42)
    schedule = SCHEDULES[name](config, recipe)
    state = jax.eval_shape(schedule.optimizer.init, params)
    sizes = [leaf.size for leaf in jax.tree.leaves(state.optimizer)]
    base = jax.eval_shape(recipe.optimizer(0.1).init, params)
    base_sizes = [leaf.size for leaf in jax.tree.leaves(base)]
    assert round(sum(sizes) / size, 3) == RULES[name].copies
    assert round(sum(base_sizes) / size, 3) == RULES[name].base_copies


def test_every_rival_says_what_it_needs():
    assert set(RIVALS) <= set(RULES) <= set(SCHEDULES)
    assert RULES["abel"].needs == ["a rate", "total steps", "the epoch length"]
    assert RULES["momo"].needs == ["the loss and a lower bound of it"]
    assert RULES["dowg"].needs == []
    assert RULES["prodigy"].extra_copies == 2
