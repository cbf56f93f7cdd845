"""A whole run of each method under `jax_debug_nans`: no NaN is computed or kept."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from chains import EAGER
from slow import slow_but

from autodrop_optax import (
    autodrop,
    autodrop_metrics,
    end_epoch,
    epoch_autodrop,
    windowed_autodrop,
    with_epoch_autodrop,
)
from autodrop_optax.refinement import record_gradient_norms

STEPS = 2  # per epoch
WAYS = {
    "link": lambda: optax.chain(optax.sgd(0.1), epoch_autodrop(0.1, **EAGER)),
    "wrapper": lambda: with_epoch_autodrop(optax.sgd(0.1), 0.1, STEPS, **EAGER),
    "counting": lambda: optax.chain(
        optax.sgd(0.1),
        epoch_autodrop(
            0.1, steps_per_epoch=STEPS, averaging=False, window=2, **EAGER
        ),
    ),
    "windowed": lambda: optax.chain(
        record_gradient_norms(buffer_size=4),
        optax.sgd(0.1),
        windowed_autodrop(0.1, window_steps=2, buffer_size=2, threshold=180.0),
    ),
    "windowed-by-value": lambda: optax.chain(
        optax.sgd(0.1),
        windowed_autodrop(
            0.1, window_steps=2, buffer_size=2, threshold=180.0, smoothing="value"
        ),
    ),
    "autodrop": lambda: optax.chain(
        optax.sgd(0.1), autodrop(first_check=2, max_angle=1.0, patience=1)
    ),
}  # fmt: skip


def there_is_no_nan(tree):
    leaves = [np.asarray(x, np.float64) for x in jax.tree.leaves(tree)]
    return not any(np.isnan(x).any() for x in leaves)


CASES = {
    f"{way}-{'jit' if jit else 'eager'}": (way, jit)
    for way in WAYS
    for jit in (True, False)
}
FAST = ["autodrop-jit", "link-jit", "wrapper-jit", "windowed-jit", "link-eager"]


@pytest.mark.parametrize(("way", "jit"), slow_but(CASES, *FAST))
def test_a_run_with_drops(way, jit):
    optimizer = WAYS[way]()
    params = {"w": jnp.arange(6.0).reshape(2, 3), "b": jnp.ones(3, jnp.bfloat16)}
    state = optimizer.init(params)
    update, metrics_of = optimizer.update, autodrop_metrics
    if jit:
        update, metrics_of = jax.jit(update), jax.jit(metrics_of)
    rng = np.random.default_rng(0)
    drops = []
    with jax.debug_nans(True):
        for step in range(18 * STEPS):
            at_rest = step // STEPS == 6  # an epoch and a window without a step
            gradients = jax.tree.map(
                lambda p, scale=0.0 if at_rest else 1.0: jnp.asarray(
                    rng.normal(size=p.shape) * scale, p.dtype
                ),
                params,
            )
            # For an epoch the parameters are beyond all numbers; then they are back.
            given = params
            if step // STEPS == 9:
                given = params | {"w": jnp.full((2, 3), jnp.inf)}
            updates, state = update(gradients, state, given)
            params = optax.apply_updates(params, updates)
            if way == "link" and step % STEPS == STEPS - 1:
                end = given if step // STEPS == 9 else params
                end, state = end_epoch(end, state)
                params = params if step // STEPS == 9 else end
            metrics = metrics_of(state)
            assert there_is_no_nan((state, metrics, params))
            drops.append(int(metrics["num_drops"]))
    assert drops[8 * STEPS] >= 1
    if way != "autodrop":  # whose next drop is not yet due
        assert drops[-1] > drops[11 * STEPS]  # it has recovered


@pytest.mark.parametrize("way", WAYS)
def test_the_first_step_of_all(way):
    """Without a way there is no angle, and nothing decides."""
    optimizer = WAYS[way]()
    params = {"w": jnp.ones(3)}
    state = optimizer.init(params)
    with jax.debug_nans(True):
        for _ in range(10 * STEPS):
            _, state = optimizer.update({"w": jnp.zeros(3)}, state, params)
            if way == "link":
                params, state = end_epoch(params, state)
        metrics = autodrop_metrics(state)
    assert int(metrics["num_drops"]) == 0
    if "angular_velocity" in metrics:
        assert np.isposinf(metrics["angular_velocity"])
        assert np.isposinf(metrics["angular_velocity_change"])
