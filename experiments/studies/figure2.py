"""Figure 2: does the angular velocity rise and saturate at any rate?"""

from pathlib import Path

from autodrop_optax.plot import plot_history
from experiments.report import figures
from experiments.studies.papers import first_seed, save, title
from experiments.studies.plan import Arm, arm
from experiments.studies.study import Runs, Study

RATES = (0.3, 0.1, 0.03, 0.01, 0.003)


def arms(workload: str) -> list[Arm]:
    """The rates of the figure, throughout."""
    del workload
    return [
        arm("constant", f"constant_rate{rate:g}", learning_rate=rate) for rate in RATES
    ]


def report(runs: Runs, results: Path) -> None:
    """Angular velocity and loss over the epochs."""
    for workload in runs.workloads:
        by_rate = {
            f"rate {run.config.learning_rate:g}": figures.columns(run.rows)
            for run in first_seed(runs, workload)
        }
        figure = plot_history(
            by_rate,
            panels=("angular_velocity", "train_loss"),
            log_scale={"train_loss": (1, 2, 5)},
            title=title(workload),
        )
        save(figure, results / f"{workload}_figure2.png")


STUDY = Study(
    what="Figure 2: does the angular velocity rise and saturate at any rate?",
    workloads=("cifar10_resnet18",),
    seeds=(0,),
    arms=arms,
    report=report,
)
