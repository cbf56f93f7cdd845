"""Accumulated and rejected updates are no steps, whichever way round."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from chains import EAGER, STEPS, make_params, random_tree, run, sgd

from autodrop_optax import (
    autodrop_metrics,
    end_epoch,
    epoch_autodrop,
    with_epoch_autodrop,
)

pytestmark = pytest.mark.usefixtures("standard_promotion")


EVERY = 3  # micro-batches in a step


def test_multi_steps_both_ways_round():
    inside = optax.MultiSteps(with_epoch_autodrop(sgd(), 0.1, STEPS, **EAGER), EVERY)
    around = with_epoch_autodrop(optax.MultiSteps(sgd(), EVERY), 0.1, STEPS, **EAGER)
    (one, one_state), (two, two_state) = (
        run(optimizer, make_params(), 20 * EVERY) for optimizer in (inside, around)
    )
    chex.assert_trees_all_close(one, two, rtol=1e-6, atol=1e-6)
    for state in (one_state, two_state):
        metrics = autodrop_metrics(state)
        assert float(metrics["epoch"]) == 20 / STEPS  # in optimizer steps
        assert float(metrics["num_drops"]) == 4
    # Between steps nothing moves: the first micro-steps are exactly zero.
    chex.assert_trees_all_equal(one[0], make_params())
    chex.assert_trees_all_equal(two[0], make_params())
    chex.assert_trees_all_equal(two[EVERY], two[EVERY - 1])


@pytest.mark.slow
def test_the_transformation_that_multi_steps_makes_is_taken_as_well():
    multi = optax.MultiSteps(sgd(), EVERY)
    one, _ = run(with_epoch_autodrop(multi, 0.1, STEPS, **EAGER), make_params(), 18)
    other, _ = run(
        with_epoch_autodrop(multi.gradient_transformation(), 0.1, STEPS, **EAGER),
        make_params(),
        18,
    )
    chex.assert_trees_all_equal(one, other)


def test_end_epoch_in_mid_accumulation_keeps_the_partial_gradients():
    link = optax.chain(sgd(), epoch_autodrop(0.1, **EAGER))
    for optimizer in (
        optax.MultiSteps(link, EVERY).gradient_transformation(),
        optax.chain(
            optax.MultiSteps(sgd(), EVERY).gradient_transformation(),
            epoch_autodrop(0.1, **EAGER),
        ),
    ):
        params = make_params()
        state = optimizer.init(params)
        _, state = optimizer.update(random_tree(0, params), state, params)
        same, after = end_epoch(params, state)
        chex.assert_trees_all_equal(same, params)

        def accumulated(state):
            (found,) = [
                x
                for x in jax.tree.leaves(
                    state, is_leaf=lambda x: isinstance(x, optax.MultiStepsState)
                )
                if isinstance(x, optax.MultiStepsState)
            ]
            return found.acc_grads, found.mini_step

        chex.assert_trees_all_equal(accumulated(after), accumulated(state))
        assert int(accumulated(after)[1]) == 1
        assert int(autodrop_metrics(after)["epoch"]) == 1


def some_not_finite(seed, like):
    draw = random_tree(seed, like)
    return jax.tree.map(lambda x: x * jnp.nan, draw) if seed % 5 == 0 else draw


def test_apply_if_finite_both_ways_round():
    inside = optax.apply_if_finite(with_epoch_autodrop(sgd(), 0.1, STEPS, **EAGER), 3)
    around = with_epoch_autodrop(optax.apply_if_finite(sgd(), 3), 0.1, STEPS, **EAGER)
    (one, one_state), (two, two_state) = (
        run(optimizer, make_params(), 50, gradients=some_not_finite)
        for optimizer in (inside, around)
    )
    chex.assert_trees_all_close(one, two, rtol=1e-6, atol=1e-6)
    for state in (one_state, two_state):
        assert float(autodrop_metrics(state)["epoch"]) == 40 / STEPS  # 10 rejected
        assert float(autodrop_metrics(state)["num_drops"]) == 9
    assert np.all(np.isfinite(two[-1]["head"]["w"]))


def test_steps_are_counted_through_both_at_once():
    multi = optax.MultiSteps(sgd(), EVERY).gradient_transformation()
    optimizer = optax.apply_if_finite(multi, 3)
    _, state = run(
        with_epoch_autodrop(optimizer, 0.1, STEPS, **EAGER),
        make_params(),
        5 * 4 * EVERY,
        gradients=some_not_finite,
    )
    # A fifth of 60 is rejected; three of the rest make a step, two of these an epoch.
    assert float(autodrop_metrics(state)["epoch"]) == 48 / EVERY / STEPS


def test_one_group_that_steps_is_enough():
    groups = {"a": optax.MultiSteps(sgd(), EVERY).gradient_transformation(), "b": sgd()}
    optimizer = optax.partition(groups, {"encoder": "a", "head": "b"})
    wrapped = with_epoch_autodrop(optimizer, 0.1, STEPS, **EAGER)
    _, state = run(wrapped, make_params(), 12)
    assert float(autodrop_metrics(state)["epoch"]) == 12 / STEPS
    slow = {"a": groups["a"], "b": optax.MultiSteps(sgd(), 2).gradient_transformation()}
    optimizer = optax.partition(slow, {"encoder": "a", "head": "b"})
    wrapped = with_epoch_autodrop(optimizer, 0.1, STEPS, **EAGER)
    _, state = run(wrapped, make_params(), 12)
    # Steps at 2, 3, 4, 6, 8, 9, 10, 12.
    assert float(autodrop_metrics(state)["epoch"]) == 8 / STEPS


def test_extra_arguments_pass_through_multi_steps():
    plateau = optax.chain(sgd(), optax.contrib.reduce_on_plateau())
    optimizer = with_epoch_autodrop(optax.MultiSteps(plateau, 2), 0.1, STEPS, **EAGER)
    _, state = run(optimizer, make_params(), 12, value=jnp.float32(1.0))
    assert float(autodrop_metrics(state)["epoch"]) == 3
