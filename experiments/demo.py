"""`python -m experiments demo`: AutoDrop beside schedules that are told the end."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import tyro

from experiments.data.dataset import Dataset
from experiments.errors import DataUnavailableError, UserError, choose
from experiments.report import figures, tables
from experiments.run.devices import ALL_DEVICES, OnDevices, set_up_devices
from experiments.run.distributed import is_primary, wait_for_all
from experiments.run.jobs import plan, run_all
from experiments.task.workloads import WORKLOADS

SCHEDULES = {
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
    """Trains with AutoDrop and with two that know the end, and compares.

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
    if epochs is None:
        epochs = WORKLOADS[workload].epochs
    jobs = plan(SCHEDULES, workload, epochs, seeds, out)
    if fresh and is_primary():
        for job in jobs:
            shutil.rmtree(job.folder, ignore_errors=True)
    wait_for_all("old runs deleted")
    finished = list(run_all(jobs, dataset, devices))
    results = [done.result for done in finished]

    if not is_primary():
        return
    first = [done for done in finished if done.job.config.seed == seeds[0]]
    figure = figures.compare(
        {SCHEDULES[done.job.preset]: done.rows for done in first},
        title=f"{dataset.name}, {WORKLOADS[workload].network}, seed {seeds[0]}",
    )
    figures.save(figure, out / "demo.png")
    tables.write_csv(out / "demo.csv", results)
    print()
    print(tables.runs_table(results))
    if len(seeds) > 1:
        print()
        print(tables.seeds_table(results))
    print()
    print(f"figure: {out / 'demo.png'}")
    print(f"table: {out / 'demo.csv'}")
    print(f"runs: {', '.join(str(job.folder) for job in jobs)}")


def _load(workload: str | None, data_dir: Path | None) -> tuple[str, Dataset]:
    if workload is not None:
        return workload, choose(WORKLOADS, "workload", workload).load(data_dir)
    try:
        return "fashion_mnist_mlp", WORKLOADS["fashion_mnist_mlp"].load(data_dir)
    except DataUnavailableError as error:
        print(f"{error} The demo runs on the digits instead.")
        return "digits_mlp", WORKLOADS["digits_mlp"].load(None)
