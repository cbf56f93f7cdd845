"""Figure 3 of the paper: AutoDrop on the noisy quadratic model, and its controls.

The settings are those of the paper: the rate starts at 0.06 and is halved where the
mean of 20 angles changes by less than 0.01 degrees from one iteration to the next, down
to 0.001. Because the change of such a mean is (w_t - w_{t-20}) / 20, the test asks
whether two single angles 20 iterations apart lie within 0.2 degrees.

Controls, all with exact expected losses from the second-moment recursion:

* constant rates, the best for the budget among all, and among those that AutoDrop may
  use (0.001 to 0.06);
* blind halving every k iterations, by the clock, one k being AutoDrop's mean wait;
* a coin: halving with the probability by which the test fires at saturation, in every
  iteration from the first in which the test could fire;
* the same schedules on fresh noise: each run's own sequence of rates, on draws that it
  has not seen. If its angles told it when to drop, the run itself would end lower.

Everything is done twice, with the floor of 0.001 and without one. With it, every
schedule that reaches the floor early enough ends at the floor's own stationary loss.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import optax
from scipy import stats

from autodrop_optax import epoch_autodrop
from experiments.report.statistics import mean_and_half_width
from experiments.theory.moments import expected_run, mean_angle, saturation
from experiments.theory.noisy_quadratic import (
    SPECTRA,
    Trajectory,
    simulate,
    unit_noise,
)
from experiments.theory.output import table, write, write_csv

MODEL = unit_noise(SPECTRA["linear"])
STEPS = 4000
LEARNING_RATE = 0.06
WINDOW = 20
THRESHOLD = 0.01  # degrees per iteration
FLOORS = (0.001, 0.0)
FIRST_TEST = WINDOW + 2  # the first iteration with WINDOW + 1 angles behind it
# Okabe and Ito's, told apart with every colour vision.
COLORS = ("#D55E00", "#0072B2", "#009E73", "#E69F00", "#CC79A7", "#56B4E9")
# The rates that halving goes through with the floor.
RATES = tuple(max(LEARNING_RATE / 2**i, FLOORS[0]) for i in range(7))


def paper_autodrop(
    learning_rate: float | jax.Array = LEARNING_RATE,
    min_learning_rate: float | jax.Array = FLOORS[0],
) -> optax.GradientTransformation:
    """SGD with AutoDrop as in the paper's Figure 3, one iteration as the epoch."""
    link = epoch_autodrop(
        learning_rate,
        window=WINDOW,
        threshold=THRESHOLD,
        max_threshold=THRESHOLD,
        drop_factor=0.5,
        drop_delay=1,
        averaging=False,
        min_learning_rate=min_learning_rate,
    )
    return optax.chain(optax.sgd(learning_rate), link)


def run_autodrop(floor: float, seeds: int, steps: int) -> Trajectory:
    """Runs it with many seeds; float64 arrays of shape (seeds, steps)."""
    keys = jax.random.split(jax.random.key(3), seeds)
    run = _run_autodrop(jnp.float32(floor), keys, steps)
    return Trajectory(*(np.asarray(x, np.float64) for x in run))


@functools.partial(jax.jit, static_argnames="steps")
def _run_autodrop(floor: jax.Array, keys: jax.Array, steps: int) -> Trajectory:
    model = jax.tree.map(jnp.float32, MODEL)
    optimizer = paper_autodrop(min_learning_rate=floor)
    return jax.vmap(lambda key: simulate(model, optimizer, steps, key))(keys)


class Chance(NamedTuple):
    """How often the test fires at saturation, at a constant rate."""

    learning_rate: float
    limit_angle: float  # degrees
    sd_angle: float  # degrees, of a single angle, to first order in 1 / n_eff
    firing_rate: float  # per iteration, measured
    half_width: float  # of its 95 % confidence interval over seeds
    predicted: float  # for two independent Gaussian angles of that deviation


