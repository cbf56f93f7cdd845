"""The NNX form does what the functional form does."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from rounding import assert_same_but_rounding

import autodrop_optax
from autodrop_optax import (
    autodrop,
    autodrop_eval_params,
    epoch_autodrop,
    with_epoch_autodrop,
)
from autodrop_optax.flax import (
    autodrop_metrics,
    autodrop_restart,
    end_epoch,
    eval_model,
    recompute_batch_stats,
)
from autodrop_optax.flax._nnx import as_pure

pytestmark = pytest.mark.usefixtures("promotion_as_flax_needs_it")


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
    params = jax.tree.map(jnp.copy, as_pure(nnx.state(model, nnx.Param)))
    state = transformation.init(params)
    rng = np.random.default_rng(0)
    for _ in range(8):
        for _ in range(3):
            x, y = (jnp.asarray(rng.normal(size=(16, n)), jnp.float32) for n in (3, 2))
            gradients = as_pure(train_step(model, optimizer, x, y))
            updates, state = jax.jit(transformation.update)(gradients, state, params)
            params = optax.apply_updates(params, updates)
        if ends_epochs:
            end_epoch(model, optimizer)
            params, state = autodrop_optax.end_epoch(params, state)
    found = as_pure(nnx.state(model, nnx.Param))
    chex.assert_trees_all_close(found, params, rtol=1e-5, atol=1e-6)
    metrics = autodrop_metrics(optimizer)
    assert_same_but_rounding(metrics, autodrop_optax.autodrop_metrics(state))
    assert int(metrics["num_drops"]) == 2  # triggers in epochs 3 and 6, drops in 5, 8
    return model, metrics


def test_a_link_and_end_epoch():
    momentum = optax.sgd(0.1, momentum=0.9)
    model, metrics = train(optax.chain(momentum, epoch_autodrop(0.1, **KEYWORDS)), True)
    assert bool(metrics["averaged"])
    assert np.all(np.isfinite(model.norm.mean[...]))


@pytest.mark.slow
def test_the_wrapper():
    train(with_epoch_autodrop(optax.sgd(0.1, momentum=0.9), 0.1, 3, **KEYWORDS), False)


def test_inside_a_jitted_function_of_the_user():
    model = Model(nnx.Rngs(0))
    optimizer = nnx.Optimizer(
        model, optax.chain(optax.sgd(0.1), epoch_autodrop(0.1)), wrt=nnx.Param
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


def batch_statistics(model, x):
    """By hand: of the only BatchNorm's inputs."""
    h = np.asarray(x, np.float64) @ np.asarray(model.hidden.kernel[...], np.float64)
    h = h + np.asarray(model.hidden.bias[...], np.float64)
    return h.mean(axis=0), h.var(axis=0)


def test_recomputed_statistics_are_the_mean_of_the_batches():
    model = Model(nnx.Rngs(0))
    model.norm.mean[...] = jnp.full(8, jnp.nan)  # whatever was there is gone
    rng = np.random.default_rng(1)
    batches = [jnp.asarray(rng.normal(size=(16, 3)) + i, jnp.float32) for i in range(4)]
    before = jax.tree.map(jnp.copy, as_pure(nnx.state(model, nnx.Param)))
    recompute_batch_stats(model, iter(batches))
    means, variances = zip(*(batch_statistics(model, x) for x in batches), strict=True)
    found = model.norm.mean[...], model.norm.var[...]
    np.testing.assert_allclose(found[0], np.mean(means, axis=0), rtol=1e-4)
    np.testing.assert_allclose(found[1], np.mean(variances, axis=0), rtol=1e-4)
    after = as_pure(nnx.state(model, nnx.Param))
    chex.assert_trees_all_equal(after, before)
    # The model trains on as before.
    assert model.norm.momentum == 0.99
    assert not model.norm.use_running_average
    assert not model.dropout.deterministic


def test_another_way_to_call_the_model():
    model = Model(nnx.Rngs(0))
    x = jnp.ones((4, 3)) * jnp.arange(4.0)[:, None]
    recompute_batch_stats(model, [{"x": x}], lambda model, batch: model(batch["x"]))
    np.testing.assert_allclose(
        model.norm.mean[...], batch_statistics(model, x)[0], rtol=1e-4, atol=1e-6
    )


def test_nothing_to_recompute():
    with pytest.raises(ValueError, match="no nnx"):
        recompute_batch_stats(nnx.Linear(2, 2, rngs=nnx.Rngs(0)), [jnp.ones((1, 2))])
    with pytest.raises(ValueError, match="batches are empty"):
        recompute_batch_stats(Model(nnx.Rngs(0)), [])


