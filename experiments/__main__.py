"""`python -m experiments {demo,run,study,tables,list}`."""

import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from experiments.demo import demo
from experiments.errors import UserError, choose
from experiments.report import tables
from experiments.report.pages import tables_command
from experiments.run.devices import ALL_DEVICES, OnDevices, set_up_devices
from experiments.run.jobs import FinishedJob, Job
from experiments.run.progress import Progress
from experiments.run.record import read_metrics
from experiments.run.training import CHECKPOINT_STEPS, train
from experiments.schedules import SCHEDULES
from experiments.studies import STUDIES
from experiments.studies.command import study_command
from experiments.task.config import RunConfig
from experiments.task.presets import PRESETS, summary
from experiments.task.workloads import WORKLOADS, Workload

DESCRIPTION = """Training runs that show what AutoDrop does.

Begin with `demo`. `list` names all that can be trained; `COMMAND --help` shows the
options of a command. Ctrl-C ends a run after its present epoch, and it can go on."""

if TYPE_CHECKING:
    _AnyPreset = RunConfig
else:
    # A preset is a subcommand, whose fields are options with its values as defaults.
    _AnyPreset = tyro.extras.subcommand_type_from_defaults(
        {name: preset.config for name, preset in PRESETS.items()},
        {name: preset.what for name, preset in PRESETS.items()},
        prefix_names=False,
    )


def run_command(
    config: Annotated[_AnyPreset, tyro.conf.arg(name="")],
    *,
    out: Path | None = None,
    data_dir: Path | None = None,
    resume: bool = False,
    checkpoint_steps: int = CHECKPOINT_STEPS,
    on: OnDevices = ALL_DEVICES,
) -> None:
    """Trains once: a preset, changed by the options behind it.

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
    name = f"{config.workload}-{config.schedule_name}-seed{config.seed}"
    folder = out or Path("runs") / name
    dataset = choose(WORKLOADS, "workload", config.workload).load(data_dir)
    print(f"data: {dataset}")
    epochs_before = len(read_metrics(folder))
    with Progress(config.schedule_name, config.epochs, epochs_before) as progress:
        rows = train(
            config,
            folder,
            dataset,
            resume=resume,
            on_epoch=progress.show,
            devices=devices,
            checkpoint_steps=checkpoint_steps,
        )
    done = FinishedJob(Job(config.schedule_name, config, folder), rows)
    print(tables.runs_table([done.result]))
    print(f"run: {folder}")


def list_command(*, notes: bool = False) -> None:
    """Shows the workloads, schedules, studies and presets.

    Args:
      notes: show the presets' lab notes: what for, what to expect, how long it takes.
    """
    try:
        print(_notes() if notes else _names(), flush=True)
    except BrokenPipeError:  # `list | head`; the flush at the end must not fail too
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _notes() -> str:
    return "\n".join(
        f"{name}\n{textwrap.indent(str(preset), ' ' * 2)}"
        for name, preset in PRESETS.items()
    )


def _names() -> str:
    sections = {
        "Workloads": {name: _about(entry) for name, entry in WORKLOADS.items()},
        "Schedules": {name: summary(kind) for name, kind in SCHEDULES.items()},
        "Studies": {name: study.what for name, study in STUDIES.items()},
        "Presets (`list --notes` says more)": {
            name: preset.what for name, preset in PRESETS.items()
        },
    }
    return "\n\n".join(_section(title, lines) for title, lines in sections.items())


def _section(title: str, lines: Mapping[str, str]) -> str:
    """A line for each name, in columns."""
    width = max(map(len, lines))
    return "\n".join([title, *(f"  {n:<{width}}  {x}" for n, x in lines.items())])


def _about(workload: Workload) -> str:
    about = f"{workload.data}, {workload.network}, {workload.recipe}"
    return f"{about}; {workload.epochs} epochs"


def main(args: Sequence[str] | None = None) -> None:
    """Runs the command line; what the user can put right is shown as one sentence."""
    try:
        tyro.extras.subcommand_cli_from_dict(
            {
                "demo": demo,
                "run": run_command,
                "study": study_command,
                "tables": tables_command,
                "list": list_command,
            },
            prog="python -m experiments",
            description=DESCRIPTION,
            args=args,
            config=(tyro.conf.CascadeSubcommandArgs, tyro.conf.FlagCreatePairsOff),
        )
    except UserError as error:
        sys.exit(f"Error: {error}")
    except KeyboardInterrupt:
        sys.exit(
            "\nStopped. All finished epochs are kept: `run` goes on from there with"
            " --resume, `demo` and `study` when called again."
        )


if __name__ == "__main__":
    main()
