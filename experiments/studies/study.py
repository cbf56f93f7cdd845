"""A study: a question, the runs that answer it, and what is drawn from them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from experiments.errors import choose
from experiments.report.held_out import tuned_rate
from experiments.run.devices import ALL_DEVICES, OnDevices, set_up_devices
from experiments.run.distributed import is_primary
from experiments.run.metrics import read_metrics
from experiments.run.record import is_finished, read_commit
from experiments.studies.plan import Arm, FinishedRun, PlannedRun, plan
from experiments.studies.queue import run_queue
from experiments.task.workloads import WORKLOADS

RESULTS = Path("experiments/results/studies")


class Runs(NamedTuple):
    """The finished runs of a study, in the order of its plan."""

    finished: list[FinishedRun]

    def of(self, workload: str) -> list[FinishedRun]:
        """Those on one workload."""
        return [run for run in self.finished if run.config.workload == workload]

    def commits(self, workload: str) -> list[str]:
        """Those of the code that made the runs on one workload."""
        return sorted({read_commit(run.planned.folder) for run in self.of(workload)})

    @property
    def workloads(self) -> list[str]:
        """The workloads that have finished runs, in order."""
        return list(dict.fromkeys(run.config.workload for run in self.finished))


@dataclass(frozen=True)
class Study:
    """Which runs there are, and what they show.

    Attributes:
      what: the question, in one line.
      workloads: where it is asked by default.
      seeds: by default.
      other_seeds: by default, of the workloads that do not have these.
      epochs: passes over the training examples, of the workloads that do not have their
        own length here.
      arms: the arms on a workload.
      report: writes and prints what the finished runs of one or several workloads
        show, into a folder.
    """

    what: str
    workloads: tuple[str, ...]
    seeds: tuple[int, ...]
    arms: Callable[[str], Sequence[Arm]]
    report: Callable[[Runs, Path], None]
    other_seeds: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    epochs: Mapping[str, int] = field(default_factory=dict)

    def seeds_of(self, workload: str) -> tuple[int, ...]:
        """The seeds of a workload."""
        return self.other_seeds.get(workload, self.seeds)


@dataclass(frozen=True)
class StudyOptions:
    """What a study's command takes."""

    workloads: tuple[str, ...] | None = None
    """By default the study's."""
    seeds: tuple[int, ...] | None = None
    """By default the study's."""
    epochs: int | None = None
    """Passes over the training examples; by default the study's, or else each
    workload's."""
    workers: int | None = None
    """Runs at a time, each with a core of its own; by default one a core, and 1 where
    JAX computes on something else."""
    out: Path = Path("runs/studies")
    """Folder for the runs of all studies; what is finished there is taken as it is,
    what was begun goes on."""
    results: Path = RESULTS
    """Folder for tables and figures, and of the tuned rates."""
    data_dir: Path | None = None
    """Folder with the data sets' files."""
    list_only: bool = False
    """Show the runs and which are finished, and do nothing."""
    report_only: bool = False
    """Make tables and figures from the runs that are finished."""
    on: OnDevices = ALL_DEVICES
    """The devices and processes of a run; several make one run at a time."""


def make(study: Study, options: StudyOptions) -> None:
    """Makes the runs of a study, then its tables and figures."""
    runs = planned_runs(study, options)
    first = list(dict.fromkeys(run.first for run in runs if run.first is not None))
    if options.list_only:
        for run in (*first, *runs):
            done = len(read_metrics(run.folder))
            print(f"{done:4d}/{run.config.epochs} epochs  {run.folder}")
        return
    if options.report_only:
        finished = [
            FinishedRun(run, read_metrics(run.folder))
            for run in runs
            if is_finished(run.folder, run.config)
        ]
    else:
        devices = set_up_devices(options.on)
        finished = []
        for part in filter(None, (first, runs)):
            finished = run_queue(
                part,
                workers=options.workers,
                data_dir=options.data_dir,
                devices=devices,
            )
        if not is_primary():
            return
    print(f"{len(finished)} of {len(runs)} runs are finished")
    if finished:
        study.report(Runs(finished), options.results)


def planned_runs(study: Study, options: StudyOptions) -> list[PlannedRun]:
    """The runs of a study, on the workloads that are asked for."""
    workloads = options.workloads or study.workloads
    for workload in workloads:
        choose(WORKLOADS, "workload", workload)
    given = options.epochs
    return [
        run
        for workload in workloads
        for run in plan(
            study.arms(workload),
            workload,
            study.seeds_of(workload) if options.seeds is None else options.seeds,
            options.out,
            epochs=study.epochs.get(workload) if given is None else given,
            rate=tuned_rate(workload, options.results),
        )
    ]
