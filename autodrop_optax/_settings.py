"""The hyperparameters of AutoDrop: checked where they are numbers, then arrays."""

import dataclasses
import operator
from typing import Literal, NamedTuple, get_args

import chex
import jax
import jax.numpy as jnp
import numpy as np

Retrigger = Literal["ignore", "restart"]
Anchor = Literal["after_averaging", "before_averaging"]
MemoryKind = Literal["device", "pinned_host"]


class AutoDropHyperparams(NamedTuple):
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
    """What :func:`autodrop` was given. Tracers and arrays pass unchecked."""

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
        if callable(self.learning_rate):
            raise ValueError(
                "learning_rate is AutoDrop's starting rate and must be a number, got"
                f" the schedule {self.learning_rate!r}. Put the schedule in the chain"
                " and give its peak here, as in optax.chain(optax.sgd(schedule),"
                " autodrop(peak)): AutoDrop scales whatever the chain does."
            )
        if self.threshold is None:
            raise ValueError(
                "threshold must be a number of degrees per epoch, got None. The paper"
                " recommends threshold=0.01; threshold=0 never drops."
            )
        _check_number(
            self, "learning_rate", "positive and finite", lambda v: 0 < v < np.inf
        )
        _check_number(
            self,
            "drop_factor",
            "between 0 and 1, both excluded",
            lambda v: 0 < v < 1,
            hint=" A drop multiplies the rate by it, as 0.2 or 0.1.",
        )
        _check_number(self, "min_learning_rate", "0 or more", lambda v: 0 <= v < np.inf)
        _check_number(self, "threshold", "0 degrees or more", lambda v: 0 <= v < np.inf)
        _check_number(self, "max_threshold", "0 degrees or more", lambda v: v >= 0)
        thresholds = self.threshold, self.max_threshold
        known = not any(isinstance(value, jax.Array) for value in thresholds)
        if known and self.threshold > self.max_threshold:
            raise ValueError(
                f"threshold={self.threshold} exceeds max_threshold="
                f"{self.max_threshold}, up to which drops raise it. Pass a"
                " max_threshold at least as large."
            )
        if isinstance(self.drop_delay, jax.Array):
            _check_scalar("drop_delay", self.drop_delay)
        else:
            check_count("drop_delay", self.drop_delay)
        check_count("window", self.window)
        if not isinstance(self.averaging, bool):
            raise ValueError(
                f"averaging must be True or False, got {self.averaging!r}."
            )
        _check_choice("retrigger", self.retrigger, get_args(Retrigger))
        _check_choice("anchor", self.anchor, get_args(Anchor))
        _check_choice("state_memory_kind", self.state_memory_kind, get_args(MemoryKind))
        if self.state_dtype is not None:
            _check_floating("state_dtype", self.state_dtype)

    def hyperparams(self) -> AutoDropHyperparams:
        """Returns the arrays, each with a dtype of its own whatever it came in."""

        def float32(value: chex.Numeric) -> jax.Array:
            return jnp.asarray(value).astype(jnp.float32)

        return AutoDropHyperparams(
            initial_learning_rate=float32(self.learning_rate),
            drop_factor=float32(self.drop_factor),
            min_learning_rate=float32(self.min_learning_rate),
            threshold=float32(self.threshold),
            max_threshold=float32(self.max_threshold),
            drop_delay=jnp.asarray(self.drop_delay).astype(jnp.int32),
            restart_on_retrigger=jnp.asarray(self.retrigger == "restart"),
            anchor_before_averaging=jnp.asarray(self.anchor == "before_averaging"),
        )


def check_count(name: str, value) -> None:
    """Raises a ValueError unless ``value`` is a Python or NumPy integer of int32."""
    if isinstance(value, jax.Array):
        raise ValueError(
            f"{name} must be a Python integer, got the array {value!r}. Under"
            f" optax.inject_hyperparams name it in static_args=({name!r}, ...)."
        )
    try:
        valid = 1 <= operator.index(value) < 2**31 and not isinstance(value, bool)
    except TypeError:
        valid = False
    if not valid:
        raise ValueError(
            f"{name} must be an integer of at least 1 and below 2**31, got {value!r}."
        )


def _check_scalar(name: str, value: jax.Array) -> None:
    if value.ndim:
        raise ValueError(
            f"{name} must be a scalar, got an array of shape {value.shape}. For several"
            " values at once use jax.vmap."
        )


def _check_number(settings: object, name: str, allowed: str, valid, hint="") -> None:
    value = getattr(settings, name)
    if isinstance(value, jax.Array):
        _check_scalar(name, value)
        return
    try:
        in_range = bool(valid(value)) and not isinstance(value, bool)
    except (TypeError, ValueError):
        in_range = False
    if not in_range:
        raise ValueError(f"{name} must be {allowed}, got {value!r}.{hint}")


def _check_floating(name: str, value) -> None:
    if isinstance(value, jax.Array):
        raise ValueError(
            f"{name} came as an array. Under optax.inject_hyperparams name it in"
            f" static_args=({name!r}, ...)."
        )
    try:
        dtype = jnp.dtype(value).name
    except TypeError:
        dtype = None
    # What has eight bits has too small a range for parameters.
    if dtype not in ("float16", "bfloat16", "float32", "float64"):
        raise ValueError(
            f"{name} must be a floating point dtype of 16 bits or more, as"
            f" jnp.bfloat16, or None, got {value!r}."
        )
    if dtype == "float64" and not jax.config.read("jax_enable_x64"):
        raise ValueError(
            f"{name} is float64, which JAX has only with jax_enable_x64. Enable it, or"
            " take float32."
        )


def _check_choice(name: str, value, choices: tuple[str, ...]) -> None:
    if value not in choices:
        options = " or ".join(map(repr, choices))
        raise ValueError(f"{name} must be {options}, got {value!r}.")
