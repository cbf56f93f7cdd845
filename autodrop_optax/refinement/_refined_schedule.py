"""Schedules refined by observed gradient norms (Defazio et al., 2023).

Of a run of T steps the norms G_1, ..., G_T are known. With step t = 1, ..., T:

    G = median_filter(G)                              smoothing
    w_t = G_t^-2  (SGD, l2 norms)    w_t = 1 / G_t  (Adam and relatives, l1 norms)
    eta_t = w_t sum_{p > t} w_p                       scaled to a maximum of 1

Equal norms give ``eta_t = (T - t) / (T - 1)``, linear decay.
"""

from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax
from jax.core import Tracer

from autodrop_optax._checks import check_arguments

Optimizer = Literal["sgd", "adam"]

_EXPONENTS = {"sgd": 2, "adam": 1}


class Refinement(NamedTuple):
    """What a refined schedule is made of. All arrays are float64."""

    smoothed_norms: np.ndarray  # shape (T,)
    weights: np.ndarray  # shape (T,) [w_t]
    values: np.ndarray  # shape (T,): the maximum is 1, the last is 0 [eta_t]


def refine_schedule(
    gradient_norms: npt.ArrayLike,
    *,
    optimizer: Optimizer = "sgd",
    smoothing: float = 0.1,
    num_steps: int | None = None,
) -> optax.Schedule:
    """Returns the learning-rate schedule that the gradient norms of a run ask for.

    Train once, refine, train again: the second run follows a schedule that minimises a
    bound on the loss of its last iterate, if its gradient norms are those of the first.
    Where the norms fall a lot the schedule begins with a warm-up; where they rise
    towards the end it comes down early. Norms that stay the same give linear decay.

    The schedule gives factors of at most 1 of a peak rate that is still to be chosen:
    ``optax.chain(optax.sgd(0.1), optax.scale_by_schedule(schedule))``, or
    ``optax.adam(lambda step: 1e-3 * schedule(step))``.

    Args:
      gradient_norms: of the steps of the first run, evenly spaced and in their order,
        shape ``(T,)`` with T at least 2; all positive and finite.
      optimizer: ``"sgd"``, with or without momentum, for l2 norms; ``"adam"`` for l1
        norms and optimizers that scale each coordinate by its gradients' size.
      smoothing: the width of the median filter, as a share of T, from 0 (leave the
        norms as they are) to 1.
      num_steps: length of the schedule, where it is not to be T.

    Returns:
      An :class:`optax.Schedule`: of a step i = 0, 1, ..., traced or not, it returns
      eta_{i+1}, a float32 of the step's shape. It is 0 from the last step on.

    Raises:
      ValueError: the norms are not a vector of at least two positive finite numbers
        (the message says how many are not, and where), or another argument is out of
        its range.
      ImportError: scipy is not installed and ``smoothing`` is not 0.

    Example:
      >>> import numpy as np
      >>> from autodrop_optax.refinement import refine_schedule
      >>> schedule = refine_schedule(np.ones(5))
      >>> [float(schedule(step)) for step in range(6)]
      [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]

    References:
      Defazio, Cutkosky, Mehta, Mishchenko, `When, Why and How Much? Adaptive Learning
      Rate Scheduling by Refinement <https://arxiv.org/abs/2310.07831>`_, 2023.
    """
    values = refinement_arrays(
        gradient_norms, optimizer=optimizer, smoothing=smoothing
    ).values
    return schedule_from_values(
        values if num_steps is None else resample(values, num_steps)
    )


def refinement_arrays(
    gradient_norms: npt.ArrayLike,
    *,
    optimizer: Optimizer = "sgd",
    smoothing: float = 0.1,
) -> Refinement:
    """Returns the arrays behind :func:`refine_schedule`, of the same arguments."""
    check_arguments(optimizer=optimizer)
    norms = smooth(checked_norms(gradient_norms), smoothing)
    exponent = _EXPONENTS[optimizer]
    # The schedule takes them relative to the largest: neither may overflow, whatever
    # the scale of the norms, and equal norms weigh exactly 1.
    relative = (norms.min() / norms) ** exponent
    later = np.append(np.cumsum(relative[:0:-1])[::-1], 0.0)
    values = relative * later
    if not values.max() > 0:
        raise ValueError(
            f"gradient_norms from {norms.min():g} to {norms.max():g} are too far apart:"
            " float64 does not hold their weights. Pass those that can be trusted, and"
            " num_steps."
        )
    with np.errstate(over="ignore", under="ignore"):
        weights = norms**-exponent
    return Refinement(norms, weights, values / values.max())


