"""What is each part of AutoDrop's rule worth?

The rules were written before the runs. They are about the rule as it was, with checks
half as far apart again as the ones before (BASE, a ratio of 1.5).

* Asked on the two workloads that are for choosing, at the rule's best rate and at the
  highest. At the best rate it makes no drop: there only what changes the average, its
  angle, or makes drops sooner can matter; the rest is run at the highest rate alone.
* A setting's error less that of the rule as it was is taken seed by seed, at each stop.
* A setting becomes the default if at no rate, of no workload, its mean error at a
  quarter, half or all of the run is above that by more than 0.1 points, and if on each
  workload there is a rate where at the full length a t test tells it apart as better.
* None was told apart, but four that drop SOONER gained in the mean on both workloads.
  So they have a second look, on MORE_SEEDS at the highest rate, which had no part in
  the first: one that is told apart as better on both is a candidate, and of several
  that with the largest gain. It becomes the default if over the other workloads' three
  highest rates it gains in the mean, and is told apart as worse at none.
* Three were; a ratio of 1.25 gained most, and in the third look the mean of all. It is
  the default now, and its runs are those of the study of stops. What the change does at
  all rates is shown beside it.
* On every workload, at its highest rate: as many drops as the new default made with
  another seed, the next one, spread evenly over the run. Does the angle know when?
"""

from pathlib import Path

from experiments.errors import choose
from experiments.report.anytime import StoppedRun
from experiments.report.autodrop_parts import (
    BASE,
    DEFAULT,
    FIRST_SEEDS,
    FIXED_TIMES,
    change_table,
    pair_table,
    rows_of_look,
    settings_table,
)
from experiments.report.csv_file import read_csv_if_any
from experiments.schedules.autodrop import AutoDrop
from experiments.schedules.autodrop_variant import AutoDropVariant
from experiments.schedules.fixed_drops import FixedDrops
from experiments.studies import anytime
from experiments.studies.plan import Arm
from experiments.studies.study import RESULTS, Runs, Study
from experiments.studies.tables import add_to_table
from experiments.task.config import RunConfig

TABLE = "autodrop_parts.csv"
CHOOSING = tuple(anytime.EPOCHS)[:2]
BASE_RATIO = 1.5
# With or without a drop.
SETTINGS: dict[str, AutoDrop] = {
    "power 3": AutoDrop(ratio=BASE_RATIO, power=3),
    "power 16": AutoDrop(ratio=BASE_RATIO, power=16),
    DEFAULT: AutoDrop(),
    "ratio 2": AutoDrop(ratio=2),
    "patience 1": AutoDrop(ratio=BASE_RATIO, patience=1),
}
# Without a drop the same as the rule as it was.
DROP_SETTINGS: dict[str, AutoDrop] = {
    "patience 3": AutoDrop(ratio=BASE_RATIO, patience=3),
    "mark 90": AutoDrop(ratio=BASE_RATIO, max_angle=90),
    "factor 0.2": AutoDrop(ratio=BASE_RATIO, drop_factor=0.2),
    "no guard": AutoDropVariant(ratio=BASE_RATIO, guard=False),
    "average restarted": AutoDropVariant(ratio=BASE_RATIO, average_at_drop="restarted"),
    "average kept": AutoDropVariant(ratio=BASE_RATIO, average_at_drop="kept"),
}
ALL = {BASE: AutoDrop(ratio=BASE_RATIO)} | SETTINGS | DROP_SETTINGS
SOONER = ("power 16", DEFAULT, "patience 1", "factor 0.2")
MORE_SEEDS = (3, 4, 5, 6, 7)
# The grids of the study of stops when this was asked.
RATES = anytime.RATES | {"pronunciation_gru": (0.004, 0.008, 0.016, 0.032, 0.064)}
# The rule's best rates on the workloads for choosing, before the first look.
BASE_BEST_RATES = {"fashion_mnist_mlp": 0.025, "pydoc_transformer": 0.005}


