"""autodrop_eval_params: the average in place of the parameters, where there is one."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from autodrop_runs import EAGER
from chains import make_params, run, sgd
from slow import slow_but

from autodrop_optax import (
    autodrop,
    autodrop_eval_params,
    autodrop_metrics,
    epoch_autodrop,
)


def shown(params_of_steps, **keywords):
    """The state after these parameters, and the last of them."""
    link = autodrop(**keywords)
    state = link.init(params_of_steps[0])
    for params in params_of_steps:
        _, state = link.update(params, state, params)
    return state, params


def test_the_average_of_two_values():
    # Weights (p + 1)/(2 + p) and the rest: 0.9 of the second value.
    state, params = shown([{"w": jnp.zeros(3)}, {"w": jnp.ones(3)}])
    average = autodrop_eval_params(state, params)
    np.testing.assert_allclose(average["w"], 0.9, rtol=1e-6)
    chex.assert_trees_all_equal(jax.jit(autodrop_eval_params)(state, params), average)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "complex64"])
def test_the_dtypes_of_the_parameters(dtype):
    values = [jnp.full(2, i, dtype) for i in (1, 2)]
    state, params = shown(values)
    average = autodrop_eval_params(state, params)
    assert average.dtype == dtype
    wide = state.average
    assert wide.dtype == ("complex64" if dtype == "complex64" else "float32")
    np.testing.assert_array_equal(average, wide.astype(dtype))


def test_what_has_no_average_comes_from_the_parameters():
    params = {
        "w": jnp.ones(2),
        "number": 1.0,
        "none": None,
        "count": jnp.arange(3),
        "flag": jnp.array([True]),
        "key": jax.random.key(0),
        "empty": jnp.zeros((0, 2)),
    }
    state, _ = shown([params])
    now = params | {"count": jnp.arange(3) + 1, "key": jax.random.key(1)}
    average = autodrop_eval_params(state, now)
    chex.assert_trees_all_equal_structs(average, now)
    np.testing.assert_array_equal(average["w"], 1)
    assert float(average["number"]) == 1
    np.testing.assert_array_equal(average["count"], now["count"])
    assert average["key"] == now["key"]


def test_before_any_update_it_is_where_the_run_starts():
    params = make_params()
    state = autodrop().init(params)
    chex.assert_trees_all_equal(autodrop_eval_params(state, params), params)


def test_states_of_several_groups_are_merged():
    params = make_params() | {"frozen": jnp.ones(3)}
    link = autodrop()
    groups = {"a": link, "b": link, "frozen": optax.set_to_zero()}
    labels = {"encoder": "a", "head": "b", "frozen": "frozen"}
    optimizer = optax.partition(groups, labels)
    state, one = optimizer.init(params), link.init(params)
    for i in range(3):
        params = jax.tree.map(lambda x, i=i: x + i, params)
        _, state = optimizer.update(params, state, params)
        _, one = link.update(params, one, params)
    average = autodrop_eval_params(state, params)
    together = autodrop_eval_params(one, params)
    for name in ("encoder", "head"):
        chex.assert_trees_all_equal(average[name], together[name])
    np.testing.assert_array_equal(average["frozen"], params["frozen"])


def test_two_states_over_the_same_parameters():
    optimizer = optax.chain(autodrop(), sgd(), autodrop())
    params = make_params()
    with pytest.raises(
        ValueError, match=r"Two states of AutoDrop cover.*\['encoder'\]"
    ):
        autodrop_eval_params(optimizer.init(params), params)


def test_a_state_of_other_parameters():
    state = autodrop().init({"w": jnp.ones(2)})
    with pytest.raises(ValueError, match=r"differ in shape at \['w'\].*\(3,\).*\(2,\)"):
        autodrop_eval_params(state, {"w": jnp.ones(3)})
    with pytest.raises(ValueError, match="given to init differ in structure"):
        autodrop_eval_params(state, {"v": jnp.ones(2)})


def test_a_published_method_has_no_average():
    state = epoch_autodrop(0.1).init(jnp.ones(2))
    with pytest.raises(ValueError, match=r"no state of autodrop\(\).*no average"):
        autodrop_eval_params(state, jnp.ones(2))


def test_around_an_optimizer_that_jumps():
    params = jnp.ones(2)
    free = optax.contrib.schedule_free_sgd(0.1)
    state = optax.chain(free, autodrop()).init(params)
    with pytest.raises(
        ValueError, match=r"jumps to a point.*inside.*optax\.chain\(base, autodrop\(\)"
    ):
        autodrop_eval_params(state, params)
    inside = optax.chain(optax.sgd(0.1), autodrop())
    state = optax.contrib.schedule_free(inside, 0.1).init(params)
    chex.assert_trees_all_equal(autodrop_eval_params(state, params), params)


# --- A run that has a checkpoint without it ------------------------------------------


@pytest.mark.parametrize(
    "flat", slow_but({"beside": False, "in-the-chain": True}, "in-the-chain")
)
@pytest.mark.usefixtures("standard_promotion")
def test_into_a_run_that_has_a_checkpoint_without_it(flat):
    links = optax.clip_by_global_norm(1.0), optax.adamw(0.1)
    course, old = run(optax.chain(*links), make_params(), 5)
    params, link = course[-1], autodrop(**EAGER)
    for read in (autodrop_metrics, lambda state: autodrop_eval_params(state, params)):
        with pytest.raises(
            ValueError, match=r"\(opt_state, autodrop\(\).init\(params\)"
        ):
            read(old)
    if flat:
        optimizer, state = optax.chain(*links, link), (*old, link.init(params))
    else:
        optimizer = optax.chain(optax.chain(*links), link)
        state = (old, link.init(params))
    chex.assert_trees_all_equal_structs(state, optimizer.init(params))
    updates, new = optimizer.update(params, state, params)
    chex.assert_trees_all_equal(
        updates, optax.chain(*links).update(params, old, params)[0]
    )
    assert int(autodrop_metrics(new)["steps_since_drop"]) == 1
