"""AutoDrop beside what a person would take instead, and beside what each must know."""

import statistics
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from autodrop_optax.plot import COLORS
from experiments import figures
from experiments.rivals.rules import LEVELS, RULES
from experiments.schedules.rivals import RIVALS
from experiments.studies.evidence import FIRST, write_evidence
from experiments.studies.rows import TARGET, EvidenceRow, by_schedule, read_rows
from experiments.studies.study import Arm, Runs, Study, arm
from experiments.workloads import WORKLOADS

TEXT = "pydoc_transformer"
# The figure ends where the error is so many times that of multi-step; what is beyond
# stands at the edge with its number.
EDGE = 1.6


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
        arm("scaled_autodrop"),
        refined_arm("linear_decay"),
        refined_arm("scaled_autodrop"),
        arm("autodrop_linear_decay"),
    ]


def comparison_arms(workload: str) -> list[Arm]:
    """What a person could take, each as its authors have it."""
    free = ["schedule_free_adamw"]
    if WORKLOADS[workload].optimizer != "adamw":
        free.insert(0, "schedule_free_sgd")
    presets = (
        "constant",
        "paper_autodrop",
        "scaled_autodrop",
        "windowed_autodrop",
        "multistep",
        "linear_decay",
        "cosine",
        "plateau",
        "hypergradient",
        *free,
    )
    return [
        *(arm(name) for name in presets),
        # Their rate is the tuned one, or they have none.
        *(arm("constant", name, schedule=name) for name in RIVALS),
        refined_arm("linear_decay"),
    ]


def report_refinement(runs: Runs, results: Path) -> None:
    """The tables."""
    write_evidence(runs, results, "{workload}_refinement")


def report_comparison(runs: Runs, results: Path) -> None:
    """The tables, and error against what had to be known."""
    write_evidence(runs, results, "{workload}_comparison")
    for workload in runs.workloads:
        path = results / f"{workload}_comparison.csv"
        if not path.exists():
            continue
        schedules = {d.job.preset: d.job.config.schedule for d in runs.of(workload)}
        figure = draw(read_rows(path), schedules, workload)
        figures.save(figure, path.with_suffix(".png"))
        print(f"figure: {path.with_suffix('.png')}")


def draw(rows: list[EvidenceRow], schedules: dict[str, str], workload: str) -> Figure:
    """Error against what had to be known, a panel for each level.

    Args:
      rows: of the runs, multi-step's among them.
      schedules: of each arm, the name in RULES.
      workload: for the title.

    Returns:
      The figure: mean and standard deviation over the seeds.
    """
    groups = by_schedule(rows)
    means = {n: statistics.mean(r.final_error for r in g) for n, g in groups.items()}
    by_level = {
        level: sorted(
            (name for name in groups if RULES[schedules[name]].level == level),
            key=means.__getitem__,
            reverse=True,  # the axis counts from below
        )
        for level in LEVELS
    }
    by_level = {level: names for level, names in by_level.items() if names}
    edge = EDGE * means[TARGET]
    low = min(means.values())
    figure = Figure(figsize=(8.0, 0.24 * len(groups) + 1.4), layout="constrained")
    FigureCanvasAgg(figure)
    heights = [len(names) + 0.5 for names in by_level.values()]
    panels = figure.subplots(len(by_level), sharex=True, height_ratios=heights)
    for panel, (level, names) in zip(panels, by_level.items(), strict=True):
        draw_level(panel, names, groups, edge)
        panel.axvline(means[TARGET], color="0.7", linewidth=0.8, zorder=0)
        panel.set_ylabel(level, rotation=0, ha="right", va="center", labelpad=110)
        if panel is not panels[-1]:
            panel.tick_params(axis="x", length=0)
            panel.spines["bottom"].set_visible(False)
    panels[-1].set_xlim(low - 0.06 * (edge - low), edge)
    panels[-1].set_xlabel("final test error in % (mean ± sd; line: multi-step)")
    entry = WORKLOADS[workload]
    figure.suptitle(
        f"Error against what you had to know: {entry.data}, {entry.network}",
        fontsize=11,
    )
    return figure


def draw_level(
    panel: Axes, names: list[str], groups: dict[str, list[EvidenceRow]], edge: float
) -> None:
    """The schedules that need the same: a dot and a bar each."""
    for height, name in enumerate(names):
        errors = [row.final_error for row in groups[name]]
        mean = statistics.mean(errors)
        color = COLORS[0] if "autodrop" in name else "0.35"
        if mean > edge:
            panel.annotate(
                f"{mean:.1f} →",
                (edge, height),
                ha="right",
                va="center",
                fontsize=8,
                color=color,
                annotation_clip=False,
            )
            continue
        spread = statistics.stdev(errors) if len(errors) > 1 else 0.0
        panel.errorbar(mean, height, xerr=spread, fmt="o", markersize=4, color=color)
    panel.set_yticks(range(len(names)), names, fontsize=8)
    panel.set_ylim(-0.75, len(names) - 0.25)
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(axis="y", length=0)


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
