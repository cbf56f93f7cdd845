"""Theorem 2 on convex problems: the measured gap beside the bound."""

import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib.figure
import numpy as np

from experiments.theory import quadratics
from experiments.theory.convex import PROBLEMS, Method, run
from experiments.theory.output import table, write, write_csv
from experiments.theory.stepwise import StepwiseRates
from experiments.theory.theorem2 import (
    VERSIONS,
    Constants,
    Version,
    bound,
    bound_from_conditions,
    check_conditions,
    printed_bound_2021,
)

STEPS = 10_300  # so that T is near 10^4 in all three cases
SEEDS = 32
STRIDE = 50
DRAWN_BETA = 0.5
# Okabe and Ito's blue, vermilion and green.
COLORS = ("#0072B2", "#D55E00", "#009E73")
METHODS = (
    Method(0.0, 0.0),
    *(Method(beta, s) for beta in (0.5, 0.9) for s in (0.0, 1.0, 1 / (1 - beta))),
)


def on_the_edge(version: Version, factor: float, n: int) -> StepwiseRates:
    """The largest rates that the conditions allow, with kappa_1 = ``factor``."""
    i = np.arange(n)
    alpha = (i + 2.0) ** -version.rate_power
    k = np.ceil(factor * (i + 2.0) ** -version.sum_power / alpha)
    return StepwiseRates(alpha, k.astype(int))


def geometric(
    factor: float, n: int, alpha_0: float = 0.5, ratio: float = 0.5
) -> StepwiseRates:
    """alpha_i = alpha_0 ratio^i and k_i = ``factor`` / alpha_i, rounded up.

    The case that AutoDrop makes where saturation takes about 1/alpha steps.
    """
    alpha = alpha_0 * ratio ** np.arange(n)
    return StepwiseRates(alpha, np.ceil(factor / alpha).astype(int))


def whole(steps: StepwiseRates, num_steps: int) -> StepwiseRates:
    """As many rates as fit with all of their steps, one at least."""
    n = max(1, int(np.searchsorted(steps.ends, num_steps, side="right")))
    return StepwiseRates(steps.rates[:n], steps.gaps[:n])


def sequences(num_steps: int) -> dict[str, tuple[StepwiseRates, Version]]:
    """The three cases, each with the version whose conditions it is to meet.

    Args:
      num_steps: the most steps; the last rate keeps all of its own.
    """
    return {
        "2021": (
            whole(on_the_edge(VERSIONS["2021"], 10, 5000), num_steps),
            VERSIONS["2021"],
        ),
        "2024": (
            whole(on_the_edge(VERSIONS["2024"], 4, 1000), num_steps),
            VERSIONS["2024"],
        ),
        "geometric": (whole(geometric(20, 12), num_steps), VERSIONS["2024"]),
    }


class Comparison(NamedTuple):
    """A gap and its bounds; a line of theorem2.csv.

    Attributes:
      sequence: of rates.
      problem: by name; for quadratics the one of all that comes closest to the bound.
      beta: momentum.
      s: of the unified momentum.
      steps: T.
      smallest_gap: min over t < T of E f(x_t) - f*.
      standard_error: of the mean over seeds where the minimum is; 0 if exact.
      distance: the bound's first term.
      momentum: the second.
      noise: the third.
      correlation: the fourth.
      bound: their sum.
      ratio: bound over gap.
      conditions_bound: with the sums replaced by the version's conditions.
      printed_bound: equation 10 of 2021 as reconstructed, for its own sequence.
    """

    sequence: str
    problem: str
    beta: float
    s: float
    steps: int
    smallest_gap: float
    standard_error: float
    distance: float
    momentum: float
    noise: float
    correlation: float
    bound: float
    ratio: float
    conditions_bound: float
    printed_bound: float


class Curve(NamedTuple):
    """Gap and bound as T grows; a line of theorem2_curves.csv for each T."""

    sequence: str
    problem: str
    beta: float
    s: float
    steps: np.ndarray  # T, shape (points,)
    smallest_gap: np.ndarray
    bound: np.ndarray


def on_digits(
    sequence: str, problem_name: str, num_steps: int, seeds: int, stride: int
) -> Iterator[tuple[Comparison, Curve]]:
    """Runs all methods on one problem with one sequence of rates."""
    steps, version = sequences(num_steps)[sequence]
    problem = PROBLEMS[problem_name]()
    measured = run(problem, steps, METHODS, seeds=seeds, stride=stride)
    means = measured.gaps.mean(axis=1)
    errors = measured.gaps.std(axis=1, ddof=1) / math.sqrt(seeds)
    smallest = measured.smallest_mean()
    points = _spread(len(measured.steps))
    for j, method in enumerate(METHODS):
        constants = problem.constants(method)
        compared = _compare(
            (sequence, problem_name),
            steps,
            version,
            constants,
            smallest[j, -1],
            errors[j, np.argmin(means[j])],
        )
        # x_t is there after t steps: it counts in T = t + 1.
        until = measured.steps[points] + 1
        bounds = [bound(steps.until(int(t)), constants).total for t in until]
        curve = Curve(
            sequence,
            problem_name,
            *method,
            until,
            smallest[j, points],
            np.array(bounds),
        )
        yield compared, curve


