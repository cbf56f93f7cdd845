"""AutoDrop beside what a person would take instead, and beside what each must know."""

from pathlib import Path

from experiments.report import figures
from experiments.report.rows import by_schedule, read_rows
from experiments.studies.equal_terms import FIRST, write_evidence
from experiments.studies.needs_figure import draw
from experiments.studies.refined_figure import draw_refined
from experiments.studies.study import Arm, Runs, Study, arm
from experiments.task.workloads import WORKLOADS

TEXT = "pydoc_transformer"
COMPARED = "{workload}_comparison"  # its tables
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


def refined_arm(preset: str) -> Arm:
    """The schedule refined by the norms of a run of a preset."""
    first = arm(preset, f"{preset}_recorded", record_gradient_norms=True)
    return arm("refined", f"refined_{preset}")._replace(first=first)


def refinement_arms(workload: str) -> list[Arm]:
    """Refinement from either side, and AutoDrop on top of linear decay."""
    del workload
    return [
        arm("multistep"),
        arm("linear_decay"),
        arm("scaled_epoch_autodrop"),
        refined_arm("linear_decay"),
        refined_arm("scaled_epoch_autodrop"),
        arm("epoch_autodrop_linear_decay"),
    ]


def comparison_arms(workload: str) -> list[Arm]:
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
    )
    return [
        *(arm(name) for name in presets),
        # Their rate is the tuned one, or they have none.
        *(arm(name) for name in RIVALS),
        refined_arm("linear_decay"),
    ]


def report_refinement(runs: Runs, results: Path) -> None:
    """The tables, and what was recorded and what was made of it."""
    name = "{workload}_refinement"
    write_evidence(runs, results, name)
    for workload in runs.workloads:
        finished = runs.of(workload)
        if any(done.job.first for done in finished):
            path = results / f"{name.format(workload=workload)}.png"
            figures.save(draw_refined(finished, workload), path)
            print(f"figure: {path}")


def report_comparison(runs: Runs, results: Path) -> None:
    """The tables, and error against what had to be known on all workloads there are."""
    write_evidence(runs, results, COMPARED)
    tables, schedules = {}, {}
    for workload in dict.fromkeys((FIRST, TEXT, *runs.workloads)):
        path = results / f"{COMPARED.format(workload=workload)}.csv"
        arms = {x.label: x.config.schedule_name for x in comparison_arms(workload)}
        rows = read_rows(path) if path.exists() else []
        # A table that stays as it is may have arms of other days.
        if rows and set(by_schedule(rows)) <= set(arms):
            tables[workload] = rows
            schedules |= arms
    if tables:
        path = results / "comparison_needs.png"
        figures.save(draw(tables, schedules), path)
        print(f"figure: {path}")


COMPARISON = {
    "refinement": Study(
        what="Does a first run's record refine linear decay, with AutoDrop or without?",
        workloads=(FIRST, TEXT),
        seeds=(0, 1, 2, 3, 4),
        arms=refinement_arms,
        report=report_refinement,
    ),
    "comparison": Study(
        what="How good is a schedule for what you have to know in advance?",
        workloads=(FIRST, TEXT),
        seeds=(0, 1, 2, 3, 4),
        arms=comparison_arms,
        report=report_comparison,
    ),
}
