"""autodrop in any chain, under JAX's transformations and optax's, in every dtype."""

import functools

import chains
import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from autodrop_runs import EAGER, EAGER_DROPS
from chains import make_params, random_tree, sgd
from flax.core import freeze
from rounding import assert_same_but_rounding
from slow import slow_but

from autodrop_optax import (
    autodrop,
    autodrop_eval_params,
    autodrop_metrics,
)

pytestmark = pytest.mark.usefixtures("standard_promotion")

STEPS = 13
DROPS = sum(n <= STEPS for n in EAGER_DROPS)  # three

# Without jit the link itself is compiled, once for all tests with the same parameters.
run = functools.partial(chains.run, jit=False)


def num_drops(state):
    return int(autodrop_metrics(state)["num_drops"])


# --- Anywhere in a chain -------------------------------------------------------------

LINKS = {
    "clipping": lambda: optax.clip_by_global_norm(1.0),
    "weight-decay": lambda: optax.add_decayed_weights(1e-2),
    "warm-up": lambda: optax.scale_by_schedule(optax.linear_schedule(0.0, 1.0, 6)),
    "centralize": lambda: optax.centralize(),
}


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("other", slow_but(LINKS.keys(), "warm-up"))
def test_before_the_first_drop_no_position_changes_the_chain(other, position):
    chain = [LINKS[other](), sgd()]
    plain, _ = run(optax.chain(*chain), make_params(), 6)
    chain.insert(position, autodrop(**EAGER | {"max_angle": 180.0}))
    watched, state = run(optax.chain(*chain), make_params(), 6)
    chex.assert_trees_all_close(watched, plain, rtol=1e-6)
    assert float(autodrop_metrics(state)["angle"]) > 0


@pytest.mark.parametrize("other", slow_but(LINKS.keys(), "weight-decay"))
def test_after_a_drop_the_update_is_the_plain_one_scaled(other):
    chain = optax.chain(LINKS[other](), optax.sgd(0.1))
    link = autodrop(drop_factor=0.25, **EAGER)
    course, state = run(optax.chain(chain, link), make_params(), 4)
    assert num_drops(state) == 1
    params, gradients = course[-1], random_tree(9, make_params())
    with_link, _ = optax.chain(chain, link).update(gradients, state, params)
    without, _ = chain.update(gradients, state[0], params)
    chex.assert_trees_all_close(
        with_link, jax.tree.map(lambda u: 0.25 * u, without), rtol=1e-6
    )


