"""Theorem 1 against simulation, over a grid of spectra, noise levels and rates.

Every cell of the grid is simulated with many seeds, all models at once through
``vmap``. The rule for a cell, fixed before the first run: it has converged if, from the
first recorded iteration on, the expected inner product is within 0.5 % of I* for good
(:func:`~experiments.theory.moments.distance_from_limit`). There I* must agree within
2 % and the angle of the ratio of expectations within 0.1 degrees, with the 95 %
confidence intervals inside. For these to be narrow enough the largest rate was put at
0.08 after a run with 0.09, near the end of stability, and the seeds at 96 after one
with 64.

The inner product has two estimators. The plain one is the mean of <s_t, s_{t+1}>. Low
rates make its noise large against I*: the part of s_{t+1} that comes from the newest
draw is independent of s_t, adds nothing on average, and is nearly all of the scatter.
The conditional one leaves it out: the mean of <s_t, E[s_{t+1} | x_{t+1}]>, which is
<s_t, -alpha A x_{t+1}>, has the same expectation (Rao-Blackwell).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np

from experiments.report.statistics import mean_and_half_width
from experiments.theory.moments import (
    distance_from_limit,
    effective_dimension,
    mean_angle,
    mean_inner_product,
    saturation,
)
from experiments.theory.noisy_quadratic import (
    RATES,
    START,
    NoisyQuadratic,
    constant,
    simulate,
    unit_noise,
)
from experiments.theory.output import table, write, write_csv

MAX_DISTANCE = 0.005  # of the expected inner product from I*, over |I*|: converged
MAX_INNER_ERROR = 0.02  # of I*
MAX_ANGLE_ERROR = 0.1  # degrees

DIMENSION = 200
CURVATURES = {
    "linear": np.arange(1, 201) / 10,
    "narrow": np.linspace(15, 20, DIMENSION),
    "geometric": np.geomspace(0.02, 20, DIMENSION),
    "20/i": 20 / np.arange(1, DIMENSION + 1),
    "1/i": 1 / np.arange(1, DIMENSION + 1),
}
NOISES = {
    "1": np.ones_like,
    "0.1": lambda a: np.full_like(a, 0.1),
    "a^-1/2": lambda a: a**-0.5,  # gradient noise with the Hessian as its covariance
}
GRID_RATES = (0.08, *RATES)
COLORS = ("#CC79A7", "#D55E00", "#E69F00", "#009E73", "#0072B2")  # by rate


class Cell(NamedTuple):
    """A model and a rate of the grid."""

    spectrum: str
    noise: str
    rate: float

    @property
    def model(self) -> NoisyQuadratic:
        """The model, of dimension 200."""
        a = CURVATURES[self.spectrum]
        return NoisyQuadratic(a, NOISES[self.noise](a))


GRID = [Cell(a, b, rate) for a in CURVATURES for b in NOISES for rate in GRID_RATES]


class Means(NamedTuple):
    """Means over the recorded iterations, each of shape (cells, seeds)."""

    inner_product: np.ndarray | jax.Array  # <s_t, s_{t+1}>
    conditional: np.ndarray | jax.Array  # <s_t, E[s_{t+1} | x_{t+1}]>
    step_square: np.ndarray | jax.Array  # |s_t|^2


class Comparison(NamedTuple):
    """A cell's closed forms beside its simulation; a line of theorem1.csv.

    Half-widths are of 95 % confidence intervals over seeds.
    """

    spectrum: str
    noise: str
    rate: float
    effective_dimension: float
    distance: float  # of E<s, s'> from I*, over |I*|, at the first recorded iteration
    converged: bool
    inner: float  # I*
    inner_ratio: float  # simulated, conditional estimator, over I*
    inner_half_width: float
    plain_ratio: float  # simulated, plain estimator, over I*
    plain_half_width: float
    expected_ratio: float  # exact for the iterations recorded, converged or not
    angle: float  # degrees: arccos C*
    angle_error: float  # degrees: simulated minus that
    angle_half_width: float
    seeds: int


def simulate_grid(cells: Sequence[Cell], seeds: int, burn_in: int, steps: int) -> Means:
    """Simulates all cells with all seeds at once.

    Each seed has one sequence of draws, which all cells share: drawing is what takes
    the time. Seeds are independent, and intervals are over seeds.

    Args:
      cells: the models and rates.
      seeds: runs of each.
      burn_in: iterations before the recording.
      steps: iterations recorded.
    """

    def run(model: NoisyQuadratic, rate: jax.Array, key: jax.Array) -> Means:
        def iterate(carry, i):
            x, step, sums = carry
            new = -rate * model.gradient(x, jax.random.fold_in(key, i))
            terms = Means(
                jnp.vdot(step, new),
                jnp.vdot(step, -rate * model.curvatures * x),
                jnp.vdot(new, new),
            )
            recorded = i >= burn_in
            sums = jax.tree.map(lambda a, b: a + jnp.where(recorded, b, 0), sums, terms)
            return (x + new, new, sums), None

        x = jnp.full(DIMENSION, START, jnp.float32)
        carry = x, jnp.zeros_like(x), Means(*jnp.zeros(3, jnp.float32))
        carry, _ = jax.lax.scan(iterate, carry, jnp.arange(burn_in + steps))
        return jax.tree.map(lambda total: total / steps, carry[2])

    models = NoisyQuadratic(
        jnp.float32(np.stack([cell.model.curvatures for cell in cells])),
        jnp.float32(np.stack([cell.model.noise for cell in cells])),
    )
    rates = jnp.float32(np.array([cell.rate for cell in cells]))
    keys = jax.random.split(jax.random.key(1), seeds)
    over_cells = jax.vmap(run, in_axes=(0, 0, None))
    over_seeds = jax.vmap(over_cells, in_axes=(None, None, 0), out_axes=1)
    means = jax.jit(over_seeds)(models, rates, keys)
    return Means(*(np.asarray(x, np.float64) for x in means))


def compare_grid(
    cells: Sequence[Cell] = GRID,
    seeds: int = 96,
    burn_in: int = 2000,
    steps: int = 6000,
) -> list[Comparison]:
    """Simulates the cells and puts Theorem 1's closed forms beside the results."""
    means = simulate_grid(cells, seeds, burn_in, steps)
    comparisons = []
    for cell, inner, conditional, square in zip(cells, *means, strict=True):
        limit = saturation(cell.model, cell.rate)
        # The first pair recorded is that of steps burn_in - 1 and burn_in.
        first = burn_in - 1
        distance = distance_from_limit(cell.model, cell.rate, first)
        expected = mean_inner_product(cell.model, cell.rate, first, steps)
        angles = np.degrees(np.arccos(conditional / square))
        comparisons.append(
            Comparison(
                *cell,
                effective_dimension(cell.model, cell.rate),
                distance,
                distance <= MAX_DISTANCE,
                limit.inner_product,
                *mean_and_half_width(conditional / limit.inner_product),
                *mean_and_half_width(inner / limit.inner_product),
                expected / limit.inner_product,
                limit.angle,
                *mean_and_half_width(angles - limit.angle),
                seeds,
            )
        )
    return comparisons


