"""Is AutoDrop, not told the end, as good as linear decay that was?

The rules were written before the runs. Nobody picks seeds; no run is left out; nothing
is stopped early.

* What needs no horizon makes one run, which is evaluated at each of STOPS. Linear decay
  makes a run for each of HORIZONS, at the same rates.
* Rates are a factor of 2 apart, the same for all methods. Where a best rate lies at an
  end of its grid, the grid is widened once, for all. Schedule-free, whose best rates
  are far higher than the others', has more of its own: while the best at the full
  length is the highest, the next one is tried; the command is given again until then.
* What counts is what a person would use: the average, or the parameters, of the last
  step before the stop; with BatchNorm's statistics recomputed for an average.
* A method's own best rate is chosen without the run that it is judged by: for each seed
  the rate with the lowest mean error of the other seeds, at that stop, of those that
  were run at all rates. MORE_SEEDS are run at the rate that these choose for the full
  length. AutoDrop's error less linear decay's is taken seed by seed. Beside it stands
  each method's worst rate.
* OTHERS have one rate, chosen by the lowest error on a tenth of the training examples,
  held out, with another seed (`study anytime_rates`).
* EPOCHS' first two workloads are for choosing: settings of AutoDrop may be changed
  after a look at them (`study autodrop_parts`). The others were looked at once for the
  rule as it was, and once more to confirm its change.
* Since the first results were there: beside each method's own rate, the mean over the
  rates that all were run at, where the rate is a guess.
"""

import statistics
from pathlib import Path

from experiments.errors import choose
from experiments.report import held_out
from experiments.report.anytime import (
    HORIZONS,
    StoppedRun,
    own_rates_table,
    rates_table,
)
from experiments.report.anytime_figures import draw_figures
from experiments.report.csv_file import read_csv_if_any
from experiments.schedules import SCHEDULES
from experiments.schedules.schedule import Schedule
from experiments.schedules.schedule_free import ScheduleFreeAdamW
from experiments.studies.plan import Arm, FinishedRun
from experiments.studies.study import RESULTS, Runs, Study
from experiments.studies.tables import add_to_table
from experiments.task.config import RunConfig
from experiments.task.workloads import WORKLOADS

TABLE = "anytime.csv"
STOPS = (1 / 8, 1 / 4, 1 / 2, 1.0)  # of the workload's length here

# Passes over the training examples: a run takes about half a minute of one core.
EPOCHS = {
    "fashion_mnist_mlp": 24,
    "pydoc_transformer": 16,
    "diamonds_mlp": 80,
    "pronunciation_gru": 16,
    "digits_mlp": 64,
    "fashion_mnist_resnet": 16,
}
RATES: dict[str, tuple[float, ...]] = {
    "fashion_mnist_mlp": (0.0125, 0.025, 0.05, 0.1, 0.2),
    "pydoc_transformer": (0.0025, 0.005, 0.01, 0.02, 0.04),
    "diamonds_mlp": (0.025, 0.05, 0.1, 0.2, 0.4),
    # Widened at both ends.
    "pronunciation_gru": (0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128),
    "digits_mlp": (0.00625, 0.0125, 0.025, 0.05, 0.1, 0.2),  # widened below
    "fashion_mnist_resnet": (0.025, 0.05, 0.1, 0.2, 0.4, 0.8),  # widened above
}
# At all rates, in the order in which they are run; of each, where it is run to.
METHODS: dict[str, tuple[float, ...]] = {
    "autodrop": (1.0,),
    "linear_decay": HORIZONS,
    "inverse_sqrt_average": (1.0,),
    "constant_average": (1.0,),
    "schedule_free": (1.0,),  # SGD or AdamW, as the workload has it
}
MORE_SEEDS = (3, 4)
# At one rate each, in the order in which they are run. What must be told the end is run
# to the full length.
OTHERS = (
    "linear_decay_average",
    "cosine",
    "warmup_stable_decay_average",
    "distance",
    "multistep",
    "scaled_epoch_autodrop",
    "plateau",
    "sasa",
    "epoch_autodrop",
    "cosine_average",
    "warmup_stable_decay",
)
RATES_TABLE = "anytime_rates.csv"  # of OTHERS


def arms(workload: str) -> list[Arm]:
    """All methods at all rates; more seeds at the best; then the others at theirs."""
    best = best_rates(workload, RESULTS)
    others = held_out.best_rates(RESULTS / RATES_TABLE, workload)
    return [
        *(
            stopping(name, rate, length, ())
            for name, lengths in methods_of(workload).items()
            for rate in rates_of(name, workload, RESULTS)
            for length in lengths
        ),
        *(stopping(name, rate, 1.0, MORE_SEEDS) for name, rate in best.items()),
        *(stopping(name, others[name], 1.0, ()) for name in OTHERS if name in others),
    ]