def arms(workload: str) -> list[Arm]:
    """The rule as it was and every setting where it can matter; fixed times."""
    rates = choose(RATES, "workload of this study", workload)
    highest = rates[-1]
    cases = [(name, rate, FIRST_SEEDS) for rate in rates for name in (BASE, DEFAULT)]
    if workload in CHOOSING:
        cases += [(name, BASE_BEST_RATES[workload], FIRST_SEEDS) for name in SETTINGS]
        cases += [(name, highest, FIRST_SEEDS) for name in ALL]
        cases += [(name, highest, MORE_SEEDS) for name in (BASE, *SOONER)]
    return [
        *(setting_arm(*case) for case in dict.fromkeys(cases)),
        *(
            fixed_times_arm(times, highest, seeds)
            for times, seeds in fixed_times(workload, highest).items()
        ),
    ]


def setting_arm(name: str, rate: float, seeds: tuple[int, ...]) -> Arm:
    """A setting of ALL at a rate, evaluated at each stop."""
    if name == DEFAULT:  # an arm of the study of stops, whose runs are shared
        return anytime.stopping(DEFAULT, rate, 1.0, seeds)
    return Arm(
        f"autodrop_parts-{name.replace(' ', '_')}-{rate:g}",
        RunConfig(schedule=ALL[name], learning_rate=rate),
        stops=anytime.STOPS,
        seeds=seeds,
    )


def fixed_times_arm(
    times: tuple[float, ...], rate: float, seeds: tuple[int, ...]
) -> Arm:
    """Drops at fractions of the run, with some seeds."""
    name = FIXED_TIMES.replace(" ", "_")
    return Arm(
        "-".join([f"autodrop_parts-{name}-{rate:g}", *map(str, seeds)]),
        RunConfig(schedule=FixedDrops(milestones=times), learning_rate=rate),
        stops=anytime.STOPS,
        seeds=seeds,
    )


def fixed_times(workload: str, rate: float) -> dict[tuple[float, ...], tuple[int, ...]]:
    """When to drop as often as AutoDrop did with the next seed, and with which seeds.

    Args:
      workload: its name.
      rate: of the runs in this study's table; none are there, no times.

    Returns:
      Seeds by fractions of the run.
    """
    drops = {
        row.seed: row.drops
        for row in read_csv_if_any(RESULTS / TABLE, StoppedRun)
        if row[:3] == (workload, DEFAULT, rate) and row.horizon == 1
    }
    found: dict[tuple[float, ...], tuple[int, ...]] = {}
    for seed in FIRST_SEEDS:
        count = drops.get((seed + 1) % len(FIRST_SEEDS))
        if count is not None:
            times = tuple(i / (count + 1) for i in range(1, count + 1))
            found[times] = (*found.get(times, ()), seed)
    return found


def report(runs: Runs, results: Path) -> None:
    """Adds the runs to the table and prints what each setting changes."""
    settings = [*ALL, FIXED_TIMES]
    lines = add_to_table(
        results / TABLE,
        StoppedRun,
        [
            row._replace(schedule=setting_of(run.label))
            for run in runs.finished
            for row in anytime.rows_of(run, run.config.epochs)
        ],
        runs,
        named_by=5,
        order=lambda row: (row[0], settings.index(row[1]), *row[2:]),
    )
    for look in ("first", "second"):
        print(f"\n{settings_table(rows_of_look(lines, look))}")
    print(f"\n{pair_table(rows_of_look(lines, 'third'), BASE, DEFAULT)}")
    print(f"\n{change_table(lines)}")
    print(f"\n{pair_table(lines, DEFAULT, FIXED_TIMES)}")


def setting_of(label: str) -> str:
    """The name of a setting, from the label of its arm."""
    study, name, *_ = label.split("-")
    return name.replace("_", " ") if study == "autodrop_parts" else DEFAULT


STUDY = Study(
    what="What is each part of AutoDrop's rule worth?",
    workloads=tuple(anytime.EPOCHS),
    seeds=FIRST_SEEDS,
    arms=arms,
    report=report,
    epochs=anytime.EPOCHS,
)
