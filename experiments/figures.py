"""The demo's figure: how two schedules go through one training."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from experiments.history import drop_epochs
from experiments.records import Row

# Okabe and Ito's blue and vermilion, told apart with every colour vision.
COLORS = ("#0072B2", "#D55E00")


class Curves(NamedTuple):
    """One run as arrays over its epochs, each of shape (epochs,)."""

    label: str
    epoch: np.ndarray
    learning_rate: np.ndarray
    angular_velocity: np.ndarray  # degrees
    train_loss: np.ndarray
    test_error: np.ndarray  # percent
    drops: list[int]  # epochs


def curves(label: str, rows: Sequence[Row]) -> Curves:
    """Returns what there is to draw of a run."""

    def column(name: str) -> np.ndarray:
        return np.array([row[name] for row in rows])

    return Curves(
        label=label,
        epoch=column("epoch"),
        learning_rate=column("learning_rate"),
        angular_velocity=column("angular_velocity"),
        train_loss=column("train_loss"),
        test_error=column("test_error"),
        drops=drop_epochs(rows),
    )


def compare(runs: Sequence[Curves], title: str) -> Figure:
    """Draws up to two runs in four panels over a shared axis of epochs.

    Args:
      runs: what :func:`curves` returned for each.
      title: says what was trained.

    Returns:
      The figure, with its canvas.
    """
    figure = Figure(figsize=(7.2, 8.0), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(4, 1, sharex=True, height_ratios=[1, 1.4, 1, 1.4])
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    _decorate(panels)
    for run, color in zip(runs, COLORS, strict=False):
        _draw(panels, run, color)
    figure.align_ylabels(panels)
    panels[0].legend(loc="upper right", frameon=False, borderaxespad=0)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Saves a figure as the path's suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def _decorate(panels: Sequence[Axes]) -> None:
    rate, angle, loss, error = panels
    rate.set_ylabel("learning rate")
    _plain_log_scale(rate, ticks=(1,))
    angle.set_ylabel("angular velocity\n(degrees per epoch)")
    loss.set_ylabel("train loss")
    _plain_log_scale(loss, ticks=(1, 2, 5))
    error.set_ylabel("test error (%)")
    error.set_xlabel("epoch")
    for panel in panels:
        panel.margins(x=0.01)
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(axis="y", color="#e5e5e5", linewidth=0.8)
        panel.set_axisbelow(True)


def _plain_log_scale(panel: Axes, ticks: Sequence[float]) -> None:
    """A logarithmic scale with labels such as 0.05 at these multiples of powers."""
    panel.set_yscale("log")
    panel.yaxis.set_major_locator(LogLocator(subs=ticks))
    panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    panel.yaxis.set_minor_formatter(NullFormatter())


def _draw(panels: Sequence[Axes], run: Curves, color: str) -> None:
    rate, angle, loss, error = panels
    # The rate of epoch t holds from t - 1, where the epoch starts, to t.
    edges = np.concatenate([run.epoch[:1] - 1, run.epoch])
    rate.stairs(
        run.learning_rate, edges, baseline=None, color=color, lw=2, label=run.label
    )
    angle.plot(run.epoch, run.angular_velocity, color=color, lw=1.6)
    at_drops = np.isin(run.epoch, run.drops)
    angle.plot(
        run.epoch[at_drops],
        run.angular_velocity[at_drops],
        linestyle="none",
        marker="v",
        markersize=8,
        color=color,
        markeredgecolor="white",
    )
    loss.plot(run.epoch, run.train_loss, color=color, lw=1.6)
    error.plot(run.epoch, run.test_error, color=color, lw=1.6)
    for panel in panels:
        for epoch in run.drops:
            panel.axvline(
                epoch, color=color, lw=0.8, ls=(0, (4, 3)), alpha=0.6, zorder=0
            )
