"""Figures 4 and 5, and the gaps of Algorithm 2 against the conditions of Theorem 2."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib.figure
import numpy as np

from experiments.theory.angular_model import (
    AngularModel,
    algorithm2,
    falling_threshold,
)
from experiments.theory.output import table, write, write_csv
from experiments.theory.stepwise import StepwiseRates
from experiments.theory.theorem2 import VERSIONS, check_conditions

# The paper gives no numbers for its model; c is under 1/(3 max rate) for all rates
# here, which are at most 0.63.
MODEL = AngularModel(c=0.5, gamma=0.5)
TAU_LOW = np.pi * MODEL.gamma / 2 / 1e4  # radians per iteration
TAU_MIDDLE = np.pi * MODEL.gamma / 2 / 100
TAU_HIGH = np.pi * MODEL.gamma / 2 / 3
TAU_0 = 0.01
RATES = 100_000
COLORS = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7")
KAPPA_2_GAMMAS = (0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 20.0)
KAPPA_2_TAUS = (1e-4, 1e-3, 1e-2, 0.1, 0.5, 1.0, 2.0, 5.0)


def sequences(n: int) -> dict[str, StepwiseRates]:
    """Algorithm 2's schedules of n rates.

    Fixed thresholds are those of 2021, falling ones those of 2024; the rates
    (i + 2)^(-2/3) are those of 2021, 1/(i + 2) those of 2024. With a geometric
    sequence there are at most 40 rates.
    """
    i = np.arange(n)
    powers = {"2/3": (i + 2.0) ** (-2 / 3), "1": 1 / (i + 2.0)}
    halves = 0.5 * 0.5 ** np.arange(min(n, 40))

    def falling(rates: np.ndarray) -> StepwiseRates:
        return algorithm2(MODEL, rates, falling_threshold(MODEL, rates, TAU_0))

    return {
        "2/3, fixed low": algorithm2(MODEL, powers["2/3"], TAU_LOW),
        "2/3, fixed middle": algorithm2(MODEL, powers["2/3"], TAU_MIDDLE),
        "2/3, fixed high": algorithm2(MODEL, powers["2/3"], TAU_HIGH),
        "2/3, falling": falling(powers["2/3"]),
        "1, falling": falling(powers["1"]),
        "geometric, falling": falling(halves),
    }


class Held(NamedTuple):
    """A schedule's first n rates against one version; a line of algorithm2.csv.

    Attributes:
      sequence: the rates' power and the threshold.
      version: of the conditions.
      rates: n.
      steps: T.
      last_gap: k_{n-1}.
      hold: whether the rates are low enough and decrease.
      kappa_1: the largest possible.
      kappa_2: the smallest possible.
    """

    sequence: str
    version: str
    rates: int
    steps: int
    last_gap: int
    hold: bool
    kappa_1: float
    kappa_2: float


def against_conditions(n: int) -> list[Held]:
    """Checks every schedule at n = 10, 100, ..., against both versions."""
    lines = []
    for (name, steps), version in itertools.product(
        sequences(n).items(), VERSIONS.values()
    ):
        c = check_conditions(steps, version)
        sizes = [m for m in (10, 100, 1000, 10_000, 100_000) if m < len(steps)]
        for m in (*sizes, len(steps)):
            holds = c.decreasing and (c.first_too_high is None or c.first_too_high >= m)
            lines.append(
                Held(
                    name,
                    version.name,
                    m,
                    int(steps.ends[m - 1]),
                    int(steps.gaps[m - 1]),
                    holds,
                    float(c.kappa_1_until[m - 1]),
                    float(c.kappa_2_until[m - 1]),
                )
            )
    return lines


class Kappa2(NamedTuple):
    """The 2024 version's kappa_2; a line of algorithm2_kappa2.csv.

    Attributes:
      gamma: of the model; c = 2/3, the largest for a first rate of 1/2.
      tau_0: the largest threshold.
      claimed: sqrt(2 pi/(3 tau_0))/gamma.
      needed: the smallest that serves the whole k_i of 5000 rates 1/(i + 2).
      needed_without_rounding: the same for k_i that are not rounded up.
      mended: ours, (max(sqrt(2 pi gamma/(9 tau_0)), sqrt(4 pi/3)) - 1)/gamma + 1/3.
    """

    gamma: float
    tau_0: float
    claimed: float
    needed: float
    needed_without_rounding: float
    mended: float


def claimed_kappa_2() -> list[Kappa2]:
    """Computes the kappa_2 that is needed on a grid of gamma and tau_0."""
    lines = []
    i = np.arange(5000)
    rates = 1 / (i + 2.0)
    for gamma, tau_0 in itertools.product(KAPPA_2_GAMMAS, KAPPA_2_TAUS):
        model = AngularModel(c=2 / 3, gamma=gamma)
        tau = falling_threshold(model, rates, tau_0)
        steps = algorithm2(model, rates, tau)
        needed = check_conditions(steps, VERSIONS["2024"]).kappa_2
        speed = gamma * rates
        real = (np.sqrt(model.level(rates) * speed / tau) - 1) / speed
        products = real[1:] * rates[1:] * rates[:-1] * (i[1:] + 1)
        root = max(np.sqrt(2 * np.pi * gamma / (9 * tau_0)), np.sqrt(4 * np.pi / 3))
        lines.append(
            Kappa2(
                gamma,
                tau_0,
                float(np.sqrt(2 * np.pi / (3 * tau_0)) / gamma),
                needed,
                float(products.max()),
                float((root - 1) / gamma + 1 / 3),
            )
        )
    return lines


class Course(NamedTuple):
    """Algorithm 2 in time, as in Figure 5.

    Attributes:
      time: iterations, shape (points,).
      velocity: radians, shape (points,).
      rate: shape (points,).
    """

    time: np.ndarray
    velocity: np.ndarray
    rate: np.ndarray


def course(rates: np.ndarray, tau: float) -> Course:
    """Follows the model's angular velocity through the drops."""
    steps = algorithm2(MODEL, rates, tau)
    rate = steps.per_step()
    since_drop = np.concatenate([np.arange(k) for k in steps.gaps])
    return Course(np.arange(len(rate)), MODEL.velocity(rate, since_drop), rate)