@pytest.mark.slow
def test_split_and_merge_keep_a_run_as_it_is():
    def trained(again):
        model = Model(nnx.Rngs(0))
        link = optax.chain(
            optax.sgd(0.1, momentum=0.9), epoch_autodrop(0.1, **KEYWORDS)
        )
        optimizer = nnx.Optimizer(model, link, wrt=nnx.Param)
        rng = np.random.default_rng(0)
        for _ in range(6):
            for _ in range(3):
                x = jnp.asarray(rng.normal(size=(8, 3)), jnp.float32)
                train_step(model, optimizer, x, x[:, :2])
            end_epoch(model, optimizer)
            if again:
                model, optimizer = nnx.merge(*nnx.split((model, optimizer)))
        return as_pure(nnx.state(model)), autodrop_metrics(optimizer)

    plain, merged = trained(again=False), trained(again=True)
    chex.assert_trees_all_equal(merged, plain)
    assert int(plain[1]["num_drops"]) == 1


class Mixed(nnx.Module):
    """Dropout ahead of the norm; a spectral norm, which keeps vectors of its own."""

    def __init__(self, rngs: nnx.Rngs):
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.norm = nnx.BatchNorm(3, rngs=rngs)
        self.out = nnx.SpectralNorm(nnx.Linear(3, 2, rngs=rngs), rngs=rngs)

    def __call__(self, x):
        return self.out(self.norm(self.dropout(x)))


def test_only_batch_norm_is_recomputed_and_without_dropout():
    model = Mixed(nnx.Rngs(0))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(32, 3)), jnp.float32)
    model(x)

    def others():
        stats = nnx.to_flat_state(nnx.state(model, nnx.BatchStat))
        return {p: v[...] for p, v in stats if "norm" not in p}

    before = others()
    assert before
    recompute_batch_stats(model, [x])
    chex.assert_trees_all_equal(others(), before)
    np.testing.assert_allclose(model.norm.mean[...], x.mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model.norm.var[...], x.var(0), rtol=1e-4)


@pytest.mark.slow
def test_a_copy_of_the_model_with_the_average():
    model = Model(nnx.Rngs(0))
    optimizer = nnx.Optimizer(
        model, optax.chain(optax.sgd(0.1), autodrop()), wrt=nnx.Param
    )
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 16, 3)), jnp.float32)
    for batch in x:
        train_step(model, optimizer, batch, batch[:, :2])
    kept = nnx.Any(nnx.Param, nnx.BatchStat)
    before = jax.tree.map(np.asarray, as_pure(nnx.state(model, kept)))
    with pytest.raises(ValueError, match=r"has nnx\.BatchNorm.*eval_model\(.*batches"):
        eval_model(model, optimizer)
    evaluated = eval_model(model, optimizer, x)
    params = as_pure(nnx.state(model, nnx.Param))
    average = autodrop_eval_params(as_pure(optimizer.opt_state), params)
    found = as_pure(nnx.state(evaluated, nnx.Param))
    chex.assert_trees_all_equal(found, average)
    assert np.any(found["hidden"]["kernel"] != params["hidden"]["kernel"])
    means = [batch_statistics(evaluated, batch)[0] for batch in x]
    np.testing.assert_allclose(
        evaluated.norm.mean[...], np.mean(means, axis=0), rtol=1e-4, atol=1e-6
    )
    assert evaluated.norm.use_running_average
    assert evaluated.dropout.deterministic
    # The way back: the model is as it was, and trains.
    chex.assert_trees_all_equal(as_pure(nnx.state(model, kept)), before)
    assert not model.norm.use_running_average
    train_step(model, optimizer, x[0], x[0, :, :2])


def test_without_batch_norm_no_batches_are_needed():
    model = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.chain(autodrop()), wrt=nnx.Param)
    optimizer.update(model, nnx.state(model))
    evaluated = eval_model(model, optimizer)
    assert evaluated is not model
    np.testing.assert_array_equal(evaluated.bias[...], 0.0)


def test_a_new_phase_by_hand():
    model = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(
        model, optax.chain(optax.sgd(0.1), autodrop()), wrt=nnx.Param
    )

    @nnx.jit
    def step(model, optimizer, x):
        gradients = nnx.grad(lambda model: jnp.sum(model(x)))(model)
        optimizer.update(model, gradients)

    step(model, optimizer, jnp.ones((1, 3)))
    autodrop_restart(optimizer, factor=0.5)
    assert float(autodrop_metrics(optimizer)["scale"]) == 0.5
    bias = float(model.bias[0])
    step(model, optimizer, jnp.ones((1, 3)))
    assert float(model.bias[0]) == pytest.approx(bias - 0.05)
    autodrop_restart(optimizer, model)
    assert float(autodrop_metrics(optimizer)["scale"]) == 1.0
    assert int(autodrop_metrics(optimizer)["steps_since_drop"]) == 0
    step(model, optimizer, jnp.ones((1, 3)))
    np.testing.assert_allclose(
        eval_model(model, optimizer).bias[...], bias - 0.05, rtol=1e-6
    )
