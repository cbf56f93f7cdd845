"""Which rate suits each further method of the study of stops, on examples held out?

The rules were written before the runs. Runs are half as long as the workload's, and
what must be told the end is told that. Tried are linear decay's best rate of the study
of stops and those a factor of 2 beside it, then those beside the method's own best,
until both are there: the command is given again while it finds more to run.
"""

from pathlib import Path

from experiments.errors import choose
from experiments.report import held_out
from experiments.report.held_out import HeldOutRun
from experiments.studies import anytime
from experiments.studies.plan import Arm
from experiments.studies.study import RESULTS, Runs, Study
from experiments.studies.tables import add_to_table
from experiments.task.config import RunConfig


def arms(workload: str) -> list[Arm]:
    """The methods at the rates to try so far, without a tenth held out."""
    grid = choose(anytime.RATES, "workload of this study", workload)
    first = anytime.best_rates(workload, RESULTS).get("linear_decay", grid[2])
    own = held_out.best_rates(RESULTS / anytime.RATES_TABLE, workload)
    return [
        Arm(
            f"anytime_rates-{name}-{rate:g}",
            RunConfig(
                schedule=anytime.schedule_of(name, rate),
                learning_rate=rate,
                validation_fraction=0.1,
                evaluate_at=(),
            ),
            length=0.5,
        )
        for name in anytime.OTHERS
        for rate in sorted({*around(first), *around(own.get(name, first))})
    ]


def around(rate: float) -> tuple[float, float, float]:
    """A rate and those a factor of 2 beside it."""
    return rate / 2, rate, 2 * rate


def report(runs: Runs, results: Path) -> None:
    """Adds the errors to the table."""
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
    add_to_table(results / anytime.RATES_TABLE, HeldOutRun, found, runs, named_by=4)


STUDY = Study(
    what="Which rate suits each further method of the study of stops?",
    workloads=tuple(anytime.EPOCHS),
    seeds=(100,),
    arms=arms,
    report=report,
    epochs=anytime.EPOCHS,
)
