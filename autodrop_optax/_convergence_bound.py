"""The bound that refined schedules are meant to minimise, and its minimum by numbers.

Of x_{t+1} = x_t - eta_t g_t, t = 1, ..., T, on a convex function f, with |g_t| = G_t
and D = |x_1 - x*| (Defazio et al., 2023, the bound on the last iterate of SGD):

    E[f(x_T)] - f(x*) <= (D^2 + sum_t G_t^2 eta_t^2) / (2 sum_t eta_t)
        + 1/2 sum_{k < T} eta_k (sum_{p >= k} G_p^2 eta_p^2)
                          / ((sum_{p > k} eta_p) (sum_{p >= k} eta_p))

eta_T does not move x_T: in the bound it is a number to choose.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from autodrop_optax._refined_schedule import (
    checked_norms,
    checked_values,
    import_scipy,
    refinement_arrays,
)


class BoundMinimum(NamedTuple):
    """Step sizes with the smallest bound."""

    step_sizes: np.ndarray  # shape (T,), float64, all positive [eta_t]
    values: np.ndarray  # shape (T,), float64: the same as a schedule, maximum 1, last 0
    bound: float  # theirs


def convergence_bound(
    step_sizes: npt.ArrayLike, gradient_norms: npt.ArrayLike, *, distance: float = 1.0
) -> float:
    """Returns the bound on f(x_T) - f(x*), in expectation, for SGD with these steps.

    Args:
      step_sizes: the rates, shape ``(T,)``, T at least 2; none negative. The last,
        which is not used on the way to x_T, may be 0, as in a refined schedule: then
        the bound is that with the best last.
      gradient_norms: l2 norms of the steps' gradients, shape ``(T,)``, positive.
      distance: from the start to the minimiser [D].

    Returns:
      The bound, in units of f.

    Raises:
      ValueError: an argument is out of its range, or the lengths differ.
      ImportError: scipy is not installed and the last step size is 0.
    """
    step_sizes, norms = _checked(step_sizes, gradient_norms)
    _check_distance(distance)
    with jax.enable_x64(True):

        def bound(steps) -> float:
            return float(sum(_terms(steps, norms, distance)))

        if step_sizes[-1] == 0:
            step_sizes = _with_best_last(step_sizes, bound)
        return bound(step_sizes)


def best_learning_rate(
    values: npt.ArrayLike, gradient_norms: npt.ArrayLike, *, distance: float = 1.0
) -> float:
    """Returns the peak rate that makes a schedule's bound smallest.

    Args:
      values: the schedule, as ``step_sizes`` of :func:`convergence_bound`.
      gradient_norms: as there.
      distance: as there. The rate is proportional to it.

    Returns:
      The number that the values are to be multiplied by.

    Raises:
      ValueError: as there.
      ImportError: as there.
    """
    values, norms = _checked(values, gradient_norms)
    _check_distance(distance)

    # With c times the values the bound is a / c + b c, at best 2 sqrt(a b).
    def best_bound(steps) -> float:
        a, b = _terms(steps, norms, distance)
        return 2 * float(jnp.sqrt(a * b))

    with jax.enable_x64(True):
        if values[-1] == 0:
            values = _with_best_last(values, best_bound)
        a, b = _terms(values, norms, distance)
        return float(jnp.sqrt(a / b))


def minimise_bound(
    gradient_norms: npt.ArrayLike, *, distance: float = 1.0
) -> BoundMinimum:
    """Minimises :func:`convergence_bound` over the step sizes, by L-BFGS-B.

    The closed form of :func:`autodrop_optax.refine_schedule` minimises a bound of its
    proof's, not this one; it is where the search starts, so that the bound found is at
    most the closed form's. The norms are taken as they are: smooth them before, as
    ``refinement_arrays(norms).smoothed_norms``. Made for some thousand norms; more are
    slow, and a schedule can be resampled.

    Args:
      gradient_norms: l2 norms of the steps' gradients, shape ``(T,)``, positive.
      distance: from the start to the minimiser [D]. The step sizes and the bound are
        proportional to it; the schedule does not depend on it.

    Returns:
      A :class:`BoundMinimum`.

    Raises:
      ValueError: an argument is out of its range.
      ImportError: scipy is not installed.
    """
    norms = checked_norms(gradient_norms)
    _check_distance(distance)
    scale = np.exp(np.log(norms).mean())  # the problem without units
    norms = norms / scale
    closed = refinement_arrays(norms, smoothing=0.0).values
    with jax.enable_x64(True):
        rate = best_learning_rate(closed, norms)
        start = _with_best_last(
            rate * closed, lambda steps: float(sum(_terms(steps, norms, 1.0)))
        )
        # In logarithms every step size is positive and all are of one scale.
        result = import_scipy("optimize").minimize(
            lambda logs: tuple(map(np.asarray, _bound_of_logs(logs, norms))),
            np.log(start),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 10_000, "maxfun": 20_000, "ftol": 1e-13, "gtol": 1e-10},
        )
        step_sizes = np.exp(result.x)
        bound = float(sum(_terms(step_sizes, norms, 1.0)))
    values = np.append(step_sizes[:-1], 0.0)
    return BoundMinimum(
        step_sizes=step_sizes * (distance / scale),
        values=values / values.max(),
        bound=bound * distance * scale,
    )


@jax.jit
def _terms(step_sizes, norms, distance) -> tuple[jax.Array, jax.Array]:
    """The term of the distance and all others, float64 scalars."""
    squares = (norms * step_sizes) ** 2
    from_here = jnp.cumsum(step_sizes[::-1])[::-1]  # over p >= k
    squares_from_here = jnp.cumsum(squares[::-1])[::-1]
    total = from_here[0]
    each = step_sizes[:-1] * squares_from_here[:-1] / (from_here[1:] * from_here[:-1])
    return (
        distance**2 / (2 * total),
        squares_from_here[0] / (2 * total) + jnp.sum(each) / 2,
    )


@jax.jit
@jax.value_and_grad
def _bound_of_logs(logs, norms):
    return sum(_terms(jnp.exp(logs), norms, 1.0))


def _with_best_last(step_sizes: np.ndarray, bound) -> np.ndarray:
    """The step sizes with the last, a zero, replaced by the one with the best bound."""

    def with_last(log):
        return np.append(step_sizes[:-1], np.exp(log) * step_sizes.max())

    # Far wider than where it can be: the bound rises with its logarithm on both sides,
    # unless steps far too small ask for a last one that makes up for them.
    found = import_scipy("optimize").minimize_scalar(
        lambda log: bound(with_last(log)),
        bounds=(-4 * np.log(len(step_sizes)) - 10, 30.0),
        method="bounded",
        options={"xatol": 1e-9},
    )
    return with_last(found.x)


def _checked(step_sizes, gradient_norms) -> tuple[np.ndarray, np.ndarray]:
    step_sizes, norms = checked_values(step_sizes), checked_norms(gradient_norms)
    if len(step_sizes) != len(norms):
        raise ValueError(
            f"There must be as many step sizes as gradient norms, got {len(step_sizes)}"
            f" and {len(norms)}."
        )
    return step_sizes, norms


def _check_distance(distance: float) -> None:
    if not 0 < distance < np.inf:
        raise ValueError(f"distance must be positive and finite, got {distance!r}.")
