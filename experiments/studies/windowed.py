"""Does the angle of windowed AutoDrop know more than a clock?"""

import math
from pathlib import Path

from experiments.report import figures
from experiments.report.csv_file import write_csv
from experiments.report.windowed import WindowedRun, rates_figure
from experiments.run.environment import write_provenance
from experiments.schedules.windowed_autodrop import WindowedAutoDrop
from experiments.studies.plan import OWN_RATE, Arm, FinishedRun, arm, at_own_rate
from experiments.studies.study import Runs, Study

FIRST_ANGLE = 3  # the window that it is the angle of


def arms(workload: str) -> list[Arm]:
    """The windowed method, with scaled and published windows, and what it must beat."""
    scaled = arm("windowed_autodrop")
    # A staircase with as many drops as the run of the same seed, evenly spaced.
    matched = Arm(
        "matched_exponential",
        arm("matched_exponential").config,
        first=scaled,
        first_seed=0,
    )
    others = (arm(x) for x in ("exponential", "linear_decay", "windowed_autodrop_64"))
    return [at_own_rate(x, workload) for x in (scaled, matched, *others)]


def windowed_run(run: FinishedRun) -> WindowedRun:
    """A run's line."""
    last = run.rows[-1]
    window_steps, drops, spacing, share = (math.nan,) * 4
    if isinstance(run.config.schedule, WindowedAutoDrop):
        window_steps, drops = last["window_steps"], last["num_drops"]
        spacing, share = spacing_of(last["window"], last["windows_since_drop"], drops)
    return WindowedRun(
        run.config.workload,
        run.label.removesuffix(OWN_RATE),
        run.config.seed,
        window_steps,
        last["test_error"],
        last["learning_rate"],
        drops,
        spacing,
        share,
    )


def spacing_of(window: float, since: float, drops: float) -> tuple[float, float]:
    """Returns the windows per drop and the drops per window in which one could come.

    A drop can come in a window once it has ``buffer_size`` angles before it since the
    last drop. The phases start with the first angle, that of window 3.

    Args:
      window: windows in all.
      since: windows since the last drop.
      drops: drops in all.
    """
    size = WindowedAutoDrop().buffer_size
    if not drops:
        possible = max(0.0, window - (FIRST_ANGLE - 1) - size)
        return math.nan, 0.0 if possible else math.nan
    angles = window - since - (FIRST_ANGLE - 1)  # up to the last drop
    possible = angles - size * drops + max(0.0, since - size)
    return angles / drops, drops / possible


def report(runs: Runs, results: Path) -> None:
    """The table, and the rates over the epochs."""
    lines = [windowed_run(run) for run in runs.finished]
    path = results / "windowed.csv"
    write_csv(path, WindowedRun._fields, lines)
    write_provenance(path)
    print(f"table: {path}")
    rows = {line[:3]: run.rows for line, run in zip(lines, runs.finished, strict=True)}
    figures.save(rates_figure(rows), results / "windowed.png")


STUDY = Study(
    what="Does the angle of windowed AutoDrop know more than a clock?",
    workloads=("fashion_mnist_mlp", "digits_mlp"),
    seeds=(0, 1, 2, 3, 4),
    arms=arms,
    report=report,
)
