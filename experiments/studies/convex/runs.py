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
MAKERS = {
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
      optimizer: one of :data:`MAKERS`.
      rates: peak rates.
      seeds: of the order of the examples; the same order with all rates.
      factors: the schedule, of shape (steps,), or (seeds, steps) for one of each seed.
        Without it they are 1.
      autodrop_name: one of :data:`AUTODROPS`, which drops the rate then.
      epochs: passes over the examples.
    """
    return _train(
        problem, optimizer, rates, seeds, factors, epochs, autodrop=autodrop_name
    )[0]


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
    outcomes, state = _train(
        problem, optimizer, rate, seeds, factors, epochs, records=True
    )
    return outcomes, recorded_gradient_norms(state)


def _train(
    problem: Problem,
    optimizer: str,
    rates: float | Sequence[float],
    seeds: Sequence[int],
    factors: np.ndarray | None,
    epochs: int,
    *,
    autodrop: str | None = None,
    records: bool = False,
) -> tuple[Outcomes, Any]:
    """The outcomes and the optimizer's states; these of one rate have no axis of it."""
    steps = epochs * steps_per_epoch(problem)
    if factors is None:
        factors = np.ones(steps)
    factors = np.broadcast_to(factors, (len(seeds), steps))
    weights, state = _over_seeds_and_rates(
        _Setting(problem.classes, optimizer, autodrop, epochs, records),
        jnp.asarray(problem.inputs, jnp.float32),
        jnp.asarray(problem.labels),
        jnp.asarray(rates, jnp.float32),
        jnp.asarray(seeds, jnp.int32),
        jnp.asarray(factors, jnp.float32),
    )
    shape = len(seeds), np.size(rates)
    weights = np.asarray(weights).reshape(*shape, *weights.shape[-2:])
    drops = np.zeros(shape, int) if autodrop is None else np.asarray(state[1].num_drops)
    return Outcomes(problem.losses(weights), problem.errors(weights), drops), state


class _Setting(NamedTuple):
    """What a run is compiled for."""

    classes: int
    optimizer: str
    autodrop: str | None
    epochs: int
    records: bool = False  # the norms of the gradients


@functools.partial(jax.jit, static_argnums=0)
def _over_seeds_and_rates(setting, inputs, labels, rates, seeds, factors):
    def of_seed(seed, factors):
        # The order of the examples is the same for all rates, and computed once.
        order = _order(setting, seed, len(labels))
        run = functools.partial(_run, setting, inputs, labels, order, factors)
        return jax.vmap(run)(rates) if rates.ndim else run(rates)

    return jax.vmap(of_seed)(seeds, factors)


def _order(setting: _Setting, seed: jax.Array, examples: int) -> jax.Array:
    """Which examples are in each batch, shape (epochs, steps per epoch, batch)."""
    batches = examples // BATCH_SIZE

    def of_epoch(key):
        shuffled = jax.random.permutation(key, examples)[: batches * BATCH_SIZE]
        return shuffled.reshape(batches, BATCH_SIZE)

    return jax.lax.map(of_epoch, jax.random.split(jax.random.key(seed), setting.epochs))


def _run(setting: _Setting, inputs, labels, order, factors, rate) -> tuple[Any, Any]:
    """One run; the last weights and the optimizer's state."""
    make, norm = MAKERS[setting.optimizer]
    steps = factors.shape[0]
    optimizer = make(lambda count: rate * factors[count])
    if setting.records:
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
