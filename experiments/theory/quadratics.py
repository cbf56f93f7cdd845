"""Unified momentum on one-dimensional noisy quadratics: exact expectations.

f(x) = a x^2 / 2 with stochastic gradients a x + sigma xi, E xi = 0, E xi^2 = 1. The
method is linear, so the second moments of (x_t, v_t) obey a recursion: the expected
gaps are had without a single draw.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from experiments.theory.convex import Method
from experiments.theory.stepwise import StepwiseRates
from experiments.theory.theorem2 import Constants


class Quadratics(NamedTuple):
    """Many problems, each of shape (problems,), float64.

    Attributes:
      curvature: a.
      noise: sigma, of the gradients.
      start: x_0; the minimiser is 0.
    """

    curvature: np.ndarray
    noise: np.ndarray
    start: np.ndarray


class ExpectedGaps(NamedTuple):
    """Exact expectations for the first T steps.

    Attributes:
      steps: the T, shape (times,).
      gap: E f(x_{T-1}), shape (times, problems).
      smallest: the smallest E f(x_t), t < T, shape (times, problems).
      second_moment: the largest E|G_t|^2, t < T, shape (times, problems).
    """

    steps: np.ndarray
    gap: np.ndarray
    smallest: np.ndarray
    second_moment: np.ndarray


def grid(curvatures: np.ndarray, noises: np.ndarray, start: float = 1.0) -> Quadratics:
    """Every curvature with every noise."""
    curvature, noise = (x.ravel() for x in np.meshgrid(curvatures, noises))
    return Quadratics(curvature, noise, np.full_like(curvature, start))


def expected_gaps(
    problems: Quadratics,
    steps: StepwiseRates,
    method: Method,
    *,
    stride: int = 1,
) -> ExpectedGaps:
    """Follows the second moments of x_t and of v_t (see :func:`unified_momentum`).

    With d = alpha_t (1 + beta s), e = alpha_t (1 + beta s - s) and g = a x + sigma xi,

        x_{t+1} = x_t - d g + beta v_t,    v_{t+1} = beta v_t - e g.

    Args:
      problems: what is minimised.
      steps: the rates.
      method: beta and s.
      stride: results are for T = stride, 2 stride, ...; steps that do not fill a stride
        at the end are left out.
    """
    times = steps.num_steps // stride
    rates = steps.per_step()[: times * stride].reshape(times, stride)
    with jax.enable_x64(True):
        results = _moments(
            *(jnp.asarray(x, jnp.float64) for x in problems),
            jnp.asarray(rates, jnp.float64),
            jnp.float64(method.beta),
            jnp.float64(method.s),
        )
        gap, smallest, second_moment = (np.asarray(x) for x in results)
    return ExpectedGaps(stride * np.arange(1, times + 1), gap, smallest, second_moment)


@jax.jit
def _moments(curvature, noise, start, rates, beta, s):
    def step(carry, rate):
        xx, xv, vv, _, smallest, largest = carry
        # Rounding may leave a tiny second moment below 0.
        gap = curvature * jnp.maximum(xx, 0.0) / 2
        second_moment = 2 * curvature * gap + noise**2
        smallest = jnp.minimum(smallest, gap)
        largest = jnp.maximum(largest, second_moment)

        d, e = rate * (1 + beta * s), rate * (1 + beta * s - s)
        p, q = 1 - d * curvature, -e * curvature  # what x_t contributes
        moments = (
            p * p * xx + 2 * p * beta * xv + beta * beta * vv + (d * noise) ** 2,
            p * q * xx + (p + q) * beta * xv + beta * beta * vv + d * e * noise**2,
            q * q * xx + 2 * q * beta * xv + beta * beta * vv + (e * noise) ** 2,
        )
        return (*moments, gap, smallest, largest), None

    def several(carry, rates):
        carry, _ = lax.scan(step, carry, rates)
        return carry, carry[3:]

    zero = jnp.zeros_like(start)
    carry = (start**2, zero, zero, zero, zero + jnp.inf, zero)
    return lax.scan(several, carry, rates)[1]


def constants(problems: Quadratics, second_moment: np.ndarray, method: Method):
    """Those of Theorem 2, one for each problem.

    Args:
      problems: what is minimised.
      second_moment: the largest E|G_t|^2 of the steps that the bound is for, shape
        (problems,). The gradients of a quadratic are not bounded everywhere, but the
        derivation needs it in the iterates only.
      method: beta and s.
    """
    return [
        Constants(abs(x), a * x**2 / 2, m, method.beta, method.s)
        for a, x, m in zip(
            problems.curvature, problems.start, second_moment, strict=True
        )
    ]
