"""The command `demo`: AutoDrop beside schedules that are told the end."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import tyro

from experiments.data.dataset import Dataset
from experiments.errors import DataUnavailableError, UserError, choose
from experiments.report import figures
from experiments.report.csv_file import write_csv
from experiments.report.outcome import Outcome, runs_table, seeds_table
from experiments.run.devices import ALL_DEVICES, Devices, OnDevices, set_up_devices
from experiments.run.distributed import is_primary, wait_for_all
from experiments.run.metrics import Row, read_metrics
from experiments.run.progress import Progress
from experiments.run.training import train
from experiments.studies.plan import PlannedRun, arm, plan
from experiments.task.workloads import WORKLOADS

# Schedules by name: their titles.
COMPARED = {
    "autodrop": "AutoDrop",
    "linear_decay": "linear decay",
    "multistep": "multi-step",
}


@tyro.conf.configure(tyro.conf.DisallowNone)
def demo(
    *,
    workload: str | None = None,
    epochs: int | None = None,
    seeds: Sequence[int] = (0,),
    out: Path = Path("runs/demo"),
    data_dir: Path | None = None,
    fresh: bool = False,
    on: OnDevices = ALL_DEVICES,
) -> None:
    """Compares AutoDrop with two schedules that know the end.

    Args:
      workload: what to train; by default Fashion-MNIST's, or the digits' where
        Fashion-MNIST cannot be had.
      epochs: passes over the training images; by default the workload's.
      seeds: the figure shows the first, the table all.
      out: folder for the runs, the figure and the table; what is finished there is
        taken as it is, what was begun goes on.
      data_dir: folder with Fashion-MNIST's four files.
      fresh: delete the runs in the folder that this demo would take or go on with.
      on: the devices and processes to run on.
    """
    if not seeds:
        raise UserError("--seeds needs at least one seed.")
    devices = set_up_devices(on)
    workload, dataset = _load(workload, data_dir)
    print(f"data: {dataset}")
    runs = plan(map(arm, COMPARED), workload, seeds, out, epochs=epochs)
    if fresh and is_primary():
        for run in runs:
            shutil.rmtree(run.folder, ignore_errors=True)
    wait_for_all("old runs deleted")
    finished = [(run, _rows(run, dataset, devices)) for run in runs]
    if not is_primary():
        return
    figure = figures.compare(
        {
            COMPARED[run.label]: rows
            for run, rows in finished
            if run.config.seed == seeds[0]
        },
        title=f"{dataset.name}, {WORKLOADS[workload].network}, seed {seeds[0]}",
    )
    figures.save(figure, out / "demo.png")
    outcomes = [
        Outcome.of(workload, run.label, run.config.seed, rows) for run, rows in finished
    ]
    write_csv(out / "demo.csv", Outcome._fields, outcomes, ".4f")
    print(f"table: {out / 'demo.csv'}")
    print(f"runs: {', '.join(str(run.folder) for run in runs)}\n")
    told = {run.label: str(run.config.schedule.requires) for run in runs}
    print(runs_table(outcomes, told))
    if len(seeds) > 1:
        print(f"\n{seeds_table(outcomes)}")


def _rows(run: PlannedRun, dataset: Dataset, devices: Devices) -> list[Row]:
    """Trains, goes on training, or takes the run as it is."""
    label = f"{run.label}, seed {run.config.seed}"
    epochs_before = len(read_metrics(run.folder))
    if epochs_before == run.config.epochs:
        print(f"{label}: taken from {run.folder}, which is finished")
    elif epochs_before:
        print(f"{label}: going on in {run.folder}")
    with Progress(label, run.config.epochs, epochs_before) as progress:
        return train(
            run.config,
            run.folder,
            dataset,
            resume=True,
            on_epoch=progress.show,
            devices=devices,
        )


def _load(workload: str | None, data_dir: Path | None) -> tuple[str, Dataset]:
    if workload is not None:
        return workload, choose(WORKLOADS, "workload", workload).load(data_dir)
    try:
        return "fashion_mnist_mlp", WORKLOADS["fashion_mnist_mlp"].load(data_dir)
    except DataUnavailableError as error:
        print(f"{error} The demo runs on the digits instead.")
        return "digits_mlp", WORKLOADS["digits_mlp"].load(None)
