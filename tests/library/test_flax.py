"""The NNX form does what the functional form does."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import autodrop_optax
from autodrop_optax import autodrop, with_autodrop
from autodrop_optax.flax import autodrop_metrics, end_epoch


@pytest.fixture(autouse=True)
def promotion_as_flax_needs_it():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


class Model(nnx.Module):
    """With BatchNorm and dropout: variables that are no parameters."""

    def __init__(self, rngs: nnx.Rngs):
        self.hidden = nnx.Linear(3, 8, rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.dropout = nnx.Dropout(0.1, rngs=rngs)
        self.out = nnx.Linear(8, 2, rngs=rngs)

    def __call__(self, x):
        return self.out(self.dropout(nnx.relu(self.norm(self.hidden(x)))))


KEYWORDS = {"threshold": 180.0, "max_threshold": 180.0, "drop_delay": 3}


@nnx.jit
def train_step(model, optimizer, x, y):
    def loss(model):
        return jnp.mean((model(x) - y) ** 2)

    gradients = nnx.grad(loss)(model)
    optimizer.update(model, gradients)
    return gradients


def train(transformation, ends_epochs):
    """Runs NNX and, beside it on the same gradients, plain optax."""
    model = Model(nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, transformation, wrt=nnx.Param)
    params = jax.tree.map(jnp.copy, nnx.as_pure(nnx.state(model, nnx.Param)))
    state = transformation.init(params)
    rng = np.random.default_rng(0)
    for _ in range(8):
        for _ in range(3):
            x, y = (jnp.asarray(rng.normal(size=(16, n)), jnp.float32) for n in (3, 2))
            gradients = nnx.as_pure(train_step(model, optimizer, x, y))
            updates, state = jax.jit(transformation.update)(gradients, state, params)
            params = optax.apply_updates(params, updates)
        if ends_epochs:
            end_epoch(model, optimizer)
            params, state = autodrop_optax.end_epoch(params, state)
    found = nnx.as_pure(nnx.state(model, nnx.Param))
    chex.assert_trees_all_close(found, params, rtol=1e-5, atol=1e-6)
    metrics = autodrop_metrics(optimizer)
    chex.assert_trees_all_close(
        metrics, autodrop_optax.autodrop_metrics(state), rtol=1e-3, atol=1e-3
    )
    assert int(metrics["num_drops"]) == 2  # triggers in epochs 3 and 6, drops in 5, 8
    return model, metrics


def test_a_link_and_end_epoch():
    momentum = optax.sgd(0.1, momentum=0.9)
    model, metrics = train(optax.chain(momentum, autodrop(0.1, **KEYWORDS)), True)
    assert bool(metrics["averaged"])
    assert np.all(np.isfinite(model.norm.mean[...]))


def test_the_wrapper():
    train(with_autodrop(optax.sgd(0.1, momentum=0.9), 0.1, 3, **KEYWORDS), False)


def test_inside_a_jitted_function_of_the_user():
    model = Model(nnx.Rngs(0))
    optimizer = nnx.Optimizer(
        model, optax.chain(optax.sgd(0.1), autodrop(0.1)), wrt=nnx.Param
    )

    @nnx.jit
    def epoch(model, optimizer):
        end_epoch(model, optimizer)
        return autodrop_metrics(optimizer)["epoch"]

    assert int(epoch(model, optimizer)) == 1
    assert int(epoch(model, optimizer)) == 2


def test_an_optimizer_without_autodrop():
    model = Model(nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param)
    with pytest.raises(ValueError, match="holds no state of AutoDrop"):
        end_epoch(model, optimizer)