def test_in_front_of_sgd_it_scales_the_gradients():
    front = optax.chain(autodrop(**EAGER), sgd())
    course, state = run(front, make_params(), STEPS)
    assert num_drops(state) == DROPS
    # The momentum goes on from gradients of before: heavy ball with a falling rate.
    params, trace = make_params(), jax.tree.map(jnp.zeros_like, make_params())
    for i in range(STEPS):
        scale = 0.5 ** sum(n <= i + 1 for n in EAGER_DROPS)
        gradients = random_tree(i, params)
        trace = jax.tree.map(lambda v, g, c=scale: 0.9 * v + c * g, trace, gradients)
        params = jax.tree.map(lambda p, v: p - 0.1 * v, params, trace)
        chex.assert_trees_all_close(course[i], params, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_complex_parameters():
    params = jax.tree.map(lambda x: x + 1j * x, make_params())
    split = optax.contrib.split_real_and_imaginary(optax.adam(0.1))
    course, state = run(optax.chain(split, autodrop(**EAGER)), params, STEPS)
    assert num_drops(state) == DROPS
    average = autodrop_eval_params(state, course[-1])
    assert all(jnp.iscomplexobj(x) for x in jax.tree.leaves(average))


@pytest.mark.slow
def test_muon():
    muon = optax.chain(optax.contrib.muon(0.1), autodrop(**EAGER))
    assert num_drops(run(muon, make_params(), STEPS)[1]) == DROPS


def test_frozen_dictionaries():
    link = optax.chain(sgd(), autodrop(**EAGER))
    plain, _ = run(link, make_params(), STEPS)
    frozen, _ = run(link, freeze(make_params()), STEPS)
    chex.assert_trees_all_equal(freeze(plain[-1]), frozen[-1])


def test_gradients_of_integers_are_float0():
    params = {"w": jnp.ones(3), "steps": jnp.arange(3)}
    link = autodrop(**EAGER)

    def loss(params):
        return jnp.sum(params["w"] ** 2)

    gradients = jax.grad(loss, allow_int=True)(params)
    updates, _ = jax.jit(link.update)(gradients, link.init(params), params)
    assert updates["steps"].dtype == jax.dtypes.float0


# --- Groups of parameters ------------------------------------------------------------


def test_two_groups_and_one_frozen():
    params = make_params() | {"embedding": {"w": jnp.ones(4)}}
    labels = {"encoder": "fast", "head": "slow", "embedding": "frozen"}
    groups = {
        "fast": optax.chain(sgd(), autodrop(**EAGER)),
        "slow": optax.chain(optax.adam(1e-3), autodrop(**EAGER | {"first_check": 2})),
        "frozen": optax.set_to_zero(),
    }
    course, state = run(optax.partition(groups, labels), params, STEPS)
    metrics = autodrop_metrics(state)
    paths = [f"{group}/" for group in ("fast", "slow")]
    assert [int(metrics[path + "num_drops"]) for path in paths] == [3, 2]
    average = autodrop_eval_params(state, course[-1])
    chex.assert_trees_all_equal(average["embedding"], params["embedding"])
    # Each group goes as it would alone, and is evaluated so.
    for group, name in ("fast", "encoder"), ("slow", "head"):
        others = dict.fromkeys(groups, optax.set_to_zero())
        alone = optax.partition(others | {group: groups[group]}, labels)
        lone, state = run(alone, params, STEPS)
        chex.assert_trees_all_equal(lone[-1][name], course[-1][name])
        lone_average = autodrop_eval_params(state, lone[-1])
        chex.assert_trees_all_equal(lone_average[name], average[name])


MASKS = {
    "leaves": {"encoder": {"w": True}, "head": {"w": True, "b": False}},
    "prefix": {"encoder": True, "head": False},
    "function": lambda params: jax.tree.map(lambda x: x.ndim > 1, params),
}


@pytest.mark.parametrize("mask", slow_but(MASKS, "leaves", "prefix"))
def test_masked(mask):
    optimizer = optax.chain(sgd(), optax.masked(autodrop(**EAGER), mask))
    course, state = run(optimizer, make_params(), STEPS)
    plain, _ = run(sgd(), make_params(), STEPS)
    assert num_drops(state) == DROPS
    # What the mask leaves out goes on at the full rate and has no average.
    chex.assert_trees_all_close(course[-1]["head"]["b"], plain[-1]["head"]["b"])
    assert not np.allclose(course[-1]["encoder"]["w"], plain[-1]["encoder"]["w"])
    average = autodrop_eval_params(state, course[-1])
    chex.assert_trees_all_equal(average["head"]["b"], course[-1]["head"]["b"])
    assert not np.allclose(average["encoder"]["w"], course[-1]["encoder"]["w"])


def test_a_mask_that_leaves_nothing():
    optimizer = optax.chain(sgd(), optax.masked(autodrop(**EAGER), False))
    course, state = run(optimizer, make_params(), 6)
    chex.assert_trees_all_equal(course, run(sgd(), make_params(), 6)[0])
    assert num_drops(state) == 0
    chex.assert_trees_all_equal(autodrop_eval_params(state, course[-1]), course[-1])


# --- Accumulated and rejected updates ------------------------------------------------

EVERY = 3  # micro-batches in a step


def test_multi_steps_both_ways_round():
    inside = optax.MultiSteps(optax.chain(sgd(), autodrop(**EAGER)), EVERY)
    _, state = chains.run(inside, make_params(), STEPS * EVERY)
    assert num_drops(state) == DROPS
    assert int(state.inner_opt_state[1].steps) == STEPS
    # Around, it sees each step's parameters as often as there are micro-batches.
    multi = optax.MultiSteps(sgd(), EVERY).gradient_transformation()
    around = optax.chain(multi, autodrop(**EAGER | {"first_check": EVERY}))
    course, state = chains.run(around, make_params(), STEPS * EVERY)
    assert num_drops(state) == DROPS
    assert int(state[1].steps) == STEPS * EVERY
    chex.assert_trees_all_equal(course[0], make_params())
    chex.assert_trees_all_equal(course[EVERY], course[EVERY - 1])


def gradients_with_nan(seed, like):
    """One in three is not finite."""
    draw = random_tree(seed, like)
    return jax.tree.map(lambda g: g * jnp.nan, draw) if seed % 3 == 1 else draw


def test_apply_if_finite_both_ways_round():
    steps = 18
    inside = optax.apply_if_finite(optax.chain(sgd(), autodrop(**EAGER)), 10)
    one, state = chains.run(inside, make_params(), steps, gradients=gradients_with_nan)
    assert int(state.inner_state[1].steps) == steps * 2 // 3
    assert num_drops(state) == 3
    around = optax.chain(optax.apply_if_finite(sgd(), 10), autodrop(**EAGER))
    two, state = chains.run(around, make_params(), steps, gradients=gradients_with_nan)
    assert int(state[1].steps) == steps
    assert num_drops(state) == 3
    for course in (one, two):
        assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(course))


