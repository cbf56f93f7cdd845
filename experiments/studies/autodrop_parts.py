"""What is each part of AutoDrop's rule worth?

The rules were written before the runs.

* Asked on the two workloads that are for choosing, at AutoDrop's best rate and at the
  highest. At the best rate it makes no drop: there only what changes the average, its
  angle, or makes drops sooner can matter; the rest is run at the highest rate alone.
* A setting's error less the default's is taken seed by seed, at each stop.
* A setting becomes the default if at no rate, of no workload, its mean error at a
  quarter, half or all of the run is above the default's by more than 0.1 points, and
  if on each workload there is a rate where at the full length a t test tells it apart
  as better. It is then confirmed on the other workloads, at their three highest rates.
"""

from pathlib import Path

from experiments.report.anytime import StoppedRun
from experiments.report.autodrop_parts import settings_table
from experiments.report.csv_file import read_csv, write_csv
from experiments.run.environment import write_provenance
from experiments.schedules.autodrop import AutoDrop
from experiments.schedules.autodrop_variant import AutoDropVariant
from experiments.studies import anytime
from experiments.studies.plan import Arm
from experiments.studies.study import RESULTS, Runs, Study
from experiments.task.config import RunConfig

TABLE = "autodrop_parts.csv"
DEFAULT = "autodrop"  # the arms of the study of stops, whose runs are shared
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


def arms(workload: str) -> list[Arm]:
    """The default and every setting where it can matter."""
    rates = anytime.RATES.get(workload, (None,))
    best = anytime.best_rates(workload, RESULTS).get(DEFAULT, rates[0])
    settings = {best: SETTINGS} | {rates[-1]: SETTINGS | DROP_SETTINGS}
    default = [anytime.stopping(DEFAULT, rate, 1.0, ()) for rate in settings]
    return default + [
        Arm(
            f"autodrop_parts-{name.replace(' ', '_')}-{anytime.label_of(rate)}",
            RunConfig(schedule=schedule, learning_rate=rate),
            stops=anytime.STOPS,
        )
        for rate, there in settings.items()
        for name, schedule in there.items()
    ]


def report(runs: Runs, results: Path) -> None:
    """Adds the runs to the table and prints what each setting changes."""
    path = results / TABLE
    there = read_csv(path, StoppedRun) if path.exists() else []
    rows = {row[:5]: row for row in there}
    for run in runs.finished:
        for row in anytime.rows_of(run, STUDY.epochs[run.config.workload]):
            row = row._replace(schedule=setting_of(run.label))
            rows[row[:5]] = row
    order = [DEFAULT, *SETTINGS, *DROP_SETTINGS]
    lines = sorted(
        rows.values(), key=lambda row: (row[0], order.index(row[1]), *row[2:])
    )
    write_csv(path, StoppedRun._fields, lines)
    write_provenance(path, parts=runs.workloads)
    print(f"table: {path}\n\n{settings_table(lines)}")


def setting_of(label: str) -> str:
    """The name of a setting, from the label of its arm."""
    study, name, *_ = label.split("-")
    return name.replace("_", " ") if study == "autodrop_parts" else DEFAULT


STUDY = Study(
    what="What is each part of AutoDrop's rule worth?",
    workloads=CHOOSING,
    seeds=(0, 1, 2),
    arms=arms,
    report=report,
    epochs=anytime.EPOCHS,
)
