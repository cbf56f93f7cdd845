"""An optimizer's step alone: update and apply, in place, with given gradients."""

import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import optax

from autodrop_optax import AutoDropState
from experiments.benchmark.inputs import Leaves
from experiments.benchmark.timing import Side, going_on

SGD = optax.sgd(0.1, momentum=0.9)
FAR = 1e9  # steps: no check comes while the clock runs


def optimizer_side(
    optimizer: optax.GradientTransformation, gradients: Sequence[Leaves], steps: int
) -> Side:
    """Steps of an optimizer, each a call; the gradients change from run to run."""
    step = make_optimizer_step(optimizer)
    turns = itertools.cycle(gradients)

    def run(params, state):
        given = next(turns)
        for _ in range(steps):
            params, state = step(params, state, given)
        return params, state

    params = [jnp.ones_like(g) for g in gradients[0]]
    # Copied: what init returns as it got it could not be donated twice.
    return going_on(run, params, jax.tree.map(jnp.copy, optimizer.init(params)))


def make_optimizer_step(optimizer: optax.GradientTransformation):
    """A jitted step that donates parameters and state."""
    optimizer = optax.with_extra_args_support(optimizer)

    def step(params, state, gradients):
        # Of the optimizers here only reduce_on_plateau looks at the value.
        updates, state = optimizer.update(gradients, state, params, value=1.0)
        return optax.apply_updates(params, updates), state

    # What is only handed through is memory all the same: memory_rows counts it.
    return jax.jit(step, donate_argnums=(0, 1), keep_unused=True)


def at_step(
    link: optax.GradientTransformationExtraArgs, n: int, *, checks: bool = False
) -> optax.GradientTransformationExtraArgs:
    """AutoDrop that is n steps into its first phase.

    Args:
      link: ``autodrop`` with its options.
      n: steps of the phase.
      checks: whether each step has a check, or none.
    """

    def init(params):
        state = link.init(params)
        assert isinstance(state, AutoDropState)
        count = jnp.full((), n, jnp.int32)
        return state._replace(
            steps=count,
            steps_since_drop=jnp.copy(count),
            age=jnp.full((), n, jnp.float32),
            # The next one comes at a multiple of it: at 0 again.
            check_time=jnp.full((), 0 if checks else FAR, jnp.float32),
        )

    return optax.GradientTransformationExtraArgs(init, link.update)
