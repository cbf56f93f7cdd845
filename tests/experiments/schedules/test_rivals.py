"""The rivals as schedules: each trains, and its rate can be recorded."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from slow import slow_but

from experiments.run.gradient_norms import write_gradient_norms
from experiments.run.training import set_up
from experiments.schedules import SCHEDULES
from experiments.schedules.epoch_autodrop import EpochAutoDrop
from experiments.schedules.refined import Refined
from experiments.schedules.scaled_epoch_autodrop import ScaledEpochAutoDrop
from experiments.schedules.schedule import observer
from experiments.studies.comparison import RIVALS
from experiments.task.config import RunConfig

# They drop by the state that in others only watches.
AUTODROPS = (EpochAutoDrop, ScaledEpochAutoDrop)


def recipe_of(**options):
    return RunConfig("digits_mlp", epochs=10, **options).recipe(steps_per_epoch=42)


def built(name, recipe):
    """The optimizer and its rate, without the observer."""
    return SCHEDULES[name]().filled(recipe).build(recipe)


@pytest.mark.parametrize(
    "name",
    # One that asks for the loss, and one around the optimizer.
    slow_but(RIVALS, "momo", "mechanic"),
)
def test_trains_an_epoch_and_records_its_rate(digits, name):
    config = RunConfig("digits_mlp", SCHEDULES[name](), epochs=10)
    state, run_epoch = set_up(config, digits)
    before = jax.device_get(state.params)
    state, metrics = run_epoch(state)
    scheduled = run_epoch.training.scheduled
    rates = metrics["learning_rate"], scheduled.learning_rate(state.opt_state, 42)
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
        rival = built(name, recipe).optimizer
        _, state = rival.update(gradients, rival.init(params), params)
        return rival.update(gradients, state, params)

    updates, state = two_steps(0.1)
    plain_updates, plain_state = two_steps(0.0)
    assert np.all(updates != plain_updates)
    # An l2 penalty is part of the gradient, and of what is estimated from gradients.
    same = np.all(state[1].exp_avg_sq == plain_state[1].exp_avg_sq)
    assert same == (optimizer == "adamw")
    recipe = recipe_of(optimizer=optimizer, learning_rate=0.01, weight_decay=0.1)
    assert recipe.penalty == {"sgd": 0.1, "adamw": 0.0}[optimizer]


@pytest.mark.parametrize("name", ["dog", "dowg", "momo", "cocob"])
def test_decoupled_decay_is_no_penalty(name):
    params = jnp.array([1.0, -2.0])
    gradients = jnp.array([1e-3, 1e-3])

    def steps(optimizer, weight_decay):
        recipe = recipe_of(
            optimizer=optimizer, learning_rate=0.01, weight_decay=weight_decay
        )
        rival = optax.with_extra_args_support(built(name, recipe).optimizer)
        state = rival.init(params)
        for _ in range(2):
            updates, state = rival.update(gradients, state, params, value=1.0)
        return np.asarray(updates)

    assert np.any(steps("sgd", 0.1) != steps("sgd", 0.0))
    np.testing.assert_array_equal(steps("adamw", 0.1), steps("adamw", 0.0))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_multiplicative_hypergradients_move_every_optimizers_rate_alike(optimizer):
    recipe = recipe_of(optimizer=optimizer, learning_rate=0.01)
    rival = built("hypergradient_times", recipe)
    params = jnp.ones(2)
    state = rival.optimizer.init(params)
    before = rival.learning_rate(state, 0)
    for _ in range(2):  # the first has no direction before it
        _, state = rival.optimizer.update(jnp.ones(2), state, jnp.zeros(2))
    np.testing.assert_allclose(rival.learning_rate(state, 0), before * 1.001, rtol=1e-6)


def test_settings_that_follow_the_recipe():
    recipe = recipe_of()
    rival = built("abel", recipe)
    params = jnp.ones(2)

    def step(state, _):
        _, state = rival.optimizer.update(jnp.zeros(2), state, params)
        return state, rival.learning_rate(state, 0)

    _, rates = jax.lax.scan(step, rival.optimizer.init(params), length=420)
    # 85 % of ten epochs is 8.5, which rounds to the even 8; seen one step later.
    np.testing.assert_allclose(rates[: 8 * 42], 0.1, rtol=1e-6)
    np.testing.assert_allclose(rates[8 * 42 :], 0.02, rtol=1e-6)


@pytest.mark.parametrize("name", SCHEDULES)
def test_memory_of_the_state(name, tmp_path):
    # So large that scalars and buffers of samples are nothing beside it.
    size = 10**9
    params = {"w": jax.ShapeDtypeStruct((size,), jnp.float32)}
    kind = SCHEDULES[name]
    write_gradient_norms(tmp_path, np.ones(10))
    schedule = Refined(first_run=str(tmp_path)) if kind is Refined else kind()
    optimizer = "adamw" if kind.base_copies == 2 else "sgd"
    recipe = recipe_of(optimizer=optimizer, learning_rate=1e-3)

    def copies(optimizer):
        state = jax.eval_shape(optimizer.init, params)
        return round(sum(leaf.size for leaf in jax.tree.leaves(state)) / size, 3)

    built = schedule.filled(recipe).build(recipe)
    # Where AutoDrop stands in the state and only watches, it is not counted.
    watches = built.end_epoch is not None and not isinstance(schedule, AUTODROPS)
    watching = copies(observer(recipe)) if watches else 0
    assert copies(built.optimizer) - watching == kind.copies
    assert copies(recipe.optimizer(0.1)) == kind.base_copies


@pytest.mark.parametrize(
    ("name", "required"),
    [
        ("abel", "a rate; total steps; the epoch length"),
        ("momo", "the loss and a lower bound of it"),
        ("dowg", "nothing"),
    ],
)
def test_what_is_required_in_words(name, required):
    assert str(SCHEDULES[name].requires) == required
