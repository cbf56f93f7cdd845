"""Equation 11 fitted to angular velocities of real runs; the paper's Figure 2."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib.figure
import numpy as np

from experiments.theory.equation11_fit import (
    Angles,
    Fit,
    by_rate,
    fit_all,
    fit_each,
    levels_rise,
)
from experiments.theory.output import table, write, write_csv
from experiments.theory.recorded_angles import read

COLORS = ("0.55", "#D55E00", "#E69F00", "#009E73", "#0072B2")


class Order(NamedTuple):
    """P2 ii for the fits of one model; a line of equation11_order.csv.

    Attributes:
      workload: its name.
      model: fitted; "last 10 epochs" are the measured means, of rates at which the
        angle rose by at most a degree against the 10 epochs before.
      levels: known within 5 degrees, from the highest rate to the lowest.
      rise_with_the_rate: the paper's P2 ii; "too few" under two known levels.
      over_90: whether all of them are.
    """

    workload: str
    model: str
    levels: str
    rise_with_the_rate: bool | str
    over_90: bool


def fits_of(angles: Sequence[Angles]) -> list[Fit]:
    """All three models on every workload and rate."""
    fits = []
    for workload in dict.fromkeys(a.workload for a in angles):
        own = [a for a in angles if a.workload == workload]
        fits += [fit_each(a) for a in own]
        fits += fit_all(own)[1]
        fits += [fit_each(a, with_start=True) for a in own]
    return fits


def orders(fits: Sequence[Fit]) -> list[Order]:
    """Whether the levels order with the rate; "all rates" can do nothing else."""
    free = [f for f in fits if f.model != "all rates"]
    free += [f.measured for f in fits if f.model == "each rate"]
    lines = []
    for key in dict.fromkeys((f.workload, f.model) for f in free):
        own = [f for f in free if (f.workload, f.model) == key]
        known = [f for f in own if f.known]
        rise = levels_rise(own)
        lines.append(
            Order(
                *key,
                ", ".join(f"{f.rate:g}: {f.level:.1f}" for f in known),
                "too few" if rise is None else rise,
                all(f.level > 90 for f in known),
            )
        )
    return lines


def draw(angles: Sequence[Angles], fits: Sequence[Fit]) -> matplotlib.figure.Figure:
    """Draws losses, angles with equation 11, and levels; a row for each workload."""
    workloads = list(dict.fromkeys(a.workload for a in angles))
    figure = matplotlib.figure.Figure(figsize=(8.8, 5.4), layout="constrained")
    panels = figure.subplots(len(workloads), 3, squeeze=False)
    for (loss, angle, level), workload in zip(panels, workloads, strict=True):
        own = [a for a in angles if a.workload == workload]
        for a, color in zip(own, COLORS, strict=False):
            epoch = np.arange(2, len(a.time) + 2)
            if not a.trained:
                name = f"{a.rate:g} (did not train)"
                loss.plot(epoch, np.nanmean(a.train_loss, 0), color=color, label=name)
                continue
            loss.plot(epoch, a.train_loss.mean(0), color=color, label=f"{a.rate:g}")
            angle.plot(epoch, a.angle.mean(axis=0), ".", ms=3, color=color)
            for fit, dash in _of(fits, a):
                at = fit.gamma * a.rate * a.time
                curve = fit.level - (fit.level - fit.start) / (at + 1)
                angle.plot(epoch, curve, dash, color=color, lw=1.2)
                if fit.known and fit.model != "all rates":
                    level.errorbar(
                        fit.rate * (1.1 if fit.model == "with a start" else 1),
                        fit.level,
                        fit.level_error,
                        marker="o" if fit.model == "each rate" else "s",
                        color=color,
                        ms=5,
                    )
            own_fit = _of(fits, a)[0][0]
            level.plot(a.rate / 1.1, own_fit.last, "_", color=color, ms=12)
        loss.set(yscale="log", ylabel=f"{workload}\ntrain loss")
        loss.legend(title="rate", frameon=False, fontsize=6, loc="center right")
        angle.set_ylabel("angular velocity (degrees)")
        angle.axhline(90, color="0.7", lw=0.7)
        level.axhline(90, color="0.7", lw=0.7)
        level.set(xscale="log", ylabel="saturation level (degrees)")
    angle, level = panels[0, 1:]
    for dash, label in (
        ("-", "equation 11"),
        (":", "one c, gamma"),
        ("--", "V(0) > 0"),
    ):
        angle.plot([], [], dash, color="0.3", label=label)
    angle.legend(frameon=False, fontsize=7)
    for marker, label in (("o", "equation 11"), ("s", "V(0) > 0"), ("_", "last 10")):
        level.plot([], [], marker, color="0.3", label=label)
    level.legend(frameon=False, fontsize=7)
    for panel in panels[-1, :2]:
        panel.set_xlabel("epoch")
    panels[-1, 2].set_xlabel("learning rate")
    for panel in panels.flat:
        panel.spines[["top", "right"]].set_visible(False)
    return figure


def _of(fits: Sequence[Fit], angles: Angles) -> list[tuple[Fit, str]]:
    dashes = {"each rate": "-", "all rates": ":", "with a start": "--"}
    return [
        (fit, dashes[fit.model])
        for fit in fits
        if (fit.workload, fit.rate) == (angles.workload, angles.rate)
    ]


def make(out: Path, quick: bool) -> str:
    """Fits, draws and writes it all, from the recorded angles; returns tables."""
    del quick  # it takes seconds as it is
    angles = by_rate(read())
    fits = fits_of(angles)
    order = orders(fits)
    write(out, "equation11", draw(angles, fits), Fit._fields, fits)
    write_csv(out, "equation11_order", Order._fields, order)
    return f"{table(Fit._fields, fits)}\n\n{table(Order._fields, order)}"
