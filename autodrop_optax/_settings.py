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


class AutoDropHyperparams(NamedTuple):
    """The constructor's arguments as arrays, with the letters of Algorithm 1."""

    learning_rate: jax.Array  # shape (), float32 [alpha_0]
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
        if (
            _is_known(self.threshold)
            and _is_known(self.max_threshold)
            and self.threshold > self.max_threshold
        ):
            raise ValueError(
                f"threshold={self.threshold} exceeds max_threshold="
                f"{self.max_threshold}, up to which drops raise it. Pass a"
                " max_threshold at least as large."
            )
        if _is_known(self.drop_delay):
            check_count("drop_delay", self.drop_delay)
        check_count("window", self.window)
        if not isinstance(self.averaging, bool):
            raise ValueError(
                f"averaging must be True or False, got {self.averaging!r}."
                + _static_hint("averaging")
            )
        _check_choice("retrigger", self.retrigger, get_args(Retrigger))
        _check_choice("anchor", self.anchor, get_args(Anchor))

    def hyperparams(self) -> AutoDropHyperparams:
        """Returns the arrays, each with a dtype of its own whatever it came in."""

        def float32(value: chex.Numeric) -> jax.Array:
            return jnp.asarray(value).astype(jnp.float32)

        return AutoDropHyperparams(
            learning_rate=float32(self.learning_rate),
            drop_factor=float32(self.drop_factor),
            min_learning_rate=float32(self.min_learning_rate),
            threshold=float32(self.threshold),
            max_threshold=float32(self.max_threshold),
            drop_delay=jnp.asarray(self.drop_delay).astype(jnp.int32),
            restart_on_retrigger=jnp.asarray(self.retrigger == "restart"),
            anchor_before_averaging=jnp.asarray(self.anchor == "before_averaging"),
        )


def check_count(name: str, value) -> None:
    """Raises a ValueError unless ``value`` is a Python or NumPy integer >= 1."""
    try:
        valid = operator.index(value) >= 1 and not isinstance(value, bool)
    except (TypeError, jax.errors.ConcretizationTypeError):
        valid = False
    if not valid:
        raise ValueError(
            f"{name} must be an integer of at least 1, got {value!r}."
            + _static_hint(name)
        )


def _is_known(value) -> bool:
    """Whether ``value`` can be compared here and now, without asking a device."""
    return not isinstance(value, jax.Array)


def _check_number(settings: Settings, name: str, allowed: str, valid, hint="") -> None:
    value = getattr(settings, name)
    if not _is_known(value):
        return
    try:
        in_range = bool(valid(value))
    except (TypeError, ValueError):
        in_range = False
    if not in_range:
        raise ValueError(f"{name} must be {allowed}, got {value!r}.{hint}")


def _check_choice(name: str, value, choices: tuple[str, ...]) -> None:
    if value not in choices:
        options = " or ".join(map(repr, choices))
        raise ValueError(f"{name} must be {options}, got {value!r}.")


def _static_hint(name: str) -> str:
    if name == "drop_delay":
        return ""
    return f" Under optax.inject_hyperparams name it in static_args=({name!r}, ...)."