class Bias(NamedTuple):
    """The mean angle in a small dimension; a line of theorem1_bias.csv."""

    dimension: int
    effective_dimension: float
    limit_angle: float  # degrees: arccos C*
    mean_angle: float  # degrees, over seeds and iterations
    half_width: float  # of its 95 % confidence interval over seeds
    seeds: int
    predicted_bias: float  # degrees, to first order in 1 / n_eff


BIAS_RATE = 0.06


def measure_bias(
    dimensions: Sequence[int] = (2, 3, 5, 10, 20, 50, 100, 200),
    seeds: int = 256,
    steps: int = 2500,
) -> list[Bias]:
    """Measures the mean angle at saturation, with curvatures evenly from 0.1 to 20.

    The first 500 iterations are left out. The angle is the library's.
    """
    models = [unit_noise(np.linspace(0.1, 20, n)) for n in dimensions]
    # Coordinates of zero curvature never move: they make all models one shape.
    largest = max(dimensions)
    padded = [np.pad(m.curvatures, (0, largest - m.dimension)) for m in models]

    def run(curvatures: jax.Array, key: jax.Array) -> jax.Array:
        model = NoisyQuadratic(curvatures, jnp.ones_like(curvatures))
        angles = simulate(model, constant(BIAS_RATE), steps, key).angular_velocity
        return jnp.mean(angles[500:])

    keys = jax.random.split(jax.random.key(2), seeds)
    over_seeds = jax.vmap(run, in_axes=(None, 0))
    angles = jax.jit(jax.vmap(over_seeds, in_axes=(0, None)))(
        jnp.float32(np.stack(padded)), keys
    )
    return [
        Bias(
            model.dimension,
            effective_dimension(model, BIAS_RATE),
            saturation(model, BIAS_RATE).angle,
            *mean_and_half_width(np.asarray(values, np.float64)),
            seeds,
            mean_angle(model, BIAS_RATE).bias,
        )
        for model, values in zip(models, angles, strict=True)
    ]


class Summary(NamedTuple):
    """The grid in a line: theorem1_summary.csv.

    "Worst" is the largest deviation, the confidence interval's half-width added.
    """

    cells: int
    models: int  # cells times seeds, simulated at once
    converged: int  # cells
    worst_inner_error: float  # converged cells: |simulated / I* - 1|
    worst_angle_error: float  # converged cells, degrees
    worst_inner_elsewhere: float  # the other cells: |simulated / I* - 1|
    covered_by_plain: float  # share of all cells whose exact mean the interval holds


