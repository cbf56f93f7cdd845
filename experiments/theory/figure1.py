"""Figure 1 of the paper: loss and angular velocity on the noisy quadratic model.

Properties P1 and P2 (section 3) are put into numbers here, each as a rule that can
fail. The paper gives no tolerances: 1 degree and a factor of 2 are ours. The rates are
those of the figure, x_0 = 2, Sigma = I; the angle of an iteration is the mean of 20
runs. "Large" rates are 0.06 and 0.03, the "low" one is 0.001.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np

from experiments.theory.moments import (
    effective_dimension,
    expected_run,
    mean_angle,
    saturation,
)
from experiments.theory.noisy_quadratic import (
    RATES,
    SPECTRA,
    SPECTRUM_LABELS,
    constant,
    simulate,
    unit_noise,
)
from experiments.theory.output import table, write, write_csv

LARGE_RATES = RATES[:2]
STEPS = 4000
RUNS = 20
SATURATED = 1.0  # degrees from the limit
# Okabe and Ito's, told apart with every colour vision.
COLORS = ("#D55E00", "#E69F00", "#009E73", "#0072B2")


class Course(NamedTuple):
    """What happens on one spectrum at one rate."""

    spectrum: str
    rate: float
    loss: np.ndarray  # shape (steps,), mean of the runs
    angle: np.ndarray  # shape (steps,), degrees, mean of the runs; NaN at first
    expected_loss: np.ndarray  # shape (steps,), exact
    expected_angle: np.ndarray  # shape (steps,), degrees: arccos of the exact ratio
    levels: np.ndarray  # shape (runs,), degrees: mean angle of the last quarter


class Level(NamedTuple):
    """The numbers of a course; a line of figure1.csv."""

    spectrum: str
    rate: float
    effective_dimension: float
    mean_angle: float  # degrees, at the end: over runs and the last quarter
    sd_angle: float  # over runs
    runs: int
    limit_angle: float  # degrees: arccos C* of Theorem 1
    bias: float  # degrees: of the mean angle against it, to first order
    # The first iteration from which the expected angle is at its limit.
    saturation_time: int
    loss_at_saturation: float  # expected, over its limit
    slowdown: float  # decrease of log loss per iteration, up to then over from then
    final_loss: float  # expected
    limit_loss: float


class Property(NamedTuple):
    """A statement of the paper on one spectrum; a line of figure1_properties.csv."""

    name: str
    spectrum: str
    holds: bool
    numbers: str


def courses(spectrum: str, steps: int = STEPS, runs: int = RUNS) -> list[Course]:
    """Simulates one spectrum at all four rates, and computes the expectations."""
    model = unit_noise(SPECTRA[spectrum])
    compute = jax.vmap(
        jax.vmap(
            lambda rate, key: simulate(
                jax.tree.map(jnp.float32, model), constant(rate), steps, key
            ),
            in_axes=(None, 0),
        )
    )
    keys = jax.random.split(jax.random.key(0), (len(RATES), runs))
    trajectory = jax.jit(compute)(jnp.float32(RATES), keys)
    losses = np.asarray(trajectory.loss, np.float64)
    angles = np.asarray(trajectory.angular_velocity, np.float64)
    expected = expected_run(model, np.repeat(np.array(RATES)[:, None], steps, axis=1))
    return [
        Course(
            spectrum,
            rate,
            losses[i].mean(axis=0),
            angles[i].mean(axis=0),
            expected.loss[i],
            expected.angle[i],
            angles[i, :, -steps // 4 :].mean(axis=1),
        )
        for i, rate in enumerate(RATES)
    ]


def level(course: Course) -> Level:
    """Puts a course into numbers."""
    model = unit_noise(SPECTRA[course.spectrum])
    limit = saturation(model, course.rate)
    loss = course.expected_loss
    far = np.abs(course.expected_angle[1:] - limit.angle) > SATURATED
    time = int(np.flatnonzero(far).max(initial=-1)) + 3  # as iterations 1, 2, ...
    saturated = 2 * time <= len(loss)
    start = model.curvatures.sum() * 2.0  # E[L] at x_0 = 2
    before = math.log(start / loss[time - 1]) / time if saturated else math.nan
    after = math.log(loss[time - 1] / loss[2 * time - 1]) / time if saturated else 1
    return Level(
        course.spectrum,
        course.rate,
        effective_dimension(model, course.rate),
        float(course.levels.mean()),
        float(course.levels.std(ddof=1)),
        len(course.levels),
        limit.angle,
        mean_angle(model, course.rate).bias,
        time,  # one more than there are if it is never there
        float(loss[min(time, len(loss)) - 1] / limit.loss),
        before / after if after > 0 else math.inf,
        float(loss[-1]),
        limit.loss,
    )


def properties(levels: Sequence[Level]) -> list[Property]:
    """Checks P1 and P2 on one spectrum.

    The rules, "at its limit" meaning within 1 degree for good:

    * P1: at every rate the expected angle is at its limit before half of the
      iterations are over, and in as many iterations after that the logarithm of the
      loss falls at most half as much as before.
    * P2 i: at the large rates the mean angle lies between 90 and 120 degrees.
    * P2 ii: from rate to lower rate the mean angle falls, and so does the final loss.
    * P2 iii: from rate to lower rate it takes longer until the angle is at its limit.
    * P2 iv: at the low rate the mean angle is within 1 degree of 90.

    Args:
      levels: of one spectrum, from the largest rate to the lowest.
    """
    spectrum = levels[0].spectrum
    large = [x for x in levels if x.rate in LARGE_RATES]
    low = levels[-1]

    def falls(values: Sequence[float]) -> bool:
        return all(a > b for a, b in itertools.pairwise(values))

    angles = [x.mean_angle for x in levels]
    losses = [x.final_loss for x in levels]
    times = [x.saturation_time for x in levels]
    return [
        Property(
            "P1",
            spectrum,
            all(x.slowdown >= 2 for x in levels),
            f"loss there / limit: {_join(x.loss_at_saturation for x in levels)};"
            f" slower by: {_join(x.slowdown for x in levels)}",
        ),
        Property(
            "P2 i",
            spectrum,
            all(90 < x.mean_angle < 120 for x in large),
            f"degrees: {_join(x.mean_angle for x in large)}",
        ),
        Property(
            "P2 ii",
            spectrum,
            falls(angles) and falls(losses),
            f"degrees: {_join(angles)}; final loss: {_join(losses)}",
        ),
        Property("P2 iii", spectrum, falls(times[::-1]), f"iterations: {_join(times)}"),
        Property(
            "P2 iv",
            spectrum,
            abs(low.mean_angle - 90) <= SATURATED,
            f"degrees: {low.mean_angle:.2f}, limit {low.limit_angle:.2f}",
        ),
    ]


class Binned(NamedTuple):
    """A course as means over bins of iterations; a line of figure1_curves.csv."""

    spectrum: str
    rate: float
    first_iteration: int
    last_iteration: int
    loss: float
    angle: float
    expected_loss: float
    expected_angle: float


def binned(course: Course, bins: int = 60) -> list[Binned]:
    """Averages a course over bins that are even on a logarithmic axis."""
    steps = len(course.loss)
    edges = np.unique(np.geomspace(2, steps + 1, bins).round().astype(int))
    return [
        Binned(
            course.spectrum,
            course.rate,
            int(a),
            int(b) - 1,
            *(float(np.mean(curve[a - 1 : b - 1])) for curve in course[2:6]),
        )
        for a, b in itertools.pairwise(edges)
    ]


def draw(curves: Sequence[Binned], levels: Sequence[Level]) -> matplotlib.figure.Figure:
    """Draws loss and angle, a column for each spectrum, a colour for each rate."""
    spectra = list(dict.fromkeys(level.spectrum for level in levels))
    figure = matplotlib.figure.Figure(figsize=(9.6, 5), layout="constrained")
    panels = figure.subplots(2, len(spectra), sharex=True, sharey="row", squeeze=False)
    for (top, bottom), spectrum in zip(panels.T, spectra, strict=True):
        top.set_title(SPECTRUM_LABELS[spectrum], fontsize=10)
        for rate, color in zip(RATES, COLORS, strict=True):
            lines = [x for x in curves if (x.spectrum, x.rate) == (spectrum, rate)]
            at = [math.sqrt(x.first_iteration * x.last_iteration) for x in lines]
            style = {"color": color, "lw": 1.6, "label": f"{rate:g}"}
            top.plot(at, [x.loss for x in lines], **style)
            bottom.plot(at, [x.angle for x in lines], **style)
            bottom.plot(at, [x.expected_angle for x in lines], "k:", lw=1)
            for x in levels:
                if (x.spectrum, x.rate) == (spectrum, rate) and x.slowdown > 0:
                    time = x.saturation_time
                    height = x.loss_at_saturation * x.limit_loss
                    top.plot(time, height, "o", color=color, mec="white", ms=7)
        top.set(xscale="log", yscale="log")
        bottom.axhline(90, color="0.6", lw=0.8)
        bottom.axhline(120, color="0.6", lw=0.8)
        bottom.set_xlabel("iteration")
    panels[0, 0].set_ylabel("loss above the minimum")
    panels[1, 0].set_ylabel("angular velocity (degrees)")
    panels[1, 0].set_yticks([30, 60, 90, 120])
    panels[0, -1].legend(
        title="learning rate", loc="upper right", frameon=False, fontsize=8
    )
    for panel in panels.flat:
        panel.spines[["top", "right"]].set_visible(False)
    return figure


def make(out: Path, quick: bool) -> str:
    """Computes, draws and writes it all; returns the table of properties."""
    steps, runs = (400, 4) if quick else (STEPS, RUNS)
    all_courses = [c for spectrum in SPECTRA for c in courses(spectrum, steps, runs)]
    levels = [level(course) for course in all_courses]
    curves = [line for course in all_courses for line in binned(course)]
    groups = [[x for x in levels if x.spectrum == spectrum] for spectrum in SPECTRA]
    checks = [check for group in groups for check in properties(group)]
    write(out, "figure1", draw(curves, levels), Level._fields, levels)
    write_csv(out, "figure1_curves", Binned._fields, curves)
    write_csv(out, "figure1_properties", Property._fields, checks)
    return table(Property._fields, checks)


def _join(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)
