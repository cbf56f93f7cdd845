"""Means, deviations and tests over several runs."""

import math
import statistics
from collections.abc import Iterable, Sequence

import numpy as np
from scipy import stats


def mean_sd(values: Iterable[float], form: str = ".2f") -> str:
    """Mean ± sample standard deviation (n - 1), which one value does not have.

    Args:
      values: NaN stands for no value.
      form: of both numbers.
    """
    values = [value for value in values if not math.isnan(value)]
    if not values:
        return "none"
    mean = f"{statistics.mean(values):{form}}"
    if len(values) == 1:
        return mean
    return f"{mean} ± {statistics.stdev(values):{form}}"


def t_statistic(values: Iterable[float]) -> float:
    """Student's t of n values against 0; without any scatter 0 or infinite."""
    values = list(values)
    mean, sd = statistics.fmean(values), statistics.stdev(values)
    if sd == 0:
        return math.copysign(math.inf, mean) if mean else 0.0
    return mean / (sd / math.sqrt(len(values)))


def t_limit(n: int) -> float:
    """What |t| of n values exceeds by chance in one case of twenty (two-sided)."""
    return float(stats.t.ppf(0.975, n - 1))


def mean_and_half_width(values: np.ndarray) -> tuple[float, float]:
    """Mean of n values, and half of its 95 % confidence interval (Student's t)."""
    return float(values.mean()), t_limit(len(values)) * float(stats.sem(values))


def told_apart(differences: Sequence[float]) -> bool:
    """Whether a two-sided t test at 5 % tells n values, two or more, from 0."""
    return abs(t_statistic(differences)) > t_limit(len(differences))


def difference(values: Sequence[float]) -> str:
    """Mean ± sd with a sign, bold where told apart from 0; nothing of under two."""
    if len(values) < 2:
        return ""
    text = f"{statistics.mean(values):+.2f} ± {statistics.stdev(values):.2f}"
    return f"**{text}**" if told_apart(values) else text
