"""Checks of what constructors are given: each names the value and the remedy.

Python and NumPy numbers are checked; arrays and tracers pass.
"""

import functools
import inspect
import operator
from collections.abc import Callable
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from autodrop_optax._params import as_arrays, one_copy

F = TypeVar("F", bound=Callable[..., Any])


def explain_arguments(remedy: str) -> Callable[[F], F]:
    """Adds ``remedy`` to the TypeError of arguments that a function does not have."""

    def decorate(function: F) -> F:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*args, **kwargs):
            try:
                signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{function.__name__}: {error}. {remedy}") from None
            return function(*args, **kwargs)

        return cast(F, call)

    return decorate


def check_rates(
    constructor: str,
    learning_rate: jax.typing.ArrayLike,
    drop_factor: jax.typing.ArrayLike,
    min_learning_rate: jax.typing.ArrayLike,
    factor_example: str,
) -> None:
    """Checks what a method has that is told the learning rate.

    Args:
      constructor: what the user called.
      learning_rate: the starting rate.
      drop_factor: the factor of a drop.
      min_learning_rate: the floor.
      factor_example: usual values of ``drop_factor``, for the message.

    Raises:
      ValueError: one is out of its range, the rate is a schedule, or the floor is not
        below the rate.
    """
    if callable(learning_rate):
        raise ValueError(
            "learning_rate is AutoDrop's starting rate and must be a number, got"
            f" the schedule {learning_rate!r}. Put the schedule in the chain"
            " and give its peak here, as in optax.chain(optax.sgd(schedule),"
            f" {constructor}(peak)): AutoDrop scales whatever the chain does."
        )
    check_number(
        "learning_rate", learning_rate, "positive and finite", lambda v: 0 < v < np.inf
    )
    check_number(
        "drop_factor",
        drop_factor,
        "between 0 and 1, both excluded",
        lambda v: 0 < v < 1,
        hint=f" A drop multiplies the rate by it, as {factor_example}.",
    )
    check_number(
        "min_learning_rate", min_learning_rate, "0 or more", lambda v: 0 <= v < np.inf
    )
    rates: list[Any] = [min_learning_rate, learning_rate]
    if not any(isinstance(v, jax.Array) for v in rates) and rates[0] >= rates[1]:
        raise ValueError(
            f"min_learning_rate={min_learning_rate} (1e-4 by default) is not below"
            f" learning_rate={learning_rate}: drops would be counted and change"
            " nothing. Pass a floor below the rate, as"
            f" min_learning_rate={rates[1] / 1e3:g}, or 0."
        )


def check_number(name: str, value, allowed: str, valid, hint="") -> None:
    """Raises a ValueError unless ``value`` is a scalar array or ``valid(value)``."""
    if isinstance(value, jax.Array):
        _check_scalar(name, value)
        return
    try:
        in_range = bool(valid(value)) and not isinstance(value, bool)
    except (TypeError, ValueError):
        in_range = False
    if not in_range:
        raise ValueError(f"{name} must be {allowed}, got {value!r}.{hint}")


def check_count_or_array(name: str, value: jax.typing.ArrayLike) -> None:
    """Raises a ValueError unless ``value`` is a scalar array or :func:`check_count`."""
    if isinstance(value, jax.Array):
        _check_scalar(name, value)
    else:
        check_count(name, value)


def check_count(name: str, value) -> None:
    """Raises a ValueError unless ``value`` is a Python or NumPy integer of int32."""
    _check_static(name, value)
    try:
        valid = 1 <= operator.index(value) < 2**31 and not isinstance(value, bool)
    except TypeError:
        valid = False
    if not valid:
        raise ValueError(
            f"{name} must be an integer of at least 1 and below 2**31, got {value!r}."
        )


def check_flag(name: str, value) -> None:
    _check_static(name, value)
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, got {value!r}.")


def check_choice(name: str, value, choices: tuple[str, ...]) -> None:
    if value not in choices:
        options = " or ".join(map(repr, choices))
        raise ValueError(f"{name} must be {options}, got {value!r}.")


def check_floating(name: str, value) -> None:
    _check_static(name, value)
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


def _check_static(name: str, value) -> None:
    if isinstance(value, jax.Array):
        raise ValueError(
            f"{name} came as an array, {value!r}, but shapes the state. Under"
            f" optax.inject_hyperparams name it in static_args=({name!r}, ...)."
        )


def _check_scalar(name: str, value: jax.Array) -> None:
    if value.ndim:
        raise ValueError(
            f"{name} must be a scalar, got an array of shape {value.shape}. For several"
            " values at once use jax.vmap."
        )


def as_array(value: jax.typing.ArrayLike, dtype: jax.typing.DTypeLike) -> jax.Array:
    """Returns an array of that dtype, never weakly typed, whatever it came in."""
    return jnp.asarray(value).astype(dtype)


def check_fits(name: str, here, there) -> None:
    """Raises a ValueError where a state was made with another value than is here."""
    if here != there:
        raise ValueError(
            f"The state does not fit the transformation: {name} is {here} here, but was"
            f" {there} where the state was made. Build the transformation as it was"
            " then, or make a new state with init."
        )


def require_params(params: optax.Params | None, name: str) -> optax.Params:
    """Returns the parameters that ``update`` was given, as arrays.

    Raises:
      ValueError: there are none.
    """
    if params is None:
        raise ValueError(
            f"{name} measures the parameters, but update got params=None. Call"
            " update(updates, state, params)."
        )
    return as_arrays(params)


def require_state(state: Any, kind: type, name: str) -> None:
    """Checks that ``update`` was given one state of its own transformation.

    Raises:
      ValueError: it is something else, or several states stacked.
    """
    if isinstance(state, kind):
        copies = jnp.shape(state.rate_scale)  # pyright: ignore[reportAttributeAccessIssue]
        if copies:
            raise ValueError(f"update of {name} got a state with {one_copy(copies)}")
    else:
        raise ValueError(
            f"update of {name} got a {type(state).__name__} in place of its state. Call"
            " update(updates, state, params) with the state that optimizer.init(params)"
            " made, of the same optimizer; restore a checkpoint with that as target."
        )
