"""Equation 7 beside optax's SGD, with rates that drop."""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import optax
from jax import lax

from experiments.theory.momentum import unified_momentum
from experiments.theory.output import table, write
from experiments.theory.stepwise import StepwiseRates

BETA = 0.9
STEPS = StepwiseRates(0.05 * 0.2 ** np.arange(4), np.full(4, 100))
COLORS = ("#0072B2", "#D55E00", "#009E73")


class Difference(NamedTuple):
    """Two runs of one method; a line of momentum.csv.

    Attributes:
      method: which of equation 7's.
      s: its parameter.
      optax_form: what stands beside it.
      same: whether it is meant to be the same method.
      difference: the largest distance of the two trajectories over the largest
        parameter, float32.
    """

    method: str
    s: float
    optax_form: str
    same: bool
    difference: float


def forms() -> list[tuple[str, float, str, bool, optax.GradientTransformation]]:
    """The methods with optax's forms of them, and with those that look alike."""
    rate = STEPS.schedule()

    def scaled_first(nesterov):
        return optax.chain(
            optax.scale_by_schedule(rate), optax.sgd(1.0, BETA, nesterov=nesterov)
        )

    before = "scale_by_schedule, sgd(1)"
    last = 1 / (1 - BETA)
    return [
        ("heavy ball", 0.0, before, True, scaled_first(False)),
        ("heavy ball", 0.0, "sgd(schedule)", False, optax.sgd(rate, BETA)),
        ("Nesterov", 1.0, f"{before}, nesterov", True, scaled_first(True)),
        (
            "Nesterov",
            1.0,
            "sgd(schedule), nesterov",
            False,
            optax.sgd(rate, BETA, nesterov=True),
        ),
        (
            "gradient descent",
            last,
            "sgd(schedule / (1 - beta))",
            True,
            optax.sgd(lambda count: rate(count) / (1 - BETA)),
        ),
    ]


def trajectory(optimizer: optax.GradientTransformation) -> np.ndarray:
    """A noisy quadratic of 50 dimensions; shape (steps, 50), float32."""
    curvature = jnp.geomspace(0.05, 2.0, 50)

    def step(carry, noise):
        x, state = carry
        updates, state = optimizer.update(curvature * x + 0.3 * noise, state, x)
        x = optax.apply_updates(x, updates)
        return (x, state), x

    start = jnp.full(50, 2.0)
    noise = jax.random.normal(jax.random.key(0), (STEPS.num_steps, 50))
    return np.asarray(lax.scan(step, (start, optimizer.init(start)), noise)[1])


def differences() -> tuple[list[Difference], dict[str, np.ndarray]]:
    """Compares the trajectories; returns them, too, by method."""
    lines, trajectories = [], {}
    for method, s, form, same, optimizer in forms():
        ours = trajectory(unified_momentum(STEPS.schedule(), BETA, s))
        theirs = trajectory(optimizer)
        distance = np.abs(ours - theirs).max() / np.abs(ours).max()
        lines.append(Difference(method, s, form, same, float(distance)))
        trajectories[method] = ours
    return lines, trajectories


def draw(trajectories: dict[str, np.ndarray]) -> matplotlib.figure.Figure:
    """Draws the distance from the optimum of the three methods."""
    figure = matplotlib.figure.Figure(figsize=(6.4, 3.4), layout="constrained")
    panel = figure.subplots()
    for (method, points), color in zip(trajectories.items(), COLORS, strict=True):
        panel.plot(np.linalg.norm(points, axis=1), color=color, lw=1.3, label=method)
    for end in STEPS.ends[:-1]:
        panel.axvline(end, color="0.6", lw=0.8, ls=(0, (4, 3)))
    panel.set(yscale="log", xlabel="step", ylabel="|x$_t$|")
    panel.legend(frameon=False, fontsize=8, title=f"beta = {BETA:g}, rate times 0.2")
    panel.spines[["top", "right"]].set_visible(False)
    return figure


def make(out: Path, quick: bool) -> str:
    """Computes, draws and writes it all; returns a table."""
    del quick  # it takes seconds as it is
    lines, trajectories = differences()
    write(out, "momentum", draw(trajectories), Difference._fields, lines)
    return table(Difference._fields, lines)
