"""The fit of equation 11 to recorded angular velocities.

Three models, fitted by least squares to the angles of all seeds, t = epoch times steps
per epoch:

* "each rate": equation 11 with a level and a gamma for every rate.
* "all rates": equation 11 as it stands, one c and one gamma for all rates.
* "with a start": each rate's own, from an angle V_0 of its own and not from 0,
  V(t) = level - (level - V_0)/(gamma alpha t + 1), V_0 from 0 to 180 degrees.

A run that did no better than guessing has not trained; its rate is left out of the
fits, and said to be.
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import optimize

from experiments.theory.angular_model import AngularModel
from experiments.theory.recorded_angles import RecordedAngles

STEPS_PER_EPOCH = {"digits_mlp": 1347 // 32, "fashion_mnist_mlp": 60_000 // 128}
GUESSING_LOSS = math.log(10)  # nats, of ten equally likely classes
LAST = 10  # epochs, for the measured level
KNOWN_WITHIN = 5.0  # degrees: a level with a larger standard error is not known
STILL = 1.0  # degrees: angles that rose more over the last epochs are not saturated


class Angles(NamedTuple):
    """All seeds of a workload at one rate.

    Attributes:
      workload: its name.
      rate: learning rate.
      time: iterations, shape (epochs,); without the first epoch, which has no angle.
      angle: degrees, shape (seeds, epochs).
      train_loss: shape (seeds, epochs).
    """

    workload: str
    rate: float
    time: np.ndarray
    angle: np.ndarray
    train_loss: np.ndarray

    @property
    def trained(self) -> bool:
        """Whether every seed ended with less than half the loss of guessing."""
        # Not the other way round: a loss may be NaN.
        return bool((self.train_loss[:, -1] < GUESSING_LOSS / 2).all())


class Fit(NamedTuple):
    """A model at one rate; a line of equation11.csv. Angles in degrees.

    Attributes:
      workload: its name.
      model: "each rate", "all rates" or "with a start".
      rate: learning rate.
      level: fitted saturation level; NaN at a rate that did not train.
      level_error: its standard error, from the scatter around the fit.
      gamma: fitted, per unit of rate times iteration.
      start: fitted V_0; 0 for equation 11.
      rmse: root of the mean squared distance of angles and model.
      noise: the same of the angles and the mean over seeds, with seeds - 1: what no
        model could do better.
      r2: 1 - (squares around the fit)/(squares around the mean).
      last: mean of the last 10 epochs.
      last_sd: standard deviation of these means over seeds.
      still_rising: mean of the last 10 epochs over that of the 10 before.
    """

    workload: str
    model: str
    rate: float
    level: float
    level_error: float
    gamma: float
    start: float
    rmse: float
    noise: float
    r2: float
    last: float
    last_sd: float
    still_rising: float

    @property
    def known(self) -> bool:
        """Whether the angles say where they will saturate."""
        return self.level_error <= KNOWN_WITHIN

    @property
    def measured(self) -> "Fit":
        """The mean of the last epochs as the level, where the angle stands still."""
        still = not math.isnan(self.level) and abs(self.still_rising) <= STILL
        return self._replace(
            model="last 10 epochs",
            level=self.last if still else math.nan,
            level_error=self.last_sd if still else math.nan,
        )


def by_rate(runs: Sequence[RecordedAngles]) -> list[Angles]:
    """Puts the seeds of every workload and rate together, highest rate first."""
    keys = sorted({(r.workload, -r.learning_rate) for r in runs})
    together = []
    for workload, negative in keys:
        key = (workload, -negative)
        own = [r for r in runs if (r.workload, r.learning_rate) == key]
        together.append(
            Angles(
                workload,
                -negative,
                own[0].epoch[1:] * STEPS_PER_EPOCH[workload],
                np.stack([r.angle[1:] for r in own]),
                np.stack([r.train_loss[1:] for r in own]),
            )
        )
    return together


def fit_each(angles: Angles, *, with_start: bool = False) -> Fit:
    """Fits a level and a gamma, and with ``with_start`` the first angle."""
    name = "with a start" if with_start else "each rate"
    if not angles.trained:
        return _summary(angles, name, math.nan, math.nan, math.nan, math.nan, None)

    def model(t, level, log_gamma, start=0.0):
        return level - (level - start) / (np.exp(log_gamma) * angles.rate * t + 1)

    t = np.tile(angles.time, len(angles.angle))
    half_way = -math.log(angles.rate * angles.time[5])
    guess = [100.0, half_way, 50.0] if with_start else [100.0, half_way]
    low, high = [0.0, -30.0, 0.0], [1e6, 30.0, 180.0]
    limits = (low[: len(guess)], high[: len(guess)])
    found, covariance = optimize.curve_fit(
        model, t, angles.angle.ravel(), guess, bounds=limits, max_nfev=20_000
    )
    return _summary(
        angles,
        name,
        found[0],
        math.sqrt(covariance[0, 0]),
        math.exp(found[1]),
        found[2] if with_start else 0.0,
        model(angles.time, *found),
    )


def fit_all(rates: Sequence[Angles]) -> tuple[AngularModel | None, list[Fit]]:
    """Fits one c and one gamma to all rates of a workload.

    Returns:
      The model, None where c is 0 and levels do not rise with the rate; and its
      distance from the angles at every rate.
    """
    trained = [angles for angles in rates if angles.trained]
    alpha, t, angle = (
        np.concatenate(parts)
        for parts in zip(
            *(
                (
                    np.full(a.angle.size, a.rate),
                    np.tile(a.time, len(a.angle)),
                    a.angle.ravel(),
                )
                for a in trained
            ),
            strict=True,
        )
    )

    def model(inputs, c, log_gamma):
        alpha, t = inputs
        return 90 * (1 + c * alpha) * (1 - 1 / (np.exp(log_gamma) * alpha * t + 1))

    (c, log_gamma), covariance = optimize.curve_fit(
        model, (alpha, t), angle, [1.0, 0.0], bounds=([0, -20], [np.inf, 20])
    )
    gamma = math.exp(log_gamma)
    fits = [
        _summary(
            a,
            "all rates",
            90 * (1 + c * a.rate) if a.trained else math.nan,
            90 * a.rate * math.sqrt(covariance[0, 0]) if a.trained else math.nan,
            gamma if a.trained else math.nan,
            0.0,
            model((a.rate, a.time), c, log_gamma) if a.trained else None,
        )
        for a in rates
    ]
    return (AngularModel(c, gamma) if c > 0 else None), fits


def levels_rise(fits: Sequence[Fit]) -> bool | None:
    """Whether fitted levels rise with the rate, as P2 ii says.

    Args:
      fits: of one workload and one model.

    Returns:
      Of the rates whose level is known; None if there are fewer than two.
    """
    known = sorted((fit.rate, fit.level) for fit in fits if fit.known)
    if len(known) < 2:
        return None
    return all(a[1] < b[1] for a, b in itertools.pairwise(known))


def _summary(
    angles: Angles,
    model: str,
    level: float,
    level_error: float,
    gamma: float,
    start: float,
    fitted: np.ndarray | None,
) -> Fit:
    values = angles.angle
    rmse = r2 = math.nan
    if fitted is not None:
        residual = np.square(values - fitted).sum()
        rmse = math.sqrt(residual / values.size)
        r2 = 1 - residual / np.square(values - values.mean()).sum()
    of_seeds = values[:, -LAST:].mean(axis=1)
    before = values[:, -2 * LAST : -LAST].mean(axis=1)
    return Fit(
        angles.workload,
        model,
        angles.rate,
        float(level),
        float(level_error),
        float(gamma),
        float(start),
        rmse,
        math.sqrt(values.var(axis=0, ddof=1).mean()),
        float(r2),
        float(of_seeds.mean()),
        float(of_seeds.std(ddof=1)),
        float((of_seeds - before).mean()),
    )
