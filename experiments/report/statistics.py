"""What tables say of several runs: means, tests, and the tables themselves."""

import math
import statistics
from collections.abc import Iterable, Sequence

from scipy import stats


def mean_sd(values: Iterable[float], digits: int = 2) -> str:
    """Mean ± sample standard deviation (n - 1), which one value does not have."""
    values = list(values)
    mean = f"{statistics.mean(values):.{digits}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ± {statistics.stdev(values):.{digits}f}"


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


def markdown_table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table for a page."""
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
