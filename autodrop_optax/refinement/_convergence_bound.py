"""The bound that refined schedules are meant to minimise, and its minimum by numbers.

Of x_{t+1} = x_t - eta_t g_t, t = 1, ..., T, on a convex function f, with |g_t| = G_t
and D = |x_1 - x*| (Defazio et al., 2023, the bound on the last iterate of SGD):

    E[f(x_T)] - f(x*) <= (D^2 + sum_t G_t^2 eta_t^2) / (2 sum_t eta_t)
        + 1/2 sum_{k < T} eta_k (sum_{p >= k} G_p^2 eta_p^2)
                          / ((sum_{p > k} eta_p) (sum_{p >= k} eta_p))

eta_T does not move x_T: in the bound it is a number to choose.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from autodrop_optax.refinement._refined_schedule import (
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
        the bound is that with the best last, which takes scipy.
      gradient_norms: l2 norms of the steps' gradients, shape ``(T,)``, positive.
      distance: from the start to the minimiser [D].

    Returns:
      The bound, in units of f.

    Raises:
      ValueError: an argument is out of its range, or the lengths differ.
      ImportError: scipy is not installed and needed.
    """
    problem = _Problem.of(step_sizes, gradient_norms, distance)
    with jax.enable_x64(True):
        return problem.with_best_last(_Problem.bound).bound()


def best_learning_rate(
    values: npt.ArrayLike, gradient_norms: npt.ArrayLike, *, distance: float = 1.0
) -> float:
    """Returns the peak rate that makes a schedule's bound smallest.

    Args:
      values: the schedule, as ``step_sizes`` of :func:`convergence_bound`.
      gradient_norms: as there.
      distance: as there. The rate is proportional to it.

    Returns:
      The number that the values are to be multiplied by. The errors are as there.
    """
    problem = _Problem.of(values, gradient_norms, distance)
    with jax.enable_x64(True):
        return problem.with_best_last(_Problem.best_bound).best_factor()


def minimise_bound(
    gradient_norms: npt.ArrayLike, *, distance: float = 1.0
) -> BoundMinimum:
    """Minimises :func:`convergence_bound` over the step sizes, by L-BFGS-B.

    :func:`refine_schedule` minimises another bound, in closed form; there the search
    starts, so that the bound found is at most the closed form's. The norms are taken as
    they are: smooth them before, as ``refinement_arrays(norms).smoothed_norms``. Made
    for some thousand norms; more are slow, and a schedule can be resampled.

    Args:
      gradient_norms: l2 norms of the steps' gradients, shape ``(T,)``, positive.
      distance: from the start to the minimiser [D]. The step sizes and the bound are
        proportional to it; the schedule does not depend on it.

    Returns:
      A :class:`BoundMinimum`. The errors are those of :func:`convergence_bound`.
    """
    closed = refinement_arrays(gradient_norms, smoothing=0.0).values
    # Without units, and with steps that are still to be found.
    problem = _Problem.of(closed, gradient_norms, distance)._replace(factor=1.0)
    with jax.enable_x64(True):
        start = problem.with_best_last(_Problem.best_bound)
        # In logarithms every step size is positive and all are of one scale.
        result = import_scipy("optimize").minimize(
            lambda logs: tuple(map(np.asarray, _bound_of_logs(logs, problem.norms))),
            np.log(start.best_factor() * start.steps),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 10_000, "maxfun": 20_000, "ftol": 1e-13, "gtol": 1e-10},
        )
        found = problem._replace(steps=np.exp(result.x))
        bound = found.bound()
    values = np.append(found.steps[:-1], 0.0)
    return BoundMinimum(
        step_sizes=found.steps * (problem.distance / problem.scale),
        values=values / values.max(),
        bound=bound,
    )


class _Problem(NamedTuple):
    """The bound without units, in which nothing overflows: a / factor + b factor."""

    steps: np.ndarray  # shape (T,), float64: relative to the largest
    norms: np.ndarray  # shape (T,), float64: relative to their geometric mean
    factor: float  # the largest step in units of distance / scale
    distance: float
    scale: float  # that mean

    @classmethod
    def of(cls, step_sizes, gradient_norms, distance: float) -> "_Problem":
        """Checks what users give and takes the units out of it."""
        steps, norms = checked_values(step_sizes), checked_norms(gradient_norms)
        if len(steps) != len(norms):
            raise ValueError(
                "There must be as many step sizes as gradient norms, got"
                f" {len(steps)} and {len(norms)}."
            )
        try:
            valid = np.ndim(distance) == 0 and 0 < distance < np.inf
        except TypeError:
            valid = False
        if not valid:
            raise ValueError(f"distance must be positive and finite, got {distance!r}.")
        peak, scale = float(steps.max()), float(np.exp(np.log(norms).mean()))
        distance = float(distance)  # a float32 would round what it is multiplied by
        factor = peak * (scale / distance)
        return cls(steps / peak, norms / scale, factor, distance, scale)

    def terms(self) -> tuple[float, float]:
        """The numbers a and b of these steps."""
        a, b = _terms(self.steps, self.norms)
        return float(a), float(b)

    def bound(self) -> float:
        """The bound with these steps."""
        a, b = self.terms()
        return self.distance * self.scale * (a / self.factor + b * self.factor)

    def best_bound(self) -> float:
        """The bound with the steps times what is best, without units."""
        a, b = self.terms()
        return 2 * (a * b) ** 0.5

    def best_factor(self) -> float:
        """What is best to multiply the steps by."""
        a, b = self.terms()
        return (a / b) ** 0.5 / self.factor

    def with_best_last(self, objective: Callable[["_Problem"], float]) -> "_Problem":
        """With the last step, where it is 0, replaced by what is best for it.

        Args:
          objective: a method of this class, to be made small.
        """
        if self.steps[-1] > 0:
            return self

        def with_last(log) -> _Problem:
            return self._replace(steps=np.append(self.steps[:-1], np.exp(log)))

        # Far wider than where it can be: the bound rises with its logarithm on both
        # sides. Steps far too small ask for a last one that makes up for them.
        low = -4 * np.log(len(self.steps)) - 10
        high = max(30.0, 10 - np.log(self.factor * self.norms.min()))
        found = import_scipy("optimize").minimize_scalar(
            lambda log: objective(with_last(log)),
            bounds=(low, high),
            method="bounded",
            options={"xatol": 1e-9},
        )
        return with_last(found.x)


@jax.jit
def _terms(steps, norms) -> tuple[jax.Array, jax.Array]:
    """The term of the distance and all others, float64 scalars."""
    squares = (norms * steps) ** 2
    from_here = jnp.cumsum(steps[::-1])[::-1]  # over p >= k
    squares_from_here = jnp.cumsum(squares[::-1])[::-1]
    total = from_here[0]
    each = steps[:-1] * squares_from_here[:-1] / (from_here[1:] * from_here[:-1])
    return (
        1 / (2 * total),
        squares_from_here[0] / (2 * total) + jnp.sum(each) / 2,
    )


@jax.jit
@jax.value_and_grad
def _bound_of_logs(logs, norms):
    return sum(_terms(jnp.exp(logs), norms))
