"""The hyperparameters of AutoDrop: checked where they are numbers, then arrays."""

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
    check_floating,
    check_number,
    check_rates,
)

Retrigger = Literal["ignore", "restart"]
Anchor = Literal["after_averaging", "before_averaging"]
MemoryKind = Literal["device", "pinned_host"]


class EpochAutoDropHyperparams(NamedTuple):
    """The constructor's arguments as arrays, with the letters of Algorithm 1.

    No name here or in the state is one that optax uses, so that ``optax.tree.get`` for
    ``"learning_rate"`` or ``"scale"`` goes on finding the optimizer's.
    """

    initial_learning_rate: jax.Array  # shape (), float32 [alpha_0]
    drop_factor: jax.Array  # shape (), float32 [rho]
    min_learning_rate: jax.Array  # shape (), float32 [alpha_min]
    threshold: jax.Array  # shape (), float32, degrees [theta_0]
    max_threshold: jax.Array  # shape (), float32, degrees [theta_max]
    drop_delay: jax.Array  # shape (), int32, epochs [n_d]
    restart_on_retrigger: jax.Array  # shape (), bool
    anchor_before_averaging: jax.Array  # shape (), bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What :func:`epoch_autodrop` was given. Tracers and arrays pass unchecked."""

    learning_rate: chex.Numeric
    drop_factor: chex.Numeric
    min_learning_rate: chex.Numeric
    threshold: chex.Numeric
    max_threshold: chex.Numeric
    drop_delay: chex.Numeric
    averaging: bool
    window: int
    retrigger: Retrigger
    anchor: Anchor
    state_dtype: jax.typing.DTypeLike | None
    state_memory_kind: MemoryKind

    def __post_init__(self):
        check_rates(self, "epoch_autodrop", factor_example="0.2 or 0.1")
        if self.threshold is None:
            raise ValueError(
                "threshold must be a number of degrees per epoch, got None. The paper"
                " recommends threshold=0.01; threshold=0 never drops."
            )
        check_number(self, "threshold", "0 degrees or more", lambda v: 0 <= v < np.inf)
        check_number(self, "max_threshold", "0 degrees or more", lambda v: v >= 0)
        thresholds = self.threshold, self.max_threshold
        known = not any(isinstance(value, jax.Array) for value in thresholds)
        if known and self.threshold > self.max_threshold:
            raise ValueError(
                f"threshold={self.threshold} exceeds max_threshold="
                f"{self.max_threshold}, up to which drops raise it. Pass a"
                " max_threshold at least as large."
            )
        check_count_or_array("drop_delay", self.drop_delay)
        check_count("window", self.window)
        if not isinstance(self.averaging, bool):
            raise ValueError(
                f"averaging must be True or False, got {self.averaging!r}."
            )
        check_choice("retrigger", self.retrigger, get_args(Retrigger))
        check_choice("anchor", self.anchor, get_args(Anchor))
        check_choice("state_memory_kind", self.state_memory_kind, get_args(MemoryKind))
        if self.state_dtype is not None:
            check_floating("state_dtype", self.state_dtype)

    def hyperparams(self) -> EpochAutoDropHyperparams:
        """Returns the arrays, each with a dtype of its own whatever it came in."""
        return EpochAutoDropHyperparams(
            initial_learning_rate=as_array(self.learning_rate, jnp.float32),
            drop_factor=as_array(self.drop_factor, jnp.float32),
            min_learning_rate=as_array(self.min_learning_rate, jnp.float32),
            threshold=as_array(self.threshold, jnp.float32),
            max_threshold=as_array(self.max_threshold, jnp.float32),
            drop_delay=as_array(self.drop_delay, jnp.int32),
            restart_on_retrigger=jnp.asarray(self.retrigger == "restart"),
            anchor_before_averaging=jnp.asarray(self.anchor == "before_averaging"),
        )
