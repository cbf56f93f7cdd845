"""AutoDrop under JAX's transformations and optax's tools, in every dtype."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from chains import EAGER
from compilations import assert_only_the_first_update_compiles
from rounding import assert_same_but_rounding
from slow import slow_but

from autodrop_optax import (
    EpochAutoDropState,
    autodrop_metrics,
    end_epoch,
    epoch_autodrop,
    windowed_autodrop,
    with_epoch_autodrop,
)

STEPS = 3
STATIC = ("window", "averaging", "retrigger", "anchor", "steps_per_epoch")


def link(**keywords):
    return optax.chain(optax.sgd(0.1, momentum=0.9), epoch_autodrop(0.1, **keywords))


def front(**keywords):
    return optax.chain(
        epoch_autodrop(0.1, **keywords), optax.sgd(0.1, nesterov=True, momentum=0.9)
    )


def wrapper(**keywords):
    return with_epoch_autodrop(optax.sgd(0.1, momentum=0.9), 0.1, STEPS, **keywords)


def counting(**keywords):
    keywords = keywords | {"averaging": False}
    return optax.chain(
        optax.sgd(0.1), epoch_autodrop(0.1, steps_per_epoch=STEPS, **keywords)
    )


def windowed(**keywords):
    """Saturated at every window: a drop every third, from the fifth on."""
    del keywords  # those of the epochs' method
    settings = {"window_steps": 2, "buffer_size": 2, "threshold": 180.0}
    return optax.chain(optax.sgd(0.1, momentum=0.9), windowed_autodrop(0.1, **settings))


OF_EPOCHS = {"link": link, "front": front, "wrapper": wrapper, "counting": counting}
WAYS = OF_EPOCHS | {"windowed": windowed}
ways_of_epochs = pytest.mark.parametrize("way", OF_EPOCHS.values(), ids=OF_EPOCHS)
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
# Where a case takes seconds to compile.
some_ways = pytest.mark.parametrize("way", slow_but(WAYS, "link", "wrapper"))
some_ways_of_epochs = pytest.mark.parametrize("way", slow_but(OF_EPOCHS, "link"))


def make_params(dtype=jnp.float32, scale=1.0):
    return {
        "kernel": jnp.arange(12, dtype=jnp.float32).reshape(3, 4).astype(dtype) * scale,
        "bias": jnp.ones(4, dtype),
    }


def epoch_of(optimizer, ends_epochs):
    """A whole epoch on a noisy quadratic, scanned; maps the carry and a key."""

    def step(carry, key):
        params, state = carry
        leaves, treedef = jax.tree.flatten(params)
        keys = treedef.unflatten(list(jax.random.split(key, len(leaves))))
        gradients = jax.tree.map(
            lambda p, k: p + jax.random.normal(k, p.shape, p.dtype), params, keys
        )
        updates, state = optimizer.update(gradients, state, params)
        return (optax.apply_updates(params, updates), state), None

    def epoch(carry, key):
        carry, _ = jax.lax.scan(step, carry, jax.random.split(key, STEPS))
        return end_epoch(*carry) if ends_epochs else carry

    return epoch


def scanned(epoch, carry, keys):
    """Parameters and state after an epoch for each key."""
    return jax.lax.scan(lambda carry, key: (epoch(carry, key), None), carry, keys)[0]


def train(way, params, epochs=9, seed=0, **keywords):
    optimizer = way(**EAGER | keywords)
    epoch = epoch_of(optimizer, ends_epochs=way in (link, front))
    carry = params, optimizer.init(params)
    keys = jax.random.split(jax.random.key(seed), epochs)
    return jax.jit(lambda carry, keys: scanned(epoch, carry, keys))(carry, keys)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_scan_over_epochs_equals_a_loop_without_jit(way):
    params, state = train(way, make_params(), epochs=5)
    optimizer = way(**EAGER)
    epoch = epoch_of(optimizer, ends_epochs=way in (link, front))
    carry = make_params(), optimizer.init(make_params())
    for key in jax.random.split(jax.random.key(0), 5):
        carry = epoch(carry, key)
    assert_same_but_rounding((params, state), carry)


@pytest.mark.slow
@ways
def test_vmap_over_seeds(way):
    def run(seed):
        params = make_params()
        optimizer = way(**EAGER)
        epoch = epoch_of(optimizer, ends_epochs=way in (link, front))
        carry = params, optimizer.init(params)
        params, state = scanned(epoch, carry, jax.random.split(jax.random.key(seed), 5))
        return params, autodrop_metrics(state)

    batched = jax.jit(jax.vmap(run))(jnp.arange(3))
    for seed in range(3):
        alone = jax.jit(run)(seed)
        here = jax.tree.map(lambda x, i=seed: x[i], batched)
        assert_same_but_rounding(here, alone)


@some_ways_of_epochs
def test_vmap_over_hyperparameters(way):
    def run(threshold, drop_factor, drop_delay):
        params = make_params()
        optimizer = way(threshold=threshold, drop_factor=drop_factor,
                        drop_delay=drop_delay, max_threshold=180.0)  # fmt: skip
        epoch = epoch_of(optimizer, ends_epochs=way in (link, front))
        carry = params, optimizer.init(params)
        _, state = scanned(epoch, carry, jax.random.split(jax.random.key(0), 7))
        return autodrop_metrics(state)

    metrics = jax.jit(jax.vmap(run))(
        jnp.array([0.0, 180.0, 180.0, 180.0]),
        jnp.array([0.5, 0.5, 0.25, 0.5]),
        jnp.array([1, 1, 1, 3]),
    )
    # Seven epochs, triggered from the third on; the counting link has seen six.
    seen = 6 if way is counting else 7
    np.testing.assert_array_equal(
        metrics["num_drops"], [0, seen - 2, seen - 2, (seen - 2) // 3]
    )
    rates = 0.1 * np.array([1, 0.5, 0.25, 0.5]) ** np.asarray(metrics["num_drops"])
    np.testing.assert_allclose(
        metrics["learning_rate"], np.maximum(rates, 1e-4), rtol=1e-5
    )


DTYPES = {
    f"{dtype}-{name}": (way, dtype)
    for name, way in WAYS.items()
    for dtype in ("bfloat16", "float16", "float32", "float64", "complex64")
}


@pytest.mark.parametrize(
    ("way", "dtype"),
    slow_but(
        DTYPES,
        *("complex64-wrapper", "bfloat16-counting"),
    ),
)
def test_dtypes(way, dtype):
    with jax.enable_x64(dtype == "float64"):
        params = make_params(jnp.dtype(dtype), scale=0.1)
        optimizer = way(**EAGER)
        state = optimizer.init(params)
        updates, new_state = jax.jit(optimizer.update)(params, state, params)
        chex.assert_trees_all_equal_dtypes(updates, params)
        chex.assert_trees_all_equal_shapes_and_dtypes(new_state, state)
        params, state = train(way, params, epochs=9)
        chex.assert_trees_all_equal_dtypes(params, make_params(jnp.dtype(dtype)))
        metrics = autodrop_metrics(state)
        assert float(metrics["num_drops"]) >= 3
        if way is windowed:
            return  # for its state see test_windowed_transformations.py
        assert all(np.isfinite(float(m)) for m in metrics.values())
        (auto,) = [s for s in state if isinstance(s, EpochAutoDropState)]
        wide = {"bfloat16": "float32", "float16": "float32"}.get(dtype, dtype)
        assert {x.dtype.name for x in jax.tree.leaves(auto.anchor)} == {dtype}
        assert {x.dtype.name for x in jax.tree.leaves(auto.previous_step)} == {wide}
        assert (
            auto.rate_scale.dtype
            == auto.threshold.dtype
            == auto.angles.dtype
            == jnp.float32
        )


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_wrapper_measures_from_where_narrow_parameters_land(dtype):
    # The jump to the average is rounded when it is added: the anchor must be there.
    optimizer = wrapper(**EAGER)
    params = jax.tree.map(lambda x: x + 3, make_params(jnp.dtype(dtype), 0.37))
    state = optimizer.init(params)
    update = jax.jit(optimizer.update)
    rng, landed = np.random.default_rng(0), 0
    for _ in range(20 * STEPS):
        gradients = jax.tree.map(
            lambda p: jnp.asarray(rng.normal(size=p.shape) * 9, p.dtype), params
        )
        updates, state = update(gradients, state, params)
        params = optax.apply_updates(params, updates)
        if int(state[1].step) == 0:
            chex.assert_trees_all_equal(state[1].anchor, params)
            landed += bool(state[1].averaged)
    assert landed >= 3


@pytest.mark.parametrize("way", [wrapper, counting, windowed])
def test_without_jit_only_the_first_step_compiles(way):
    assert_only_the_first_update_compiles(way(**EAGER))


@ways
def test_names_of_optax_still_find_one_value(way):
    plateau = optax.contrib.reduce_on_plateau()
    optimizer = optax.chain(optax.inject_hyperparams(optax.sgd)(0.1), plateau)
    state = optimizer.init(jnp.ones(2)), way().init(jnp.ones(2))
    assert float(optax.tree.get(state, "learning_rate")) == pytest.approx(0.1)
    assert float(optax.tree.get(state, "scale")) == 1.0


@some_ways
def test_donation_of_parameters_and_state_and_one_compilation(way):
    optimizer = way(**EAGER)
    params = make_params()
    state = optimizer.init(params)

    def step(params, state):
        updates, state = optimizer.update(params, state, params)
        return optax.apply_updates(params, updates), state

    donated = jax.jit(step, donate_argnums=(0, 1))
    # A function of its own: jit keeps one cache for each function it is given.
    end = jax.jit(lambda p, s: end_epoch(p, s), donate_argnums=(0, 1))
    for _ in range(8):
        for _ in range(STEPS):
            given = [x for x in jax.tree.leaves((params, state)) if x.size >= 4]
            params, state = donated(params, state)
            assert all(x.is_deleted() for x in given)  # reused, not copied
        if way in (link, front):
            params, state = end(params, state)
    assert np.all(np.isfinite(params["kernel"]))
    assert donated._cache_size() == 1
    assert end._cache_size() == (1 if way in (link, front) else 0)


@ways
def test_shapes_without_running(way):
    optimizer = way()
    params = make_params()
    shapes = jax.eval_shape(optimizer.init, params)
    chex.assert_trees_all_equal_shapes_and_dtypes(shapes, optimizer.init(params))
    _, after = jax.eval_shape(optimizer.update, params, shapes, params)
    chex.assert_trees_all_equal_shapes_and_dtypes(after, shapes)
    if way in (link, front):
        _, after = jax.eval_shape(end_epoch, params, shapes)
        chex.assert_trees_all_equal_shapes_and_dtypes(after, shapes)


@ways_of_epochs
def test_map_params_finds_every_tree_like_the_parameters(way):
    optimizer = way()
    state = optimizer.init(make_params())
    specs = {"kernel": "K", "bias": "B"}
    mapped = optax.tree.map_params(
        optimizer,
        lambda _, spec: spec,
        state,
        specs,
        transform_non_params=lambda _: "-",
    )
    (auto,) = [s for s in mapped if isinstance(s, EpochAutoDropState)]
    assert auto.anchor == auto.previous_step == specs
    assert auto.average == (None if way is counting else specs)
    assert (
        auto.rate_scale == auto.angles == auto.hyperparams.initial_learning_rate == "-"
    )


def test_inject_hyperparams_and_a_change_from_outside():
    optimizer = optax.inject_hyperparams(epoch_autodrop, static_args=STATIC)(
        1.0, threshold=0.0, max_threshold=180.0, drop_delay=1, drop_factor=0.5
    )
    params = jnp.zeros(2)
    state = optimizer.init(params)
    update = jax.jit(optimizer.update)

    def epoch(params, state):
        updates, state = update(jnp.ones(2), state, params)
        return end_epoch(optax.apply_updates(params, updates), state)

    for _ in range(5):  # a straight line, but nothing is below a threshold of 0
        params, state = epoch(params, state)
    assert float(autodrop_metrics(state)["num_drops"]) == 0
    state.hyperparams["threshold"] = jnp.float32(180.0)
    params, state = epoch(params, state)
    assert float(autodrop_metrics(state)["threshold"]) == 180.0
    assert float(autodrop_metrics(state)["num_drops"]) == 1
    state.hyperparams["drop_factor"] = jnp.float32(0.1)
    params, state = epoch(params, state)
    assert float(autodrop_metrics(state)["learning_rate"]) == pytest.approx(0.05)
    assert update._cache_size() == 1


def test_inject_hyperparams_around_the_wrapper():
    optimizer = optax.inject_hyperparams(
        with_epoch_autodrop, static_args=("optimizer", *STATIC)
    )(optax.sgd(0.1), 0.1, STEPS, **EAGER)
    params = make_params()
    state = optimizer.init(params)
    update = jax.jit(optimizer.update)
    for _ in range(4 * STEPS):
        updates, state = update(params, state, params)
        params = optax.apply_updates(params, updates)
    assert float(autodrop_metrics(state)["num_drops"]) == 1


def test_a_new_threshold_from_the_constructor_replaces_the_one_in_a_restored_state():
    params = jnp.zeros(1)
    old = epoch_autodrop(1.0, threshold=0.1, max_threshold=1.0)
    _, state = old.update(params, old.init(params))
    state = state._replace(threshold=jnp.float32(0.4))  # as after some drops
    _, same = old.update(params, state)
    assert float(same.threshold) == pytest.approx(0.4)
    _, lower_cap = epoch_autodrop(1.0, threshold=0.1, max_threshold=0.3).update(
        params, state
    )
    assert float(lower_cap.threshold) == pytest.approx(0.3)
    _, new = epoch_autodrop(1.0, threshold=0.2, max_threshold=1.0).update(params, state)
    assert float(new.threshold) == pytest.approx(0.2)


def test_extra_arguments_reach_the_wrapped_optimizer():
    plateau = optax.contrib.reduce_on_plateau(patience=1, factor=0.5)
    optimizer = with_epoch_autodrop(optax.chain(optax.sgd(0.1), plateau), 0.1, STEPS)
    state = optimizer.init(jnp.ones(1))
    with pytest.raises(TypeError, match="value"):
        optimizer.update(jnp.ones(1), state, jnp.ones(1))
    with jax.numpy_dtype_promotion("standard"):  # the plateau needs it
        optimizer.update(jnp.ones(1), state, jnp.ones(1), value=1.0)


def test_the_link_is_differentiable():
    optimizer = link()

    def loss(rate):
        params = jnp.ones(3)
        updates, _ = optimizer.update(rate * params, optimizer.init(params), params)
        return jnp.sum(optax.apply_updates(params, updates))

    assert float(jax.grad(loss)(1.0)) == pytest.approx(-0.3)


def test_leaves_that_are_no_parameters_pass_untouched():
    params = {
        "w": jnp.ones(3),
        "count": jnp.arange(4),
        "flag": jnp.array([True, False]),
        "key": jax.random.key(0),
        "none": None,
        "empty": jnp.zeros((0, 2)),
    }
    optimizer = epoch_autodrop(1.0, **EAGER)
    state = optimizer.init(params)
    for i in range(6):
        params["w"] = params["w"] + jnp.asarray([1.0, i % 2, 0.0])
        before = params
        params, state = end_epoch(params, state)
        chex.assert_trees_all_equal_structs(params, before)
        for name in ("count", "flag", "empty"):
            np.testing.assert_array_equal(params[name], before[name])
        assert params["key"] == before["key"]
    assert int(state.num_drops) == 2
