"""Windowed AutoDrop under JAX's transformations and optax's tools.

What all ways to drive AutoDrop share is in test_transformations.py.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from slow import slow_but

import autodrop_optax.flax
from autodrop_optax import (
    EpochAutoDropState,
    WindowedAutoDropState,
    autodrop_metrics,
    end_epoch,
    epoch_autodrop,
    windowed_autodrop,
)

STATIC = ("buffer_size", "smoothing", "two_sided")
EAGER = {"window_steps": 1, "buffer_size": 2, "threshold": 180.0}
TREES = ("running_mean", "previous_mean", "previous_step")


def make_params(dtype="float32"):
    return {
        "kernel": jnp.arange(12, dtype=jnp.float32).reshape(3, 4).astype(dtype) * 0.1,
        "bias": jnp.ones(4, dtype),
    }


def train(optimizer, params, steps=14, seed=0):
    """Scanned steps on a noisy quadratic; the parameters, state and metrics."""

    def step(carry, key):
        params, state = carry
        leaves, treedef = jax.tree.flatten(params)
        keys = treedef.unflatten(list(jax.random.split(key, len(leaves))))
        gradients = jax.tree.map(
            lambda p, k: p + jax.random.normal(k, p.shape, p.dtype), params, keys
        )
        updates, state = optimizer.update(gradients, state, params)
        return (optax.apply_updates(params, updates), state), autodrop_metrics(state)

    keys = jax.random.split(jax.random.key(seed), steps)
    carry, metrics = jax.lax.scan(step, (params, optimizer.init(params)), keys)
    return *carry, metrics


@pytest.mark.parametrize(
    "dtype",
    slow_but(
        ["bfloat16", "float16", "float32", "float64", "complex64"],
        *("bfloat16", "float64"),
    ),
)
def test_dtypes_of_the_state(dtype):
    with jax.enable_x64(dtype == "float64"):
        params = make_params(dtype)
        link = windowed_autodrop(0.1, **EAGER)
        state = link.init(params)
        wide = {"bfloat16": "float32", "float16": "float32"}.get(dtype, dtype)
        for name in TREES:
            leaves = jax.tree.leaves(getattr(state, name))
            assert {x.dtype.name for x in leaves} == {wide}
        others = jax.tree.leaves(state._replace(**dict.fromkeys(TREES)))
        assert {x.dtype.name for x in others} == {"float32", "int32", "bool"}
        assert not any(x.weak_type for x in jax.tree.leaves(state))
        _, after = link.update(params, state, params)
        chex.assert_trees_all_equal_shapes_and_dtypes(after, state)
        assert not any(x.weak_type for x in jax.tree.leaves(after))


def test_vmap_over_hyperparameters():
    def run(window_steps, sample_every, threshold, drop_factor):
        link = windowed_autodrop(
            0.1,
            window_steps=window_steps,
            sample_every=sample_every,
            threshold=threshold,
            drop_factor=drop_factor,
            buffer_size=2,
        )
        optimizer = optax.chain(optax.sgd(0.1), link)
        return train(optimizer, make_params())[2]

    metrics = jax.jit(jax.vmap(run))(
        jnp.array([1, 1, 2, 4]),
        jnp.array([1, 1, 1, 2]),
        jnp.array([180.0, 180.0, 180.0, 180.0]),
        jnp.array([0.5, 0.25, 0.5, 0.5]),
    )
    last = jax.tree.map(lambda x: np.asarray(x[:, -1]), metrics)
    np.testing.assert_array_equal(last["window"], [14, 14, 7, 3])
    # Windows 5, 8, 11, 14 of 14; window 5 of 7; none of 3.
    np.testing.assert_array_equal(last["num_drops"], [4, 4, 1, 0])
    rates = 0.1 * np.array([0.5, 0.25, 0.5, 0.5]) ** last["num_drops"]
    np.testing.assert_allclose(last["learning_rate"], rates, rtol=1e-5)


def test_a_window_in_arrays_ends_with_a_sample():
    # As Python numbers 3 and 2 are an error. As arrays: samples 2, 4; the end with 4.
    def run(window_steps, sample_every):
        link = windowed_autodrop(
            0.1, window_steps=window_steps, sample_every=sample_every
        )
        return train(link, make_params(), steps=12)[2]["window"]

    windows = jax.jit(run)(3, 2)
    np.testing.assert_array_equal(windows, np.arange(1, 13) // 4)


def test_inject_hyperparams_and_a_change_from_outside():
    make = optax.inject_hyperparams(windowed_autodrop, static_args=STATIC)
    optimizer = make(1.0, **EAGER | {"threshold": 0.0}, two_sided=True, drop_factor=0.5)
    params = jnp.zeros(2)
    state = optimizer.init(params)
    update = jax.jit(optimizer.update)

    def steps(number, params, state):
        for i in range(number):
            updates, state = update(jnp.ones(2) * (1 + i % 3), state, params)
            params = optax.apply_updates(params, updates)
        return params, state

    params, state = steps(20, params, state)
    assert float(autodrop_metrics(state)["num_drops"]) == 0
    state.hyperparams["threshold"] = jnp.float32(180.0)
    params, state = steps(1, params, state)
    assert float(autodrop_metrics(state)["learning_rate"]) == 0.5
    state.hyperparams["window_steps"] = jnp.asarray(5)
    params, state = steps(14, params, state)
    assert float(autodrop_metrics(state)["num_drops"]) == 1
    params, state = steps(1, params, state)  # three windows of 5 after the drop
    assert float(autodrop_metrics(state)["num_drops"]) == 2
    assert update._cache_size() == 1


def test_map_params_finds_every_tree_like_the_parameters():
    link = windowed_autodrop(0.1)
    specs = {"kernel": "K", "bias": "B"}
    mapped = optax.tree.map_params(
        link,
        lambda _, spec: spec,
        link.init(make_params()),
        specs,
        transform_non_params=lambda _: "-",
    )
    assert all(getattr(mapped, name) == specs for name in TREES)
    assert mapped.rate_scale == mapped.angles == mapped.hyperparams.window_steps == "-"


@pytest.mark.parametrize(
    "inner",
    slow_but(["masked", "partition", "multi_steps"], "partition", "multi_steps"),
)
def test_inside_optax(inner):
    def one(rate):
        return optax.chain(optax.sgd(rate), windowed_autodrop(rate, **EAGER))

    optimizer = {
        "masked": lambda: optax.masked(one(0.1), {"kernel": True, "bias": False}),
        "partition": lambda: optax.partition(
            {"a": one(0.1), "b": one(0.2)}, {"kernel": "a", "bias": "b"}
        ),
        "multi_steps": lambda: optax.MultiSteps(one(0.1), 2).gradient_transformation(),
    }[inner]()
    steps = 28 if inner == "multi_steps" else 14
    with jax.numpy_dtype_promotion("standard"):  # MultiSteps needs it
        _, state, _ = jax.jit(lambda p: train(optimizer, p, steps))(make_params())
    metrics = autodrop_metrics(state)
    drops = [float(v) for k, v in metrics.items() if k.endswith("num_drops")]
    assert drops == ([4.0, 4.0] if inner == "partition" else [4.0])


def test_apply_if_finite_around_it():
    inner = optax.chain(optax.sgd(0.1), windowed_autodrop(0.1, **EAGER))
    optimizer = optax.apply_if_finite(inner, 100)
    params = make_params()
    state = optimizer.init(params)
    update = jax.jit(optimizer.update)
    for i in range(14):
        bad = jnp.nan if i == 5 else 1.0
        gradients = jax.tree.map(lambda p, b=bad, i=i: jnp.sin(p + i) * b, params)
        updates, state = update(gradients, state, params)
        params = optax.apply_updates(params, updates)
    metrics = autodrop_metrics(state)
    assert float(metrics["window"]) == 13  # the rejected step has not been
    assert float(metrics["num_drops"]) == 3
    assert np.isfinite(params["kernel"]).all()


def test_beside_the_method_of_epochs():
    # One group each: end_epoch acts on its own alone, the metrics tell them apart.
    optimizer = optax.partition(
        {"e": epoch_autodrop(0.1), "w": windowed_autodrop(0.2)},
        {"kernel": "e", "bias": "w"},
    )
    params = make_params()
    state = optimizer.init(params)
    params, after = end_epoch(params, state)
    metrics = autodrop_metrics(after)
    kinds = (EpochAutoDropState, WindowedAutoDropState)
    states = [
        x
        for x in jax.tree.leaves(after, is_leaf=lambda x: isinstance(x, kinds))
        if isinstance(x, kinds)
    ]
    assert len(states) == 2
    rates = {k: float(v) for k, v in metrics.items() if k.endswith("/learning_rate")}
    assert sorted(rates.values()) == pytest.approx([0.1, 0.2])
    assert [float(v) for k, v in metrics.items() if k.endswith("/epoch")] == [1]
    assert [float(v) for k, v in metrics.items() if k.endswith("/window")] == [0]


def test_differentiation_takes_the_rates_as_they_come():
    link = windowed_autodrop(0.1, window_steps=1, buffer_size=1, drop_factor=0.5)
    optimizer = optax.chain(optax.sgd(0.1), link)
    curvature = jnp.array([1.0, 2.0, 3.0])

    def end(params):
        state, rates = optimizer.init(params), []
        for i in range(6):
            gradients = curvature * params + i
            updates, state = optimizer.update(gradients, state, params)
            params = optax.apply_updates(params, updates)
            rates.append(autodrop_metrics(state)["learning_rate"])
        return jnp.sum(params), jnp.stack(rates)

    slope, rates = jax.grad(end, has_aux=True)(jnp.ones(3))
    assert len(set(rates.tolist())) >= 2
    expected = jnp.prod(1 - rates[:, None] * curvature[None], axis=0)
    np.testing.assert_allclose(slope, expected, rtol=1e-5)


def test_the_nnx_optimizer():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        model = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
        link = windowed_autodrop(0.1, **EAGER)
        optimizer = nnx.Optimizer(
            model, optax.chain(optax.sgd(0.1), link), wrt=nnx.Param
        )

        @nnx.jit
        def step(model, optimizer, x):
            gradients = nnx.grad(lambda m: jnp.mean(m(x) ** 2))(model)
            optimizer.update(model, gradients)

        for i in range(14):
            step(model, optimizer, jnp.sin(jnp.arange(12.0) + i).reshape(4, 3))
        metrics = autodrop_optax.flax.autodrop_metrics(optimizer)
        assert float(metrics["num_drops"]) == 4
