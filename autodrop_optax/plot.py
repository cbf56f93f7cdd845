"""Draws runs: from what :func:`autodrop_optax.autodrop_metrics` gave, or a state alone.

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

from autodrop_optax._autodrop import AutoDropState
from autodrop_optax._states import find_states

# Rows, one for each epoch, or columns, one array for each name.
History = Sequence[Mapping[str, Any]] | Mapping[str, Any]

# Okabe and Ito's colours, told apart with every colour vision.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

_LABELS = {
    "scale": "scale of the rate",
    "angle": "angle of the average\n(degrees)",
    "angular_velocity": "angular velocity\n(degrees per epoch)",
    "angular_velocity_change": "change of it\n(degrees per epoch)",
    "threshold": "threshold\n(degrees per epoch)",
}
_STEPPED = "learning_rate", "scale"  # what stays as it is until a drop


def state_history(opt_state: Any) -> dict[str, np.ndarray]:
    """Returns the history that a state of :func:`autodrop_optax.autodrop` holds.

    It has the latest 256 angles, those of a whole run but for very long ones
    with many drops. Nothing need have been logged.

    Args:
      opt_state: the state of an optimizer that contains one ``autodrop()``.

    Returns:
      For :func:`plot_history`: ``step`` (of the checks), ``angle`` (degrees), ``scale``
      (after the check), ``max_angle`` (degrees), ``num_drops``; shape (checks,) each.

    Raises:
      ValueError: there is no such state, there are several, or no angle yet.
    """
    states = [s for _, s in find_states(opt_state) if isinstance(s, AutoDropState)]
    if len(states) != 1:
        raise ValueError(
            f"opt_state holds {len(states)} states of autodrop(): pass the part of it"
            " with the one to draw."
        )
    (state,) = states
    there = np.asarray(state.angle_steps) > 0
    if not there.any():
        raise ValueError(
            "There is no angle yet: the first comes with the third check, after"
            " first_check * ratio**2 steps, 100 by default."
        )
    scale = np.asarray(state.angle_scales)[there]
    before = scale[:1] if there.all() else np.ones_like(scale[:1])
    return {
        "step": np.asarray(state.angle_steps)[there],
        "angle": np.asarray(state.angles)[there],
        "scale": scale,
        "max_angle": np.full_like(scale, state.hyperparams.max_angle),
        "num_drops": np.cumsum(np.diff(scale, prepend=before) < 0),
    }


def plot_history(
    histories: Mapping[str, History],
    *,
    panels: Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
    log_scale: Mapping[str, Sequence[float]] | None = None,
    title: str = "",
) -> Figure:
    """Draws runs over epochs or steps: a panel for each metric, a line for each run.

    With the default panels and one run this is the picture of the method: the angle
    rises, saturates, and starts over where the rate drops. Drops are marked in the
    colour of their run, and so is the angle from which on there is no headway.

    Args:
      histories: for each run its name and its history: a row for each epoch (a list of
        what :func:`autodrop_optax.autodrop_metrics` returned, with whatever you add), a
        column for each metric (what a ``lax.scan`` over epochs stacks), or what
        :func:`state_history` reads off a state. The axis is ``step`` if every history
        has it, else ``epoch``, which is counted from 1 where it is not there.
      panels: the metrics to draw, from the top; by default ``scale`` and ``angle``, or
        of the published methods ``learning_rate`` and ``angular_velocity``.
        ``num_drops`` is needed for the marks.
      labels: what stands at the axis of a metric, where not its name.
      log_scale: for each metric to be drawn on a logarithmic scale, the multiples of
        powers of ten that are labelled, as ``{"loss": (1, 2, 5)}``. Rate and scale are
        drawn so.
      title: stands above.

    Returns:
      A figure with a canvas of its own, for ``figure.savefig("history.png")``.

    Raises:
      ValueError: there is no run, a history is empty or lacks a metric, or its epochs
        were never ended.

    Example:
      >>> from autodrop_optax.plot import plot_history
      >>> rows = [
      ...     {"scale": 1.0, "angle": 70.0, "max_angle": 71.8, "num_drops": 0},
      ...     {"scale": 0.5, "angle": 81.0, "max_angle": 71.8, "num_drops": 1},
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
    if panels is None:
        published = any("learning_rate" in run for run in runs.values())
        panels = (
            ("learning_rate", "angular_velocity") if published else ("scale", "angle")
        )
    for name, run in runs.items():
        for metric in panels:
            if metric not in run:
                raise ValueError(
                    f"The history of {name!r} has no {metric!r}; it has"
                    f" {', '.join(sorted(run))}."
                )
    time = "step" if all("step" in run for run in runs.values()) else "epoch"
    labels = _LABELS | dict(labels or {})
    log_scale = {"learning_rate": (1,), "scale": (1, 2, 5), **(log_scale or {})}

    heights = [1.0 if metric in _STEPPED else 1.4 for metric in panels]
    figure = Figure(figsize=(7.2, 0.8 + 1.5 * sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(
        len(panels), 1, sharex=True, height_ratios=heights, squeeze=False
    )[:, 0]
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    for axis, metric in zip(axes, panels, strict=True):
        axis.set_ylabel(labels.get(metric, metric.replace("_", " ")))
        axis.margins(x=0.01)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color="#e5e5e5", linewidth=0.8)
        axis.set_axisbelow(True)
        if metric in log_scale:  # with labels such as 0.05
            axis.set_yscale("log")
            axis.yaxis.set_major_locator(LogLocator(subs=log_scale[metric]))
            axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axis.yaxis.set_minor_formatter(NullFormatter())
        for i, (name, run) in enumerate(runs.items()):
            _draw(axis, metric, run, run[time], name, COLORS[i % len(COLORS)])
    axes[-1].set_xlabel(time)
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
    if epochs > 1 and not np.any(columns.get("epoch", 1)):
        raise ValueError(
            f"The history of {name!r} has no finished epoch: 'epoch' is 0 in all"
            f" {epochs} rows. Call params, opt_state = end_epoch(params, opt_state) at"
            " the end of each epoch; without it the link never drops."
        )
    return {"epoch": np.arange(1, epochs + 1), **columns}


def _draw(
    axis: Axes,
    metric: str,
    run: Mapping[str, np.ndarray],
    time: np.ndarray,
    name: str,
    color: str,
) -> None:
    values, counts = run[metric], run.get("num_drops", np.zeros(time.shape))
    # What a resumed history starts with happened before it.
    drops = np.diff(counts, prepend=counts[:1]) > 0
    if metric in _STEPPED:
        axis.step(time, values, where="post", color=color, lw=2, label=name)
    elif metric == "angle":
        values = np.where(values == 0, np.nan, values)  # there was none yet
        axis.plot(time, values, color=color, lw=1.6, marker=".", label=name)
        if "max_angle" in run:
            axis.plot(time, run["max_angle"], color=color, lw=1, ls=":")
    else:
        axis.plot(time, values, color=color, lw=1.6, label=name)
    if metric in ("angular_velocity", "angle"):
        marker = {"marker": "v", "markersize": 8, "markeredgecolor": "white"}
        axis.plot(time[drops], values[drops], ls="none", color=color, **marker)
    for at in time[drops]:
        axis.axvline(at, color=color, lw=0.8, ls=(0, (4, 3)), alpha=0.6, zorder=0)
