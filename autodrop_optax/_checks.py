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

F = TypeVar("F", bound=Callable[..., Any])
Check = Callable[[str, Any], None]  # of an argument's name and value


def _number(allowed: str, valid: Callable[[Any], bool], hint: str = "") -> Check:
    def check(name: str, value: Any) -> None:
        if _is_scalar_array(name, value):
            return
        try:
            in_range = bool(valid(value)) and not isinstance(value, bool)
        except (TypeError, ValueError):
            in_range = False
        if not in_range:
            raise ValueError(f"{name} must be {allowed}, got {value!r}. {hint}".strip())

    return check


def _count(name: str, value: Any) -> None:
    if not _is_scalar_array(name, value):
        _static_count(name, value)


def _static_count(name: str, value: Any) -> None:
    _check_static(name, value)
    try:
        valid = 1 <= operator.index(value) < 2**31 and not isinstance(value, bool)
    except TypeError:
        valid = False
    if not valid:
        raise ValueError(
            f"{name} must be an integer of at least 1 and below 2**31, got {value!r}."
        )


def _flag(name: str, value: Any) -> None:
    _check_static(name, value)
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, got {value!r}.")


def _choice(*choices: str) -> Check:
    def check(name: str, value: Any) -> None:
        if value not in choices:
            options = " or ".join(map(repr, choices))
            raise ValueError(f"{name} must be {options}, got {value!r}.")

    return check


def _floating(name: str, value: Any) -> None:
    if value is None:
        return
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


_above_zero = _number("above 0 and finite", lambda v: 0 < v < np.inf)

# What each argument may be, whichever function takes it.
_CHECKS: dict[str, Check] = {
    "learning_rate": _number("positive and finite", lambda v: 0 < v < np.inf),
    "min_learning_rate": _number("0 or more", lambda v: 0 <= v < np.inf),
    "scale": _above_zero,
    "factor": _above_zero,
    "drop_factor": _number(
        "between 0 and 1, both excluded",
        lambda v: 0 < v < 1,
        "A drop multiplies the rate by it, as 0.5.",
    ),
    "min_scale": _number(
        "at least 0 and below 1",
        lambda v: 0 <= v < 1,
        "It is a multiple of the optimizer's rate; max_angle=180 never drops.",
    ),
    "max_angle": _number(
        "above 0 and at most 180 degrees, or None",
        lambda v: v is None or 0 < v <= 180,
        "None is the angle of a random walk; 180 never drops.",
    ),
    "power": _number(
        "between 0 and 1000",
        lambda v: 0 <= v <= 1000,
        "The weights of the average grow with this power of age, as 8.",
    ),
    "ratio": _number(
        "between 1.1 and 100",
        lambda v: 1.1 <= v <= 100,
        "It is the time of one check over that of the check before, as 1.25.",
    ),
    "threshold": _number("0 degrees or more", lambda v: 0 <= v < np.inf),
    "max_threshold": _number("0 degrees or more", lambda v: v >= 0),
    **dict.fromkeys(("patience", "first_check", "drop_delay"), _count),
    **dict.fromkeys(("window_steps", "sample_every"), _count),
    **dict.fromkeys(("window", "buffer_size"), _static_count),
    **dict.fromkeys(("steps_per_epoch", "num_steps"), _static_count),
    **dict.fromkeys(("averaging", "two_sided"), _flag),
    "retrigger": _choice("ignore", "restart"),
    "anchor": _choice("after_averaging", "before_averaging"),
    "smoothing": _choice("time", "value"),
    "norm": _choice("l1", "l2"),
    "optimizer": _choice("sgd", "adam"),
    "state_dtype": _floating,
    "state_memory_kind": _choice("device", "pinned_host"),
}


def check_arguments(**values: Any) -> None:
    """Raises a ValueError unless each value is one that its argument may have."""
    for name, value in values.items():
        _CHECKS[name](name, value)


def check_with_rate(
    constructor: str, *, learning_rate: Any, min_learning_rate: Any, **others: Any
) -> None:
    """As :func:`check_arguments`, for a method that is told the learning rate.

    Raises:
      ValueError: as there; or the rate is a schedule, or the floor is not below it.
    """
    if callable(learning_rate):
        raise ValueError(
            "learning_rate is AutoDrop's starting rate and must be a number, got"
            f" the schedule {learning_rate!r}. Put the schedule in the chain"
            " and give its peak here, as in optax.chain(optax.sgd(schedule),"
            f" {constructor}(peak)): AutoDrop scales whatever the chain does."
        )
    rates = {"learning_rate": learning_rate, "min_learning_rate": min_learning_rate}
    check_arguments(**rates, **others)
    if are_known(*rates.values()) and min_learning_rate >= learning_rate:
        raise ValueError(
            f"min_learning_rate={min_learning_rate} (1e-4 by default) is not below"
            f" learning_rate={learning_rate}: drops would be counted and change"
            " nothing. Pass a floor below the rate, as"
            f" min_learning_rate={learning_rate / 1e3:g}, or 0."
        )


def are_known(*values: Any) -> bool:
    """Whether they are numbers, which can be compared, and no arrays or tracers."""
    return not any(isinstance(value, jax.Array) for value in values)


def check_fits(name: str, here: Any, there: Any) -> None:
    """Raises a ValueError where a state was made with another value than is here."""
    if here != there:
        raise ValueError(
            f"The state does not fit the transformation: {name} is {here} here, but was"
            f" {there} where the state was made. Build the transformation as it was"
            " then, or make a new state with init."
        )


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


def _check_static(name: str, value: Any) -> None:
    if isinstance(value, jax.Array):
        raise ValueError(
            f"{name} came as an array, {value!r}, but shapes the state. Under"
            f" optax.inject_hyperparams name it in static_args=({name!r}, ...)."
        )


def _is_scalar_array(name: str, value: Any) -> bool:
    if isinstance(value, jax.Array) and value.ndim:
        raise ValueError(
            f"{name} must be a scalar, got an array of shape {value.shape}. For several"
            " values at once use jax.vmap."
        )
    return isinstance(value, jax.Array)
