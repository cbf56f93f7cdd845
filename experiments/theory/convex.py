"""Convex problems on real data, and stochastic runs of unified momentum on them."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from scipy import optimize, sparse, special
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from experiments.theory.momentum import unified_momentum
from experiments.theory.stepwise import StepwiseRates, schedule_from
from experiments.theory.theorem2 import Constants

COMPONENTS = 5


class Method(NamedTuple):
    """Parameters of :func:`unified_momentum`."""

    beta: float
    s: float


@dataclasses.dataclass(frozen=True, eq=False)
class MarginProblem:
    """f(w) = mean of loss(<a_i, w>) over the rows a_i; a loss of slope -1 to 0.

    A stochastic gradient is that of one row drawn at random, so E|G|^2 is at most the
    mean of |a_i|^2, everywhere.

    Attributes:
      name: for people.
      rows: y_i (x_i, 1), shape (examples, dim), float64.
      loss: of margins, float64, elementwise.
      slope: its derivative, of float32 arrays of JAX; a subgradient where it has none.
      minimum: f*, found by scipy.
      minimiser: x*, shape (dim,).
    """

    name: str
    rows: np.ndarray
    loss: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[Any], jax.Array]
    minimum: float
    minimiser: np.ndarray

    def gap(self, w: np.ndarray) -> np.ndarray:
        """f(w) - f* in float64, for w of shape (..., dim)."""
        flat = w.reshape(-1, w.shape[-1]).astype(np.float64)
        # In blocks, as the margins of all points at once may take gigabytes.
        blocks = np.array_split(flat, max(1, len(flat) // 500))
        values = [self.loss(block @ self.rows.T).mean(axis=1) for block in blocks]
        return np.concatenate(values).reshape(w.shape[:-1]) - self.minimum

    def constants(self, method: Method) -> Constants:
        """Those of Theorem 2, for the start at 0."""
        start = np.zeros(self.rows.shape[1])
        return Constants(
            distance=float(np.linalg.norm(start - self.minimiser)),
            initial_gap=float(self.gap(start)),
            second_moment=float((self.rows**2).sum(axis=1).mean()),
            beta=method.beta,
            s=method.s,
        )


@functools.cache
def digit_rows() -> np.ndarray:
    """Even against odd digits: y_i (x_i, 1), shape (1797, 6), float64.

    x_i are the 5 leading principal components of the images, whitened: with all 64
    pixels the minimiser is so far away that every bound is above the initial gap for
    the first 10^5 steps.
    """
    pixels, labels = load_digits(return_X_y=True)
    pca = PCA(COMPONENTS, whiten=True, svd_solver="full")
    inputs = np.append(pca.fit_transform(pixels), np.ones((len(pixels), 1)), axis=1)
    return np.where(labels % 2 == 0, 1.0, -1.0)[:, None] * inputs


@functools.cache
def digits_logistic() -> MarginProblem:
    """Logistic regression, loss log(1 + exp(-margin)); f* by Newton's method."""
    rows = digit_rows()

    def loss(margins):
        return np.logaddexp(0.0, -margins)

    result = optimize.minimize(
        lambda w: loss(rows @ w).mean(),
        np.zeros(rows.shape[1]),
        jac=lambda w: -(special.expit(-rows @ w) @ rows) / len(rows),
        hess=lambda w: (
            (rows.T * (special.expit(rows @ w) * special.expit(-rows @ w)) @ rows)
            / len(rows)
        ),
        method="trust-exact",
        options={"gtol": 1e-12},
    )
    return MarginProblem(
        name="logistic regression",
        rows=rows,
        loss=loss,
        slope=lambda margin: -jax.nn.sigmoid(-margin),
        minimum=float(result.fun),
        minimiser=result.x,
    )


@functools.cache
def digits_hinge() -> MarginProblem:
    """The hinge, loss max(0, 1 - margin), not smooth; f* by linear programming."""
    rows = digit_rows()
    n, dim = rows.shape
    # Minimise the mean of z with z >= 1 - <a_i, w>, z >= 0.
    result = optimize.linprog(
        np.append(np.zeros(dim), np.full(n, 1 / n)),
        A_ub=-sparse.hstack([sparse.csr_array(rows), sparse.eye_array(n)]),
        b_ub=-np.ones(n),
        bounds=[(None, None)] * dim + [(0, None)] * n,
    )
    return MarginProblem(
        name="hinge",
        rows=rows,
        loss=lambda margins: np.maximum(0.0, 1.0 - margins),
        slope=lambda margin: -(margin < 1.0).astype(jnp.float32),
        minimum=float(result.fun),
        minimiser=result.x[:dim],
    )


PROBLEMS: dict[str, Callable[[], MarginProblem]] = {
    "logistic": digits_logistic,
    "hinge": digits_hinge,
}


class Gaps(NamedTuple):
    """Measured gaps of several methods.

    Attributes:
      steps: the t of the iterates x_t that are looked at, shape (times,); not all t, so
        that the smallest of these gaps is at least the smallest of all.
      gaps: f(x_t) - f*, shape (methods, seeds, times), float64.
    """

    steps: np.ndarray
    gaps: np.ndarray

    def smallest_mean(self) -> np.ndarray:
        """Min over t of the mean over seeds, up to each time, (methods, times)."""
        return np.minimum.accumulate(self.gaps.mean(axis=1), axis=-1)


def run(
    problem: MarginProblem,
    steps: StepwiseRates,
    methods: Sequence[Method],
    *,
    seeds: int,
    stride: int,
) -> Gaps:
    """Runs the methods from 0, each with seeds 0 to ``seeds`` - 1.

    Args:
      problem: what is minimised.
      steps: the rates; the runs have ``steps.num_steps`` steps.
      methods: beta and s.
      seeds: runs of each method; a seed has the same draws in all methods.
      stride: every how many steps the gap is taken.

    Returns:
      The gaps of x_0, x_stride, x_{2 stride}, ... before x_T.
    """
    times = -(-steps.num_steps // stride)
    points = _trajectories(
        problem.slope,
        times,
        stride,
        jnp.asarray(problem.rows, jnp.float32),
        jnp.asarray(steps.ends[:-1], jnp.int32),
        jnp.asarray(steps.rates, jnp.float32),
        jnp.asarray([method.beta for method in methods], jnp.float32),
        jnp.asarray([method.s for method in methods], jnp.float32),
        jax.vmap(jax.random.key)(jnp.arange(seeds)),
    )
    return Gaps(stride * np.arange(times), problem.gap(np.asarray(points)))


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _trajectories(slope, times, stride, rows, ends, rates, betas, ss, keys):
    """x_t every ``stride`` steps, shape (methods, seeds, times, dim), float32."""

    def trajectory(beta, s, key):
        def rate(count):
            return schedule_from(ends, rates, count)

        optimizer = unified_momentum(rate, beta, s)

        def step(carry, index):
            w, state = carry
            row = rows[index]
            updates, state = optimizer.update(slope(row @ w) * row, state, w)
            return (optax.apply_updates(w, updates), state), None

        def several(carry, time):
            drawn = jax.random.randint(
                jax.random.fold_in(key, time), (stride,), 0, len(rows)
            )
            return lax.scan(step, carry, drawn)[0], carry[0]

        w = jnp.zeros(rows.shape[1], jnp.float32)
        return lax.scan(several, (w, optimizer.init(w)), jnp.arange(times))[1]

    over_seeds = jax.vmap(trajectory, in_axes=(None, None, 0))
    return jax.vmap(over_seeds, in_axes=(0, 0, None))(betas, ss, keys)