def draw(lines: Sequence[Held]) -> matplotlib.figure.Figure:
    """Draws Figure 4, Figure 5 in two panels, and kappa_1 as n grows."""
    figure = matplotlib.figure.Figure(figsize=(9, 6.4), layout="constrained")
    (model, kappa), (velocity, rate) = figure.subplots(2, 2)
    t = np.arange(400)
    for alpha, color in zip((0.5, 0.25, 0.1, 0.04), COLORS, strict=False):
        model.plot(
            t, np.degrees(MODEL.velocity(alpha, t)), color=color, label=f"{alpha:g}"
        )
        model.axhline(np.degrees(MODEL.level(alpha)), color=color, lw=0.7, ls=":")
    model.set(xlabel="iteration", ylabel="angular velocity (degrees)", ylim=(0, 125))
    model.set_title("Figure 4: the model at fixed rates", fontsize=10)
    model.legend(title="rate", frameon=False, fontsize=8, ncols=2)

    names = dict.fromkeys(line.sequence for line in lines)
    for name, color in zip(names, (*COLORS, "0.4"), strict=True):
        version = "2024" if name.startswith(("1", "geo")) else "2021"
        own = [x for x in lines if (x.sequence, x.version) == (name, version)]
        kappa.plot(
            [x.rates for x in own],
            [x.kappa_1 for x in own],
            "o-",
            ms=3,
            color=color,
            label=f"{name} ({version})",
        )
    kappa.set(xscale="log", yscale="log", xlabel="n (rates)", ylabel="kappa$_1$")
    kappa.set_title("kappa$_1$ must stay away from 0", fontsize=10)
    kappa.set_ylim(1e-5, None)  # room for the legend
    kappa.legend(frameon=False, fontsize=7, loc="lower left")

    shown = course((np.arange(8) + 2.0) ** (-2 / 3), TAU_LOW * 10)
    velocity.plot(shown.time, np.degrees(shown.velocity), color=COLORS[0], lw=1.2)
    velocity.set(xlabel="iteration", ylabel="angular velocity (degrees)")
    velocity.set_title("Figure 5, left: with drops at tau", fontsize=10)
    rate.plot(shown.time, shown.rate, color=COLORS[0], drawstyle="steps-post")
    rate.set(xlabel="iteration", ylabel="learning rate", ylim=(0, None))
    rate.set_title("Figure 5, right", fontsize=10)
    for panel in (model, kappa, velocity, rate):
        panel.spines[["top", "right"]].set_visible(False)
    return figure


def make(out: Path, quick: bool) -> str:
    """Computes, draws and writes it all; returns a table."""
    lines = against_conditions(1000 if quick else RATES)
    claims = claimed_kappa_2()
    write(out, "algorithm2", draw(lines), Held._fields, lines)
    write_csv(out, "algorithm2_kappa2", Kappa2._fields, claims)
    failed = sum(x.needed > x.claimed for x in claims)
    unrounded = sum(x.needed_without_rounding > x.claimed for x in claims)
    return (
        f"{table(Held._fields, lines)}\n\n2024's kappa_2 is too small in {failed} of"
        f" {len(claims)} cases, {unrounded} of them before k_i is rounded up;"
        f" ours in {sum(x.needed > x.mended for x in claims)}."
    )
