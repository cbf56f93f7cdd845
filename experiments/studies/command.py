"""`python -m experiments study NAME`."""

from pathlib import Path
from typing import Annotated

import tyro

from experiments.errors import choose
from experiments.run.devices import ALL_DEVICES, OnDevices, set_up_devices
from experiments.run.distributed import is_primary
from experiments.run.jobs import FinishedJob
from experiments.run.record import is_finished, read_metrics
from experiments.studies import STUDIES
from experiments.studies.queue import run_queue
from experiments.studies.study import Runs, plan
from experiments.task.workloads import WORKLOADS

RESULTS = Path("experiments/results/studies")


@tyro.conf.configure(tyro.conf.DisallowNone)
def study_command(
    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="STUDY")],
    *,
    workloads: tuple[str, ...] | None = None,
    seeds: tuple[int, ...] | None = None,
    epochs: int | None = None,
    workers: int | None = None,
    out: Path = Path("runs/studies"),
    results: Path = RESULTS,
    data_dir: Path | None = None,
    list_only: bool = False,
    report_only: bool = False,
    on: OnDevices = ALL_DEVICES,
) -> None:
    """Makes the runs of a study, then its tables and figures.

    Args:
      name: of a study, as `list` shows them.
      workloads: by default the study's.
      seeds: by default the study's.
      epochs: passes over the training examples; by default the study's, or else
        each workload's.
      workers: runs at a time, each with a core of its own; by default one a core, and 1
        where JAX computes on something else.
      out: folder for the runs of all studies; what is finished there is taken as it is,
        what was begun goes on.
      results: folder for tables and figures, and of the tuned rates.
      data_dir: folder with the data sets' files.
      list_only: show the runs and which are finished, and do nothing.
      report_only: make tables and figures from the runs that are finished.
      on: the devices and processes of a run; several of them make one run at a time.
    """
    study = choose(STUDIES, "study", name)
    workloads = workloads or study.workloads
    for workload in workloads:
        choose(WORKLOADS, "workload", workload)
    jobs = [
        job
        for workload in workloads
        for job in plan(
            study.arms(workload),
            workload,
            study.seeds_of(workload) if seeds is None else seeds,
            out,
            results,
            study.epochs.get(workload) if epochs is None else epochs,
        )
    ]
    first = list(dict.fromkeys(job.first for job in jobs if job.first is not None))
    if list_only:
        for job in (*first, *jobs):
            done = len(read_metrics(job.folder))
            print(f"{done:4d}/{job.config.epochs} epochs  {job.folder}")
        return
    if not report_only:
        devices = set_up_devices(on)
        for part in filter(None, (first, jobs)):
            run_queue(part, workers=workers, data_dir=data_dir, devices=devices)
        if not is_primary():
            return
    finished = [
        FinishedJob(job, read_metrics(job.folder))
        for job in jobs
        if is_finished(job.folder, job.config)
    ]
    print(f"{len(finished)} of {len(jobs)} runs are finished")
    if finished:
        study.report(Runs(name, finished, len(jobs)), results)
