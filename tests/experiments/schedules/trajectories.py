"""Helpers of the rivals' tests: sequences to feed them, and a run of a link."""

import jax
import jax.numpy as jnp
import numpy as np
import optax


def gradients_of(
    steps: int, size: int = 5, seed: int = 0, strength: float = 1.0
) -> np.ndarray:
    """Gradients that first agree and later do not, shape (steps, size), float64."""
    rng = np.random.default_rng(seed)
    mean = (
        strength * np.linspace(1.0, 2.0, size) * np.exp(-np.arange(steps) / 10)[:, None]
    )
    return mean + rng.normal(size=(steps, size)) * 0.3


def as_tree(vector: np.ndarray) -> dict[str, jax.Array]:
    """Splits a vector of at least two numbers into two leaves of different rank."""
    vector = np.asarray(vector, np.float32)
    return {"w": jnp.asarray(vector[None, :-1]), "b": jnp.asarray(vector[-1])}


def run(transformation, start: np.ndarray, gradients: np.ndarray, read):
    """Feeds gradients to a transformation, in one jitted scan.

    Args:
      transformation: what is tested.
      start: the parameters, a vector.
      gradients: one per step, shape (steps, size).
      read: maps a state to a pytree of scalars.

    Returns:
      The parameters before every step and after the last, shape (steps + 1, size);
      what ``read`` gives after every step, arrays of shape (steps,); the last state.
    """
    params = as_tree(start)
    gradients = np.asarray(gradients, np.float32)
    trees = {"w": gradients[:, None, :-1], "b": gradients[:, -1]}

    def step(carry, gradient):
        params, state = carry
        updates, state = transformation.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), (params, read(state))

    @jax.jit
    def scan(params, trees):
        state = transformation.init(params)
        return jax.lax.scan(step, (params, state), trees)

    (_, state), (path, seen) = scan(params, trees)
    path = np.concatenate(
        [np.reshape(path["w"], (len(gradients), -1)), np.asarray(path["b"])[:, None]],
        axis=1,
    )
    return np.vstack([start, path]), jax.tree.map(np.asarray, seen), state
