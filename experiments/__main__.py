"""`python -m experiments {train,demo,sweep,study,tables,list}`."""

import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from experiments import tables
from experiments.config import RunConfig
from experiments.demo import demo
from experiments.devices import ALL_DEVICES, OnDevices, set_up_devices
from experiments.errors import UserError, choose
from experiments.history import summarise
from experiments.jobs import plan, run_all
from experiments.pages import tables_command
from experiments.presets import PRESETS
from experiments.processes import is_primary
from experiments.progress import Progress
from experiments.records import read_metrics
from experiments.schedules import SCHEDULES
from experiments.studies import STUDIES
from experiments.studies.command import study_command
from experiments.tables import Result
from experiments.training import CHECKPOINT_STEPS, train
from experiments.workloads import WORKLOADS

SMALL_WORKLOADS = ("fashion_mnist_mlp", "digits_mlp")
DEMO_TABLE = ("demo_autodrop", "multistep", "constant", "paper_autodrop")

if TYPE_CHECKING:
    _AnyPreset = RunConfig
else:
    # A preset is a subcommand, whose fields are options with its values as defaults.
    _AnyPreset = tyro.extras.subcommand_type_from_defaults(
        {name: preset.config for name, preset in PRESETS.items()},
        {name: preset.what for name, preset in PRESETS.items()},
        prefix_names=False,
    )


def train_command(
    config: Annotated[_AnyPreset, tyro.conf.arg(name="")],
    *,
    out: Path | None = None,
    data_dir: Path | None = None,
    resume: bool = False,
    checkpoint_steps: int = CHECKPOINT_STEPS,
    on: OnDevices = ALL_DEVICES,
) -> None:
    """Trains once: a preset, changed by the options after it.

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
    name = f"{config.workload}-{config.schedule}-seed{config.seed}"
    folder = out or Path("runs") / name
    dataset = choose(WORKLOADS, "workload", config.workload).load(data_dir)
    print(f"data: {dataset}")
    epochs_before = len(read_metrics(folder))
    with Progress(config.schedule, config.epochs, epochs_before) as progress:
        rows = train(
            config,
            folder,
            dataset,
            resume=resume,
            on_epoch=progress.show,
            devices=devices,
            checkpoint_steps=checkpoint_steps,
        )
    result = Result(config.workload, config.schedule, config.seed, summarise(rows))
    print(tables.runs_table([result]))
    print(f"run: {folder}")


def sweep_command(
    *,
    presets: tuple[str, ...] = DEMO_TABLE,
    workloads: tuple[str, ...] = SMALL_WORKLOADS,
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4),
    epochs: int = 60,
    out: Path = Path("runs/sweep"),
    csv: Path = Path("runs/sweep/sweep.csv"),
    data_dir: Path | None = None,
    on: OnDevices = ALL_DEVICES,
) -> None:
    """Trains presets on workloads, each with every seed, then makes a table.

    What is finished in the folder is taken as it is, what was begun goes on.

    Args:
      presets: by default those of the README's table of the demo's settings.
      workloads: by default those that two cores can bear.
      seeds: one run each.
      epochs: passes over the training images.
      out: folder for the runs.
      csv: file for the table, one line per run.
      data_dir: folder with Fashion-MNIST's four files.
      on: the devices and processes to run on.
    """
    devices = set_up_devices(on)
    results = []
    for workload in workloads:
        dataset = choose(WORKLOADS, "workload", workload).load(data_dir)
        print(f"data: {dataset}")
        jobs = plan(presets, workload, epochs, seeds, out)
        results += [done.result for done in run_all(jobs, dataset, devices)]
    if is_primary():
        tables.write_csv(csv, results)
    print()
    print(tables.seeds_table(results))
    print(f"table: {csv}")


def list_command() -> None:
    """Shows the workloads, the schedules and the presets with their lab notes."""
    print("Workloads")
    for name, workload in WORKLOADS.items():
        about = f"{workload.data}, {workload.network}, {workload.recipe}"
        print(f"  {name:<20}{about}; {workload.epochs} epochs")
    print("\nSchedules")
    for name, build in SCHEDULES.items():
        print(f"  {name:<20}{_first_line(build)}")
    print("\nStudies")
    for name, study in STUDIES.items():
        print(f"  {name:<20}{study.what}")
    print("\nPresets")
    for name, preset in PRESETS.items():
        print(f"  {name}\n{textwrap.indent(str(preset), ' ' * 4)}")


def _first_line(function) -> str:
    return function.__doc__.splitlines()[0]


def main(args: Sequence[str] | None = None) -> None:
    """Runs the command line; what the user can put right is shown as one sentence."""
    try:
        tyro.extras.subcommand_cli_from_dict(
            {
                "train": train_command,
                "demo": demo,
                "sweep": sweep_command,
                "study": study_command,
                "tables": tables_command,
                "list": list_command,
            },
            prog="python -m experiments",
            description="Training runs that show what AutoDrop does.",
            args=args,
            config=(tyro.conf.CascadeSubcommandArgs,),
        )
    except UserError as error:
        sys.exit(f"Error: {error}")
    except KeyboardInterrupt:
        sys.exit(
            "\nStopped. All finished epochs are kept: `train` goes on from there with"
            " --resume, `demo`, `sweep` and `study` when called again."
        )


if __name__ == "__main__":
    main()
