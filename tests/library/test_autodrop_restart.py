"""autodrop_restart: what the user's hand does."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from autodrop_runs import EAGER, SIZE, motion
from reference_autodrop import AutoDrop

from autodrop_optax import (
    autodrop,
    autodrop_eval_params,
    autodrop_metrics,
    autodrop_restart,
    epoch_autodrop,
)

LINK = autodrop(first_check=4, patience=1)
SETTINGS = {"n_0": 4, "patience": 1}
OPTIMIZER = optax.chain(optax.sgd(0.1, momentum=0.9), LINK)
update = jax.jit(OPTIMIZER.update)


def trained(steps, params=None, state=None, seed=0):
    """Parameters and state after noisy steps."""
    params = jnp.full(SIZE, 3.0) if params is None else params
    state = OPTIMIZER.init(params) if state is None else state
    for i in range(steps):
        noise = jax.random.normal(jax.random.key(1000 * seed + i), params.shape)
        updates, state = update(params + noise, state, params)
        params = optax.apply_updates(params, updates)
    return params, state


@pytest.mark.parametrize(
    ("how", "scale"),
    [
        pytest.param({"factor": 0.5}, lambda scale: 0.5 * scale, id="drop-now"),
        pytest.param({"scale": 2**-9}, lambda scale: 2**-9, id="set-the-scale"),
        pytest.param({}, lambda scale: scale, id="new-phase"),
    ],
)
def test_a_phase_begins_as_after_a_drop(how, scale):
    start, path = motion(0, 300)
    reference, state, scales = AutoDrop(start.astype(float), **SETTINGS), None, []
    state = LINK.init(jnp.asarray(start))
    observe = jax.jit(LINK.update)
    for i, x in enumerate(path):
        if i == 100:
            reference.begin_phase(scale(reference.scale))
            drops = int(state.num_drops)
            state = autodrop_restart(state, **how)
            assert int(state.num_drops) == drops + bool(how)
        scales.append(reference.see(x.astype(float)))
        _, state = observe((), state, jnp.asarray(x))
        assert float(state.rate_scale) == scales[-1]
        np.testing.assert_allclose(state.average, reference.m, atol=1e-5)
    assert reference.margin > 0.1
    assert any(n > 200 for n in reference.drops)  # not before the run is twice as long
    assert not any(100 < n < 200 for n in reference.drops)


def test_starting_over_keeps_the_momentum():
    params, state = trained(30)
    assert int(autodrop_metrics(state)["num_drops"]) > 0
    over = autodrop_restart(state, params)
    chex.assert_trees_all_equal(over[0], state[0])
    # From there it goes as a new state would.
    new = state[0], LINK.init(params)
    chex.assert_trees_all_equal_shapes_and_dtypes(over, new)
    one, two = trained(30, params, over, seed=1), trained(30, params, new, seed=1)
    chex.assert_trees_all_equal(one, two)
    assert float(autodrop_metrics(over)["scale"]) == 1
    lower = autodrop_restart(state, params, scale=0.25)
    assert float(autodrop_metrics(lower)["scale"]) == 0.25


def test_the_scale_may_rise_and_pass_the_floor():
    link = autodrop(min_scale=0.5, **EAGER)
    state = autodrop_restart(link.init(jnp.ones(2)), scale=2.0)
    assert int(state.num_drops) == 0
    assert not autodrop_metrics(state)["at_floor"]
    below = autodrop_restart(state, scale=0.125)
    assert int(below.num_drops) == 1
    for i in range(20):  # every check would be a reason to drop
        params = jnp.array([1.0, i % 2])
        _, below = link.update(params, below, params)
    assert float(below.rate_scale) == 0.125
    assert autodrop_metrics(below)["at_floor"]


def test_under_jit_with_a_scale_that_is_traced():
    params, state = trained(10)
    restart = jax.jit(lambda state, scale: autodrop_restart(state, scale=scale))
    chex.assert_trees_all_equal(restart(state, 0.1), autodrop_restart(state, scale=0.1))
    over = jax.jit(autodrop_restart)(state, params)
    chex.assert_trees_all_equal(over, autodrop_restart(state, params))
    assert not any(x.weak_type for x in jax.tree.leaves(over))
    # No buffer is the parameters', which may be donated.
    leaves = jax.tree.leaves((params, autodrop_restart(state, params)))
    pointers = [x.unsafe_buffer_pointer() for x in leaves]
    assert len(set(pointers)) == len(pointers)


def test_back_from_a_nan_by_a_checkpoint():
    good = trained(10)
    params, state = trained(1, good[0] * jnp.nan, good[1])
    assert not np.any(np.isfinite(params))
    params, state = good
    state = autodrop_restart(state, factor=0.5)
    params, state = trained(10, params, state)
    assert np.all(np.isfinite(params))
    scale = autodrop_metrics(good[1])["scale"]
    assert float(autodrop_metrics(state)["scale"]) <= 0.5 * scale


def test_back_from_a_nan_by_the_average():
    params, state = trained(10)
    average = autodrop_eval_params(state, params)
    params, state = trained(3, params * jnp.nan, state)
    params = autodrop_eval_params(state, params)
    np.testing.assert_array_equal(params, average)
    scale = 0.5 * autodrop_metrics(state)["scale"]
    state = autodrop_restart(OPTIMIZER.init(params), scale=scale)
    params, state = trained(10, params, state)
    assert np.all(np.isfinite(params))
    assert float(autodrop_metrics(state)["scale"]) <= scale


def test_it_acts_on_every_group():
    params = {"a": jnp.ones(2), "b": 2 * jnp.ones(3), "c": jnp.ones(1)}
    groups = {"a": LINK, "b": LINK, "c": optax.set_to_zero()}
    optimizer = optax.partition(groups, {"a": "a", "b": "b", "c": "c"})
    state = optimizer.init(params)
    metrics = autodrop_metrics(autodrop_restart(state, factor=0.25))
    assert [float(v) for k, v in metrics.items() if k.endswith("/scale")] == [0.25] * 2
    moved = jax.tree.map(lambda x: x + 1, params)
    over = autodrop_restart(state, moved)
    chex.assert_trees_all_equal(autodrop_eval_params(over, moved), moved)


@pytest.mark.parametrize("name", ["scale", "factor"])
@pytest.mark.parametrize("value", [0, -0.5, np.inf, np.nan, True, "half"])
def test_out_of_range(name, value):
    state = LINK.init(jnp.ones(2))
    with pytest.raises(ValueError, match=f"{name} must be above 0.*got {value!r}"):
        autodrop_restart(state, **{name: value})


def test_errors():
    state = LINK.init({"w": jnp.ones(2)})
    with pytest.raises(ValueError, match=r"Both scale=0.5 and factor=0.1.*not both"):
        autodrop_restart(state, scale=0.5, factor=0.1)
    with pytest.raises(ValueError, match=r"scale must be a scalar.*\(2,\)"):
        autodrop_restart(state, scale=jnp.ones(2))
    with pytest.raises(ValueError, match=r"differ in shape at \['w'\]"):
        autodrop_restart(state, {"w": jnp.ones(3)})
    with pytest.raises(ValueError, match="holds no state of AutoDrop"):
        autodrop_restart(optax.sgd(0.1).init(jnp.ones(2)))
    with pytest.raises(ValueError, match=r"no state of autodrop\(\)"):
        autodrop_restart(epoch_autodrop(0.1).init(jnp.ones(2)))