def methods_of(workload: str) -> dict[str, tuple[float, ...]]:
    """METHODS by the names of their schedules."""
    free = "adamw" if WORKLOADS[workload].optimizer == "adamw" else "sgd"
    return {
        f"{name}_{free}" if name == "schedule_free" else name: lengths
        for name, lengths in METHODS.items()
    }


def rates_of(name: str, workload: str, results: Path) -> tuple[float, ...]:
    """The rates of one of METHODS.

    Args:
      name: of its schedule.
      workload: its name.
      results: where the table is, from which schedule-free's grid grows.
    """
    grid = choose(RATES, "workload of this study", workload)
    if not name.startswith("schedule_free"):
        return grid
    means = errors_by_rate(workload, results).get(name, {})
    rates = tuple(sorted({*grid, *means}))
    if set(rates) == set(means) and rate_of_lowest(means) == rates[-1]:
        return (*rates, 2 * rates[-1])
    return rates


def stopping(name: str, rate: float, length: float, seeds: tuple[int, ...]) -> Arm:
    """A method that is evaluated where one may stop.

    Args:
      name: of its schedule.
      rate: of its runs.
      length: where it is run to, as a part of the workload's length.
      seeds: its own; none: the study's.
    """
    schedule = schedule_of(name, rate)
    told = schedule.requires.total_steps
    held = 0.1 if schedule.requires.validation else 0.0
    return Arm(
        f"anytime-{name}-{rate:g}-{length:g}",
        RunConfig(schedule=schedule, learning_rate=rate, validation_fraction=held),
        length=length,
        stops=(1.0,) if told else STOPS,
        seeds=seeds,
    )


def schedule_of(name: str, rate: float) -> Schedule:
    """A schedule; one with a rate of its own in place of the recipe's gets it."""
    if name == "schedule_free_adamw":
        return ScheduleFreeAdamW(rate=rate)
    return SCHEDULES[name]()


def best_rates(workload: str, results: Path) -> dict[str, float]:
    """The best rate of each of METHODS that was run at all of its rates.

    Args:
      workload: its name; one without a table has none.
      results: where the table is.
    """
    return {
        name: rate_of_lowest(means)
        for name, means in errors_by_rate(workload, results).items()
        if set(means) == set(rates_of(name, workload, results))
    }


def errors_by_rate(workload: str, results: Path) -> dict[str, dict[float, float]]:
    """Mean errors at the full length, over the study's seeds, by method and rate."""
    errors: dict[str, dict[float, list[float]]] = {}
    for row in read_csv_if_any(results / TABLE, StoppedRun):
        here = (row.workload, row.horizon) == (workload, 1.0)
        if here and row.schedule in methods_of(workload) and row.seed in STUDY.seeds:
            cells = errors.setdefault(row.schedule, {})
            cells.setdefault(row.learning_rate, []).append(row.error)
    return {
        name: {rate: statistics.mean(found) for rate, found in cells.items()}
        for name, cells in errors.items()
    }


def rate_of_lowest(means: dict[float, float]) -> float:
    """The rate with the lowest error; of equal counts of wrong examples the lower."""
    return min(sorted(means), key=lambda rate: round(means[rate], 3))


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
    found: list[StoppedRun] = []
    for workload in runs.workloads:
        finished = runs.of(workload)
        full = max(run.config.epochs for run in finished)
        found += (row for run in finished for row in rows_of(run, full))
    path = results / TABLE
    rows = add_to_table(path, StoppedRun, found, runs, named_by=5, order=order)
    for workload in dict.fromkeys(row.workload for row in rows):
        print(f"\n{workload}: error in %\n")
        here = [row for row in rows if row.workload == workload]
        print(f"{rates_table(here)}\n\n{own_rates_table(here)}")
    draw_figures(rows, results)


def order(row: StoppedRun) -> tuple:
    """The order of the table: workloads and methods as they stand above."""
    methods = [*methods_of(row.workload), *OTHERS]
    return list(EPOCHS).index(row.workload), methods.index(row.schedule), *row[2:5]


STUDY = Study(
    what="Is AutoDrop, not told the end, as good as linear decay that is?",
    workloads=tuple(EPOCHS),
    seeds=(0, 1, 2),
    arms=arms,
    report=report,
    epochs=EPOCHS,
)
