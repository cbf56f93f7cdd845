"""Checks of what constructors are given: each names the value and the remedy.

Python and NumPy numbers are checked; arrays and tracers pass.
"""

import operator
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np


def check_rates(settings: Any, constructor: str, factor_example: str) -> None:
    """Checks what every method has: the starting rate, the factor of a drop, the floor.

    Args:
      settings: has ``learning_rate``, ``drop_factor`` and ``min_learning_rate``.
      constructor: what the user called.
      factor_example: usual values of ``drop_factor``, for the message.

    Raises:
      ValueError: one is out of its range, or the rate is a schedule.
    """
    if callable(settings.learning_rate):
        raise ValueError(
            "learning_rate is AutoDrop's starting rate and must be a number, got"
            f" the schedule {settings.learning_rate!r}. Put the schedule in the chain"
            " and give its peak here, as in optax.chain(optax.sgd(schedule),"
            f" {constructor}(peak)): AutoDrop scales whatever the chain does."
        )
    check_number(
        settings, "learning_rate", "positive and finite", lambda v: 0 < v < np.inf
    )
    check_number(
        settings,
        "drop_factor",
        "between 0 and 1, both excluded",
        lambda v: 0 < v < 1,
        hint=f" A drop multiplies the rate by it, as {factor_example}.",
    )
    check_number(settings, "min_learning_rate", "0 or more", lambda v: 0 <= v < np.inf)


def check_count_or_array(name: str, value: chex.Numeric) -> None:
    """Raises a ValueError unless ``value`` is a scalar array or :func:`check_count`."""
    if isinstance(value, jax.Array):
        check_scalar(name, value)
    else:
        check_count(name, value)


def as_array(value: chex.Numeric, dtype: jax.typing.DTypeLike) -> jax.Array:
    """Returns an array of that dtype, never weakly typed, whatever it came in."""
    return jnp.asarray(value).astype(dtype)


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


def check_scalar(name: str, value: jax.Array) -> None:
    if value.ndim:
        raise ValueError(
            f"{name} must be a scalar, got an array of shape {value.shape}. For several"
            " values at once use jax.vmap."
        )


def check_number(settings: object, name: str, allowed: str, valid, hint="") -> None:
    value = getattr(settings, name)
    if isinstance(value, jax.Array):
        check_scalar(name, value)
        return
    try:
        in_range = bool(valid(value)) and not isinstance(value, bool)
    except (TypeError, ValueError):
        in_range = False
    if not in_range:
        raise ValueError(f"{name} must be {allowed}, got {value!r}.{hint}")


def check_floating(name: str, value) -> None:
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


def check_choice(name: str, value, choices: tuple[str, ...]) -> None:
    if value not in choices:
        options = " or ".join(map(repr, choices))
        raise ValueError(f"{name} must be {options}, got {value!r}.")
