"""Theorem 3: how fast the gap falls with T under Algorithm 2's schedules.

Statement (Teng, Wang, Choromanska, 2021, equations 12 and 13, as far as they can be
read): f convex with subgradients of norm at most G, stochastic gradients of variance at
most delta^2; unified momentum with the rates alpha_i = (i + 1)^(-2/3), dropped by
Algorithm 2 where the derivative of the angular velocity (radians per iteration, with c
and gamma of equation 11) is down to tau. Then min_t E f(x_t) - f* = O(T^(-1/5)), T the
number of steps. What does not hold of it is in theorem2.md and `figure_algorithm2`.

The slopes are those of log(smallest gap) over log T. Beside them stand the slopes of
the rate alpha_T and of 1/A_T, A_T the sum of the rates, over the same T: where a
problem is held up by noise the gap follows the rate, where it is held up by its start
the gap follows 1/A_T, and momentum changes only the factor in front.
"""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib.figure
import numpy as np

from experiments.theory import figure_algorithm2, quadratics
from experiments.theory.convex import PROBLEMS, Method, run
from experiments.theory.output import table, write, write_csv
from experiments.theory.stepwise import StepwiseRates
from experiments.theory.theorem2 import bound

FIRST = 1000  # T from here on
EXACT_STEPS = 1_000_000
STEPS = 100_000
SEEDS = 32
STRIDE = 200
POINTS_PER_DECADE = 12
RESAMPLES = 1000
METHODS = (Method(0.0, 0.0), Method(0.5, 0.0), Method(0.9, 0.0))
SEQUENCES = (
    "2/3, fixed low",
    "2/3, fixed high",
    "2/3, falling",
    "1, falling",
    "geometric, falling",
)
REFERENCES = {"-1/5": -1 / 5, "-1/4": -1 / 4, "-1/2": -1 / 2}
DRAWN = (0.0, 0.9)
COLORS = ("#0072B2", "#D55E00", "#009E73")
# One noisy quadratic, settled soon; and the curvatures from which the worst is taken at
# every T, without noise, so that the start is all that counts.
NOISY = quadratics.grid(np.array([1.0]), np.array([0.1]))
STARTS = quadratics.grid(np.geomspace(1e-7, 1, 351), np.array([0.0]))


class Slope(NamedTuple):
    """How the gap of a problem falls; a line of theorem3.csv.

    Attributes:
      sequence: schedule of Algorithm 2, by rates and threshold.
      problem: "noisy quadratic" and "worst start" are exact.
      beta: momentum, of the heavy ball.
      first: the smallest T.
      last: the largest T.
      slope: of log gap over log T, least squares on a logarithmic grid of T.
      low: the lower end of its interval.
      high: the upper end. For runs a 95 % bootstrap interval over seeds; exact
        expectations have no sampling error, and their interval has the slopes of the
        half decades of T.
      seeds: of the runs, 0 if exact.
      rate_slope: of log alpha_T.
      sum_slope: of -log A_T.
      bound_slope: of the bound of Theorem 2.
    """

    sequence: str
    problem: str
    beta: float
    first: int
    last: int
    slope: float
    low: float
    high: float
    seeds: int
    rate_slope: float
    sum_slope: float
    bound_slope: float


class Curve(NamedTuple):
    """The smallest gap as T grows, each of shape (points,)."""

    sequence: str
    problem: str
    beta: float
    steps: np.ndarray
    gap: np.ndarray


def spread(first: int, last: int, stride: int) -> np.ndarray:
    """Numbers T of steps, even on a logarithmic axis, multiples of ``stride``."""
    points = round(POINTS_PER_DECADE * np.log10(last / first)) + 1
    return np.unique(np.geomspace(first, last, points) / stride).astype(int) * stride


