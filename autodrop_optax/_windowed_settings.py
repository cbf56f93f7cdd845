"""The hyperparameters of windowed AutoDrop: checked where they are numbers."""

import dataclasses
from typing import Literal, NamedTuple, get_args

import chex
import jax
import jax.numpy as jnp
import numpy as np

from autodrop_optax._checks import (
    as_array,
    check_choice,
    check_count,
    check_count_or_array,
    check_number,
    check_rates,
)

Smoothing = Literal["time", "value"]


class WindowedAutoDropHyperparams(NamedTuple):
    """The constructor's arguments as arrays, with the paper's letters."""

    initial_learning_rate: jax.Array  # shape (), float32 [alpha_0]
    drop_factor: jax.Array  # shape (), float32 [rho]
    min_learning_rate: jax.Array  # shape (), float32 [alpha_min]
    threshold: jax.Array  # shape (), float32, degrees
    window_steps: jax.Array  # shape (), int32 [k]
    sample_every: jax.Array  # shape (), int32, steps
    smooth_by_value: jax.Array  # shape (), bool
    two_sided: jax.Array  # shape (), bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class WindowedSettings:
    """What :func:`windowed_autodrop` was given. Tracers and arrays pass unchecked."""

    learning_rate: chex.Numeric
    window_steps: chex.Numeric
    drop_factor: chex.Numeric
    buffer_size: int
    threshold: chex.Numeric
    min_learning_rate: chex.Numeric
    smoothing: Smoothing
    two_sided: bool
    sample_every: chex.Numeric

    def __post_init__(self):
        check_rates(self, "windowed_autodrop", factor_example="0.95")
        check_number(
            self, "threshold", "0 degrees per window or more", lambda v: 0 <= v < np.inf
        )
        for name in ("window_steps", "sample_every"):
            check_count_or_array(name, getattr(self, name))
        steps = self.window_steps, self.sample_every
        known = not any(isinstance(value, jax.Array) for value in steps)
        if known and int(self.window_steps) % int(self.sample_every):
            raise ValueError(
                f"window_steps={self.window_steps} is no multiple of sample_every="
                f"{self.sample_every}: windows end with a sample. Pass a sample_every"
                " that divides window_steps."
            )
        check_count("buffer_size", self.buffer_size)
        check_choice("smoothing", self.smoothing, get_args(Smoothing))
        if not isinstance(self.two_sided, bool):
            raise ValueError(
                f"two_sided must be True or False, got {self.two_sided!r}. Under"
                " optax.inject_hyperparams name it in static_args=('two_sided', ...)."
            )

    def hyperparams(self) -> WindowedAutoDropHyperparams:
        """Returns the arrays, each with a dtype of its own whatever it came in."""
        return WindowedAutoDropHyperparams(
            initial_learning_rate=as_array(self.learning_rate, jnp.float32),
            drop_factor=as_array(self.drop_factor, jnp.float32),
            min_learning_rate=as_array(self.min_learning_rate, jnp.float32),
            threshold=as_array(self.threshold, jnp.float32),
            window_steps=as_array(self.window_steps, jnp.int32),
            sample_every=as_array(self.sample_every, jnp.int32),
            smooth_by_value=jnp.asarray(self.smoothing == "value"),
            two_sided=jnp.asarray(self.two_sided),
        )