def on_quadratics(sequence: str, num_steps: int) -> Iterator[tuple[Comparison, Curve]]:
    """Takes the quadratic that comes closest to the bound at the last step.

    Of curvatures from 10^-5 to 1/2, each without noise and with noise of 0.01, 0.1
    and 1; x_0 = 1.
    """
    steps, version = sequences(num_steps)[sequence]
    problems = quadratics.grid(
        np.geomspace(1e-5, 0.5, 95), np.array([0.0, 0.01, 0.1, 1.0])
    )
    for method in METHODS:
        gaps = quadratics.expected_gaps(problems, steps, method)
        constants = quadratics.constants(problems, gaps.second_moment[-1], method)
        bounds = np.array([bound(steps, c).total for c in constants])
        with np.errstate(divide="ignore"):  # a gap may be 0 to rounding
            worst = int(np.argmin(bounds / gaps.smallest[-1]))
        compared = _compare(
            (sequence, "quadratics"),
            steps,
            version,
            constants[worst],
            gaps.smallest[-1, worst],
            0.0,
        )
        points = _spread(len(gaps.steps))
        curve_bounds = []
        for j in points:
            known = constants[worst]._replace(
                second_moment=gaps.second_moment[j, worst]
            )
            curve_bounds.append(bound(steps.until(int(gaps.steps[j])), known).total)
        curve = Curve(
            sequence,
            "quadratics",
            *method,
            gaps.steps[points],
            gaps.smallest[points, worst],
            np.array(curve_bounds),
        )
        yield compared, curve


def _spread(size: int, points: int = 25) -> np.ndarray:
    """Indices from 0 to size - 1, even on a logarithmic axis."""
    return np.unique(np.geomspace(1, size, points).round().astype(int)) - 1


def _compare(
    names: tuple[str, str],
    steps: StepwiseRates,
    version: Version,
    constants: Constants,
    gap: float,
    error: float,
) -> Comparison:
    terms = bound(steps, constants)
    own = names[0] == "2021"
    return Comparison(
        *names,
        constants.beta,
        constants.s,
        steps.num_steps,
        float(gap),
        float(error),
        *terms,
        terms.total,
        terms.total / float(gap),
        bound_from_conditions(steps, version, constants).total,
        printed_bound_2021(steps, constants) if own else math.nan,
    )


class Held(NamedTuple):
    """The conditions of a sequence; a line of theorem2_conditions.csv."""

    sequence: str
    version: str
    hold: bool
    rates: int
    steps: int
    kappa_1: float
    kappa_2: float


def conditions(num_steps: int) -> list[Held]:
    """Checks every sequence against both versions."""
    held = []
    for (name, (steps, _)), version in itertools.product(
        sequences(num_steps).items(), VERSIONS.values()
    ):
        c = check_conditions(steps, version)
        held.append(
            Held(
                name,
                version.name,
                c.hold,
                len(steps),
                steps.num_steps,
                c.kappa_1,
                c.kappa_2,
            )
        )
    return held


def draw(curves: Sequence[Curve]) -> matplotlib.figure.Figure:
    """Draws gaps and bounds: a row for each sequence, a column for each problem."""
    curves = [curve for curve in curves if curve.beta == DRAWN_BETA]
    rows = list(dict.fromkeys(curve.sequence for curve in curves))
    columns = list(dict.fromkeys(curve.problem for curve in curves))
    labels = ("heavy ball", "Nesterov", "gradient descent")
    figure = matplotlib.figure.Figure(figsize=(9, 7.2), layout="constrained")
    panels = figure.subplots(len(rows), len(columns), sharex=True, squeeze=False)
    for row, column in itertools.product(rows, columns):
        panel = panels[rows.index(row), columns.index(column)]
        own = [c for c in curves if (c.sequence, c.problem) == (row, column)]
        for curve, color, label in zip(own, COLORS, labels, strict=True):
            panel.plot(
                curve.steps, curve.smallest_gap, color=color, lw=1.6, label=label
            )
            panel.plot(curve.steps, curve.bound, color=color, lw=1.2, ls=(0, (4, 2)))
        panel.set(xscale="log", yscale="log")
        panel.spines[["top", "right"]].set_visible(False)
        if row == rows[0]:
            panel.set_title(column, fontsize=10)
        if row == rows[-1]:
            panel.set_xlabel("T (steps)")
        if column == columns[0]:
            panel.set_ylabel(f"rates: {row}\nmin$_{{t<T}}$ E f(x$_t$) - f*")
    panels[0, 0].legend(frameon=False, fontsize=8, title=f"beta = {DRAWN_BETA:g}")
    panels[0, 1].text(
        0.97, 0.95, "dashed: bound", transform=panels[0, 1].transAxes, ha="right"
    )
    return figure


def make(out: Path, quick: bool) -> str:
    """Computes, draws and writes it all; returns a table."""
    num_steps, seeds, stride = (500, 4, 10) if quick else (STEPS, SEEDS, STRIDE)
    results: list[tuple[Comparison, Curve]] = []
    for sequence in list(sequences(num_steps))[: 1 if quick else None]:
        for problem in PROBLEMS:
            results += on_digits(sequence, problem, num_steps, seeds, stride)
        results += on_quadratics(sequence, num_steps)
    compared = [result[0] for result in results]
    curves = [result[1] for result in results]
    held = conditions(num_steps)
    write(out, "theorem2", draw(curves), Comparison._fields, compared)
    lines = (
        (*curve[:4], *values)
        for curve in curves
        if curve.beta == DRAWN_BETA
        for values in zip(*curve[4:], strict=True)
    )
    write_csv(out, "theorem2_curves", Curve._fields, lines)
    write_csv(out, "theorem2_conditions", Held._fields, held)
    columns = ("sequence", "problem", "beta", "s", "smallest_gap", "bound", "ratio")
    shown = ([getattr(c, name) for name in columns] for c in compared)
    return f"{table(Held._fields, held)}\n\n{table(columns, shown)}"
