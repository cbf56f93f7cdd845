"""Table 1: is AutoDrop as good as multi-step, at which drop factor?"""

from pathlib import Path

from experiments.report.statistics import mean_sd
from experiments.report.tables import markdown_table
from experiments.studies.papers import (
    SEEDS,
    TABLE_1,
    errors_of,
    final_error,
    sensitivity_preset,
)
from experiments.studies.plan import Arm, arm
from experiments.studies.study import Runs, Study
from experiments.studies.tables import write_tables
from experiments.task.workloads import WORKLOADS

DROP_FACTORS = (0.1, 0.2, 0.5)


def arms(workload: str) -> list[Arm]:
    """Multi-step, and AutoDrop with each drop factor."""
    own = WORKLOADS[workload].drop_factor
    factors = (own,) if workload.startswith("imagenet") else DROP_FACTORS
    preset = sensitivity_preset(workload)
    varied = (preset,) if workload in TABLE_1 else (preset, "multistep")
    arms = [arm("multistep")]
    for factor in factors:
        if factor == own:
            arms.append(arm(preset))
            continue
        for name in varied:
            label = f"{name}_drop{factor:g}"
            arms.append(arm(name, label, schedule__drop_factor=factor))
    return arms


def report(runs: Runs, results: Path) -> None:
    """The error after the last epoch beside the paper's."""
    lines = []
    for workload in runs.workloads:
        published = TABLE_1.get(workload, {})
        own = WORKLOADS[workload].drop_factor
        for label, errors in errors_of(runs, workload, final_error).items():
            name, _, factor = label.partition("_drop")
            key = "multistep" if name == "multistep" else f"autodrop_{factor or own}"
            there = published.get(key, "") if name != "scaled_epoch_autodrop" else ""
            factor = factor or f"{own:g}"
            lines.append((workload, f"`{name}`", factor, mean_sd(errors), there))
    header = ("workload", "schedule", "drop factor", "final error in %", "paper")
    print(markdown_table(header, lines))
    write_tables(runs, results, "{workload}_drop_factor")


STUDY = Study(
    what="Table 1: is AutoDrop as good as multi-step, at which drop factor?",
    workloads=tuple(TABLE_1),
    seeds=SEEDS,
    arms=arms,
    report=report,
)
