"""The tables and figures of the papers, from runs of one's own.

By default on the papers' workloads; `--workloads` asks the same of others, with the
scaled settings, since a run there is shorter.
"""

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from autodrop_optax.plot import COLORS, plot_history
from experiments.report import figures
from experiments.report.rows import EvidenceRow, evidence_row
from experiments.report.statistics import markdown_table, mean_sd
from experiments.run.environment import write_provenance
from experiments.studies.equal_terms import write_evidence
from experiments.studies.published import (
    TABLE_1,
    TABLE_2,
    UAI_OTHERS,
    UAI_TABLE_2,
)
from experiments.studies.study import Arm, Runs, Study, arm
from experiments.task.workloads import WORKLOADS

SEEDS = (0, 1, 2, 3)
RATES = (0.15, 0.1, 0.05, 0.03)  # of Table 2
DROP_FACTORS = (0.1, 0.2, 0.5)  # of Table 1
ANGLE_RATES = (0.3, 0.1, 0.03, 0.01, 0.003)  # of Figure 2
CIFAR = tuple(name for name in TABLE_1 if name.startswith("cifar"))


def autodrop_presets(workload: str) -> tuple[str, ...]:
    """The paper's settings; the scaled ones too where a run is shorter than there."""
    return ("paper_autodrop",) + ("scaled_epoch_autodrop",) * (
        workload not in UAI_TABLE_2
    )


def sensitivity_presets(workload: str) -> tuple[str, ...]:
    """The paper's settings, or the scaled ones where a run is shorter than there."""
    return autodrop_presets(workload)[-1:]


def table1_arms(workload: str) -> list[Arm]:
    """Multi-step, and AutoDrop with each drop factor."""
    own = WORKLOADS[workload].drop_factor
    factors = (own,) if workload.startswith("imagenet") else DROP_FACTORS
    arms = [arm("multistep")]
    for factor in factors:
        for preset in sensitivity_presets(workload):
            arms.append(
                arm(preset)
                if factor == own
                else arm(
                    preset,
                    f"{preset}_drop{factor:g}",
                    schedule__drop_factor=factor,
                )
            )
        if workload not in TABLE_1 and factor != own:
            label = f"multistep_drop{factor:g}"
            arms.append(arm("multistep", label, schedule__drop_factor=factor))
    return arms


def report_table1(runs: Runs, results: Path) -> None:
    """The error after the last epoch beside the paper's."""
    lines = []
    for workload in runs.workloads:
        published = TABLE_1.get(workload, {})
        own = WORKLOADS[workload].drop_factor
        for label, errors in final_errors(runs, workload).items():
            name, _, factor = label.partition("_drop")
            key = "multistep" if name == "multistep" else f"autodrop_{factor or own}"
            there = published.get(key, "") if name != "scaled_epoch_autodrop" else ""
            factor = factor or f"{own:g}"
            lines.append((workload, f"`{name}`", factor, mean_sd(errors), there))
    header = ("workload", "schedule", "drop factor", "final error in %", "paper")
    print(markdown_table(header, lines))
    write_evidence(runs, results, "{workload}_drop_factor")


def table2_arms(workload: str) -> list[Arm]:
    """Multi-step and AutoDrop at each initial rate."""
    published = workload in UAI_TABLE_2
    # Elsewhere the rate without a name is a tuned one; it is the error to reach.
    arms = [] if published else [arm("multistep")]
    for rate in RATES:
        for preset in ("multistep", *sensitivity_presets(workload)):
            if published and rate == WORKLOADS[workload].learning_rate:
                arms.append(arm(preset))
            else:
                arms.append(arm(preset, f"{preset}_rate{rate:g}", learning_rate=rate))
    return arms


def report_table2(runs: Runs, results: Path) -> None:
    """The error after the last epoch at each rate beside the paper's."""
    lines = []
    for workload in runs.workloads:
        for label, errors in final_errors(runs, workload).items():
            name, _, suffix = label.partition("_rate")
            if not suffix and workload not in UAI_TABLE_2:
                continue
            rate = float(suffix) if suffix else WORKLOADS[workload].learning_rate
            there = ""
            if workload == "cifar10_resnet18" and rate in TABLE_2:
                there = TABLE_2[rate][name != "multistep"]
            lines.append((workload, f"{rate:g}", f"`{name}`", mean_sd(errors), there))
    header = ("workload", "initial rate", "schedule", "final error in %", "paper")
    print(markdown_table(header, lines))
    write_evidence(runs, results, "{workload}_initial_rate")


def figure2_arms(workload: str) -> list[Arm]:
    """The rates of the figure, throughout."""
    del workload
    return [
        arm("constant", f"constant_rate{rate:g}", learning_rate=rate)
        for rate in ANGLE_RATES
    ]


def report_figure2(runs: Runs, results: Path) -> None:
    """Angular velocity and loss over the epochs."""
    for workload in runs.workloads:
        by_rate = {
            f"rate {done.job.config.learning_rate:g}": figures.columns(done.rows)
            for done in first_seed(runs, workload)
        }
        figure = plot_history(
            by_rate,
            panels=("angular_velocity", "train_loss"),
            log_scale={"train_loss": (1, 2, 5)},
            title=title(workload),
        )
        save(figure, results / f"{workload}_figure2.png")


def figure6_arms(workload: str) -> list[Arm]:
    """Multi-step and AutoDrop."""
    return [arm(name) for name in ("multistep", *autodrop_presets(workload))]


def report_figure6(runs: Runs, results: Path) -> None:
    """Rate, angle, loss and error of the first seed."""
    for workload in runs.workloads:
        figure = figures.compare(
            {done.job.preset: done.rows for done in first_seed(runs, workload)},
            title=title(workload),
        )
        save(figure, results / f"{workload}_figure6.png")