def checked_norms(gradient_norms: npt.ArrayLike) -> np.ndarray:
    """Returns the norms in float64.

    Raises:
      ValueError: they are not a vector of at least two positive finite numbers.
    """
    if isinstance(gradient_norms, Tracer):
        raise ValueError(
            "gradient_norms are being traced: a refined schedule is made between two"
            " runs, outside of jax.jit."
        )
    norms = np.asarray(gradient_norms)
    if norms.ndim != 1 or len(norms) < 2:
        raise ValueError(
            "gradient_norms must be a vector of at least 2 norms, got an array of"
            f" shape {norms.shape}."
        )
    # Asked of JAX: to NumPy bfloat16 is no number.
    if not any(
        jnp.issubdtype(norms.dtype, kind) for kind in (jnp.floating, np.integer)
    ):
        raise ValueError(
            f"gradient_norms must be real numbers, got dtype {norms.dtype}."
        )
    norms = norms.astype(np.float64)
    faults = {
        "zero": norms == 0,
        "negative": (norms < 0) & ~np.isinf(norms),
        "infinite": np.isinf(norms),
        "NaN": np.isnan(norms),
    }
    found = [
        f"{np.count_nonzero(where)} {name} ({_positions(np.flatnonzero(where))})"
        for name, where in faults.items()
        if where.any()
    ]
    if found:
        raise ValueError(
            f"gradient_norms must be positive and finite; of {len(norms)} there are"
            f" {', '.join(found)}, counted from 0. If these steps can be left out, pass"
            " the others, gradient_norms[(gradient_norms > 0) &"
            " np.isfinite(gradient_norms)], and num_steps."
        )
    return norms


def _positions(indices: np.ndarray, most: int = 5) -> str:
    shown = ", ".join(map(str, indices[:most]))
    return f"at {shown}" + (", ..." if len(indices) > most else "")


def smooth(norms: np.ndarray, smoothing: float) -> np.ndarray:
    """The norms through a median filter as wide as that share of their number.

    The end is continued by a reflection, the beginning by its first value, as the
    authors of the method do.
    """
    try:
        boolean = isinstance(smoothing, bool | np.bool)
        in_range = not boolean and np.ndim(smoothing) == 0 and 0 <= smoothing <= 1
    except (TypeError, ValueError):
        in_range = False
    if not in_range:
        raise ValueError(
            "smoothing is the share of the run that the median filter spans and must be"
            f" between 0 and 1, got {smoothing!r}."
        )
    width = 2 * (int(smoothing * len(norms)) // 2) + 1
    if width == 1:
        return norms
    median_filter = import_scipy("ndimage").median_filter
    pad = 2 * width
    padded = np.pad(norms, (0, pad), mode="reflect")
    # Since 1.15 scipy's time in one dimension grows with the logarithm of the width.
    return median_filter(padded, size=width, mode="nearest")[:-pad]


def import_scipy(module: str):
    """Returns ``scipy.module``; an ImportError says how to install it."""
    try:
        import scipy.ndimage
        import scipy.optimize
    except ImportError as error:
        raise ImportError(
            "The refinement of schedules needs scipy, which is not installed: pip"
            ' install "autodrop-optax[refinement]".'
        ) from error
    return getattr(scipy, module)


def resample(values: npt.ArrayLike, num_steps: int) -> np.ndarray:
    """Stretches or shortens a schedule to another number of steps.

    The first value stays the first and the last the last; between them lie straight
    lines. The result has a maximum of 1. Linear decay remains linear decay.

    Args:
      values: the factor of each step, shape ``(T,)``, T at least 2; none negative.
      num_steps: at least 2.

    Returns:
      Shape ``(num_steps,)``, float64.

    Raises:
      ValueError: an argument is out of its range.
    """
    values = checked_values(values)
    check_arguments(num_steps=num_steps)
    if num_steps < 2 or len(values) < 2:
        raise ValueError(
            "A schedule is resampled from at least 2 steps to at least 2, got"
            f" {len(values)} values and num_steps={num_steps}."
        )
    # Times the shorter length and not divided by the longer: whole numbers are exact.
    position = np.arange(num_steps) * (len(values) - 1) / (num_steps - 1)
    resampled = np.interp(position, np.arange(len(values)), values)
    if not resampled.max() > 0:
        raise ValueError(
            f"In {num_steps} steps nothing is left of a schedule of {len(values)}."
        )
    return resampled / resampled.max()


def schedule_from_values(values: npt.ArrayLike) -> optax.Schedule:
    """Returns the schedule with these values, and 0 after them.

    Args:
      values: the factor, or the rate, of each step, shape ``(T,)``; none negative.

    Returns:
      An :class:`optax.Schedule`; of a step i it returns ``values[i]`` in float32, with
      the shape of i.

    Raises:
      ValueError: the values are not a vector of numbers that are finite in float32,
        some of them positive.
    """
    with np.errstate(over="ignore"):
        rounded = checked_values(values).astype(np.float32)
    checked_values(rounded)  # float32 may have made them infinite, or all zero
    table = np.append(rounded, np.float32(0))

    def schedule(count):
        count = jnp.asarray(count)
        # A narrow type may not hold the length of the table, to which it is clipped.
        if count.dtype.itemsize < 4:
            real = jnp.issubdtype(count.dtype, jnp.floating)
            count = count.astype(jnp.float32 if real else jnp.int32)
        return jnp.asarray(table)[jnp.clip(count, 0, len(table) - 1).astype(jnp.int32)]

    return schedule


def checked_values(values: npt.ArrayLike) -> np.ndarray:
    """Returns the values in float64; a ValueError if they are no schedule's."""
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or not len(array):
        raise ValueError(
            f"A schedule's values must be a vector, got an array of shape {array.shape}"
        )
    if not (np.isfinite(array).all() and array.min() >= 0 and array.max() > 0):
        raise ValueError(
            "A schedule's values must be finite, none negative and some positive, got"
            f" values from {array.min()} to {array.max()}."
        )
    return array
