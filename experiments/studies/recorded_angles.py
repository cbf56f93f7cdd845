"""How does the angular velocity of real runs go at constant rates?

The rates are those of the paper's Figure 2 (Teng, Wang, Choromanska, 2021), in which
ResNet-18 learns CIFAR-10; here it is the perceptrons of the experiments. Rates and
seeds were fixed before the first run, and every run is in the file, which the theory's
equation 11 is fitted to.
"""

from pathlib import Path

from experiments.report.csv_file import write_csv
from experiments.run.environment import write_provenance
from experiments.studies.figure2 import arms
from experiments.studies.study import Runs, Study
from experiments.theory.recorded_angles import AngleRow


def report(runs: Runs, results: Path) -> None:
    """Writes one line per epoch of every run."""
    lines = [
        (
            run.config.workload,
            f"{run.config.learning_rate:g}",
            run.config.seed,
            int(row["epoch"]),
            # An angle carries 1e-3 degrees of rounding at most.
            f"{row['angular_velocity']:.3f}",
            f"{row['train_loss']:.4g}",
        )
        for run in runs.finished
        for row in run.rows
    ]
    path = results / "recorded_angles.csv"
    write_csv(path, AngleRow._fields, lines)
    write_provenance(path)
    print(f"table: {path}")


STUDY = Study(
    what="How does the angular velocity of real runs go at constant rates?",
    workloads=("digits_mlp", "fashion_mnist_mlp"),
    seeds=(0, 1, 2),
    arms=arms,
    report=report,
)
