"""SASA+: a test of whether the iterates have reached their stationary distribution."""

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.scipy.special import betainc

from experiments.schedules._checks import check_choice, check_count, check_number
from experiments.schedules._trees import dot, require_params, scaled, squared_norm
from experiments.schedules.schedule import RATE, Schedule, ScheduledOptimizer, behind
from experiments.task.recipe import Recipe


class SasaState(NamedTuple):
    """State of :func:`sasa_plus`."""

    scale: jax.Array  # shape (), float32: the rate over the first rate
    num_drops: jax.Array  # shape (), int32
    steps: jax.Array  # shape (), int32: k, since the start
    num_samples: jax.Array  # shape (), int32: N, samples since the last drop
    samples: jax.Array  # shape (capacity,), float32: a ring of the newest
    # shape (), float32: of a mean of 0, at the last test, NaN before
    p_value: jax.Array


def sasa_plus(
    *,
    test_every: int = 1000,
    min_samples: int = 1000,
    kept_fraction: float = 1 / 8,
    significance: float = 0.05,
    drop_factor: float = 0.1,
    variance: Literal["overlapping", "batch"] = "overlapping",
    test: Literal["interval", "halves"] = "interval",
    capacity: int = 16384,
) -> optax.GradientTransformationExtraArgs:
    r"""Drops the rate when the squared norm of the parameters has no trend.

    Zhang, Lang, Liu, Xiao, "Statistical Adaptive Stochastic Gradient Methods", 2020
    (arXiv 2002.10597), SASA+; after SASA of Lang, Xiao, Zhang, "Using Statistics to
    Automate Stochastic Optimization", NeurIPS 2019. For a step :math:`x_{k+1} = x_k -
    \alpha d_k` of any optimizer, at stationarity

    .. math::
      E\,\Delta_k = 0, \qquad
      \Delta_k = \langle x_k, d_k \rangle - \frac{\alpha}{2} |d_k|^2
      = \frac{|x_k|^2 - |x_{k+1}|^2}{2 \alpha}.

    Every ``test_every`` steps the mean of the newest samples since the last drop gets a
    confidence interval, :math:`\bar\Delta \pm t_{1 - \delta/2}\, \hat\sigma /
    \sqrt{n}`, with the variance of a Markov chain; 0 inside of it is a drop.

    The form of the statistic depends on no convention of the momentum: it follows from
    :math:`E|x_{k+1}|^2 = E|x_k|^2`. (SASA's own, :math:`\langle x, g \rangle -
    \frac{\alpha}{2} \frac{1 + \beta}{1 - \beta} |d|^2`, holds for heavy ball alone.)
    The samples kept here are :math:`\alpha_0 \Delta_k = -\langle x_k, u_k \rangle -
    \frac{s}{2} |u_k|^2`, with :math:`u_k` the update that comes in and s the scale: the
    factor is of no matter to the test.

    What is the authors', as their program microsoft/statopt has it: the statistic; the
    newest eighth of the samples, more than 1000 of them (so 8000 steps after a drop); a
    significance of 0.05; a tenth of the rate; a test every 1000 steps, or once per
    epoch where that is less (its README); batches of :math:`\lfloor \sqrt n \rfloor`
    samples, overlapping or not, with n - b and b - 1 degrees of freedom. Its default
    for the variance, "mb", is no name it knows and falls through to that of independent
    samples. ``test="halves"`` is the program's test, which is stricter: the means of
    the older and the newer half must agree in sign, and before the first drop each must
    lie within the half-width of 0; for the mean of :math:`\Delta` passes through 0
    wherever the norm turns. Not checked against the paper's text: that its test is the
    plain interval. What is a choice: the plain interval and overlapping batches as
    defaults; no more than ``capacity`` samples; the momentum is not set to zero at a
    drop as it is in the program; no warm-up (the program's 1000 steps are over before
    its first test).

    Args:
      test_every: steps from one test to the next, 1 or more.
      min_samples: a test needs more kept samples than these, 4 or more.
      kept_fraction: of the samples since the last drop, above 0 and at most 1.
      significance: delta, between 0 and 1.
      drop_factor: what a drop multiplies the rate by, between 0 and 1.
      variance: which batch means estimate it.
      test: what counts as stationary.
      capacity: samples kept at most, more than ``min_samples``.

    Returns:
      A link to chain behind an optimizer at a constant rate. It keeps ``capacity``
      numbers and no copy of the parameters. A drop acts from the next step on.

    Raises:
      ValueError: an argument is out of its range.
    """
    check_count("test_every", test_every)
    check_count("min_samples", min_samples, least=4)
    if kept_fraction != 1:
        check_number("kept_fraction", kept_fraction, low=0, high=1)
    check_number("significance", significance, low=0, high=1)
    check_number("drop_factor", drop_factor, low=0, high=1)
    check_choice("variance", variance, ("overlapping", "batch"))
    check_choice("test", test, ("interval", "halves"))
    check_count("capacity", capacity, least=min_samples + 1)

    def init(params: optax.Params) -> SasaState:
        del params
        return SasaState(
            scale=jnp.float32(1),
            num_drops=jnp.int32(0),
            steps=jnp.int32(0),
            num_samples=jnp.int32(0),
            samples=jnp.zeros(capacity, jnp.float32),
            p_value=jnp.float32(jnp.nan),
        )

    def update(updates, state, params=None, **extra_args):
        del extra_args
        params = require_params(params, "sasa_plus")
        sample = -dot(params, updates) - 0.5 * state.scale * squared_norm(updates)
        samples = state.samples.at[state.num_samples % capacity].set(sample)
        steps, num_samples = state.steps + 1, state.num_samples + 1
        kept = jnp.ceil(num_samples.astype(jnp.float32) * kept_fraction).astype(
            jnp.int32
        )
        kept = jnp.minimum(kept, capacity)

        def stationary():
            window = jnp.take(
                samples, jnp.arange(capacity) + num_samples - kept, mode="wrap"
            )
            p_value, halves_agree = zero_mean_test(
                window,
                kept,
                variance=variance,
                significance=significance,
                strict=state.num_drops == 0,
            )
            drop = p_value > significance
            if test == "halves":
                drop &= halves_agree
            return drop, p_value

        drop, p_value = jax.lax.cond(
            (kept > min_samples) & (steps % test_every == 0),
            stationary,
            lambda: (jnp.bool_(False), state.p_value),
        )
        return scaled(updates, state.scale), SasaState(
            scale=jnp.where(drop, state.scale * drop_factor, state.scale),
            num_drops=state.num_drops + drop,
            steps=steps,
            num_samples=jnp.where(drop, 0, num_samples),
            samples=samples,
            p_value=p_value,
        )

    return optax.GradientTransformationExtraArgs(init, update)


