"""A set of runs in one folder: started, gone on with, or taken as they are."""

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from experiments.data.dataset import Dataset
from experiments.errors import choose
from experiments.report.outcome import summarise
from experiments.report.tables import Result
from experiments.run.devices import ONE_DEVICE, Devices
from experiments.run.progress import Progress
from experiments.run.record import Row, read_metrics
from experiments.run.training import train
from experiments.task.config import RunConfig
from experiments.task.presets import PRESETS


class Job(NamedTuple):
    """One run of the set, under the name of its preset."""

    preset: str
    config: RunConfig
    folder: Path
    first: "Job | None" = None  # what must be finished before


class FinishedJob(NamedTuple):
    """A job and the rows of its run."""

    job: Job
    rows: list[Row]

    @property
    def result(self) -> Result:
        """The row of a table."""
        config = self.job.config
        return Result(
            config.workload,
            self.job.preset,
            config.seed,
            summarise(self.rows),
            str(config.schedule.requires),
        )


def plan(
    presets: Iterable[str],
    workload: str,
    epochs: int,
    seeds: Iterable[int],
    out: Path,
) -> list[Job]:
    """Lists every preset with every seed on one workload, presets outermost."""
    seeds = tuple(seeds)
    jobs = []
    for preset in presets:
        for seed in seeds:
            config = dataclasses.replace(
                choose(PRESETS, "preset", preset).config,
                workload=workload,
                epochs=epochs,
                seed=seed,
            )
            folder = out / f"{workload}-{preset}-seed{seed}"
            jobs.append(Job(preset, config, folder))
    return jobs


def run_all(
    jobs: Iterable[Job], dataset: Dataset, devices: Devices = ONE_DEVICE
) -> Iterator[FinishedJob]:
    """Runs the jobs one after the other, going on with what was begun.

    Raises:
      UserError: a job's folder holds a run with another configuration.
    """
    for job in jobs:
        label = f"{job.preset}, seed {job.config.seed}"
        epochs_before = len(read_metrics(job.folder))
        if epochs_before == job.config.epochs:
            print(f"{label}: taken from {job.folder}, which is finished")
        elif epochs_before:
            print(f"{label}: going on in {job.folder}")
        with Progress(label, job.config.epochs, epochs_before) as progress:
            rows = train(
                job.config,
                job.folder,
                dataset,
                resume=True,
                on_epoch=progress.show,
                devices=devices,
            )
        yield FinishedJob(job, rows)
