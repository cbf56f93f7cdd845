"""The command `run`: one training run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from experiments.errors import choose
from experiments.report.outcome import Outcome, runs_table
from experiments.run.devices import ALL_DEVICES, OnDevices, set_up_devices
from experiments.run.metrics import read_metrics
from experiments.run.progress import Progress
from experiments.run.training import CHECKPOINT_STEPS, train
from experiments.task.config import RunConfig
from experiments.task.presets import PRESETS
from experiments.task.workloads import WORKLOADS

if TYPE_CHECKING:
    _AnyPreset = RunConfig
else:
    # A preset is a subcommand, whose fields are options with its values as defaults.
    _AnyPreset = tyro.extras.subcommand_type_from_defaults(
        {name: preset.config for name, preset in PRESETS.items()},
        {name: preset.what for name, preset in PRESETS.items()},
        prefix_names=False,
    )


def run(
    config: Annotated[_AnyPreset, tyro.conf.arg(name="")],
    *,
    out: Path | None = None,
    data_dir: Path | None = None,
    resume: bool = False,
    checkpoint_steps: int = CHECKPOINT_STEPS,
    on: OnDevices = ALL_DEVICES,
) -> None:
    """Trains once: a schedule or preset, and what to change in it.

    Args:
      config: the run.
      out: folder of the run; by default runs/WORKLOAD-SCHEDULE-seedSEED.
      data_dir: folder with the data set's files, where it has files.
      resume: go on with the run in the folder, if there is one.
      checkpoint_steps: steps between checkpoints within an epoch, where the data are
        read while the run goes.
      on: the devices and processes to run on.
    """
    devices = set_up_devices(on)
    name = config.schedule_name
    folder = out or Path("runs") / f"{config.workload}-{name}-seed{config.seed}"
    dataset = choose(WORKLOADS, "workload", config.workload).load(data_dir)
    print(f"data: {dataset}")
    with Progress(name, config.epochs, len(read_metrics(folder))) as progress:
        rows = train(
            config,
            folder,
            dataset,
            resume=resume,
            on_epoch=progress.show,
            devices=devices,
            checkpoint_steps=checkpoint_steps,
        )
    outcome = Outcome.of(config.workload, name, config.seed, rows)
    print(runs_table([outcome], {name: str(config.schedule.requires)}))
    print(f"run: {folder}")