# --- JAX's transformations -----------------------------------------------------------


def noisy_run(optimizer, key):
    """Parameters and state after steps on a noisy quadratic; not compiled."""

    def step(carry, key):
        params, state = carry
        gradients = params + jax.random.normal(key, params.shape)
        updates, state = optimizer.update(gradients, state, params)
        return (optax.apply_updates(params, updates), state), None

    params = jnp.arange(6.0)
    carry = params, optimizer.init(params)
    return jax.lax.scan(step, carry, jax.random.split(key, STEPS))[0]


def test_a_loop_without_jit_is_the_same_run():
    optimizer = optax.chain(sgd(), autodrop(**EAGER))
    one, state = run(optimizer, make_params(), STEPS)
    two, other = chains.run(optimizer, make_params(), STEPS, jit=True)
    assert num_drops(state) == num_drops(other) == DROPS
    assert_same_but_rounding((one, state), (two, other))


def test_vmap_over_hyperparameters_and_seeds():
    def outcome(max_angle, drop_factor, patience, power, seed):
        link = autodrop(max_angle=max_angle, drop_factor=drop_factor, power=power,
                        patience=patience, first_check=1)  # fmt: skip
        params, state = noisy_run(optax.chain(sgd(), link), jax.random.key(seed))
        return autodrop_metrics(state) | {
            "average": autodrop_eval_params(state, params)
        }

    grid = {
        "max_angle": jnp.array([180.0, 1e-3, 1e-3, 1e-3]),
        "drop_factor": jnp.array([0.5, 0.5, 0.25, 0.5]),
        "patience": jnp.array([1, 1, 1, 3]),
        "power": jnp.array([8.0, 8.0, 8.0, 1.0]),
        "seed": jnp.arange(4),
    }
    together = jax.jit(jax.vmap(lambda kw: outcome(**kw)))(grid)
    # With patience 3 at steps 6 and 12.
    np.testing.assert_array_equal(together["num_drops"], [0, 3, 3, 2])
    np.testing.assert_array_equal(together["scale"], [1, 1 / 8, 1 / 64, 1 / 4])
    alone = jax.jit(lambda kw: outcome(**kw))
    for i in range(4):
        one = alone({name: values[i] for name, values in grid.items()})
        here = jax.tree.map(lambda x, i=i: x[i], together)
        assert_same_but_rounding(here, one)


