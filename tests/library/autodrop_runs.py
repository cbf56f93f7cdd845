"""Motions that autodrop watches, and what it made of them, beside the reference."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from reference_autodrop import AutoDrop, random_walk_angle

from autodrop_optax import AutoDropState, autodrop

# The library's names of the reference's arguments.
NAMES = {
    "rho": "drop_factor",
    "scale_min": "min_scale",
    "w_max": "max_angle",
    "patience": "patience",
    "p": "power",
    "q": "ratio",
    "n_0": "first_check",
}
STEPS, SIZE = 1500, 20  # of most motions: each other size is compiled anew


class Course(NamedTuple):
    """What was seen at each step, and the state at the end."""

    scale: np.ndarray  # shape (steps,)
    average: Any  # a tree like the parameters, with an axis of steps in front
    state: AutoDropState

    @property
    def drops(self) -> list[int]:
        """The steps N at which the scale fell."""
        return [int(n) for n in np.flatnonzero(np.diff(self.scale, prepend=1)) + 1]

    @property
    def angles(self) -> np.ndarray:
        """Pairs (N, w), shape (checks, 2)."""
        pairs = np.stack([self.state.angle_steps, self.state.angles], axis=1)
        return pairs[pairs[:, 0] > 0]


def arrays(options: dict) -> dict:
    """The reference's options, all of them, as arguments that can be traced."""
    options = {"rho": 0.5, "scale_min": 0.0, "patience": 2, "p": 8.0, "q": 1.25,
               "n_0": 64} | options  # fmt: skip
    options.setdefault("w_max", random_walk_angle(options["p"], options["q"]))
    counts = ("patience", "n_0")
    return {
        NAMES[name]: jnp.asarray(value, jnp.int32 if name in counts else jnp.float32)
        for name, value in options.items()
    }


@functools.partial(jax.jit, static_argnames="of")
def _watch(hyperparams, start, path, of=lambda x: x):
    link = autodrop(**hyperparams)

    def step(state, x):
        _, state = link.update((), state, of(x))
        return state, (state.rate_scale, state.average)

    return jax.lax.scan(step, link.init(start), path)


def watch(start, path, of=None, **options) -> Course:
    """Shows ``path`` to the library, step by step.

    Args:
      start: parameters for ``init``.
      path: a tree like them, with an axis of steps in front.
      of: makes the parameters of a step from ``path[step]``.
      options: the reference's.
    """
    of = {} if of is None else {"of": of}
    state, seen = _watch(arrays(options), start, path, **of)
    return Course(*jax.device_get(seen), jax.device_get(state))


def watch_reference(start, path, **options):
    """The same with the reference: it, and the scale and average of each step."""
    reference = AutoDrop(np.asarray(start, np.float64), **options)
    scale, average = [], []
    for x in np.asarray(path, np.float64):
        scale.append(reference.see(x))
        average.append(reference.m)
    return reference, np.array(scale), np.array(average)


def motion(seed: int, steps: int = STEPS, size: int = SIZE):
    """A start and a path in four parts: drifts, walks and noise of random strengths."""
    rng = np.random.default_rng(seed)
    part = np.searchsorted(
        np.sort(rng.integers(0, steps, 3)), np.arange(steps), "right"
    )
    drift = rng.normal(size=(4, size)) * rng.choice([0, 0, 0.02, 0.2], size=(4, 1))
    walk = rng.choice([0, 0.01, 0.1], size=(4, 1))
    steps_taken = drift[part] + walk[part] * rng.normal(size=(steps, size))
    noise = rng.choice([0.1, 1, 3]) * rng.normal(size=(steps, size))
    path = np.cumsum(steps_taken, axis=0) + noise
    return rng.normal(size=size).astype(np.float32), path.astype(np.float32)


def settings(seed: int) -> dict:
    """Options of the reference, drawn so that drops are many."""
    rng = np.random.default_rng(seed)
    return {
        "p": float(rng.choice([3, 8, 16])),
        "q": float(rng.choice([1.25, 1.5, 2])),
        "n_0": int(rng.choice([4, 8, 16])),
        "patience": int(rng.choice([1, 1, 2, 3])),
        "rho": float(rng.choice([0.5, 0.25])),
        "scale_min": float(rng.choice([0, 0, 0.1])),
    }


# Every angle is a reason to drop: then only the doubling of the run holds drops back.
EAGER = {"max_angle": 1e-3, "patience": 1, "first_check": 1}
# Of checks 1, 2, ..., 12, 15, 19, 23, 29 steps into each phase.
EAGER_DROPS = (3, 6, 12, 24, 53)
