"""Steps of training with AutoDrop over steps without."""

import functools
import math
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from autodrop_optax import epoch_autodrop, windowed_autodrop, with_epoch_autodrop
from experiments.benchmark.config import BenchmarkConfig
from experiments.benchmark.inputs import normal_leaves, synthetic_fashion_mnist
from experiments.benchmark.optimizer_step import SGD, optimizer_side
from experiments.benchmark.timing import Row, Side, going_on, timed_row
from experiments.data.dataset import Dataset
from experiments.run.evaluation import cross_entropy
from experiments.task import optimizers
from experiments.task.workloads import WORKLOADS

NEVER = 10**9  # steps per epoch: no epoch ends while the clock runs


def link_rows(config: BenchmarkConfig) -> Iterator[Row]:
    """An optimizer's step alone: update and apply, in place, with given gradients."""
    # No plateau may be found: scales that fall for ever end in denormal numbers.
    plateau = optax.contrib.reduce_on_plateau(patience=NEVER)
    others = {
        "sgd, link": (optax.chain(SGD, epoch_autodrop(0.1)), 1.10),
        "link, sgd": (optax.chain(epoch_autodrop(0.1), SGD), math.nan),
        "with_epoch_autodrop(sgd)": (with_epoch_autodrop(SGD, 0.1, NEVER), math.nan),
        "sgd, reduce_on_plateau": (optax.chain(SGD, plateau), math.nan),
        "schedule_free": (optax.contrib.schedule_free_sgd(0.1), math.nan),
    }
    for millions in (10, 100):
        gradients = normal_leaves(config.scaled(millions * 10**6), leaves=20, seed=0)
        steps = 100 // millions  # short ones are timed in a row
        for name, (optimizer, limit) in others.items():
            yield timed_row(
                f"step, {millions} M: {name} / sgd",
                functools.partial(optimizer_side, SGD, [gradients], steps),
                optimizer_side(optimizer, [gradients], steps),
                config.repeats,
                limit,
            )


def accumulated_rows(config: BenchmarkConfig) -> Iterator[Row]:
    """A micro-batch with AutoDrop around or inside of gradient accumulation."""
    link = epoch_autodrop(0.1)
    base = accumulated(SGD)
    others = {
        "MultiSteps(sgd), link": optax.chain(base, link),
        "MultiSteps(sgd, link)": accumulated(optax.chain(SGD, link)),
        "with_epoch_autodrop(MultiSteps(sgd))": with_epoch_autodrop(base, 0.1, NEVER),
        "MultiSteps(with_epoch_autodrop(sgd))": accumulated(
            with_epoch_autodrop(SGD, 0.1, NEVER)
        ),
    }
    gradients = [normal_leaves(config.scaled(10**7), leaves=20, seed=0)]
    for name, optimizer in others.items():
        # 8 micro-batches: two steps of the optimizer.
        yield timed_row(
            f"micro-batch, 10 M: {name} / MultiSteps(sgd)",
            functools.partial(optimizer_side, base, gradients, 8),
            optimizer_side(optimizer, gradients, 8),
            config.repeats,
        )


def accumulated(
    optimizer: optax.GradientTransformation,
) -> optax.GradientTransformation:
    """An optimizer that steps once in four micro-batches."""
    return optax.MultiSteps(optimizer, 4).gradient_transformation()


def wrapper_rows(config: BenchmarkConfig) -> Iterator[Row]:
    """The demo's training step with and without the wrapper, no epoch end."""
    data = synthetic_fashion_mnist(config)
    base = optimizers.sgd(0.1, momentum=0.9, weight_decay=5e-4)
    wrapped = with_epoch_autodrop(base, 0.1, NEVER)
    for how, scan in (("one scan", True), ("step calls", False)):
        yield timed_row(
            f"training, {how}: with_epoch_autodrop / without",
            functools.partial(training_side, base, data, scan),
            training_side(wrapped, data, scan),
            config.repeats,
            limit=1.08,
        )


def windowed_rows(config: BenchmarkConfig) -> Iterator[Row]:
    """The demo's training step and an optimizer's alone, with windows of 64 steps."""
    data = synthetic_fashion_mnist(config)
    base = optimizers.sgd(0.1, momentum=0.9, weight_decay=5e-4)
    # Others in each window: the angle of a straight line would take a second pass.
    gradients = [normal_leaves(config.scaled(10**7), 20, seed) for seed in range(3)]
    for sampled, sample_every, limit in (
        ("every step", 1, 1.25),
        ("every 8th", 8, 1.05),
    ):
        link = windowed_autodrop(0.1, sample_every=sample_every)
        for how, scan in (("one scan", True), ("step calls", False)):
            yield timed_row(
                f"training, {how}: windowed_autodrop, {sampled} / without",
                functools.partial(training_side, base, data, scan),
                training_side(optax.chain(base, link), data, scan),
                config.repeats,
                limit,
            )
        # 64 steps at a time: each timing is a window and its end.
        yield timed_row(
            f"step, 10 M: sgd, windowed_autodrop, {sampled} / sgd",
            functools.partial(optimizer_side, SGD, gradients, 64),
            optimizer_side(optax.chain(SGD, link), gradients, 64),
            config.repeats,
        )


def training_side(
    optimizer: optax.GradientTransformation, data: Dataset, scan: bool
) -> Side:
    """The steps of an epoch of the demo, in one jitted scan or each a jitted call."""
    workload = WORKLOADS["fashion_mnist_mlp"]
    graphdef, params = nnx.split(workload.model(data, nnx.Rngs(0)))
    images, labels = data.train_inputs, data.train_labels
    size = len(labels) // workload.batch_size * workload.batch_size
    order = np.random.default_rng(0).permutation(len(labels))[:size]
    batches = jnp.asarray(order.reshape(-1, workload.batch_size))

    def loss_fn(params, images, labels):
        return cross_entropy(nnx.merge(graphdef, params)(images), labels).mean()

    def step(params, state, batch, images, labels):
        gradients = jax.grad(loss_fn)(params, images[batch], labels[batch])
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    def epoch(params, state, batches, images, labels):
        def body(carry, batch):
            params, state = carry
            return step(params, state, batch, images, labels), None

        return jax.lax.scan(body, (params, state), batches)[0]

    function = jax.jit(epoch if scan else step, donate_argnums=(0, 1))
    calls = [batches] if scan else list(batches)

    def run(params, state):
        for batch in calls:
            params, state = function(params, state, batch, images, labels)
        return params, state

    params = nnx.to_pure_dict(params)
    return going_on(run, params, jax.tree.map(jnp.copy, optimizer.init(params)))