def zero_mean_test(
    window: jax.Array,
    size: jax.Array,
    *,
    variance: str,
    significance: float,
    strict: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Tests whether the mean of a Markov chain is zero.

    Args:
      window: shape (capacity,), float32: the samples, oldest first, and then anything.
      size: shape (), int32: n, how many samples there are, 4 or more.
      variance: ``"overlapping"`` or ``"batch"``.
      significance: delta of the interval that ``strict`` is about.
      strict: shape (), bool: whether each half's mean must lie in the half-width.

    Returns:
      The p-value of a mean of zero, shape (), float32: it exceeds delta where zero lies
      inside the interval; and whether the two halves agree, shape (), bool.
    """
    place = jnp.arange(len(window))
    total = size.astype(jnp.float32)
    mean = jnp.sum(window, where=place < size) / total
    # Centred before anything is summed up: the sums stay small.
    centred = jnp.where(place < size, window - mean, 0)
    sums = jnp.concatenate([jnp.zeros(1, jnp.float32), jnp.cumsum(centred)])
    batch = jnp.floor(jnp.sqrt(total)).astype(jnp.int32)
    if variance == "overlapping":
        first, number = place, size - batch + 1
        freedom = size - batch
        # Means of b samples have a bth of the variance; here they overlap.
        factor = batch * total / (number * (number - 1))
    else:
        first, number = place * batch, size // batch
        freedom = batch - 1
        factor = batch / (number - 1)
    first = jnp.minimum(first, size - batch)
    means = (sums[first + batch] - sums[first]) / batch
    squares = jnp.sum(means**2, where=place < number)
    # Of the mean of all samples.
    error_square = factor * squares / total
    freedom = freedom.astype(jnp.float32)
    t_square = mean**2 / error_square
    p_value = betainc(freedom / 2, 0.5, freedom / (freedom + t_square))

    half = size // 2
    older = mean + sums[half] / half
    newer = mean + (sums[size] - sums[half]) / (size - half)

    def inside(value):
        t_square = value**2 / error_square
        return betainc(freedom / 2, 0.5, freedom / (freedom + t_square)) > significance

    both_inside = inside(older) & inside(newer)
    return p_value, (older * newer > 0) & (~strict | both_inside)


@dataclass(frozen=True)
class Sasa(Schedule):
    """A tenth of the rate where the squared norm has no trend (Zhang et al. 2020)."""

    test: Literal["interval", "halves"] = "interval"
    """What counts as stationary; halves: the stricter test of the authors' program."""
    test_every: int | None = None
    """Steps from one test to the next; None: an epoch's, at most 1000."""

    source: ClassVar = "Zhang et al. 2020"
    requires: ClassVar = RATE

    def build(self, recipe: Recipe) -> ScheduledOptimizer:
        """The link behind the recipe's optimizer."""
        every = self.test_every
        if every is None:
            every = min(1000, recipe.steps_per_epoch)
        return behind(sasa_plus(test_every=every, test=self.test), recipe)


@dataclass(frozen=True)
class SasaHalves(Sasa):
    """As sasa, with the stricter test of the authors' program."""

    test: Literal["interval", "halves"] = "halves"
    """What counts as stationary."""
