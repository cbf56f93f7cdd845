"""Which rate suits each further method of the study of stops, on examples held out?"""

from pathlib import Path

from experiments.report.csv_file import read_csv, write_csv
from experiments.report.held_out import HeldOutRun
from experiments.run.environment import write_provenance
from experiments.studies import anytime
from experiments.studies.plan import Arm
from experiments.studies.study import Runs, Study
from experiments.task.config import RunConfig


def arms(workload: str) -> list[Arm]:
    """The methods at all rates, to the full length, without a tenth held out."""
    return [
        Arm(
            f"anytime_rates-{name}-{anytime.label_of(rate)}",
            RunConfig(
                schedule=anytime.schedule_of(name, rate),
                learning_rate=rate,
                validation_fraction=0.1,
                evaluate_at=(),
            ),
        )
        for name in anytime.other_methods(workload)
        for rate in anytime.RATES.get(workload, (None,))
    ]


def report(runs: Runs, results: Path) -> None:
    """Adds the errors to the table."""
    path = results / anytime.RATES_TABLE
    there = read_csv(path, HeldOutRun) if path.exists() else []
    found = [
        HeldOutRun(
            run.config.workload,
            run.config.schedule_name,
            run.config.recipe(0).learning_rate,
            run.config.seed,
            run.rows[-1]["validation_error"],
        )
        for run in runs.finished
    ]
    rows = {row[:4]: row for row in (*there, *found)}
    write_csv(path, HeldOutRun._fields, sorted(rows.values()))
    write_provenance(path, parts=runs.workloads)
    print(f"table: {path}")


STUDY = Study(
    what="Which rate suits each further method of the study of stops?",
    workloads=tuple(anytime.EPOCHS),
    seeds=(100,),
    arms=arms,
    report=report,
    epochs=anytime.EPOCHS,
)
