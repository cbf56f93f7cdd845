"""A small noisy problem, the library's ways to run it, and the reference's."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from reference import Algorithm1, logged

from autodrop_optax import (
    autodrop_metrics,
    end_epoch,
    epoch_autodrop,
    with_epoch_autodrop,
)

STEPS = 4  # per epoch
EPOCHS = 60
RATE = 0.1

# The library's names of the reference's arguments.
NAMES = {
    "rho": "drop_factor",
    "alpha_min": "min_learning_rate",
    "theta_0": "threshold",
    "theta_max": "max_threshold",
    "n_d": "drop_delay",
}
# The library's, as numbers that can be traced.
DEFAULTS = {
    "drop_factor": 0.2,
    "min_learning_rate": 1e-4,
    "threshold": 0.01,
    "max_threshold": 1.0,
    "drop_delay": 20,
}


class Problem(NamedTuple):
    """A noisy quadratic: gradient A (x - c_t) at step t, A diagonal."""

    params: dict
    curvature: np.ndarray  # shape (n,)
    centres: np.ndarray  # shape (EPOCHS, STEPS, n)


def make_problem(seed: int) -> Problem:
    rng = np.random.default_rng(seed)
    shapes = {
        "kernel": (7, 5),
        "bias": (3,),
        "nested": {"scalar": (), "cube": (2, 3, 2)},
    }
    params = jax.tree.map(
        lambda shape: jnp.asarray(rng.normal(size=shape) * 3, jnp.float32),
        shapes,
        is_leaf=lambda x: isinstance(x, tuple),
    )
    n = flat(params).size
    curvature = np.exp(rng.uniform(-3, 1, size=n))
    return Problem(params, curvature, rng.normal(size=(EPOCHS, STEPS, n)))


def flat(tree) -> np.ndarray:
    return np.concatenate(
        [np.ravel(np.asarray(x, np.float64)) for x in jax.tree.leaves(tree)]
    )


def unflatten(vector, tree):
    leaves, treedef = jax.tree.flatten(tree)
    parts = jnp.split(vector, np.cumsum([x.size for x in leaves])[:-1])
    return treedef.unflatten(
        [p.reshape(x.shape) for p, x in zip(parts, leaves, strict=True)]
    )


def run_reference(problem: Problem, options: dict, momentum=0.9, front=False):
    """Heavy-ball SGD in float64; a record of each epoch and the smallest margin."""
    x, v = flat(problem.params), 0.0
    auto = Algorithm1(x, RATE, **options)
    records = []
    for epoch_centres in problem.centres:
        for c in epoch_centres:
            g = problem.curvature * (x - c)
            scale = auto.alpha / RATE
            v = momentum * v + (scale * g if front else g)
            x = x - RATE * (v if front else scale * v)
        x = auto.end_epoch(x)
        records.append(
            {
                "params": x,
                "angular_velocity": logged(auto.w[-1]),
                "delay_count": auto.k,
                "num_drops": auto.drops,
                "learning_rate": auto.alpha,
                "threshold": auto.theta,
            }
        )
    return records, auto.margin


@functools.cache
def _compiled(way: str, static: tuple, momentum: float):
    """All epochs of a way, compiled once; settings that are numbers are arguments."""

    def run(params, centres, curvature, numbers):
        optimizer = _optimizer(way, dict(static) | numbers, momentum)
        epoch = _epoch(optimizer, way, curvature)
        return jax.lax.scan(epoch, (params, optimizer.init(params)), centres)[1]

    return jax.jit(run)


def _optimizer(way, keywords, momentum):
    sgd = optax.sgd(RATE, momentum=momentum)
    return {
        "link-last": lambda: optax.chain(sgd, epoch_autodrop(RATE, **keywords)),
        "link-first": lambda: optax.chain(epoch_autodrop(RATE, **keywords), sgd),
        "wrapper": lambda: with_epoch_autodrop(sgd, RATE, STEPS, **keywords),
        "counting-last": lambda: optax.chain(
            sgd, epoch_autodrop(RATE, steps_per_epoch=STEPS, **keywords)
        ),
        "counting-first": lambda: optax.chain(
            epoch_autodrop(RATE, steps_per_epoch=STEPS, **keywords), sgd
        ),
    }[way]()


def _epoch(optimizer, way, curvature):
    def step(carry, c):
        params, state = carry
        x = jnp.concatenate([jnp.ravel(p) for p in jax.tree.leaves(params)])
        gradients = unflatten(curvature * (x - c), params)
        updates, state = optimizer.update(gradients, state, params)
        return (optax.apply_updates(params, updates), state), None

    def epoch(carry, centres):
        carry, _ = jax.lax.scan(step, carry, centres)
        params, state = carry
        if way.startswith("link"):
            params, state = end_epoch(params, state)
        # A counting link sees the end of an epoch at the first step of the next.
        seen = state
        if way.startswith("counting"):
            _, seen = optimizer.update(params, state, params)
        return (params, state), (params, autodrop_metrics(seen))

    return epoch


def run_library(problem: Problem, options: dict, way: str, momentum=0.9):
    """The same through the library; ``way`` is one of the keys above."""
    numbers = DEFAULTS | {
        NAMES[name]: value for name, value in options.items() if name in NAMES
    }
    static = tuple((k, v) for k, v in options.items() if k not in NAMES)
    run = _compiled(way, static, momentum)
    arrays = np.float32(problem.centres), np.float32(problem.curvature)
    params, metrics = jax.device_get(run(problem.params, *arrays, numbers))
    return [
        {"params": flat(jax.tree.map(lambda x, t=t: x[t], params))}
        | {name: value[t] for name, value in metrics.items()}
        for t in range(EPOCHS)
    ]
