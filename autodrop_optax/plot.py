"""Draws what :func:`autodrop_optax.autodrop_metrics` gave, epoch by epoch.

Needs matplotlib: ``pip install "autodrop-optax[plot]"``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

try:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter
except ImportError as _error:
    raise ImportError(
        "autodrop_optax.plot draws with matplotlib, which is not installed:"
        ' pip install "autodrop-optax[plot]".'
    ) from _error

# Rows, one for each epoch, or columns, one array for each name.
History = Sequence[Mapping[str, Any]] | Mapping[str, Any]

# Okabe and Ito's colours, told apart with every colour vision.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

_LABELS = {
    "learning_rate": "learning rate",
    "angular_velocity": "angular velocity\n(degrees per epoch)",
    "angular_velocity_change": "change of it\n(degrees per epoch)",
    "step_norm": "step norm",
    "threshold": "threshold\n(degrees per epoch)",
}


def plot_history(
    histories: Mapping[str, History],
    *,
    panels: Sequence[str] = ("learning_rate", "angular_velocity"),
    labels: Mapping[str, str] | None = None,
    log_scale: Mapping[str, Sequence[float]] | None = None,
    title: str = "",
) -> Figure:
    """Draws runs over their epochs: a panel for each metric, a line for each run.

    With the default panels and one run this is the picture of the method (Teng, Wang,
    Choromanska, 2021, Figures 2 and 6): the angular velocity rises, saturates, and
    starts over where the rate drops. Drops are marked in the colour of their run.

    Args:
      histories: for each run its name and its history, either a row for each epoch (a
        list of what :func:`autodrop_optax.autodrop_metrics` returned, with whatever
        you add) or a column for each metric (what a ``lax.scan`` over epochs stacks).
        The learning rate is the one that holds from the end of the epoch on.
      panels: the metrics to draw, from the top. ``num_drops`` and ``epoch`` are
        needed for the marks and the axis; without ``epoch`` they are counted from 1.
      labels: what stands at the axis of a metric, where not its name.
      log_scale: for each metric to be drawn on a logarithmic scale, the multiples of
        powers of ten that are labelled, as ``{"loss": (1, 2, 5)}``. The learning rate
        is drawn so.
      title: stands above.

    Returns:
      A figure with a canvas of its own, for ``figure.savefig("history.png")``.

    Raises:
      ValueError: there is no run, a history is empty or lacks a metric.

    Example:
      >>> from autodrop_optax.plot import plot_history
      >>> rows = [
      ...     {"learning_rate": 0.1, "angular_velocity": 70.0, "num_drops": 0},
      ...     {"learning_rate": 0.1, "angular_velocity": 80.0, "num_drops": 1},
      ...     {"learning_rate": 0.02, "angular_velocity": 60.0, "num_drops": 1},
      ... ]
      >>> figure = plot_history({"AutoDrop": rows})
      >>> figure.savefig("history.png")  # doctest: +SKIP
    """
    named = isinstance(histories, Mapping) and all(
        isinstance(history, (Mapping, Sequence)) and not isinstance(history, str)
        for history in histories.values()
    )
    if not histories or not named:
        raise ValueError(
            "histories must be a dictionary of at least one run, {name: history}."
        )
    runs = {name: _columns(name, history) for name, history in histories.items()}
    for name, run in runs.items():
        for metric in panels:
            if metric not in run:
                raise ValueError(
                    f"The history of {name!r} has no {metric!r}; it has"
                    f" {', '.join(sorted(run))}."
                )
    labels = _LABELS | dict(labels or {})
    log_scale = {"learning_rate": (1,), **(log_scale or {})}

    heights = [1.0 if metric == "learning_rate" else 1.4 for metric in panels]
    figure = Figure(figsize=(7.2, 0.8 + 1.5 * sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(
        len(panels), 1, sharex=True, height_ratios=heights, squeeze=False
    )[:, 0]
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    for axis, metric in zip(axes, panels, strict=True):
        _decorate(axis, labels.get(metric, metric.replace("_", " ")))
        if metric in log_scale:
            _plain_log_scale(axis, log_scale[metric])
        for i, (name, run) in enumerate(runs.items()):
            _draw(axis, metric, run, name, COLORS[i % len(COLORS)])
    axes[-1].set_xlabel("epoch")
    figure.align_ylabels(axes)
    if len(runs) > 1:
        axes[0].legend(loc="best", frameon=False)
    return figure


def _columns(name: str, history: History) -> dict[str, np.ndarray]:
    """Arrays over the epochs, shape (epochs,) each, ``epoch`` among them."""
    if isinstance(history, Mapping):
        columns = {key: np.asarray(values) for key, values in history.items()}
    else:
        keys = history[0] if len(history) else {}
        if any(set(row) != set(keys) for row in history):
            raise ValueError(
                f"The history of {name!r} must have the same metrics at every epoch."
            )
        columns = {key: np.array([row[key] for row in history]) for key in keys}
    sizes = {values.shape for values in columns.values()}
    if len(sizes) != 1 or len(next(iter(sizes))) != 1 or (0,) in sizes:
        raise ValueError(
            f"The history of {name!r} must have the same metrics at every epoch, and at"
            f" least one epoch; its columns have the shapes {sorted(sizes)}."
        )
    ((epochs,),) = sizes
    return {"epoch": np.arange(1, epochs + 1), **columns}


def _drops(run: Mapping[str, np.ndarray]) -> np.ndarray:
    """Whether the rate dropped at the end of each epoch, shape (epochs,)."""
    drops = run.get("num_drops", np.zeros(run["epoch"].shape))
    # What a resumed history starts with happened before it.
    return np.diff(drops, prepend=drops[:1]) > 0


def _decorate(axis: Axes, label: str) -> None:
    axis.set_ylabel(label)
    axis.margins(x=0.01)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", color="#e5e5e5", linewidth=0.8)
    axis.set_axisbelow(True)


def _plain_log_scale(axis: Axes, ticks: Sequence[float]) -> None:
    """A logarithmic scale with labels such as 0.05 at these multiples of powers."""
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=ticks))
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.yaxis.set_minor_formatter(NullFormatter())


def _draw(
    axis: Axes, metric: str, run: Mapping[str, np.ndarray], name: str, color: str
) -> None:
    epoch, values, drops = run["epoch"], run[metric], _drops(run)
    if metric == "learning_rate":  # from the end of that epoch on
        axis.step(epoch, values, where="post", color=color, lw=2, label=name)
    else:
        axis.plot(epoch, values, color=color, lw=1.6, label=name)
    if metric == "angular_velocity":
        axis.plot(
            epoch[drops],
            values[drops],
            linestyle="none",
            marker="v",
            markersize=8,
            color=color,
            markeredgecolor="white",
        )
    for at in epoch[drops]:
        axis.axvline(at, color=color, lw=0.8, ls=(0, (4, 3)), alpha=0.6, zorder=0)
