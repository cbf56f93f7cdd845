"""What is each part of AutoDrop's rule worth?

The rules were written before the runs.

* Asked on the two workloads that are for choosing, at AutoDrop's best rate and at the
  highest. At the best rate it makes no drop: there only what changes the average, its
  angle, or makes drops sooner can matter; the rest is run at the highest rate alone.
* On every workload, at its highest rate: as many drops as AutoDrop made with another
  seed, the next one, spread evenly over the run. Does the angle know when?
* A setting's error less the default's is taken seed by seed, at each stop.
* A setting becomes the default if at no rate, of no workload, its mean error at a
  quarter, half or all of the run is above the default's by more than 0.1 points, and
  if on each workload there is a rate where at the full length a t test tells it apart
  as better. It is then confirmed on the other workloads, at their three highest rates.
* None was told apart, but four that drop SOONER gained in the mean on both workloads.
  So they have a second look, on MORE_SEEDS at the highest rate, which had no part in
  the first: one that is told apart as better on both is a candidate, and of several
  that with the largest gain. It becomes the default if over the other workloads' three
  highest rates it gains in the mean, and is told apart as worse at none.
"""

from collections.abc import Sequence
from pathlib import Path

from experiments.errors import choose
from experiments.report.anytime import StoppedRun
from experiments.report.autodrop_parts import (
    DEFAULT,
    FIRST_SEEDS,
    FIXED_TIMES,
    fixed_times_table,
    settings_table,
)
from experiments.report.csv_file import read_csv, write_csv
from experiments.run.environment import write_provenance
from experiments.schedules.autodrop import AutoDrop
from experiments.schedules.autodrop_variant import AutoDropVariant
from experiments.schedules.fixed_drops import FixedDrops
from experiments.studies import anytime
from experiments.studies.plan import Arm
from experiments.studies.study import RESULTS, Runs, Study
from experiments.task.config import RunConfig

TABLE = "autodrop_parts.csv"
CHOOSING = tuple(anytime.EPOCHS)[:2]
# With or without a drop.
SETTINGS: dict[str, AutoDrop] = {
    "power 3": AutoDrop(power=3),
    "power 16": AutoDrop(power=16),
    "ratio 1.25": AutoDrop(ratio=1.25),
    "ratio 2": AutoDrop(ratio=2),
    "patience 1": AutoDrop(patience=1),
}
# Without a drop the same as the default.
DROP_SETTINGS: dict[str, AutoDrop] = {
    "patience 3": AutoDrop(patience=3),
    "mark 90": AutoDrop(max_angle=90),
    "factor 0.2": AutoDrop(drop_factor=0.2),
    "no guard": AutoDropVariant(guard=False),
    "average restarted": AutoDropVariant(average_at_drop="restarted"),
    "average kept": AutoDropVariant(average_at_drop="kept"),
}
SOONER = ("power 16", "ratio 1.25", "patience 1", "factor 0.2")
MORE_SEEDS = (3, 4, 5, 6, 7)
# Of the three that the second look told apart as better on both, the largest gain.
CANDIDATE = "ratio 1.25"


def arms(workload: str) -> list[Arm]:
    """The default and every setting where it can matter."""
    rates = choose(anytime.RATES, "workload of this study", workload)
    highest = rates[-1]
    settings: dict[float, dict[str, AutoDrop]] = {highest: {}}
    if workload in CHOOSING:
        best = anytime.best_rates(workload, RESULTS).get(DEFAULT, rates[0])
        settings = {best: SETTINGS} | {highest: SETTINGS | DROP_SETTINGS}
    return [
        # Arms of the study of stops, whose runs are shared.
        *(
            anytime.stopping(DEFAULT, rate, 1.0, ())
            for rate in settings
            if workload in CHOOSING
        ),
        *(
            setting_arm(name, schedule, rate)
            for rate, there in settings.items()
            for name, schedule in there.items()
        ),
        *(
            setting_arm(FIXED_TIMES, FixedDrops(milestones=times), highest, seeds)
            for times, seeds in fixed_times(workload, highest).items()
        ),
        *(more_seeds(highest) if workload in CHOOSING else confirming(rates[-3:])),
    ]


def more_seeds(rate: float) -> list[Arm]:
    """The default and what drops sooner, of the seeds of the second look."""
    return [
        anytime.stopping(DEFAULT, rate, 1.0, MORE_SEEDS),
        *(
            setting_arm(name, (SETTINGS | DROP_SETTINGS)[name], rate)._replace(
                seeds=MORE_SEEDS
            )
            for name in SOONER
        ),
    ]


def confirming(rates: Sequence[float]) -> list[Arm]:
    """The default and the candidate."""
    return [
        found
        for rate in rates
        for found in (
            anytime.stopping(DEFAULT, rate, 1.0, ()),
            setting_arm(CANDIDATE, SETTINGS[CANDIDATE], rate),
        )
    ]


def setting_arm(
    name: str, schedule: AutoDrop, rate: float, seeds: tuple[int, ...] = ()
) -> Arm:
    """A setting at a rate, evaluated at each stop; of some seeds, or the study's."""
    label = f"autodrop_parts-{name.replace(' ', '_')}-{rate:g}"
    return Arm(
        "-".join([label, *map(str, seeds)]),
        RunConfig(schedule=schedule, learning_rate=rate),
        stops=anytime.STOPS,
        seeds=seeds,
    )


def fixed_times(workload: str, rate: float) -> dict[tuple[float, ...], tuple[int, ...]]:
    """When to drop as often as AutoDrop did with the next seed, and with which seeds.

    Args:
      workload: its name.
      rate: of the runs in the table of the study of stops; none are there, no times.

    Returns:
      Seeds by fractions of the run.
    """
    path = RESULTS / anytime.TABLE
    drops = {
        row.seed: row.drops
        for row in (read_csv(path, StoppedRun) if path.exists() else [])
        if row[:3] == (workload, DEFAULT, rate) and row.horizon == 1
    }
    found: dict[tuple[float, ...], tuple[int, ...]] = {}
    for seed in STUDY.seeds:
        count = drops.get((seed + 1) % len(STUDY.seeds))
        if count is not None:
            times = tuple(i / (count + 1) for i in range(1, count + 1))
            found[times] = (*found.get(times, ()), seed)
    return found


def report(runs: Runs, results: Path) -> None:
    """Adds the runs to the table and prints what each setting changes."""
    path = results / TABLE
    there = read_csv(path, StoppedRun) if path.exists() else []
    rows = {row[:5]: row for row in there}
    for run in runs.finished:
        for row in anytime.rows_of(run, STUDY.epochs[run.config.workload]):
            row = row._replace(schedule=setting_of(run.label))
            rows[row[:5]] = row
    order = [DEFAULT, *SETTINGS, *DROP_SETTINGS, FIXED_TIMES]
    lines = sorted(
        rows.values(), key=lambda row: (row[0], order.index(row[1]), *row[2:])
    )
    write_csv(path, StoppedRun._fields, lines)
    write_provenance(path, parts=runs.workloads)
    print(f"table: {path}\n\n{settings_table(lines)}\n\n{fixed_times_table(lines)}")


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