def report_figure7(runs: Runs, results: Path) -> None:
    """The mean epoch of the lowest test error: bars."""
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    arms = list(dict.fromkeys(done.job.preset for done in runs.finished))
    width = 0.8 / len(arms)
    for number, label in enumerate(arms):
        named = False
        for position, workload in enumerate(runs.workloads):
            epochs = [
                best_epoch(done.rows)
                for done in runs.of(workload)
                if done.job.preset == label
            ]
            if not epochs:
                continue
            x = position + (number - (len(arms) - 1) / 2) * width
            mean = statistics.mean(epochs)
            bar = panel.bar(x, mean, 0.9 * width, color=COLORS[number])
            panel.bar_label(bar, fmt="%.0f", fontsize=9)
            if not named:
                bar.set_label(label)
                named = True
            print(
                f"{workload}, {label}: epoch {mean_sd(epochs, 1)} of the lowest error"
            )
    panel.set_xticks(range(len(runs.workloads)), runs.workloads)
    panel.set_ylabel("epochs to the lowest test error")
    panel.spines[["top", "right"]].set_visible(False)
    panel.margins(y=0.15)
    panel.legend(frameon=False, fontsize=9, ncols=len(arms), loc="upper left")
    save(figure, results / "figure7.png")


def uai_table2_arms(workload: str) -> list[Arm]:
    """Multi-step and windowed AutoDrop; others where the paper has them."""
    if workload.startswith("imagenet"):
        windowed = arm(
            "windowed_autodrop_64",
            "windowed_autodrop_640",
            schedule__window_steps=640,
        )
    elif workload in UAI_TABLE_2:
        windowed = arm("windowed_autodrop_64")
    else:
        windowed = arm("windowed_autodrop")
    arms = [arm("multistep"), windowed]
    if workload == "cifar10_resnet18" or workload not in UAI_TABLE_2:
        arms += [arm(name) for name in UAI_OTHERS]
    return arms


def report_uai_table2(runs: Runs, results: Path) -> None:
    """The minimum over the epochs, as the paper reports it."""
    lines = []
    for workload in runs.workloads:
        there = dict(UAI_OTHERS) if workload == "cifar10_resnet18" else {}
        if workload in UAI_TABLE_2:
            there["multistep"], there["windowed_autodrop"] = UAI_TABLE_2[workload]
        for label, errors in by_label(
            runs, workload, lambda row: row.best_error
        ).items():
            name = label.removesuffix("_640").removesuffix("_64")
            lines.append((workload, f"`{name}`", mean_sd(errors), there.get(name, "")))
    # Not all of the paper's settings are known; the schedules' own are in PRESETS.
    paper = "paper, with its settings"
    header = ("workload", "schedule", "minimum over epochs in %", paper)
    print(markdown_table(header, lines))
    write_evidence(runs, results, "{workload}_uai")


def final_errors(runs: Runs, workload: str) -> dict[str, list[float]]:
    """The errors after the last epoch of each arm."""
    return by_label(runs, workload, lambda row: row.final_error)


def by_label(
    runs: Runs, workload: str, value: Callable[[EvidenceRow], float]
) -> dict[str, list[float]]:
    """A value of the runs of each arm, in the order of the plan."""
    values: dict[str, list[float]] = {}
    for done in runs.of(workload):
        row = evidence_row(done, target=0.0)
        values.setdefault(row.schedule, []).append(value(row))
    return values


def first_seed(runs: Runs, workload: str) -> list[Any]:
    """The runs of the lowest seed that is there."""
    seed = min(done.job.config.seed for done in runs.of(workload))
    return [done for done in runs.of(workload) if done.job.config.seed == seed]


def best_epoch(rows: Sequence[dict[str, float]]) -> int:
    """The first epoch of the lowest test error."""
    errors = [row["test_error"] for row in rows]
    return errors.index(min(errors)) + 1


def save(figure: Figure, path: Path) -> None:
    """Saves and says so."""
    figures.save(figure, path)
    write_provenance(path)
    print(f"figure: {path}")


PAPERS = {
    "table1": Study(
        what="Table 1: is AutoDrop as good as multi-step, at which drop factor?",
        workloads=tuple(TABLE_1),
        seeds=SEEDS,
        arms=table1_arms,
        report=report_table1,
    ),
    "table2": Study(
        what="Table 2: how does the error depend on the initial rate?",
        workloads=("cifar10_resnet18",),
        seeds=SEEDS,
        arms=table2_arms,
        report=report_table2,
    ),
    "figure2": Study(
        what="Figure 2: does the angular velocity rise and saturate at any rate?",
        workloads=("cifar10_resnet18",),
        seeds=(0,),
        arms=figure2_arms,
        report=report_figure2,
    ),
    "figure6": Study(
        what="Figure 6: rate, loss and error of AutoDrop and multi-step.",
        workloads=("cifar10_wrn28x10",),
        seeds=(0,),
        arms=figure6_arms,
        report=report_figure6,
    ),
    "figure7": Study(
        what="Figure 7: after how many epochs is the error at its lowest?",
        workloads=CIFAR,
        seeds=SEEDS,
        arms=figure6_arms,
        report=report_figure7,
    ),
    "uai_table2": Study(
        what="Table 2 of 2024: windowed AutoDrop beside other schedules.",
        workloads=tuple(UAI_TABLE_2),
        seeds=SEEDS,
        arms=uai_table2_arms,
        report=report_uai_table2,
    ),
}


def title(workload: str) -> str:
    """What is trained, in two lines: some names are long."""
    return f"{WORKLOADS[workload].data}\n{WORKLOADS[workload].network}"
