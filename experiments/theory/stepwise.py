"""Learning rates that stay for a while and then drop."""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax


class RateSums(NamedTuple):
    """What a bound needs to know of the rates alpha_t, t = 0, ..., T - 1.

    Attributes:
      rates: A = sum of alpha_t.
      squares: S = sum of alpha_t^2.
      products: P = sum over t >= 1 of alpha_t alpha_{t-1}, at most S.
      second: the rate alpha_1 of the second step, 0 if there is none.
    """

    rates: float
    squares: float
    products: float
    second: float


@dataclasses.dataclass(frozen=True, eq=False)
class StepwiseRates:
    """The rate alpha_i for k_i steps, i = 0, ..., n - 1 (equation 9).

    Attributes:
      rates: alpha_i, shape (n,), float64, positive, never rising.
      gaps: k_i in steps, shape (n,), int64, at least 1.

    Raises:
      ValueError: at construction, if they are not so.
    """

    rates: np.ndarray
    gaps: np.ndarray

    def __post_init__(self):
        rates = np.asarray(self.rates, np.float64)
        gaps = np.asarray(self.gaps)
        if rates.ndim != 1 or rates.shape != gaps.shape or not len(rates):
            raise ValueError(
                "rates and gaps must be two sequences of one length, got shapes"
                f" {rates.shape} and {gaps.shape}."
            )
        if not (np.isfinite(rates).all() and (rates > 0).all()):
            raise ValueError(f"rates must be positive, got {rates.min()}.")
        if (np.diff(rates) > 0).any():
            i = int(np.argmax(np.diff(rates) > 0))
            raise ValueError(
                f"rates must not rise, but {rates[i]} is followed by {rates[i + 1]}."
            )
        if not np.issubdtype(gaps.dtype, np.integer) or (gaps < 1).any():
            raise ValueError(f"gaps must be whole numbers from 1 on, got {gaps}.")
        object.__setattr__(self, "rates", rates)
        object.__setattr__(self, "gaps", gaps.astype(np.int64))

    def __len__(self) -> int:
        """The number n of different rates."""
        return len(self.rates)

    @functools.cached_property
    def ends(self) -> np.ndarray:
        """t_1, ..., t_n: the step at which each rate's successor takes over."""
        return np.cumsum(self.gaps)

    @property
    def num_steps(self) -> int:
        """T = t_n."""
        return int(self.ends[-1])

    def until(self, num_steps: int) -> "StepwiseRates":
        """The same rates for the first ``num_steps`` steps only."""
        if not 1 <= num_steps <= self.num_steps:
            raise ValueError(
                f"num_steps must be from 1 to {self.num_steps}, got {num_steps}."
            )
        n = int(np.searchsorted(self.ends, num_steps)) + 1
        gaps = self.gaps[:n].copy()
        gaps[-1] -= self.ends[n - 1] - num_steps
        return StepwiseRates(self.rates[:n], gaps)

    def per_step(self) -> np.ndarray:
        """alpha_t, shape (T,), float64."""
        return np.repeat(self.rates, self.gaps)

    def schedule(self) -> optax.Schedule:
        """The rate of step t = 0, 1, ..., float32; after the last step, the last."""
        ends = jnp.asarray(self.ends[:-1], jnp.int32)
        rates = jnp.asarray(self.rates, jnp.float32)
        return lambda count: schedule_from(ends, rates, count)

    @functools.cached_property
    def sums(self) -> RateSums:
        """The sums over all steps, from those over the rates."""
        rates, gaps = self.rates, self.gaps.astype(np.float64)
        return RateSums(
            rates=float(gaps @ rates),
            squares=float(gaps @ rates**2),
            products=float((gaps - 1) @ rates**2 + rates[1:] @ rates[:-1]),
            second=float(self.until(2).rates[-1]) if self.num_steps > 1 else 0.0,
        )


def schedule_from(
    ends: jax.Array, rates: jax.Array, count: jax.typing.ArrayLike
) -> jax.Array:
    """rates[i] where ends[i - 1] <= count < ends[i].

    Args:
      ends: shape (n - 1,), int32, ascending.
      rates: shape (n,).
      count: shape (), int32.

    Returns:
      The rate, shape ().
    """
    return rates[jnp.searchsorted(ends, count, side="right")]
