"""A study: a set of runs that answers a question, and what is drawn from them."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from experiments.errors import choose
from experiments.run.jobs import FinishedJob, Job
from experiments.studies.tuned import tuned_rate
from experiments.task.config import RunConfig
from experiments.task.presets import PRESETS
from experiments.task.workloads import WORKLOADS

# Added to a seed: that of the run whose gradient norms refine its schedule.
FIRST_RUN = 1000


class Arm(NamedTuple):
    """One way to train, to be run with every seed."""

    label: str  # names its runs: the same label is the same configuration
    config: RunConfig  # but for workload, epochs and seed
    first: "Arm | None" = None  # how the run goes that refines this one's schedule
    length: float = 1.0  # of the runs, as a fraction of the workload's
    stops: tuple[float, ...] = ()  # of this, where to evaluate; (): after every epoch


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
        show. It gets them in the order of the plan, and a folder.
    """

    what: str
    workloads: tuple[str, ...]
    seeds: tuple[int, ...]
    arms: Callable[[str], Sequence[Arm]]
    report: Callable[["Runs", Path], None]
    other_seeds: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    epochs: Mapping[str, int] = field(default_factory=dict)

    def seeds_of(self, workload: str) -> tuple[int, ...]:
        """The seeds of a workload."""
        return self.other_seeds.get(workload, self.seeds)


class Runs(NamedTuple):
    """The finished runs of a study."""

    study: str
    finished: list[FinishedJob]
    planned: int

    def of(self, workload: str) -> list[FinishedJob]:
        """Those on one workload."""
        return [done for done in self.finished if done.job.config.workload == workload]

    @property
    def workloads(self) -> list[str]:
        """The workloads that have finished runs, in order."""
        return list(dict.fromkeys(d.job.config.workload for d in self.finished))


def arm(preset: str, label: str | None = None, **changes: Any) -> Arm:
    """A preset with changes. A name with a dot is an option of an option."""
    config = choose(PRESETS, "preset", preset).config
    for name, value in changes.items():
        config = replaced(config, name.split("__"), value)
    return Arm(label or preset, config)


def replaced(config: Any, path: Sequence[str], value: Any) -> Any:
    """Returns a dataclass with one value replaced, at any depth."""
    name, *rest = path
    if rest:
        value = replaced(getattr(config, name), rest, value)
    return dataclasses.replace(config, **{name: value})


def plan(
    arms: Iterable[Arm],
    workload: str,
    seeds: Iterable[int],
    out: Path,
    results: Path,
    epochs: int | None = None,
) -> list[Job]:
    """Lists the runs of arms on a workload, at its tuned rate and length.

    Args:
      arms: an arm whose configuration names a rate keeps it.
      workload: its name.
      seeds: one run each.
      out: where the runs go, those of all studies.
      results: where the table of tuned rates is.
      epochs: by default the workload's.
    """
    entry = choose(WORKLOADS, "workload", workload)
    seeds = tuple(seeds)
    full = entry.epochs if epochs is None else epochs

    def job(arm: Arm, seed: int) -> Job:
        first = None if arm.first is None else job(arm.first, seed + FIRST_RUN)
        config = arm.config
        if first is not None:
            config = replaced(config, ("schedule", "first_run"), str(first.folder))
        rate = config.learning_rate
        length = max(1, round(arm.length * full))
        stops = {max(1, round(stop * length)) for stop in arm.stops}
        config = dataclasses.replace(
            config,
            workload=workload,
            epochs=length,
            evaluate_at=tuple(sorted(stops)) or config.evaluate_at,
            seed=seed,
            learning_rate=tuned_rate(workload, results) if rate is None else rate,
        )
        folder = out / f"{workload}-{arm.label}-seed{seed}"
        return Job(arm.label, config, folder, first)

    return [job(arm, seed) for arm in arms for seed in seeds]
