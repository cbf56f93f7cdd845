"""Many runs at once on one problem: of several seeds and rates."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from autodrop_optax import end_epoch, epoch_autodrop
from autodrop_optax.refinement import record_gradient_norms, recorded_gradient_norms
from experiments.studies.convex.problems import Problem
from experiments.studies.convex.schedules import AUTODROPS, MIN_FACTOR

EPOCHS = 100
BATCH_SIZE = 16

# By name: the optimizer of a rate, and the norm that its schedules are refined by.
OPTIMIZERS = {
    "adam": (functools.partial(optax.adam, b1=0.9, b2=0.95), "l1"),
    "sgd": (optax.sgd, "l2"),
}


class Outcomes(NamedTuple):
    """Of runs over seeds and rates."""

    losses: np.ndarray  # shape (seeds, rates), float64: of the last iterate
    errors: np.ndarray  # shape (seeds, rates), percent
    drops: np.ndarray  # shape (seeds, rates): AutoDrop's; else 0


def steps_per_epoch(problem: Problem) -> int:
    """Batches in an epoch."""
    return len(problem.labels) // BATCH_SIZE


def train(
    problem: Problem,
    optimizer: str,
    rates: Sequence[float],
    seeds: Sequence[int],
    *,
    factors: np.ndarray | None = None,
    autodrop_name: str | None = None,
    epochs: int = EPOCHS,
) -> Outcomes:
    """Runs all seeds with all rates.

    Args:
      problem: what is minimised, from zero.
      optimizer: one of :data:`OPTIMIZERS`.
      rates: peak rates.
      seeds: of the order of the examples; the same order with all rates.
      factors: the schedule, of shape (steps,), or (seeds, steps) for one of each seed.
        Without it they are 1.
      autodrop_name: one of :data:`AUTODROPS`, which drops the rate then.
      epochs: passes over the examples.
    """
    steps = epochs * steps_per_epoch(problem)
    if factors is None:
        factors = np.ones(steps)
    factors = np.broadcast_to(factors, (len(seeds), steps))
    weights, drops = _over_seeds_and_rates(
        _Setting(problem.classes, optimizer, autodrop_name, epochs),
        jnp.asarray(problem.inputs, jnp.float32),
        jnp.asarray(problem.labels),
        jnp.asarray(rates, jnp.float32),
        jnp.asarray(seeds, jnp.int32),
        jnp.asarray(factors, jnp.float32),
    )
    weights = np.asarray(weights)
    return Outcomes(problem.losses(weights), problem.errors(weights), np.asarray(drops))


def train_and_record(
    problem: Problem,
    optimizer: str,
    rate: float,
    seeds: Sequence[int],
    *,
    factors: np.ndarray,
    epochs: int = EPOCHS,
) -> tuple[Outcomes, np.ndarray]:
    """As :func:`train`, of one rate; and the norms of all gradients, (seeds, steps)."""
    steps = epochs * steps_per_epoch(problem)
    factors = np.broadcast_to(factors, (len(seeds), steps))
    weights, state = _recorded_over_seeds(
        _Setting(problem.classes, optimizer, None, epochs),
        jnp.asarray(problem.inputs, jnp.float32),
        jnp.asarray(problem.labels),
        jnp.asarray(rate, jnp.float32),
        jnp.asarray(seeds, jnp.int32),
        jnp.asarray(factors, jnp.float32),
    )
    weights = np.asarray(weights)[:, None]
    drops = np.zeros(weights.shape[:2], int)
    outcomes = Outcomes(problem.losses(weights), problem.errors(weights), drops)
    return outcomes, recorded_gradient_norms(state)


class _Setting(NamedTuple):
    """What a run is compiled for."""

    classes: int
    optimizer: str
    autodrop: str | None
    epochs: int


@functools.partial(jax.jit, static_argnums=0)
def _over_seeds_and_rates(setting, inputs, labels, rates, seeds, factors):
    def of_seed(seed, factors):
        # The order of the examples is the same for all rates, and computed once.
        order = _order(setting, seed, len(labels))

        def of_rate(rate):
            weights, state = _run(setting, inputs, labels, order, rate, factors)
            drops = 0 if setting.autodrop is None else state[1].num_drops
            return weights, jnp.asarray(drops, jnp.int32)

        return jax.vmap(of_rate)(rates)

    return jax.vmap(of_seed)(seeds, factors)


@functools.partial(jax.jit, static_argnums=0)
def _recorded_over_seeds(setting, inputs, labels, rate, seeds, factors):
    def of_seed(seed, factors):
        order = _order(setting, seed, len(labels))
        return _run(setting, inputs, labels, order, rate, factors, records=True)

    return jax.vmap(of_seed)(seeds, factors)


def _order(setting: _Setting, seed: jax.Array, examples: int) -> jax.Array:
    """Which examples are in each batch, shape (epochs, steps per epoch, batch)."""
    batches = examples // BATCH_SIZE

    def of_epoch(key):
        shuffled = jax.random.permutation(key, examples)[: batches * BATCH_SIZE]
        return shuffled.reshape(batches, BATCH_SIZE)

    return jax.lax.map(of_epoch, jax.random.split(jax.random.key(seed), setting.epochs))


def _run(
    setting: _Setting, inputs, labels, order, rate, factors, records: bool = False
) -> tuple[Any, Any]:
    """One run; the last weights and the optimizer's state."""
    make, norm = OPTIMIZERS[setting.optimizer]
    steps = factors.shape[0]
    optimizer = make(lambda count: rate * factors[count])
    if records:
        size = steps + steps % 2
        optimizer = optax.chain(
            record_gradient_norms(norm, buffer_size=size), optimizer
        )
    if setting.autodrop is not None:
        # Behind the optimizer: in front of Adam it would be cancelled.
        link = epoch_autodrop(
            rate, min_learning_rate=MIN_FACTOR * rate, **AUTODROPS[setting.autodrop]
        )
        optimizer = optax.chain(optimizer, link)

    def loss(weights, batch):
        logits = inputs[batch] @ weights
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels[batch])
        return losses.mean()

    def step(carry, batch):
        weights, state = carry
        updates, state = optimizer.update(jax.grad(loss)(weights, batch), state)
        return (optax.apply_updates(weights, updates), state), None

    def epoch(carry, batches):
        carry, _ = jax.lax.scan(step, carry, batches)
        return (carry if setting.autodrop is None else end_epoch(*carry)), None

    weights = jnp.zeros((inputs.shape[1], setting.classes), jnp.float32)
    carry, _ = jax.lax.scan(epoch, (weights, optimizer.init(weights)), order)
    return carry