def test_inject_hyperparams_and_a_change_from_outside():
    optimizer = optax.inject_hyperparams(autodrop)(
        **EAGER | {"max_angle": 180.0, "ratio": 1.5}
    )
    state = optimizer.init(jnp.zeros(2))
    update = jax.jit(optimizer.update)

    def steps(state, count):
        for i in range(count):
            _, state = update(jnp.ones(2), state, jnp.array([1.0, i % 2]))
        return state

    state = steps(state, 5)
    assert num_drops(state) == 0
    state.hyperparams["max_angle"] = jnp.float32(1e-3)
    state = steps(state, 1)
    assert num_drops(state) == 1
    state.hyperparams["drop_factor"] = jnp.float32(0.125)
    state = steps(state, 6)
    assert float(autodrop_metrics(state)["scale"]) == 0.5 / 8
    state.hyperparams["min_scale"] = jnp.float32(0.5)
    state = steps(state, 1)
    assert autodrop_metrics(state)["at_floor"]
    assert update._cache_size() == 1


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_injected_hyperparameters_in_a_narrow_dtype_keep_the_mark(dtype):
    # optax makes them in the dtype of the parameters.
    state = optax.inject_hyperparams(autodrop)().init(jnp.ones(2, dtype))
    mark = float(autodrop_metrics(state)["max_angle"])
    assert mark == pytest.approx(71.8140, abs=1e-4)


@pytest.mark.slow
def test_the_link_is_differentiable():
    optimizer = optax.chain(sgd(), autodrop(**EAGER))

    def after_four_steps(rate):
        params = rate * jnp.ones(3)
        state = optimizer.init(params)
        for i in range(4):
            gradients = rate * jnp.array([1.0, i % 2, 0.0])
            updates, state = optimizer.update(gradients, state, params)
            params = optax.apply_updates(params, updates)
        return params.sum()

    # Linear in the rate, but for the scale, which is taken as it is.
    slope = jax.grad(after_four_steps)(1.0)
    assert float(slope) == pytest.approx(float(after_four_steps(1.0)), rel=1e-5)


# --- Dtypes --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dtype",
    slow_but(
        ["bfloat16", "float16", "float32", "float64", "complex64"],
        "bfloat16",
    ),
)
def test_dtypes(dtype):
    with jax.enable_x64(dtype == "float64"):
        params = make_params(jnp.dtype(dtype))
        optimizer = optax.chain(sgd(), autodrop(**EAGER))
        course, state = run(optimizer, params, STEPS)
        new_params, start = course[-1], optimizer.init(params)
        chex.assert_trees_all_equal_dtypes(new_params, params)
        chex.assert_trees_all_equal_shapes_and_dtypes(state, start)
        assert num_drops(state) == DROPS
        average = autodrop_eval_params(state, new_params)
        chex.assert_trees_all_equal_dtypes(average, params)
        wide = {"bfloat16": "float32", "float16": "float32"}.get(dtype, dtype)
        trees = state[1].average, state[1].anchor, state[1].previous_step
        assert {x.dtype.name for x in jax.tree.leaves(trees)} == {wide}


def test_an_average_is_finer_than_narrow_parameters():
    # Half of the values are 1, half the next number: no bfloat16 lies between them.
    link = autodrop()
    above = float(jnp.finfo(jnp.bfloat16).eps)
    state = link.init(jnp.ones(2, jnp.bfloat16))
    update = jax.jit(link.update)
    for i in range(60):
        params = jnp.full(2, 1 + above * (i % 2), jnp.bfloat16)
        _, state = update(params, state, params)
    np.testing.assert_allclose(state.average, 1 + above / 2, atol=above / 10)
