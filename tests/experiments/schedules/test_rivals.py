"""The rivals as schedules: each trains, and its rate can be recorded."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from slow import slow_but

from autodrop_optax import epoch_autodrop
from experiments.run.record import write_gradient_norms
from experiments.run.training import set_up
from experiments.schedules import SCHEDULES
from experiments.schedules.requirements import RULES
from experiments.schedules.rivals import RIVALS, penalty
from experiments.task.config import RunConfig
from experiments.task.options import RefinedOptions
from experiments.task.recipe import Recipe
from experiments.task.workloads import WORKLOADS

WORKLOAD = WORKLOADS["digits_mlp"]
# They drop by the state that in all others only watches.
AUTODROPS = ("epoch_autodrop", "scaled_epoch_autodrop", "epoch_autodrop_linear_decay")


def recipe_of(**options) -> Recipe:
    config = RunConfig(workload="digits_mlp", epochs=10, **options)
    return Recipe.of(config, WORKLOAD, steps_per_epoch=42)


@pytest.mark.parametrize(
    "name",
    # One of a rule for drops, of one that asks for the loss, of each way to set a rate.
    slow_but(RIVALS.keys(), "pflug", "momo", "prodigy", "mechanic"),
)
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


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("name", ["prodigy", "dadapt_adamw"])
def test_weight_decay_is_of_the_recipes_kind(optimizer, name):
    params = jnp.array([1.0, -2.0])
    gradients = jnp.array([1e-3, 1e-3])  # the penalty's are 0.1 and -0.2

    def two_steps(weight_decay):
        recipe = recipe_of(
            optimizer=optimizer, learning_rate=0.01, weight_decay=weight_decay
        )
        rival = RIVALS[name](recipe).optimizer
        _, state = rival.update(gradients, rival.init(params), params)
        return rival.update(gradients, state, params)

    updates, state = two_steps(0.1)
    plain_updates, plain_state = two_steps(0.0)
    assert np.all(updates != plain_updates)
    # An l2 penalty is part of the gradient, and of what is estimated from gradients.
    same = np.all(state[1].exp_avg_sq == plain_state[1].exp_avg_sq)
    assert same == (optimizer == "adamw")
    recipe = recipe_of(optimizer=optimizer, learning_rate=0.01, weight_decay=0.1)
    assert penalty(recipe) == {"sgd": 0.1, "adamw": 0.0}[optimizer]


@pytest.mark.parametrize("name", ["dog", "dowg", "momo", "cocob"])
def test_decoupled_decay_is_no_penalty(name):
    params = jnp.array([1.0, -2.0])
    gradients = jnp.array([1e-3, 1e-3])

    def steps(optimizer, weight_decay):
        recipe = recipe_of(
            optimizer=optimizer, learning_rate=0.01, weight_decay=weight_decay
        )
        rival = optax.with_extra_args_support(RIVALS[name](recipe).optimizer)
        state = rival.init(params)
        for _ in range(2):
            updates, state = rival.update(gradients, state, params, value=1.0)
        return np.asarray(updates)

    assert np.any(steps("sgd", 0.1) != steps("sgd", 0.0))
    np.testing.assert_array_equal(steps("adamw", 0.1), steps("adamw", 0.0))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_multiplicative_hypergradients_move_every_optimizers_rate_alike(optimizer):
    rival = RIVALS["hypergradient_times"](
        recipe_of(optimizer=optimizer, learning_rate=0.01)
    )
    params = jnp.ones(2)
    state = rival.optimizer.init(params)
    before = rival.learning_rate(state)
    for _ in range(2):  # the first has no direction before it
        _, state = rival.optimizer.update(jnp.ones(2), state, jnp.zeros(2))
    np.testing.assert_allclose(rival.learning_rate(state), before * 1.001, rtol=1e-6)


def test_settings_that_follow_the_recipe():
    recipe = recipe_of()
    rival = RIVALS["abel"](recipe)
    params = jnp.ones(2)

    def step(state, _):
        _, state = rival.optimizer.update(jnp.zeros(2), state, params)
        return state, rival.learning_rate(state)

    _, rates = jax.lax.scan(step, rival.optimizer.init(params), length=420)
    # 85 % of ten epochs is 8.5, which rounds to the even 8; seen one step later.
    np.testing.assert_allclose(rates[: 8 * 42], 0.1, rtol=1e-6)
    np.testing.assert_allclose(rates[8 * 42 :], 0.02, rtol=1e-6)


@pytest.mark.parametrize("name", RULES)
def test_memory_of_the_state(name, tmp_path):
    # So large that scalars and buffers of samples are nothing beside it.
    size = 10**9
    params = {"w": jax.ShapeDtypeStruct((size,), jnp.float32)}
    config = RunConfig(
        workload="digits_mlp",
        epochs=10,
        schedule=name,
        optimizer="adamw" if RULES[name].base_copies == 2 else "sgd",
        learning_rate=1e-3,
        validation_fraction=0.1,
        refined=RefinedOptions(first_run=str(tmp_path)),
    )
    write_gradient_norms(tmp_path, np.ones(10))
    recipe = Recipe.of(config, WORKLOAD, steps_per_epoch=42)
    schedule = SCHEDULES[name](config, recipe)
    state = jax.eval_shape(schedule.optimizer.init, params)
    sizes = [leaf.size for leaf in jax.tree.leaves(state)]
    if name not in AUTODROPS:
        # Beside it stands AutoDrop's, which watches.
        observer = epoch_autodrop(0.1, threshold=0.0, averaging=False)
        watching = jax.eval_shape(observer.init, params)
        sizes += [-leaf.size for leaf in jax.tree.leaves(watching)]
    base = jax.eval_shape(recipe.optimizer(0.1).init, params)
    base_sizes = [leaf.size for leaf in jax.tree.leaves(base)]
    assert round(sum(sizes) / size, 3) == RULES[name].copies
    assert round(sum(base_sizes) / size, 3) == RULES[name].base_copies


def test_every_rival_says_what_it_needs():
    assert set(RULES) == set(SCHEDULES)
    assert RULES["abel"].needs == ["a rate", "total steps", "the epoch length"]
    assert RULES["momo"].needs == ["the loss and a lower bound of it"]
    assert RULES["dowg"].needs == []
    assert RULES["prodigy"].extra_copies == 2
