"""The angular-velocity model (equation 11) and the rates of Algorithm 2."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from experiments.theory.stepwise import StepwiseRates


@dataclasses.dataclass(frozen=True)
class AngularModel:
    """Equation 11: the angular velocity after t iterations at a fixed rate alpha.

        V(t) = (pi/2) (1 + c alpha) (1 - 1/(gamma alpha t + 1))

    In radians, where the library has degrees. It saturates at (pi/2) (1 + c alpha),
    over 90 degrees and for c <= 1/(3 alpha) under 120, later for a lower rate.

    Attributes:
      c: how far the saturation level rises with the rate, c > 0.
      gamma: how fast the level is approached, gamma > 0, per unit of rate times t.

    Raises:
      ValueError: at construction, if one of them is not positive.
    """

    c: float
    gamma: float

    def __post_init__(self):
        for name in ("c", "gamma"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be positive, got {value}.")

    def level(self, alpha):
        """The saturation level in radians."""
        return np.pi / 2 * (1 + self.c * alpha)

    def velocity(self, alpha, t):
        """V(t) in radians, t in iterations."""
        return self.level(alpha) * (1 - 1 / (self.gamma * alpha * t + 1))

    def derivative(self, alpha, t):
        """dV/dt in radians per iteration."""
        speed = self.gamma * alpha
        return self.level(alpha) * speed / (speed * t + 1) ** 2

    def gap(self, alpha: np.ndarray, tau: np.ndarray | float) -> np.ndarray:
        """The smallest whole k >= 1 with dV/dt(k) <= tau, in closed form.

            k = max(1, ceil((sqrt((pi/2) (1 + c alpha) gamma alpha / tau) - 1)
                            / (gamma alpha))).

        Args:
          alpha: rates, shape (n,).
          tau: thresholds in radians per iteration, shape (n,) or ().

        Returns:
          k, shape (n,), int64: how many iterations Algorithm 2 stays at each rate.
        """
        speed = self.gamma * alpha
        crossing = (np.sqrt(self.level(alpha) * speed / tau) - 1) / speed
        k = np.maximum(1, np.ceil(crossing)).astype(np.int64)
        # Where dV/dt(k) = tau exactly, rounding may have taken the neighbour.
        k = np.where((k > 1) & (self.derivative(alpha, k - 1) <= tau), k - 1, k)
        return np.where(self.derivative(alpha, k) > tau, k + 1, k)


def algorithm2(
    model: AngularModel, rates: Sequence[float] | np.ndarray, tau: np.ndarray | float
) -> StepwiseRates:
    """Algorithm 2 (Teng, Wang, Choromanska, 2021) as a step-wise schedule.

    It takes the next rate once dV/dt, t counted from the last drop, is down to tau. As
    printed the first rate lasts one iteration longer, since the count of the others
    starts with the iteration of the drop; here all are counted alike.

    Args:
      model: of the angular velocity.
      rates: alpha_i, decreasing, shape (n,).
      tau: radians per iteration: one threshold (2021), or one for each rate, shape
        (n,), such as :func:`falling_threshold` (2024).

    Returns:
      The rates with their k_i.

    Raises:
      ValueError: a threshold is not positive, or the model's c is over
        1/(3 max alpha_i), where it would saturate over 120 degrees.
    """
    rates = np.asarray(rates, np.float64)
    if not np.all(np.asarray(tau) > 0):
        raise ValueError(f"tau must be positive, got {np.min(tau)}.")
    if model.c * rates.max() > 1 / 3:
        raise ValueError(
            f"c must be at most 1/(3 max rate) = {1 / (3 * rates.max()):.4g}, got"
            f" {model.c}."
        )
    return StepwiseRates(rates, model.gap(rates, tau))


def falling_threshold(model: AngularModel, rates: np.ndarray, tau_0: float):
    """tau_i = min(tau_0, gamma alpha_i / 2) of the 2024 version, shape (n,)."""
    return np.minimum(tau_0, model.gamma * rates / 2)
