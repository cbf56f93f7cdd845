"""What does the length of windowed AutoDrop's windows do?"""

from pathlib import Path

from experiments.report.csv_file import write_csv
from experiments.report.windowed import WindowedRun
from experiments.run.environment import write_provenance
from experiments.studies.plan import Arm, arm, at_own_rate
from experiments.studies.study import Runs, Study
from experiments.studies.windowed import windowed_run

WINDOW_STEPS = (1, 4, 8, 16, 32)  # beside 2, the rule's, and 64, the paper's


def arms(workload: str) -> list[Arm]:
    """Windows shorter and longer than the rule's."""
    name = "windowed_autodrop"
    return [
        at_own_rate(arm(name, f"{name}_{k}", schedule__window_steps=k), workload)
        for k in WINDOW_STEPS
    ]


def report(runs: Runs, results: Path) -> None:
    """The table."""
    path = results / "window_steps.csv"
    write_csv(path, WindowedRun._fields, map(windowed_run, runs.finished))
    write_provenance(path)
    print(f"table: {path}")


STUDY = Study(
    what="What does the length of windowed AutoDrop's windows do?",
    workloads=("digits_mlp",),
    seeds=(0, 1, 2),
    arms=arms,
    report=report,
)