def summarise(comparisons: Sequence[Comparison]) -> Summary:
    """Puts the grid into a line."""
    converged = [c for c in comparisons if c.converged]
    elsewhere = [c for c in comparisons if not c.converged]
    return Summary(
        cells=len(comparisons),
        models=sum(c.seeds for c in comparisons),
        converged=len(converged),
        worst_inner_error=max(
            abs(c.inner_ratio - 1) + c.inner_half_width for c in converged
        ),
        worst_angle_error=max(
            abs(c.angle_error) + c.angle_half_width for c in converged
        ),
        worst_inner_elsewhere=max(
            (abs(c.inner_ratio - 1) + c.inner_half_width for c in elsewhere),
            default=0.0,
        ),
        covered_by_plain=float(
            np.mean(
                [
                    abs(c.plain_ratio - c.expected_ratio) <= c.plain_half_width
                    for c in comparisons
                ]
            )
        ),
    )


def draw(
    comparisons: Sequence[Comparison], biases: Sequence[Bias]
) -> matplotlib.figure.Figure:
    """Draws errors where converged, errors against distance, and the bias."""
    figure = matplotlib.figure.Figure(figsize=(9.6, 6.4), layout="constrained")
    (inner, angle), (distance, bias) = figure.subplots(2, 2)
    for rate, color in zip(GRID_RATES, COLORS, strict=True):
        at = [
            (i, c) for i, c in enumerate(comparisons) if c.converged and c.rate == rate
        ]
        style = {"fmt": "o", "ms": 3, "lw": 1, "color": color, "label": f"{rate:g}"}
        inner.errorbar(
            [i for i, _ in at],
            [100 * (c.inner_ratio - 1) for _, c in at],
            [100 * c.inner_half_width for _, c in at],
            **style,
        )
        angle.errorbar(
            [i for i, _ in at],
            [c.angle_error for _, c in at],
            [c.angle_half_width for _, c in at],
            **style,
        )
    for panel, limit in ((inner, 100 * MAX_INNER_ERROR), (angle, MAX_ANGLE_ERROR)):
        panel.axhline(0, color="0.6", lw=0.8)
        for sign in (-1, 1):
            panel.axhline(sign * limit, color="k", lw=0.8, ls="--")
        panel.set_xticks([])
        panel.set_xlabel("converged cells: linear, narrow, geometric, 20/i")
    inner.set_ylabel("simulated I / I* - 1 (%)")
    angle.set_ylabel("angle of the ratio - arccos C* (degrees)")
    inner.legend(
        title="learning rate",
        ncols=5,
        frameon=False,
        fontsize=7,
        loc="lower center",
        bbox_to_anchor=(0.5, 0.08),
    )

    for c in comparisons:
        distance.plot(
            max(c.distance, 1e-8),
            abs(c.inner_ratio - 1),
            marker="o",
            ms=4,
            color=COLORS[1] if c.converged else COLORS[3],
        )
    distance.plot([1e-4, 1e5], [1e-4, 1e5], "k:", lw=1)
    distance.axvline(MAX_DISTANCE, color="k", lw=0.8, ls="--")
    distance.set(xscale="log", yscale="log")
    distance.set_xlabel("distance from the limit by the test (to the left: converged)")
    distance.set_ylabel("|simulated I / I* - 1|")

    dimensions = [b.effective_dimension for b in biases]
    bias.errorbar(
        dimensions,
        [b.mean_angle - b.limit_angle for b in biases],
        [b.half_width for b in biases],
        fmt="o",
        ms=4,
        color=COLORS[3],
        label="simulated",
    )
    predicted = [b.predicted_bias for b in biases]
    bias.plot(dimensions, predicted, "kx", ms=5, label="first order")
    bias.axhline(0, color="0.6", lw=0.8)
    bias.set_xscale("log")
    bias.set_xlabel("effective dimension")
    bias.set_ylabel("mean angle - arccos C* (degrees)")
    bias.legend(frameon=False, fontsize=8)
    for panel in (inner, angle, distance, bias):
        panel.spines[["top", "right"]].set_visible(False)
    return figure


def make(out: Path, quick: bool) -> str:
    """Computes, draws and writes it all; returns the summary and the biases."""
    if quick:
        comparisons = compare_grid(GRID, seeds=8, burn_in=200, steps=200)
        biases = measure_bias((2, 5, 20), seeds=8, steps=600)
    else:
        comparisons, biases = compare_grid(), measure_bias()
    summary = summarise(comparisons)
    write(out, "theorem1", draw(comparisons, biases), Comparison._fields, comparisons)
    write_csv(out, "theorem1_summary", Summary._fields, [summary])
    write_csv(out, "theorem1_bias", Bias._fields, biases)
    tables = [table(Summary._fields, [summary]), table(Bias._fields, biases)]
    return "\n\n".join(tables)