def chance_firings(
    seeds: int = 32, burn_in: int = 1000, steps: int = 2000
) -> list[Chance]:
    """Counts the firings of the library's test at rates that cannot drop.

    A floor at the rate itself lets drops be counted and the rate stay.

    Args:
      seeds: runs at each of the rates that halving goes through.
      burn_in: iterations before the count; the angle has saturated by then.
      steps: iterations counted.
    """
    model = jax.tree.map(jnp.float32, MODEL)

    def run(rate: jax.Array, key: jax.Array) -> jax.Array:
        optimizer = paper_autodrop(rate, min_learning_rate=rate)
        drops = simulate(model, optimizer, burn_in + steps, key).num_drops
        return (drops[-1] - drops[burn_in - 1]) / steps

    keys = jax.random.split(jax.random.key(4), (len(RATES), seeds))
    over_seeds = jax.vmap(run, in_axes=(None, 0))
    firings = jax.jit(jax.vmap(over_seeds))(jnp.float32(np.array(RATES)), keys)
    results = []
    for rate, values in zip(RATES, np.asarray(firings, np.float64), strict=True):
        sd = mean_angle(MODEL, rate).sd
        within = WINDOW * THRESHOLD / (np.sqrt(2) * sd)
        results.append(
            Chance(
                rate,
                saturation(MODEL, rate).angle,
                sd,
                *mean_and_half_width(values),
                float(stats.norm.cdf(within) - stats.norm.cdf(-within)),
            )
        )
    return results


def clock(period: int, floor: float, steps: int = STEPS) -> np.ndarray:
    """Rates of blind halving every ``period`` iterations, shape (steps,)."""
    halvings = np.arange(steps) // period
    return np.maximum(floor, LEARNING_RATE * 0.5**halvings)


def coin(
    firing_rate: float, floor: float, seeds: int, steps: int = STEPS
) -> np.ndarray:
    """Rates of halving by chance, shape (seeds, steps).

    As the test does, it decides at the end of an iteration, about the next one.
    """
    heads = np.random.default_rng(5).random((seeds, steps)) < firing_rate
    heads[:, : FIRST_TEST - 1] = False
    halvings = np.cumsum(heads, axis=1) - heads
    return np.maximum(floor, LEARNING_RATE * 0.5**halvings)


class Wait(NamedTuple):
    """Iterations from a drop to the next; a line of figure3_waits.csv."""

    drop: int  # 1 for the first, which is counted from the start
    learning_rate: float  # before it
    mean_wait: float
    sd_wait: float
    runs: int
    within_window: float  # share of runs in which it took at most 20 iterations
    reset: float  # degrees: from 90, just after the halving, to the new limit
    sd_angle: float  # degrees, of a single angle
    firing_rate: float  # at saturation, by chance alone
    firing_half_width: float
    predicted_firing_rate: float
    chance_wait: float  # mean wait if the test fired by chance alone


def waits(trajectory: Trajectory, chance: Sequence[Chance]) -> list[Wait]:
    """Measures how long AutoDrop waits at each rate."""
    drops = np.asarray(trajectory.num_drops)
    results = []
    for i, c in enumerate(chance):
        begins = _time_of_drop(drops, i)
        ends = _time_of_drop(drops, i + 1)
        wait = (ends - begins)[~np.isnan(ends)]
        results.append(
            Wait(
                i + 1,
                c.learning_rate,
                float(wait.mean()) if len(wait) else np.nan,
                float(wait.std(ddof=1)) if len(wait) > 1 else np.nan,
                len(wait),
                float(np.mean(wait <= WINDOW)) if len(wait) else np.nan,
                c.limit_angle - 90 if i else np.nan,
                c.sd_angle,
                *c[3:],
                1 / c.firing_rate + (0 if i else FIRST_TEST - 1),
            )
        )
    return results


def _time_of_drop(num_drops: np.ndarray, number: int) -> np.ndarray:
    """Iterations (from 1) of a drop by its number, NaN where there is none."""
    if number == 0:
        return np.zeros(len(num_drops))
    there = num_drops >= number
    return np.where(there.any(axis=1), there.argmax(axis=1) + 1.0, np.nan)


