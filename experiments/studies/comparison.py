"""How good is a schedule for what you have to know in advance?"""

from pathlib import Path

from experiments.report import figures
from experiments.report.comparison import TARGET, ComparedRun, by_schedule
from experiments.report.csv_file import read_csv_if_any
from experiments.report.requirements import requirements_figure
from experiments.studies.plan import Arm, arm
from experiments.studies.refinement import refined_arm
from experiments.studies.schedules import FIRST
from experiments.studies.study import Runs, Study
from experiments.studies.tables import write_tables
from experiments.task.workloads import WORKLOADS

TEXT = "pydoc_transformer"
NAME = "{workload}_comparison"  # of the tables
RIVALS = (
    "hypergradient_times",
    "pflug",
    "distance",
    "sasa",
    "sasa_halves",
    "abel",
    "prodigy",
    "dadapt_adamw",
    "dog",
    "dowg",
    "mechanic",
    "momo",
    "cocob",
)


def arms(workload: str) -> list[Arm]:
    """What a person could take, each as its authors have it."""
    free = ["schedule_free_adamw"]
    if WORKLOADS[workload].optimizer != "adamw":
        free.insert(0, "schedule_free_sgd")
    presets = (
        "constant",
        "paper_autodrop",
        "scaled_epoch_autodrop",
        "windowed_autodrop",
        "multistep",
        "linear_decay",
        "cosine",
        "plateau",
        "multistep_held_out",
        "hypergradient",
        *free,
        *RIVALS,  # their rate is the tuned one, or they have none
    )
    return [*(arm(name) for name in presets), refined_arm("linear_decay")]


def report(runs: Runs, results: Path) -> None:
    """The tables, and error against what had to be known on all workloads there are."""
    write_tables(runs, results, NAME)
    tables, schedules = {}, {}
    for workload in dict.fromkeys((FIRST, TEXT, *runs.workloads)):
        path = results / f"{NAME.format(workload=workload)}.csv"
        known = {x.label: x.config.schedule_name for x in arms(workload)}
        compared = read_csv_if_any(path, ComparedRun)
        # A table that stays as it is may have arms of other days.
        groups = by_schedule(compared)
        if groups and set(groups) <= set(known):
            tables[workload] = {
                name: [run.final_error for run in runs] for name, runs in groups.items()
            }
            schedules |= known
    if tables:
        figure = requirements_figure(tables, schedules, TARGET)
        figures.save(figure, results / "comparison_needs.png")


STUDY = Study(
    what="How good is a schedule for what you have to know in advance?",
    workloads=(FIRST, TEXT),
    seeds=(0, 1, 2, 3, 4),
    arms=arms,
    report=report,
)
