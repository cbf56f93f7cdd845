"""Expectations on the noisy quadratic model: Theorem 1, and before its limit.

Coordinates do not interact, and the noise of an iteration is independent of where it
starts, so second moments follow a linear recursion: with q_t = E[x_{t,i}^2] of a
coordinate and s_t = x_{t+1} - x_t = -alpha a (x_t - c_t),

    q_{t+1}        = (1 - alpha_t a)^2 q_t + (alpha_t a sigma)^2
    E[s_t^2]       = (alpha_t a)^2 (q_t + sigma^2)
    E[s_t s_{t+1}] = alpha_t alpha_{t+1} a^2 ((1 - alpha_t a) q_t - alpha_t a sigma^2)

for any sequence of rates that was fixed beforehand. At a constant rate below 2 / a the
first converges to q = alpha a sigma^2 / (2 - alpha a); put into the others this is
Theorem 1. Everything here is NumPy in float64; angles are in degrees, as in the
library, where the paper's theory has radians.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from experiments.theory.noisy_quadratic import START, NoisyQuadratic


class Expected(NamedTuple):
    """Expectations over a run of T iterations, float64.

    Attributes:
      loss: shape (..., T), E[x^T A x] / 2 after each iteration.
      step_square: shape (..., T), E|s_t|^2.
      inner_product: shape (..., T), E<s_{t-1}, s_t>; NaN in the first iteration.
    """

    loss: np.ndarray
    step_square: np.ndarray
    inner_product: np.ndarray

    @property
    def angle(self) -> np.ndarray:
        """Degrees, shape (..., T): the arccos of the ratio of expectations.

        The squared lengths of both steps enter by their geometric mean.
        """
        lengths = np.sqrt(self.step_square[..., 1:] * self.step_square[..., :-1])
        cosine = np.full_like(self.loss, np.nan)
        cosine[..., 1:] = self.inner_product[..., 1:] / lengths
        return np.degrees(np.arccos(cosine))


def expected_run(model: NoisyQuadratic, rates: npt.ArrayLike) -> Expected:
    """Returns the expectations along a run from x_0 = 2.

    Args:
      model: the model, of dimension n.
      rates: shape (..., T), the learning rates, fixed beforehand.
    """
    a, sigma = _float64(model)
    rates = np.asarray(rates, np.float64)[..., None]
    steps = rates.shape[-2]
    result = Expected(*np.full((3, *rates.shape[:-1]), np.nan))
    q = np.full((*rates.shape[:-2], a.size), START**2)
    for t in range(steps):
        r = rates[..., t, :] * a
        result.step_square[..., t] = np.sum(r**2 * (q + sigma**2), axis=-1)
        if t + 1 < steps:
            s = (1 - r) * q - r * sigma**2
            product = np.sum(r * rates[..., t + 1, :] * a * s, axis=-1)
            result.inner_product[..., t + 1] = product
        q = (1 - r) ** 2 * q + (r * sigma) ** 2
        result.loss[..., t] = np.sum(a * q, axis=-1) / 2
    return result


class Saturation(NamedTuple):
    """The limits at a constant rate.

    Attributes:
      loss: E[x^T A x] / 2.
      step_square: E|s_t|^2.
      inner_product: E<s_t, s_{t+1}> [I*].
    """

    loss: float
    step_square: float
    inner_product: float

    @property
    def cosine(self) -> float:
        """The ratio of expectations that the paper takes for the mean cosine [C*]."""
        return self.inner_product / self.step_square

    @property
    def angle(self) -> float:
        """The arccos of ``cosine``, in degrees."""
        return float(np.degrees(np.arccos(self.cosine)))


def saturation(model: NoisyQuadratic, rate: float) -> Saturation:
    """Theorem 1 of Teng, Wang, Choromanska (2021), equations 5 and 6.

    For SGD at a constant rate alpha on the noisy quadratic model, as t goes to
    infinity, with s_t the step of iteration t and sums over the coordinates i:

        E<s_t, s_{t+1}>  ->  I* = -alpha^3 sum_i a_i^3 sigma_i^2 / (2 - alpha a_i)
        E[cos(s_t, s_{t+1})]  ->  C* with

                    alpha  sum_i a_i^3 sigma_i^2 / (2 - alpha a_i)
            C* ~  - ----- ---------------------------------------- >= -alpha max a_i / 2
                      2    sum_i a_i^2 sigma_i^2 / (2 - alpha a_i)

    The right side is E<s, s'> / E|s|^2, the ratio of the expectations; it is the mean
    of the cosine only to leading order in 1 / n_eff (see :func:`mean_angle`). The
    theorem's "between 90 and 120 degrees" follows from the bound for alpha a_i <= 1,
    not for the stable rates beyond.

    Args:
      model: the model [a_i, sigma_i].
      rate: the learning rate [alpha].

    Returns:
      The limits; angles in degrees, where the paper's theory has radians.

    Raises:
      ValueError: ``rate`` is 0 or less, or so large that the iteration diverges.
    """
    a, sigma = _float64(model)
    if not 0 < rate * a.max() < 2:
        raise ValueError(
            f"The rate {rate} times the largest curvature {a.max()} is"
            f" {rate * a.max():.3g}; the iteration has a limit between 0 and 2. Take a"
            f" rate between 0 and {2 / a.max():.3g}."
        )
    q = rate * a * sigma**2 / (2 - rate * a)
    return Saturation(
        loss=float(np.sum(a * q) / 2),
        step_square=float(2 * rate**2 * np.sum(a**2 * sigma**2 / (2 - rate * a))),
        inner_product=float(-(rate**3) * np.sum(a**3 * sigma**2 / (2 - rate * a))),
    )


def mean_inner_product(
    model: NoisyQuadratic, rate: float, first: int, count: int
) -> float:
    """E<s_t, s_{t+1}> before the limit, from x_0 = 2.

    The mean over t = first, ..., first + count - 1, where t = 0 is the first step.
    """
    a, sigma = _float64(model)
    r = rate * a
    limit = r * sigma**2 / (2 - r)
    # q_t - q_inf falls geometrically; its mean over the iterations is a geometric sum.
    fall = (1 - r) ** 2
    mean_left = fall**first * (1 - fall**count) / (1 - fall) / count
    transient = np.sum(r**2 * (1 - r) * (START**2 - limit) * mean_left)
    return float(saturation(model, rate).inner_product + transient)


def distance_from_limit(model: NoisyQuadratic, rate: float, first: int) -> float:
    """How far E<s_t, s_{t+1}> can be from I*, as a multiple of |I*|, for t >= first.

    The test of convergence: sum_i alpha^2 a_i^2 |1 - alpha a_i| |q_{t,i} - q_{inf,i}|
    over |I*|, from x_0 = 2. It falls with t. Without the absolute values slow and fast
    coordinates could cancel for a moment.
    """
    a, sigma = _float64(model)
    r = rate * a
    left = np.abs(START**2 - r * sigma**2 / (2 - r)) * (1 - r) ** (2 * first)
    distance = np.sum(r**2 * np.abs(1 - r) * left)
    return float(distance / abs(saturation(model, rate).inner_product))


def effective_dimension(model: NoisyQuadratic, rate: float) -> float:
    """Number of coordinates that the saturated steps are spread over [n_eff].

    (sum_i v_i)^2 / sum_i v_i^2, with v_i the variance of coordinate i of a step.
    """
    v, _ = _saturated_steps(model, rate)
    return float(v.sum() ** 2 / np.sum(v**2))


class MeanAngle(NamedTuple):
    """The angle between steps at saturation, both in degrees.

    Attributes:
      bias: its mean minus arccos C*.
      sd: its standard deviation.
    """

    bias: float
    sd: float


def mean_angle(model: NoisyQuadratic, rate: float) -> MeanAngle:
    """How the angles of saturated steps are distributed, to order 1 / n_eff.

    The saturated steps s, s' are jointly Gaussian and independent over coordinates,
    with variances v_i and correlations rho_i = -alpha a_i / 2. The Taylor expansion
    (delta method) of arccos(<s, s'> / (|s| |s'|)) about the expectations of the three
    sums gives the moments. It needs an n_eff of 10 or so to be any good. The bias comes
    from curvatures that differ: with equal ones it is of a higher order.
    """
    v, rho = _saturated_steps(model, rate)
    total = v.sum()
    c = np.sum(rho * v) / total
    # Variances and covariances of N = <s, s'> and D = |s|^2, D' = |s'|^2, over total^2.
    nn = np.sum(v**2 * (1 + rho**2)) / total**2
    dd = 2 * np.sum(v**2) / total**2
    d_d = 2 * np.sum(v**2 * rho**2) / total**2  # of D and D'
    nd = 2 * np.sum(v**2 * rho) / total**2
    cosine_bias = c * (3 * dd + d_d) / 4 - nd
    cosine_variance = nn + c**2 * (dd + d_d) / 2 - 2 * c * nd
    sine = np.sqrt(1 - c**2)
    bias = -cosine_bias / sine - c * cosine_variance / (2 * sine**3)
    sd = np.sqrt(cosine_variance) / sine
    return MeanAngle(float(np.degrees(bias)), float(np.degrees(sd)))


def _saturated_steps(
    model: NoisyQuadratic, rate: float
) -> tuple[np.ndarray, np.ndarray]:
    """Variances of a saturated step, and correlations with the next, by coordinate."""
    a, sigma = _float64(model)
    return 2 * (rate * a * sigma) ** 2 / (2 - rate * a), -rate * a / 2


def _float64(model: NoisyQuadratic) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(model.curvatures, float), np.asarray(model.noise, float)
