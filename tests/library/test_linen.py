"""Linen's TrainState, with plain and with frozen dictionaries."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax.core import freeze
from flax.training.train_state import TrainState as PlainTrainState
from slow import slow_but

import autodrop_optax
from autodrop_optax import (
    autodrop,
    autodrop_eval_params,
    autodrop_restart,
    epoch_autodrop,
    with_epoch_autodrop,
)
from autodrop_optax.flax.linen import (
    autodrop_metrics,
    end_epoch,
    eval_state,
    recompute_batch_stats,
)

pytestmark = pytest.mark.usefixtures("promotion_as_flax_needs_it")


class Model(nn.Module):
    """With BatchNorm and dropout."""

    @nn.compact
    def __call__(self, x, train, dropout=False):
        x = nn.Dense(8)(x)
        x = nn.BatchNorm(momentum=0.9)(x, use_running_average=not train)
        x = nn.Dropout(0.1, deterministic=not dropout)(nn.relu(x))
        return nn.Dense(2)(x)


class TrainState(PlainTrainState):
    batch_stats: Any


MODEL = Model()
KEYWORDS = {"threshold": 180.0, "max_threshold": 180.0, "drop_delay": 3}
WAYS = {
    "link": optax.chain(optax.sgd(0.1, momentum=0.9), epoch_autodrop(0.1, **KEYWORDS)),
    "wrapper": with_epoch_autodrop(optax.sgd(0.1, momentum=0.9), 0.1, 3, **KEYWORDS),
}


def make_state(tx, dictionary):
    variables = MODEL.init(jax.random.key(0), jnp.ones((1, 3)), train=False)
    return TrainState.create(
        apply_fn=MODEL.apply,
        params=dictionary(variables["params"]),
        batch_stats=variables["batch_stats"],
        tx=tx,
    )


@jax.jit
def train_step(state, x, y, key):
    def loss(params):
        out, mutated = state.apply_fn(
            {"params": params, "batch_stats": state.batch_stats}, x, train=True,
            dropout=True, rngs={"dropout": key}, mutable=["batch_stats"],
        )  # fmt: skip
        return jnp.mean((out - y) ** 2), mutated["batch_stats"]

    gradients, batch_stats = jax.grad(loss, has_aux=True)(state.params)
    return state.apply_gradients(grads=gradients, batch_stats=batch_stats), gradients


KINDS = {
    f"{way}-{dictionary.__name__}": (way, dictionary)
    for way in WAYS
    for dictionary in (dict, freeze)
}


@pytest.mark.parametrize(("way", "dictionary"), slow_but(KINDS, "wrapper-dict"))
def test_it_does_what_plain_optax_does(way, dictionary):
    tx = WAYS[way]
    state = make_state(tx, dictionary)
    params = jax.tree.map(jnp.copy, state.params)
    opt_state = tx.init(params)
    rng = np.random.default_rng(0)
    end = jax.jit(end_epoch, donate_argnums=0)
    for epoch in range(8):
        for step in range(3):
            x, y = (jnp.asarray(rng.normal(size=(16, n)), jnp.float32) for n in (3, 2))
            key = jax.random.key(epoch * 3 + step)
            state, gradients = train_step(state, x, y, key)
            updates, opt_state = jax.jit(tx.update)(gradients, opt_state, params)
            params = optax.apply_updates(params, updates)
        if way == "link":
            state = end(state)
            params, opt_state = autodrop_optax.end_epoch(params, opt_state)
    assert isinstance(state, TrainState)
    chex.assert_trees_all_close(state.params, params, rtol=1e-5, atol=1e-6)
    metrics = autodrop_metrics(state)
    assert int(metrics["num_drops"]) == 2
    assert bool(metrics["averaged"])


def forward(variables, x):
    return MODEL.apply(variables, x, train=True, mutable=["batch_stats"])


def test_recomputed_statistics_are_the_mean_of_the_batches():
    variables = MODEL.init(jax.random.key(0), jnp.ones((1, 3)), train=False)
    rng = np.random.default_rng(1)
    batches = [jnp.asarray(rng.normal(size=(16, 3)) + i, jnp.float32) for i in range(4)]
    found = recompute_batch_stats(forward, variables, iter(batches))
    dense = variables["params"]["Dense_0"]
    inputs = [np.asarray(x @ dense["kernel"] + dense["bias"]) for x in batches]
    norm = found["BatchNorm_0"]
    np.testing.assert_allclose(
        norm["mean"], np.mean([h.mean(0) for h in inputs], 0), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(
        norm["var"], np.mean([h.var(0) for h in inputs], 0), rtol=1e-4
    )
    chex.assert_trees_all_equal_structs(found, variables["batch_stats"])
    # Outside of it BatchNorm keeps its momentum.
    _, mutated = forward(variables, batches[0])
    running = mutated["batch_stats"]["BatchNorm_0"]["mean"]
    np.testing.assert_allclose(running, 0.1 * inputs[0].mean(0), rtol=1e-4, atol=1e-6)


def test_nothing_to_recompute():
    with pytest.raises(
        ValueError, match=r"no collection batch_stats.*they have params"
    ):
        recompute_batch_stats(forward, {"params": {}}, [jnp.ones((1, 3))])
    variables = MODEL.init(jax.random.key(0), jnp.ones((1, 3)), train=False)
    with pytest.raises(ValueError, match="batches are empty"):
        recompute_batch_stats(forward, variables, [])


def test_a_jitted_forward_is_traced_anew_and_trains_on_as_before():
    variables = MODEL.init(jax.random.key(0), jnp.ones((1, 3)), train=False)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(16, 3)), jnp.float32)
    plain = recompute_batch_stats(forward, variables, [x])
    for call_first in (True, False):
        jitted = jax.jit(lambda v, x: forward(v, x))
        if call_first:
            jitted(variables, x)
        found = recompute_batch_stats(jitted, variables, [x])
        chex.assert_trees_all_close(found, plain, rtol=1e-5, atol=1e-6)
        _, trained = jitted(variables, x)
        _, expected = forward(variables, x)
        chex.assert_trees_all_close(trained, expected, rtol=1e-5, atol=1e-6)


class Mixed(nn.Module):
    """A frozen BatchNorm and a spectral norm beside one that trains."""

    @nn.compact
    def __call__(self, x, train):
        x = nn.BatchNorm(use_running_average=True, name="frozen")(x)
        x = nn.SpectralNorm(nn.Dense(4), name="spectral")(x, update_stats=train)
        return nn.BatchNorm(use_running_average=not train, name="live")(x)


def test_only_the_statistics_in_use_are_recomputed():
    model = Mixed()
    x = jnp.asarray(np.random.default_rng(0).normal(size=(32, 3)), jnp.float32)
    variables = model.init(jax.random.key(0), x, train=False)
    stats = variables["batch_stats"]
    stats["frozen"] = {"mean": jnp.full(3, 2.0), "var": jnp.full(3, 4.0)}
    found = recompute_batch_stats(
        lambda v, x: model.apply(v, x, train=True, mutable=["batch_stats"]),
        variables,
        [x],
    )
    chex.assert_trees_all_equal(found["frozen"], stats["frozen"])
    sigma = jax.tree.leaves(found["spectral"])
    assert all(np.all(np.isfinite(s)) and np.any(s != 0) for s in sigma)
    assert np.abs(found["live"]["mean"]).max() < 2


def test_a_state_with_the_average():
    state = make_state(optax.chain(optax.sgd(0.1), autodrop()), dict)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 16, 3)), jnp.float32)
    for i, batch in enumerate(x):
        state, _ = train_step(state, batch, batch[:, :2], jax.random.key(i))
    for arguments in ((), (x,)):
        with pytest.raises(ValueError, match=r"has batch_stats.*eval_state\(state, ba"):
            eval_state(state, *arguments)
    evaluated = eval_state(state, x, forward)
    assert isinstance(evaluated, TrainState)
    average = autodrop_eval_params(state.opt_state, state.params)
    chex.assert_trees_all_equal(evaluated.params, average)
    trained = state.params["Dense_0"]["kernel"]
    assert np.any(evaluated.params["Dense_0"]["kernel"] != trained)
    variables = {"params": average, "batch_stats": state.batch_stats}
    chex.assert_trees_all_equal(
        evaluated.batch_stats, recompute_batch_stats(forward, variables, x)
    )


def test_a_state_without_batch_norm():
    params = {"w": jnp.ones(3)}
    state = PlainTrainState.create(
        apply_fn=None, params=params, tx=optax.chain(optax.sgd(0.1), autodrop())
    )
    state = state.apply_gradients(grads=params)
    chex.assert_trees_all_equal(eval_state(state).params, params)
    state = autodrop_restart(state, factor=0.5)
    assert isinstance(state, PlainTrainState)
    assert float(autodrop_metrics(state)["scale"]) == 0.5
    state = autodrop_restart(state, state.params)
    assert float(autodrop_metrics(state)["scale"]) == 1.0
    chex.assert_trees_all_close(eval_state(state).params, {"w": jnp.full(3, 0.9)})