class Outcome(NamedTuple):
    """Losses of one method; a line of figure3.csv."""

    floor: float
    method: str
    kind: str  # "simulated", "exact", or their "difference"
    runs: int  # or schedules
    at_eighth: float  # mean loss after an eighth of the iterations
    at_quarter: float
    at_half: float
    final_loss: float
    sd: float  # of the final loss over runs; NaN for one
    half_width: float  # of the 95 % confidence interval of its mean


def outcome(floor: float, method: str, kind: str, losses: np.ndarray) -> Outcome:
    """Puts losses of shape (runs, steps) or (steps,) into a line."""
    losses = np.atleast_2d(losses)
    runs, steps = losses.shape
    final = losses[:, -1]
    spread = np.nan, np.nan
    if runs > 1:
        spread = float(final.std(ddof=1)), mean_and_half_width(final)[1]
    eighth, quarter, half, end = (
        float(losses[:, steps // k - 1].mean()) for k in (8, 4, 2, 1)
    )
    return Outcome(floor, method, kind, runs, eighth, quarter, half, end, *spread)


class Results(NamedTuple):
    """What there is to draw for one floor. Losses have shape (steps,)."""

    floor: float
    outcomes: list[Outcome]
    courses: dict[str, np.ndarray]  # mean losses of the methods drawn
    periods: np.ndarray  # shape (periods,): of blind halving, in iterations
    final_losses: np.ndarray  # shape (periods,): exact
    best_constant: float  # final loss of the best constant rate of all
    mean_wait: float  # of AutoDrop, over the drops down to 0.001


def compare(
    floor: float, trajectory: Trajectory, firing_rate: float, mean_wait: float
) -> Results:
    """Puts AutoDrop beside its controls."""
    own = np.asarray(trajectory.loss)
    seeds, steps = own.shape
    fresh = expected_run(MODEL, trajectory.learning_rate).loss
    by_chance = expected_run(MODEL, coin(firing_rate, floor, seeds, steps)).loss
    periods = np.unique(np.geomspace(10, steps / 5, 60).round().astype(int))
    clocks = expected_run(MODEL, np.stack([clock(k, floor, steps) for k in periods]))
    best_period = int(clocks.loss[:, -1].argmin())
    rates = np.append(np.geomspace(1e-4, 0.09, 120), FLOORS[0])
    constants = expected_run(MODEL, np.repeat(rates[:, None], steps, axis=1)).loss
    allowed = (rates >= FLOORS[0]) & (rates <= LEARNING_RATE)
    best = int(constants[:, -1].argmin())
    best_allowed = int(np.where(allowed, constants[:, -1], np.inf).argmin())

    # To draw, and for the table alone.
    drawn = {
        "coin": by_chance,
        "clock, 80": expected_run(MODEL, clock(80, floor, steps)).loss,
        "clock, 300": expected_run(MODEL, clock(300, floor, steps)).loss,
        f"best constant, {rates[best]:.2g}": constants[best],
        f"best constant allowed, {rates[best_allowed]:.2g}": constants[best_allowed],
    }
    period = round(mean_wait)
    others = {
        f"clock, {period}": expected_run(MODEL, clock(period, floor, steps)).loss,
        f"best clock, {periods[best_period]}": clocks.loss[best_period],
        "same rates, fresh noise": fresh,
    }
    exact = drawn | others
    outcomes = [
        outcome(floor, "AutoDrop", "simulated", own),
        *(outcome(floor, name, "exact", losses) for name, losses in exact.items()),
        outcome(floor, "AutoDrop - fresh noise", "difference", own - fresh),
    ]
    courses = {"AutoDrop": own} | drawn
    return Results(
        floor,
        outcomes,
        {name: np.atleast_2d(losses).mean(axis=0) for name, losses in courses.items()},
        periods,
        clocks.loss[:, -1],
        float(constants[best, -1]),
        mean_wait,
    )


def draw(
    results: Sequence[Results], trajectory: Trajectory, lines: Sequence[Wait]
) -> matplotlib.figure.Figure:
    """Draws the course, one run's angles, the controls, and the waits.

    Args:
      results: with the floor and without.
      trajectory: of AutoDrop with the floor; the first run's angles are drawn.
      lines: what :func:`waits` returned.
    """
    figure = matplotlib.figure.Figure(figsize=(9.6, 6.4), layout="constrained")
    (course, angle), (period, wait) = figure.subplots(2, 2)

    with_floor = results[0]
    for (name, losses), color in zip(with_floor.courses.items(), COLORS, strict=True):
        at = np.unique(np.geomspace(1, len(losses), 200).round().astype(int))
        course.plot(at, losses[at - 1], color=color, lw=1.6, label=name)
    course.set(xscale="log", yscale="log", xlabel="iteration")
    course.set_ylabel("mean loss above the minimum")
    course.legend(frameon=False, fontsize=7)

    shown = 800
    angles = np.asarray(trajectory.angular_velocity)[0, 1:shown]
    smooth = np.convolve(angles, np.full(WINDOW, 1 / WINDOW), mode="valid")
    angle.plot(np.arange(WINDOW + 1, len(angles) + 2), smooth, color=COLORS[0], lw=1.2)
    drops = np.asarray(trajectory.num_drops)[0, :shown]
    times = np.flatnonzero(np.diff(drops, prepend=0)) + 1
    for i, time in enumerate(times):
        halves = i < len(RATES) - 1
        angle.axvline(time, color="k" if halves else "0.7", lw=0.8, ls="--", zorder=0)
    angle.axhline(90, color="0.6", lw=0.8)
    angle.set_xlabel("iteration (dashed: the test fires; grey: at the floor)")
    angle.set_ylabel("angular velocity, mean of 20 (degrees)")

    for result, color, name in zip(
        results, COLORS, ("floor 0.001", "no floor"), strict=False
    ):
        period.plot(result.periods, result.final_losses, color=color, lw=1.6)
        own, by_chance = result.outcomes[:2]
        for x, marker, size in ((own, "o", 10), (by_chance, "D", 5)):
            period.errorbar(
                result.mean_wait,
                x.final_loss,
                x.half_width,
                fmt=marker,
                ms=size,
                color=color,
                mec="white",
                label=f"{x.method}, {name}",
            )
    period.axhline(with_floor.best_constant, color="0.6", lw=0.8)
    period.set(xscale="log", yscale="log")
    period.set_xlabel("period of blind halving, or mean wait (iterations)")
    period.set_ylabel("final loss (grey: best constant rate)")
    period.legend(frameon=False, fontsize=7)

    number = [x.drop for x in lines]
    error = [1.96 * x.sd_wait / x.runs**0.5 for x in lines]
    wait.errorbar(
        number,
        [x.mean_wait for x in lines],
        error,
        fmt="o",
        color=COLORS[0],
        label="AutoDrop",
    )
    wait.plot(number, [x.chance_wait for x in lines], "k:", label="by chance alone")
    wait.set_ylim(0)
    wait.set_xlabel("drop")
    wait.set_ylabel("mean wait (iterations)")
    wait.legend(frameon=False, fontsize=8)
    for panel in (course, angle, period, wait):
        panel.spines[["top", "right"]].set_visible(False)
    return figure


def make(out: Path, quick: bool) -> str:
    """Computes, draws and writes it all; returns the tables."""
    seeds, steps = (8, 800) if quick else (500, STEPS)
    chance = chance_firings(8, 200, 200) if quick else chance_firings()
    runs = [run_autodrop(floor, seeds, steps) for floor in FLOORS]
    lines = waits(runs[0], chance)
    firing_rate = float(np.mean([c.firing_rate for c in chance]))
    mean_wait = float(np.mean([x.mean_wait for x in lines[:-1]]))
    results = [
        compare(floor, run, firing_rate, mean_wait)
        for floor, run in zip(FLOORS, runs, strict=True)
    ]
    outcomes = [outcome for result in results for outcome in result.outcomes]
    write(out, "figure3", draw(results, runs[0], lines), Outcome._fields, outcomes)
    write_csv(out, "figure3_waits", Wait._fields, lines)
    return f"{table(Outcome._fields, outcomes)}\n\n{table(Wait._fields, lines)}"
