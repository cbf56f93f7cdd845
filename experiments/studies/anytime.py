"""Is AutoDrop, told nothing, as good as linear decay that was told the end?

The rules were written before the runs. Nobody picks seeds; no run is left out; nothing
is stopped early.

* What needs no horizon makes one run, which is evaluated at each of STOPS. Linear decay
  makes a run for each of HORIZONS, at the same rates.
* Rates are a factor of 2 apart, the same for all methods. Where a best rate lies at an
  end of its grid, the grid is widened, for all.
* What counts is what a person would use: the average, or the parameters, of the last
  step before the stop; with BatchNorm's statistics recomputed for an average.
* A method's own best rate is chosen without the run that it is judged by: for each seed
  the rate with the lowest mean error of the other seeds, at that stop. AutoDrop's error
  less linear decay's is taken seed by seed. Beside it stands each method's worst rate.
* WORKLOADS' first two are for choosing: settings of AutoDrop may be changed after a
  look at them. The others are looked at once.
"""

from pathlib import Path

from experiments.report import figures
from experiments.report.anytime import (
    StoppedRun,
    own_rates_table,
    rates_figure,
    rates_table,
    times_figure,
)
from experiments.report.csv_file import read_csv, write_csv
from experiments.run.environment import write_provenance
from experiments.schedules import SCHEDULES
from experiments.studies.plan import Arm, FinishedRun
from experiments.studies.study import Runs, Study
from experiments.task.config import RunConfig

TABLE = "anytime.csv"
STOPS = (1 / 8, 1 / 4, 1 / 2, 1.0)  # of the workload's length here
HORIZONS = (1 / 4, 1 / 2, 1.0)  # of a schedule that must be told the end

# Passes over the training examples: a run takes about half a minute of one core.
EPOCHS = {
    "fashion_mnist_mlp": 24,
    "pydoc_transformer": 16,
    "diamonds_mlp": 80,
    "pronunciation_gru": 16,
    "digits_mlp": 64,
    "fashion_mnist_resnet": 16,
}
RATES = {
    "fashion_mnist_mlp": (0.0125, 0.025, 0.05, 0.1, 0.2),
    "pydoc_transformer": (0.0025, 0.005, 0.01, 0.02, 0.04),
    "diamonds_mlp": (0.025, 0.05, 0.1, 0.2, 0.4),
    "pronunciation_gru": (0.004, 0.008, 0.016, 0.032, 0.064),
    "digits_mlp": (0.0125, 0.025, 0.05, 0.1, 0.2),
    "fashion_mnist_resnet": (0.025, 0.05, 0.1, 0.2, 0.4),
}
# In the order in which they are run: those that matter most come first. Of each, where
# it is run to.
METHODS: dict[str, tuple[float, ...]] = {
    "autodrop": (1.0,),
    "linear_decay": HORIZONS,
    "inverse_sqrt_average": (1.0,),
    "constant_average": (1.0,),
}


def arms(workload: str) -> list[Arm]:
    """Every method at every rate, to every horizon."""
    return [
        Arm(
            f"anytime-{name}-{'own' if rate is None else f'{rate:g}'}-{length:g}",
            RunConfig(schedule=SCHEDULES[name](), learning_rate=rate),
            length=length,
            stops=STOPS if lengths == (1.0,) else (1.0,),
        )
        for name, lengths in METHODS.items()
        for rate in RATES.get(workload, (None,))
        for length in lengths
    ]


def rows_of(run: FinishedRun, full: int) -> list[StoppedRun]:
    """The stops of a run.

    Args:
      run: the finished one.
      full: epochs of the workload's length.
    """
    config = run.config
    return [
        StoppedRun(
            workload=config.workload,
            schedule=config.schedule_name,
            learning_rate=config.recipe(0).learning_rate,
            seed=config.seed,
            horizon=row["epoch"] / full,
            error=row["test_error"],
            loss=row["test_loss"],
            drops=int(row.get("num_drops", 0)),
        )
        for row in run.rows
        if config.evaluates(int(row["epoch"]))
    ]


def report(runs: Runs, results: Path) -> None:
    """Adds the runs to the table, prints what it says, draws the figures."""
    path = results / TABLE
    found = {}
    for workload in runs.workloads:
        finished = runs.of(workload)
        full = max(run.config.epochs for run in finished)
        for row in (row for run in finished for row in rows_of(run, full)):
            found[row[:5]] = row
    there = {r[:5]: r for r in read_csv(path, StoppedRun)} if path.exists() else {}
    rows = sorted((there | found).values(), key=order)
    write_csv(path, StoppedRun._fields, rows)
    write_provenance(path, parts=runs.workloads)
    print(f"table: {path}")
    for workload in dict.fromkeys(row.workload for row in rows):
        print(f"\n{workload}: error in %\n")
        here = [row for row in rows if row.workload == workload]
        print(f"{rates_table(here)}\n\n{own_rates_table(here)}")
    figures.save(times_figure(rows), results / "anytime.png")
    figures.save(rates_figure(rows), results / "anytime_rates.png")


def order(row: StoppedRun) -> tuple:
    """The order of the table: workloads and methods as they stand above."""
    workloads, methods = list(EPOCHS), list(METHODS)
    return workloads.index(row.workload), methods.index(row.schedule), *row[2:5]


STUDY = Study(
    what="Is AutoDrop, told nothing, as good as linear decay told the end?",
    workloads=tuple(EPOCHS),
    seeds=(0, 1, 2),
    arms=arms,
    report=report,
    epochs=EPOCHS,
)