def fit(steps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Slopes of log values, shape (..., points), over log steps: shape (...)."""
    x = np.log(steps) - np.log(steps).mean()
    return np.log(values) @ x / (x @ x)


def half_decades(steps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The slopes within half decades of T, from the first on."""
    width = POINTS_PER_DECADE // 2
    starts = range(0, len(steps) - width, width)
    return np.array(
        [fit(steps[i : i + width + 1], values[i : i + width + 1]) for i in starts]
    )


def windowed(gaps: np.ndarray, steps: np.ndarray, stride: int) -> np.ndarray:
    """Estimates min_t E f(x_t) - f*, t < T, for every T of ``steps``.

    The smallest of many noisy means would be too small. So the gap at T is the mean
    over the last fifth of the steps before T, which is at least the smallest in there,
    and the smallest of these windows is taken.

    Args:
      gaps: shape (..., times), means over seeds at t = 0, stride, ....
      steps: T, shape (points,).
      stride: of the times.
    """
    ends = steps // stride
    means = [gaps[..., max(0, int(0.8 * e)) : e].mean(axis=-1) for e in ends]
    return np.minimum.accumulate(np.stack(means, axis=-1), axis=-1)


def _line(
    names: tuple[str, str],
    beta: float,
    prefixes: Sequence[StepwiseRates],
    gap: np.ndarray,
    bounds: np.ndarray,
    interval: tuple[float, float],
    seeds: int,
) -> tuple[Slope, Curve]:
    steps = np.array([prefix.num_steps for prefix in prefixes])
    sums = np.array([prefix.sums.rates for prefix in prefixes])
    rates = np.array([prefix.rates[-1] for prefix in prefixes])
    slope = Slope(
        *names,
        beta,
        int(steps[0]),
        int(steps[-1]),
        float(fit(steps, gap)),
        *interval,
        seeds,
        float(fit(steps, rates)),
        float(fit(steps, 1 / sums)),
        float(fit(steps, bounds)),
    )
    return slope, Curve(*names, beta, steps, gap)


def exact(
    sequence: str, schedule: StepwiseRates, last: int
) -> Iterator[tuple[Slope, Curve]]:
    """Slopes of the exact expectations on quadratics."""
    stride = 100
    steps = spread(FIRST, last, stride)
    prefixes = [schedule.until(int(t)) for t in steps]
    for method in METHODS:
        for name, problems in (("noisy quadratic", NOISY), ("worst start", STARTS)):
            gaps = quadratics.expected_gaps(
                problems, schedule.until(last), method, stride=stride
            )
            at = steps // stride - 1
            worst = np.argmax(gaps.smallest[at], axis=1)
            gap = gaps.smallest[at, worst]
            bounds = []
            for prefix, j, k in zip(prefixes, at, worst, strict=True):
                known = quadratics.constants(problems, gaps.second_moment[j], method)
                bounds.append(bound(prefix, known[k]).total)
            local = half_decades(steps, gap)
            yield _line(
                (sequence, name),
                method.beta,
                prefixes,
                gap,
                np.array(bounds),
                (float(local.min()), float(local.max())),
                0,
            )


def simulated(
    sequence: str, schedule: StepwiseRates, last: int, seeds: int
) -> Iterator[tuple[Slope, Curve]]:
    """Slopes of stochastic runs on the digits."""
    steps = spread(FIRST, last, STRIDE)
    prefixes = [schedule.until(int(t)) for t in steps]
    resample = np.random.default_rng(0).integers(seeds, size=(RESAMPLES, seeds))
    for name, build in PROBLEMS.items():
        problem = build()
        gaps = run(
            problem, schedule.until(last), METHODS, seeds=seeds, stride=STRIDE
        ).gaps
        for method, of_seeds in zip(METHODS, gaps, strict=True):
            means = np.stack([of_seeds[draw].mean(axis=0) for draw in resample])
            slopes = fit(steps, windowed(means, steps, STRIDE))
            low, high = np.quantile(slopes, [0.025, 0.975])
            known = problem.constants(method)
            bounds = [bound(prefix, known).total for prefix in prefixes]
            yield _line(
                (sequence, name),
                method.beta,
                prefixes,
                windowed(of_seeds.mean(axis=0), steps, STRIDE),
                np.array(bounds),
                (float(low), float(high)),
                seeds,
            )


def draw(slopes: Sequence[Slope], curves: Sequence[Curve]) -> matplotlib.figure.Figure:
    """Draws the gaps, a panel for each schedule, and all slopes in one."""
    figure = matplotlib.figure.Figure(figsize=(8.8, 5.6), layout="constrained")
    panels = figure.subplots(2, 3)
    names = list(dict.fromkeys(curve.sequence for curve in curves))
    problems = list(dict.fromkeys(curve.problem for curve in curves))
    dashes = dict(zip(problems, ("-", ":", "--", "-."), strict=True))
    for panel, name in zip(panels.flat, names, strict=False):
        for curve in curves:
            # All methods are in the table; three that fall alike are hard to see.
            if curve.sequence == name and curve.beta in DRAWN:
                color = COLORS[[m.beta for m in METHODS].index(curve.beta)]
                panel.plot(
                    curve.steps, curve.gap, dashes[curve.problem], color=color, lw=1.3
                )
        panel.set(xscale="log", yscale="log")
        panel.set_title(f"rates: {name}", fontsize=10)
        panel.set_xlabel("T (steps)")
    for panel in panels[:, 0]:
        panel.set_ylabel("smallest expected gap")
    for method, color in zip(METHODS, COLORS, strict=True):
        panels[0, 0].plot([], [], color=color, label=f"beta {method.beta:g}")
    for problem, dash in dashes.items():
        panels[0, 0].plot([], [], dash, color="0.3", label=problem)
    figure.legend(
        *panels[0, 0].get_legend_handles_labels(),
        loc="outside lower center",
        frameon=False,
        fontsize=8,
        ncols=7,
    )

    summary = panels[1, 2]
    markers = dict(zip(problems, "osD^", strict=True))
    for slope in slopes:
        b = [m.beta for m in METHODS].index(slope.beta)
        x = names.index(slope.sequence) + 0.2 * problems.index(slope.problem) - 0.3
        x += 0.05 * (b - 1)
        style = {"color": COLORS[b], "lw": 1}
        summary.plot([x, x], [slope.low, slope.high], **style)
        summary.plot(x, slope.slope, markers[slope.problem], ms=4, color=COLORS[b])
    for problem, marker in markers.items():
        summary.plot([], [], marker, ms=4, color="0.3", label=problem)
    summary.set_ylim(-1.45, 0)
    for label, value in REFERENCES.items():
        summary.axhline(value, color="0.5", lw=0.8, ls=(0, (4, 2)))
        va = "bottom" if value > -0.22 else "center" if value < -0.3 else "top"
        summary.text(len(names) - 0.45, value, label, va=va, fontsize=8)
    summary.set_xticks(
        range(len(names)), [n.replace(", ", "\n") for n in names], fontsize=6
    )
    summary.set_ylabel("slope")
    summary.legend(frameon=False, fontsize=7, loc="lower center", ncols=2)
    for panel in panels.flat:
        panel.spines[["top", "right"]].set_visible(False)
    return figure


def make(out: Path, quick: bool) -> str:
    """Computes, draws and writes it all; returns a table."""
    exact_steps, steps, seeds = (
        (10_000, 10_000, 4) if quick else (EXACT_STEPS, STEPS, SEEDS)
    )
    schedules = figure_algorithm2.sequences(exact_steps)
    results: list[tuple[Slope, Curve]] = []
    for sequence in SEQUENCES[: 1 if quick else None]:
        results += exact(sequence, schedules[sequence], exact_steps)
        results += simulated(sequence, schedules[sequence], steps, seeds)
    slopes = [result[0] for result in results]
    curves = [result[1] for result in results]
    write(out, "theorem3", draw(slopes, curves), Slope._fields, slopes)
    lines = itertools.chain.from_iterable(
        ((*curve[:3], t, gap) for t, gap in zip(curve.steps, curve.gap, strict=True))
        for curve in curves
    )
    write_csv(out, "theorem3_curves", Curve._fields, lines)
    return table(Slope._fields, slopes)
