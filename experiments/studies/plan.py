"""The plan of a study: runs by name, each in a folder of its own."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.errors import choose
from experiments.run.metrics import Row
from experiments.task.config import RunConfig
from experiments.task.presets import PRESETS
from experiments.task.workloads import WORKLOADS

# Added to a seed: that of the run whose gradient norms refine its schedule.
FIRST_RUN = 1000


class Arm(NamedTuple):
    """One way to train, to be run with every seed."""

    label: str  # names its runs: the same label is the same configuration
    config: RunConfig  # but for workload, epochs and seed
    # How the run goes that this one's schedule is made of, by its option `first_run`,
    # and what is added to its seed.
    first: "Arm | None" = None
    first_seed: int = FIRST_RUN
    length: float = 1.0  # of the runs, as a fraction of the workload's
    stops: tuple[float, ...] = ()  # of this, where to evaluate; (): after every epoch
    seeds: tuple[int, ...] = ()  # its own; (): the study's


class PlannedRun(NamedTuple):
    """A run of an arm."""

    label: str
    config: RunConfig
    folder: Path
    first: "PlannedRun | None" = None  # what must be finished before


class FinishedRun(NamedTuple):
    """A run with the rows of its epochs."""

    planned: PlannedRun
    rows: list[Row]

    @property
    def label(self) -> str:
        """Of the arm."""
        return self.planned.label

    @property
    def config(self) -> RunConfig:
        """Of the run."""
        return self.planned.config


def arm(preset: str, label: str | None = None, **changes: Any) -> Arm:
    """A preset with changes; `schedule__NAME` is an option of its schedule."""
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


OWN_RATE = "_at_own_rate"  # runs of the same presets in other studies are at tuned ones


def at_own_rate(arm: Arm, workload: str) -> Arm:
    """An arm at the rate of the workload's recipe, under a label that says so."""
    rate = WORKLOADS[workload].learning_rate
    config = dataclasses.replace(arm.config, learning_rate=rate)
    first = arm.first and at_own_rate(arm.first, workload)
    return arm._replace(label=arm.label + OWN_RATE, config=config, first=first)


def plan(
    arms: Iterable[Arm],
    workload: str,
    seeds: Iterable[int],
    out: Path,
    *,
    epochs: int | None = None,
    rate: float | None = None,
) -> list[PlannedRun]:
    """Lists the runs of arms on a workload.

    Args:
      arms: an arm whose configuration names a rate keeps it.
      workload: its name.
      seeds: one run each.
      out: where the runs go, those of all studies.
      epochs: by default the workload's.
      rate: the others' rate; by default the workload's.
    """
    entry = choose(WORKLOADS, "workload", workload)
    seeds = tuple(seeds)
    full = entry.epochs if epochs is None else epochs

    def planned(arm: Arm, seed: int) -> PlannedRun:
        first = arm.first and planned(arm.first, seed + arm.first_seed)
        config = arm.config
        if first is not None:
            config = replaced(config, ("schedule", "first_run"), str(first.folder))
        own = config.learning_rate
        length = full if arm.length == 1 else max(1, round(arm.length * full))
        stops = {max(1, round(stop * length)) for stop in arm.stops}
        config = dataclasses.replace(
            config,
            workload=workload,
            epochs=length,
            evaluate_at=tuple(sorted(stops)) or config.evaluate_at,
            seed=seed,
            learning_rate=rate if own is None else own,
        )
        folder = out / f"{workload}-{arm.label}-seed{seed}"
        return PlannedRun(arm.label, config, folder, first)

    return [planned(arm, seed) for arm in arms for seed in arm.seeds or seeds]
