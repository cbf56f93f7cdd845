"""The comparison: rates are tuned on some seeds, and reported on others."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from autodrop_optax.refinement import refinement_arrays
from experiments.report.convex import LINEAR, ConvexRow
from experiments.report.statistics import t_statistic
from experiments.studies.convex.problems import Problem, minimum
from experiments.studies.convex.runs import (
    EPOCHS,
    Outcomes,
    steps_per_epoch,
    train,
    train_and_record,
)
from experiments.studies.convex.schedules import AUTODROPS, FACTORS, REFINED

RATES = tuple(2.0**k for k in range(-12, 7))
REPORTED = tuple(range(10))
TUNED = tuple(range(100, 105))
FIRST_RUN = 1000  # added to a seed: that of the run whose norms refine its schedule


class Tuned(NamedTuple):
    """A schedule with its best rate."""

    rate: float
    outcomes: Outcomes  # of the reported seeds, with that rate: shape (seeds, 1)
    factors: np.ndarray  # shape (seeds or 1, steps); of AutoDrop (1, 0)


def compare(
    problem: Problem,
    optimizer: str,
    *,
    rates: Sequence[float] = RATES,
    reported: Sequence[int] = REPORTED,
    tuned: Sequence[int] = TUNED,
    epochs: int = EPOCHS,
) -> dict[str, Tuned]:
    """Tunes and runs all schedules on one problem."""
    steps = epochs * steps_per_epoch(problem)
    everyone = [*reported, *tuned]

    def tune(factors: np.ndarray) -> Tuned:
        """Of a schedule for all seeds, or of one for each of everyone."""
        factors = np.atleast_2d(factors)
        outcomes = train(
            problem, optimizer, rates, tuned, factors=factors[-len(tuned) :],
            epochs=epochs,
        )  # fmt: skip
        rate = best_rate(rates, outcomes)
        # Everyone, so that it is compiled once for these and for the first runs.
        outcomes, _ = train_and_record(
            problem, optimizer, rate, everyone, factors=factors, epochs=epochs
        )
        first = len(reported)
        return Tuned(rate, Outcomes(*(x[:first] for x in outcomes)), factors[:first])

    found = {name: tune(factors(steps)) for name, factors in FACTORS.items()}
    _, norms = train_and_record(
        problem,
        optimizer,
        found[LINEAR].rate,
        [seed + FIRST_RUN for seed in everyone],
        factors=found[LINEAR].factors,
        epochs=epochs,
    )
    refine = "sgd" if optimizer == "sgd" else "adam"
    schedules = [refinement_arrays(g, optimizer=refine).values for g in norms]
    found[REFINED] = tune(np.stack(schedules))
    for name in AUTODROPS:
        outcomes = train(
            problem, optimizer, rates, everyone, autodrop_name=name, epochs=epochs
        )
        mine = Outcomes(*(x[: len(reported)] for x in outcomes))
        others = Outcomes(*(x[len(reported) :] for x in outcomes))
        rate = best_rate(rates, others)
        index = list(rates).index(rate)
        mine = Outcomes(*(x[:, index : index + 1] for x in mine))
        found[name] = Tuned(rate, mine, np.ones((1, 0)))
    return found


def best_rate(rates: Sequence[float], outcomes: Outcomes) -> float:
    """The rate with the lowest loss, mean over the seeds; NaN is the worst."""
    losses = outcomes.losses.mean(axis=0)
    return rates[int(np.argmin(np.where(np.isnan(losses), np.inf, losses)))]


def rows(
    optimizer: str, name: str, problem: Problem, found: dict[str, Tuned], rates=RATES
) -> list[ConvexRow]:
    """A row for each schedule on one problem."""
    lowest = minimum(problem)
    linear = found[LINEAR].outcomes.losses[:, 0]
    result = []
    for schedule, tuned in found.items():
        losses, errors = tuned.outcomes.losses[:, 0], tuned.outcomes.errors[:, 0]
        factors = tuned.factors
        peak = factors.argmax(axis=1).mean() / factors.shape[1] if factors.size else 0
        result.append(
            ConvexRow(
                optimizer=optimizer,
                data=name,
                schedule=schedule,
                rate=tuned.rate,
                at_edge=tuned.rate in (rates[0], rates[-1]),
                n=len(losses),
                excess_loss=float(losses.mean() - lowest),
                excess_loss_se=standard_error(losses),
                error=float(errors.mean()),
                error_se=standard_error(errors),
                ratio=float((losses.mean() - lowest) / (linear.mean() - lowest)),
                t=t_statistic(losses - linear),
                drops=float(tuned.outcomes.drops.mean()),
                peak=float(peak),
            )
        )
    return result


def standard_error(values: np.ndarray) -> float:
    """Of the mean; one value has none."""
    if len(values) < 2:
        return math.nan
    return float(np.std(values, ddof=1) / math.sqrt(len(values)))
