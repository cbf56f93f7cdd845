"""Runs beside each other in one figure; what other figures share with it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from autodrop_optax.plot import plot_history
from experiments.report.outcome import drop_epochs
from experiments.run.metrics import Row


def compare(runs: Mapping[str, Sequence[Row]], title: str) -> Figure:
    """Draws runs in four panels over a shared axis of epochs.

    Args:
      runs: the rows of each run, under the name that the legend gives it.
      title: says what was trained.

    Returns:
      The figure.
    """
    return plot_history(
        {name: columns(rows) for name, rows in runs.items()},
        panels=("learning_rate", "angle", "train_loss", "test_error"),
        labels={"test_error": "test error (%)"},
        log_scale={"train_loss": (1, 2, 5)},
        title=title,
    )


def save(figure: Figure, path: Path) -> None:
    """Saves a figure as the path's suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    print(f"figure: {path}")


def columns(rows: Sequence[Row]) -> dict[str, np.ndarray]:
    """A run's rows as `plot_history` takes them: one array for each name."""
    found = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    # A row has the rate of its epoch; to draw is the one from its end on.
    rates = found["learning_rate"]
    found["learning_rate"] = np.append(rates[1:], rates[-1])
    for name in ("angle", "max_angle"):  # AutoDrop's alone
        found.setdefault(name, np.full(len(rows), np.nan))
    # Schedules that know their drops in advance have them marked as well.
    found["num_drops"] = np.cumsum(np.isin(found["epoch"], drop_epochs(rows)))
    return found
